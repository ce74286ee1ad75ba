"""`bulkstreams.toml` → tables whose every key is known. An unknown key is an error that names the nearest right one."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final

from bulkstreams.errors import UsageError

FILE_NAME: Final = "bulkstreams.toml"
DEFAULTS: Final = (
    "tenant", "rate", "burst", "reserve", "concurrency", "retries", "timeout", "deadline", "max_failures",
    "max_failure_rate", "allow_unknown_events",
)  # fmt: skip
TENANT: Final = (
    "domain", "base_url", "token", "client_id", "client_secret", "private_key", "signing_alg", "audience", "rate",
    "burst", "reserve", "concurrency",
)  # fmt: skip


class ConfigFile:
    """The configuration file, checked for its keys: `defaults`, and `tenants` by name."""

    def __init__(self, path: Path, tables: Mapping[str, Any]) -> None:
        self.path = path
        self._check(tables, ("defaults", "tenants"), "")
        self.defaults: Mapping[str, Any] = self._table(tables, "defaults")
        self._check(self.defaults, DEFAULTS, "defaults.")
        tenants = self._table(tables, "tenants")
        self.tenants: dict[str, Mapping[str, Any]] = {name: self._table(tenants, name) for name in tenants}
        for name, table in self.tenants.items():
            self._check(table, TENANT, f"tenants.{name}.")
            for key in ("domain", "base_url", "token", "client_id", "client_secret", "private_key", "audience"):
                if not isinstance(table.get(key, ""), str):
                    raise UsageError(f"{path}: tenants.{name}.{key} must be a string.", hint="Put it in quotes.")

    def _table(self, tables: Mapping[str, Any], name: str) -> Mapping[str, Any]:
        table = tables.get(name, {})
        if not isinstance(table, dict):
            raise UsageError(f"{self.path}: {name} must be a table.", hint=f"Write [{name}] on a line of its own.")
        return table

    def _check(self, table: Mapping[str, Any], known: tuple[str, ...], place: str) -> None:
        for key in table:
            if key not in known:
                close = get_close_matches(key, known, n=1, cutoff=0.5)
                raise UsageError(
                    f"{self.path}{self._line(key)}: unknown key {place}{key}"
                    f"{f' (did you mean {close[0]}?)' if close else ''}.",
                    hint=f"Allowed here: {', '.join(known)}.",
                )

    def _line(self, key: str) -> str:
        lines = self.path.read_text(encoding="utf-8").splitlines() if self.path.exists() else []
        for number, text in enumerate(lines, 1):
            if text.strip().startswith((key, f"[{key}")):
                return f":{number}"
        return ""


def read_file(path: Path | None, folder: Path) -> ConfigFile | None:
    """Read the configuration that was named, or the one in `folder` if there is one."""
    chosen = path if path is not None else folder / FILE_NAME
    if path is None and not chosen.exists():
        return None
    try:
        with chosen.open("rb") as file:
            return ConfigFile(chosen, tomllib.load(file))
    except OSError as error:
        raise UsageError(
            f"the configuration {chosen} cannot be read: {error.strerror}.", hint="Check --config."
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{chosen} is not TOML: {error}.", hint="See the example in the README.") from None
