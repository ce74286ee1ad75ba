"""How long things took: HDR histograms, which take constant memory, can be merged, and know their own error.

`hdrhistogram` is Gil Tene's histogram by its own project: any percentile of any number of times is told within a tenth
of a percent of the value, and what two processes or two ledgers recorded adds up without loss. A histogram of `bench`
is of the same make, so this module takes either kind of time: service time, from sending to the reply, and response
time, from the intended start. This module must never keep single times.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, Final

from hdrh.histogram import HdrHistogram

MOST_MS: Final = 3_600_000.0
"""The longest time that is told apart; a longer one counts as this."""

_US: Final = 1000
"""Histograms count whole microseconds."""

_FINE, _COARSE = 3, 2
NAMED: Final = {"p50": 50.0, "p90": 90.0, "p95": 95.0, "p99": 99.0, "p999": 99.9}
_POINTS_A_DECADE: Final = 12


class Times:
    """Times, in milliseconds. Coarse ones (within a percent) take 27 kB instead of 190."""

    __slots__ = ("_counts", "_longest", "_shortest", "_sum")

    def __init__(self, *, coarse: bool = False) -> None:
        self._counts = HdrHistogram(1, int(MOST_MS * _US), _COARSE if coarse else _FINE)
        self._shortest, self._longest, self._sum = math.inf, 0.0, 0.0

    def add(self, ms: float) -> None:
        """Count one time."""
        if ms > self._longest:
            self._longest = ms
        if ms < self._shortest:
            self._shortest = ms
        self._sum += ms
        self._counts.record_value(int(min(MOST_MS, ms) * _US) or 1)

    def merge(self, other: Times) -> None:
        """Add what another histogram counted."""
        self._longest = max(self._longest, other._longest)
        self._shortest = min(self._shortest, other._shortest)
        self._sum += other._sum
        self._counts.add(other._counts)

    @property
    def count(self) -> int:
        """Return how many times were counted."""
        return int(self._counts.get_total_count())

    def at(self, percentiles: Iterable[float]) -> dict[float, float]:
        """Return, by percentile, the time that so many percent of all times do not exceed."""
        found = self._counts.get_percentile_to_value_dict(list(percentiles))
        return {one: min(max(us / _US, self._shortest), self._longest) for one, us in found.items()}

    def figures(self) -> dict[str, Any] | None:
        """Return the percentiles that have names, the least, the most and the mean; None where nothing was counted."""
        if not self.count:
            return None
        at = self.at(NAMED.values())
        return {
            "count": self.count,
            **{name: _rounded(at[percentile]) for name, percentile in NAMED.items()},
            "max": _rounded(self._longest),
            "min": _rounded(self._shortest),
            "mean": _rounded(self._sum / self.count),
        }

    def curve(self) -> list[dict[str, float]]:
        """Return times by percentile, closer together the nearer to 100 %, as far as there are times to tell by."""
        if not self.count:
            return []
        last = math.ceil(math.log10(self.count) * _POINTS_A_DECADE)
        at = self.at(100 - 100 * 10 ** (-step / _POINTS_A_DECADE) for step in range(last + 1))
        return [{"percentile": round(share, 6), "ms": _rounded(ms)} for share, ms in sorted(at.items())]


def _rounded(ms: float) -> float:
    return float(f"{ms:.4g}")
