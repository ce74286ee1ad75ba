"""The gate of a tenant: never more at once than the burst, never faster than the rate, and pauses hold for all.

The event loop here has a time of its own, which jumps to the next timer when nothing else is left to do: instants
are exact to the microsecond, and nothing waits.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Awaitable, Callable

import pytest

from bulkstreams.core.pacing import UNWATCHED, Ceiling, Pacer
from bulkstreams.limiter import THROTTLED, Limiter

TICK = 1e-9
OPEN = Ceiling(rate=None, burst=1)


class JumpingSelector(selectors.DefaultSelector):
    """A selector that never waits: it moves its time instead."""

    now = 1000.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Return what is ready; where nothing is, let the time pass that would have been waited."""
        ready = super().select(0)
        if not ready:
            assert timeout is not None, "everybody waits for ever"
            self.now += max(timeout, TICK)  # no real clock stands still
        return ready


class JumpingLoop(asyncio.SelectorEventLoop):
    """An event loop on a jumping selector's time."""

    def __init__(self) -> None:
        self.jumping = JumpingSelector()
        super().__init__(self.jumping)

    def time(self) -> float:
        """Return the jumping time."""
        return self.jumping.now


def unbound(*, obey: bool = True, concurrency: int = 1000) -> Pacer:
    """Return a pacer that nothing holds back: its server answered, and told of no limits."""
    pacer = Pacer(obey=obey, concurrency=concurrency)
    while not pacer.open:
        pacer.heard(pacer.take(0.0), 201, {}, 0.03, 0.0)
    return pacer


class Gate:
    """A limiter, and the instants at which it let somebody through, counted from its making."""

    def __init__(self, ceiling: Ceiling, pacer: Pacer | None = None) -> None:
        self.loop = asyncio.get_running_loop()
        self.began = self.loop.time()
        self.limiter = Limiter(ceiling, pacer or unbound(), self.loop.time)
        self.in_flight = 0
        self.passed: list[float] = []
        self.names: list[object] = []
        self.tickets: list[int] = []

    @property
    def now(self) -> float:
        """Return seconds since the gate was made."""
        return round(self.loop.time() - self.began, 6)

    async def enter(self, name: object = None) -> bool:
        """Pass the gate and stay in flight; return whether the gate let it through."""
        ticket = self.limiter.passes(self.in_flight)
        if ticket is None:
            ticket = await self.limiter.acquire(lambda: self.in_flight)
        if ticket is not None:
            self.in_flight += 1
            self.tickets.append(ticket)
            self.passed.append(self.now)
            self.names.append(name)
        return ticket is not None

    def reply(self, status: int = 201, *, left: int | None = None, limit: int = 100, **headers: str) -> None:
        """Let the oldest reply arrive; `left`: what it says is left of the server's bucket."""
        self.in_flight -= 1
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        if left is not None:
            headers |= {"x-ratelimit-limit": str(limit), "x-ratelimit-remaining": str(left)}
        self.limiter.heard(self.tickets.pop(0), status, headers, 0.0)

    async def sleep(self, seconds: float) -> None:
        """Let time pass."""
        await asyncio.sleep(seconds)


def in_jumping_time(work: Callable[[], Awaitable[None]]) -> None:
    """Run `work` on a loop whose time jumps."""

    async def main() -> None:
        await work()

    with asyncio.Runner(loop_factory=JumpingLoop) as runner:
        runner.run(main())


def most_within(passed: list[float], seconds: float) -> int:
    """Return the most that went within any span of that length, its end excluded."""
    return max(sum(begin <= at < begin + seconds - 1e-9 for at in passed) for begin in passed)


# -- the ceiling ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("rate", "burst"), [(10.0, 1), (16.0, 50), (20.0, 20), (2.0, 2), (1000.0, 100)])
def test_no_more_than_the_burst_goes_at_once_and_the_rate_is_kept(rate: float, burst: int) -> None:
    """In any span of time no more goes than a full bucket and what trickled in meanwhile."""

    async def work() -> None:
        gate = Gate(Ceiling(rate=rate, burst=burst))
        total = burst + 40
        await asyncio.gather(*(gate.enter() for _ in range(total)))
        assert gate.passed[:burst] == [0.0] * burst
        assert gate.passed[burst] > 0.0
        for seconds in (1 / rate, 5 / rate, 20 / rate):
            assert most_within(gate.passed, seconds) <= burst + round(seconds * rate)

    in_jumping_time(work)


@pytest.mark.parametrize(
    ("rate", "burst"),
    [
        (10.0, 1),
        (16.0, 2),
        (20.0, 20),
        (150 / 60, 10),
        (7.0, 1),
    ],
)
def test_the_ceiling_is_reached(rate: float, burst: int) -> None:
    """Who waits goes as soon as the rate allows, no later: the ceiling is what is got."""

    async def work() -> None:
        gate = Gate(Ceiling(rate=rate, burst=burst))
        await asyncio.gather(*(gate.enter() for _ in range(burst + 100)))
        assert gate.now == pytest.approx(100 / rate, rel=0.02)

    in_jumping_time(work)


def test_replies_that_arrive_meanwhile_cost_no_turn() -> None:
    """A wake-up in the midst of a wait does not begin the wait anew."""

    async def work() -> None:
        gate = Gate(Ceiling(rate=10.0, burst=1))

        async def replies() -> None:
            while True:
                await gate.sleep(0.07)
                gate.limiter.changed()

        chatter = asyncio.ensure_future(replies())
        await asyncio.gather(*(gate.enter() for _ in range(101)))
        chatter.cancel()
        assert gate.now == pytest.approx(10.0, rel=0.05)

    in_jumping_time(work)


def test_those_who_wait_go_in_the_order_in_which_they_came() -> None:
    """A newcomer does not pass those who wait."""

    async def work() -> None:
        gate = Gate(Ceiling(rate=10.0, burst=1))
        waiting = [asyncio.ensure_future(gate.enter(n)) for n in range(5)]
        await gate.sleep(0.25)
        waiting += [asyncio.ensure_future(gate.enter(n)) for n in range(5, 8)]
        await asyncio.gather(*waiting)
        assert gate.names == list(range(8))

    in_jumping_time(work)


def test_without_a_ceiling_all_go_at_once() -> None:
    """`auto` and `max` know no rate of ours."""

    async def work() -> None:
        gate = Gate(OPEN)
        assert gate.limiter.rate is None
        assert all(await asyncio.gather(*(gate.enter() for _ in range(500))))
        assert gate.now == 0.0

    in_jumping_time(work)


def test_the_rate_is_told() -> None:
    """The progress line reads the ceiling off the gate."""

    async def work() -> None:
        assert Gate(Ceiling(rate=16.0, burst=50)).limiter.rate == pytest.approx(16.0)

    in_jumping_time(work)


def test_the_fast_way_is_closed_where_there_is_a_ceiling() -> None:
    """What nobody counted would be more than the ceiling."""

    async def work() -> None:
        gate = Gate(Ceiling(rate=1000.0, burst=100))
        assert gate.limiter.passes(0) is None

    in_jumping_time(work)


# -- pauses -----------------------------------------------------------------------------------------------------------


def test_a_pause_stops_all_until_it_ends() -> None:
    """Those who waited before and those who come during it go when it is over, not before."""

    async def work() -> None:
        gate = Gate(OPEN)
        gate.limiter.pause(5.0, "429")
        assert gate.limiter.resume_at == gate.loop.time() + 5.0
        early = [asyncio.ensure_future(gate.enter()) for _ in range(10)]
        await gate.sleep(2.0)
        assert gate.limiter.passes(0) is None
        late = [asyncio.ensure_future(gate.enter()) for _ in range(10)]
        assert all(await asyncio.gather(*early, *late))
        assert gate.passed == [pytest.approx(5.0)] * 20
        assert gate.limiter.passes(0) is not None

    in_jumping_time(work)


def test_a_longer_pause_stays() -> None:
    """A shorter one that comes later neither shortens it nor takes its reason."""

    async def work() -> None:
        gate = Gate(OPEN)
        gate.limiter.pause(5.0, "long")
        gate.limiter.pause(1.0, "short")
        assert gate.limiter.reason == "long"
        await gate.enter()
        assert gate.passed == [pytest.approx(5.0)]

    in_jumping_time(work)


def test_a_pause_is_made_longer_while_somebody_waits() -> None:
    """Who waits for the end of a pause waits for the new end."""

    async def work() -> None:
        gate = Gate(OPEN)
        gate.limiter.pause(1.0, "first")
        waiting = [asyncio.ensure_future(gate.enter()) for _ in range(3)]
        await gate.sleep(0.5)
        gate.limiter.pause(3.0, "second")
        assert gate.limiter.reason == "second"
        await asyncio.gather(*waiting)
        assert gate.passed == [pytest.approx(3.5)] * 3

    in_jumping_time(work)


def test_a_pause_stops_those_who_wait_for_the_rate() -> None:
    """A 429 counts for those who already stand in the queue."""

    async def work() -> None:
        gate = Gate(Ceiling(rate=10.0, burst=1))
        waiting = [asyncio.ensure_future(gate.enter()) for _ in range(3)]
        await gate.sleep(0.05)
        gate.limiter.pause(2.0, "429")
        await asyncio.gather(*waiting)
        assert gate.passed[0] == 0.0
        assert min(gate.passed[1:]) == pytest.approx(2.05)

    in_jumping_time(work)


def test_after_a_pause_the_burst_is_all_that_goes_at_once() -> None:
    """A pause saves nothing up beyond a full bucket."""

    async def work() -> None:
        gate = Gate(Ceiling(rate=10.0, burst=3))
        gate.limiter.pause(60.0, "429")
        await asyncio.gather(*(gate.enter() for _ in range(10)))
        assert sum(at == pytest.approx(60.0) for at in gate.passed) == 3
        assert gate.passed[-1] >= 60.7 - 1e-6

    in_jumping_time(work)


# -- closing ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("why", ["pause", "rate", "budget"])
def test_closing_sends_all_who_wait_away_at_once(why: str) -> None:
    """Whatever they wait for, they are told no without waiting for it."""

    async def work() -> None:
        gate = Gate(Ceiling(rate=0.001, burst=1) if why == "rate" else OPEN, Pacer() if why == "budget" else None)
        if why == "pause":
            gate.limiter.pause(1000.0, "429")
        else:
            assert await gate.enter()
        waiting = [asyncio.ensure_future(gate.enter()) for _ in range(10)]
        await gate.sleep(1.0)
        gate.limiter.close()
        assert await asyncio.gather(*waiting) == [False] * 10
        assert gate.now == pytest.approx(1.0)

    in_jumping_time(work)


def test_a_closed_gate_lets_nobody_through() -> None:
    """Neither way in is open any more."""

    async def work() -> None:
        gate = Gate(OPEN)
        gate.limiter.close()
        assert gate.limiter.passes(0) is None
        assert await gate.limiter.acquire(lambda: 0) is None

    in_jumping_time(work)


def test_one_who_gives_up_waiting_holds_up_nobody() -> None:
    """A task that is cancelled at the gate leaves its turn to the next."""

    async def work() -> None:
        gate = Gate(OPEN)
        gate.limiter.pause(1.0, "429")
        first, second, third = (asyncio.ensure_future(gate.enter(n)) for n in range(3))
        await gate.sleep(0.5)
        first.cancel()
        second.cancel()
        assert await third
        assert gate.names == [2]
        assert gate.now == pytest.approx(1.0)

    in_jumping_time(work)


# -- the pace -------------------------------------------------------------------------------------------------------


def test_one_goes_first_and_then_as_many_as_the_server_has_left() -> None:
    """The first reply says 7 are left: five go, two being kept to see what comes; the others wait for a newer word."""

    async def work() -> None:
        gate = Gate(OPEN, Pacer())
        waiting = [asyncio.ensure_future(gate.enter()) for _ in range(20)]
        await gate.sleep(0.1)
        assert len(gate.passed) == 1
        gate.reply(left=7)
        await gate.sleep(0.1)
        assert len(gate.passed) == 1 + 5
        gate.limiter.close()
        assert sum(await asyncio.gather(*waiting)) == 6

    in_jumping_time(work)


def test_a_reserve_is_left_to_others() -> None:
    """Of a bucket of 10 with 9 left, a reserve of half leaves 3 for us, and one that is kept to see what comes."""

    async def work() -> None:
        gate = Gate(OPEN, Pacer(reserve=0.5))
        waiting = [asyncio.ensure_future(gate.enter()) for _ in range(20)]
        await gate.sleep(0.1)
        gate.reply(left=9, limit=10)
        await gate.sleep(0.01)
        assert len(gate.passed) == 1 + 3
        gate.limiter.close()
        await asyncio.gather(*waiting)

    in_jumping_time(work)


def test_when_nothing_is_left_one_goes_alone_after_the_wait_that_the_server_named() -> None:
    """All wait until more comes, then one asks how much it is."""

    async def work() -> None:
        gate = Gate(OPEN, Pacer())
        waiting = [asyncio.ensure_future(gate.enter()) for _ in range(10)]
        await gate.sleep(0.1)
        gate.reply(left=0, date="Tue, 14 Nov 2023 22:13:20 GMT", x_ratelimit_reset="1700000003")
        await gate.sleep(2.9)
        assert len(gate.passed) == 1
        await gate.sleep(10.0)
        assert gate.passed == [0.0, pytest.approx(3.1)]
        gate.reply(left=5)
        await gate.sleep(0.05)
        assert len(gate.passed) == 2 + 3
        gate.limiter.close()
        await asyncio.gather(*waiting)

    in_jumping_time(work)


@pytest.mark.parametrize("obey", [True, False])
def test_a_server_without_a_budget_limits_nobody_but_in_the_beginning(obey: bool) -> None:
    """With each round trip twice as many go; once all that may be under way are, nobody waits or has a ticket."""

    async def work() -> None:
        gate = Gate(OPEN, Pacer(obey=obey, concurrency=16))
        waiting = [asyncio.ensure_future(gate.enter()) for _ in range(15)]
        for at_once in (1, 2, 4, 8):
            await gate.sleep(0.1)
            assert gate.in_flight == at_once
            while gate.in_flight:
                gate.reply()
        assert all(await asyncio.gather(*waiting))
        assert gate.limiter.pacer.window == 16
        gate.in_flight = 0
        gate.limiter.heard(gate.limiter.pacer.take(gate.loop.time()), 201, {}, 0.0)
        assert gate.limiter.passes(0) == UNWATCHED
        assert gate.limiter.rate is None

    in_jumping_time(work)


def test_a_request_that_got_no_answer_makes_room_for_the_next_one() -> None:
    """Where the first one is lost, the next goes first: nobody waits for a reply that never comes."""

    async def work() -> None:
        gate = Gate(OPEN, Pacer())
        waiting = [asyncio.ensure_future(gate.enter()) for _ in range(5)]
        await gate.sleep(0.1)
        gate.in_flight -= 1
        gate.limiter.lost(gate.tickets.pop(0))
        await gate.sleep(0.1)
        assert len(gate.passed) == 2
        gate.limiter.close()
        await asyncio.gather(*waiting)

    in_jumping_time(work)


def test_a_429_stops_all_who_wait_and_one_goes_when_its_pause_ends() -> None:
    """All stop at once, for as long as the server said and for its reason; then the restart is slow."""

    async def work() -> None:
        gate = Gate(OPEN, unbound(concurrency=8))
        for _ in range(8):
            assert await gate.enter()
        waiting = [asyncio.ensure_future(gate.enter()) for _ in range(20)]
        await gate.sleep(0.1)
        assert gate.in_flight == 8
        for _ in range(8):
            gate.reply(429, retry_after="5")
        assert gate.limiter.reason == THROTTLED
        assert gate.limiter.resume_at == pytest.approx(gate.loop.time() + 5.0)
        assert gate.limiter.wait_s(0) == pytest.approx(5.0)
        await gate.sleep(4.9)
        assert len(gate.passed) == 8
        await gate.sleep(0.5)
        assert gate.passed[8:] == [pytest.approx(5.1)]
        gate.reply()
        await gate.sleep(0.1)
        assert gate.in_flight == 2
        gate.limiter.close()
        await asyncio.gather(*waiting)

    in_jumping_time(work)


def test_the_longer_of_two_pauses_says_why() -> None:
    """A pause of ours and one that the server asked for hold together, whichever came first."""

    async def work() -> None:
        gate = Gate(OPEN)
        gate.limiter.pause(3.0, "nothing answers")
        gate.limiter.heard(UNWATCHED, 429, {"retry-after": "1"}, 0.0)
        assert gate.limiter.reason == "nothing answers"
        assert not gate.limiter.is_throttled
        assert gate.limiter.resume_at == gate.loop.time() + 3.0
        gate.limiter.heard(UNWATCHED, 429, {"retry-after": "9"}, 0.0)
        assert gate.limiter.reason == THROTTLED
        assert gate.limiter.is_throttled
        assert await gate.enter()
        assert gate.passed == [pytest.approx(9.0)]

    in_jumping_time(work)


def test_the_pace_and_the_ceiling_hold_together() -> None:
    """The stricter of the two decides."""

    async def work() -> None:
        gate = Gate(Ceiling(rate=10.0, burst=2), Pacer())
        waiting = [asyncio.ensure_future(gate.enter()) for _ in range(20)]
        await gate.sleep(0.05)
        assert len(gate.passed) == 1
        gate.reply(left=99)
        await gate.sleep(0.5)
        assert most_within(gate.passed, 0.1) <= 2 + 1
        before = len(gate.passed)
        gate.reply(429, left=0, retry_after="3")
        await gate.sleep(2.9)
        assert len(gate.passed) == before
        gate.limiter.close()
        await asyncio.gather(*waiting)

    in_jumping_time(work)


@pytest.mark.parametrize(("own", "learned", "told"), [(None, None, None), (16.0, None, 16.0), (None, 7.0, 7.0)])
def test_the_rate_is_the_ceilings_or_the_learned_one(own: float | None, learned: float | None, told: float) -> None:
    """Where only one of the two is known it is the rate; where neither is, there is none."""

    async def work() -> None:
        gate = Gate(Ceiling(rate=own, burst=5))
        gate.limiter.pacer.sustained.learned = learned
        assert gate.limiter.rate == (None if told is None else pytest.approx(told))

    in_jumping_time(work)


@pytest.mark.parametrize(("learned", "told"), [(7.0, 7.0), (40.0, 16.0)])
def test_of_ceiling_and_learned_rate_the_lower_is_told(learned: float, told: float) -> None:
    """The time left is reckoned by what really goes."""

    async def work() -> None:
        gate = Gate(Ceiling(rate=16.0, burst=50))
        gate.limiter.pacer.sustained.learned = learned
        assert gate.limiter.rate == pytest.approx(told)

    in_jumping_time(work)


def test_those_who_stand_in_turn_hold_up_nobody_once_the_gate_is_open() -> None:
    """Where nothing limits any more the fast way is open at once, however many still stand in turn."""

    async def work() -> None:
        gate = Gate(OPEN, Pacer(concurrency=2))
        waiting = [asyncio.ensure_future(gate.enter()) for _ in range(5)]
        await gate.sleep(0.1)
        assert len(gate.passed) == 1
        assert gate.limiter.passes(gate.in_flight) is None
        gate.reply()  # those in turn have not run yet
        assert gate.limiter.pacer.open
        assert gate.limiter.passes(gate.in_flight) == UNWATCHED
        assert gate.limiter.passes(gate.in_flight + 1) is None  # the last place is for the one whose turn it is
        gate.limiter.close()
        await asyncio.gather(*waiting)

    in_jumping_time(work)
