"""What waits between a load's schedule and its workers: claims that are ready, and requests that are due.

This module must never hold more for a load that takes longer.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from typing import Final

import anyio

from bulkstreams.core.saturation import Cause
from bulkstreams.model import Claim

LEAST_AHEAD: Final = 256
MOST_AHEAD: Final = 8192
"""Claims that are held ahead: about a second's worth, which a crash leaves in doubt."""


def within(ahead: int) -> int:
    """Return how many claims are held ahead where so many are wanted."""
    return min(MOST_AHEAD, max(LEAST_AHEAD, ahead))


class Supply:
    """Claims ahead of the load: `take` gives one at once, or none where the ledger has not kept up."""

    def __init__(self, claim: Callable[[int], Awaitable[list[Claim]]], ahead: int) -> None:
        self._claim = claim
        self._ahead = within(ahead)
        self._ready: deque[Claim] = deque()
        self._low = asyncio.Event()
        self.came: Callable[[], None] = lambda: None
        self.dry = False

    async def fill(self) -> None:
        """Have the first claims ready before anything is due."""
        await self._take_more()

    async def run(self) -> None:
        """Keep it filled until cancelled, or nothing is left to claim."""
        while not self.dry:
            self._low.clear()
            if len(self._ready) * 2 > self._ahead:
                await self._low.wait()
            await self._take_more()
            self.came()

    async def _take_more(self) -> None:
        """Claim up to what is held ahead; what has begun is taken to its end: else nobody could give it back."""
        with anyio.CancelScope(shield=True):
            claims = await self._claim(self._ahead - len(self._ready))
        self._ready.extend(claims)
        self.dry = not claims

    def take(self) -> Claim | None:
        """Return the next claim, if there is one."""
        if len(self._ready) * 2 <= self._ahead:
            self._low.set()
        return self._ready.popleft() if self._ready else None

    def rest(self) -> list[Claim]:
        """Return the claims that nobody took, and forget them."""
        rest = list(self._ready)
        self._ready.clear()
        return rest

    @property
    def empty(self) -> bool:
        """Return whether no claim is ready."""
        return not self._ready


class Overdue:
    """The requests that are due and have not begun: how many, and what keeps them, in constant memory.

    Their instants come from the schedule once more: it is cheaper to reckon them again than to keep them.
    """

    def __init__(self) -> None:
        self.count = 0
        self.instants: Iterator[float] = iter(())
        self.began = 0.0
        self._causes: deque[tuple[Cause, int]] = deque()

    def add(self, cause: Cause) -> None:
        """Take one more."""
        self.count += 1
        causes = self._causes
        if causes and causes[-1][0] is cause:
            causes[-1] = (cause, causes[-1][1] + 1)
        else:
            causes.append((cause, 1))

    def take(self) -> tuple[float, Cause]:
        """Return when the longest due was to begin, and what kept it."""
        self.count -= 1
        cause, count = self._causes[0]
        if count == 1:
            self._causes.popleft()
        else:
            self._causes[0] = (cause, count - 1)
        return self.began + next(self.instants), cause
