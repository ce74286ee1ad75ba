"""One tenant's streams, gathered by a lane: each once, whatever the list does meanwhile."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import anyio
import pytest

from bulkstreams.commands.gathering import Gathering, Shown
from bulkstreams.core.exporting import Wanted
from bulkstreams.core.pacing import Pacer
from bulkstreams.engine.lane import Lane
from bulkstreams.engine.looking import Looking
from bulkstreams.engine.recorder import Unrecorded
from bulkstreams.engine.tools import LaneSettings, Tools
from bulkstreams.limiter import Limiter
from bulkstreams.model import Failure, Reply
from bulkstreams.secrets import mask
from tests.engine.fakes import (
    NO_CEILING,
    TENANT,
    FakeClock,
    FakeCredential,
    ScriptedClient,
    in_told_time,
    webhook,
)

REFUSED = Failure("no connection to example.com:443 (refused)", False, 0.01)


class Server(ScriptedClient):
    """A scripted server that has actions, too: `script_of_actions(n)` is what the n-th request for them meets."""

    def __init__(self, count: int, *, actions: bool = False) -> None:
        super().__init__()
        self.page_size = 3
        self.asked = 0
        self.on_action: Callable[[], None] = lambda: None
        self.answer: Reply | Failure = self._named()
        for i in range(count):
            self.put(f"s{i}", "a1" if actions else None)

    def put(self, name: str, action_id: str | None = None) -> None:
        """Put a stream there, without asking what time it is."""
        one = webhook(name)
        if action_id is not None:
            one["destination"] = {"type": "action", "configuration": {"action_id": action_id}}
        self.streams.append({**one, "id": f"est_{name}", "created_at": None, "updated_at": None})

    def _named(self) -> Reply:
        found = {"actions": [{"id": "a1", "name": "notify"}], "total": 1, "page": 0, "per_page": 50}
        return Reply(200, {}, json.dumps(found).encode(), 0.01)

    async def actions(self, page: int, token: str) -> Reply | Failure:
        """Answer a look-up of actions."""
        self.asked += 1
        self.on_action()
        await anyio.sleep(0.01)
        return self.answer


class Desk:
    """A lane that gathers, and what was handed on."""

    def __init__(self, client: Server, wanted: Wanted | None = None) -> None:
        self.client = client
        self.handed: list[list[str]] = []
        self.gathering = Gathering(TENANT, wanted or Wanted(), self._take)

    async def _take(self, gathering: Gathering, streams: Sequence[Shown]) -> None:
        assert gathering is self.gathering
        self.handed.append([one["name"] for one in streams])

    @property
    def names(self) -> list[str]:
        """Return the names of all streams that were handed on, in order."""
        return [name for page in self.handed for name in page]

    def run(self, meanwhile: Callable[[Lane], Awaitable[Any]] | None = None) -> Lane:
        """Run the lane from seat to seat to its end."""

        async def scene() -> Lane:
            clock = FakeClock()
            lane = Lane(
                TENANT, self.client, FakeCredential(), Limiter(NO_CEILING, Pacer(concurrency=1), clock.monotonic),  # type: ignore[arg-type]
                LaneSettings(concurrency=1, retries=5),
                Tools(recorder=Unrecorded(), mask=mask, allow=lambda wanted: wanted, clock=clock, draw=lambda: 0.5),
                lambda lane: Looking(lane, self.gathering.look),
            )  # fmt: skip
            lane.expect(0)
            self.lane = lane
            async with anyio.create_task_group() as group:
                if meanwhile is not None:
                    group.start_soon(meanwhile, lane)
                while not lane.finished:
                    await lane.run()
            return lane

        found: Lane = in_told_time(scene)
        return found


def test_a_page_at_a_time_is_handed_on() -> None:
    """Nothing is kept for a later page, and the end is known as such."""
    desk = Desk(Server(7))
    desk.run()
    assert desk.handed == [["s0", "s1", "s2"], ["s3", "s4", "s5"], ["s6"]]
    assert (desk.gathering.pages, desk.gathering.streams, desk.gathering.is_whole) == (3, 7, True)


def test_a_stream_that_comes_again_on_a_later_page_is_handed_on_once() -> None:
    """A list that grows at its front while it is read shows again what it has shown."""
    client = Server(7)

    def grow(number: int) -> None:
        if number == 2:
            client.put("newcomer")
            client.streams.insert(0, client.streams.pop())

    client.page_script = grow
    desk = Desk(client)
    desk.run()
    assert desk.names == [f"s{i}" for i in range(7)]
    assert (desk.gathering.streams, desk.gathering.is_whole) == (7, True)


def test_pages_without_a_wanted_stream_are_passed_by() -> None:
    """They are read and counted, and nothing is handed on."""
    desk = Desk(Server(7), Wanted(names=("s3",)))
    desk.run()
    assert desk.handed == [["s3"]]
    assert (desk.gathering.pages, desk.gathering.streams, desk.gathering.is_whole) == (3, 1, True)


def test_actions_are_looked_up_once_before_the_first_that_needs_them() -> None:
    """One look-up serves all pages."""
    desk = Desk(Server(7, actions=True))
    desk.run()
    assert desk.names == [f"s{i}" for i in range(7)]
    assert desk.client.asked == 1
    assert desk.gathering.actions is not None
    assert desk.gathering.actions.by_id == {"a1": "notify"}


@pytest.mark.parametrize("count", [2, 7])
def test_a_lane_that_leaves_while_actions_are_looked_up_loses_no_page(count: int) -> None:
    """The page that waits for the names is handed on when the lane is back, be it the last or not."""
    desk = Desk(Server(count, actions=True))
    desk.client.answer = Failure("the connection was lost before an answer came", True, 0.01)

    def shoo() -> None:
        if desk.client.asked == 1:
            desk.lane.leave()
        else:
            desk.client.answer = desk.client._named()

    desk.client.on_action = shoo
    desk.run()
    assert desk.names == [f"s{i}" for i in range(count)]
    assert desk.gathering.is_whole
    assert desk.client.asked >= 2


@pytest.mark.parametrize("count", [2, 7])
@pytest.mark.parametrize("answer", [REFUSED, Reply(500, {}, b"", 0.01)])
def test_actions_that_never_come_are_no_end_of_the_list(count: int, answer: Reply | Failure) -> None:
    """The lane is stopped, and what was not handed on is not passed for seen, also where it was the last page."""
    desk = Desk(Server(count, actions=True))
    desk.client.answer = answer
    lane = desk.run()
    assert lane.stopped is not None
    assert (desk.handed, desk.gathering.is_whole) == ([], False)


def test_a_refusal_to_name_actions_is_no_end() -> None:
    """Ids will do; why there is no more is kept for whoever tells."""
    desk = Desk(Server(4, actions=True))
    body = {"statusCode": 403, "error": "Forbidden", "message": "Insufficient scope, expected any of: read:actions"}
    desk.client.answer = Reply(403, {}, json.dumps(body).encode(), 0.01)
    lane = desk.run()
    assert (lane.stopped, desk.gathering.is_whole, desk.client.asked) == (None, True, 1)
    assert desk.gathering.actions is not None
    assert desk.gathering.actions.refused == "Insufficient scope, expected any of: read:actions"
