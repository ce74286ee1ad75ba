"""The tables of a ledger: as a new one is made, and what makes a ledger of an older format one of ours.

A table of ours is a promise to every tool that reads a ledger, and to every ledger that is there already. This module
must never change what a format was: it adds one, and the step to it.
"""

from __future__ import annotations

from typing import Final

APPLICATION_ID: Final = 0x62756C6B  # "bulk", in the header of every ledger (see `file`'s magic for SQLite)
VERSION: Final = 3

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
    allowed    REAL,                      -- requests a second, of those tenants at work that said it; null: none did
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

UPGRADES: Final = (
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
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT) WITHOUT ROWID;  -- `tenants`', `errands`' and `notes`'
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
