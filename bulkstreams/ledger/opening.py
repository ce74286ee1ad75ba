"""The ledger's file as somebody opens it who only reads: seen to be whole first, unless a live process has it.

It has what every question is asked with, and answers none about records. This module must never write.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from bulkstreams.errors import LedgerFormatError, LedgerWriteError
from bulkstreams.ledger import format as ledger_format
from bulkstreams.ledger import lease, tables
from bulkstreams.ledger.damage import examine
from bulkstreams.ledger.seal import free_of_log


class OpenLedger:
    """The ledger at `path`, open to be read; a context manager.

    Raises LedgerFormatError where there is no ledger at `path`, or one that cannot be read.
    """

    def __init__(self, path: Path) -> None:
        if not path.exists():
            raise LedgerFormatError(
                f"there is no ledger {path}.",
                hint="Name the file that `bulkstreams run` wrote: INPUT's stem + .ledger.db, in the folder it ran in.",
            )
        self.path = path
        self._examine()
        self._db = ledger_format.connect(path, read_only=True)

    def _examine(self) -> None:
        """See whether the ledger is whole, unless a live process holds it, which sees to that as it begins.

        That process may be this very one, and then `examine` would take its locks away.
        """
        if self.held():
            return
        try:
            examine(self.path)
        except LedgerFormatError:
            if not self.held():  # else a run has begun meanwhile, and what we saw was its work
                raise
        except OSError as error:
            raise LedgerWriteError(
                f"the ledger {self.path} cannot be read: {error.strerror or error}.",
                hint=f"Check who owns {self.path} and its folder.",
            ) from None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._db.close()

    def _ask(self, sql: str, values: Sequence[Any] | Mapping[str, Any] = ()) -> list[tuple[Any, ...]]:
        with ledger_format.told(self.path):
            return self._db.execute(sql, values).fetchall()

    def held(self) -> bool:
        """Return whether a live process writes this ledger."""
        return lease.is_held(self.path)

    def copy_to(self, target: sqlite3.Connection) -> None:
        """Copy the whole ledger, as it is now, into another database; the copy needs no write-ahead log."""
        with ledger_format.told(self.path):
            self._db.backup(target)
            free_of_log(target)

    def _has_errands(self) -> bool:
        return bool(self._ask(tables.HAS_ERRANDS))

    def _newest_run(self) -> int:
        return int(self._ask("SELECT coalesce(max(id), 0) FROM run")[0][0])

    def _whole_reading(self) -> int:
        """Return the newest reading that came to its end: one that was cut off has not met all there is."""
        return int(self._ask("SELECT coalesce(max(id), 0) FROM reading WHERE completed_at IS NOT NULL")[0][0])
