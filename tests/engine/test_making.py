"""Definitions made ahead of a load's claims: a lead that is bounded, and that no claim has to wait for."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable

import anyio
import pytest

from bulkstreams.core.saturation import Cause
from bulkstreams.core.schedule import Schedule, steady
from bulkstreams.engine.making import AT_ONCE, MOST_FIRST, Making, lead_of
from bulkstreams.ledger import BATCH
from bulkstreams.model import Claim, State
from tests.engine.fakes import TENANT, FakeLedger, in_told_time, webhook
from tests.engine.test_loading import Scene


class Mint:
    """Makes definitions, `each_s` seconds for each, and hands out claims of them."""

    def __init__(self, each_s: float = 0.0) -> None:
        self.ledger = FakeLedger([])
        self.each_s = each_s
        self.calls: list[tuple[int, int]] = []
        self.claimed = 0
        self.most_ahead = 0

    async def provide(self, count: int, at_once: int) -> None:
        """Make some."""
        self.calls.append((count, at_once))
        await anyio.sleep(self.each_s * count)
        first = len(self.ledger.definitions) + 1
        for id_ in range(first, first + count):
            self.ledger.definitions[id_] = webhook(f"s{id_}")
            self.ledger.state[id_], self.ledger.attempts[id_] = State.PENDING, 0
            self.ledger.first_sent[id_] = self.ledger.ours_since[id_] = None
            self.ledger.status[id_] = self.ledger.given[id_] = None
        self.most_ahead = max(self.most_ahead, self.made - self.claimed)

    async def claim(self, count: int) -> list[Claim]:
        """Claim some."""
        found = await self.ledger.claim(TENANT, count, 0.0)
        self.claimed += len(found)
        return found

    @property
    def made(self) -> int:
        """Return how many it has made."""
        return len(self.ledger.definitions)


def beside(mint: Mint, total: float, lead: int, act: Callable[[Making], Awaitable[None]], *, fill: bool = True) -> None:
    """Let a making go on in told time, and act beside it."""

    async def scene() -> None:
        making = Making(mint, mint.claim, total, lead)
        if fill:
            await making.fill(lambda: False)
        async with anyio.create_task_group() as group:
            group.start_soon(making.run)
            await act(making)
            group.cancel_scope.cancel()

    in_told_time(scene)


def test_what_is_not_much_is_made_before_the_load_begins() -> None:
    """All of it: a load of a usual length has nothing but its requests to do."""
    assert lead_of(MOST_FIRST, 256) == MOST_FIRST
    assert lead_of(MOST_FIRST + 1, 256) == 1024
    assert lead_of(math.inf, 8192) == 4 * 8192
    mint = Mint()

    async def nothing(_making: Making) -> None:
        await anyio.sleep(5)

    beside(mint, BATCH + 50, lead_of(BATCH + 50, 256), nothing)
    assert mint.calls == [(BATCH, BATCH), (50, BATCH)]


def test_the_lead_is_kept_and_never_exceeded() -> None:
    """A claim is made good at once, in small pieces; at the end there are as many as the load has requests."""
    mint = Mint()

    async def claims(making: Making) -> None:
        assert mint.made == 1000
        for taken in range(500, 3001, 500):
            assert len(await making.claim(500)) == 500
            await anyio.sleep(1)
            assert mint.made == min(3000, taken + 1000)
        assert await making.claim(500) == []

    beside(mint, 3000, 1000, claims)
    assert mint.most_ahead <= 1000
    assert {at_once for _, at_once in mint.calls[1:]} == {AT_ONCE}


def test_a_claim_waits_for_what_is_yet_to_be_made() -> None:
    """None at all would mean that the load is at its end; what is there is given at once."""
    mint = Mint(each_s=0.01)

    async def claims(making: Making) -> None:
        assert len(await making.claim(500)) == 100
        assert len(await making.claim(500)) == 100
        assert await making.claim(500) == []

    beside(mint, 200, 100, claims, fill=False)


def test_a_stop_makes_no_more_of_what_is_to_be_made_first() -> None:
    """Whoever interrupts a large preparation need not wait for it."""
    mint = Mint()
    in_told_time(lambda: Making(mint, mint.claim, 5 * BATCH, 5 * BATCH).fill(lambda: mint.made > BATCH))
    assert mint.made == 2 * BATCH


@pytest.mark.parametrize(("each_s", "late"), [(0.0001, False), (0.01, True)])
def test_a_request_that_is_due_finds_its_claim(each_s: float, late: bool) -> None:
    """Made as it goes, in time for 200/s on a disk of 0.2 s a commit; who makes too slowly is told as the ledger's."""
    scene = Scene()
    mint = Mint(each_s)
    mint.ledger.commit_s = 0.2
    scene.ledger = mint.ledger
    making: list[Making] = []

    async def claim(count: int) -> list[Claim]:
        if not making:
            making.append(Making(mint, mint.claim, 2000, 1024))
            await making[0].fill(lambda: False)
        return await making[0].claim(count)

    async def run(_load: object) -> None:
        await making[0].run()

    scene._claim = claim  # type: ignore[method-assign]
    scene.meanwhile = run
    meter = scene.follow(Schedule([steady(200, 10)]))
    assert meter.requests == meter.offered == mint.made == 2000
    assert bool(meter.late[Cause.LEDGER]) is late
    assert meter.late[Cause.LOOP] == meter.late[Cause.CEILING] == 0
