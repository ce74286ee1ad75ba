"""The row with which the ledger's file says whether it is whole, and when the write-ahead log is folded into the file.

At the end of a run the file is sealed: its length and a checksum of all its pages stand in it. The next run breaks the
seal, and from then on `turn` tells whether the file does without its write-ahead log: it is even in the file itself,
and odd as soon as the log is counted in. So a log that went missing shows, but one that any SQLite tool has folded into
the file in order does not.
This module must never fold a log whose last commit does not say so.
"""

from __future__ import annotations

import sqlite3
import zlib
from contextlib import closing, suppress
from io import FileIO
from pathlib import Path
from typing import Final, NamedTuple

from bulkstreams.ledger.format import open_file

LOG_PAGES: Final = 4000
"""Pages that the log is to grow to before it is folded: the longer it is, the fewer pages are written twice."""

_FIRST, _LEAST, _STEP = 16_384, 1000, 4
"""Changed rows after which it is folded: at first, at the least, and how much more or less at a time."""

_PATIENCE_MS: Final = 1000
"""How long sealing waits for whoever reads the ledger at that moment; then it is left unsealed."""

_VOLATILE: Final = ((24, 28), (40, 44), (92, 100))
"""Bytes of the header that mean nothing to us and that a faithful copy may change: counters and SQLite's version."""

_CHUNK: Final = 1 << 20


class Seal(NamedTuple):
    """The row as it stands; `page` is where it stands, the one page that no checksum covers."""

    ledger: str
    turn: int
    bytes: int | None
    sum: int | None
    page: int

    @property
    def needs_log(self) -> bool:
        """Return whether the file alone is not all there is."""
        return self.turn % 2 == 0


def read_seal(db: sqlite3.Connection) -> Seal | None:
    """Return the seal's row, or None where the ledger's format knows none; raise sqlite3.Error where it is damaged."""
    if db.execute("PRAGMA user_version").fetchone()[0] < 2:
        return None
    sql = "SELECT seal.*, rootpage FROM seal, sqlite_schema WHERE name = 'seal'"
    try:
        row = db.execute(sql).fetchone()
    except UnicodeDecodeError:
        row = None
    if row is None or not isinstance(row[1], int):
        raise sqlite3.DatabaseError("the row of its seal is malformed")
    return Seal._make(row)


def free_of_log(db: sqlite3.Connection) -> None:
    """Say in a copy that it does without a write-ahead log, whatever the original said at that instant."""
    if read_seal(db) is not None:
        db.execute("UPDATE seal SET turn = turn | 1")
        db.commit()


class Folding:
    """Breaks the seal before the first commit, and folds the write-ahead log into the file now and then.

    For the writer's thread alone, and outside of a transaction.
    """

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self._folded_at: int | None = None
        self._every = _FIRST

    @property
    def begun(self) -> bool:
        """Return whether the seal is broken."""
        return self._folded_at is not None

    def fold_if_due(self) -> None:
        """Fold the log if enough was written since the last time, or nothing ever was; call it before every batch.

        What the file says by itself becomes even with this, what it says with its log stays odd but for an instant.
        """
        changed = self._db.total_changes - (self._folded_at or 0)
        if self._folded_at is not None and changed < self._every:
            return
        self._db.execute("UPDATE seal SET turn = (turn | 1) + 1, bytes = NULL, sum = NULL")
        # The first time, what the file says by itself must change, or it would pass for sealed without its log.
        mode = "PASSIVE" if self.begun else "FULL"
        busy, pages, _ = self._db.execute(f"PRAGMA wal_checkpoint({mode})").fetchone()
        self._db.execute("UPDATE seal SET turn = turn + 1")
        if busy and not self.begun:
            raise _locked()
        if self._folded_at is not None:
            # How many rows make a page differs from one kind of work to the next; the last time tells best.
            wanted = changed * LOG_PAGES // max(pages, 1)
            self._every = max(_LEAST, self._every // _STEP, min(wanted, self._every * _STEP))
        self._folded_at = self._db.total_changes


def _locked() -> sqlite3.OperationalError:
    """Return the error of a reader that holds its transaction open for longer than we wait."""
    error = sqlite3.OperationalError("database is locked")
    error.sqlite_errorcode = sqlite3.SQLITE_BUSY
    return error


def close_sealed(db: sqlite3.Connection, path: Path) -> None:
    """Seal the ledger at `path` and close its writing connection; an unsealed one is as good, but slower to check."""
    with path.open("rb", buffering=0) as file:  # closed after the connection: see `format.check_header`
        try:
            db.execute(f"PRAGMA busy_timeout = {_PATIENCE_MS}")
            busy = db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
            seal = read_seal(db)
            if not busy and seal is not None:
                db.execute("UPDATE seal SET bytes = ?, sum = ?", checksum(file, seal.page, _page_size(db)))
        finally:
            db.close()


def close_unfolded(db: sqlite3.Connection, path: Path) -> None:
    """Close a connection that could not write, and leave the write-ahead log as it is, for the next run to find."""
    with suppress(sqlite3.Error), closing(open_file(path, "ro")) as other:
        other.execute("SELECT 1 FROM seal").fetchone()  # SQLite folds the log only where nobody else has the file open
        db.close()
    db.close()


def _page_size(db: sqlite3.Connection) -> int:
    return int(db.execute("PRAGMA page_size").fetchone()[0])


def intact(db: sqlite3.Connection, path: Path, seal: Seal) -> bool:
    """Return whether the file at `path` is as it was sealed; a transaction of `db` must keep it from being written."""
    with path.open("rb", buffering=0) as file:
        return checksum(file, seal.page, _page_size(db)) == (seal.bytes, seal.sum)


def checksum(file: FileIO, page: int, size: int) -> tuple[int, int]:
    """Return the length of a ledger's file and the CRC-32 of all that must not change, the seal's page left out."""
    holes = [*_VOLATILE, ((page - 1) * size, page * size)]
    buffer = bytearray(_CHUNK)
    view = memoryview(buffer)
    at = total = 0
    while count := file.readinto(view):
        for start, end in holes:
            low, high = max(start - at, 0), min(end - at, count)
            if low < high:
                view[low:high] = bytes(high - low)
        total = zlib.crc32(view[:count], total)
        at += count
    return at, total
