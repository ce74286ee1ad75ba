"""The gate that every request of one tenant passes: aiolimiter's ceiling, the pacer's word, and pauses.

All requests of a tenant, first attempts, retries and look-ups alike, pass here one after the other; while the gate is
shut only the first of those who wait runs a timer. It must never decide what a reply means: `core.pacing` does.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Mapping

import anyio
from aiolimiter import AsyncLimiter

from bulkstreams.core.pacing import UNWATCHED, Ceiling, Pacer

THROTTLED = "429: the server said to wait"


class Limiter:
    """Lets requests of one tenant through: at most `ceiling`, as `pacer` paces. `clock` gives monotonic seconds.

    A request that is let through has a ticket; what comes of it is told to `heard` or `lost`.
    """

    def __init__(self, ceiling: Ceiling, pacer: Pacer, clock: Callable[[], float]) -> None:
        self.pacer = pacer
        self._bucket = self._make(ceiling)
        self._clock = clock
        self._turn = anyio.Lock()
        self._changed = asyncio.Event()
        self._resume_at = 0.0
        self._reason = ""
        self._closed = False
        self._paying = anyio.CancelScope()

    @staticmethod
    def _make(ceiling: Ceiling) -> AsyncLimiter | None:
        """Give burst and rate apart: `AsyncLimiter(20, 1)` would let 39 through in its first second."""
        return None if ceiling.rate is None else AsyncLimiter(ceiling.burst, ceiling.burst / ceiling.rate)

    # -- what is told of it -------------------------------------------------------------------------------------------

    @property
    def rate(self) -> float | None:
        """Return the requests a second that may go: the ceiling, or less where the tenant sustains less; None: any."""
        own = None if self._bucket is None else self._bucket.max_rate / self._bucket.time_period
        learned = self.pacer.rate
        return min(own, learned) if own is not None and learned is not None else own or learned

    @property
    def resume_at(self) -> float:
        """Return the monotonic instant until which the tenant pauses; in the past where it does not."""
        return max(self._resume_at, self.pacer.resume_at)

    @property
    def is_throttled(self) -> bool:
        """Return whether it is a 429 that the tenant pauses for, rather than what `pause` was told."""
        return self.pacer.resume_at > self._resume_at

    @property
    def reason(self) -> str:
        """Return why the tenant pauses."""
        if self.pacer.resume_at <= self._resume_at:
            return self._reason
        return self.refusing or THROTTLED

    @property
    def refusing(self) -> str:
        """Return that the tenant answers 429 whatever it is asked, where it does; empty: it does not."""
        return f"429, {self.pacer.refusing} times in a row" if self.pacer.refusing else ""

    def wait_s(self, in_flight: int) -> float:
        """Return the seconds until one more may go beside `in_flight` others; inf: not before a reply comes."""
        now = self._clock()
        return max(self._resume_at - now, self.pacer.wait(in_flight, now), 0.0)

    # -- the gate -----------------------------------------------------------------------------------------------------

    def passes(self, in_flight: int) -> int | None:
        """Let one more request through at once if it may go, and return its ticket: the fast way of `acquire`."""
        if self._closed or self._bucket is not None:
            return None
        kept = self._turn.locked()  # a place for whoever stands in turn; the others have nothing to wait for
        if self.pacer.open and in_flight + kept < self.pacer.concurrency and not self._resume_at:
            return UNWATCHED
        if kept:
            return None
        now = self._clock()
        if self._resume_at > now or self.pacer.wait(in_flight, now) > 0.0:
            return None
        return self.pacer.take(now)

    async def acquire(self, in_flight: Callable[[], int]) -> int | None:
        """Wait until one more request may go, beside `in_flight()` others; None: the gate was closed."""
        async with self._turn:
            return await self._acquire_in_turn(in_flight)

    async def _acquire_in_turn(self, in_flight: Callable[[], int]) -> int | None:
        paid = self._bucket is None
        while not self._closed:
            wait = self.wait_s(in_flight())
            if wait > 0.0:
                self._changed.clear()
                with anyio.move_on_after(wait if wait < math.inf else None):
                    await self._changed.wait()
            elif not paid:
                paid = await self._pay()
            else:
                return self.pacer.take(self._clock())
        return None

    async def _pay(self) -> bool:
        """Wait for the ceiling; return False where the gate was closed meanwhile."""
        assert self._bucket is not None
        with anyio.CancelScope() as self._paying:
            await self._bucket.acquire()
            return True
        return False

    # -- what comes of it ---------------------------------------------------------------------------------------------

    def heard(self, ticket: int, status: int, headers: Mapping[str, str], draw: float) -> None:
        """Take note of the reply to a request that was let through."""
        self.pacer.heard(ticket, status, headers, self._clock(), draw)
        self.changed()

    def lost(self, ticket: int) -> None:
        """Take note that a request that was let through has no reply."""
        self.pacer.lost(ticket, self._clock())
        self.changed()

    def pause(self, seconds: float, reason: str) -> None:
        """Let nobody through for `seconds`; a longer pause that is already under way stays."""
        until = self._clock() + seconds
        if until > self._resume_at:
            self._resume_at, self._reason = until, reason
            self._changed.set()

    def changed(self) -> None:
        """Look again: a reply came, so that the budget or the number in flight is another."""
        if self._turn.locked():
            self._changed.set()

    def open(self) -> None:
        """Let requests through again after a `close`, as if there had been none: pauses and budget are as they are."""
        self._closed = False

    def close(self) -> None:
        """Let nobody through any more; those who wait are told so at once."""
        self._closed = True
        self._paying.cancel()
        self._changed.set()
