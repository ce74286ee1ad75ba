"""The ledger's file: its tables, its version, how it is made, opened and refused.

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

APPLICATION_ID: Final = 0x62756C6B  # "bulk", in the header of every ledger (see `file`'s magic for SQLite)
VERSION: Final = 3
DEFAULT_TENANT: Final = "default_address"
"""Under which `meta` has the address of the tenant of lines that name none."""

_MAGIC: Final = b"SQLite format 3\x00"

_SEAL: Final = """
CREATE TABLE seal (                       -- one row; what it means is `seal`'s and `damage`'s
    ledger TEXT NOT NULL,                 -- which ledger this is: a write-ahead log of another one is told by it
    turn   INTEGER NOT NULL,              -- even: the file alone is not all, the write-ahead log must be there too
    bytes  INTEGER,                       -- how long the file is, and its checksum; null: nobody closed it in order
    sum    INTEGER
);
INSERT INTO seal VALUES (lower(hex(randomblob(8))), 1, NULL, NULL);
"""

_ALIAS: Final = """
CREATE INDEX record_alias ON record (tenant, name, digest) WHERE key <> coalesce(name, '');
"""

_ERRAND: Final = """
CREATE TABLE errand (                     -- what was done, or is to be, with a stream after it was created
    id         INTEGER PRIMARY KEY,
    record     INTEGER NOT NULL REFERENCES record,
    tenant     INTEGER NOT NULL REFERENCES tenant,
    kind       TEXT NOT NULL,             -- 'undo', 'enable', 'disable', 'smoke'
    remote_id  TEXT NOT NULL,             -- the stream; a record that was undone and created anew has had several
    created_at REAL,                      -- when the record was settled as created with this stream
    state      TEXT NOT NULL,
    attempts   INTEGER NOT NULL DEFAULT 0,
    http_status INTEGER,
    error_code TEXT,
    message    TEXT,
    event      TEXT,                      -- of a smoke test: the type of the event that was sent
    delivery   TEXT,                      -- of a smoke test: the id under which its delivery is known
    intent_at  REAL,                      -- when an intent to act on the stream became durable
    settled_at REAL,
    latency_ms REAL,
    run        INTEGER,
    UNIQUE (record, kind, remote_id)
);
CREATE INDEX errand_pending ON errand (kind, tenant, id) WHERE state = 'pending';
"""

_COURSE: Final = """
CREATE TABLE course (                     -- what a run asked of its tenants, but for stretches of nothing
    run        INTEGER NOT NULL REFERENCES run,
    began_at   REAL NOT NULL,
    seconds    REAL NOT NULL,
    requests   INTEGER NOT NULL,
    retries    INTEGER NOT NULL,
    throttled  INTEGER NOT NULL,          -- answered 429
    lookups    INTEGER NOT NULL,
    allowed    REAL,                      -- requests a second, of all tenants at work together; null: nobody knew
    PRIMARY KEY (run, began_at)
) WITHOUT ROWID;
CREATE TABLE pause (                      -- when nothing went to a tenant
    run        INTEGER NOT NULL REFERENCES run,
    tenant     INTEGER NOT NULL REFERENCES tenant,
    kind       TEXT NOT NULL,             -- 'throttled': after a 429; 'unreachable': it did not answer
    began_at   REAL NOT NULL,
    ended_at   REAL NOT NULL,             -- of the pause that a run died in: when it was to end
    seconds    REAL NOT NULL,             -- that it paused: what lies close together is one row
    pauses     INTEGER NOT NULL,
    reason     TEXT NOT NULL,             -- of the last of them
    PRIMARY KEY (run, tenant, kind, began_at)
) WITHOUT ROWID;
"""

STANDING: Final = "CREATE INDEX IF NOT EXISTS record_standing ON record (tenant, remote_id) WHERE anchor IS NOT NULL"
"""Makes an index that few ledgers need, and no format has: which records stand for some streams."""

HAS_ERRANDS: Final = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'errand'"
"""Asks whether a ledger is of a format that has errands, the course of its runs and what was in force in them: one
that is only read stays as old as it is."""

_UPGRADES: Final = (
    f"""{_SEAL}
ALTER TABLE tenant ADD COLUMN surveyed INTEGER;
ALTER TABLE record ADD COLUMN ours_since REAL;
ALTER TABLE record ADD COLUMN anchor_name TEXT;
UPDATE record SET anchor_name = name WHERE anchor_digest IS NOT NULL;
UPDATE record SET ours_since = coalesce(first_sent_at, intent_at)
 WHERE state IN ('in_flight', 'in_doubt') AND NOT (http_status IS 409 AND attempts <= 1);
{_ALIAS}""",  # noqa: S608
    f"""{_ERRAND}
ALTER TABLE tenant ADD COLUMN refers INTEGER NOT NULL DEFAULT 0;
ALTER TABLE record ADD COLUMN status TEXT;
ALTER TABLE record ADD COLUMN updated_at TEXT;
ALTER TABLE run ADD COLUMN command TEXT;
ALTER TABLE run ADD COLUMN settings TEXT;
{_COURSE}""",
)
"""What makes a ledger of format N one of format N + 1, from N = 1 on."""

SCHEMA: Final = f"""
PRAGMA application_id = {APPLICATION_ID};
PRAGMA user_version = {VERSION};

CREATE TABLE tenant (
    id      INTEGER PRIMARY KEY,
    name    TEXT NOT NULL UNIQUE,
    address TEXT NOT NULL,                -- where it was when the ledger first met it; it must stay there
    surveyed INTEGER,                     -- the last record that was looked for there before it was sent
    refers  INTEGER NOT NULL DEFAULT 0    -- 1: lines name its actions, which are looked up before anything is sent
);
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT) WITHOUT ROWID;  -- `ledger`'s and `notes`'
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
    command    TEXT,                      -- 'run', 'undo', …
    settings   TEXT,                      -- JSON (see `in_force`): what was in force, without secrets
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
    anchor_name   TEXT,                   -- the name that was sent; it counts where there is an `anchor_digest`
    run           INTEGER,                -- the run that last sent or settled it
    duplicate_of  INTEGER,
    status        TEXT,                   -- what the last attempt gave its stream in place of the line's status
    updated_at    TEXT                    -- its stream's own, as our last change of it left that; null: as created
);
CREATE UNIQUE INDEX record_key ON record (tenant, key);
CREATE INDEX record_pending ON record (tenant, id) WHERE state = 'pending';
CREATE INDEX record_doubt ON record (tenant, id) WHERE state = 'in_doubt';
{_ALIAS}CREATE INDEX record_keyless ON record (reading) WHERE key IS NULL;
CREATE VIEW results AS
    SELECT input.path AS file, record.line, coalesce(record.key, first.key) AS key, tenant.name AS tenant,
           record.name, record.state, record.remote_id, record.attempts, record.http_status, record.error_code,
           record.message, record.first_sent_at, record.settled_at, record.latency_ms, record.recovered,
           record.id, record.reading, record.offset, record.length, record.digest, record.input
      FROM record JOIN input ON input.id = record.input
      LEFT JOIN tenant ON tenant.id = record.tenant
      LEFT JOIN record AS first ON first.id = record.duplicate_of;
{_ERRAND}{_COURSE}{_SEAL}"""  # noqa: S608


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
        f"file:{quote(str(path.absolute()))}?mode={mode}",
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
        steps = "".join(_UPGRADES[version - 1 :])
        db.executescript(f"BEGIN IMMEDIATE; {steps} PRAGMA user_version = {VERSION}; COMMIT;")
