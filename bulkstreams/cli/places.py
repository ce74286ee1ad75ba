"""Whether a file that a command is to write is another one that it reads or writes. It must never open any."""

from __future__ import annotations

import os
from collections.abc import Iterable

from bulkstreams.errors import UsageError


def check_apart(flag: str, target: str | os.PathLike[str], others: Iterable[str | os.PathLike[str]]) -> None:
    """Raise UsageError where a file would be written over another of the same command, links followed.

    Links that lead in circles are no trouble here: whoever opens one of them says so.
    """
    place = os.path.realpath(target)
    into = next((other for other in others if os.path.realpath(other) == place), None)
    if into is not None:
        raise UsageError(
            f"{flag} {os.fspath(target)} would write over {os.fspath(into)}.", hint="Give it a file of its own."
        )
