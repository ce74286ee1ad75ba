"""What the ledger's tests share: lines as a reading would hand them in, and a loop to run a test in."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import closing
from functools import wraps
from pathlib import Path
from typing import Any, NamedTuple, ParamSpec

from bulkstreams.core.matching import digest
from bulkstreams.core.metrics import Tally
from bulkstreams.ledger import Duplicate, Ledger, LedgerReader, Result, Row
from bulkstreams.model import Claim, Settlement, State, TenantName

ACME = TenantName("acme")
ADDRESS = "https://acme.test"
FILE = "in.jsonl"
P = ParamSpec("P")


def in_loop(test: Callable[P, Awaitable[None]]) -> Callable[P, None]:
    """Run an asynchronous test in an event loop of its own."""

    @wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        async def main() -> None:
            await test(*args, **kwargs)

        asyncio.run(main())

    return run


class Given(NamedTuple):
    """A line as the schema found it; without a mark it is invalid, without a key it is too broken to have one."""

    key: str | None
    mark: bytes | None
    tenant: str = ACME


def mark(key: str, status: str = "enabled", event: str = "user.created") -> bytes:
    """Return the digest of a definition of that name."""
    return digest({"name": key, "status": status, "subscriptions": [{"event_type": event}]})


def good(key: str, status: str = "enabled", *, tenant: str = ACME) -> Given:
    """Return a valid line."""
    return Given(key, mark(key, status), tenant)


def bad(key: str | None = None) -> Given:
    """Return an invalid line."""
    return Given(key, None)


async def rows(ledger: Ledger, file: str, lines: Sequence[Given]) -> list[Row]:
    """Return the lines of a file as rows of the ledger's current reading."""
    input_ = await ledger.input(file)
    made = []
    for number, line in enumerate(lines, 1):
        tenant = None if line.key is None else await ledger.tenant(line.tenant, f"https://{line.tenant}.test")
        place = (input_, number, number * 100, 99, ledger.reading_id)
        if line.mark is None:
            made.append(Row(tenant, line.key, line.key, *place, State.INVALID, None, "invalid", "name: is wrong"))
        else:
            made.append(Row(tenant, line.key, line.key, *place, State.PENDING, line.mark))
    return made


async def read(
    ledger: Ledger,
    lines: Sequence[Given] | Mapping[str, Sequence[Given]],
    *,
    source: str = "source",
    whole: bool = True,
    batch: int = 1000,
) -> list[Duplicate]:
    """Read whole inputs into the ledger, `batch` lines at a time, and return the duplicates."""
    files = lines if isinstance(lines, Mapping) else {FILE: lines}
    await ledger.begin_reading(source, 10.0)
    duplicates = []
    for file, its in files.items():
        made = await rows(ledger, file, its)
        for start in range(0, len(made), batch):
            duplicates += await ledger.ingest(made[start : start + batch])
    if whole:
        await ledger.end_reading(11.0, [await ledger.input(file) for file in files])
    return duplicates


async def start(path: Path, now: float = 1.0) -> Ledger:
    """Open the ledger and begin a run."""
    ledger = Ledger.open(path)
    await ledger.begin_run(now)
    return ledger


def settled(claim: Claim, state: State, **fields: Any) -> Settlement:
    """Return what an attempt at `claim` ended in, anchored as its state asks for."""
    usual: dict[str, Any] = {"attempts": claim.attempts + 1, "first_sent_at": 20.5, "settled_at": 21.0}
    if state in {State.CREATED, State.EXISTS}:
        usual |= {"anchor": state, "remote_id": f"est_{claim.key}", "http_status": 201}
    return Settlement(claim.id, state, **{**usual, **fields})


async def bring(ledger: Ledger, state: State, key: str = "a") -> None:
    """Read one line and bring its record to `state`, as a run would, in a reading of its own."""
    if state is State.INVALID:
        await read(ledger, [bad(key)])
        return
    await read(ledger, [good(key)])
    if state is State.PENDING:
        return
    (claim,) = await ledger.claim(ACME, 1, 20.0)
    if state is State.UNDONE:
        await ledger.settle([settled(claim, State.CREATED)], Tally())
    if state is not State.IN_FLIGHT:
        await ledger.settle([settled(claim, state, http_status=None if state is State.UNDONE else 400)], Tally())


def results(path: Path) -> dict[str, Result]:
    """Return the newest reading's records by key, read as another process would; duplicates stand under `key@line`."""
    with LedgerReader(path) as reader:
        found: dict[str, Result] = {}
        for one in reader.results():
            own = one.key is not None and one.state != State.DUPLICATE
            found[str(one.key) if own else f"{one.key}@{one.line}"] = one
        return found


def states(path: Path) -> dict[str, str]:
    """Return the state of each record of the newest reading."""
    return {key: one.state for key, one in results(path).items()}


def column(path: Path, name: str, key: str = "a") -> Any:
    """Return a column of a record as any SQLite tool sees it."""
    with closing(sqlite3.connect(path)) as db:
        return db.execute(f"SELECT {name} FROM record WHERE key = ?", (key,)).fetchone()[0]
