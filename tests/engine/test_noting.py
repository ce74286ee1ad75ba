"""Notes of how a run stands: seldom, small, and right for as long as they stand there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from itertools import pairwise

import anyio

from bulkstreams.core.pacing import Ceiling
from bulkstreams.core.waiting import Progress, Wait, WaitKind
from bulkstreams.engine.lane import Lane
from bulkstreams.engine.noting import EVERY_S, is_news, keep_noting
from bulkstreams.engine.outlook import Outlook
from tests.engine.fakes import NOON, TENANT, Rig, ScriptedClient, webhooks


class Notebook:
    """A ledger that only takes notes."""

    def __init__(self) -> None:
        self.notes: list[tuple[float, Progress]] = []

    async def note(self, progress: Progress, now: float) -> None:
        """Take a note."""
        self.notes.append((now, progress))


def noted(rig: Rig, meddle: Callable[[Lane], None] = lambda _: None) -> Notebook:
    """Run a lane to its end, and return what was noted of it; `meddle` ten times a second."""
    book = Notebook()

    async def beside(lane: Lane) -> None:
        outlook = Outlook(rig.clock.monotonic)
        outlook.seat(lane)
        async with anyio.create_task_group() as group:
            group.start_soon(keep_noting, outlook, book, rig.clock)
            for _ in range(1000):
                if not lane.finished:
                    meddle(lane)
                    await anyio.sleep(0.1)
            group.cancel_scope.cancel()

    rig.run(meanwhile=beside)
    return book


def test_a_long_pause_is_noted_and_stays_right() -> None:
    """A tenant that pauses for a minute is noted with the instant by the epoch's clock, and then left alone."""
    client = ScriptedClient(
        lambda name, n: client.reply(429, {}, retry_after="60") if name == "s8" and n == 1 else "ok"
    )
    book = noted(Rig(webhooks(20), client, ceiling=Ceiling(rate=2.0, burst=1)))
    pauses = [
        (at, wait.until)
        for at, progress in book.notes
        for name, wait in progress.waits
        if wait.kind is WaitKind.THROTTLED and name == TENANT
    ]
    assert pauses
    (until,) = {until for _, until in pauses}
    resumed = min(at for at, _ in client.creates if at > 30.0) + NOON
    assert until is not None
    assert abs(until - resumed) < 1.0
    # The estimate takes some seconds to settle; from then on there is next to nothing new to say.
    assert len([at for at, _ in book.notes if at < until - 2.0]) < 12
    assert len([at for at, _ in book.notes if until - 40.0 < at < until - 2.0]) <= 1


def test_notes_are_seldom() -> None:
    """However much goes on, two notes are never closer than the promise."""
    book = noted(Rig(webhooks(100), ceiling=Ceiling(rate=5.0, burst=1)))
    instants = [at for at, _ in book.notes]
    assert instants
    assert all(later - earlier >= EVERY_S for earlier, later in pairwise(instants))


def test_a_moment_is_not_worth_a_note() -> None:
    """A wait that is over before anybody reads of it is left out, and of the counts, too."""
    rig = Rig(webhooks(60), ceiling=Ceiling(rate=5.0, burst=1))
    book = noted(rig, lambda lane: lane.limiter.pause(0.5, "429: for a moment") if rig.clock.monotonic() < 30 else None)
    early = [progress for at, progress in book.notes if at < NOON + 30]
    assert early
    assert all(not progress.waits and not progress.counts for progress in early)


def standing(**more: object) -> Progress:
    """Return how a run stands; keywords replace its parts."""
    wait = Wait(WaitKind.THROTTLED, "429", 100.0)
    usual = {"lanes": 2, "unseated": 0, "waits": (("a", wait),), "counts": Counter({WaitKind.THROTTLED: 1})}
    return Progress(**{**usual, "ends_at": 500.0, "allowed": 5.0, **more})  # type: ignore[arg-type]


def test_only_what_would_be_told_wrong_is_news() -> None:
    """An estimate that is a little off is none; another wait, another lane, or a rate that has doubled is."""
    old = standing()
    for same in (standing(), standing(ends_at=530.0), standing(allowed=5.2)):
        assert not is_news(same, old, 0.0)
    for other in (
        standing(ends_at=900.0), standing(ends_at=None), standing(allowed=10.0), standing(allowed=None),
        standing(lanes=1), standing(unseated=3), standing(at_least=True), standing(waits=()),
        standing(counts=Counter({WaitKind.THROTTLED: 2})),
        standing(waits=(("a", Wait(WaitKind.THROTTLED, "429", 140.0)),)),
        standing(waits=(("a", Wait(WaitKind.UNREACHABLE, "no connection", 100.0)),)),
    ):  # fmt: skip
        assert is_news(other, old, 0.0)
