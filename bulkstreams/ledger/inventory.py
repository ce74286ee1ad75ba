"""What stands at the tenants, as listings showed it, held against a ledger's records: which stream is whose.

A file of its own beside the copy of a ledger, so that neither list has to fit into memory; both are thrown away. A
record finds its stream by the id that the ledger knows, else by its name, or, where it has none, by its definition.
This module must never write to a ledger, nor keep of a stream what the caller did not make fit to be kept.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Final, NamedTuple, Self
from urllib.parse import quote

from bulkstreams.ledger import format as ledger_format
from bulkstreams.model import State, TenantName

_SCHEMA: Final = """
PRAGMA journal_mode = OFF;                -- what is thrown away needs no safety
PRAGMA synchronous = OFF;
CREATE TABLE live (
    n      INTEGER PRIMARY KEY,           -- in the order in which the API lists them
    tenant INTEGER NOT NULL,
    id     TEXT NOT NULL,
    name   TEXT,
    digest BLOB NOT NULL,
    alias  BLOB,                          -- the digest with its action's name in place of the id
    shown  BLOB NOT NULL,                 -- JSON
    taken  INTEGER NOT NULL DEFAULT 0,
    UNIQUE (tenant, id)
);
CREATE INDEX live_name ON live (tenant, name);
CREATE TABLE listed (tenant INTEGER PRIMARY KEY);
CREATE TABLE record (
    id INTEGER PRIMARY KEY, tenant INTEGER, input INTEGER, line INTEGER, offset INTEGER, length INTEGER, key TEXT,
    name TEXT, state TEXT, digest BLOB, remote_id TEXT, status TEXT, message TEXT, live INTEGER
);
"""

_RECORDS: Final = """
    INSERT INTO record
    SELECT id, tenant, input, line, offset, length, key, name, state, digest,
           CASE WHEN anchor IS NOT NULL THEN remote_id END, CASE anchor WHEN 'created' THEN status END, message, NULL
      FROM ledger.record WHERE reading = ? AND state <> 'duplicate'"""

_BY_ID: Final = """
    UPDATE record SET live = (SELECT n FROM live WHERE live.tenant = record.tenant AND live.id = record.remote_id)
     WHERE remote_id IS NOT NULL"""

_IN_TURN: Final = """
    WITH r AS MATERIALIZED (SELECT id, tenant, {mine} AS mark, row_number() OVER (PARTITION BY tenant, {mine}
                                ORDER BY id) AS k FROM record WHERE live IS NULL AND name IS {some}),
         l AS MATERIALIZED (SELECT n, tenant, {its} AS mark, row_number() OVER (PARTITION BY tenant, {its}
                                ORDER BY n) AS k FROM live WHERE NOT taken AND name IS {some})
    UPDATE record SET live = l.n FROM r JOIN l USING (tenant, mark, k) WHERE record.id = r.id"""
"""Of several records and several streams with the same mark, the first takes the first, and so on."""

_STEPS: Final = (
    _BY_ID,
    _IN_TURN.format(mine="(name || hex(digest))", its="(name || hex(digest))", some="NOT NULL"),
    _IN_TURN.format(mine="(name || hex(digest))", its="(name || hex(alias))", some="NOT NULL"),
    _IN_TURN.format(mine="name", its="name", some="NOT NULL"),
    """UPDATE record SET live = (SELECT min(n) FROM live WHERE live.tenant = record.tenant AND live.name = record.name)
        WHERE live IS NULL AND name IS NOT NULL""",  # the name is taken, by another record's stream
    _IN_TURN.format(mine="digest", its="digest", some="NULL"),
    _IN_TURN.format(mine="digest", its="alias", some="NULL"),
)

_TAKE: Final = "UPDATE live SET taken = 1 WHERE n IN (SELECT live FROM record)"

_INDEXES: Final = """
CREATE INDEX record_line ON record (input, line);
CREATE INDEX record_live ON record (live);
CREATE INDEX record_name ON record (tenant, name);
CREATE INDEX record_digest ON record (tenant, digest);
"""

_PAIRS: Final = """
    SELECT record.id, t.name, input, line, offset, length, key, record.name, state, record.digest, status, message,
           listed.tenant IS NOT NULL, live.id, record.digest IN (live.digest, live.alias), live.shown
      FROM record LEFT JOIN live ON live.n = record.live LEFT JOIN ledger.tenant AS t ON t.id = record.tenant
      LEFT JOIN listed ON listed.tenant = record.tenant"""

_RIVALS: Final = """
    SELECT id, first FROM (SELECT id, first_value(id) OVER (PARTITION BY tenant, name ORDER BY id) AS first
                             FROM record WHERE state = 'pending' AND name IS NOT NULL AND live IS NULL)
     WHERE id <> first ORDER BY id"""

_NAMED: Final = """
    CASE WHEN live.name IS NOT NULL
         THEN EXISTS (SELECT 1 FROM record WHERE record.tenant = live.tenant AND record.name = live.name)
         ELSE EXISTS (SELECT 1 FROM record WHERE record.tenant = live.tenant AND record.name IS NULL
                                             AND record.digest IN (live.digest, live.alias)) END"""


class Live(NamedTuple):
    """A stream as a listing showed it; `shown` is what may be kept of it, as JSON (see `core.difference.kept`)."""

    id: str
    name: str | None
    digest: bytes
    alias: bytes | None
    shown: bytes


class Pair(NamedTuple):
    """A record of the input, and the stream that stands for it at its tenant (`live_id` None: there is none).

    `status` is what its stream was given in place of the line's. `same`: the stream has the line's digest.
    `was_listed`: its tenant's streams were seen to their end, so that what was not seen is not there.
    """

    id: int
    tenant: str | None
    input: int
    line: int
    offset: int
    length: int
    key: str | None
    name: str | None
    state: State
    digest: bytes | None
    status: str | None
    message: str | None
    was_listed: bool
    live_id: str | None
    same: bool
    shown: bytes | None


class Surplus(NamedTuple):
    """A stream that stands for no record. `is_named`: a record has its name, or is nameless and looks like it."""

    tenant: str
    id: str
    name: str | None
    is_named: bool


class Inventory:
    """The streams of all tenants that were listed, beside the ledger at `ledger`, which somebody holds open."""

    def __init__(self, path: Path, ledger: Path) -> None:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
        self._path = path
        with ledger_format.told(path):
            self._db = ledger_format.open_file(path, "rw")
            self._db.executescript(_SCHEMA)
            self._db.execute("ATTACH ? AS ledger", (f"file:{quote(os.fsencode(ledger.absolute()))}?mode=ro",))
        self._ids: dict[str, int] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._db.close()

    def add(self, tenant: TenantName, streams: Iterable[Live]) -> None:
        """Keep a page of a tenant's streams; one that an earlier page has shown is passed over."""
        rows = [(self._tenant(tenant), *one) for one in streams]
        sql = (
            "INSERT INTO live (tenant, id, name, digest, alias, shown) VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING"
        )
        with ledger_format.told(self._path):
            self._db.execute("BEGIN")
            self._db.executemany(sql, rows)
            self._db.execute("COMMIT")

    def listed(self, tenant: TenantName) -> None:
        """Note that a tenant's streams were seen to their end."""
        self._db.execute("INSERT OR IGNORE INTO listed VALUES (?)", (self._tenant(tenant),))

    def _tenant(self, name: str) -> int:
        if name not in self._ids:
            found = self._db.execute("SELECT id FROM ledger.tenant WHERE name = ?", (name,)).fetchone()
            self._ids[name] = found[0]
        return self._ids[name]

    def pair(self, reading: int) -> None:
        """Find each record of a reading its stream; to be called once, when all tenants were listed."""
        with ledger_format.told(self._path):
            self._db.execute(_RECORDS, (reading,))
            for step in _STEPS:
                self._db.execute(step)
                self._db.execute(_TAKE)
            self._db.executescript(_INDEXES)

    def pairs(self, inputs: Iterable[int], states: Iterable[State] = tuple(State)) -> Iterator[Pair]:
        """Yield the records of these inputs, in the order of their lines; those in `states` alone."""
        wanted = ", ".join(f"'{state.value}'" for state in states)
        for input_ in inputs:
            yield from self._pairs(input_, wanted)

    def _pairs(self, input_: int, states: str) -> Iterator[Pair]:
        for row in self._db.execute(f"{_PAIRS} WHERE input = ? AND state IN ({states}) ORDER BY line", (input_,)):
            yield _pair(row)

    def rivals(self) -> Iterator[tuple[Pair, Pair]]:
        """Yield each pending record whose name another one bears that is sent before it, and that one."""
        for later, first in self._db.execute(_RIVALS):
            yield self._by_id(later), self._by_id(first)

    def _by_id(self, id_: int) -> Pair:
        return _pair(self._db.execute(f"{_PAIRS} WHERE record.id = ?", (id_,)).fetchone())

    def surplus(self) -> Iterator[Surplus]:
        """Yield the streams that stand for no record, tenant by tenant in the API's order."""
        for tenant, id_, name, named in self._db.execute(
            f"""SELECT t.name, live.id, live.name, {_NAMED} FROM live JOIN ledger.tenant AS t ON t.id = live.tenant
                 WHERE NOT taken ORDER BY live.tenant, n"""  # noqa: S608 - our own words
        ):
            yield Surplus(tenant, id_, name, bool(named))


def _pair(row: tuple[Any, ...]) -> Pair:
    pair = Pair._make(row)
    return pair._replace(state=State(pair.state), was_listed=bool(pair.was_listed), same=bool(pair.same))
