"""The rate that a tenant sustains where no header tells it: learned from its refusals, kept, probed, slowly forgotten.

A bucket that refused a request was empty. So between two refusals it granted what came into it, and no more: what was
granted over the time between is the rate at which it fills. After a refusal the rate starts a little below what was
learned, climbs back to it, stays there, and only after a while goes on above it, as CUBIC does with its window
(RFC 9438, section 4.1). This module must never wait or read a clock.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

FIRST_GUESS: Final = 0.5
"""The share of the rate at which the first refusal came that is tried next: how full the bucket was is not known."""

PLATEAU_S: Final = 8.0
"""Seconds after a refusal at which the rate is back at what was learned; slow buckets take a hundred requests' time."""

PLATEAU_REQUESTS: Final = 60

DIP: Final = 0.04
"""How far below what was learned the rate begins, as a share of it."""

FORGOTTEN: Final = 8.0
"""The rate over the learned one, from which on nothing is held back any more."""

_WEIGHT: Final = 30
"""Requests after which a new measurement counts as much as all that were before."""


@dataclass(slots=True)
class Sustained:
    """What one tenant sustains, in requests a second; `learned` None: it never refused, or that is long ago."""

    learned: float | None = None
    _measured: bool = False
    _granted: int = 0
    _emptied_at: float | None = None
    _began_at: float | None = None
    _next_at: float = 0.0

    def wait(self, now: float) -> float:
        """Return the seconds to wait before one more request may go."""
        return max(0.0, self._next_at - now) if self.learned is not None else 0.0

    def rate(self, now: float) -> float | None:
        """Return the requests a second that may go `now`; None: nothing is known to hold them back."""
        if self.learned is None or self._emptied_at is None:
            return None
        plateau = max(PLATEAU_S, PLATEAU_REQUESTS / self.learned)
        if not self._measured:
            plateau /= 8  # a guess, not a measurement: soon above it
        return self.learned * (1.0 + DIP * ((now - self._emptied_at) / plateau - 1.0) ** 3)

    def take(self, now: float) -> None:
        """Note that a request goes; the next one goes no sooner than its share of a second later."""
        if self._began_at is None:
            self._began_at = now
        rate = self.rate(now)
        if rate is None:
            return
        if self.learned is not None and rate > FORGOTTEN * self.learned:
            self.learned, self._measured = None, False
            return
        # A sender that is late by less than two requests' time may catch up: timers and replies are never exact.
        self._next_at = max(self._next_at, now - 2.0 / rate) + 1.0 / rate

    def granted(self) -> None:
        """Count a request that was let through."""
        self._granted += 1

    def refused(self, now: float) -> None:
        """Take note that the bucket was empty `now`; once for all that were refused together."""
        since = self._emptied_at if self._emptied_at is not None else self._began_at
        passed = now - since if since is not None else 0.0
        granted, self._granted = self._granted, 0
        first = self._emptied_at is None or self.learned is None
        self._emptied_at = now
        if passed <= 0.0 or granted == 0:
            return
        seen = granted / passed
        if first:
            self.learned, self._measured = seen * FIRST_GUESS, False
        elif not self._measured:
            self.learned, self._measured = seen, True
        else:
            share = granted / (granted + _WEIGHT)
            assert self.learned is not None
            self.learned += share * (seen - self.learned)
