"""The table that the suite writes: rows of Markdown, and what machine and versions they are of.

This module must never measure, and never tell a date.
"""

from __future__ import annotations

import os
import platform
import shutil
import sqlite3
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median
from typing import Final

from benchmarks.machine import CLIENT_CORE, CORES, SERVER_CORE

HEAD: Final = ("what", "size", "figure", "processor", "ratio", "by processor", "of what to what", "goal")
LIBRARIES: Final = (
    "bulkstreams", "aiohttp", "anyio", "aiolimiter", "pydantic", "orjson", "uvloop", "auth0-python", "httpx",
)  # fmt: skip
TOOLS: Final = ("hey", "wrk", "apache2-utils")
"""Debian's packages."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of the table, of texts as they are shown; `by_processor` is the ratio with seconds of processor."""

    what: str
    size: str = ""
    figure: str
    processor: str = ""
    ratio: str = ""
    by_processor: str = ""
    to: str = ""
    goal: str = ""


def spread(values: Sequence[float], form: str) -> str:
    """Return the median of the rounds, and between what they lie."""
    middle = format(median(values), form)
    if len(values) == 1:
        return middle
    return f"{middle} ({min(values):{form}} to {max(values):{form}})"


def markdown(rows: Iterable[Row]) -> str:
    """Return the table."""
    lines = [HEAD, ("---",) * len(HEAD), *(astuple(row) for row in rows)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def load() -> str:
    """Return how many processes wanted a core, on average of the last minute."""
    return f"{os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else "unknown"


def machine(load_before: str, load_after: str) -> str:
    """Return what the figures were measured on, in one paragraph."""
    python = f"{platform.python_implementation()} {platform.python_version()}"
    where = f"what is measured on core {CLIENT_CORE}, the sink on core {SERVER_CORE}"
    if CLIENT_CORE == SERVER_CORE:
        where = "with one core for what is measured and for the sink, so that rates say little"
    return (
        f"{len(CORES)} cores ({_processor()}), {platform.system()} {platform.release()}, {python}; {where}; "
        f"load average {load_before} before and {load_after} after."
    )


def versions() -> str:
    """Return the versions of all that takes part, in one paragraph."""
    told = [*((name, _library(name)) for name in LIBRARIES), ("SQLite", sqlite3.sqlite_version)]
    told += [(name, _package(name)) for name in TOOLS]
    return ", ".join(f"{name} {found}" for name, found in told) + "."


def _processor() -> str:
    path = Path("/proc/cpuinfo")
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _library(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


def _package(name: str) -> str:
    program = "ab" if name == "apache2-utils" else name
    if not shutil.which(program):
        return "not installed"
    if not shutil.which("dpkg-query"):
        return "of unknown version"
    asked = subprocess.run(
        ["dpkg-query", "-W", "-f", "${Version}", name], capture_output=True, text=True, check=False
    )  # fmt: skip
    return asked.stdout.strip() or "of unknown version"
