"""A lane that only looks: it sees every page, sends nothing, and tells where it could not see all."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import pytest

from bulkstreams.core.pacing import Pacer
from bulkstreams.engine.lane import Lane
from bulkstreams.engine.listing import MOST_REPEATED, Listing
from bulkstreams.engine.looking import Looking
from bulkstreams.engine.recorder import Unrecorded
from bulkstreams.engine.tools import LaneSettings, Tools
from bulkstreams.engine.waiting import wait_of
from bulkstreams.engine.work import NO_DOUBTS
from bulkstreams.limiter import Limiter
from bulkstreams.model import Failure
from bulkstreams.schema import Page
from bulkstreams.secrets import mask
from tests.engine.fakes import (
    NO_CEILING,
    NOON,
    TENANT,
    FakeClock,
    FakeCredential,
    ScriptedClient,
    in_told_time,
    webhook,
)

REFUSED = Failure("no connection to example.com:443 (refused)", False, 0.01)


class Looker:
    """A lane at a scripted server, and the names of the streams that it has seen."""

    def __init__(self, client: ScriptedClient) -> None:
        self.client = client
        self.seen: list[str] = []
        self.shown: list[str] = []
        self.clock = FakeClock()

    def make(self) -> Lane:
        """Make the lane."""
        listing: list[Listing] = []

        async def take(page: Page) -> None:
            self.seen += [str(one.name) for one in page.streams]
            self.shown += [one["destination"]["configuration"]["webhook_endpoint"] for one in page.shown]

        async def look(lane: Lane) -> bool:
            if not listing:
                listing.append(Listing(lane, "nothing was written"))
            return await listing[0].run(take)

        return Lane(
            TENANT, self.client, FakeCredential(), Limiter(NO_CEILING, Pacer(concurrency=4), self.clock.monotonic),  # type: ignore[arg-type]
            LaneSettings(concurrency=4, retries=5),
            Tools(recorder=Unrecorded(), mask=mask, allow=lambda wanted: wanted, clock=self.clock, draw=lambda: 0.5),
            lambda lane: Looking(lane, look),
        )  # fmt: skip

    def run(self, meanwhile: Callable[[Lane], Awaitable[Any]] | None = None) -> Lane:
        """Run the lane from seat to seat to its end."""

        async def scene() -> Lane:
            lane = self.make()
            lane.expect(0)
            async with anyio.create_task_group() as group:
                if meanwhile is not None:
                    group.start_soon(meanwhile, lane)
                while not lane.finished:
                    await lane.run()
            return lane

        found: Lane = in_told_time(scene)
        return found


def server(streams: int, page_size: int = 3) -> ScriptedClient:
    """Return a server with so many streams."""
    client = ScriptedClient()
    client.page_size = page_size
    for i in range(streams):
        client.add(webhook(f"s{i}"), at=NOON)
    return client


def test_it_sees_every_page_in_order_and_sends_nothing() -> None:
    """Each stream comes once, with what the API showed of it, and the lane ends by itself."""
    looker = Looker(server(7))
    lane = looker.run()
    assert looker.seen == [f"s{i}" for i in range(7)]
    assert len(looker.shown) == 7
    assert looker.client.creates == []
    assert (lane.stopped, lane.left()) == (None, 0)


def test_it_says_that_it_reads() -> None:
    """An export is no look at what is there already: nothing comes after it."""

    async def scene() -> str:
        wait = wait_of(Looker(ScriptedClient()).make(), 0.0)
        return "" if wait is None else wait.reason

    assert in_told_time(scene) == "reading its streams"


def test_a_tenant_that_was_never_reached_is_told_as_such() -> None:
    """There is no record that could be exhausted: the lane itself says that nothing was seen."""
    client = server(3)
    client.page_script = lambda _n: REFUSED
    lane = Looker(client).run()
    assert lane.stopped is not None
    assert "cannot be reached" in lane.stopped


def test_a_page_that_never_comes_stops_it_with_what_that_means() -> None:
    """What was not seen to its end is never passed for seen."""
    client = server(7)
    client.page_script = lambda n: None if n == 1 else 503
    looker = Looker(client)
    lane = looker.run()
    assert looker.seen == ["s0", "s1", "s2"]
    assert lane.stopped is not None
    assert "nothing was written" in lane.stopped


@pytest.mark.parametrize("streams", [0, 3])
def test_a_list_that_shows_the_same_for_ever_has_an_end(streams: int) -> None:
    """Its cursors are all new, but nothing else is: it goes in circles, and was not seen whole."""
    client = server(streams)
    client.page_script = lambda n: client.reply(200, {"eventStreams": client.streams, "next": f"cursor {n}"})
    lane = Looker(client).run()
    assert lane.stopped is not None
    assert "in circles" in lane.stopped
    assert len(client.pages) == MOST_REPEATED + 1


def test_empty_pages_now_and_then_are_no_circle() -> None:
    """However many there are: behind each of them stands something new."""
    client = server(2 * MOST_REPEATED, page_size=1)
    nothing = {"eventStreams": []}
    client.page_script = lambda n: (
        client.reply(200, {**nothing, "next": f"0{client.pages[-1][1] or 0}"}) if n % 2 else None
    )
    looker = Looker(client)
    assert looker.run().stopped is None
    assert looker.seen == [f"s{i}" for i in range(2 * MOST_REPEATED)]


def test_a_scope_that_is_missing_is_named() -> None:
    """The remedy says what this work needs, and no more."""
    client = server(1)
    client.page_script = lambda _n: 403
    lane = Looker(client).run()
    assert "the scope read:event_streams" in lane.stop_hint
    assert "create:" not in lane.stop_hint


def test_a_lane_that_left_its_seat_goes_on_with_the_page_that_comes_next() -> None:
    """No page is seen twice and none is missed."""
    looker = Looker(server(30))

    async def shoo(lane: Lane) -> None:
        for _ in range(3):
            await anyio.sleep(0.025)
            lane.leave()

    lane = looker.run(shoo)
    assert looker.seen == [f"s{i}" for i in range(30)]
    assert lane.stopped is None


def test_there_is_nothing_to_claim_to_send_or_to_record() -> None:
    """Its work takes part in no bookkeeping, and a settlement that strays to it is a defect that shows."""

    async def scene() -> None:
        work = Looker(server(0)).make().work
        assert work.doubts is NO_DOUBTS
        assert await work.claim(5, None) == []
        assert work.prepare(object()) is None

    in_told_time(scene)
    with pytest.raises(AssertionError):
        Unrecorded().put(object())
