"""Histograms of times: what they tell is near what single times would, however they were counted and put together."""

from __future__ import annotations

import math
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bulkstreams.report.times import MOST_MS, NAMED, Times

MS = st.floats(0.001, MOST_MS, allow_nan=False)


def counted(times: Iterable[float], *, coarse: bool = False) -> Times:
    """Return a histogram of these times."""
    made = Times(coarse=coarse)
    for ms in times:
        made.add(ms)
    return made


def exact(times: list[float], percentile: float) -> float:
    """Return the time that so many percent of these times do not exceed, from all of them, by the nearest rank."""
    return sorted(times)[max(int(percentile / 100 * len(times) + 0.5), 1) - 1]


@given(st.lists(MS, min_size=1, max_size=200), st.booleans())
def test_a_percentile_is_near_the_exact_one(times: list[float], coarse: bool) -> None:
    """Within a tenth of a percent (a percent where coarse), and the microsecond that is the least that is told."""
    found = counted(times, coarse=coarse).at(NAMED.values())
    for percentile in NAMED.values():
        assert found[percentile] == pytest.approx(exact(times, percentile), rel=0.01 if coarse else 0.001, abs=0.001)


@given(st.lists(MS, max_size=50), st.lists(MS, min_size=1, max_size=50))
def test_two_histograms_add_up_to_one_of_all(some: list[float], others: list[float]) -> None:
    """What two processes counted, merged, tells the same as if one had counted it."""
    merged = counted(some)
    merged.merge(counted(others))
    one, whole = merged.figures(), counted([*some, *others]).figures()
    assert one is not None
    assert whole is not None
    assert one.pop("mean") == pytest.approx(whole.pop("mean"), rel=1e-3)
    assert one == whole


def test_without_times_nothing_is_told() -> None:
    """Neither zeros nor a curve."""
    assert Times().figures() is None
    assert Times().curve() == []


def test_named_figures_are_those_of_the_times() -> None:
    """Count, least, most and mean are exact; a percentile lies between the least and the most."""
    found = counted([1.0, 2.0, 3.0, 10.0]).figures()
    assert found is not None
    assert {name: found[name] for name in ("count", "min", "max", "mean")} == {
        "count": 4, "min": 1.0, "max": 10.0, "mean": 4.0,
    }  # fmt: skip
    assert found["p50"] == pytest.approx(2.0, rel=1e-3)
    assert found["p999"] == 10.0


def test_what_takes_longer_than_can_be_told_apart_still_counts() -> None:
    """An hour is the most that is told apart; the longest is told as it was."""
    found = counted([1.0, 10 * MOST_MS]).figures()
    assert found is not None
    assert (found["count"], found["max"]) == (2, 10 * MOST_MS)
    assert found["p99"] == pytest.approx(MOST_MS, rel=1e-3)


def test_the_curve_goes_as_far_as_there_are_times_to_tell_by() -> None:
    """A thousand times reach 99.9 %, where the last but one of them stands; it never falls."""
    curve = counted(map(float, range(1, 1001))).curve()
    assert curve[0]["percentile"] == 0
    assert curve[-1]["percentile"] == pytest.approx(99.9)
    times = [point["ms"] for point in curve]
    assert times == sorted(times)
    assert times[-1] == pytest.approx(999, rel=1e-3)
    assert all(math.isfinite(ms) for ms in times)
