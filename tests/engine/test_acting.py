"""The look-up of a tenant's actions: every page, whatever the server makes of pages; and what a name stands for."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import pytest

from bulkstreams.core.pacing import Pacer
from bulkstreams.engine import acting
from bulkstreams.engine.acting import Actions, LookUp, Refused, look_up
from bulkstreams.engine.lane import Lane
from bulkstreams.engine.looking import Looking
from bulkstreams.engine.recorder import Unrecorded
from bulkstreams.engine.tools import LaneSettings, Tools
from bulkstreams.errors import ActionError
from bulkstreams.limiter import Limiter
from bulkstreams.model import Failure
from bulkstreams.schema import NamedAction
from bulkstreams.secrets import mask
from tests.engine.fakes import NO_CEILING, TENANT, FakeClock, FakeCredential, ScriptedClient, in_told_time

REFUSED = Failure("no connection to example.com:443 (refused)", False, 0.01)
ALL = {f"n{i}": [f"act_{i}"] for i in range(7)}


def server(count: int = 7) -> ScriptedClient:
    """Return a server with actions, three on a page."""
    client = ScriptedClient()
    client.page_size = 3
    client.known_actions = [{"id": f"act_{i}", "name": f"n{i}", "code": "…"} for i in range(count)]
    return client


class Looker:
    """A lane at a scripted server that looks its actions up, from seat to seat to its end."""

    def __init__(self, client: ScriptedClient, *, wished: bool = False) -> None:
        self.client, self.wished = client, wished
        self.found: Actions | Refused | None = None
        self.look_up: LookUp | None = None
        self.lane: Lane

    async def _look(self, lane: Lane) -> bool:
        self.look_up = self.look_up or LookUp(lane, wished=self.wished)
        self.found = await self.look_up.run()
        return self.found is not None

    async def scene(self, meanwhile: Callable[[Lane], Awaitable[None]] | None = None) -> None:
        """Run the lane on the loop that is there."""
        clock = FakeClock()
        self.lane = lane = Lane(
            TENANT, self.client, FakeCredential(), Limiter(NO_CEILING, Pacer(concurrency=4), clock.monotonic),  # type: ignore[arg-type]
            LaneSettings(concurrency=4, retries=5),
            Tools(recorder=Unrecorded(), mask=mask, allow=lambda wanted: wanted, clock=clock, draw=lambda: 0.5),
            lambda lane: Looking(lane, self._look),
        )  # fmt: skip
        lane.expect(0)
        async with anyio.create_task_group() as group:
            if meanwhile is not None:
                group.start_soon(meanwhile, lane)
            while not lane.finished:
                await lane.run()

    def run(self, meanwhile: Callable[[Lane], Awaitable[None]] | None = None) -> Looker:
        """Run the lane in told time."""
        in_told_time(lambda: self.scene(meanwhile))
        return self


def found_at(client: ScriptedClient) -> Any:
    """Return the ids by name that a look-up finds at a server."""
    looker = Looker(client).run()
    assert isinstance(looker.found, Actions), looker.lane.stopped
    return looker.found.ids


def test_all_actions_are_found_a_page_at_a_time() -> None:
    """The pages are numbered from nought, and none is asked for that cannot hold another one."""
    client = server()
    assert found_at(client) == ALL
    assert [page for _, page in client.asked_actions] == [0, 1, 2]


@pytest.mark.parametrize("count", [0, 1, 3])
def test_a_tenant_with_few_actions_costs_one_request(count: int) -> None:
    """The total says that there is no other page."""
    client = server(count)
    assert len(found_at(client)) == count
    assert len(client.asked_actions) == 1


def shown(client: ScriptedClient, page: int | None, **around: Any) -> Any:
    """Return a page of a server's actions, or all of them, as one that tells no total shows it."""
    start = 0 if page is None else 3 * page
    found = client.known_actions[start:] if page is None else client.known_actions[start : start + 3]
    return client.reply(200, {"actions": found, **around} if around else found)


@pytest.mark.parametrize(
    ("page_of", "around", "requests"),
    [
        (lambda n: n - 1, {}, 4),  # a bare array, and an empty page at its end
        (lambda n: n - 1, {"start": 0}, 4),  # no total
        (lambda n: n - 1, {"total": 99}, 4),  # a total that is never reached
        (lambda n: None, {}, 2),  # all on every page
        (lambda n: None, {"total": 99}, 2),
        (lambda n: min(n - 1, 2), {"total": None}, 4),  # the last page, again and again
    ],
)
def test_a_server_that_knows_little_of_pages_is_seen_to_its_end(
    page_of: Callable[[int], int | None], around: dict[str, Any], requests: int
) -> None:
    """Without a total, or with a wrong one, a page on which nothing is new is the end."""
    client = server()
    client.actions_script = lambda n: shown(client, page_of(n), **around)
    assert found_at(client) == ALL
    assert len(client.asked_actions) == requests


def test_a_list_without_an_end_stops_the_lane(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that makes up actions for ever is not followed for ever."""
    monkeypatch.setattr(acting, "MOST_PAGES", 4)
    client = server(0)
    client.actions_script = lambda n: client.reply(200, [{"id": f"act_{n}", "name": f"n{n}"}])
    looker = Looker(client).run()
    assert looker.found is None
    assert looker.lane.stopped == "the actions of acme have no end: nothing was sent"
    assert len(client.asked_actions) == 4


def test_429s_errors_a_401_and_what_is_no_page_do_not_end_it() -> None:
    """Each page is asked for again, as those of a listing are."""
    client = server()
    lost = Failure("the connection was lost before an answer came", True, 0.1)
    told = {1: 429, 2: 502, 3: 401, 5: client_reply_that_is_no_page, 6: lost}

    def script(n: int) -> Any:
        answer = told.get(n)
        return answer(client) if callable(answer) else answer

    client.actions_script = script
    assert found_at(client) == ALL
    assert [page for _, page in client.asked_actions] == [0, 0, 0, 0, 1, 1, 1, 2]
    assert set(client.tokens) == {"t1", "t2"}


def client_reply_that_is_no_page(client: ScriptedClient) -> Any:
    """Return a 200 with an action that has no id."""
    return client.reply(200, {"actions": [{"name": "n9"}], "total": 1})


@pytest.mark.parametrize("status", [500, 400])
def test_a_list_that_never_comes_stops_the_lane(status: int) -> None:
    """What could not be seen to its end is not passed for seen."""
    client = server()
    client.actions_script = lambda n: None if n == 1 else status
    looker = Looker(client).run()
    assert looker.found is None
    assert str(looker.lane.stopped).startswith("the actions of acme could not be looked up")
    assert "nothing was sent" in str(looker.lane.stopped)


def test_a_403_stops_the_lane_and_names_the_scope() -> None:
    """The remedy is another scope than that of the lane's other work, or to need none; a token is masked."""
    client = server()
    client.actions_script = lambda _n: client.reply(403, {"message": "Insufficient scope (t1)"})
    looker = Looker(client).run()
    assert looker.found is None
    assert looker.lane.stopped == "acme answered 403 to the look-up of its actions: Insufficient scope (***)"
    assert looker.lane.stop_hint.startswith("Give the client the scope read:actions, or ")
    assert len(client.asked_actions) == 1


def test_a_404_stops_the_lane_as_a_wrong_address() -> None:
    """A host without such a list is not the API."""
    client = server()
    client.actions_script = lambda _n: 404
    looker = Looker(client).run()
    assert "answered 404" in str(looker.lane.stopped)
    assert "address" in looker.lane.stop_hint


@pytest.mark.parametrize("status", [403, 404])
def test_names_that_are_only_wished_for_may_be_refused(status: int) -> None:
    """Whoever can do without is told why, and the lane goes on."""
    client = server()
    client.actions_script = lambda n: None if n == 1 else status
    looker = Looker(client, wished=True).run()
    assert looker.found == Refused(f"says {status}")
    assert looker.lane.stopped is None
    client.actions_script = lambda _n: client.reply(status, {"message": ""})
    assert Looker(client, wished=True).run().found == Refused(f"the server answered {status}")


def test_a_tenant_that_was_never_reached_is_told_as_such() -> None:
    """The look-up says why, and leaves it to the lane's work what that means."""
    client = server()
    client.actions_script = lambda _n: REFUSED
    looker = Looker(client).run()
    assert looker.look_up is not None
    assert looker.look_up.unreached == REFUSED.reason
    assert "cannot be reached" in str(looker.lane.stopped)


def test_a_lane_that_left_its_seat_goes_on_with_the_page_that_comes_next() -> None:
    """No page is asked for twice."""
    client = server()

    async def shoo(lane: Lane) -> None:
        await anyio.sleep(0.015)
        lane.leave()

    looker = Looker(client).run(shoo)
    assert isinstance(looker.found, Actions)
    assert looker.found.ids == ALL
    assert [page for _, page in client.asked_actions] == [0, 1, 2]


def test_the_short_way_gives_the_actions_or_has_the_lane_stopped() -> None:
    """For whoever looks but once."""
    found: list[Actions | None] = []

    async def once(client: ScriptedClient) -> Lane:
        looker = Looker(client)
        await looker.scene()
        looker.lane.finished = False
        found.append(await look_up(looker.lane))
        return looker.lane

    in_told_time(lambda: once(server()))
    assert found[0] is not None
    assert found[0].ids == ALL
    client = server()
    client.actions_script = lambda n: 403 if n > 3 else None
    lane = in_told_time(lambda: once(client))
    assert found[1] is None
    assert "403" in str(lane.stopped)


# -- names ------------------------------------------------------------------------------------------------------------


def actions(*found: tuple[str, str | None]) -> Actions:
    """Return a tenant's actions."""
    return Actions.of(TENANT, [NamedAction(*one) for one in found])


def said(among: Actions, name: str) -> str:
    """Return what is said of a name that stands for no action."""
    with pytest.raises(ActionError) as caught:
        among.find(name)
    return caught.value.message


def test_a_name_that_one_action_has_stands_for_it() -> None:
    """Only such names are told of ids; an action without a name is passed over."""
    among = actions(("a", "Audit"), ("b", "Log"), ("c", "Log"), ("d", None))
    assert among.find("Audit") == "a"
    assert among.ids == {"Audit": ["a"], "Log": ["b", "c"]}
    assert among.names == {"a": "Audit"}


def test_of_an_unknown_name_the_near_ones_are_told() -> None:
    """The nearest first, three at most; what would garble a terminal is escaped."""
    among = actions(*((f"act_{i}", f"audit log {i}") for i in range(9)), ("m", "moon\x1b"))
    wrong = "destination.configuration.action_id: acme has no action named"
    assert said(among, "audit lag 3").startswith(f'{wrong} "audit lag 3" (did you mean "audit log 3" or "audit log ')
    assert said(among, "audit lag 3").count("audit log") == 3
    assert said(among, "moon") == f'{wrong} "moon" (did you mean "moon\\u001b"?)'
    assert said(among, "sunshine") == f'{wrong} "sunshine" among its 10'
    assert said(actions(), "a") == f'{wrong} "a", nor any other'


def test_of_a_name_that_several_have_the_ids_are_told() -> None:
    """Five at most: whoever wrote the name can write the id."""
    wrong = "destination.configuration.action_id: acme has"
    remedy = "; write out the id of the one that is meant"
    assert said(actions(("a", "Log"), ("b", "Log")), "Log") == f'{wrong} 2 actions named "Log" ("a", "b"){remedy}'
    seven = actions(*((f"act_{i}", "Log") for i in range(7)))
    assert said(seven, "Log") == (
        f'{wrong} 7 actions named "Log" ("act_0", "act_1", "act_2", "act_3", "act_4", …){remedy}'
    )
