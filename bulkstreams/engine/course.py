"""How a run goes, noted in its ledger as it goes: what was asked of the tenants, stretch by stretch, and the pauses.

A stretch of a long run takes minutes; what it has come to is noted as it grows, so that a death costs a second of it.
Counters are looked at now and then, and what they grew by is noted: nothing is added to the hot path for it.
This module must never ask a lane to wait, nor note a stretch in which nothing was asked.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Final, Protocol

import anyio

from bulkstreams.core.course import LEAST_S, Asked, Paused, Pauses, stretch_s
from bulkstreams.core.metrics import Tally
from bulkstreams.engine.noting import keep_noting
from bulkstreams.engine.tools import Clock

if TYPE_CHECKING:
    from bulkstreams.engine.fleet import Fleet
    from bulkstreams.ledger import Ledger

EVERY_S: Final = 1.0
"""Seconds between two notes at the least; and how often the tenants are asked what they allow."""

GRACE_S: Final = 10.0
"""Seconds that the last note may take, whatever else has ended."""


class CourseBook(Protocol):
    """Where it is noted: the ledger."""

    def note_course(self, asked: Sequence[Asked], paused: Sequence[Paused]) -> Awaitable[None]:
        """Note how the run went of late."""


class Course:
    """The course of one run, from now on. `tally` counts what is asked, `allowed` tells what may be asked a second."""

    def __init__(
        self,
        tally: Tally,
        clock: Clock,
        *,
        allowed: Callable[[], float | None] = lambda: None,
        pauses: Pauses | None = None,
    ) -> None:
        self._tally = tally
        self._clock = clock
        self._allowed = allowed
        self._pauses = pauses or Pauses()
        self._asked: list[Asked] = []
        self._counts = _counts(tally)
        self._budget: float | None = None
        self._began = self._noted = clock.monotonic()
        self._open(self._began)

    async def keep(self, book: CourseBook) -> None:
        """Note in `book` how it goes, until cancelled, and then the rest. Raises the ledger's errors."""
        try:
            while True:
                await anyio.sleep(min(self._pauses.gap_s, EVERY_S / 2))
                await self._step(book)
        finally:
            with anyio.CancelScope(shield=True), anyio.move_on_after(GRACE_S):
                await self._finish(book)

    async def _step(self, book: CourseBook) -> None:
        now = self._clock.monotonic()
        is_due = now - self._noted >= EVERY_S
        if is_due or now - self._began < EVERY_S:
            self._budget = self._allowed()
        self._look(now)
        self._pauses.gap_s = stretch_s(now - self._began)
        if is_due:
            self._noted = now
            await self._note(book, now)

    async def _finish(self, book: CourseBook) -> None:
        now = self._clock.monotonic()
        self._look(now)
        self._pauses.end(now)
        await self._note(book, now)

    def _open(self, now: float) -> None:
        """Begin a stretch."""
        self._opened, self._opened_at = now, self._clock.wall()
        self._is_empty = True

    def _look(self, now: float) -> None:
        """Take down what was asked since the last look; a stretch begins with the first look at which anything was."""
        counts, before = _counts(self._tally), self._counts
        self._counts = counts
        if counts != before:
            requests, retries, throttled, lookups = (one - other for one, other in zip(counts, before, strict=True))
            seconds, self._is_empty = now - self._opened, False
            self._asked.append(Asked(self._opened_at, seconds, requests, retries, throttled, lookups, self._budget))
        if self._is_empty or now - self._opened > self._pauses.gap_s - LEAST_S / 2:
            self._open(now)

    async def _note(self, book: CourseBook, now: float) -> None:
        asked, self._asked = self._asked, []
        paused = self._pauses.taken(now)
        if asked or paused:
            await book.note_course(asked, paused)


def _counts(tally: Tally) -> tuple[int, int, int, int]:
    return tally.requests, tally.retries, tally.throttled, tally.lookups


async def keep_notes(fleet: Fleet, ledger: Ledger) -> None:
    """Note how a fleet stands and how it goes, until cancelled. Raises the ledger's errors."""
    course = Course(fleet.tally, fleet.clock, allowed=fleet.allowed, pauses=fleet.pauses)
    async with anyio.create_task_group() as group:
        group.start_soon(keep_noting, fleet.outlook, ledger, fleet.clock)
        await course.keep(ledger)
