"""The statements of the hot path, claim, settle and look up: each handles a whole batch in a single step of SQLite.

They are plain functions of a connection, run by `writer` in its thread, inside its transaction. The rules of what may
follow what are `core.lifecycle`'s. This module must never run a statement for each record.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from functools import lru_cache
from itertools import chain
from typing import Final, NamedTuple

import orjson

from bulkstreams.core.metrics import Tally
from bulkstreams.model import Claim, Doubt, Key, Pending, Settlement, TenantName

MAX_VARIABLES: Final = 30_000  # SQLite's default limit is 32,766 to a statement


class Columns(NamedTuple):
    """Rows as SQLite is given them: `own` fields for each (their values one after the other), the rest once for all.

    Most of a batch is alike, and each value that is handed over costs as much as a tenth of writing its row.
    """

    own: tuple[str, ...]
    values: list[object]
    shared: dict[str, object]


def tell_apart(rows: Sequence[NamedTuple], always: str) -> Columns:
    """Tell apart what differs among rows (and `always`) from what is the same in all."""
    columns = dict(zip(rows[0]._fields, zip(*rows, strict=True), strict=True))
    own = tuple(name for name, values in columns.items() if name == always or values.count(values[0]) < len(values))
    values = list(chain.from_iterable(zip(*(columns[name] for name in own), strict=True)))
    return Columns(own, values, {name: values[0] for name, values in columns.items() if name not in own})


def as_values(rows: int, own: tuple[str, ...]) -> str:
    """Return the head of a statement that is given the `own` values of so many rows, as a table `v`."""
    one = f"({', '.join('?' * len(own))})"
    return f"WITH v ({', '.join(own)}) AS (VALUES {', '.join([one] * rows)})"


_CLAIMABLE: Final = """
    SELECT json_group_array(json_array(id, key, name, input, line, offset, length, CASE WHEN ? THEN hex(digest) END,
                                       attempts, first_sent_at, ours_since))
      FROM (SELECT id, key, name, input, line, offset, length, digest, attempts, first_sent_at, ours_since FROM record
             WHERE tenant = ? AND state = 'pending' AND reading = ? ORDER BY id LIMIT ?)"""

_CLAIM: Final = """
    UPDATE record SET state = 'in_flight', intent_at = ?, ours_since = coalesce(ours_since, ?), run = ?,
                      http_status = NULL, anchor_digest = NULL, status = ?
     WHERE tenant = ? AND state = 'pending' AND reading = ? AND id BETWEEN ? AND ?"""


def claim(
    db: sqlite3.Connection,
    tenant: int,
    name: TenantName,
    count: int,
    *,
    reading_id: int,
    run: int,
    now: float,
    server_now: float,
    digests: bool = True,
    status: str | None = None,
) -> list[Claim]:
    """Mark the tenant's next `count` pending records as in flight, and return them.

    `status` is what their streams will be given in place of their lines' own.
    Until an attempt's answer says otherwise, whatever is made at the tenant from `server_now` on may be its work.
    """
    rows = orjson.loads(db.execute(_CLAIMABLE, (digests, tenant, reading_id, count)).fetchone()[0])
    if not rows:
        return []
    db.execute(_CLAIM, (now, server_now, run, status, tenant, reading_id, rows[0][0], rows[-1][0]))
    return [
        Claim(
            id_, name, Key(key), stream, input_, line, offset, length, bytes.fromhex(digest or ""), attempts, first,
            server_now, since,
        )
        for id_, key, stream, input_, line, offset, length, digest, attempts, first, since in rows
    ]  # fmt: skip


_SETTLED: Final = (
    ("state", "state = {}"),
    ("attempts", "attempts = {}"),
    ("remote_id", "remote_id = coalesce({}, record.remote_id)"),
    ("http_status", "http_status = {}"),
    ("error_code", "error_code = {}"),
    ("message", "message = {}"),
    ("first_sent_at", "first_sent_at = coalesce(record.first_sent_at, {})"),
    ("settled_at", "settled_at = {}"),
    ("latency_ms", "latency_ms = {}"),
    ("recovered", "recovered = {}"),
    ("anchor", "anchor = {}"),
    ("ours_since", "ours_since = {}"),
    ("state", "anchor_digest = CASE WHEN record.state = 'in_doubt' AND {} <> 'pending' THEN record.anchor_digest END"),
)
"""What a settlement sets, and the field of it that stands in the gap."""


@lru_cache(maxsize=64)
def _settle_sql(rows: int, own: tuple[str, ...]) -> str:
    """Return the statement that takes the `own` values of so many rows, then what they share, gap by gap, and a run."""
    setting = ", ".join(text.format(f"v.{field}" if field in own else "?") for field, text in _SETTLED)
    return f"""
        {as_values(rows, own)}
        UPDATE record SET {setting}, run = ? FROM v WHERE record.id = v.id"""  # noqa: S608


_CHUNKS: Final = (1024, 256, 64, 16, 4, 1)
"""Sizes of statement that are kept compiled; a batch is cut into these."""


def settle(db: sqlite3.Connection, settlements: Sequence[Settlement], run: int) -> None:
    """Write what became of records in a run; of several that are about one record, the last counts."""
    settlements = list({one.id: one for one in settlements}.values())
    start = 0
    for size in _CHUNKS:
        while len(settlements) - start >= size:
            _settle(db, settlements[start : start + size], run)
            start += size


def _settle(db: sqlite3.Connection, settlements: Sequence[Settlement], run: int) -> None:
    own, values, shared = tell_apart(settlements, always="id")
    gaps = [shared[field] for field, _ in _SETTLED if field in shared]
    db.execute(_settle_sql(len(settlements), own), [*values, *gaps, run])


def add_to_run(db: sqlite3.Connection, run: int, tally: Tally) -> None:
    """Add what was counted since the last time to the run's own row."""
    db.execute(
        """UPDATE run SET requests = requests + ?, retries = retries + ?, throttled = throttled + ?,
                          lookups = lookups + ? WHERE id = ?""",
        (tally.requests, tally.retries, tally.throttled, tally.lookups, run),
    )


_PENDING: Final = """
    SELECT id, input, line, offset, length, attempts, first_sent_at, ours_since FROM record INDEXED BY record_pending
     WHERE tenant = ? AND state = 'pending' AND reading = ? AND id > ? ORDER BY id LIMIT ?"""


def pending(db: sqlite3.Connection, tenant: int, reading_id: int, after: int, count: int) -> list[Pending]:
    """Return the next `count` pending records of the tenant whose ids are greater than `after`."""
    return [Pending(*row) for row in db.execute(_PENDING, (tenant, reading_id, after, count))]


_JUDGED: Final = """
    SELECT json_group_array(json_array(id, CASE WHEN anchor_digest IS NULL THEN name ELSE anchor_name END,
                                       hex(coalesce(anchor_digest, digest)), hex(digest), attempts,
                                       first_sent_at, ours_since, http_status = 409,
                                       CASE error_code WHEN 'invalid' THEN message END, {status}))
      FROM (SELECT * FROM record INDEXED BY {index}
             WHERE tenant = ? AND state = '{state}' AND reading = ? AND {which} ORDER BY id LIMIT ?)"""

_DOUBTS: Final = _JUDGED.format(index="record_doubt", state="in_doubt", which="true", status="status")
# What is pending will be given the run's; what an earlier run gave counts where its attempt may have been applied.
_UNSENT: Final = _JUDGED.replace("{status}", "coalesce(?, CASE WHEN ours_since IS NOT NULL THEN status END)")
_BY_KEY: Final = _UNSENT.format(
    index="record_key", state="pending", which="key IN (SELECT value FROM json_each(?)) AND name = key"
)
_ALIAS: Final = "key <> coalesce(name, '')"  # as the index has it: records whose key is not their name
_BY_NAME: Final = _UNSENT.format(
    index="record_alias",
    state="pending",
    which=_ALIAS + " AND name IN (SELECT value FROM json_each(?))",  # noqa: S608
)


@lru_cache(maxsize=8)
def _by_digest(digests: int) -> str:
    which = _ALIAS + f" AND name IS NULL AND digest IN ({', '.join('?' * digests)})"
    return _UNSENT.format(index="record_alias", state="pending", which=which)


def doubts(db: sqlite3.Connection, tenant: int, reading_id: int, count: int) -> list[Doubt]:
    """Return up to `count` records of the tenant that are in doubt."""
    return _judged(db, _DOUBTS, tenant, reading_id, count)


def unsent(
    db: sqlite3.Connection,
    tenant: int,
    reading_id: int,
    names: Sequence[str],
    digests: Sequence[bytes],
    count: int,
    status: str | None = None,
) -> list[Doubt]:
    """Return pending records of the tenant that bear one of `names`, or none and one of `digests`.

    Up to `count` by each of the three ways in which one may be found. `status` is what they are to be given.
    """
    text = orjson.dumps(list(names)).decode()
    found = [
        *_judged(db, _BY_KEY, status, tenant, reading_id, text, count),
        *_judged(db, _BY_NAME, status, tenant, reading_id, text, count),
    ]
    if digests:
        found += _judged(db, _by_digest(len(digests)), status, tenant, reading_id, *digests, count)
    return sorted(found, key=lambda doubt: doubt.id)


def _judged(db: sqlite3.Connection, sql: str, *values: int | str | bytes | None) -> list[Doubt]:
    return [
        Doubt(id_, stream, bytes.fromhex(sent), bytes.fromhex(current), attempts, first, since, bool(taken), *rest)
        for id_, stream, sent, current, attempts, first, since, taken, *rest in orjson.loads(
            db.execute(sql, values).fetchone()[0]
        )
    ]
