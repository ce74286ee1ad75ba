"""What is done to streams after their creation, as the ledger keeps it: begun, claimed, settled, a kind at a time.

An errand that is not settled stays pending in the file whatever happens to its process, so to claim one writes
nothing; the intent that precedes an act is a settlement of its own. What an errand means for its record is written in
the same transaction as its fate. This module must never hold more than a call's errands.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import orjson

from bulkstreams.core.errands import OPPOSITE, Errand, Fate, Kind, Outcome
from bulkstreams.core.lifecycle import TABLE, step
from bulkstreams.core.metrics import Tally
from bulkstreams.ledger.statements import add_to_run
from bulkstreams.ledger.writer import Writer
from bulkstreams.model import Event, State, TenantName

UNDOABLE: Final = tuple(state for state, event in TABLE if event is Event.UNDONE)
"""The states of a record that stands for a stream which this ledger created."""

MARK: Final = "errand:"
"""How the rows of `meta` are called that say with which run the newest command of a kind began; its kind follows."""

_UNDONE: Final = frozenset({Fate.DELETED, Fate.GONE})
_LEFT: Final = (Fate.CHANGED, Fate.FAILED)

_AGAIN: Final[Mapping[Kind, tuple[Fate, ...]]] = {
    Kind.UNDO: _LEFT,
    Kind.ENABLE: _LEFT,
    Kind.DISABLE: _LEFT,
    Kind.SMOKE: (Fate.FAILED, Fate.UNCONFIRMED, Fate.GONE),
}
"""What a command takes up again each time that it is given."""

_ANEW: Final[Mapping[Kind, tuple[Fate, ...]]] = {
    Kind.ENABLE: (Fate.SWITCHED, Fate.ALREADY, Fate.GONE),
    Kind.DISABLE: (Fate.SWITCHED, Fate.ALREADY, Fate.GONE),
}
"""What it does once more where it is not the rest of one that was cut short: somebody else may have switched since."""


class Site(NamedTuple):
    """A tenant at which errands wait: where the ledger has it, and how many they are."""

    address: str
    pending: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Which records errands are for: those in `states` whose stream this ledger created, at `tenants` (None: all).

    `event`: what is sent. `since`: the first reading (its id) whose records count; those of earlier ones are left.
    """

    states: Collection[State] = UNDOABLE
    tenants: Collection[str] | None = None
    event: str | None = None
    since: int = 0


AT_TENANTS: Final = """
    (:tenants IS NULL OR record.tenant IN (
         SELECT id FROM tenant WHERE name IN (SELECT value FROM json_each(:tenants))))"""

_ELIGIBLE: Final = f"""
    EXISTS (SELECT 1 FROM record WHERE record.id = errand.record AND record.anchor = 'created'
               AND record.remote_id = errand.remote_id
               AND record.state IN (SELECT value FROM json_each(:states)) AND record.reading >= :since
               AND {AT_TENANTS})"""  # noqa: S608

_ADD: Final = f"""
    INSERT INTO errand (record, tenant, kind, remote_id, created_at, state, event, run)
    SELECT id, tenant, :kind, remote_id, settled_at, 'pending', :event, :run FROM record
     WHERE anchor = 'created' AND remote_id IS NOT NULL AND state IN (SELECT value FROM json_each(:states))
       AND reading >= :since AND {AT_TENANTS}
     ORDER BY id
    ON CONFLICT DO NOTHING"""  # noqa: S608

_DROP: Final = f"""
    DELETE FROM errand WHERE kind = :kind AND state = 'pending' AND intent_at IS NULL AND delivery IS NULL
       AND NOT {_ELIGIBLE}"""  # noqa: S608
"""What was never begun and is not asked for any more."""

_LEAVE: Final = f"""
    UPDATE errand SET state = CASE WHEN delivery IS NULL THEN 'failed' ELSE 'unconfirmed' END,
                      message = 'begun by a command before, and not asked for by a later one'
     WHERE kind = :kind AND state = 'pending' AND NOT {_ELIGIBLE}"""  # noqa: S608
"""What was begun and is not asked for: it keeps its intent, for the next command that asks for it."""

_ADOPT: Final = "UPDATE errand SET run = :run WHERE kind = :kind AND state = 'pending'"
"""What is left of a command that a narrower one takes the place of is the newer one's."""

_TAKE_UP: Final = f"""
    UPDATE errand SET state = 'pending', attempts = 0, http_status = NULL, error_code = NULL, message = NULL,
                      settled_at = NULL, latency_ms = NULL, run = :run, event = :event, delivery = NULL,
                      intent_at = CASE WHEN state IN ('failed', 'changed') AND delivery IS NULL THEN intent_at END
     WHERE kind = :kind AND state IN (SELECT value FROM json_each(:fates)) AND {_ELIGIBLE}"""  # noqa: S608
"""Only an act that may be at work still leaves its intent."""

_OTHER_EVENT: Final = f"""
    UPDATE errand SET state = 'pending', attempts = 0, http_status = NULL, error_code = NULL, message = NULL,
                      settled_at = NULL, latency_ms = NULL, run = :run, event = :event, delivery = NULL,
                      intent_at = NULL
     WHERE kind = :kind AND event IS NOT :event AND {_ELIGIBLE}"""  # noqa: S608

_OVERTAKE: Final = (
    "DELETE FROM errand WHERE kind = :opposite AND state = 'pending' AND intent_at IS NULL",
    """UPDATE errand SET state = 'failed', message = 'the opposite was asked for before its answer was known'
        WHERE kind = :opposite AND state = 'pending'""",
)
"""A switch that was cut short, and whose opposite is asked for now, is not gone on with."""

_SITES: Final = """
    SELECT tenant.name, tenant.address, count(*) FROM errand INDEXED BY errand_pending
      JOIN tenant ON tenant.id = errand.tenant
     WHERE kind = :kind AND state = 'pending' GROUP BY tenant.id ORDER BY tenant.id"""


def begin(db: sqlite3.Connection, kind: Kind, plan: Plan, run: int) -> dict[TenantName, Site]:
    """Note what is to be done, and return where. What an earlier command of the kind left is part of it.

    Where there is nothing to do, the command before stays the newest: a rerun of what is done tells the same counts.
    One that asks for less than what is left of the command before is another, and does no more than it was asked for.
    """
    values = {
        "kind": kind.value,
        "opposite": OPPOSITE.get(kind),
        "states": as_list(plan.states),
        "tenants": None if plan.tenants is None else as_list(plan.tenants),
        "event": plan.event,
        "since": plan.since,
        "run": run,
    }
    narrower = sum(db.execute(sql, values).rowcount for sql in (_DROP, _LEAVE)) > 0
    goes_on = not narrower and is_unfinished(db, kind)
    if narrower:
        db.execute(_ADOPT, values)
    fates = [*_AGAIN[kind], *(() if goes_on else _ANEW.get(kind, ()))]
    if kind is Kind.SMOKE:
        db.execute(_OTHER_EVENT, values)
    db.execute(_TAKE_UP, {**values, "fates": as_list(fates)})
    db.execute(_ADD, values)
    if kind in OPPOSITE:
        for sql in _OVERTAKE:
            db.execute(sql, values)
    found = db.execute(_SITES, values).fetchall()
    if narrower or (found and not goes_on):
        mark = "INSERT INTO meta VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value"
        db.execute(mark, (MARK + kind, str(run)))
    return {TenantName(name): Site(address, pending) for name, address, pending in found}


def is_unfinished(db: sqlite3.Connection, kind: Kind) -> bool:
    """Return whether errands of a kind are pending."""
    sql = "SELECT EXISTS (SELECT 1 FROM errand INDEXED BY errand_pending WHERE kind = ? AND state = 'pending')"
    return bool(db.execute(sql, (kind.value,)).fetchone()[0])


_CLAIMABLE: Final = """
    SELECT json_group_array(json_array(
               e.id, e.record, e.remote_id, hex(coalesce(record.anchor_digest, record.digest)), record.updated_at,
               e.attempts, e.intent_at, e.event, e.delivery,
               EXISTS (SELECT 1 FROM errand AS other
                        WHERE other.record = e.record AND other.kind IN ('enable', 'disable') AND other.kind <> e.kind
                          AND other.remote_id = e.remote_id AND other.intent_at IS NOT NULL
                          AND other.state IN ('pending', 'failed'))))
      FROM (SELECT * FROM errand INDEXED BY errand_pending
             WHERE kind = ? AND tenant = ? AND state = 'pending' AND id > ? ORDER BY id LIMIT ?) AS e
      JOIN record ON record.id = e.record"""


def claim(db: sqlite3.Connection, kind: Kind, tenant: str, after: int, count: int) -> list[Errand]:
    """Return the tenant's next `count` pending errands of a kind, in order, from the id `after` on."""
    tenant_id = db.execute("SELECT id FROM tenant WHERE name = ?", (tenant,)).fetchone()[0]
    rows = orjson.loads(db.execute(_CLAIMABLE, (kind.value, tenant_id, after, count)).fetchone()[0])
    return [
        Errand(
            id_, record, kind, remote_id, bytes.fromhex(digest or ""), updated_at, attempts, intent_at, event, delivery,
            touched=bool(touched),
        )
        for id_, record, remote_id, digest, updated_at, attempts, intent_at, event, delivery, touched in sorted(rows)
    ]  # fmt: skip


_FIELDS: Final = (
    "id", "record", "state", "attempts", "http_status", "error_code", "message", "delivery", "intent_at", "settled_at",
    "latency_ms", "status", "updated_at",
)  # fmt: skip
"""What is handed to SQLite of an outcome, in this order."""

_HANDED: Final = ", ".join(f"json_extract(value, '$[{i}]') AS {field}" for i, field in enumerate(_FIELDS))
_V: Final = f"WITH v AS (SELECT {_HANDED} FROM json_each(:outcomes))"  # noqa: S608

_SETTLED: Final = tuple(field for field in _FIELDS if field not in {"id", "record", "status", "updated_at"})

_SETTLE: Final = f"""{_V}
    UPDATE errand SET {", ".join(f"{field} = v.{field}" for field in _SETTLED)}, run = :run
      FROM v WHERE errand.id = v.id"""  # noqa: S608

_UNDO: Final = f"""{_V}
    UPDATE record SET state = '{{after}}', anchor = NULL, anchor_digest = NULL, anchor_name = NULL, ours_since = NULL,
                      first_sent_at = NULL, recovered = 0, status = NULL, updated_at = NULL, http_status = NULL,
                      settled_at = v.settled_at, latency_ms = v.latency_ms, run = :run,
                      message = CASE WHEN record.error_code IS 'invalid' THEN record.message
                                     WHEN v.state = 'gone' THEN 'its stream was found to be gone by undo'
                                     ELSE 'its stream was deleted by undo' END
      FROM v WHERE record.id = v.record AND record.state = '{{before}}' AND record.anchor = 'created'
               AND v.state IN ('deleted', 'gone')"""  # noqa: S608
"""A record that is created anew later has nothing of the stream that it had, but the id, until it has another."""

_FORGET: Final = f"""{_V}
    DELETE FROM errand WHERE state = 'pending' AND kind <> 'undo'
       AND record IN (SELECT record FROM v WHERE state IN ('deleted', 'gone'))"""  # noqa: S608

_SWITCH: Final = f"""{_V}
    UPDATE record SET status = v.status, updated_at = coalesce(v.updated_at, record.updated_at)
      FROM v WHERE record.id = v.record AND v.status IS NOT NULL"""  # noqa: S608

_CLEARED: Final = f"""{_V}
    UPDATE errand SET intent_at = NULL
     WHERE kind = :opposite AND state = 'failed'
       AND record IN (SELECT record FROM v WHERE status IS NOT NULL)"""  # noqa: S608
"""What a lost switch may have done is known now."""


def settle(db: sqlite3.Connection, kind: Kind, outcomes: Sequence[Outcome], run: int) -> None:
    """Write what became of errands in a run, and what that means for their records; the last of each counts."""
    last = {one.id: one for one in outcomes}.values()
    rows = [[getattr(one, field) for field in _FIELDS] for one in last]
    values = {"outcomes": orjson.dumps(rows).decode(), "run": run, "opposite": OPPOSITE.get(kind)}
    db.execute(_SETTLE, values)
    if kind is Kind.UNDO:
        for before in UNDOABLE:
            db.execute(_UNDO.format(before=before, after=step(before, Event.UNDONE)), values)
        db.execute(_FORGET, values)
    elif kind in OPPOSITE:
        db.execute(_SWITCH, values)
        db.execute(_CLEARED, values)


def as_list(values: Collection[str]) -> str:
    """Return texts as a statement takes them, for `json_each`."""
    return orjson.dumps([str(value) for value in values]).decode()


class ErrandBook:
    """The errands of one kind, as the run that does them sees them. Every write is on disk when its call returns.

    `run` tells the run that goes on, once it has begun.
    """

    def __init__(self, writer: Writer, kind: Kind, run: Callable[[], int]) -> None:
        self._writer = writer
        self._run = run
        self.kind = kind

    async def begin(self, plan: Plan) -> dict[TenantName, Site]:
        """Note what is to be done, and return at which tenants."""
        return await self._writer.do(lambda db: begin(db, self.kind, plan, self._run()))

    async def claim(self, tenant: TenantName, after: int, count: int) -> list[Errand]:
        """Return the tenant's next pending errands, in order, from the id `after` on."""
        return await self._writer.do(lambda db: claim(db, self.kind, tenant, after, count))

    async def settle(self, settlements: Sequence[Outcome], tally: Tally) -> None:
        """Write what became of errands, and what it took, durably."""

        def operation(db: sqlite3.Connection) -> None:
            if settlements:
                settle(db, self.kind, settlements, self._run())
            add_to_run(db, self._run(), tally)

        await self._writer.do(operation)
