"""Counters of what a run does: added to on the hot path, merged, never reset. They count; the ledger remembers.

This module must never time anything itself: durations and instants are handed in.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Final

BOUNDS_S: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
"""Seconds up to which the buckets of a `Histogram` reach; a last one takes all that is longer."""


@dataclass(slots=True, kw_only=True)
class Tally:
    """What one run asked of the servers, and what it got: the part that a record's own row cannot tell."""

    requests: int = 0
    retries: int = 0
    throttled: int = 0
    lookups: int = 0
    _before: tuple[int, int, int, int] = field(default=(0, 0, 0, 0), init=False, repr=False, compare=False)

    def add(self, other: Tally) -> None:
        """Add another tally to this one."""
        self.requests += other.requests
        self.retries += other.retries
        self.throttled += other.throttled
        self.lookups += other.lookups

    def taken(self) -> Tally:
        """Return what was counted since this was last asked; the counters themselves only ever grow."""
        requests, retries, throttled, lookups = self._before
        self._before = self.requests, self.retries, self.throttled, self.lookups
        return Tally(
            requests=self.requests - requests,
            retries=self.retries - retries,
            throttled=self.throttled - throttled,
            lookups=self.lookups - lookups,
        )


class Histogram:
    """Durations in seconds, counted by bucket: as much memory for a thousand as for a billion."""

    def __init__(self) -> None:
        self.total_s = 0.0
        self._counts = [0] * (len(BOUNDS_S) + 1)

    def add(self, durations_s: Iterable[float]) -> None:
        """Count some durations."""
        for one in durations_s:
            self._counts[bisect_left(BOUNDS_S, one)] += 1
            self.total_s += one

    def up_to(self) -> tuple[tuple[float, int], ...]:
        """Return how many took at most so long, for each bound and for infinity: that is how many there are."""
        return tuple(zip((*BOUNDS_S, math.inf), accumulate(self._counts), strict=True))
