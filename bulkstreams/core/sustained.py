"""The rate that a tenant sustains where no header tells it: learned from its refusals, kept, probed, slowly forgotten.

A bucket that refused a request was empty. So between two refusals it granted what came into it, and no more: what was
granted over the time between is the rate at which it fills. After a refusal the rate starts a little below what was
learned, climbs back to it, stays there, and only after a while goes on above it, as CUBIC does with its window
(RFC 9438, section 4.1). Time in which nothing went, or nothing was answered, says nothing of the rate: it does not
count. This module must never wait or read a clock.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

FIRST_GUESS: Final = 0.5
"""The share of the rate at which the first refusal came that is tried next: how full the bucket was is not known."""

PLATEAU_S: Final = 8.0
"""Seconds after a refusal at which the rate is back at what was learned, …"""

PLATEAU_REQUESTS: Final = 60
"""… or so many requests' time, where that is longer: a slow bucket needs it to tell more from less."""

GUESS_PLATEAUS: Final = 0.125
"""The part of that time for a rate that was guessed, not measured: it is left upwards soon."""

DIP: Final = 0.04
"""How far below what was learned the rate begins, as a share of it."""

FORGOTTEN: Final = 8.0
"""The rate over the learned one, from which on nothing is held back any more."""

LATE_REQUESTS: Final = 2.0
"""A sender that is late by less than so many requests' time may catch up: timers and replies are never exact."""

SILENCE_S: Final = 5.0
"""The longest silence that is still work: a ceiling of ours, or a bucket that shows, may let one go so seldom."""

_WEIGHT: Final = 30
"""Requests after which a new measurement counts as much as all that were before."""


@dataclass(slots=True)
class Sustained:
    """What one tenant sustains, in requests a second; `learned` None: it never refused, or that is long ago.

    `patience_s`: how long this tenant may take to answer.
    """

    learned: float | None = None
    _measured: bool = False
    _granted: int = 0
    _emptied_at: float | None = None
    _began_at: float | None = None
    _next_at: float = 0.0
    _due_at: float = 0.0

    def wait(self, now: float) -> float:
        """Return the seconds to wait before one more request may go."""
        return max(0.0, self._next_at - now) if self.learned is not None else 0.0

    def rate(self, now: float) -> float | None:
        """Return the requests a second that may go `now`; None: nothing is known to hold them back."""
        if self.learned is None or self._emptied_at is None:
            return None
        plateau = max(PLATEAU_S, PLATEAU_REQUESTS / self.learned)
        if not self._measured:
            plateau *= GUESS_PLATEAUS
        return self.learned * (1.0 + DIP * ((now - self._emptied_at) / plateau - 1.0) ** 3)

    def take(self, now: float, patience_s: float) -> None:
        """Note that a request goes; the next one goes no sooner than its share of a second later."""
        if self._began_at is None:
            self._began_at = self._due_at = now
        self._leave_out_silence(now, patience_s)
        rate = self.rate(now)
        if rate is None or self.learned is None:
            return
        if rate > FORGOTTEN * self.learned:
            self.learned, self._measured = None, False
            return
        self._next_at = max(self._next_at, now - LATE_REQUESTS / rate) + 1.0 / rate

    def granted(self, now: float, patience_s: float) -> None:
        """Count a request that was let through, as its reply tells `now`."""
        self._granted += 1
        self._leave_out_silence(now, patience_s)
        self._due_at = max(now, self._next_at)

    def resumed(self, at: float) -> None:
        """Take note that a pause after a refusal ended: meanwhile the bucket filled, so that time counts."""
        self._due_at = max(self._due_at, at)

    def refused(self, now: float, patience_s: float) -> None:
        """Take note that the bucket was empty `now`; once for all that were refused together."""
        self._leave_out_silence(now, patience_s)
        self._due_at = max(now, self._next_at)
        from_empty = self._emptied_at is not None
        since = self._emptied_at if self._emptied_at is not None else self._began_at
        passed = now - since if since is not None else 0.0
        granted, self._granted = self._granted, 0
        self._emptied_at = now
        if passed > 0.0 and granted:
            self._learn(granted, granted / passed, from_empty)

    def _learn(self, granted: int, seen: float, from_empty: bool) -> None:
        """Take in that `granted` requests went at the rate `seen`; between two refusals, if `from_empty`."""
        if not from_empty:
            self.learned = seen * FIRST_GUESS
        elif self.learned is None or not self._measured:
            self.learned, self._measured = seen, True
        else:
            self.learned += granted / (granted + _WEIGHT) * (seen - self.learned)

    def _leave_out_silence(self, now: float, patience_s: float) -> None:
        """Count no time in which something was due, by our own pace and pauses, but nothing was heard."""
        silence = now - self._due_at
        if silence <= max(SILENCE_S, patience_s):
            return
        self._due_at = now
        if self._began_at is not None:
            self._began_at += silence
        if self._emptied_at is not None:
            self._emptied_at += silence
