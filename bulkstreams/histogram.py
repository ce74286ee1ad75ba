"""How long things took, as HDR histograms: any percentile, in constant memory, mergeable, with an error that is known.

Why both kinds of time are kept. A load tester that waits for a stalled server before it sends its next request stops
measuring just when there is something to measure: a stall of a second counts once, though everybody who would have come
in that second waited. Gil Tene calls this coordinated omission ("How NOT to Measure Latency", 2013; wrk2's README works
it out). In a bench requests have an intended start on a schedule that no server can hold up: response time counts from
it, service time from the send. Nothing is corrected afterwards, since nothing was left out. A run has no schedule, so
a report of it has service times alone.

`hdrhistogram` (HdrHistogram_py, by Tene's own algorithm) does the counting, in whole microseconds. This module must
never time anything, nor keep single times.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, Final, Self

from hdrh.histogram import HdrHistogram

MOST_S: Final = 3600.0
"""The longest duration that is told apart; no attempt may take as long."""

PERCENTILES: Final = {"p50": 50.0, "p90": 90.0, "p95": 95.0, "p99": 99.0, "p999": 99.9}

MEASURES: Final = (*PERCENTILES, "max", "mean")
"""What the contract tells of a load's times."""

_US: Final = 1_000_000
_MOST_US: Final = int(MOST_S * _US)
_FINE, _COARSE = 3, 2
_POINTS_A_DECADE: Final = 12


class Histogram:
    """Durations: seconds go in, milliseconds come out.

    A percentile is within a tenth of a percent of its value. Coarse, it is within a percent, for an eighth of the
    memory (27 kB) and of the time to read it.
    """

    __slots__ = ("_counts", "_least_s", "_most_s", "_total_s")

    def __init__(self, *, coarse: bool = False) -> None:
        self._counts = HdrHistogram(1, _MOST_US, _COARSE if coarse else _FINE)
        self._least_s, self._most_s, self._total_s = math.inf, 0.0, 0.0

    def add(self, seconds: float) -> None:
        """Count one duration; below a microsecond it counts as one, above `MOST_S` as that."""
        if seconds > self._most_s:
            self._most_s = seconds
        if seconds < self._least_s:
            self._least_s = seconds
        self._total_s += seconds
        us = round(seconds * _US)
        self._counts.record_value(1 if us < 1 else min(us, _MOST_US))

    def add_nothing(self, times: int) -> None:
        """Count so many that took no time at all."""
        if times:
            self._least_s = 0.0
            self._counts.record_value(1, times)

    @property
    def count(self) -> int:
        """Return how many there are."""
        return int(self._counts.get_total_count())

    def merge(self, other: Self) -> None:
        """Take in another's durations, of the same or another load; what is told is as exact as the coarser of both."""
        self._counts.add(other._counts)
        self._least_s = min(self._least_s, other._least_s)
        self._most_s = max(self._most_s, other._most_s)
        self._total_s += other._total_s

    def clear(self) -> None:
        """Forget all durations."""
        self._counts.reset()
        self._least_s, self._most_s, self._total_s = math.inf, 0.0, 0.0

    def at(self, percentiles: Iterable[float]) -> dict[float, float]:
        """Return, by percentile, the milliseconds that so many percent of all do not exceed; {} where there are none.

        That is the longest duration that the histogram does not tell from the right one, as its author has it, but no
        shorter than the shortest, and no longer than the longest: those two are exact, to the microsecond.
        """
        found = self._counts.get_percentile_to_value_dict(list(percentiles))
        least, most = self._extremes_ms() if found else (0.0, 0.0)
        return {one: min(max(us / 1000, least), most) for one, us in found.items()}

    def ms(self) -> dict[str, float | None]:
        """Return the contract's measures of a load, in milliseconds, to the microsecond; None where there are none."""
        if not self.count:
            return dict.fromkeys(MEASURES)
        measures = self._measures()
        return {name: round(measures[name], 3) for name in MEASURES}

    def figures(self) -> dict[str, Any] | None:
        """Return the same to four digits, with the shortest and the count, as a report has it; None: there are none."""
        if not self.count:
            return None
        return {"count": self.count, **{name: _four_digits(ms) for name, ms in self._measures().items()}}

    def curve(self) -> list[dict[str, float]]:
        """Return times by percentile, closer together the nearer to 100 %, as far as there are times to tell by."""
        if not self.count:
            return []
        last = math.ceil(math.log10(self.count) * _POINTS_A_DECADE)
        at = self.at(100 - 100 * 10 ** (-step / _POINTS_A_DECADE) for step in range(last + 1))
        return [{"percentile": round(share, 6), "ms": _four_digits(ms)} for share, ms in sorted(at.items())]

    def _extremes_ms(self) -> tuple[float, float]:
        return round(self._least_s * 1000, 3), round(self._most_s * 1000, 3)

    def _measures(self) -> dict[str, float]:
        """Return the named percentiles, and the exact measures; there must be a duration."""
        at, (least, most) = self.at(PERCENTILES.values()), self._extremes_ms()
        percentiles = {name: at[percentile] for name, percentile in PERCENTILES.items()}
        return {**percentiles, "max": most, "min": least, "mean": self._total_s / self.count * 1000}


def _four_digits(ms: float) -> float:
    return float(f"{ms:.4g}")
