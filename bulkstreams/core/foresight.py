"""How long the creates of a plan may take, told from what little a look at the tenant has shown of its budget.

A look seldom empties a tenant's bucket, and how fast a full one refills shows nowhere: then the rate that Auth0
publishes for a bucket of that size has to do, and is told as such. This module must never look at a lane or a clock.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from bulkstreams.core.waiting import duration

PUBLISHED: Final[Mapping[int, float]] = {
    2: 2.0, 10: 2.0, 20: 20.0, 50: 16.0, 250: 250.0, 750: 750.0, 1500: 1500.0, 3000: 3000.0, 5000: 5000.0,
}  # fmt: skip
"""Requests a second that the slowest of Auth0's published plans with a bucket of that size sustains."""

DRAINED: Final = 3
"""Tokens that a bucket must be short of being full before what came into it says how fast it refills."""


class Basis(StrEnum):
    """Where a foreseen rate comes from."""

    CEILING = "ceiling"
    OBSERVED = "observed"
    PUBLISHED = "published"
    LATENCY = "latency"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What a look at a tenant has shown: rates in requests a second, the bucket in tokens; None: it did not show.

    `ceiling` is our own rate; `learned` was learned from refusals, `refill` is what was seen coming into the bucket
    that the headers show, whose size is `limit`, with `left` tokens in it and `lowest` at the least.
    """

    ceiling: float | None = None
    learned: float | None = None
    refill: float | None = None
    limit: int | None = None
    left: int | None = None
    lowest: int | None = None
    latency_s: float | None = None
    concurrency: int = 1


@dataclass(frozen=True, slots=True)
class Moment:
    """What a reply told of the bucket: `left` tokens, at an instant (monotonic seconds), after so many requests."""

    at: float
    left: int
    requests: int


def came(first: Moment, last: Moment) -> float | None:
    """Return the tokens a second that came into a bucket between two replies; None where too little happened.

    They are the least that can have come: what a full bucket could not take does not show, nor what others took.
    """
    gained, seconds = last.left - first.left + last.requests - first.requests, last.at - first.at
    return gained / seconds if gained > 0 and seconds > 0.0 else None


@dataclass(frozen=True, slots=True)
class Foresight:
    """How long so many creates may take, at which rate, and how that is known; None: it is not."""

    seconds: float | None
    rate: float | None
    basis: Basis

    def __str__(self) -> str:
        if self.seconds is None:
            return "nobody can tell yet how long"
        if self.seconds < 1.0:
            return "a moment"
        about = f"about {duration(self.seconds)}"
        if self.rate is None or self.basis is Basis.LATENCY:
            return about
        unsure = ", which is published for its plan and was not seen" if self.basis is Basis.PUBLISHED else ""
        return f"{about} at {self.rate:.3g}/s{unsure}"


def foresee(records: int, seen: Seen) -> Foresight:
    """Return how long `records` creates may take at a tenant."""
    if not records:
        return Foresight(0.0, None, Basis.UNKNOWN)
    swift = None if not seen.latency_s else seen.concurrency / seen.latency_s
    at_once = 0 if seen.left is None or seen.ceiling is not None else seen.left
    if records <= at_once:
        return Foresight(0.0 if swift is None else records / swift, swift, Basis.LATENCY)
    rate, basis = _sustained(seen)
    if rate is None or (swift is not None and swift < rate):
        rate, basis = (None, Basis.UNKNOWN) if rate is None and seen.limit is not None else (swift, Basis.LATENCY)
    if rate is None:
        return Foresight(None, None, Basis.UNKNOWN)
    return Foresight((records - at_once) / rate, rate, basis)


def _sustained(seen: Seen) -> tuple[float | None, Basis]:
    """Return the rate that our ceiling and the tenant allow, whichever is less."""
    budget, basis = _budget(seen)
    if seen.ceiling is not None and (budget is None or seen.ceiling <= budget):
        return seen.ceiling, Basis.CEILING
    return budget, basis


def _budget(seen: Seen) -> tuple[float | None, Basis]:
    levels = [level for level in (seen.left, seen.lowest) if level is not None]
    drained = seen.limit is not None and min(levels, default=seen.limit) <= max(0, seen.limit - DRAINED)
    found = [rate for rate in (seen.learned, seen.refill if drained else None) if rate is not None]
    if found:
        return min(found), Basis.OBSERVED
    published = None if seen.limit is None else PUBLISHED.get(seen.limit)
    return published, Basis.UNKNOWN if published is None else Basis.PUBLISHED


def longest(tenants: Mapping[str, Foresight]) -> float | None:
    """Return the seconds that all tenants take side by side; None where of one nobody knows."""
    seconds = [one.seconds for one in tenants.values()]
    known = [one for one in seconds if one is not None]
    return max(known, default=0.0) if len(known) == len(seconds) else None
