"""What tests of errands share: streams that were created, and commands that deal with them."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from bulkstreams.core.errands import Errand, Fate, Kind, Outcome
from bulkstreams.core.metrics import Tally
from bulkstreams.ledger import Ledger, LedgerReader, Plan
from bulkstreams.model import State, TenantName
from tests.ledger import ACME, good, read, settled

EVENT = "user.created"


async def create(ledger: Ledger, *keys: str, tenant: str = ACME) -> None:
    """Read lines and have their streams created; what is created already stays."""
    await read(ledger, [good(key, tenant=tenant) for key in keys])
    claims = await ledger.claim(TenantName(tenant), len(keys), 20.0)
    await ledger.settle([settled(claim, State.CREATED) for claim in claims], Tally())


async def claimed(ledger: Ledger, kind: Kind, after: int = 0, count: int = 100) -> list[Errand]:
    """Return what is to be done next."""
    return await ledger.errands(kind).claim(ACME, after, count)


def outcome(one: Errand, fate: Fate, **fields: Any) -> Outcome:
    """Return what became of an errand."""
    usual: dict[str, Any] = {"attempts": 1, "event": one.event, "intent_at": 30.0, "settled_at": 31.0}
    if fate is Fate.SWITCHED:
        usual |= {"status": "enabled" if one.kind is Kind.ENABLE else "disabled", "updated_at": "later"}
    return Outcome(one.id, one.record, one.kind, fate, **{**usual, **fields})


async def settle(ledger: Ledger, kind: Kind, *outcomes: Outcome) -> None:
    """Write what became of errands."""
    await ledger.errands(kind).settle(outcomes, Tally())


async def do(ledger: Ledger, kind: Kind, fate: Fate, **fields: Any) -> None:
    """Begin a command and have all its errands meet one fate."""
    await ledger.errands(kind).begin(Plan(event=EVENT if kind is Kind.SMOKE else None))
    await settle(ledger, kind, *[outcome(one, fate, **fields) for one in await claimed(ledger, kind)])


def fates(path: Path, kind: Kind) -> dict[str, int]:
    """Return how the newest command of a kind stands."""
    with LedgerReader(path) as reader:
        return {fate.value: count for fate, count in reader.errands(kind).fates.items()}


def ask(path: Path, sql: str) -> list[tuple[Any, ...]]:
    """Ask the file as any SQLite tool may."""
    with closing(sqlite3.connect(path)) as db:
        return db.execute(sql).fetchall()
