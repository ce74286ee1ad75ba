"""The rows of `--results`: a JSON line for each settled record, as it becomes durable.

This module must never let a row that cannot be written stop the settling of what is under way.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from bulkstreams.cli.telling import drop
from bulkstreams.commands import results as results_command
from bulkstreams.commands.live import Live
from bulkstreams.errors import UsageError
from bulkstreams.ledger import Result


@contextmanager
def results_to(target: str | None, live: Live) -> Iterator[Rows | None]:
    """Write settled records to a file or standard output while the context lasts."""
    if target is None:
        yield None
    elif target == "-":
        yield Rows(live, sys.stdout)
    else:
        try:
            cut_short = _is_cut_short(Path(target))
            file = Path(target).open("a", encoding="utf-8")  # noqa: SIM115 - closed below, after the run
        except OSError as error:
            raise UsageError(f"{target} cannot be written: {error.strerror}.", hint="Check --results.") from None
        with file:
            if cut_short:
                file.write("\n")
            yield Rows(live, file)


def _is_cut_short(path: Path) -> bool:
    """Return whether a file of rows ends within one, as a process that was killed leaves it."""
    if not path.is_file():
        return False
    try:
        with path.open("rb") as file:
            file.seek(-1, os.SEEK_END)
            return file.read(1) != b"\n"
    except OSError:
        return False  # an empty one, or one that may only be written


class Rows:
    """Writes settled records, as they become durable; `trouble` says why that came to an end before the run did."""

    def __init__(self, live: Live, to: TextIO) -> None:
        self.trouble: str | None = None
        self._live = live
        self._to = to
        live.outcomes = self._write

    async def _write(self, rows: Sequence[Result]) -> None:
        """Write rows; where nobody takes them any more, drain the run: what was under way is settled all the same."""
        try:
            self._to.writelines(results_command.as_jsonl(rows))
            self._to.flush()
        except OSError as error:
            self.trouble = error.strerror
            self._live.outcomes = None
            drop(self._to)
            if self._live.engine is not None:
                self._live.engine.stop(f"the results could not be written ({error.strerror})")
