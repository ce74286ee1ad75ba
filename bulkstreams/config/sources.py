"""Where a setting comes from: its flag, then its environment variable, then the file's `[defaults]`.

This module must never say what the settings are for; it finds each, and names its source for an error.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeVar

from bulkstreams.config.file import DEFAULTS, ConfigFile

PREFIX: Final = "BULKSTREAMS_"

T = TypeVar("T")
D = TypeVar("D")


@dataclass(frozen=True, slots=True, kw_only=True)
class Flags:
    """What the command line said; None: nothing. `token` is what the file of `--token-file` holds."""

    tenant: str | None = None
    config: Path | None = None
    base_url: str | None = None
    token: str | None = None
    rate: str | None = None
    burst: int | None = None
    reserve: str | None = None
    concurrency: int | None = None
    retries: int | None = None
    timeout: str | None = None
    deadline: str | None = None
    max_failures: int | None = None
    max_failure_rate: str | None = None
    allow_unknown_events: bool | None = None

    def __repr__(self) -> str:
        return "Flags(…)"


class Found(NamedTuple):
    """A setting's value, how an error names its source, and whether that source wins over the file."""

    value: Any
    where: str
    outranks_file: bool


class Sources:
    """The three places, searched in their order of precedence. An empty variable counts as unset."""

    def __init__(self, flags: Flags, environment: Mapping[str, str], file: ConfigFile | None) -> None:
        self.flags, self.environment, self.file = flags, environment, file

    def find(self, name: str) -> Found | None:
        """Return the value that a setting was given, None where it was given none."""
        flag = getattr(self.flags, name)
        if flag is not None:
            return Found(flag, f"--{name.replace('_', '-')}", outranks_file=True)
        variable = f"{PREFIX}{name.upper()}"
        if text := self.environment.get(variable):
            return Found(text, variable, outranks_file=True)
        if self.file is not None and name in self.file.defaults:
            return Found(self.file.defaults[name], self.file.where(f"defaults.{name}"), outranks_file=False)
        return None

    def read(self, name: str, parse: Callable[[object, str], T], default: D) -> T | D:
        """Return a setting as `parse` reads it from its value and its source's name, or `default`."""
        found = self.find(name)
        return default if found is None else parse(found.value, found.where)

    def origins(self) -> dict[str, str]:
        """Return what gave each setting that was given: a flag, a variable, or the file, by its name."""
        file = "" if self.file is None else self.file.path.name
        found = {name: self.find(name) for name in DEFAULTS}
        given = {name: one.where if one.outranks_file else file for name, one in found.items() if one is not None}
        return given if self.flags.config is None else {**given, "config": "--config"}

    def outranks_file(self, name: str) -> bool:
        """Return whether a flag or a variable gives this setting, so that no table of the file can."""
        found = self.find(name)
        return found is not None and found.outranks_file
