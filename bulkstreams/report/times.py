"""How long things took: HDR histograms, which take constant memory, can be merged, and know their own error.

`hdrhistogram` is Gil Tene's histogram by its own project: any percentile of any number of times is told within a tenth
of a percent of the value, and what two processes or two ledgers recorded adds up without loss. A histogram of `bench`
is of the same make, so this module takes either kind of time: service time, from sending to the reply, and response
time, from the intended start. This module must never keep single times.
"""

from __future__ import annotations

import math
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

    def __init__(self, *, coarse: bool = False) -> None:
        self._counts = HdrHistogram(1, int(MOST_MS * _US), _COARSE if coarse else _FINE)
        self._longest = 0.0

    def add(self, ms: float) -> None:
        """Count one time."""
        self._longest = max(self._longest, ms)
        self._counts.record_value(max(1, round(min(ms, MOST_MS) * _US)))

    def merge(self, other: Times) -> None:
        """Add what another histogram counted."""
        self._longest = max(self._longest, other._longest)
        self._counts.add(other._counts)

    @property
    def count(self) -> int:
        """Return how many times were counted."""
        return int(self._counts.get_total_count())

    def at(self, percentile: float) -> float:
        """Return the time that so many percent of all times do not exceed."""
        found: int = self._counts.get_value_at_percentile(percentile)
        return min(found / _US, self._longest)

    def figures(self) -> dict[str, Any] | None:
        """Return the percentiles that have names, the least, the most and the mean; None where nothing was counted."""
        if not self.count:
            return None
        return {
            "count": self.count,
            **{name: _rounded(self.at(percentile)) for name, percentile in NAMED.items()},
            "max": _rounded(self._longest),
            "min": _rounded(min(self._counts.get_min_value() / _US, self._longest)),
            "mean": _rounded(self._counts.get_mean_value() / _US),
        }

    def curve(self) -> list[dict[str, float]]:
        """Return times by percentile, closer together the nearer to 100 %, as far as there are times to tell by."""
        if not self.count:
            return []
        last = math.ceil(math.log10(self.count) * _POINTS_A_DECADE)
        shares = [1 - 10 ** (-step / _POINTS_A_DECADE) for step in range(last + 1)]
        return [{"percentile": round(100 * share, 6), "ms": _rounded(self.at(100 * share))} for share in shares]


def _rounded(ms: float) -> float:
    return float(f"{ms:.4g}")
