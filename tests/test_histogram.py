"""Histograms of durations: what they tell is near what single ones would, however counted and put together."""

from __future__ import annotations

import math
import tracemalloc
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bulkstreams.histogram import MEASURES, MOST_S, PERCENTILES, Histogram

SECONDS = st.floats(0.000001, MOST_S, allow_nan=False)


def counted(durations: Iterable[float], *, coarse: bool = False) -> Histogram:
    """Return a histogram of these durations, in seconds."""
    made = Histogram(coarse=coarse)
    for seconds in durations:
        made.add(seconds)
    return made


def figures(histogram: Histogram) -> dict[str, Any]:
    """Return the figures of a histogram that has some."""
    found = histogram.figures()
    assert found is not None
    return found


def exact(durations: list[float], percentile: float) -> float:
    """Return the milliseconds that so many percent of these durations do not exceed, by the nearest rank."""
    return sorted(durations)[max(int(percentile / 100 * len(durations) + 0.5), 1) - 1] * 1000


@given(st.lists(SECONDS, min_size=1, max_size=200), st.booleans())
def test_a_percentile_is_near_the_exact_one(durations: list[float], coarse: bool) -> None:
    """Within a tenth of a percent (a percent where coarse), and the microsecond that is the least that is told."""
    within = 0.01 if coarse else 0.001
    for percentile, ms in counted(durations, coarse=coarse).at(PERCENTILES.values()).items():
        assert ms == pytest.approx(exact(durations, percentile), rel=within, abs=0.001)


def test_percentiles_are_exact_to_three_digits() -> None:
    """Of 1 to 1,000 ms each is where it is to be; the longest and the mean are exact."""
    found = counted(ms / 1000 for ms in range(1, 1001)).ms()
    for name, wanted in {"p50": 500, "p90": 900, "p95": 950, "p99": 990, "p999": 999}.items():
        assert found[name] == pytest.approx(wanted, rel=0.001)
    assert (found["max"], found["mean"]) == (1000.0, 500.5)


def test_a_report_tells_the_same_measures_to_four_digits() -> None:
    """Beside them the count, and the shortest, which is exact as the longest and the mean are."""
    histogram = counted([0.001, 0.002, 0.003, 0.0101])
    found, ms = figures(histogram), histogram.ms()
    assert list(found) == ["count", *PERCENTILES, "max", "min", "mean"]
    assert {name: found[name] for name in ("count", "min", "max", "mean")} == {
        "count": 4, "min": 1.0, "max": 10.1, "mean": 4.025,
    }  # fmt: skip
    assert list(ms) == list(MEASURES)
    assert {name: found[name] for name in MEASURES} == {name: float(f"{ms[name]:.4g}") for name in MEASURES}


def test_a_duration_counts_as_the_nearest_microsecond() -> None:
    """Milliseconds of three digits, which a ledger keeps, come out as they went in, whatever floats make of them."""
    for us in (1001, 1009, 1133, 1999):
        assert counted([0.0005, us / 1000 / 1000]).at([99.0]) == {99.0: us / 1000}


def test_nothing_has_no_percentiles() -> None:
    """None of them is zero, which would be the best of all latencies."""
    nothing = Histogram()
    assert (nothing.count, nothing.figures(), nothing.curve(), nothing.at([50.0])) == (0, None, [], {})
    assert nothing.ms() == dict.fromkeys(MEASURES)


@given(st.lists(SECONDS, max_size=50), st.lists(SECONDS, min_size=1, max_size=50), st.booleans())
def test_two_merge_into_what_one_would_have_been(some: list[float], others: list[float], coarse: bool) -> None:
    """What two processes counted, merged, tells the same as if one had counted it."""
    merged, whole = counted(some, coarse=coarse), counted([*some, *others], coarse=coarse)
    merged.merge(counted(others, coarse=coarse))
    assert merged.count == whole.count
    assert merged.curve() == whole.curve()
    one, all_ = figures(merged), figures(whole)
    assert one.pop("mean") == pytest.approx(all_.pop("mean"), rel=1e-3)
    assert one == all_


def test_a_coarse_one_merges_into_a_fine_one() -> None:
    """What comes of it is as exact as the coarse one; the extremes stay exact."""
    merged = counted([0.1, 0.2])
    merged.merge(counted([0.3003, 0.4004], coarse=True))
    found = figures(merged)
    assert (found["count"], found["min"], found["max"]) == (4, 100.0, 400.4)
    assert merged.at([75.0])[75.0] == pytest.approx(300.3, rel=0.01)


def test_what_is_out_of_range_counts_as_the_nearest() -> None:
    """Nothing is too short or too long to be counted; the longest is told as it was."""
    histogram = counted([0.0, -0.001, 1.0, 2 * MOST_S])
    assert histogram.count == 4
    assert histogram.ms()["max"] == 7_200_000.0
    assert histogram.ms()["p99"] == pytest.approx(MOST_S * 1000, rel=1e-3)


@pytest.mark.parametrize("seconds", [0.0, 0.0000001, 0.1003, 0.7777, 2 * MOST_S])
def test_no_percentile_is_beyond_the_shortest_or_the_longest(seconds: float) -> None:
    """Steps of a coarse histogram are wide; where all took the same, every percentile is that, and the mean too."""
    histogram = counted([seconds] * 3, coarse=True)
    assert set(histogram.ms().values()) == {round(seconds * 1000, 3)}
    assert set(histogram.at([0.0, 50.0, 100.0]).values()) == {round(seconds * 1000, 3)}


def test_a_cleared_histogram_is_empty() -> None:
    """An interval's begins anew: what was before it is in none of its figures."""
    histogram = counted([0.001, 5.0], coarse=True)
    histogram.clear()
    assert (histogram.count, histogram.figures()) == (0, None)
    histogram.add(0.5)
    assert figures(histogram) == {"count": 1, **dict.fromkeys((*MEASURES, "min"), 500.0)}


def test_the_curve_goes_as_far_as_there_are_times_to_tell_by() -> None:
    """A thousand times reach 99.9 %, where the last but one of them stands; it never falls."""
    curve = counted(ms / 1000 for ms in range(1, 1001)).curve()
    assert curve[0] == {"percentile": 0, "ms": 1.0}
    assert curve[-1]["percentile"] == pytest.approx(99.9)
    assert {90.0, 99.0} <= {point["percentile"] for point in curve}
    times = [point["ms"] for point in curve]
    assert times == sorted(times)
    assert times[-1] == pytest.approx(999, rel=1e-3)
    assert all(math.isfinite(ms) for ms in times)


@pytest.mark.parametrize("coarse", [False, True])
def test_more_durations_take_no_more_memory(coarse: bool) -> None:
    """A hundred thousand take what a thousand do."""
    histogram = Histogram(coarse=coarse)
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
