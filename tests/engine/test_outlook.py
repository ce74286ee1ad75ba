"""What lanes say that they wait for while they work, and when the last of them is said to be done."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import anyio
import pytest

from bulkstreams.core.pacing import Ceiling, Pacer
from bulkstreams.core.waiting import Progress, Wait, WaitKind
from bulkstreams.engine.lane import Lane
from bulkstreams.engine.outlook import MOST, Outlook, allowed
from bulkstreams.model import Settlement, TenantName
from tests.core.replies import Bucket
from tests.engine.fakes import LOST, NOT_SENT, TENANT, FakeCredential, Rig, ScriptedClient, in_told_time, webhooks
from tests.engine.test_pace import Limited, Paced


class Watch:
    """Looks at a lane again and again while it works, as a live view does."""

    def __init__(self, rig: Rig, *, every_s: float = 0.2, may_take: Callable[[], int | None] = lambda: None) -> None:
        self.rig = rig
        self.seen: list[tuple[float, Progress]] = []
        self.ended_at = 0.0
        self._every_s = every_s
        self._may_take = may_take

    async def __call__(self, lane: Lane) -> None:
        """Look until the lane has finished."""
        clock = self.rig.clock.monotonic
        outlook = Outlook(clock, self._may_take)
        counts = self.rig.ledger.counts()
        outlook.expect({TENANT: (counts.get("pending", 0), counts.get("in_doubt", 0))})
        outlook.seat(lane)
        while not lane.finished:
            self.seen.append((clock(), outlook.look()))
            await anyio.sleep(self._every_s)
            self.ended_at = clock()

    def waits(self) -> Iterator[tuple[float, Wait]]:
        """Yield what was waited for, and when."""
        for now, progress in self.seen:
            for _, one in progress.at(now).waits:
                yield now, one

    def kinds(self) -> set[WaitKind]:
        """Return all that was ever waited for."""
        return {one.kind for _, one in self.waits()}

    def words(self) -> set[str]:
        """Return the reasons of all waits."""
        return {one.reason for _, one in self.waits()}


def watched(rig: Rig, *, survey: bool = False, **more: Any) -> Watch:
    """Run a lane to its end and return what was seen of it."""
    watch = Watch(rig, **more)
    rig.run(survey=survey, meanwhile=watch)
    return watch


def test_a_budget_that_is_known_tells_the_time_left() -> None:
    """At five a second two hundred records take forty seconds: so it is told from the first look to the last."""
    watch = watched(Rig(webhooks(200), ceiling=Ceiling(rate=5.0, burst=1)))
    assert watch.kinds() == {WaitKind.PACED}
    assert watch.words() == {"paced at 5/s by its own ceiling"}
    assert watch.ended_at == pytest.approx(40.0, abs=1.0)
    told = [progress.ends_at for now, progress in watch.seen if now < 38.0]
    assert len(told) > 150
    assert all(at is not None and at == pytest.approx(watch.ended_at, abs=1.5) for at in told)


def test_where_no_budget_is_known_what_was_achieved_tells_the_time_left() -> None:
    """A server that takes a second for each of four at once: nothing is told at first, then the truth."""
    client = ScriptedClient()
    client.took_s = 1.0
    watch = watched(Rig(webhooks(120), client))
    assert watch.seen[0][1].ends_at is None
    assert watch.seen[0][1].at_least
    later = [progress for now, progress in watch.seen if 12.0 < now < 28.0]
    assert all(one.ends_at == pytest.approx(watch.ended_at, rel=0.15) for one in later)
    assert not any(one.at_least for one in later)


def test_a_server_that_is_slower_than_the_ceiling_tells_the_time_left() -> None:
    """A ceiling that nobody reaches is no estimate."""
    client = ScriptedClient()
    client.took_s = 1.0
    watch = watched(Rig(webhooks(120), client, ceiling=Ceiling(rate=1000.0, burst=100)))
    later = [progress.ends_at for now, progress in watch.seen if 16.0 < now < 28.0]
    assert all(at == pytest.approx(watch.ended_at, rel=0.15) for at in later)


def test_a_limit_shortens_what_is_left() -> None:
    """What a run will not take is no part of the time that it takes."""
    rig = Rig(webhooks(200), ceiling=Ceiling(rate=5.0, burst=1))
    rig.allowance = 50
    watch = Watch(rig, may_take=lambda: rig.allowance)

    async def stop(lane: Lane) -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(watch, lane)
            await anyio.sleep(20.0)
            lane.stop("that was all")

    rig.run(meanwhile=stop)
    first = watch.seen[1][1].ends_at
    assert first == pytest.approx(10.0, abs=1.5)


def test_a_429_says_until_when_and_counts_as_time() -> None:
    """The pause is told with the instant at which it ends, and the estimate has it in it."""
    client = ScriptedClient(
        lambda name, n: client.reply(429, {}, retry_after="30") if name == "s20" and n == 1 else "ok"
    )
    rig = Rig(webhooks(60), client, ceiling=Ceiling(rate=4.0, burst=1))
    watch = watched(rig)
    pauses = {(one.reason, one.until) for _, one in watch.waits() if one.kind is WaitKind.THROTTLED}
    assert len(pauses) == 1
    ((reason, until),) = pauses
    assert reason == "429: the server said to wait"
    (resumed, *_) = [at for at, name in client.creates if until is not None and at >= until]
    assert until is not None
    assert resumed == pytest.approx(until, abs=0.3)
    late = [progress.ends_at for now, progress in watch.seen if 25.0 < now < until]
    assert late
    # After the first refusal the pace is a careful guess, so the end is told too late rather than too early.
    assert all(at is not None and until + 5.0 < at < watch.ended_at + 12.0 for at in late)


def test_a_tenant_that_answers_429_to_everything_is_told_as_such() -> None:
    """Pauses that grow beyond what the server asks for are not said to be its word, nor the stop to be just one."""
    client = ScriptedClient()
    client.script = lambda _name, _n: client.reply(429, {}, retry_after="1")
    rig = Rig(webhooks(5), client)
    watch = Watch(rig)

    async def stop(lane: Lane) -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(watch, lane)
            await anyio.sleep(8.0)
            lane.stop("time is over")

    lane = rig.run(meanwhile=stop)
    told = [one.reason for _, one in watch.waits() if one.kind is WaitKind.THROTTLED]
    assert list(dict.fromkeys(told)) == [
        "429: the server said to wait", "429, 4 times in a row", "429, 5 times in a row",
    ]  # fmt: skip
    assert lane.stopped == "time is over (429, 5 times in a row)"
    assert rig.ledger.counts() == {"pending": 5}


def test_an_outage_says_until_when_and_makes_the_estimate_a_least() -> None:
    """Nobody knows how long a tenant stays away: what pauses the gate without a 429 is told as unreachable."""
    rig = Rig(webhooks(40), ceiling=Ceiling(rate=4.0, burst=1))
    watch = Watch(rig)

    async def cut(lane: Lane) -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(watch, lane)
            await anyio.sleep(2.0)
            lane.limiter.pause(5.0, "no connection; next probe then")

    rig.run(meanwhile=cut)
    assert {one.reason for _, one in watch.waits() if one.kind is WaitKind.UNREACHABLE} == {
        "no connection; next probe then"
    }
    assert all(one.at_least for now, one in watch.seen if 2.0 < now < 7.0)
    assert not any(one.at_least for now, one in watch.seen if now > 7.5)


def test_a_look_up_and_a_doubt_are_told() -> None:
    """First what is there is looked up; a lost answer must settle, and is then looked up."""
    client = ScriptedClient(lambda name, n: LOST if name == "s3" and n == 1 else "ok")
    client.page_took_s = 1.0
    watch = watched(Rig(webhooks(4), client), survey=True)
    assert "looking up what is there already" in watch.words()
    assert "1 record in doubt must settle before the look-up" in watch.words()
    assert "looking up 1 record in doubt" in watch.words()
    settling = {one.until for _, one in watch.waits() if one.until is not None}
    assert len(settling) == 1


def test_how_long_a_look_up_takes_is_not_known() -> None:
    """A last doubt whose pages are lost again and again does not end the run in no time: what is told is a least."""
    client = ScriptedClient(lambda name, n: LOST if name == "s3" and n == 1 else "ok")
    client.page_script = lambda n: LOST if n < 8 else None
    watch = watched(Rig(webhooks(40), client, ceiling=Ceiling(rate=10.0, burst=1)))
    ends = [(now, progress) for now, progress in watch.seen if {WaitKind.DOUBT} == set(progress.counts)]
    looking = [(now, one) for now, one in ends if all(wait.until is None for _, wait in one.waits)]
    assert len(looking) > 10
    assert all(one.at_least and one.left(now) == "" for now, one in looking)


def test_a_look_up_that_does_not_get_on_is_told_with_its_cause() -> None:
    """A tenant whose pages are lost again and again is not said to be just looked up, nor its run to be just over."""
    client = ScriptedClient()
    client.page_script = lambda n: LOST if n < 8 else None
    rig = Rig(webhooks(2), client, patience_s=math.inf)
    watch = watched(rig, survey=True)
    told = [one.reason for _, one in watch.waits() if one.kind is WaitKind.SURVEY]
    assert told[0] == "looking up what is there already"
    assert f"looking up what is there already ({LOST.reason}, 5 times in a row)" in told
    assert rig.ledger.counts() == {"created": 2}

    async def stop(lane: Lane) -> None:
        await anyio.sleep(6.0)
        lane.stop("time is over")

    lane = Rig(webhooks(2), client, patience_s=math.inf)
    client.page_script = lambda _n: LOST
    assert str(lane.run(survey=True, meanwhile=stop).stopped).startswith(f"time is over ({LOST.reason}, ")
    unwaited = Rig(webhooks(2), client).run(survey=True)
    assert unwaited.stopped == f"acme could not be looked up ({LOST.reason}): nothing was sent"


def test_a_tenant_that_finds_no_connection_is_told_with_the_next_probe() -> None:
    """A record that could not be sent is tried again later; until then its lane waits for its tenant."""
    watch = watched(Rig(webhooks(1), ScriptedClient(lambda _name, n: NOT_SENT if n < 4 else "ok")), every_s=0.05)
    waits = [(now, one) for now, one in watch.waits() if one.kind is WaitKind.UNREACHABLE]
    assert waits
    assert all(one.until is not None and one.until >= now and "; then a probe" in one.reason for now, one in waits)


def test_replies_that_do_not_come_are_told() -> None:
    """A lane whose requests hang waits for their replies, not for its budget."""
    client = ScriptedClient()
    client.took_s = 20.0
    watch = watched(Rig(webhooks(5), client))
    assert "waiting for replies to 2 requests" in watch.words()


def test_replies_that_stop_coming_are_told_though_requests_still_go() -> None:
    """A server that hangs in the middle is sent one more now and then: that is no progress, nor is it the pace."""
    client = Limited(Bucket(5, 10.0))
    rig = Paced(400, client, Pacer())
    watch = Watch(rig)

    async def hang(lane: Lane) -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(watch, lane)
            await anyio.sleep(5.0)
            client.took_s = 25.0

    rig.run(meanwhile=hang)
    told = [one for now, one in watch.waits() if 8.0 < now < 29.0]
    assert {one.kind for one in told} == {WaitKind.REPLY}
    assert all(one.at_least for now, one in watch.seen if 8.0 < now < 29.0)
    assert len({one.reason for one in told}) > 3


def test_a_ledger_that_does_not_answer_is_told() -> None:
    """Where claims are long in coming it is the disk that is waited for, or whoever is told of outcomes."""
    rig = Rig(webhooks(8))
    rig.ledger.commit_s = 6.0
    watch = watched(rig)
    assert WaitKind.LEDGER in watch.kinds()


def test_whoever_is_told_of_outcomes_and_does_not_take_them_is_told() -> None:
    """A lane that has sent all it may waits for a reader that is slower than the tenant."""

    class Slow(Rig):
        async def _tell(self, batch: Sequence[Settlement]) -> None:
            await anyio.sleep(10.0)
            await super()._tell(batch)

    watch = watched(Slow(webhooks(8)))
    assert "waiting for the ledger's disk, or for whoever is told of outcomes" in watch.words()


def test_a_token_that_is_long_in_coming_is_told() -> None:
    """Nothing is sent without one, so that is what is waited for."""

    class Slow(FakeCredential):
        def current(self) -> str | None:
            return f"t{self.number}" if self.number > 1 else None

        async def token(self) -> str:
            await anyio.sleep(5.0)
            self.number = 2
            return "t2"

    watch = watched(Rig(webhooks(3), credential=Slow()), survey=True)
    assert "waiting for a token" in watch.words()


def test_a_lane_that_stops_says_so() -> None:
    """While what is under way ends in order, the reason is told; its records count for nothing any more."""
    client = ScriptedClient()
    client.took_s = 10.0
    rig = Rig(webhooks(50), client)
    watch = Watch(rig)

    async def stop(lane: Lane) -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(watch, lane)
            await anyio.sleep(5.0)
            lane.stop("interrupted")

    rig.run(meanwhile=stop)
    assert {one.words(0.0) for _, one in watch.waits() if one.kind is WaitKind.STOPPING} == {"stopping: interrupted"}


def in_scene(todo: Mapping[str, int], seated: int, rate: float = 5.0) -> tuple[Outlook, list[Lane], list[float]]:
    """Return an outlook on many lanes, of which the first are seated, and its clock's hand."""
    hand = [0.0]
    rig = Rig(webhooks(1), ceiling=Ceiling(rate=rate, burst=1))
    outlook = Outlook(lambda: hand[0])
    outlook.expect({TenantName(name): (count, 0) for name, count in todo.items()})
    lanes = []
    for name, count in list(todo.items())[:seated]:
        lane = rig._lane()
        lane.tenant, lane._unclaimed = TenantName(name), count
        lanes.append(lane)
        outlook.seat(lane)
    return outlook, lanes, hand


def test_tenants_without_a_lane_are_counted_and_take_their_time() -> None:
    """Four tenants of a hundred records at five a second need forty seconds on two seats, not twenty."""

    async def scene() -> None:
        outlook, lanes, hand = in_scene(dict.fromkeys("abcd", 100), 2)
        first = outlook.look()
        assert (first.lanes, first.unseated, first.allowed) == (2, 2, 10.0)
        assert first.left_s(0.0) == pytest.approx(40.0)
        assert "2 tenants wait for their turn" in first.lines(0.0, 3)
        lanes[0].finished = True
        hand[0] = 20.0
        assert outlook.look().lanes == 1

    in_told_time(scene)


def test_a_lane_that_has_not_begun_yet_tells_nothing_wrong() -> None:
    """A lane is seated before it knows its records: that they come is no step back."""

    async def scene() -> None:
        outlook, (lane,), hand = in_scene({"a": 0}, 1, rate=1000.0)
        outlook.look()
        lane._unclaimed = 200
        for second in range(1, 11):
            hand[0] = float(second)
            outlook.look()
            lane._unclaimed -= 10
        hand[0] = 11.0
        assert outlook.look().left_s(11.0) == pytest.approx(10.0, rel=0.2)

    in_told_time(scene)


def test_looking_again_at_once_costs_nothing() -> None:
    """With ten thousand lanes an answer is good for seconds; what it holds stays small, and counts them all."""

    async def scene() -> None:
        outlook, lanes, hand = in_scene({f"t{i}": 100 + i for i in range(10_000)}, 10_000)
        for lane in lanes:
            lane._workers = 1
        first = outlook.look()
        assert len(first.waits) == MOST
        assert first.counts == {WaitKind.PACED: 10_000}
        assert [name for name, _ in first.waits][:2] == ["t9999", "t9998"]
        hand[0] = 4.0
        assert outlook.look() is first  # nothing was looked at anew
        hand[0] = 6.0
        assert outlook.look() is not first

    in_told_time(scene)


@pytest.mark.parametrize(
    ("rates", "together"),
    [([10.0, 5.0], 15.0), ([10.0, None], 10.0), ([None, None], None), ([], None)],
)
def test_what_lanes_may_send_together_is_of_those_that_it_is_known_of(
    rates: list[float | None], together: float | None
) -> None:
    """One that never said it hides nothing of the others, to whoever looks at the run as in what is noted of it."""
    lanes = [SimpleNamespace(limiter=SimpleNamespace(rate=rate)) for rate in rates]
    assert allowed(lanes) == together  # type: ignore[arg-type]
