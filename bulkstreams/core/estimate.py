"""How long a run may still take: it ends when its slowest lane does, and a lane goes as fast as it may.

This module must never look at a lane or read a clock: instants are monotonic seconds that come in as `now`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

MEMORY_S: Final = 30.0
"""Seconds over which what a lane achieves is averaged."""

SOONEST_S: Final = 1.0
"""Seconds that a lane must have been watched before what it achieves says anything."""

SMOOTH_S: Final = 3.0
"""Seconds in which an estimate that has changed goes most of the way to the new one."""

WARM: Final = 0.25
"""The share of an estimate's age that it is smoothed over while it is young."""


@dataclass(slots=True)
class Pace:
    """What a lane achieves: records a second, averaged so that what is long past counts for less and less."""

    _done: float = 0.0
    _seconds: float = 0.0

    def note(self, done: int, seconds: float) -> None:
        """Note that `done` more records were settled in the last `seconds`; negative where some came back."""
        fades = math.exp(-seconds / MEMORY_S)
        self._done = self._done * fades + done
        self._seconds = self._seconds * fades + seconds

    @property
    def rate(self) -> float | None:
        """Return the records a second, or None where it was not watched for long enough."""
        return max(0.0, self._done / self._seconds) if self._seconds >= SOONEST_S else None


def sustained(allowed: float | None, achieved: float | None, *, paced: bool) -> float | None:
    """Return the rate at which a lane will go on, or None where nobody knows.

    One that is `paced` goes as fast as it is allowed; another may be slower than that, for the server is.
    """
    if allowed is None:
        return achieved
    return allowed if paced or achieved is None else min(allowed, achieved)


def lane_left(records: int, rate: float | None, pause_s: float = 0.0) -> float | None:
    """Return the seconds that a lane takes for its records at a rate, after a pause; None where nobody knows."""
    if records <= 0:
        return 0.0
    return None if rate is None or rate <= 0.0 else pause_s + records / rate


def run_left(lanes: Sequence[float], unseated: int = 0, rate: float | None = None) -> float | None:
    """Return the seconds until the last of some lanes is done, or None where of none is known how long it takes.

    `unseated` records of tenants still wait for the seat of one of these lanes; they go at `rate` once they have it.
    No order of seating is quicker than the longest lane, nor than all of the work spread evenly over the seats.
    """
    if not lanes:
        return None
    waiting = unseated / rate if rate else 0.0
    return max(*lanes, (sum(lanes) + waiting) / len(lanes))


@dataclass(slots=True)
class Ending:
    """When a run may be over, told without jumps: one reply that was slow is no news.

    The first estimates, made from little, are left behind the faster.
    """

    _at: float | None = None
    _told_at: float = 0.0
    _began_at: float = 0.0

    def tell(self, left_s: float | None, now: float) -> float | None:
        """Return the instant, from what is left by the newest estimate; None where there is none."""
        if left_s is None:
            self._at = None
        elif self._at is None:
            self._at, self._began_at = now + left_s, now
        else:
            smooth_s = min(SMOOTH_S, max(WARM * (now - self._began_at), 1e-9))
            share = 1.0 - math.exp(-(now - self._told_at) / smooth_s)
            self._at += share * (now + left_s - self._at)
        self._told_at = now
        return self._at
