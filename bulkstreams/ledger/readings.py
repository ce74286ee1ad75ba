"""The readings of a ledger's inputs: one begins, meets lines, and ends; then its records are taken back into play.

These are plain functions of a connection, run by `writer` in its thread, inside its transaction. The lines themselves
are `ingesting`'s. This module must never take a reading that was cut off for a whole one.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

import orjson

from bulkstreams.core.lifecycle import step
from bulkstreams.model import Event, State, TenantName


def input_id(db: sqlite3.Connection, path: str) -> int:
    """Return the ledger's id of an input."""
    db.execute("INSERT INTO input (path) VALUES (?) ON CONFLICT DO NOTHING", (path,))
    return int(db.execute("SELECT id FROM input WHERE path = ?", (path,)).fetchone()[0])


def same(db: sqlite3.Connection, source: str) -> int | None:
    """Return the newest reading if it is whole, was of this very source, and met no invalid line."""
    row = db.execute("SELECT id, source, completed_at FROM reading ORDER BY id DESC LIMIT 1").fetchone()
    if row is None or row[1] != source or row[2] is None:
        return None
    invalid = "SELECT 1 FROM record WHERE reading = ? AND (state = 'invalid' OR error_code = 'invalid') LIMIT 1"
    return None if db.execute(invalid, (row[0],)).fetchone() else int(row[0])


def begin(db: sqlite3.Connection, source: str, now: float) -> int:
    """Begin a reading and return its number."""
    # What is in doubt was sent with the actions that its line named then.
    db.execute(
        """UPDATE tenant SET refers = 0 WHERE refers AND NOT EXISTS (
               SELECT 1 FROM record INDEXED BY record_doubt WHERE tenant = tenant.id AND state = 'in_doubt')"""
    )
    sql = "INSERT INTO reading (source, started_at) VALUES (?, ?) RETURNING id"
    return int(db.execute(sql, (source, now)).fetchone()[0])


def adopt(db: sqlite3.Connection, reading: int, run: int) -> None:
    """Note which reading a run rests on."""
    db.execute("UPDATE run SET reading = ? WHERE id = ?", (reading, run))


def note_references(db: sqlite3.Connection, tenants: Sequence[int]) -> None:
    """Note that lines name actions of these tenants (ids)."""
    sql = "UPDATE tenant SET refers = 1 WHERE id IN (SELECT value FROM json_each(?))"
    db.execute(sql, (orjson.dumps(tenants).decode(),))


def referring(db: sqlite3.Connection) -> frozenset[TenantName]:
    """Return the tenants whose lines name actions."""
    return frozenset(TenantName(name) for (name,) in db.execute("SELECT name FROM tenant WHERE refers"))


def end(db: sqlite3.Connection, reading: int, now: float, inputs: Sequence[int]) -> None:
    """Note that the inputs were read to their ends, and forget keyless lines of earlier readings of them."""
    db.execute(
        """DELETE FROM record WHERE key IS NULL AND reading < ?
              AND input IN (SELECT value FROM json_each(?))""",
        (reading, orjson.dumps(list(inputs)).decode()),
    )
    # Ids of what was forgotten may come again, for other lines.
    db.execute("UPDATE tenant SET surveyed = min(surveyed, (SELECT coalesce(max(id), 0) FROM record))")
    db.execute("UPDATE reading SET completed_at = ? WHERE id = ?", (now, reading))


def reopen(db: sqlite3.Connection, reading: int, *, retry_failed: bool) -> dict[TenantName, tuple[int, int]]:
    """Take the records of a reading back into play, and return (pending, in doubt) by tenant.

    Exhausted and undone records always; refused ones and conflicts only if `retry_failed`, and never one for which
    this ledger created a stream.
    """
    wanted = [State.EXHAUSTED, State.UNDONE, *([State.REFUSED, State.CONFLICT] if retry_failed else [])]
    for state in _present(db, reading, wanted):
        asked = state in {State.REFUSED, State.CONFLICT}
        after = step(state, Event.RETRY_ASKED if asked else Event.RESUMED)
        if state is not State.EXHAUSTED:
            # These stood at the tenant, or were never let in: what is there now has to be seen anew.
            db.execute("UPDATE tenant SET surveyed = NULL")
        db.execute(
            f"""UPDATE record SET state = ?, attempts = 0 {", ours_since = NULL" if asked else ""}
                 WHERE reading = ? AND state = ? AND anchor IS NULL""",  # noqa: S608
            (after.value, reading, state.value),
        )
    return _todo(db, reading)


def _present(db: sqlite3.Connection, reading: int, states: Sequence[State]) -> list[State]:
    """Return which of these states records of a reading are in: one pass, without a sort."""
    found = db.execute(
        "SELECT DISTINCT state FROM record WHERE reading = ? AND state IN (SELECT value FROM json_each(?))",
        (reading, orjson.dumps([state.value for state in states]).decode()),
    )
    return [State(state) for (state,) in found.fetchall()]


def _todo(db: sqlite3.Connection, reading: int) -> dict[TenantName, tuple[int, int]]:
    """Count what is pending and in doubt by tenant, in the order in which they were met.

    Each by the partial index that has nothing else in it.
    """
    todo: dict[TenantName, tuple[int, int]] = {}
    for name, pending, in_doubt in db.execute(
        """SELECT name, sum(pending), sum(in_doubt) FROM (
               SELECT tenant, count(*) AS pending, 0 AS in_doubt FROM record
                WHERE state = 'pending' AND reading = :reading GROUP BY tenant
               UNION ALL
               SELECT tenant, 0, count(*) FROM record
                WHERE state = 'in_doubt' AND reading = :reading GROUP BY tenant
           ) AS counts JOIN tenant ON tenant.id = counts.tenant GROUP BY tenant.id ORDER BY tenant.id""",
        {"reading": reading},
    ):
        todo[TenantName(name)] = (pending, in_doubt)
    return todo
