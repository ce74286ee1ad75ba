"""The time left: by the slowest lane, at the rate it may keep, and without jumps."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bulkstreams.core.estimate import MEMORY_S, Ending, Pace, lane_left, run_left, sustained


def watched(rate: float, seconds: int) -> Pace:
    """Return the pace of a lane that was looked at once a second."""
    pace = Pace()
    for _ in range(seconds):
        pace.note(round(rate), 1.0)
    return pace


def test_a_pace_is_what_was_achieved() -> None:
    """A steady lane's pace is its rate from the first seconds on, however often it is looked at."""
    assert watched(7, 2).rate == pytest.approx(7.0, rel=0.02)
    assert watched(7, 300).rate == pytest.approx(7.0, rel=0.02)
    often = Pace()
    for _ in range(100):
        often.note(1, 0.1)
    assert often.rate == pytest.approx(10.0, rel=0.02)


def test_a_pace_needs_to_be_watched_for_a_moment() -> None:
    """One look says nothing; what comes back to be sent again is taken off, and no pace is below nothing."""
    pace = Pace()
    assert pace.rate is None
    pace.note(50, 0.2)
    assert pace.rate is None
    pace.note(-10, 1.8)
    assert pace.rate == pytest.approx(20.0, rel=0.1)
    pace.note(-500, 1.0)
    assert pace.rate == 0.0


def test_what_is_long_past_counts_little() -> None:
    """A lane that has become slow is known for slow after a few times the memory."""
    pace = watched(100, 60)
    for _ in range(int(4 * MEMORY_S)):
        pace.note(1, 1.0)
    assert pace.rate is not None
    assert 1.0 < pace.rate < 4.0


@pytest.mark.parametrize(
    ("allowed", "achieved", "paced", "rate"),
    [
        (None, None, False, None),
        (None, 8.0, False, 8.0),
        (5.0, None, False, 5.0),
        (5.0, 3.0, True, 5.0),
        (5.0, 3.0, False, 3.0),
        (5.0, 9.0, False, 5.0),
    ],
)
def test_a_lane_goes_on_as_it_may_or_as_it_can(
    allowed: float | None, achieved: float | None, paced: bool, rate: float | None
) -> None:
    """Where it is held back by its budget that is its rate, whatever it did; else the server may be the slower one."""
    assert sustained(allowed, achieved, paced=paced) == rate


def test_a_lane_takes_its_pause_and_then_its_records() -> None:
    """A thousand records at five a second after a pause of a minute; nothing left takes no time at all."""
    assert lane_left(1000, 5.0, 60.0) == 260.0
    assert lane_left(0, None, 60.0) == 0.0
    assert lane_left(1000, None) is None
    assert lane_left(1000, 0.0) is None


def test_a_run_ends_when_its_slowest_lane_does() -> None:
    """Not when the mean of them would; of no lane at all nothing is known."""
    assert run_left([10.0, 200.0, 3.0]) == 200.0
    assert run_left([]) is None


def test_tenants_that_wait_for_a_seat_make_a_run_longer() -> None:
    """Their records are spread over the seats; where no rate is known they can only be left out."""
    assert run_left([10.0, 10.0], unseated=1000, rate=5.0) == 110.0
    assert run_left([10.0, 500.0], unseated=1000, rate=5.0) == 500.0
    assert run_left([10.0, 10.0], unseated=1000) == 10.0


def test_an_estimate_that_holds_stands_still() -> None:
    """As time goes by the instant stays the same, from the first estimate on."""
    ending = Ending()
    assert {ending.tell(100.0 - now, now) for now in range(50)} == {100.0}


def test_an_estimate_does_not_jump() -> None:
    """News of a long pause arrives within seconds, not at once; where nothing is known any more, nothing is told."""
    ending = Ending()
    for i in range(100):
        ending.tell(100.0 - i / 5, i / 5)
    first = ending.tell(400.0, 20.0)
    assert first is not None
    assert 100.0 < first < 130.0
    told = [ending.tell(400.0 - i / 5, 20.0 + i / 5) for i in range(1, 100)]
    assert told == sorted(told)
    assert told[-1] == pytest.approx(420.0, abs=1.0)
    assert ending.tell(None, 50.0) is None
    assert ending.tell(7.0, 51.0) == 58.0


def test_a_young_estimate_is_soon_left_behind() -> None:
    """A first guess that was far off is forgotten within a few times its age, not only after the whole smoothing."""
    ending = Ending()
    ending.tell(1000.0, 0.0)
    told = [ending.tell(50.0 - i / 5, i / 5) for i in range(1, 11)]
    assert told[-1] == pytest.approx(50.0, rel=0.15)


@given(st.lists(st.floats(0, 1e6), min_size=1), st.integers(0, 10**7), st.floats(0.01, 1e4))
def test_no_lane_ends_after_the_run(lanes: list[float], unseated: int, rate: float) -> None:
    """Whatever waits for a seat, the estimate is never below a lane's own, nor below all work spread evenly."""
    left = run_left(lanes, unseated, rate)
    assert left is not None
    assert left >= max(lanes)
    assert left * len(lanes) * (1 + 1e-9) >= sum(lanes) + unseated / rate
