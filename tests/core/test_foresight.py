"""What may be foreseen of a run's time, and what is better not claimed."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bulkstreams.core.budget import Budget
from bulkstreams.core.foresight import PUBLISHED, Basis, Foresight, Moment, Seen, came, foresee, longest
from bulkstreams.core.level import Level, Told

SWIFT = Seen(latency_s=0.1, concurrency=10)  # a hundred a second, if nothing else holds it back


def test_nothing_takes_no_time() -> None:
    """A plan that creates nothing needs no rate."""
    assert foresee(0, Seen(limit=7, left=0)) == Foresight(0.0, None, Basis.UNKNOWN)


@pytest.mark.parametrize(
    ("seen", "seconds", "rate", "basis"),
    [
        (replace(SWIFT, ceiling=10.0), 96.0, 10.0, Basis.CEILING),
        (replace(SWIFT, ceiling=10.0, learned=4.0), 240.0, 4.0, Basis.OBSERVED),
        (replace(SWIFT, ceiling=3.0, learned=4.0), 320.0, 3.0, Basis.CEILING),
        (replace(SWIFT, limit=50, left=10, refill=16.0), 950 / 16, 16.0, Basis.OBSERVED),
        (replace(SWIFT, limit=50, left=10, refill=16.0, learned=2.5), 380.0, 2.5, Basis.OBSERVED),
        (replace(SWIFT, limit=50, left=49, refill=3.0), 911 / 16, 16.0, Basis.PUBLISHED),
        (replace(SWIFT, limit=50, left=10, ceiling=8.0), 120.0, 8.0, Basis.CEILING),
        (SWIFT, 9.6, 100.0, Basis.LATENCY),
        (replace(SWIFT, ceiling=500.0), 9.6, 100.0, Basis.LATENCY),
    ],
    ids=str,
)
def test_the_least_of_what_is_known_counts(seen: Seen, seconds: float, rate: float, basis: Basis) -> None:
    """Our ceiling, the tenant's budget and the time of a round trip: the narrowest of them makes the estimate."""
    found = foresee(960, seen)
    assert found.seconds == pytest.approx(seconds)
    assert (found.rate, found.basis) == (rate, basis)


def test_what_is_left_in_the_bucket_goes_at_once() -> None:
    """Fewer creates than tokens take as long as their round trips, whatever the refill."""
    found = foresee(20, replace(SWIFT, limit=50, left=40))
    assert (found.seconds, found.basis) == (0.2, Basis.LATENCY)
    assert foresee(20, Seen(limit=50, left=40)).seconds == 0.0


def test_a_refill_that_a_full_bucket_hides_is_not_believed() -> None:
    """What comes into a bucket that is nearly full is what was taken, not what could come."""
    full = Seen(limit=11, left=9, refill=3.0)
    assert foresee(100, full) == Foresight(None, None, Basis.UNKNOWN)
    assert foresee(100, replace(full, left=8)).rate == 3.0
    assert foresee(100, replace(full, lowest=8)).rate == 3.0  # it was drained meanwhile, and has filled up again
    assert foresee(100, replace(full, limit=2, left=0)).rate == 3.0


def test_what_nobody_knows_is_not_told() -> None:
    """A bucket of a size that no plan has, and nothing seen of its refill; or not even a round trip."""
    for seen in (replace(SWIFT, limit=7, left=1), Seen()):
        found = foresee(100, seen)
        assert found.seconds is None
        assert str(found) == "nobody can tell yet how long"


@pytest.mark.parametrize(
    ("foresight", "text"),
    [
        (Foresight(960.0, 10.0, Basis.CEILING), "about 16 min 0 s at 10/s"),
        (Foresight(960.0, 2.5, Basis.OBSERVED), "about 16 min 0 s at 2.5/s"),
        (Foresight(30.0, 333.3, Basis.LATENCY), "about 30 s"),
        (Foresight(0.02, 333.3, Basis.LATENCY), "a moment"),
        (
            Foresight(60.0, 16.0, Basis.PUBLISHED),
            "about 1 min 0 s at 16/s, which is published for its plan and was not seen",
        ),
    ],
)
def test_it_is_told_with_its_rate_and_how_sure_it_is(foresight: Foresight, text: str) -> None:
    """A rate is told where it says something, and a guess is told as one."""
    assert str(foresight) == text


def test_tenants_go_side_by_side() -> None:
    """All take as long as the longest; and where of one nobody knows, of all nobody does."""
    one, other = (Foresight(seconds, 1.0, Basis.OBSERVED) for seconds in (3.0, 5.0))
    assert longest({"a": one, "b": other}) == 5.0
    assert longest({}) == 0.0
    assert longest({"a": one, "b": Foresight(None, None, Basis.UNKNOWN)}) is None


def test_the_bucket_is_as_the_server_told_last() -> None:
    """What a look has shown of the bucket is the newest word; before the first there is none."""
    level = Level()
    assert level.told is None
    level.heard(Told(1, {}, 0.0, 0.1, 1, 0, 0, 0, 0.0), Budget(limit=50, remaining=40, reset=None))
    assert level.told == 40


@pytest.mark.parametrize(
    ("first", "last", "rate"),
    [
        (Moment(10.0, 4, 1), Moment(10.5, 1, 14), 20.0),
        (Moment(10.0, 4, 1), Moment(10.5, 2, 3), None),
        (Moment(10.0, 4, 1), Moment(10.0, 4, 2), None),
    ],
)
def test_what_came_is_what_went_and_is_not_missing(first: Moment, last: Moment, rate: float | None) -> None:
    """Thirteen requests took but three tokens away in half a second: ten came. Of nothing, nobody makes a rate."""
    assert came(first, last) == rate


def test_the_slowest_published_plan_is_taken() -> None:
    """Two plans have a bucket of ten: the estimate is by the one that takes longer."""
    assert PUBLISHED[10] == 2.0
