"""Whether the client was the bottleneck of a load, second by second.

A server may be as slow as it likes: that shows in the latencies, and spoils nothing. The client is the bottleneck where
its own loop comes late to what is due, where it is at work all the time, or where requests begin late though a
connection was free. This module must never look at a latency: a slow server must not be taken for a slow client.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

LATE_S: Final = 0.02
"""Seconds after its intended start from which on a request counts as late; timers themselves are up to 2 ms late."""

LAG_S: Final = 0.02
"""Mean lateness of the event loop in one second from which on it spoils what is measured in it."""

BUSY: Final = 0.95
"""Share of a core, taken by the event loop, from which on replies wait in the client to be read."""

LATE_SHARE: Final = 0.05
"""Share of a second's requests that may begin late by the client's own doing."""

SPOILED: Final = 0.01
"""Share of all requests that may fall into such seconds before percentiles are called unsound."""


class Cause(StrEnum):
    """Why requests began late, or not at all."""

    CEILING = "ceiling"  # every connection that is allowed waited for an answer
    LOOP = "loop"  # the event loop came late
    LEDGER = "ledger"  # no intent was durable yet


OWN: Final = (Cause.LOOP, Cause.LEDGER)
"""Causes that are the client's; that all connections wait for the server is the ceiling's, and told apart."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """What the client noticed of itself in one interval, which begins at `at` (seconds) and takes `seconds`.

    `due` counts the requests that were to begin in it, `late` those that did not in time, by cause; `lag_s` is the mean
    lateness of its event loop, `busy` the share of a core that it took.
    """

    at: float
    seconds: float
    due: int
    late: Mapping[Cause, int]
    lag_s: float
    busy: float


def trouble(span: Span) -> str | None:
    """Say why the client was the bottleneck in an interval; None: it was not."""
    late = sum(span.late.get(cause, 0) for cause in OWN)
    if span.lag_s > LAG_S:
        return f"its event loop was {span.lag_s * 1000:.0f} ms late on average"
    if span.busy >= BUSY:
        return f"its event loop took {span.busy:.0%} of a core"
    if late > LATE_SHARE * span.due:
        return f"{late:,} of {span.due:,} requests began late"
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Period:
    """Intervals on end in which the client was the bottleneck, and the words for the first of them."""

    begins: float
    ends: float
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What is to be thought of a load's percentiles: `share` of its requests fell into `periods`."""

    saturated: bool
    share: float
    periods: Sequence[Period]


def judge(spans: Iterable[Span]) -> Verdict:
    """Return whether so many requests were due in intervals that the client spoiled that percentiles are unsound."""
    kept = list(spans)
    due = sum(span.due for span in kept)
    spoiled = sum(span.due for span in kept if trouble(span) is not None)
    share = spoiled / due if due else 0.0
    return Verdict(saturated=share > SPOILED, share=share, periods=tuple(_periods(kept)))


def _periods(spans: Iterable[Span]) -> Iterator[Period]:
    begun: Period | None = None
    for span in spans:
        why = trouble(span)
        if why is None:
            if begun is not None:
                yield begun
            begun = None
        elif begun is None:
            begun = Period(begins=span.at, ends=span.at + span.seconds, why=why)
        else:
            begun = Period(begins=begun.begins, ends=span.at + span.seconds, why=begun.why)
    if begun is not None:
        yield begun
