"""A tenant's other clients, who take tokens of the first bucket while nobody tells us.

They come at random (a Poisson process): each gap is drawn from one seeded generator, each takes one token if there is
one. This module must never run by itself or read a clock: a request's instant (epoch seconds) comes in, and all that
happened before it is caught up with.
"""

from __future__ import annotations

from collections import Counter
from random import Random
from typing import Final

from bulkstreams.sandbox.bucket import Bucket

_MOST: Final = 100_000
"""How many visits are caught up with at once, at most (a tenth of a second's work): earlier ones are forgotten."""


class Neighbour:
    """The other clients of one tenant, `rate` visits a second on average; what they got is counted in `books`."""

    def __init__(self, rate: float, books: Counter[str], chance: Random, now: float) -> None:
        self._rate = rate
        self._books = books
        self._chance = chance
        self._next_at = self._after(now)

    def visit(self, bucket: Bucket, now: float) -> None:
        """Let all visits happen that were due by now, each at its own instant."""
        self._next_at = max(self._next_at, now - _MOST / self._rate)
        while self._next_at <= now:
            bucket.fill(self._next_at)
            if bucket.remaining:
                bucket.spend()
                self._books["taken"] += 1
            else:
                self._books["refused"] += 1
            self._next_at = self._after(self._next_at)

    def _after(self, instant: float) -> float:
        return instant + self._chance.expovariate(self._rate)
