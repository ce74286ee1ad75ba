"""A token bucket, as the server keeps it: `burst` tokens at most, refilled at `rate` a second.

Auth0's documents disagree on the refill, so there are all three: `continuous` trickles, `window` adds a second's worth
at the top of each second, `minute` a minute's worth at the top of each minute. What finds no room is lost.
This module must never read a clock: instants (epoch seconds) come in as `now`.
"""

from __future__ import annotations

import math
from typing import Final

from bulkstreams.sandbox.settings import WINDOWS, Refill

_DUST: Final = 1e-9  # what repeated additions of fractions may fall short by


class Bucket:
    """The tokens of one limit; `fill` to an instant before asking what is there at it."""

    def __init__(self, *, rate: float, burst: int, refill: Refill, now: float) -> None:
        self.burst = burst
        self._rate = rate
        self._window = WINDOWS[refill]
        self._tokens = float(burst)
        self._filled_at = self._latest_refill(now)

    @property
    def remaining(self) -> int:
        """Return how many whole tokens are there."""
        return math.floor(self._tokens + _DUST)

    def fill(self, now: float) -> None:
        """Add what has come since the last time; an instant before that one adds nothing."""
        at = self._latest_refill(now)
        if at > self._filled_at:
            self._tokens = min(self.burst, self._tokens + self._rate * (at - self._filled_at))
            self._filled_at = at

    def spend(self) -> None:
        """Take a token that is there."""
        self._tokens = max(0.0, self._tokens - 1)

    def next_token(self, now: float) -> int:
        """Return the first whole second by which one more whole token has come."""
        missing = 1 - (self._tokens + _DUST) % 1
        if self._window is None:
            return math.ceil(now + missing / self._rate)
        windows = math.ceil(missing / (self._rate * self._window))
        return math.floor(now / self._window) * self._window + self._window * max(1, windows)

    def next_refill(self, now: float) -> int:
        """Return the top of the next window, which is the next whole second where tokens trickle."""
        window = self._window or 1
        return math.floor(now / window) * window + window

    def _latest_refill(self, now: float) -> float:
        return now if self._window is None else math.floor(now / self._window) * self._window
