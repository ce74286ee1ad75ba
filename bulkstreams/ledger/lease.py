"""The lease of a ledger: a lock of the operating system beside the file, which vanishes with the process that has it.

Who writes takes it, everybody else only asks whether somebody has it. This module must never open a ledger to write.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from filelock import FileLock, Timeout

from bulkstreams.errors import LedgerHeldError, LedgerWriteError
from bulkstreams.ledger import format as ledger_format


def take(path: Path) -> FileLock:
    """Take the lease of the ledger at `path`, which need not be there yet, until it is released.

    Raises LedgerHeldError (a live process has it), LedgerWriteError (its folder cannot be written).
    """
    # Who only asks whether it is held holds it for an instant, too.
    lease = FileLock(_beside(path), timeout=0.2, poll_interval=0.02, mode=0o600)
    try:
        lease.acquire()
    except Timeout:
        raise LedgerHeldError(
            f"the ledger {path} is held by a live process{_holder(path)}.",
            hint="Wait for it to end, or stop it; then run the same command again. To look at it: "
            f"bulkstreams status {path}",
        ) from None
    except OSError as error:
        raise LedgerWriteError(
            f"the ledger {path} cannot be used: {error.strerror or error}.",
            hint="Check that its folder exists and can be written, or choose another with --ledger FILE.",
        ) from None
    return lease


def is_held(path: Path) -> bool:
    """Return whether a live process has the lease of the ledger at `path`."""
    lock = Path(_beside(path))
    if not lock.exists():
        return False
    try:
        with FileLock(lock, timeout=0, mode=0o600):
            return False
    except Timeout:
        return True
    except OSError:
        return False


def _beside(path: Path) -> str:
    return f"{os.path.realpath(path)}.lock"


def _holder(path: Path) -> str:
    with suppress(Exception):
        db = ledger_format.connect(path, read_only=True)
        try:
            pid, host = db.execute("SELECT pid, host FROM run ORDER BY id DESC LIMIT 1").fetchone()
        finally:
            db.close()
        return f" (process {pid} on {host})"
    return ""
