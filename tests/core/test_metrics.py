"""A run's counters, and durations by bucket."""

from __future__ import annotations

import math
from dataclasses import fields

from bulkstreams.core.metrics import BOUNDS_S, Histogram, Tally

NAMES = [field.name for field in fields(Tally) if field.init]


def some(first: int) -> Tally:
    """Return a tally in which every counter has another value."""
    return Tally(**{name: first + i for i, name in enumerate(NAMES)})


def test_adding_a_tally_adds_each_of_its_counters() -> None:
    """No counter is forgotten or added to another, and the one added stays as it was."""
    total, other = some(1), some(100)
    total.add(other)
    assert {name: getattr(total, name) for name in NAMES} == {name: 101 + 2 * i for i, name in enumerate(NAMES)}
    assert other == some(100)


def test_taking_returns_what_was_counted_since_and_takes_nothing_away() -> None:
    """What was taken is whole, and taken only once; the counters go on from where they were."""
    tally = some(5)
    assert tally.taken() == some(5)
    assert tally.taken() == Tally()
    tally.add(some(1))
    assert tally.taken() == some(1)
    assert {name: getattr(tally, name) for name in NAMES} == {name: 6 + 2 * i for i, name in enumerate(NAMES)}


def test_a_histogram_counts_each_duration_in_all_buckets_that_reach_so_far() -> None:
    """A bound belongs to its own bucket; the last one has them all, and the sum is theirs."""
    histogram = Histogram()
    assert histogram.up_to() == tuple((bound, 0) for bound in (*BOUNDS_S, math.inf))
    histogram.add([0.001, 0.005, 0.25])
    histogram.add([1000.0])
    found = dict(histogram.up_to())
    assert [found[bound] for bound in (0.005, 0.01, 0.1, 0.25, 0.5, 60.0, math.inf)] == [2, 2, 2, 3, 3, 3, 4]
    assert histogram.total_s == 1000.256
