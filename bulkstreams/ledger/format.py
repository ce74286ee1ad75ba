"""The ledger's file: its tables, its version, how it is made, opened and refused.

A new ledger is built under another name and moved into place whole, so a file that is there but is no ledger is never
one of ours that was cut short, and is refused. This module must never guess: what it cannot read, it will not touch.
"""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path
from typing import Final
from urllib.parse import quote

from bulkstreams.errors import LedgerError, LedgerFormatError, LedgerWriteError

APPLICATION_ID: Final = 0x62756C6B  # "bulk", in the header of every ledger (see `file`'s magic for SQLite)
VERSION: Final = 1
_MAGIC: Final = b"SQLite format 3\x00"

SCHEMA: Final = f"""
PRAGMA application_id = {APPLICATION_ID};
PRAGMA user_version = {VERSION};

CREATE TABLE tenant (
    id      INTEGER PRIMARY KEY,
    name    TEXT NOT NULL UNIQUE,
    address TEXT NOT NULL,                -- where it was when the ledger first met it; it must stay there
    surveyed INTEGER                      -- the last record that was looked for there before it was sent
);
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT) WITHOUT ROWID;
CREATE TABLE input (id INTEGER PRIMARY KEY, path TEXT NOT NULL UNIQUE);
CREATE TABLE reading (                    -- one pass over the inputs of a run
    id           INTEGER PRIMARY KEY,
    source       TEXT NOT NULL,           -- JSON: the inputs with their fingerprints, the rules in force
    started_at   REAL NOT NULL,           -- every instant here is in seconds since 1970, UTC
    completed_at REAL
);
CREATE TABLE run (
    id         INTEGER PRIMARY KEY,
    name       TEXT NOT NULL,
    reading    INTEGER REFERENCES reading,
    pid        INTEGER NOT NULL,
    host       TEXT NOT NULL,
    started_at REAL NOT NULL,
    ended_at   REAL,                      -- null: it runs, or it died
    exit_code  INTEGER,
    requests   INTEGER NOT NULL DEFAULT 0,
    retries    INTEGER NOT NULL DEFAULT 0,
    throttled  INTEGER NOT NULL DEFAULT 0,
    lookups    INTEGER NOT NULL DEFAULT 0,
    stopped    TEXT                       -- JSON: the tenants that were stopped, and why
);
CREATE TABLE record (
    id            INTEGER PRIMARY KEY,
    tenant        INTEGER REFERENCES tenant,
    key           TEXT,                   -- null: a duplicate, or a line too broken to have one
    name          TEXT,
    input         INTEGER NOT NULL REFERENCES input,
    line          INTEGER NOT NULL,
    offset        INTEGER NOT NULL,       -- bytes; the ledger points into the input and copies none of it
    length        INTEGER NOT NULL,
    reading       INTEGER NOT NULL,       -- the last reading that met it
    state         TEXT NOT NULL,
    digest        BLOB,                   -- of the definition without its secrets
    attempts      INTEGER NOT NULL DEFAULT 0,
    remote_id     TEXT,
    http_status   INTEGER,
    error_code    TEXT,
    message       TEXT,
    first_sent_at REAL,
    intent_at     REAL,
    ours_since    REAL,                   -- by the server's clock: a stream made since then may be an attempt's work
    settled_at    REAL,
    latency_ms    REAL,
    recovered     INTEGER NOT NULL DEFAULT 0,
    anchor        TEXT,                   -- 'created' or 'exists': a stream stands at the tenant for this record
    anchor_digest BLOB,                   -- of the definition that was sent, where `digest` has changed since
    run           INTEGER,                -- the run that last sent or settled it
    duplicate_of  INTEGER
);
CREATE UNIQUE INDEX record_key ON record (tenant, key);
CREATE INDEX record_pending ON record (tenant, id) WHERE state = 'pending';
CREATE INDEX record_doubt ON record (tenant, id) WHERE state = 'in_doubt';
CREATE INDEX record_alias ON record (tenant, name, digest) WHERE key <> coalesce(name, '');
CREATE INDEX record_keyless ON record (reading) WHERE key IS NULL;
CREATE VIEW results AS
    SELECT input.path AS file, record.line, coalesce(record.key, first.key) AS key, tenant.name AS tenant,
           record.name, record.state, record.remote_id, record.attempts, record.http_status, record.error_code,
           record.message, record.first_sent_at, record.settled_at, record.latency_ms, record.recovered,
           record.id, record.reading, record.offset, record.length, record.digest, record.input
      FROM record JOIN input ON input.id = record.input
      LEFT JOIN tenant ON tenant.id = record.tenant
      LEFT JOIN record AS first ON first.id = record.duplicate_of;
"""  # noqa: S608

_REMEDY = (
    "Keep the file, and run again with another --ledger FILE: streams that are already at the tenant are "
    "recognised there and not created twice."
)


def ensure(path: Path) -> None:
    """Create the ledger at `path` where there is none; check that what is there is a ledger that we can read."""
    try:
        if not path.exists():
            _create(path)
        _check_header(path)
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
    """Open the ledger at `path`, or raise LedgerFormatError where it is damaged, foreign or newer than we are."""
    mode = "ro" if read_only else "rw"
    if read_only and not os.access(path.absolute().parent, os.W_OK) and not path.with_name(f"{path.name}-wal").exists():
        # SQLite wants to make its helper files beside a ledger even to read it; where nobody writes, it need not.
        mode = "ro&immutable=1"
    try:
        db = sqlite3.connect(
            f"file:{quote(str(path.absolute()))}?mode={mode}",
            uri=True,
            isolation_level=None,
            check_same_thread=False,
            timeout=10.0,
        )
        try:
            _check_version(db, path)
            if not read_only:
                db.execute("PRAGMA synchronous = FULL")
                db.execute("PRAGMA cache_size = -8192")
                db.execute("PRAGMA wal_autocheckpoint = 4000")
        except BaseException:
            db.close()
            raise
    except sqlite3.DatabaseError as error:
        raise unusable(path, error) from None
    return db


def unusable(path: Path, error: sqlite3.Error) -> LedgerError:
    """Translate an error of SQLite into ours: damage is one thing, a disk that cannot be written another."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB} or "malformed" in str(error):
        return LedgerFormatError(f"the ledger {path} is damaged ({error}).", hint=_REMEDY)
    if code == sqlite3.SQLITE_FULL:
        return LedgerWriteError(
            f"the disk that holds the ledger {path} is full; nothing was sent that is not noted there.",
            hint="Make room, then run the same command again: it resumes.",
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


def _create(path: Path) -> None:
    draft = path.with_name(f".{path.name}.new-{os.getpid()}")
    try:
        os.close(os.open(draft, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
        db = sqlite3.connect(draft, isolation_level=None)
        try:
            db.execute("PRAGMA page_size = 4096")
            db.execute("PRAGMA journal_mode = WAL")
            db.executescript(SCHEMA)
        finally:
            db.close()  # folds the write-ahead log into the file
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


def _check_header(path: Path) -> None:
    if path.is_dir():
        raise LedgerFormatError(f"{path} is a folder, not a ledger.", hint="Name a file with --ledger FILE.")
    with path.open("rb") as file:
        head = file.read(100)
    if len(head) == 100 and head.startswith(_MAGIC):
        return
    what = "is empty" if not head else "is not a bulkstreams ledger"
    raise LedgerFormatError(f"{path} {what}.", hint=_REMEDY)


def _check_version(db: sqlite3.Connection, path: Path) -> None:
    application = db.execute("PRAGMA application_id").fetchone()[0]
    version = db.execute("PRAGMA user_version").fetchone()[0]
    if application != APPLICATION_ID:
        raise LedgerFormatError(f"{path} is an SQLite file, but not a bulkstreams ledger.", hint=_REMEDY)
    if version > VERSION:
        raise LedgerFormatError(
            f"the ledger {path} is of format {version}; this bulkstreams knows formats up to {VERSION}.",
            hint="Install the newest bulkstreams, or use another --ledger FILE.",
        )
