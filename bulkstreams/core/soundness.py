"""Which measures of a load may not be what the server does, and why.

A measure is sound until something speaks against it: the client was the bottleneck; requests that began late, or never,
may be what lies beyond it; the client's own delays make up much of it; or too few requests lie beyond it for it to be
more than an accident. This module must never take a server's slowness for a doubt.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from enum import StrEnum
from typing import Final

from bulkstreams.core.saturation import Verdict

TAILS: Final = {"p50": 0.5, "p90": 0.1, "p95": 0.05, "p99": 0.01, "p999": 0.001, "max": 0.0, "mean": 0.01}
"""The share of requests beyond a measure; a mean is moved by as few as a high percentile."""

BEYOND: Final = 10
"""Requests that must lie beyond a percentile, so that it is more than one accident."""

SWAY: Final = 0.2
"""The share of a measure of the response time that the same measure of the client's own delays may come to."""


class Doubt(StrEnum):
    """Why a measure may not be what the server does, the strongest reason first."""

    SATURATED = "saturated"  # the client was the bottleneck
    LATE = "late"  # of what began late by the client's doing, or never, more may lie beyond it than half
    DELAY = "delay"  # the client's own delays are a large part of it
    FEW = "few"  # too few requests lie beyond it


def fewest(measure: str) -> int:
    """Return how many requests it takes for a measure to be more than an accident.

    The longest time is what it is, of however many; a mean is as good as the middle one.
    """
    if measure == "max":
        return 1
    return math.ceil(BEYOND / TAILS["p50" if measure == "mean" else measure])


def few(requests: int) -> list[str]:
    """Return the measures that so many requests are too few for."""
    return [measure for measure in TAILS if requests < fewest(measure)]


def doubts(
    verdict: Verdict,
    missed_share: float,
    requests: int,
    response_ms: Mapping[str, float | None],
    delay_ms: Mapping[str, float | None],
) -> dict[str, Doubt]:
    """Return the measures that may not be what the server does, each with the strongest reason.

    `missed_share`: of the requests, those that began late by the client's own doing, or never. The measures are of so
    many `requests`; `delay_ms` has those of the time between an instant on the schedule and the request that was due
    then, as far as no server is to blame for it.
    """
    if verdict.saturated:
        return dict.fromkeys(TAILS, Doubt.SATURATED)
    share = max(verdict.share, missed_share)
    found: dict[str, Doubt] = {}
    for measure, tail in TAILS.items():
        response, delay = response_ms[measure], delay_ms[measure]
        if share > tail / 2:  # one is enough to spoil the longest
            found[measure] = Doubt.LATE
        elif response is None or delay is None:
            continue
        elif delay > SWAY * response:
            found[measure] = Doubt.DELAY
        elif requests < fewest(measure):
            found[measure] = Doubt.FEW
    return found
