"""How a run goes, noted as it goes: what was asked when, what was allowed, and the pauses."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise

import anyio
import pytest

from bulkstreams.core.course import STRETCHES, Asked, Paused, stretch_s
from bulkstreams.core.pacing import Ceiling
from bulkstreams.core.waiting import WaitKind
from bulkstreams.engine import LanePlan
from bulkstreams.engine.course import EVERY_S, Course
from bulkstreams.engine.lane import Lane
from bulkstreams.model import Failure, TenantName
from tests.engine.fakes import NOON, NOT_SENT, TENANT, Rig, ScriptedClient, webhooks
from tests.engine.many import LedgerOfMany, Many


class CourseBook:
    """A ledger that only takes the course."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.clock = clock
        self.asked: list[Asked] = []
        self.paused: dict[tuple[WaitKind, float], Paused] = {}
        self.at: list[float] = []

    async def note_course(self, asked: Sequence[Asked], paused: Sequence[Paused]) -> None:
        """Take notes, as the ledger does: one pause told anew takes the place of what was told of it."""
        self.at.append(self.clock())
        self.asked += asked
        self.paused |= {(one.kind, one.began_at): one for one in paused}


def noted(rig: Rig, stop_at: float | None = None) -> CourseBook:
    """Run a lane to its end, or stop it at an instant, and return what was noted of its course."""
    book = CourseBook(rig.clock.monotonic)

    async def beside(lane: Lane) -> None:
        course = Course(rig.recorder.tally, rig.clock, allowed=lambda: lane.limiter.rate, pauses=lane.tools.pauses)
        async with anyio.create_task_group() as group:
            group.start_soon(course.keep, book)
            while not lane.finished:
                await anyio.sleep(0.05)
                if stop_at is not None and rig.clock.monotonic() >= stop_at:
                    lane.stop("enough")
            group.cancel_scope.cancel()

    rig.run(meanwhile=beside)
    return book


def test_all_that_was_asked_is_noted_when_it_was_asked() -> None:
    """The stretches add up to the run's own counts, follow one another, and know the budget."""
    client = ScriptedClient(lambda name, n: client.reply(429, {}, retry_after="2") if name == "s8" and n == 1 else "ok")
    rig = Rig(webhooks(40), client, ceiling=Ceiling(rate=10.0, burst=1))
    book = noted(rig)
    tally = rig.recorder.tally
    assert sum(one.requests for one in book.asked) == tally.requests == 41
    assert sum(one.throttled for one in book.asked) == tally.throttled == 1
    assert sum(one.retries for one in book.asked) == tally.retries
    assert sum(one.lookups for one in book.asked) == tally.lookups
    assert all(one.began_at + one.seconds <= other.began_at + 1e-6 for one, other in pairwise(book.asked))
    assert all(NOON <= one.began_at <= NOON + rig.ended_at for one in book.asked)
    assert book.asked[0].allowed == 10.0
    assert all(one.allowed is not None and one.allowed <= 10.0 for one in book.asked)


def test_a_stretch_in_which_nothing_was_asked_is_not_noted() -> None:
    """A minute's pause leaves no row but its own."""
    client = ScriptedClient(
        lambda name, n: client.reply(429, {}, retry_after="60") if name == "s2" and n == 1 else "ok"
    )
    book = noted(Rig(webhooks(4), client, concurrency=1))
    (pause,) = book.paused.values()
    assert pause.tenant == TENANT
    assert pause.kind is WaitKind.THROTTLED
    assert (pause.pauses, pause.reason) == (1, "429: the server said to wait")
    assert 60.0 <= pause.seconds <= 66.0
    assert pause.seconds == pytest.approx(pause.ended_at - pause.began_at)
    assert not [one for one in book.asked if pause.began_at + 0.5 < one.began_at < pause.ended_at - 0.5]


def test_notes_of_the_course_are_seldom() -> None:
    """However much is asked, the ledger is written once a second for it, and once at the end."""
    book = noted(Rig(webhooks(100), ceiling=Ceiling(rate=20.0, burst=1)))
    assert len(book.at) >= 4
    assert all(later - earlier >= EVERY_S for earlier, later in pairwise(book.at[:-1]))


def test_a_death_costs_a_long_run_no_more_than_a_short_one() -> None:
    """Stretches take seconds by then, and yet what is asked stands in the ledger a second or two later."""
    book = noted(Rig(webhooks(2500), ceiling=Ceiling(rate=4.0, burst=1)))
    assert book.at[-1] > 600.0
    assert max(later - earlier for earlier, later in pairwise(book.at)) <= EVERY_S + 1.0
    stretches = {one.began_at: one.seconds for one in book.asked}
    assert stretch_s(book.at[-1]) > 2.5
    assert max(stretches.values()) >= 2.5
    assert len(stretches) < STRETCHES * 4
    assert all(one + seconds <= other + 1e-6 for (one, seconds), (other, _) in pairwise(stretches.items()))
    assert sum(one.requests for one in book.asked) == 2500


def test_an_outage_is_a_pause_of_another_kind() -> None:
    """Where nobody listens for some seconds, the pauses between the probes are told as that, with the cause."""
    failure = Failure(reason="connection refused", sent=False, elapsed_s=0.001)
    client = ScriptedClient(lambda _name, _n: failure if client.now < NOON + 20.0 else "ok")
    book = noted(Rig(webhooks(30), client))
    kinds = {one.kind for one in book.paused.values()}
    assert kinds == {WaitKind.UNREACHABLE}
    assert all("connection refused" in one.reason for one in book.paused.values())
    assert sum(one.pauses for one in book.paused.values()) > 2


def test_a_pause_of_a_tenant_that_is_stopped_ends_with_that() -> None:
    """Nobody waits for it any longer, so it is not drawn as if somebody did."""
    client = ScriptedClient(lambda name, n: client.reply(429, {}, retry_after="60") if n == 1 else "ok")
    book = noted(Rig(webhooks(4), client), stop_at=10.0)
    (pause,) = book.paused.values()
    assert pause.ended_at - pause.began_at < 11.0


class LedgerWithCourse(LedgerOfMany):
    """A ledger of many tenants that remembers how the run went."""

    def __init__(self, records: Mapping[str, int]) -> None:
        super().__init__(records, surveyed=True)
        self.asked: list[Asked] = []
        self.paused: dict[tuple[str, float], Paused] = {}

    async def note_course(self, asked: Sequence[Asked], paused: Sequence[Paused]) -> None:  # type: ignore[override]
        """Take notes."""
        self.asked += asked
        self.paused |= {(one.tenant, one.began_at): one for one in paused}


def test_a_tenant_that_is_done_pauses_no_longer() -> None:
    """Its one record was given up as the pause began; that others go on is none of its time."""
    records = {"down": 1, "slow": 20}
    many = Many(records, {"down": lambda _name, _n: NOT_SENT}, seats=2, retries=1)
    many.ledger = ledger = LedgerWithCourse(records)
    many.ceiling = Ceiling(rate=5.0, burst=1)
    many.run()
    assert ledger.counts_of("down") == {"exhausted": 1}
    (pause,) = ledger.paused.values()
    last_try = max(at for at, _ in many.servers["down"].creates)
    assert pause.tenant == "down"
    assert pause.seconds == pytest.approx(last_try, abs=0.1)


def test_a_tenant_that_never_said_what_it_allows_hides_nothing_of_the_others() -> None:
    """What is noted as allowed is the sum of those at work that it is known of, from the first to the last."""

    class OneLimited(Many):
        def plan(self, tenant: TenantName) -> LanePlan:
            plan = super().plan(tenant)
            return replace(plan, ceiling=Ceiling(rate=5.0, burst=1)) if tenant == "slow" else plan

    records = {"down": 1, "slow": 20}
    many = OneLimited(records, {"down": lambda _name, _n: NOT_SENT}, seats=2, retries=1)
    many.ledger = ledger = LedgerWithCourse(records)
    many.run()
    assert many.servers["down"].creates
    assert {one.allowed for one in ledger.asked} == {5.0}
