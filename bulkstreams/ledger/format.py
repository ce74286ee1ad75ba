"""The ledger's file: how it is made, brought up to our format, opened and refused; what is in it is `tables`'.

A new ledger is built under another name and moved into place whole, so a file that is there but is no ledger is never
one of ours that was cut short, and is refused. This module must never guess: what it cannot read, it will not touch.
"""

from __future__ import annotations

import os
import shlex
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final
from urllib.parse import quote

from bulkstreams.errors import LedgerError, LedgerFormatError, LedgerFullError, LedgerWriteError, NoLedgerError
from bulkstreams.ledger.tables import APPLICATION_ID, SCHEMA, UPGRADES, VERSION

_MAGIC: Final = b"SQLite format 3\x00"

_OTHER_FILE: Final = "Keep the file, and run again with another --ledger FILE."

_DAMAGE: Final = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_FORMAT})

_DAMAGE_WORDS: Final = ("malformed", "no such table", "no such column", "unsupported file format", "decode to UTF-8")
"""What SQLite or its Python module say of damage without the code of damage."""


def ensure(path: Path) -> None:
    """Create the ledger at `path` where there is none; check that what is there may be a ledger.

    Only for who holds the lease: no connection of this process may be open on the file (see `check_header`).
    """
    try:
        if not path.exists():
            _set_aside(path)
            _create(path)
        check_header(path)
    except PermissionError as error:
        raise LedgerWriteError(
            f"the ledger {path} cannot be read and written: {error.strerror}.",
            hint=f"Check who owns {path} and its folder, or choose another place with --ledger FILE.",
        ) from None
    except OSError as error:
        raise LedgerWriteError(
            f"the ledger {path} cannot be made or read: {error.strerror or error}.",
            hint="Choose a folder that exists, with room, with --ledger FILE.",
        ) from None


def connect(path: Path, *, read_only: bool = False) -> sqlite3.Connection:
    """Open the ledger at `path`, or raise LedgerFormatError where it is damaged, foreign or newer than we are.

    A ledger of an older format is brought up to ours, except where it is only read.
    """
    mode = "ro" if read_only else "rw"
    if read_only and not os.access(path.absolute().parent, os.W_OK) and not path.with_name(f"{path.name}-wal").exists():
        # SQLite wants to make its helper files beside a ledger even to read it; where nobody writes, it need not.
        mode = "ro&immutable=1"
    with told(path):
        db = open_file(path, mode)
        try:
            version = _check_version(db, path)
            if not read_only:
                db.execute("PRAGMA synchronous = FULL")
                db.execute("PRAGMA cache_size = -8192")
                db.execute("PRAGMA wal_autocheckpoint = 0")  # `seal` says when
                _upgrade(db, version)
        except BaseException:
            db.close()
            raise
    return db


def open_file(path: Path, mode: str) -> sqlite3.Connection:
    """Open a connection in one of SQLite's modes, and ask nothing of what is there."""
    return sqlite3.connect(
        f"file:{quote(os.fsencode(path.absolute()))}?mode={mode}",
        uri=True,
        isolation_level=None,
        check_same_thread=False,
        timeout=10.0,
    )


@contextmanager
def told(path: Path) -> Iterator[None]:
    """Tell an error of SQLite, while the context lasts, as one of ours."""
    try:
        yield
    except sqlite3.Error as error:
        raise unusable(path, error) from None
    except UnicodeDecodeError:
        raise refusal(path, "is damaged: a text in it is none") from None


def unusable(path: Path, error: sqlite3.Error) -> LedgerError:
    """Translate an error of SQLite into ours: damage is one thing, a disk that cannot be written another."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code in _DAMAGE or any(word in str(error) for word in _DAMAGE_WORDS):
        return refusal(path, f"is damaged ({error})")
    if code == sqlite3.SQLITE_FULL:
        return LedgerFullError(
            f"the disk that holds the ledger {path} is full; nothing was sent that is not noted there.",
            hint="Make room, then run the same command again: it resumes.",
        )
    if code == sqlite3.SQLITE_CANTOPEN:
        return LedgerWriteError(
            f"the ledger {path} cannot be opened: its folder cannot be written, or is gone.",
            hint=f"Copy {path.name} and the files beside it whose names begin so to a folder of yours; use it there.",
        )
    if code == sqlite3.SQLITE_BUSY:
        return LedgerWriteError(
            f"the ledger {path} is locked by another program.",
            hint="Close the tool that holds a transaction open on it, then run the same command again.",
        )
    return LedgerWriteError(
        f"the ledger {path} cannot be used ({error}).",
        hint="Check the disk and the file's permissions, then run the same command again: it resumes.",
    )


def refusal(path: Path, what: str) -> LedgerFormatError:
    """Return the error that says that the file is not what it was, and what to do next."""
    other = path.with_name(f"new.{path.name}")
    return LedgerFormatError(
        f"the ledger {path} {what}.",
        hint=f"Keep the file; `sqlite3 -readonly {shlex.quote(str(path))} 'PRAGMA integrity_check'` shows what is left "
        f"of it. To go on, run again with another --ledger FILE, as in --ledger {shlex.quote(str(other))}: streams "
        "that are at the tenant already are recognised there and not created twice.",
    )


def _set_aside(path: Path) -> None:
    """Keep the write-ahead log of a ledger that is gone, where the one to be made does not take it for its own."""
    log = path.with_name(f"{path.name}-wal")
    if log.exists():
        log.replace(path.with_name(f"{path.name}-wal.orphan"))
    path.with_name(f"{path.name}-shm").unlink(missing_ok=True)


def _create(path: Path) -> None:
    draft = path.with_name(f".{path.name}.new-{os.getpid()}")
    try:
        os.close(os.open(draft, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
        db = sqlite3.connect(draft, isolation_level=None)
        try:
            db.execute("PRAGMA page_size = 4096")
            db.execute("PRAGMA journal_mode = WAL")
            db.executescript(SCHEMA)
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()  # closing would fail at this in silence
        finally:
            db.close()
        os.link(draft, path)  # never replaces a ledger that another process has just made
        _sync_folder(path.parent)
    except FileExistsError:
        pass
    except sqlite3.Error as error:
        raise unusable(path, error) from None
    finally:
        for name in (draft.name, f"{draft.name}-wal", f"{draft.name}-shm"):
            draft.with_name(name).unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def check_header(path: Path) -> None:
    """Raise LedgerFormatError where the file at `path` cannot be a ledger, OSError where it cannot be read.

    It reads the file past SQLite, so no connection of this process may be open on it: closing a file takes away every
    lock that its process has on it, and a tool that then looks at the ledger would throw away the write-ahead log.
    """
    if path.is_dir():
        raise LedgerFormatError(f"{path} is a folder, not a ledger.", hint="Name a file with --ledger FILE.")
    with path.open("rb") as file:
        head = file.read(100)
    if len(head) == 100 and head.startswith(_MAGIC):
        return
    what = "is empty" if not head else "is not a bulkstreams ledger"
    raise NoLedgerError(f"{path} {what}.", hint=_OTHER_FILE)


def _check_version(db: sqlite3.Connection, path: Path) -> int:
    application = db.execute("PRAGMA application_id").fetchone()[0]
    version: int = db.execute("PRAGMA user_version").fetchone()[0]
    if application != APPLICATION_ID:
        raise NoLedgerError(f"{path} is an SQLite file, but not a bulkstreams ledger.", hint=_OTHER_FILE)
    if version > VERSION:
        raise LedgerFormatError(
            f"the ledger {path} is of format {version}; this bulkstreams knows formats up to {VERSION}.",
            hint="Install the newest bulkstreams, or use another --ledger FILE.",
        )
    if version < 1:
        raise refusal(path, f"is damaged (its format is given as {version})")
    return version


def _upgrade(db: sqlite3.Connection, version: int) -> None:
    if version < VERSION:
        steps = "".join(UPGRADES[version - 1 :])
        db.executescript(f"BEGIN IMMEDIATE; {steps} PRAGMA user_version = {VERSION}; COMMIT;")
