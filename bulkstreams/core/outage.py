"""When a tenant counts as down, when it is asked again, and for how long it is waited for.

One failure to get through says that all would fail, so all wait while one probe at a time finds out whether it is over;
a server that answers with errors is taken for down only after many of them in a row. This module must never wait,
draw, or read a clock: instants come in as `now` (monotonic seconds), chance as `draw`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

PAUSE_FIRST_S: Final = 0.5
PAUSE_CAP_S: Final = 60.0
"""The first and the longest pause before the next probe; they double in between."""

PATIENCE_S: Final = 300.0
"""How long a tenant that has answered in this run is waited for: a deployment or a failover is over by then."""

LOSSES: Final = 10
"""Answers in a row that say the server is broken, after which it is taken for down.

Single ones are normal; where two creates in five fail, ten in a row come once in ten thousand, and cost a short pause.
"""

TROUBLE: Final = 3
"""Such answers in a row that are worth telling of, though it is not taken for down yet."""

TRIES: Final = 6
"""The least number of failures in a row after which a tenant that has never answered in this run is given up."""


@dataclass(slots=True, kw_only=True)
class Outage:
    """What is known of a tenant's reachability. `patience_s` is infinite where a deadline says how long to try.

    `since` is when the failures began that no usable answer has ended yet, `failed` how many of them were attempts of
    their own: not those that were under way together with the one that showed it. `answered`: it has given a usable
    answer in this run.
    """

    retries: int = 5
    patience_s: float = PATIENCE_S
    answered: bool = False
    is_open: bool = False
    failed: int = 0
    since: float = 0.0
    cause: str = ""
    _losses: int = 0

    @property
    def is_awaited(self) -> bool:
        """Return whether it is waited for: it has answered in this run, or a deadline says how long to try."""
        return self.answered or self.patience_s == math.inf

    @property
    def trouble(self) -> str:
        """Return what its server answers again and again, though it is not taken for down yet; empty: it does not."""
        return f"{self.cause}, {self._losses} times in a row" if self._losses >= TROUBLE else ""

    @property
    def calm(self) -> bool:
        """Return whether an answer would be no news."""
        return self.answered and not self.failed and not self._losses

    def heard(self) -> bool:
        """Take note of a usable answer; return whether it ended an outage."""
        ended = self.is_open
        self.answered, self.is_open, self.failed, self._losses = True, False, 0, 0
        return ended

    def lost(self, cause: str, now: float, draw: float) -> float:
        """Take note of an answer that says the server is broken, or of none after a connection.

        Return the seconds for which all must wait: 0.0: none; inf: the tenant is given up. A tenant that is not known
        to have ever been better is not waited for, unless there is a deadline.
        """
        self._losses += 1
        self.cause = cause
        if self._losses == 1 and not self.is_open:
            self.since = now
        if not self.is_open and (self._losses < LOSSES or not self.is_awaited):
            return 0.0
        return self._fail(cause, now, draw)

    def unsent(self, cause: str, now: float, draw: float) -> float:
        """Take note of a request that found no connection; return the seconds for which all must wait, as `lost`."""
        if not self.is_open and not self._losses:
            self.since = now
        return self._fail(cause, now, draw)

    def _fail(self, cause: str, now: float, draw: float) -> float:
        self.is_open, self.cause = True, cause
        self.failed += 1
        if self._is_spent(now):
            return math.inf
        pause = pause_before_probe(self.failed, draw)
        if self.answered:
            # The last probe is due when patience ends, not up to a minute later.
            pause = min(pause, max(PAUSE_FIRST_S, self.since + self.patience_s - now))
        return pause

    def _is_spent(self, now: float) -> bool:
        if self.patience_s == math.inf:
            return False
        if self.answered:
            return now - self.since >= self.patience_s
        return self.failed >= max(TRIES, self.retries + 1)

    def story(self, now: float) -> str:
        """Return what is wrong, how often it was tried, and for how long."""
        tries = "once" if self.failed == 1 else f"{self.failed} times"
        return f"{self.cause}; tried {tries} within {now - self.since:.0f} s"


def pause_before_probe(failed: int, draw: float) -> float:
    """Return the seconds before the next probe, after `failed` (1-based) in a row; `draw` is in [0, 1).

    It doubles up to a cap. Half of it is certain, so that pauses do grow; half is jitter, so that clients that lost a
    server together do not all come back to it together.
    """
    ceiling: float = min(PAUSE_CAP_S, PAUSE_FIRST_S * 2.0 ** min(failed - 1, 16))
    return ceiling * (0.5 + 0.5 * draw)


def width_after(answers: int, concurrency: int) -> int:
    """Return how many requests may be under way at once, `answers` usable answers after an outage ended.

    It doubles with each round of answers, so that a server that has just come back is not run over.
    """
    return min(concurrency, max(1, answers))
