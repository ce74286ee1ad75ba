"""Histograms of durations: exact to three digits, mergeable, and no larger for more of them."""

from __future__ import annotations

import tracemalloc

import pytest

from bulkstreams.histogram import Histogram


def test_percentiles_are_exact_to_three_digits() -> None:
    """Of 1 to 1,000 ms each is where it is to be; the longest and the mean are exact."""
    histogram = Histogram()
    for ms in range(1, 1001):
        histogram.add(ms / 1000)
    found = histogram.ms()
    for name, wanted in {"p50": 500, "p90": 900, "p95": 950, "p99": 990, "p999": 999}.items():
        assert found[name] == pytest.approx(wanted, rel=0.001)
    assert (found["max"], found["mean"]) == (1000.0, 500.5)


def test_nothing_has_no_percentiles() -> None:
    """None of them is zero, which would be the best of all latencies."""
    assert set(Histogram().ms().values()) == {None}
    assert Histogram().curve() == []


def test_two_merge_into_what_one_would_have_been() -> None:
    """Histograms of two halves give the same figures as one of all."""
    one, other, whole = Histogram(), Histogram(), Histogram()
    for ms in range(1, 501):
        one.add(ms / 1000)
        other.add((ms + 500) / 1000)
        whole.add(ms / 1000)
        whole.add((ms + 500) / 1000)
    one.merge(other)
    assert one.count == whole.count == 1000
    assert one.ms() == pytest.approx(whole.ms())
    assert one.curve() == whole.curve()


def test_what_is_out_of_range_counts_as_the_nearest() -> None:
    """Nothing is too short or too long to be counted."""
    histogram = Histogram()
    histogram.add(0.0)
    histogram.add(-0.001)
    histogram.add(7200.0)
    assert histogram.count == 3
    assert histogram.ms()["max"] == 7_200_000.0


def test_a_cleared_histogram_is_empty() -> None:
    """An interval's begins anew."""
    histogram = Histogram(2)
    histogram.add(1.0)
    histogram.clear()
    assert histogram.count == 0
    assert histogram.ms()["max"] is None


def test_a_percentile_is_no_longer_than_the_longest() -> None:
    """Steps of a histogram of two digits are wide; nobody waited longer than who waited longest."""
    histogram = Histogram(2)
    histogram.add(0.1)
    assert histogram.ms()["p50"] == histogram.ms()["max"] == 100.0


def test_more_durations_take_no_more_memory() -> None:
    """A hundred thousand take what a thousand do."""
    histogram = Histogram()
    tracemalloc.start()
    try:
        for i in range(1000):
            histogram.add(i / 1000)
        before = tracemalloc.get_traced_memory()[0]
        for i in range(100_000):
            histogram.add((i * 37 % 90_000) / 1000)
        assert tracemalloc.get_traced_memory()[0] - before < 4096
    finally:
        tracemalloc.stop()
    assert histogram.count == 101_000
