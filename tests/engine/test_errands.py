"""The work of a lane that does something with streams after their creation, at a server that follows a script."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import anyio
import pytest

from bulkstreams.core.errands import Errand, Fate, Kind, Outcome
from bulkstreams.core.matching import digest
from bulkstreams.core.metrics import Tally
from bulkstreams.core.pacing import Ceiling, Pacer
from bulkstreams.core.steps import FRESH_S
from bulkstreams.engine.errands import Errands, Manner
from bulkstreams.engine.lane import Lane
from bulkstreams.engine.outlook import Outlook
from bulkstreams.engine.recorder import Recorder
from bulkstreams.engine.tools import LaneSettings, Tools
from bulkstreams.limiter import Limiter
from bulkstreams.model import Failure, Reply, TenantName
from bulkstreams.secrets import mask
from tests.engine.fakes import (
    LOST,
    NO_CEILING,
    NOON,
    NOT_SENT,
    TENANT,
    FakeClock,
    FakeCredential,
    ScriptedClient,
    in_told_time,
    webhook,
)

Answer = Reply | Failure
EVENT = "user.created"


class Book:
    """Errands in memory, with the ledger's promise: nothing is durable before its commit."""

    def __init__(self, kind: Kind, streams: Sequence[dict[str, Any]], **fields: Any) -> None:
        self.kind = kind
        event = EVENT if kind is Kind.SMOKE else None
        self.errands = {
            id_: Errand(id_, id_ + 100, kind, one["id"], digest(one), event=event, **fields)
            for id_, one in enumerate(streams, 1)
        }
        self.outcomes: dict[int, Outcome] = {}
        self.intents: list[str] = []
        self.tally = Tally()
        self.claims: list[int] = []

    async def claim(self, tenant: TenantName, after: int, count: int) -> list[Errand]:
        """Return the next that are pending."""
        await anyio.sleep(0.001)
        found = [one for id_, one in self.errands.items() if id_ > after and self.fate(id_) is Fate.PENDING][:count]
        self.claims += [one.id for one in found]
        return found

    async def settle(self, settlements: Sequence[Outcome], tally: Tally) -> None:
        """Remember what became of some."""
        await anyio.sleep(0.001)
        for one in settlements:
            assert self.fate(one.id) is Fate.PENDING, "a fate is met once"
            before = self.errands[one.id]
            self.outcomes[one.id] = one
            self.errands[one.id] = before._replace(
                attempts=one.attempts, intent_at=one.intent_at, delivery=one.delivery
            )  # fmt: skip
            if one.intent_at is not None:
                self.intents.append(before.remote_id)
        self.tally.add(tally)

    def fate(self, id_: int) -> Fate:
        """Return how an errand stands."""
        return Fate(self.outcomes[id_].state) if id_ in self.outcomes else Fate.PENDING

    def fates(self) -> list[str]:
        """Return how all of them stand."""
        return [self.fate(id_).value for id_ in self.errands]


class Tenant(ScriptedClient):
    """A server with streams. `told(request, n)` says how the n-th request of a kind and stream is answered, or None.

    `after` answers so once the request took effect.
    """

    def __init__(self, streams: int = 3) -> None:
        super().__init__()
        for i in range(streams):
            self.add(webhook(f"s{i}", status="disabled"), at=NOON)
        self.asked: list[tuple[str, str]] = []
        self.told: Callable[[str, int], Any] = lambda _request, _n: None
        self.after: Callable[[str, int], Any] = lambda _request, _n: None
        self.before_act: Callable[[str], None] = lambda _id: None
        self.deliveries_of: dict[str, list[dict[str, Any]]] = {}
        self.statuses = ["success"]
        self.since: list[str] = []

    def _find(self, stream_id: str) -> dict[str, Any] | None:
        return next((one for one in self.streams if one["id"] == stream_id), None)

    async def _serve(self, request: str, stream_id: str, token: str, effect: Callable[[], Answer]) -> Answer:
        self.asked.append((request, stream_id))
        self.tokens.append(token)
        n = self.asked.count((request, stream_id))
        await anyio.sleep(0.01)
        told = self.told(request, n)
        if told is not None:
            return self._answer(told)
        answer = effect()
        late = self.after(request, n)
        return answer if late is None else self._answer(late)

    def _absent(self) -> Reply:
        return self.reply(404, {"statusCode": 404, "message": "The requested stream does not exist."})

    async def stream(self, stream_id: str, token: str) -> Answer:
        """Show a stream."""
        return await self._serve("look", stream_id, token, lambda: self._shown(stream_id))

    def _shown(self, stream_id: str) -> Answer:
        found = self._find(stream_id)
        return self._absent() if found is None else self.reply(200, found)

    async def delete(self, stream_id: str, token: str) -> Answer:
        """Delete a stream."""
        self.before_act(stream_id)

        def effect() -> Answer:
            self.streams = [one for one in self.streams if one["id"] != stream_id]
            return self.reply(204, None)

        return await self._serve("delete", stream_id, token, effect)

    async def change(self, stream_id: str, body: bytes, token: str) -> Answer:
        """Change a stream."""
        self.before_act(stream_id)

        def effect() -> Answer:
            found = self._find(stream_id)
            if found is None:
                return self._absent()
            found |= json.loads(body) | {"updated_at": f"later than {found['updated_at']}"}
            return self.reply(200, found)

        return await self._serve("change", stream_id, token, effect)

    async def test(self, stream_id: str, body: bytes, token: str) -> Answer:
        """Take a test event."""
        self.before_act(stream_id)

        def effect() -> Answer:
            made = self.deliveries_of.setdefault(stream_id, [])
            made.append({"id": f"evt_{stream_id}_{len(made)}", "status": "pending", **json.loads(body), "attempts": []})
            return self.reply(202, made[-1])

        return await self._serve("test", stream_id, token, effect)

    async def deliveries(self, stream_id: str, event: str, since: str, token: str) -> Answer:
        """List deliveries."""
        self.since.append(since)
        found = {"deliveries": self.deliveries_of.get(stream_id, [])}
        return await self._serve("search", stream_id, token, lambda: self.reply(200, found))

    async def delivery(self, stream_id: str, event_id: str, token: str) -> Answer:
        """Show a delivery: each time it is asked for with the next of its statuses."""
        polls = self.asked.count(("poll", stream_id))
        status = self.statuses[min(polls, len(self.statuses) - 1)]
        body = {"id": event_id, "status": status, "attempts": [{"error_message": f"could not be sent with {token}"}]}
        return await self._serve("poll", stream_id, token, lambda: self.reply(200, body))

    def times(self, request: str) -> int:
        """Return how often a kind of request was made."""
        return sum(one == request for one, _ in self.asked)


class Rig:
    """One lane with everything around it faked."""

    def __init__(
        self,
        tenant: Tenant,
        kind: Kind = Kind.UNDO,
        manner: Manner | None = None,
        *,
        retries: int = 5,
        ceiling: Ceiling = NO_CEILING,
        **fields: Any,
    ) -> None:
        self.tenant = tenant
        self.book = Book(kind, tenant.streams, **fields)
        self.manner = manner or Manner()
        self.credential = FakeCredential()
        self.clock = FakeClock()
        self.retries = retries
        self.ceiling = ceiling
        self.took_s = 0.0

    def run(self, meanwhile: Callable[[Lane], Awaitable[Any]] | None = None) -> Lane:
        """Run the lane from seat to seat to its end."""

        async def told(_batch: Sequence[Outcome]) -> None:
            return None

        async def scene() -> Lane:
            recorder: Recorder[Outcome] = Recorder(self.book, told)
            lane = Lane(
                TENANT, self.tenant, self.credential, Limiter(self.ceiling, Pacer(concurrency=4), self.clock.monotonic),  # type: ignore[arg-type]
                LaneSettings(concurrency=4, retries=self.retries),
                Tools(recorder=recorder, mask=mask, allow=lambda wanted: wanted, clock=self.clock, draw=lambda: 0.5),
                lambda lane: Errands(lane, self.book, self.manner),  # type: ignore[arg-type]
            )  # fmt: skip
            lane.expect(len(self.book.errands))
            async with anyio.create_task_group() as group:
                group.start_soon(recorder.run)
                if meanwhile is not None:
                    group.start_soon(meanwhile, lane)
                while not lane.finished:
                    await lane.run()
                await recorder.flush()
                recorder.close()
            self.took_s = self.clock.monotonic()
            return lane

        found: Lane = in_told_time(scene)
        return found


def first(request: str, answer: Any, times: int = 1) -> Callable[[str, int], Any]:
    """Return a script that answers the first requests of a kind, for each stream, so."""
    return lambda asked, n: answer if asked == request and n <= times else None


# -- the plain way ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "act", "fate"),
    [(Kind.UNDO, "delete", "deleted"), (Kind.ENABLE, "change", "switched"), (Kind.SMOKE, "test", "delivered")],
)
def test_an_intent_is_durable_before_an_act_is_sent(kind: Kind, act: str, fate: str) -> None:
    """Whenever the process dies, the ledger knows what may have been done."""
    rig = Rig(Tenant(), kind)

    def judge(stream_id: str) -> None:
        assert stream_id in rig.book.intents, "it was sent before its intent was on disk"

    rig.tenant.before_act = judge
    lane = rig.run()
    assert (lane.stopped, rig.book.fates()) == (None, [fate] * 3)
    assert rig.tenant.times(act) == rig.book.tally.requests == 3
    assert (lane.left(), lane.sent) == (0, 6)


def test_the_time_left_counts_the_look_and_the_act() -> None:
    """At ten requests a second sixty streams take twelve seconds, and so it is told from the beginning."""
    rig = Rig(Tenant(60), ceiling=Ceiling(rate=10.0, burst=1))
    told: list[float] = []

    async def watch(lane: Lane) -> None:
        outlook = Outlook(rig.clock.monotonic)
        outlook.expect({TENANT: (60, 0)})
        outlook.seat(lane)
        while not lane.finished:
            ends_at = outlook.look().ends_at
            if ends_at is not None and 1.0 < rig.clock.monotonic() < 11.0:
                told.append(ends_at)
            await anyio.sleep(0.25)

    rig.run(watch)
    assert rig.took_s == pytest.approx(12.0, abs=0.5)
    assert len(told) > 20
    assert all(at == pytest.approx(12.0, abs=2.0) for at in told)


def test_before_the_first_look_the_list_is_asked_for() -> None:
    """A wrong address would answer 404 for every stream: it is known as such before any of them is asked for."""
    rig = Rig(Tenant())
    rig.tenant.page_script = lambda _n: 404
    lane = rig.run()
    assert lane.stopped is not None
    assert "answered 404" in lane.stopped
    assert rig.tenant.asked == []
    assert rig.book.fates() == ["pending"] * 3


def test_a_switch_remembers_how_it_left_the_stream() -> None:
    """Its status, and the instant that the answer told."""
    rig = Rig(Tenant(1), Kind.ENABLE)
    rig.run()
    one = rig.book.outcomes[1]
    assert (one.status, one.updated_at) == ("enabled", rig.tenant.streams[0]["updated_at"])


@pytest.mark.parametrize("kind", [Kind.UNDO, Kind.ENABLE])
def test_who_only_asks_what_would_be_done_acts_on_nothing(kind: Kind) -> None:
    """The fates are those that would be met."""
    rig = Rig(Tenant(), kind, Manner(dry=True))
    rig.run()
    assert rig.book.fates() == ["deleted" if kind is Kind.UNDO else "switched"] * 3
    assert {request for request, _ in rig.tenant.asked} == {"look"}
    assert rig.book.intents == []


# -- what may come back -----------------------------------------------------------------------------------------------


def test_a_lost_act_settles_before_it_is_looked_up() -> None:
    """The server may still be at it."""
    rig = Rig(Tenant(1))
    rig.tenant.after = first("delete", LOST)
    rig.run()
    assert rig.book.fates() == ["deleted"]
    assert [request for request, _ in rig.tenant.asked] == ["look", "delete", "look"]
    assert rig.took_s >= 2.0


@pytest.mark.parametrize("answer", [LOST, 500, 502, 524, Reply(200, {}, b"{", 0.01)])
def test_a_look_that_brings_nothing_is_repeated(answer: Any) -> None:
    """It changed nothing, so only a moment passes."""
    rig = Rig(Tenant(1))
    rig.tenant.told = first("look", answer, 2)
    rig.run()
    assert [request for request, _ in rig.tenant.asked] == ["look", "look", "look", "delete"]
    assert rig.book.outcomes[1].attempts == 2


def test_a_404_that_is_not_the_apis_own_says_nothing_of_a_stream() -> None:
    """Somebody before the API knows of no such page: the stream is not gone for that."""
    rig = Rig(Tenant(1), retries=1)
    rig.tenant.told = first("look", Reply(404, {}, b"<html>not here</html>", 0.01), 9)
    rig.run()
    assert rig.book.fates() == ["failed"]
    assert rig.book.outcomes[1].message == "could not be looked at: the server answered 404"


def test_a_429_costs_no_attempt() -> None:
    """However many come."""
    rig = Rig(Tenant(2), retries=0)
    rig.tenant.told = lambda request, n: 429 if request == "delete" and n <= 3 else None
    rig.run()
    assert rig.book.fates() == ["deleted"] * 2
    assert [one.attempts for one in rig.book.outcomes.values()] == [0, 0]
    assert rig.book.tally.throttled == 6


def test_a_401_renews_the_token_and_goes_on() -> None:
    """The same step is taken again with another."""
    rig = Rig(Tenant(1))
    rig.tenant.told = first("delete", 401)
    rig.run()
    assert rig.book.fates() == ["deleted"]
    assert rig.tenant.tokens[-1] == "t2"


def test_a_token_that_cannot_be_renewed_stops_the_lane() -> None:
    """What was not done is pending, and no intent of what was never applied is left."""
    rig = Rig(Tenant(1))
    rig.tenant.told = first("delete", 401, 9)
    lane = rig.run()
    assert lane.stopped is not None
    assert rig.book.fates() == ["pending"]
    assert rig.book.errands[1].intent_at is None


@pytest.mark.parametrize(
    ("kind", "request_", "scope"),
    [
        (Kind.UNDO, "delete", "delete:event_streams"),
        (Kind.DISABLE, "look", "read:event_streams"),
        (Kind.SMOKE, "poll", "read:event_deliveries"),
    ],
)
def test_a_403_stops_the_lane_and_names_the_scopes(kind: Kind, request_: str, scope: str) -> None:
    """Those of its own kind."""
    rig = Rig(Tenant(2), kind)
    rig.tenant.told = first(request_, 403, 9)
    lane = rig.run()
    assert lane.stopped is not None
    assert "answered 403" in lane.stopped
    assert scope in lane.stop_hint
    assert rig.book.fates() == ["pending"] * 2


def test_a_refusal_is_told_in_the_apis_words_without_the_token() -> None:
    """Its code and message; what is secret is masked."""
    rig = Rig(Tenant(1))
    body = {"statusCode": 400, "message": "no: Bearer t1", "errorCode": "invalid_body"}
    rig.tenant.told = first("delete", Reply(400, {}, json.dumps(body).encode(), 0.01))
    rig.run()
    one = rig.book.outcomes[1]
    assert (one.state, one.http_status, one.error_code, one.message) == (
        "failed",
        400,
        "invalid_body",
        "no: Bearer ***",
    )


def test_a_tenant_that_cannot_be_reached_fails_nothing() -> None:
    """When it is given up, all is pending, for the same command to go on with."""
    rig = Rig(Tenant(3), retries=0)
    rig.tenant.told = lambda request, _n: NOT_SENT
    lane = rig.run()
    assert lane.stopped is not None
    assert "cannot be reached" in lane.stopped
    assert rig.book.fates() == ["pending"] * 3
    assert rig.took_s > 100.0, "it was waited for"


def test_an_outage_costs_no_attempts() -> None:
    """A server that fails for a minute, and is back: every errand is done, though none may be retried often."""
    rig = Rig(Tenant(3), retries=4)
    rig.tenant.told = lambda _request, _n: 503 if 0.05 < rig.clock.monotonic() < 60.0 else None
    rig.run()
    assert rig.book.fates() == ["deleted"] * 3


def test_a_look_that_has_grown_old_is_repeated_before_the_act() -> None:
    """A pause of minutes came between: somebody may have changed the stream meanwhile."""
    rig = Rig(Tenant(1))
    throttled = anyio.Event()

    def told(request: str, n: int) -> Any:
        if request == "delete" and n == 1:
            throttled.set()
            return 429
        return None

    rig.tenant.told = told

    async def pause(lane: Lane) -> None:
        await throttled.wait()
        lane.limiter.pause(FRESH_S + 5.0, "a test")
        await anyio.sleep(1.0)
        rig.tenant.streams[0]["updated_at"] = "changed"

    rig.run(pause)
    assert [request for request, _ in rig.tenant.asked] == ["look", "delete", "look"]
    assert rig.book.fates() == ["changed"]


def test_at_a_slow_gate_each_act_follows_its_look() -> None:
    """However many wait there: what was looked at goes next, and nobody has time to change it in between."""
    rig = Rig(Tenant(12), ceiling=Ceiling(rate=2.0, burst=1))
    rig.run()
    assert rig.book.fates() == ["deleted"] * 12
    looked, deleted = rig.tenant.asked[::2], rig.tenant.asked[1::2]
    assert {request for request, _ in looked} == {"look"}
    assert deleted == [("delete", id_) for _, id_ in looked]


def test_an_act_that_is_refused_for_now_goes_first_when_it_may() -> None:
    """A 429 sends it back to the gate, where it passes all who only want to look."""
    rig = Rig(Tenant(12), ceiling=Ceiling(rate=2.0, burst=1))
    streams = rig.tenant.streams
    rig.tenant.told = first("delete", 429)
    rig.run()
    assert rig.book.fates() == ["deleted"] * 12
    ids = [one["id"] for one in streams]
    assert rig.tenant.asked == [(request, id_) for id_ in ids for request in ("look", "delete", "delete")]


# -- seats, stops -----------------------------------------------------------------------------------------------------


def test_a_lane_that_leaves_its_seat_goes_on_where_it_was() -> None:
    """What it gave back is claimed again, and nothing is done twice."""
    rig = Rig(Tenant(40))

    async def shoo(lane: Lane) -> None:
        for _ in range(4):
            await anyio.sleep(0.05)
            lane.leave()

    lane = rig.run(shoo)
    assert (lane.stopped, rig.book.fates()) == (None, ["deleted"] * 40)
    assert rig.tenant.times("delete") == 40
    assert len(rig.book.claims) > 40


def test_a_lane_that_is_stopped_leaves_what_was_not_done() -> None:
    """What was under way ends in order, and what was only intended leaves no intent."""
    rig = Rig(Tenant(40))

    async def stop(lane: Lane) -> None:
        await anyio.sleep(0.1)
        lane.stop("enough")

    lane = rig.run(stop)
    assert lane.stopped == "enough"
    assert rig.tenant.times("delete") == rig.book.fates().count("deleted")
    left = [one for id_, one in rig.book.errands.items() if rig.book.fate(id_) is Fate.PENDING]
    assert left
    assert all(one.intent_at is None for one in left)


def test_a_lost_act_that_is_not_looked_up_any_more_keeps_its_intent() -> None:
    """The next command waits for it."""
    rig = Rig(Tenant(1))
    rig.tenant.after = first("delete", LOST)

    async def stop(lane: Lane) -> None:
        await anyio.sleep(1.0)
        lane.stop("enough")

    rig.run(stop)
    assert rig.book.fates() == ["pending"]
    assert rig.book.errands[1].intent_at is not None


def test_an_errand_of_an_earlier_process_settles_first() -> None:
    """Its act may have been sent a moment ago; a stream that is gone then was deleted by us."""
    tenant = Tenant(1)
    rig = Rig(tenant, intent_at=NOON)
    tenant.streams.clear()
    rig.run()
    assert rig.book.fates() == ["deleted"]
    assert rig.took_s >= 2.0


def test_giving_up_gives_back() -> None:
    """Whoever has a lane give its claims up has them pending again."""
    rig = Rig(Tenant(1))

    async def scene() -> None:
        recorder: Recorder[Outcome] = Recorder(rig.book, _nobody)
        tools = Tools(recorder=recorder, mask=mask, allow=lambda wanted: wanted, clock=rig.clock, draw=lambda: 0.5)
        lane = Lane(
            TENANT, rig.tenant, rig.credential, Limiter(NO_CEILING, Pacer(concurrency=4), rig.clock.monotonic),  # type: ignore[arg-type]
            LaneSettings(concurrency=4, retries=5), tools,
            lambda lane: Errands(lane, rig.book, Manner()),  # type: ignore[arg-type]
        )  # fmt: skip
        (claim,) = await lane.work.claim(1, None)
        lane.work.give_up(claim, "why")
        assert recorder.backlog == 1
        assert await lane.work.claim(1, None) == [claim]

    in_told_time(scene)


async def _nobody(_batch: Sequence[Outcome]) -> None:
    return None


# -- test events ------------------------------------------------------------------------------------------------------


def test_a_lost_test_event_is_searched_for() -> None:
    """Since its intent, by the server's clock; where it is found, no other is sent."""
    rig = Rig(Tenant(2), Kind.SMOKE)
    rig.tenant.ahead = 3600.0
    rig.tenant.after = first("test", LOST)
    rig.run()
    assert rig.book.fates() == ["delivered"] * 2
    assert rig.tenant.times("test") == 2
    assert {since[:16] for since in rig.tenant.since} <= {"2027-01-15T08:59", "2027-01-15T09:00"}


def test_a_test_event_that_was_not_taken_is_sent_again() -> None:
    """Its search finds nothing."""
    rig = Rig(Tenant(1), Kind.SMOKE)
    rig.tenant.told = first("test", LOST)
    rig.run()
    assert [request for request, _ in rig.tenant.asked] == ["test", "search", "test", "poll"]


def test_a_delivery_is_asked_for_with_growing_pauses_until_patience_ends() -> None:
    """So many questions, and then it is unconfirmed."""
    rig = Rig(Tenant(1), Kind.SMOKE, Manner(patience_s=30.0))
    rig.tenant.statuses = ["pending"]
    rig.run()
    assert rig.book.fates() == ["unconfirmed"]
    assert 30.0 <= rig.took_s < 45.0
    assert rig.tenant.times("poll") < 10


def test_a_failed_delivery_says_why_without_secrets() -> None:
    """The API's words, as far as they are no secret of ours."""
    rig = Rig(Tenant(1), Kind.SMOKE)
    rig.tenant.statuses = ["pending", "failed"]
    rig.run()
    assert rig.book.fates() == ["failed"]
    assert rig.book.outcomes[1].message == "the delivery failed: could not be sent with ***"


def test_a_delivery_that_an_earlier_process_knew_is_asked_for_at_once() -> None:
    """No event is sent, and patience begins anew."""
    rig = Rig(Tenant(1), Kind.SMOKE, intent_at=NOON, delivery="evt_1")
    rig.run()
    assert [request for request, _ in rig.tenant.asked] == ["poll"]
    assert rig.book.fates() == ["delivered"]
