"""A tenant's token bucket, as the server keeps it: `burst` tokens at most, refilled at `rate` a second.

Auth0's documents disagree on the refill, so there are both: `continuous` trickles, `window` adds a second's worth
at the top of each second. This module must never read a clock: instants (epoch seconds) come in as `now`.
"""

from __future__ import annotations

import math
from typing import Final, NamedTuple

from bulkstreams.sandbox.settings import Refill

_DUST: Final = 1e-9  # what repeated additions of fractions may fall short by


class Grant(NamedTuple):
    """What the bucket says to one request: go or no, its size, the tokens left, and when (epoch s) more come."""

    granted: bool
    limit: int
    remaining: int
    reset: int


class Bucket:
    """Tokens of one tenant."""

    def __init__(self, *, rate: float, burst: int, refill: Refill, now: float) -> None:
        self._rate = rate
        self._burst = burst
        self._window = refill == "window"
        self._tokens = float(burst)
        self._filled_at = math.floor(now) if self._window else now

    def take(self, now: float) -> Grant:
        """Take a token if there is one."""
        self._fill(now)
        granted = self._tokens >= 1 - _DUST
        if granted:
            self._tokens -= 1
        return Grant(granted, self._burst, math.floor(self._tokens + _DUST), self._reset(now))

    def refuse(self, now: float) -> Grant:
        """Return what a request is told when somebody else took the tokens: none left until the next second."""
        return Grant(False, self._burst, 0, math.floor(now) + 1)

    def _fill(self, now: float) -> None:
        at = math.floor(now) if self._window else now
        if at > self._filled_at:
            self._tokens = min(self._burst, self._tokens + self._rate * (at - self._filled_at))
            self._filled_at = at

    def _reset(self, now: float) -> int:
        """Return the first whole second by which one more whole token has come."""
        missing = 1 - (self._tokens + _DUST) % 1
        if self._window:
            return math.floor(now) + max(1, math.ceil(missing / self._rate))
        return math.ceil(now + missing / self._rate)
