"""The gate that every request of one tenant passes: aiolimiter's ceiling, the server's own budget, and pauses.

All requests of a tenant, first attempts, retries and look-ups alike, pass here one after the other; while the gate is
shut only the first of those who wait runs a timer. It must never decide what a reply means: `core.pacing` does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import anyio
from aiolimiter import AsyncLimiter

from bulkstreams.core.pacing import Ceiling, Window


class Limiter:
    """Lets requests of one tenant through: at most `ceiling`, within `window` (None: the server's budget is ignored).

    `clock` gives monotonic seconds.
    """

    def __init__(self, ceiling: Ceiling, window: Window | None, clock: Callable[[], float]) -> None:
        self._bucket = self._make(ceiling)
        self._window = window
        self._clock = clock
        self._turn = anyio.Lock()
        self._changed = asyncio.Event()
        self._resume_at = 0.0
        self._closed = False
        self._paying = anyio.CancelScope()
        self.reason = ""

    @staticmethod
    def _make(ceiling: Ceiling) -> AsyncLimiter | None:
        """Give burst and rate apart: `AsyncLimiter(20, 1)` would let 39 through in its first second."""
        return None if ceiling.rate is None else AsyncLimiter(ceiling.burst, ceiling.burst / ceiling.rate)

    @property
    def rate(self) -> float | None:
        """Return the ceiling in requests a second, None where only the server limits."""
        return None if self._bucket is None else self._bucket.max_rate / self._bucket.time_period

    @property
    def resume_at(self) -> float:
        """Return the monotonic instant until which the tenant pauses; in the past where it does not."""
        return self._resume_at

    def passes(self, in_flight: int) -> bool:
        """Let one more request through at once where nothing limits it: the fast way of `acquire`."""
        if self._closed or self._bucket is not None or self._turn.locked():
            return False
        if self._window is None and not self._resume_at:
            return True
        if self._wait(in_flight) > 0.0:
            return False
        if self._window is not None:
            self._window.take()
        return True

    async def acquire(self, in_flight: Callable[[], int]) -> bool:
        """Wait until one more request may go, beside `in_flight()` others; return False if the gate was closed."""
        async with self._turn:
            return await self._acquire_in_turn(in_flight)

    async def _acquire_in_turn(self, in_flight: Callable[[], int]) -> bool:
        paid = self._bucket is None
        while not self._closed:
            wait = self._wait(in_flight())
            if wait > 0.0:
                self._changed.clear()
                with anyio.move_on_after(wait):
                    await self._changed.wait()
            elif not paid:
                paid = await self._pay()
            else:
                if self._window is not None:
                    self._window.take()
                return True
        return False

    async def _pay(self) -> bool:
        """Wait for the ceiling; return False where the gate was closed meanwhile."""
        assert self._bucket is not None
        with anyio.CancelScope() as self._paying:
            await self._bucket.acquire()
            return True
        return False

    def _wait(self, in_flight: int) -> float:
        now = self._clock()
        if self._resume_at > now:
            return self._resume_at - now
        return 0.0 if self._window is None else self._window.wait(in_flight, now)

    def pause(self, seconds: float, reason: str) -> None:
        """Let nobody through for `seconds`; a longer pause that is already under way stays."""
        until = self._clock() + seconds
        if until > self._resume_at:
            self._resume_at, self.reason = until, reason
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
