"""A ledger that makes room for another of its name. This module must never move one that is in use, or not whole."""

from __future__ import annotations

from itertools import count
from pathlib import Path

from bulkstreams.errors import LedgerWriteError
from bulkstreams.ledger import lease


def put_aside(path: Path) -> Path | None:
    """Give the ledger at `path` the first free name of those that end in a number, and return it.

    None: its write-ahead log is not empty, without which it may not be whole, so it stays. Raises LedgerHeldError, and
    LedgerWriteError where its folder cannot be written.
    """
    held = lease.take(path)
    try:
        log, index = (path.with_name(f"{path.name}{end}") for end in ("-wal", "-shm"))
        if log.exists() and log.stat().st_size:
            return None
        names = (path.with_name(f"{path.name}.{number}") for number in count(1))
        target = next(name for name in names if not name.exists())
        path.rename(target)
        for left in (log, index):  # whoever only reads leaves them behind, with nothing in them
            left.unlink(missing_ok=True)
    except OSError as error:
        raise LedgerWriteError(
            f"the ledger {path} cannot be put aside: {error.strerror or error}.",
            hint="Check who owns its folder, or choose another with --ledger FILE.",
        ) from None
    finally:
        held.release()
    return target
