"""How many connections this process may have open: what the system lets it, less what it needs for everything else.

Each connection is a file descriptor, and a process that has none left can open neither its ledger nor a socket. This
module must never lower a limit.
"""

from __future__ import annotations

import resource
from contextlib import suppress
from pathlib import Path
from typing import Final

KEPT: Final = 48
"""Descriptors kept for what is opened meanwhile: SQLite's helpers, secrets in files, name look-ups."""

ENOUGH: Final = 65_536
"""Descriptors beyond which more are of no use; where there is no limit at all, some programs mind a huge one."""


def make_room() -> None:
    """Raise the limit of open descriptors as far as the system lets us; for who sets the process up."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = ENOUGH if hard == resource.RLIM_INFINITY else min(hard, ENOUGH)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with suppress(ValueError, OSError):  # some systems promise more than they give
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def connections(*, server_inside: bool = False) -> int:
    """Return how many connections may be open at once, beside the files that are open now.

    `server_inside`: the other end of each is in this process too, as with `--sandbox`.
    """
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    limit = ENOUGH if soft == resource.RLIM_INFINITY else min(soft, ENOUGH)
    free = max(1, limit - open_files() - KEPT)
    return free // 2 if server_inside else free


def open_files() -> int:
    """Return how many descriptors this process has open."""
    try:
        return sum(1 for _ in Path("/dev/fd").iterdir())
    except OSError:
        return KEPT
