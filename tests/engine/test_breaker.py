"""A tenant that is down for a while: who waits, who probes, what it costs, and when it is given up."""

from __future__ import annotations

import asyncio
import math
import re
from collections import Counter
from itertools import pairwise
from typing import Any

import anyio
import pytest

from bulkstreams.core.outage import LOSSES, PATIENCE_S, PAUSE_CAP_S
from bulkstreams.engine.lane import Lane
from bulkstreams.errors import CredentialsError, TokenUnreachedError
from bulkstreams.model import Failure
from tests.engine.fakes import LOST, NOON, After, FakeCredential, Rig, ScriptedClient, webhook, webhooks

REFUSED = Failure("no connection to example.com:443 (Connection refused)", False, 0.001)
FOREVER = math.inf


class Failing(ScriptedClient):
    """A server that is down from one instant to another: it answers whatever `trouble` says; else it is well."""

    def __init__(self, trouble: Any, begins: float, ends: float, *, dying: Any = None) -> None:
        super().__init__(lambda _name, _n: self._told() or "ok")
        self.trouble, self.begins, self.ends, self.dying = trouble, begins, ends, dying
        self.page_script = lambda _n: self._told()

    def _told(self) -> Any:
        now = asyncio.get_running_loop().time()
        if not self.begins <= now < self.ends:
            return None
        if self.dying is not None and now < self.begins + self.took_s:
            return self.dying  # it was under way when the server died
        return self.trouble

    def asked(self) -> list[float]:
        """Return when it was asked anything while it was down."""
        both = [at for at, _ in self.creates] + [at for at, _ in self.pages]
        return sorted(at for at in both if self.begins <= at < self.ends)


@pytest.mark.parametrize("lasts", [0.5, 30.0, 120.0])
@pytest.mark.parametrize("dying", [LOST, After(LOST), REFUSED])
@pytest.mark.parametrize("concurrency", [1, 8])
def test_an_outage_in_the_middle_of_a_run_costs_nothing_but_its_time(
    lasts: float, dying: object, concurrency: int
) -> None:
    """Everything is created once; nothing is exhausted; the server was hardly asked while it was down."""
    client = Failing(REFUSED, 1.0, 1.0 + lasts, dying=dying)
    rig = Rig(webhooks(1500), client, concurrency=concurrency)
    lane = rig.run()
    assert lane.stopped is None
    assert rig.ledger.counts() == {"created": 1500}
    assert len(client.streams) == 1500
    assert len(client.asked()) <= 2 * concurrency + 12
    assert max(one.attempts for one in rig.ledger.settlements.values()) <= 4


@pytest.mark.parametrize("lasts", [10.0, 60.0, 200.0])
@pytest.mark.parametrize("retries", [1, 5])
def test_the_last_record_of_all_is_not_used_up_by_probes(lasts: float, retries: int) -> None:
    """Where its last attempt would be a probe's, a look-up probes in its place until the tenant answers."""
    client = Failing(REFUSED, 0.015, lasts)
    rig = Rig(webhooks(2), client, retries=retries)
    lane = rig.run()
    assert lane.stopped is None
    assert rig.ledger.counts() == {"created": 2}
    assert client.pages


@pytest.mark.parametrize("status", [500, 503, Failure("no answer within 30 s", True, 30.0)])
def test_a_server_that_only_errs_for_a_while_is_waited_for(status: object) -> None:
    """After a good handful of useless answers in a row the lane pauses instead of pouring all records into doubt."""
    client = Failing(status, 1.0, 61.0)
    rig = Rig(webhooks(1500), client, concurrency=8)
    lane = rig.run()
    assert lane.stopped is None
    assert rig.ledger.counts() == {"created": 1500}
    assert len(client.streams) == 1500
    assert len(client.asked()) <= LOSSES + 2 * 8 + 12


def test_single_losses_pause_nobody() -> None:
    """Two creates in five are lost, as in the torture: the lane flows, but for a pause in ten thousand creates."""
    client = ScriptedClient()
    client.script = lambda name, n: After(LOST) if n == 1 and int(name[1:]) % 5 in {1, 3} else "ok"
    rig = Rig(webhooks(1000), client, concurrency=8)
    paused: list[str] = []

    async def watch(lane: Lane) -> None:
        while not lane.finished:
            paused.extend([lane.limiter.reason] if lane.breaker.is_open else [])
            await anyio.sleep(0.01)

    rig.run(meanwhile=watch)
    assert rig.ledger.counts() == {"created": 1000}
    assert paused == []


def test_while_the_tenant_is_down_one_request_at_a_time_probes_and_each_is_another_record() -> None:
    """A failed probe goes to the back, and those that wait are not charged an attempt."""
    client = Failing(REFUSED, 1.0, 16.0)
    rig = Rig(webhooks(600), client, concurrency=4)
    rig.run()
    probes = [(at, name) for at, name in client.creates if 1.0 + 2 * client.took_s <= at < 16.0]
    assert 3 <= len(probes) <= 8
    assert len({name for _, name in probes}) == len(probes)
    gaps = [later - earlier for (earlier, _), (later, _) in pairwise(probes)]
    assert gaps == sorted(gaps)
    charged = Counter(one.attempts for one in rig.ledger.settlements.values())
    assert charged[1] >= 600 - len(probes) - 1
    assert max(charged) == 2


def test_after_an_outage_the_lane_goes_on_gently() -> None:
    """The server that has just come back gets one request, then two, then four at once, up to what it had before."""
    client = Failing(REFUSED, 0.3, 11.0)
    seen: list[tuple[float, int]] = []
    create = client.create

    async def noting(body: bytes, token: str) -> Any:
        seen.append((asyncio.get_running_loop().time(), client.at_once + 1))
        return await create(body, token)

    client.create = noting  # type: ignore[method-assign]
    rig = Rig(webhooks(1000), client, concurrency=16)
    rig.run()
    assert rig.ledger.counts() == {"created": 1000}
    after = [width for at, width in seen if at >= 11.0]
    assert after[0] == 1
    assert [max(after[:count]) for count in (1, 3, 7, 15)] <= [1, 2, 4, 8]
    assert max(after) == 16


def test_doubts_are_looked_up_first_once_the_tenant_is_back() -> None:
    """A look-up is the better probe: it costs no record an attempt, and clears what the outage left behind."""
    client = Failing(REFUSED, 1.0, 20.0, dying=After(LOST))
    rig = Rig(webhooks(600), client, concurrency=4)
    rig.run()
    assert rig.ledger.counts() == {"created": 600}
    assert sum(one.recovered for one in rig.ledger.settlements.values()) >= 1
    late = [at for at, _ in client.creates if 1.0 + 2.0 + PAUSE_CAP_S / 10 <= at < 20.0]
    assert late == []
    assert min(at for at, _ in client.pages if at >= 20.0) <= min(at for at, _ in client.creates if at >= 20.0)


def test_a_survey_waits_for_a_tenant_that_had_answered() -> None:
    """Its next page is asked for until it comes: five failures in a row no longer end it."""
    client = Failing(503, 0.015, 45.0)
    client.page_size = 2
    for i in range(6):
        client.add(webhook(f"s{i}"), at=NOON - 1e6)
    rig = Rig(webhooks(8), client)
    lane = rig.run(survey=True)
    assert lane.stopped is None
    assert rig.ledger.counts() == {"exists": 6, "created": 2}
    assert 7 <= len(client.asked()) <= LOSSES + 8


def test_a_list_that_cannot_be_read_still_stops_the_lane() -> None:
    """Pages that are none are no outage: after several the lane says so."""
    client = ScriptedClient(lambda name, n: LOST)
    client.page_script = lambda n: client.reply(200, {"nothing": 1}) if n > 1 else None
    rig = Rig(webhooks(3), client)
    lane = rig.run(survey=True)
    assert "a page that cannot be read" in str(lane.stopped)
    assert rig.ledger.counts() == {"in_doubt": 3}
    assert len(client.pages) == 7


def test_a_tenant_that_does_not_come_back_is_given_up_when_patience_ends() -> None:
    """The first hundred records are exhausted, the rest is pending, and the reason says how long it was tried."""
    client = Failing(REFUSED, 1.0, FOREVER)
    rig = Rig(webhooks(1500), client, concurrency=8)
    lane = rig.run()
    counts = rig.ledger.counts()
    assert counts == {"created": counts["created"], "exhausted": 100, "pending": 1400 - counts["created"]}
    assert f"acme cannot be reached: {REFUSED.reason}; tried" in str(lane.stopped)
    assert "it resumes" in lane.stop_hint
    assert PATIENCE_S <= client.asked()[-1] - client.begins <= PATIENCE_S + 2
    assert len(client.asked()) <= 8 + 16
    exhausted = [one for one in rig.ledger.settlements.values() if one.state == "exhausted"]
    assert {one.message for one in exhausted} == {f"never sent: {REFUSED.reason}"}


@pytest.mark.parametrize("count", [2, 20])
def test_the_last_few_records_of_a_tenant_that_does_not_come_back_are_exhausted(count: int) -> None:
    """Nothing is left to stop for: the run ends with every record told."""
    client = Failing(REFUSED, 0.015, FOREVER)
    rig = Rig(webhooks(count), client, concurrency=1)
    lane = rig.run()
    assert rig.ledger.counts() == {"created": 1, "exhausted": count - 1}
    assert lane.stopped is None
    assert {one.attempts for one in rig.ledger.settlements.values() if one.state == "exhausted"} == {6}


@pytest.mark.parametrize("trouble", [REFUSED, 503, LOST])
def test_doubts_stay_doubts_where_their_tenant_is_given_up(trouble: object) -> None:
    """Without evidence nothing becomes of them; the lane stops and says so, and nothing was sent twice."""
    client = Failing(trouble, 1.0, FOREVER, dying=LOST)
    rig = Rig(webhooks(1500), client, concurrency=4)
    lane = rig.run()
    counts = rig.ledger.counts()
    assert lane.stopped is not None
    assert counts["in_doubt"] >= 1
    assert ("exhausted" in counts) == (trouble is REFUSED)
    assert counts["created"] == len(client.streams)
    assert max(Counter(name for _, name in client.creates).values()) == 1 or trouble is REFUSED
    assert "tried" in lane.stopped
    assert lane.stop_hint


def test_with_a_deadline_a_tenant_is_tried_until_then() -> None:
    """Growing pauses, no hot loop: an hour costs some seventy requests, and the reason tells of them."""
    for begins in (1.0, 0.0):
        client = Failing(REFUSED, begins, FOREVER)
        rig = Rig(webhooks(1500), client, patience_s=FOREVER)

        async def deadline(lane: Lane) -> None:
            await anyio.sleep(3600.0)
            lane.stop("the deadline of 3600 s has passed")

        lane = rig.run(survey=True, meanwhile=deadline)
        assert "the deadline of 3600 s has passed" in str(lane.stopped)
        assert f"{REFUSED.reason}; tried" in str(lane.stopped)
        assert 60 <= len(client.asked()) <= 130
        assert rig.ledger.counts().get("exhausted", 0) <= 20


@pytest.mark.parametrize("trouble", [LOST, 503])
def test_with_a_deadline_a_tenant_that_errs_from_the_start_is_tried_until_then(trouble: object) -> None:
    """Whoever says how long to try means a server that resets or errs, too, and not only one that is not there."""
    client = Failing(trouble, 0.0, FOREVER)
    rig = Rig(webhooks(5), client, patience_s=FOREVER)

    async def deadline(lane: Lane) -> None:
        await anyio.sleep(3600.0)
        lane.stop("the deadline of 3600 s has passed")

    lane = rig.run(survey=True, meanwhile=deadline)
    assert "the deadline of 3600 s has passed" in str(lane.stopped)
    assert "tried" in str(lane.stopped)
    assert 60 <= len(client.asked()) <= 130
    assert rig.ledger.counts() == {"pending": 5}


def test_what_is_told_while_it_waits() -> None:
    """The limiter says why, how often it was tried, and until when nothing is sent."""
    client = Failing(REFUSED, 1.0, 60.0)
    rig = Rig(webhooks(600), client)
    told: list[tuple[float, str]] = []

    async def watch(lane: Lane) -> None:
        await anyio.sleep(20.0)
        told.append((lane.limiter.resume_at - 20.0, lane.limiter.reason))

    rig.run(meanwhile=watch)
    ((wait, reason),) = told
    assert 0.0 < wait <= PAUSE_CAP_S
    assert re.fullmatch(rf"{re.escape(REFUSED.reason)}; then a probe, \d+ failed so far", reason)


@pytest.mark.parametrize("stop_at", [1.005, 1.2, 2.0, 5.0])
def test_a_lane_that_is_stopped_while_its_tenant_is_down_ends_at_once(stop_at: float) -> None:
    """Nobody waits for the next probe: what was claimed is pending again, at most one attempt poorer."""
    client = Failing(REFUSED, 1.0, FOREVER)
    rig = Rig(webhooks(1500), client)

    async def stop(lane: Lane) -> None:
        await anyio.sleep(stop_at)
        lane.stop("interrupted")

    rig.run(meanwhile=stop)
    assert rig.ended_at <= stop_at + 0.1
    counts = rig.ledger.counts()
    assert counts == {"created": counts["created"], "pending": 1500 - counts["created"]}


def test_a_lane_beside_one_that_is_down_loses_nothing() -> None:
    """Two lanes of one recorder: the healthy one is done as early as if it were alone."""
    alone = Rig(webhooks(400), ScriptedClient(), concurrency=4)
    alone.run()
    beside = Rig(webhooks(400), ScriptedClient(), concurrency=4)
    down = Rig(webhooks(400), Failing(REFUSED, 0.5, 100.0), concurrency=4)

    async def sick(_lane: Lane) -> None:
        await down.scene()

    beside.run(meanwhile=sick)
    assert down.ledger.counts() == beside.ledger.counts() == {"created": 400}
    assert beside.ended_at <= 1.01 * alone.ended_at
    assert down.ended_at >= 100.0


class Fleeting(FakeCredential):
    """A token that expires at an instant, and a token endpoint that is down until another."""

    def __init__(self, expires: float, back: float, error: CredentialsError | None = None) -> None:
        super().__init__()
        self.expires, self.back = expires, back
        self.error = error or TokenUnreachedError("no token could be had.", hint="Check it.")
        self.asked: list[float] = []
        self._lock = anyio.Lock()

    def current(self) -> str | None:
        """Return the token until it expires, and again once another was fetched."""
        return f"t{self.number}" if self.number > 1 or asyncio.get_running_loop().time() < self.expires else None

    async def token(self) -> str:
        """Return another token, where the endpoint answers."""
        async with self._lock:
            if (found := self.current()) is not None:
                return found
            self.asked.append(asyncio.get_running_loop().time())
            await anyio.sleep(0.5)
            if asyncio.get_running_loop().time() < self.back:
                raise self.error
            self.number += 1
            return f"t{self.number}"


def test_a_token_endpoint_that_gives_no_answer_is_waited_for_like_the_tenant() -> None:
    """The token expires in the middle of a run while its endpoint is down: the lane pauses, and goes on."""
    credential = Fleeting(1.0, 40.0)
    rig = Rig(webhooks(1000), concurrency=4, credential=credential)
    lane = rig.run(survey=True)
    assert lane.stopped is None
    assert rig.ledger.counts() == {"created": 1000}
    assert 4 <= len(credential.asked) <= 16
    gaps = [later - earlier for earlier, later in pairwise(credential.asked[4:])]
    assert gaps == sorted(gaps)
    assert {one.attempts for one in rig.ledger.settlements.values()} == {1}


def test_a_look_up_waits_for_its_token_too() -> None:
    """A survey whose token expires between its pages goes on with the page that it was at."""
    client = ScriptedClient()
    client.page_size, client.page_took_s = 1, 0.4
    for i in range(5):
        client.add(webhook(f"s{i}"), at=NOON - 1e6)
    rig = Rig(webhooks(6), client, credential=Fleeting(1.0, 40.0))
    lane = rig.run(survey=True)
    assert lane.stopped is None
    assert rig.ledger.counts() == {"exists": 5, "created": 1}
    assert len(client.pages) == 5


@pytest.mark.parametrize(
    ("expires", "error"), [(0.0, TokenUnreachedError("why", hint="Check.")), (1.0, CredentialsError("why", hint="x"))]
)
def test_a_refused_credential_or_a_tenant_that_never_answered_stops_at_once(
    expires: float, error: CredentialsError
) -> None:
    """Waiting helps neither: nothing more is sent, and everything is pending."""
    credential = Fleeting(expires, FOREVER, error)
    rig = Rig(webhooks(1000), concurrency=4, credential=credential)
    lane = rig.run(survey=True)
    assert lane.stopped == "why"
    assert set(rig.ledger.counts()) <= {"created", "pending"}
    assert len(credential.asked) <= 4
    assert rig.ended_at < 5.0


def test_a_token_endpoint_that_does_not_come_back_stops_the_lane_when_patience_ends() -> None:
    """Nothing is exhausted: what was never tried is pending, and the reason is the endpoint's."""
    credential = Fleeting(1.0, FOREVER)
    rig = Rig(webhooks(1000), concurrency=4, credential=credential)
    lane = rig.run(survey=True)
    assert "no token could be had" in str(lane.stopped)
    assert set(rig.ledger.counts()) == {"created", "pending"}
    assert PATIENCE_S <= rig.ended_at <= 1.2 * PATIENCE_S
    assert len(credential.asked) <= 20


class SlowToFail(ScriptedClient):
    """A server whose refusals to connect take a while."""

    async def create(self, body: bytes, token: str) -> Any:
        """Take a create."""
        answer = await super().create(body, token)
        if answer is REFUSED:
            await anyio.sleep(1.0)
        return answer


def test_a_tenant_that_is_given_up_as_its_lane_leaves_is_not_looked_at_for_ever() -> None:
    """The last probe fails while the lane drains: what is in doubt stays so, and the lane stops and wants no seat."""
    client = SlowToFail(lambda name, _n: {"s0": "ok", "s1": LOST, "s2": REFUSED}[name])
    rig = Rig(webhooks(3), client, concurrency=2, patience_s=0.1)

    async def leave(lane: Lane) -> None:
        await anyio.sleep(0.3)
        lane.leave()

    lane = rig.run(meanwhile=leave)
    assert rig.ledger.counts() == {"created": 1, "in_doubt": 1, "exhausted": 1}
    assert lane.stopped is not None
    assert lane.finished
    assert client.pages == []
