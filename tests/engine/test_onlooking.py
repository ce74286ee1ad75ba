"""Whoever only looks has nothing to write with, and goes on where it was when it had to leave its seat."""

from __future__ import annotations

import asyncio
import inspect
import math
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import anyio
import pytest

from bulkstreams.client import Client, OnlyReads
from bulkstreams.core.foresight import Basis, foresee
from bulkstreams.core.pacing import Ceiling
from bulkstreams.engine import LanePlan, Onlooker, Planner
from bulkstreams.engine.onlooking import only_reading
from bulkstreams.model import Reply, TenantName
from bulkstreams.schema import Page
from tests.engine.fakes import NOT_SENT, webhook
from tests.engine.many import Many

READS = {"page", "stream", "actions"}
TENANTS = [f"t{number:02}" for number in range(12)]
RECORDS = 120


def test_what_only_reads_has_the_reading_methods_and_no_other() -> None:
    """A method that a client gains is not one of an onlooker's, unless somebody decides so."""

    async def names() -> set[str]:
        plan = LanePlan(
            base_url="http://127.0.0.1:1", ceiling=Ceiling(rate=None, burst=1), obey_budget=True, reserve=0.0,
            concurrency=1,
        )  # fmt: skip
        async with only_reading(1.0)(plan, 1) as client:
            assert isinstance(client, OnlyReads)
            return set(vars(client)) | {name for name in dir(type(client)) if not name.startswith("__")}

    assert anyio.run(names) == READS
    methods = {name for name, _ in inspect.getmembers(Client, inspect.isfunction) if not name.startswith("_")}
    assert {"create", *READS} <= methods


class Kept:
    """What an onlooker keeps: the names that each tenant's pages have shown, and which tenants were seen whole."""

    def __init__(self) -> None:
        self.shown: dict[str, list[str | None]] = defaultdict(list)
        self.whole: list[str] = []

    async def keep(self, tenant: TenantName, page: Page) -> None:
        """Keep the names of a page."""
        assert len(page.shown) == len(page.streams)
        self.shown[tenant] += [one.name for one in page.streams]

    def listed(self, tenant: TenantName) -> None:
        """Note a tenant."""
        self.whole.append(tenant)


def look(kind: type[Onlooker], many: Many, tenants: Sequence[str] = TENANTS) -> tuple[Onlooker, Kept]:
    """Have an onlooker of a kind look at half of the records' streams, and at one that nobody asked for."""
    kept = Kept()

    class Looker(kind):  # type: ignore[misc, valid-type]
        async def provision(self) -> None:
            self.keeper = kept
            for tenant in tenants:
                mine = [id_ for id_, name in many.ledger.tenant_of.items() if name == tenant]
                for id_ in mine[: RECORDS // 2]:
                    many.servers[tenant].add(many.ledger.definitions[id_])
                many.servers[tenant].add(webhook("legacy"))
            await super().provision()

    many.kind = Looker
    engine = many.run()
    assert isinstance(engine, Onlooker)
    assert all(not server.creates for server in many.servers.values())
    return engine, kept


@pytest.mark.parametrize("seats", [3, 20])
@pytest.mark.parametrize("kind", [Onlooker, Planner])
def test_every_tenant_is_seen_whole_however_few_seats_there_are(kind: type[Onlooker], seats: int) -> None:
    """Lanes that leave in the midst of a list go on with the next page; who cannot be reached is stopped, and told."""
    many = Many(dict.fromkeys([*TENANTS, "dead"], RECORDS), seats=seats, surveyed=False, limits={"deadline_s": None})
    many.servers["dead"].page_script = lambda _n: NOT_SENT
    for tenant in TENANTS[::3]:
        server = many.servers[tenant]
        server.page_script = lambda n, server=server: server.reply(429, {}, retry_after="5") if n % 2 else None
    engine, kept = look(kind, many)
    assert sorted(kept.whole) == TENANTS
    assert all(len(set(kept.shown[tenant])) == len(kept.shown[tenant]) == RECORDS // 2 + 1 for tenant in TENANTS)
    assert set(engine.reasons) == {"dead"}
    assert "cannot be reached" in engine.reasons["dead"]
    assert set(engine.looks) == set(TENANTS)
    planned = {"exists": RECORDS // 2, "pending": RECORDS // 2} if kind is Planner else {"pending": RECORDS}
    assert all(many.ledger.counts_of(tenant) == planned for tenant in TENANTS)
    assert many.ledger.counts_of("dead") == {"pending": RECORDS}


def test_a_list_that_empties_the_bucket_shows_how_fast_it_refills() -> None:
    """What the headers told from the first page to the last makes the rate that the estimate goes by."""
    many = Many({TENANTS[0]: 2 * RECORDS}, seats=1, surveyed=False)
    server, plain = many.servers[TENANTS[0]], many.servers[TENANTS[0]].reply
    server.page_size = 5
    bucket = {"tokens": 10.0, "at": 0.0}

    def reply(status: int, body: Any, **headers: str) -> Reply:
        now = asyncio.get_running_loop().time()
        bucket["tokens"] = min(10.0, bucket["tokens"] + 20.0 * (now - (bucket["at"] or now))) - 1.0
        bucket["at"] = now
        told = {"x_ratelimit_limit": "10", "x_ratelimit_remaining": str(max(0, math.floor(bucket["tokens"])))}
        return plain(status, body, **headers, **told)

    server.reply = reply  # type: ignore[method-assign]
    engine, _ = look(Planner, many, TENANTS[:1])
    seen = engine.looks[TenantName(TENANTS[0])].seen
    assert seen.limit == 10
    assert seen.refill is not None
    assert 15.0 < seen.refill <= 20.0  # the least that can have come, and most of it
    assert foresee(200, seen).basis is Basis.OBSERVED
