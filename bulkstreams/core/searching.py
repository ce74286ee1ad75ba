"""Finding the highest rate that keeps a latency goal: doubled until it breaks, then halved in between.

Where the first rate breaks it, lower ones follow in larger steps: a goal that no rate keeps is soon known as such.

`Search` says which rate to try next, and takes what became of it. This module must never send anything, nor judge
whether the client was able to: that is told with each probe.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from bulkstreams.core.soundness import fewest

TOLERANCE: Final = 0.05
"""How far apart, as a share, the highest rate that kept the goal and the lowest that broke it may be at the end."""

MOST_PROBES: Final = 24

LONGEST_S: Final = 60.0
"""The longest that a probe is made for its measure to be more than an accident."""

LEAST_FOR_MAX: Final = 1000
"""Requests for a goal that is for the longest: of a few it says little of what a server may take."""

MOST_ERRORS: Final = 0.01
"""The share of requests that may fail in a probe that keeps its goal."""

ENOUGH: Final = 0.98
"""The share of a probe's rate that must have been sent for it to count."""

SLOWEST: Final = 1.0
"""The rate below which a search does not go, if it does not begin there."""

STEP_DOWN: Final = 8
"""By what a rate is divided where it breaks the goal and none has kept it."""

_GOAL: Final = re.compile(
    r"\s*(p\d{1,2}(?:\.\d+)?|p999|max|mean)\s*<=?\s*(\d+(?:\.\d+)?)\s*(us|ms|s)\s*", re.IGNORECASE
)
_MS: Final = {"us": 0.001, "ms": 1.0, "s": 1000.0}
_MEASURES: Final = ("p50", "p90", "p95", "p99", "p999", "max", "mean")


class Ended(StrEnum):
    """Why a search came to its end."""

    FOUND = "found"
    NEVER_KEPT = "never_kept"
    CLIENT = "client"
    FULL = "full"
    PROBES = "probes"
    STOPPED = "stopped"  # it was cut short, with rates left to try


class Breach(StrEnum):
    """What kept a rate from keeping its goal; with the first two nobody knows whether the server would have."""

    FULL = "full"  # the tenant had no room
    CLIENT = "client"  # the client was the bottleneck
    LATENCY = "latency"
    ERRORS = "errors"
    UNSENT = "unsent"  # too much of what was due was not sent


@dataclass(frozen=True, slots=True)
class Goal:
    """A measure of the response time (as the figures name it) and the milliseconds that it must stay below."""

    measure: str
    most_ms: float

    def __str__(self) -> str:
        return f"{self.measure}<{self.most_ms:g}ms"

    def kept(self, response_ms: Mapping[str, float | None]) -> bool:
        """Return whether response times are below it; none at all keep no goal."""
        found = response_ms[self.measure]
        return found is not None and found < self.most_ms

    def least_requests(self) -> int:
        """Return how many requests a probe needs for the measure to mean something."""
        return LEAST_FOR_MAX if self.measure == "max" else fewest(self.measure)


class GoalError(ValueError):
    """A text that is no goal; carries the sentence."""


def read_goal(text: str) -> Goal:
    """Return the goal in a text such as `p99<250ms`."""
    found = _GOAL.fullmatch(text)
    measure = "" if found is None else found[1].lower().replace("p99.9", "p999")
    if found is None or measure not in _MEASURES or not float(found[2]):
        raise GoalError(f"{text!r} is no goal; write e.g. 'p99<250ms', with one of {', '.join(_MEASURES)}")
    return Goal(measure, float(found[2]) * _MS[found[3].lower()])


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """What became of one rate. `sent_share`: of what its schedule asked for; `fit`: the client was no bottleneck.

    `full`: the tenant had no room for so many streams, which says nothing of the rate.
    """

    rate: float
    kept: bool
    sent_share: float
    error_share: float
    fit: bool
    full: bool = False

    @property
    def broken_by(self) -> tuple[Breach, ...]:
        """Return what kept the rate from keeping the goal; nothing: the latency, and nearly all sent and answered well.

        Where nobody knows what the server would have done, that alone.
        """
        if self.full:
            return (Breach.FULL,)
        if not self.fit:
            return (Breach.CLIENT,)
        found = {
            Breach.LATENCY: not self.kept,
            Breach.ERRORS: self.error_share > MOST_ERRORS,
            Breach.UNSENT: self.sent_share < ENOUGH,
        }
        return tuple(breach for breach, is_so in found.items() if is_so)

    @property
    def passed(self) -> bool:
        """Return whether the rate keeps the goal."""
        return not self.broken_by


@dataclass(slots=True)
class Search:
    """The probes so far, and the next rate; `first` is where it begins."""

    first: float
    probes: list[Probe] = field(default_factory=list)

    @property
    def best(self) -> float | None:
        """Return the highest rate that passed, below any that did not."""
        broken = self._lowest_broken()
        passed = [one.rate for one in self.probes if one.passed and (broken is None or one.rate < broken)]
        return max(passed, default=None)

    def _lowest_broken(self) -> float | None:
        return min((one.rate for one in self.probes if not one.passed), default=None)

    def next(self) -> float | Ended:
        """Return the rate to try next, or why there is none."""
        best, broken = self.best, self._lowest_broken()
        if self.probes and self.probes[-1].full:
            return Ended.FULL
        if broken is None:
            found: float | Ended = self.first if best is None else best * 2
        elif best is None:
            found = max(SLOWEST, broken / STEP_DOWN) if broken > SLOWEST else Ended.NEVER_KEPT
        elif broken - best <= TOLERANCE * best:
            unfit = any(one.rate == broken and not one.fit for one in self.probes)
            found = Ended.CLIENT if unfit else Ended.FOUND
        else:
            found = (best + broken) / 2
        return Ended.PROBES if len(self.probes) >= MOST_PROBES and not isinstance(found, Ended) else found

    @property
    def ended(self) -> Ended:
        """Return why it came to its end, for whoever tries no more rates."""
        found = self.next()
        return found if isinstance(found, Ended) else Ended.STOPPED

    def take(self, probe: Probe) -> None:
        """Take what became of the rate that `next` named."""
        self.probes.append(probe)


def probe_seconds(goal: Goal, rate: float, shortest: float) -> float:
    """Return how long a probe is to be: `shortest`, or longer for a rate at which that would be too few requests."""
    return max(shortest, min(goal.least_requests() / rate, LONGEST_S))


def rate_words(rate: float) -> str:
    """Return a rate as people read it, to four digits: 87.5/s, 12,800/s."""
    return f"{rate:,.0f}/s" if rate >= 1000 else f"{rate:.4g}/s"
