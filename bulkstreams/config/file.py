"""`bulkstreams.toml` → tables whose every key is known. An unknown key is an error that names the nearest right one.

This module must never say what a value means, nor show one in an error: it might be a secret.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from difflib import get_close_matches
from functools import cached_property
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
    "burst", "reserve", "concurrency", "deadline", "max_failures", "max_failure_rate",
)  # fmt: skip
_HEADER: Final = re.compile(r"\s*\[\s*([^\]]+?)\s*\]")
_KEY: Final = re.compile(r"""\s*["']?([^"'=.\s\[]+)["']?\s*[=.]""")
TEXTS: Final = frozenset(TENANT[:8]) | {"tenant"}


class ConfigFile:
    """The configuration file, checked for its keys: `defaults`, and `tenants` by name."""

    def __init__(self, path: Path, text: str) -> None:
        self.path = path
        self._text = text
        tables = tomllib.loads(text)
        self._check(tables, ("defaults", "tenants"), "")
        self.defaults: Mapping[str, Any] = self._table(tables, "defaults", "")
        self._check(self.defaults, DEFAULTS, "defaults.")
        tenants = self._table(tables, "tenants", "")
        self.tenants: dict[str, Mapping[str, Any]] = {name: self._table(tenants, name, "tenants.") for name in tenants}
        for name, table in self.tenants.items():
            self._check(table, TENANT, f"tenants.{name}.")

    def where(self, place: str) -> str:
        """Return how an error names a place of this file: the file, the line where it can be told, the key's path."""
        number = self._lines.get(place)
        return f"{self.path}{f':{number}' if number else ''}: {place}"

    @cached_property
    def _lines(self) -> Mapping[str, int]:
        return _lines(self._text)

    def _table(self, tables: Mapping[str, Any], name: str, place: str) -> Mapping[str, Any]:
        table = tables.get(name, {})
        if not isinstance(table, dict):
            example = f"[{place}{name}]" if place or name == "defaults" else "[tenants.NAME]"
            raise UsageError(f"{self.where(place + name)} must be a table.", hint=f"Write {example} on its own line.")
        return table

    def _check(self, table: Mapping[str, Any], known: tuple[str, ...], place: str) -> None:
        for key, value in table.items():
            if key not in known:
                close = get_close_matches(key, known, n=1, cutoff=0.5)
                raise UsageError(
                    f"{self.where(place + key)} is an unknown key{f' (did you mean {close[0]}?)' if close else ''}.",
                    hint=f"Allowed here: {', '.join(known)}.",
                )
            if key in TEXTS and not isinstance(value, str):
                raise UsageError(f"{self.where(place + key)} must be a string.", hint="Put it in quotes.")


def _lines(text: str) -> dict[str, int]:
    """Return where each header and each key of a file stands, by its path: the number of its first line."""
    lines: dict[str, int] = {}
    here = ""
    for number, line in enumerate(text.splitlines(), 1):
        if found := _HEADER.match(line):
            here = found[1].replace('"', "")
            parts = here.split(".")
            for end in range(1, len(parts) + 1):
                lines.setdefault(".".join(parts[:end]), number)
        elif found := _KEY.match(line):
            lines.setdefault(f"{here}.{found[1]}" if here else found[1], number)
    return lines


def read_file(path: Path | None, folder: Path) -> ConfigFile | None:
    """Read the configuration that was named, or the one in `folder` if there is one."""
    chosen = path if path is not None else folder / FILE_NAME
    if path is None and not chosen.exists():
        return None
    try:
        return ConfigFile(chosen, chosen.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise UsageError(
            f"the configuration {chosen} cannot be read: {error.strerror}.", hint="Check --config."
        ) from None
    except UnicodeDecodeError:
        raise UsageError(f"{chosen} is not TOML: it is not UTF-8.", hint="See the example in the README.") from None
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{chosen} is not TOML: {error}.", hint="See the example in the README.") from None
