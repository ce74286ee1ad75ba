"""A lane while its tenant is down: everything waits, one probe at a time goes alone, the first answer ends it.

A probe is a record's create, or the page of a look-up that wants one: it costs no attempt, so it goes first. What was
under way when the outage began says nothing new and costs no record an attempt. This module must never say when a
tenant is down or for how long it is waited for (`core.outage`), nor send anything itself.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from bulkstreams.core.outage import Outage, width_after

if TYPE_CHECKING:
    from bulkstreams.engine.lane import Lane

LOOK_UP: Final = 0
"""Who a look-up is, where a create is its record's id: the ledger counts those from 1."""

TOKEN: Final = -1
"""Who a request for a token is, without which there is no probe."""


class Breaker:
    """The outage of one lane's tenant, if there is one."""

    def __init__(self, lane: Lane) -> None:
        self._lane = lane
        self.outage = Outage(retries=lane.settings.retries, patience_s=lane.settings.patience_s)
        self.calm = False
        """Whether an answer would be no news: then it need not be told."""
        self.gave_up = False
        """Whether the tenant is waited for no longer."""
        self._probe: int | None = None
        self._look_ups = 0
        self._answers: int | None = None  # since the newest outage ended, while the lane goes on gently
        self._changed = asyncio.Event()

    @property
    def is_open(self) -> bool:
        """Return whether the tenant counts as down."""
        return self.outage.is_open

    # -- before a request ---------------------------------------------------------------------------------------------

    def go(self, who: int) -> bool:
        """Return whether a request that the limiter let through may go: while the tenant is down, as the probe."""
        if not self.outage.is_open:
            return True
        if self.gave_up or self._probe is not None or (self._look_ups and who != LOOK_UP):
            return False
        self._probe = who
        return True

    @contextmanager
    def looking(self) -> Iterator[None]:
        """Have the probes be those of a look-up: they cost no record an attempt."""
        self._look_ups += 1
        self.resize()
        try:
            yield
        finally:
            self._look_ups -= 1
            self.resize()

    async def turn(self) -> None:
        """Wait until no other probe is under way."""
        while self.outage.is_open and self._probe is not None:
            self._changed.clear()
            await self._changed.wait()

    # -- what comes of it ---------------------------------------------------------------------------------------------

    def heard(self) -> None:
        """Take note of a usable answer: an outage is over, and the lane goes on, gently at first."""
        self._probe = None
        if self.outage.heard():
            self._answers = 0
        if self._answers is not None:
            self._answers += 1
        self.resize()

    def lost(self, who: int, cause: str) -> float:
        """Take note of an answer that says the server is broken, or of none after a connection.

        Return the seconds for which the lane pauses now: 0.0: it goes on; inf: the tenant is to be given up.
        """
        return self._failed(who, cause, self.outage.lost) or 0.0

    def unsent(self, who: int, cause: str) -> float | None:
        """Take note of a request that found no connection; return the pause, as `lost` does.

        None: it was under way when the outage began, and is no attempt of its own.
        """
        return self._failed(who, cause, self.outage.unsent)

    def token_unreached(self, cause: str) -> bool:
        """Take note that the tenant gave no answer to token requests; return whether it is waited for.

        One that has never answered is not: the address may be wrong, and no record's attempts say when to stop.
        """
        if not self.outage.answered and self.outage.patience_s < math.inf:
            return False
        if self._lane.limiter.resume_at > self._lane.tools.clock.monotonic():
            return True  # it was under way, or waited for by many
        self._probe = TOKEN
        return self._failed(TOKEN, cause, self.outage.unsent) != math.inf

    def _failed(self, who: int, cause: str, judge: Callable[[str, float, float], float]) -> float | None:
        lane = self._lane
        if self.outage.is_open and self._probe != who:
            return None
        self._probe, self.calm = None, False
        pause = judge(cause, lane.tools.clock.monotonic(), lane.tools.draw())
        if pause == math.inf:
            self.gave_up = True
        elif pause > 0.0:
            lane.limiter.pause(pause, f"{cause}; then a probe, {self.outage.failed} failed so far")
            lane.note_pause()
        self.resize()
        return pause

    def resize(self) -> None:
        """Let as many workers work as may send something."""
        concurrency = self._lane.settings.concurrency
        if self.gave_up:
            width = 0
        elif self.outage.is_open:
            width = 0 if self._look_ups else 1
        elif self._answers is None:
            width = concurrency
        else:
            width = width_after(self._answers, concurrency)
            if width == concurrency:
                self._answers = None
        self.calm = self._answers is None and self.outage.calm
        self._changed.set()
        if width != self._lane.width or width == 1:
            self._lane.resize(width)

    def story(self) -> str:
        """Return what is wrong, how often it was tried, and for how long."""
        return self.outage.story(self._lane.tools.clock.monotonic())

    def trouble(self) -> str:
        """Return what keeps a tenant waited for, if anything does: an outage, or answers that look like one."""
        if self.gave_up:
            return ""
        return self.story() if self.is_open else self.outage.trouble
