"""A load in told time: what begins when, whatever the server does; what is measured of it; what the ledger keeps."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from fractions import Fraction
from typing import Any

import anyio
import pytest

from bulkstreams.core.saturation import Cause
from bulkstreams.core.schedule import Schedule, read_stage, steady
from bulkstreams.engine.loading import GRACE_S, Load
from bulkstreams.engine.metering import Meter
from bulkstreams.engine.recorder import Recorder
from bulkstreams.engine.supply import MOST_AHEAD, Supply
from bulkstreams.model import Claim, Failure, Reply, Settlement
from tests.engine.fakes import LOST, NOT_SENT, TENANT, FakeClock, FakeLedger, ScriptedClient, in_told_time, webhooks


class Stalling(ScriptedClient):
    """A server that answers in 10 ms, but nothing between two instants: those who come then wait for the second."""

    def __init__(self, begins: float, ends: float) -> None:
        super().__init__()
        self.begins, self.ends = begins, ends

    async def create(self, body: bytes, token: str) -> Reply | Failure:
        """Take a create."""
        now = asyncio.get_running_loop().time()
        stalled = self.begins <= now < self.ends
        self.took_s = (self.ends - now if stalled else 0.0) + 0.01
        took = self.took_s
        answer = await super().create(body, token)
        return answer._replace(elapsed_s=took)


class Scene:
    """One load with everything around it faked."""

    def __init__(
        self,
        client: ScriptedClient | None = None,
        *,
        records: int = 2000,
        ceiling: int = 1000,
        warmup_s: float = 0.0,
        commit_s: float = 0.001,
    ) -> None:
        self.client = client or ScriptedClient()
        self.ledger = FakeLedger(webhooks(records), commit_s=commit_s)
        self.clock = FakeClock()
        self.ceiling, self.warmup_s = ceiling, warmup_s
        self.refused: list[str] = []
        self.meanwhile: Callable[[Load], Awaitable[None]] | None = None
        self.ahead = 256
        self.meter: Meter
        self.load: Load
        self.supply: Supply
        self.ended_at = 0.0

    def follow(self, schedule: Schedule) -> Meter:
        """Follow a schedule to its end."""
        warm = schedule.after(self.warmup_s)
        return self._run(warm, lambda load: load.follow(warm, self.meter.began_at))

    def keep_busy(self, clients: int, seconds: float) -> Meter:
        """Keep a closed loop going."""
        return self._run(None, lambda load: load.keep_busy(clients, self.meter.began_at, self.meter.begins + seconds))

    def _run(self, schedule: Schedule | None, put_on: Callable[[Load], Awaitable[None]]) -> Meter:
        async def scene() -> None:
            recorder = Recorder(self.ledger, self._tell)  # type: ignore[arg-type]
            self.supply = supply = Supply(self._claim, self.ahead)
            await supply.fill()
            began = self.clock.monotonic() + 0.05
            self.meter = Meter(began, self.warmup_s, schedule, self.clock, lambda: 7, lambda: 0.0, lambda: 0.0)
            self.load = Load(
                self.client, supply, recorder, self.meter, self.clock, prepare=self._body, token=lambda: "t1",
                explain=lambda reply, _body: ("code", f"says {reply.status}"), unauthorized=self.refused.append,
                ceiling=self.ceiling,
            )  # fmt: skip
            async with anyio.create_task_group() as group:
                group.start_soon(recorder.run)
                async with anyio.create_task_group() as beside:
                    if self.meanwhile is not None:
                        beside.start_soon(self.meanwhile, self.load)
                    await put_on(self.load)
                    beside.cancel_scope.cancel()
                self.ended_at = self.clock.monotonic()
                await recorder.flush()
                recorder.close()

        in_told_time(scene)
        return self.meter

    async def _claim(self, count: int) -> list[Claim]:
        return await self.ledger.claim(TENANT, count, self.clock.wall())

    def _body(self, claim: Claim) -> bytes:
        return json.dumps(self.ledger.definitions[claim.id]).encode()

    async def _tell(self, batch: Sequence[Settlement]) -> None:
        pass

    def times(self) -> list[float]:
        """Return when each create was sent, in seconds after the load began."""
        return [at - self.meter.began_at for at, _ in self.client.creates]


def ms(meter: Meter, kind: str = "response") -> dict[str, Any]:
    """Return a meter's percentiles."""
    found: dict[str, Any] = getattr(meter, kind).ms()
    return found


def test_every_request_begins_on_its_schedule() -> None:
    """100/s for 3 s: 300 of them, each within a timer's millisecond of its instant, and each record once."""
    scene = Scene()
    meter = scene.follow(Schedule([steady(100, 3)]))
    assert (meter.requests, meter.offered, meter.errors, dict(meter.status)) == (300, 300, 0, {201: 300})
    assert all(0 <= at - k / 100 <= 0.0011 for k, at in enumerate(scene.times()))
    assert max(scene.client.times(f"s{k}") for k in range(300)) == 1
    assert meter.achieved(3.0) == pytest.approx(100)
    assert not meter.late
    assert not meter.verdict.saturated


def test_a_ramp_is_followed() -> None:
    """From 10 to 100 a second in 4 s: the requests of each second are those of the schedule."""
    scene = Scene()
    schedule = Schedule(read_stage("10:100/4s", Fraction(0)))
    meter = scene.follow(schedule)
    assert meter.requests == schedule.requests == 220
    for second in range(4):
        asked = schedule.due_by(second + 1) - schedule.due_by(second)
        assert abs(sum(second <= at < second + 1 for at in scene.times()) - asked) <= 1


def test_a_stall_is_in_the_response_time_of_all_who_came_in_it() -> None:
    """A second's stall in six at 100/s: p99 is above 700 ms, the middle one is the server's, nobody was left out."""
    meter = Scene(Stalling(3.05, 4.05)).follow(Schedule([steady(100, 6)]))
    assert (meter.requests, meter.offered) == (600, 600)
    assert ms(meter)["p99"] > 700
    assert ms(meter)["p50"] < 13
    assert ms(meter)["max"] > 1000
    assert not meter.verdict.saturated


def test_a_stall_shows_also_where_few_connections_are_allowed() -> None:
    """With four of them only four requests see the stall itself: service time forgets it, response time does not."""
    meter = Scene(Stalling(3.05, 4.05), ceiling=4).follow(Schedule([steady(100, 6)]))
    assert (meter.requests, meter.offered) == (600, 600)
    assert ms(meter, "service")["p99"] < 50
    assert ms(meter)["p99"] > 700
    assert ms(meter)["p50"] < 13
    assert meter.late[Cause.CEILING] > 90
    assert meter.late[Cause.LOOP] == meter.late[Cause.LEDGER] == 0
    assert meter.waited_s > 30
    assert not meter.verdict.saturated


def test_a_server_slower_than_the_schedule_leaves_requests_unsent_and_counted() -> None:
    """Two connections, 0.1 s an answer: 20/s of 100/s. What never began is told, and the client is not blamed."""
    client = ScriptedClient()
    client.took_s = 0.1
    scene = Scene(client, ceiling=2)
    meter = scene.follow(Schedule([steady(100, 5)]))
    assert meter.offered == 500
    assert 195 <= meter.requests <= 202  # five seconds, and five of grace
    assert client.most_at_once == 2
    assert scene.ended_at - meter.began_at <= 5 + GRACE_S + 0.2
    assert meter.late[Cause.CEILING] == meter.requests - 2
    assert not meter.verdict.saturated
    assert meter.points[3].overdue == pytest.approx(320, abs=3)


def test_a_warm_up_is_sent_and_not_counted() -> None:
    """Its requests are records like the others, and in no figure but their own."""
    scene = Scene(warmup_s=2.0)
    meter = scene.follow(Schedule([steady(50, 2)]))
    assert (meter.warmup, meter.requests, meter.offered) == (100, 100, 100)
    assert len(scene.client.creates) == scene.ledger.counts()["created"] == 200
    assert [point.at < 0 for point in meter.points][:3] == [True, True, False]


def held(at: float, seconds: float) -> Callable[[Load], Awaitable[None]]:
    """Return what holds the event loop once, as a stopped process or a long computation does."""

    async def hold(_load: Load) -> None:
        await anyio.sleep(0.05 + at)
        asyncio.get_running_loop()._told.now += seconds  # type: ignore[attr-defined]

    return hold


def test_a_client_that_was_slow_in_its_warm_up_is_not_blamed_for_it() -> None:
    """Held for nearly a second of it, up to its last moment: not one figure of the load is spoiled by that."""
    scene = Scene(warmup_s=2.0)
    scene.meanwhile = held(1.03, 0.96)
    meter = scene.follow(Schedule([steady(100, 2)]))
    assert meter.requests == meter.offered == 200
    assert not meter.late
    assert (meter.verdict.saturated, meter.verdict.share, meter.verdict.periods) == (False, 0.0, ())
    assert max(point.late for point in meter.points if point.at < 0) > 50


def test_the_load_is_judged_from_its_very_beginning() -> None:
    """Held from the warm-up into the load: an interval ends exactly between, and each has its own part of it."""
    scene = Scene(warmup_s=2.0)
    scene.meanwhile = held(1.53, 1.0)
    meter = scene.follow(Schedule([steady(100, 4)]))
    before = [span for span in meter.spans if span.at < 0][-1]
    after = next(span for span in meter.spans if span.at >= 0)
    assert (before.at + before.seconds, after.at) == (0.0, 0.0)
    assert sum(span.due for span in meter.spans if span.at >= 0) == pytest.approx(400, abs=2)
    assert before.late[Cause.LOOP] == 0
    assert after.late[Cause.LOOP] == meter.late[Cause.LOOP] == pytest.approx(50, abs=3)
    assert meter.verdict.periods[0].begins == 0.0
    assert meter.verdict.share == pytest.approx(0.25, abs=0.02)


def test_claims_are_durable_before_they_are_due() -> None:
    """A disk that takes half a second for each commit keeps no request waiting: claims are taken ahead."""
    scene = Scene(commit_s=0.5)
    meter = scene.follow(Schedule([steady(100, 5)]))
    assert meter.requests == 500
    assert not meter.late


def test_a_disk_that_cannot_keep_up_is_told_as_such() -> None:
    """Three seconds a commit, 256 claims ahead, 200/s: requests wait for their intents, and the client is to blame."""
    scene = Scene(commit_s=3.0)
    meter = scene.follow(Schedule([steady(200, 6)]))
    assert meter.late[Cause.LEDGER] > 100
    assert meter.late[Cause.CEILING] == 0
    assert meter.verdict.saturated
    assert "began late" in meter.verdict.periods[0].why


def test_a_loop_that_comes_late_is_told_as_such() -> None:
    """Somebody holds the loop for 0.2 s again and again: requests begin late, and the percentiles are unsound."""
    scene = Scene()

    async def hold(_load: Load) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await anyio.sleep(0.3)
            loop._told.now += 0.2  # type: ignore[attr-defined]

    scene.meanwhile = hold
    meter = scene.follow(Schedule([steady(100, 4)]))
    assert meter.offered == meter.requests == 400
    assert meter.late[Cause.LOOP] > 40
    assert meter.late[Cause.CEILING] == 0
    assert meter.verdict.saturated
    assert ms(meter)["p99"] > 100


@pytest.mark.parametrize(
    ("told", "state", "status", "failures"),
    [
        (400, "refused", {400: 1}, {}),
        (401, "refused", {401: 1}, {}),
        (403, "refused", {403: 1}, {}),
        (429, "exhausted", {429: 1}, {}),
        (409, "in_doubt", {409: 1}, {}),
        (500, "in_doubt", {500: 1}, {}),
        (201, "in_doubt", {201: 1}, {}),
        (LOST, "in_doubt", {}, {LOST.reason: 1}),
        (NOT_SENT, "exhausted", {}, {NOT_SENT.reason: 1}),
    ],
)
def test_what_an_answer_means_for_its_record(
    told: Any, state: str, status: dict[int, int], failures: dict[str, int]
) -> None:
    """As in a run, but nothing is sent a second time; what may have been applied stays in doubt."""
    scene = Scene(ScriptedClient(lambda name, _n: told if name == "s7" else "ok"))
    meter = scene.follow(Schedule([steady(20, 1)]))
    assert scene.ledger.counts() == {"created": 19, state: 1, "pending": 1980}
    assert scene.client.times("s7") == 1
    assert meter.status == Counter({201: 19}) + Counter(status)
    assert dict(meter.failures) == failures
    assert meter.errors == (0 if told == 201 else 1)
    assert scene.refused == (["t1"] if told == 401 else [])
    assert meter.response.count == (19 if told is NOT_SENT else 20)
    assert scene.ledger.tally.throttled == (1 if told == 429 else 0)


def test_a_name_that_is_taken_may_have_been_taken_by_the_same_request() -> None:
    """A proxy that sends it twice shows us the second answer: the stream is ours, so it will be found and deleted."""
    scene = Scene(ScriptedClient(lambda name, _n: 409 if name == "s7" else "ok"))
    scene.follow(Schedule([steady(20, 1)]))
    assert scene.ledger.ours_since[8] is not None
    assert scene.ledger.status[8] == 409


def test_what_was_claimed_and_not_sent_is_pending_again() -> None:
    """The claims ahead of a schedule's end are given back, none is in flight after it."""
    scene = Scene()
    scene.follow(Schedule([steady(10, 1)]))
    assert scene.ledger.counts() == {"created": 10, "pending": 1990}
    assert scene.ledger.most_held <= MOST_AHEAD


def test_a_stop_begins_nothing_more_and_lets_what_is_under_way_end() -> None:
    """Half-way: what the schedule asked for by then is what counts as offered."""
    client = ScriptedClient()
    client.took_s = 0.5
    scene = Scene(client)

    async def stop(load: Load) -> None:
        await anyio.sleep(2.05)
        load.stop()

    scene.meanwhile = stop
    meter = scene.follow(Schedule([steady(100, 60)]))
    assert 195 <= meter.requests <= 201
    assert meter.requests == meter.status[201] == scene.ledger.counts()["created"]
    assert scene.ended_at < 3
    assert meter.offered == pytest.approx(meter.requests, abs=1)


def test_a_closed_loop_waits_for_its_answers_and_hides_a_stall() -> None:
    """Four clients: after a second's stall p99 knows nothing of it. That is why it is not what `bench` does."""
    scene = Scene(Stalling(3.05, 4.05))
    meter = scene.keep_busy(4, 4.0)
    assert scene.client.most_at_once == 4
    assert meter.requests == meter.offered == pytest.approx(1200, abs=20)
    assert ms(meter)["p99"] < 13
    assert ms(meter)["max"] > 990
    assert meter.schedule is None


def test_a_closed_loop_ends_where_nothing_is_left_to_send() -> None:
    """It does not wait for what will not come."""
    scene = Scene(records=30)
    meter = scene.keep_busy(4, 60.0)
    assert meter.requests == 30


def test_a_server_that_is_down_looks_no_faster() -> None:
    """Connections that are refused at once are errors, and have no time: neither in the series nor in the totals."""
    scene = Scene(ScriptedClient(lambda name, _n: NOT_SENT if 90 <= int(name[1:]) < 210 else "ok"))
    meter = scene.follow(Schedule([steady(100, 3)]))
    up, down, again = meter.points[:3]
    assert down.done == down.errors == pytest.approx(100, abs=6)
    assert {down.p50_ms, down.p99_ms, down.max_ms, down.service_p50_ms, down.service_p99_ms} == {None}
    assert up.p50_ms == pytest.approx(again.p50_ms, abs=2)
    assert meter.response.count == meter.service.count == 180


class SlowClock(FakeClock):
    """A clock beside which every timer comes early."""

    def monotonic(self) -> float:
        """Return its time."""
        return super().monotonic() * 0.995


def test_a_timer_that_comes_early_is_not_late() -> None:
    """What is told of the event loop is how late it was, which is never less than nothing."""

    async def scene() -> Meter:
        clock = SlowClock()
        meter = Meter(clock.monotonic(), 0.0, None, clock, lambda: 0, lambda: 0.0, lambda: 0.0)
        with anyio.move_on_after(3.5):
            await meter.watch()
        return meter

    points = in_told_time(scene).points
    assert [point.lag_ms for point in points] == [0.0, 0.0, 0.0]


def test_points_tell_each_second() -> None:
    """What was offered, sent and answered in it, how long that took, and what the client had open."""
    meter = Scene(Stalling(2.05, 3.05)).follow(Schedule([steady(100, 5)]))
    assert [round(point.at) for point in meter.points][:5] == [0, 1, 2, 3, 4]
    calm, stalled = meter.points[0], meter.points[2]
    assert calm.offered == pytest.approx(100, abs=6)
    assert calm.done == pytest.approx(calm.sent, abs=3)
    assert calm.p99_ms is not None
    assert calm.p99_ms < 15
    assert stalled.sent == pytest.approx(100, abs=6)
    assert stalled.under_way > 80
    assert calm.sockets == 7
    assert sum(point.done for point in meter.points) == 500
    assert sum(point.offered for point in meter.points) == 500
