"""Definitions made ahead of the claims that are taken of them: all before a load begins, or on as it goes.

A load of a day has millions; made in one go they would keep it from beginning for a minute. This module must never make
more than a bounded lead that nobody has claimed, nor let a claim find none ready while there are some to be made.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable
from typing import Final, Protocol

from bulkstreams.ledger import BATCH
from bulkstreams.model import Claim

AT_ONCE: Final = 128
"""Definitions that are made in one go while a load is on: about a millisecond, in which nothing else is done."""

MOST_FIRST: Final = 100_000
"""Definitions that are all made before a load begins: about a second. Only a larger load is made on as it goes."""

LEADS: Final = 4
"""How many times as many definitions as claims are held ahead: seconds in which the disk may be busy."""


class Provider(Protocol):
    """Who makes definitions (see `definitions`)."""

    async def provide(self, count: int, at_once: int) -> None:
        """Make `count` more, of which `at_once` in one go."""


class Making:
    """The definitions of one load: `total` in all (infinite: nobody knows), of which `lead` are made ahead.

    Claims are taken through `claim`, so that it is known how many of them are left.
    """

    def __init__(
        self,
        definitions: Provider,
        claim: Callable[[int], Awaitable[list[Claim]]],
        total: float,
        lead: int,
    ) -> None:
        self._definitions, self._claim = definitions, claim
        self._left = total
        self._lead = lead
        self._ready = 0
        self._low, self._came = asyncio.Event(), asyncio.Event()

    async def fill(self, stopped: Callable[[], bool]) -> None:
        """Make the lead, or as much of it as it takes to be `stopped`."""
        while (missing := self._missing) and not stopped():
            await self._make(min(missing, BATCH), BATCH)

    async def run(self) -> None:
        """Keep the lead until cancelled, or all are made."""
        while self._left:
            if missing := self._missing:
                await self._make(min(missing, AT_ONCE), AT_ONCE)
            else:
                self._low.clear()
                await self._low.wait()

    async def claim(self, count: int) -> list[Claim]:
        """Claim up to `count`; wait where none is ready and some are to be made: no claim at all means the end."""
        while not self._ready and self._left:
            self._came.clear()
            await self._came.wait()
        claims = await self._claim(count)
        self._ready = max(0, self._ready - len(claims))  # what an earlier load has left is claimed as well
        self._low.set()
        return claims

    async def _make(self, count: int, at_once: int) -> None:
        await self._definitions.provide(count, at_once)
        self._left -= count
        self._ready += count
        self._came.set()

    @property
    def _missing(self) -> int:
        """Return how many are to be made for the lead to be whole."""
        return max(0, int(min(self._lead - self._ready, self._left)))


def lead_of(total: float, ahead: int) -> int:
    """Return how many definitions to make before a load of `total` whose claims are taken `ahead` of it."""
    return math.ceil(total) if total <= MOST_FIRST else LEADS * ahead
