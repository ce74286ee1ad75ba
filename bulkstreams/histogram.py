"""How long requests took, as an HDR histogram: any percentile to three digits, in constant memory, and mergeable.

Why both kinds of time are kept. A load tester that waits for a stalled server before it sends its next request stops
measuring just when there is something to measure: a stall of a second counts once, though everybody who would have come
in that second waited. Gil Tene calls this coordinated omission ("How NOT to Measure Latency", 2013; wrk2's README works
it out). Here requests have an intended start on a schedule that no server can hold up: response time counts from it,
service time from the send. Nothing is corrected afterwards, since nothing was left out.

`hdrhistogram` (HdrHistogram_py, by Tene's own algorithm) does the counting. This module must never time anything.
"""

from __future__ import annotations

from typing import Any, Final, Self

from hdrh.histogram import HdrHistogram

_HIGHEST_US: Final = 3_600_000_000  # an hour; no attempt may take as long
PERCENTILES: Final = {"p50": 50.0, "p90": 90.0, "p95": 95.0, "p99": 99.0, "p999": 99.9}


class Histogram:
    """Durations in seconds. `digits`: how exact; two take an eighth of the memory of three, and of the time to read."""

    def __init__(self, digits: int = 3) -> None:
        self._total_s, self._most_s = 0.0, 0.0
        self._counts: Any = HdrHistogram(1, _HIGHEST_US, digits)

    def add(self, seconds: float) -> None:
        """Count one duration; below a microsecond it counts as one, above an hour as that."""
        self._counts.record_value(min(_HIGHEST_US, max(1, round(seconds * 1e6))))
        self._total_s += seconds
        self._most_s = max(self._most_s, seconds)

    @property
    def count(self) -> int:
        """Return how many there are."""
        return int(self._counts.get_total_count())

    def merge(self, other: Self) -> None:
        """Take in another's durations, of the same or another load."""
        self._counts.add(other._counts)
        self._total_s += other._total_s
        self._most_s = max(self._most_s, other._most_s)

    def clear(self) -> None:
        """Forget all durations."""
        self._counts.reset()
        self._total_s = self._most_s = 0.0

    def ms(self) -> dict[str, float | None]:
        """Return the percentiles of the contract, the longest and the mean, in milliseconds; None where there are none.

        A percentile is the longest duration that the histogram does not tell from the right one, as its author has it,
        but no longer than the longest; that one and the mean are exact.
        """
        if not self.count:
            return dict.fromkeys((*PERCENTILES, "max", "mean"))
        found = self._counts.get_percentile_to_value_dict(list(PERCENTILES.values()))
        most = round(self._most_s * 1000, 3)
        return {
            **{name: min(found[percent] / 1000, most) for name, percent in PERCENTILES.items()},
            "max": most,
            "mean": round(self._total_s / self.count * 1000, 3),
        }

    def curve(self) -> list[tuple[float, float]]:
        """Return (percentile, milliseconds) along the whole range, ever closer to the longest, as HDR plots have it."""
        if not self.count:
            return []
        steps = [0.0, 10, 20, 30, 40, 50, 60, 70, 75, 80, 85, 90, 92.5, 95, 97, 98, 99, 99.5, 99.9, 99.95, 99.99, 100]
        found = self._counts.get_percentile_to_value_dict(steps)
        return [(percent, found[percent] / 1000) for percent in steps]
