"""The rate that nobody tells: measured from refusal to refusal, kept, left upwards with care, forgotten slowly."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bulkstreams.core.sustained import DIP, FIRST_GUESS, FORGOTTEN, PLATEAU_REQUESTS, PLATEAU_S, Sustained
from tests.core.replies import CALM

PATIENCE_S = 1.0


def spread(rate: Sustained, count: int, since: float, until: float, *, take: bool = True) -> None:
    """Let so many go and be granted, evenly, the last of them `until`."""
    for number in range(1, count + 1):
        at = since + (until - since) * number / count
        if take:
            rate.take(at, PATIENCE_S)
        rate.granted(at, PATIENCE_S)


def measured(per_second: float = 20.0) -> Sustained:
    """Return one that was refused at 100 s and at 110 s, and saw so many a second between."""
    rate = Sustained()
    rate.take(90.0, PATIENCE_S)
    spread(rate, 500, 90.0, 100.0)
    rate.refused(100.0, PATIENCE_S)
    spread(rate, round(10 * per_second), 100.0, 110.0)
    rate.refused(110.0, PATIENCE_S)
    return rate


def test_who_was_never_refused_is_never_held_back() -> None:
    """Nothing is known, so nothing is waited for, however much went."""
    rate = Sustained()
    spread(rate, 1000, 0.0, 1.0)
    assert rate.learned is None
    assert rate.rate(1.0) is None
    assert rate.wait(1.0) == 0.0


def test_after_the_first_refusal_half_of_what_went_is_tried() -> None:
    """How full the bucket was in the beginning is not known, so what it granted was more than it sustains."""
    rate = Sustained()
    rate.take(100.0, PATIENCE_S)
    spread(rate, 400, 100.0, 110.0)
    rate.refused(110.0, PATIENCE_S)
    assert rate.learned == pytest.approx(40.0 * FIRST_GUESS)


@CALM
@given(st.floats(0.5, 500), st.floats(1.0, 100.0))
def test_between_two_refusals_the_rate_is_exact(per_second: float, seconds: float) -> None:
    """A bucket that was empty twice granted what came into it: that is the rate, whatever was guessed before."""
    count = max(1, round(per_second * seconds))
    rate = Sustained()
    rate.take(0.0, PATIENCE_S)
    spread(rate, 1000, 0.0, 1.0)
    rate.refused(1.0, PATIENCE_S)
    spread(rate, count, 1.0, 1.0 + seconds, take=False)
    rate.refused(1.0 + seconds, PATIENCE_S)
    assert rate.learned == pytest.approx(count / seconds)


def test_a_later_measurement_counts_by_its_requests() -> None:
    """Thirty requests count half beside what was known, thousands nearly all: chance is averaged out, change is not."""
    few, many = measured(20.0), measured(20.0)
    spread(few, 30, 110.0, 113.0)
    few.refused(113.0, PATIENCE_S)
    assert few.learned == pytest.approx(15.0)
    spread(many, 3000, 110.0, 410.0, take=False)
    many.refused(410.0, PATIENCE_S)
    assert many.learned == pytest.approx(10.1, abs=0.01)


def test_a_refusal_before_any_grant_teaches_nothing_but_that_the_bucket_is_empty() -> None:
    """Who is refused at once has no rate yet; from there to the next refusal it is exact."""
    rate = Sustained()
    rate.take(0.0, PATIENCE_S)
    rate.refused(0.1, PATIENCE_S)
    assert rate.learned is None
    spread(rate, 100, 0.1, 10.1)
    rate.refused(10.1, PATIENCE_S)
    assert rate.learned == pytest.approx(10.0)


def test_a_refusal_out_of_nowhere_is_survived() -> None:
    """Neither no time at all nor a refusal before the first request divides by zero."""
    rate = Sustained()
    rate.refused(500.0, PATIENCE_S)
    rate.granted(500.0, PATIENCE_S)
    rate.refused(500.0, PATIENCE_S)
    assert rate.learned is None


def test_a_second_refusal_without_a_grant_between_keeps_what_was_learned() -> None:
    """A server that refuses for a while says nothing of what it sustains."""
    rate = measured(20.0)
    for at in (111.0, 113.0, 117.0):
        rate.resumed(at)
        rate.take(at, PATIENCE_S)
        rate.refused(at, PATIENCE_S)
    assert rate.learned == pytest.approx(20.0)


# -- the curve --------------------------------------------------------------------------------------------------------


def test_the_rate_dips_returns_stays_and_only_then_goes_on() -> None:
    """A little less after a refusal, what was learned on the plateau and about it, more after twice the time."""
    rate = measured(20.0)
    at = [rate.rate(110.0 + part * PLATEAU_S) for part in (0.0, 0.5, 1.0, 1.5, 2.0, 3.0)]
    assert at == [pytest.approx(20.0 * (1.0 + DIP * x)) for x in (-1.0, -0.125, 0.0, 0.125, 1.0, 8.0)]


def test_a_slow_bucket_is_probed_as_slowly() -> None:
    """The plateau lasts so many requests at least: 0.5 a second is not doubled within half a minute."""
    rate = measured(0.5)
    assert rate.rate(110.0 + PLATEAU_REQUESTS / 0.5) == pytest.approx(0.5)
    assert rate.rate(140.0) < 0.5  # type: ignore[operator]


def test_a_guess_is_left_upwards_sooner_than_a_measurement() -> None:
    """What was only guessed may be far too low."""
    rate = Sustained()
    rate.take(0.0, PATIENCE_S)
    spread(rate, 400, 0.0, 10.0)
    rate.refused(10.0, PATIENCE_S)
    assert rate.rate(11.0) == pytest.approx(rate.learned)
    assert rate.rate(14.0) > 1.5 * rate.learned  # type: ignore[operator]


def test_requests_go_one_share_of_a_second_apart() -> None:
    """At 20 a second less the dip, about one each 50 ms goes, and the wait says how long that is still."""
    rate = measured(20.0)
    now, times = 110.0, []
    while len(times) < 20:
        now += rate.wait(now)
        rate.take(now, PATIENCE_S)
        rate.granted(now, PATIENCE_S)
        times.append(now)
    apart = [later - earlier for earlier, later in pairwise(times[3:])]
    assert apart == [pytest.approx(1 / (20.0 * (1 - DIP)), rel=0.02)] * len(apart)


def test_who_is_late_may_catch_up_two_requests_and_no_more() -> None:
    """Timers come late: the rate is kept all the same, but what was not used for long is not saved up."""
    rate = measured(20.0)
    rate.take(110.5, PATIENCE_S)
    at_once = 1
    while rate.wait(110.5) == 0.0:
        rate.take(110.5, PATIENCE_S)
        at_once += 1
    assert at_once == 2


def test_what_is_never_refused_again_is_forgotten_slowly() -> None:
    """The rate grows, and only when it is many times what was learned nothing is held back any more."""
    rate = measured(20.0)
    now, grown = 110.0, 0.0
    while rate.learned is not None:
        grown = rate.rate(now) or 0.0
        assert grown <= FORGOTTEN * 20.0 * 1.05
        now += rate.wait(now)
        rate.take(now, PATIENCE_S)
        rate.granted(now, PATIENCE_S)
    assert grown > 0.9 * FORGOTTEN * 20.0
    assert 5 * PLATEAU_S < now - 110.0 < 10 * PLATEAU_S
    assert rate.wait(now) == 0.0


def test_what_was_forgotten_is_learned_anew_from_one_refusal() -> None:
    """From the last refusal to this one the bucket granted what came into it: no guess is needed."""
    rate = measured(20.0)
    now = 110.0
    while rate.learned is not None:
        now += rate.wait(now)
        rate.take(now, PATIENCE_S)
        rate.granted(now, PATIENCE_S)
    granted = rate._granted
    rate.refused(now, PATIENCE_S)
    assert rate.learned == pytest.approx(granted / (now - 110.0))


# -- silence ----------------------------------------------------------------------------------------------------------


def test_time_in_which_nothing_was_sent_does_not_count() -> None:
    """After an hour without work the rate is what it was, neither forgotten nor measured at next to nothing."""
    rate = measured(20.0)
    spread(rate, 100, 110.0, 115.0)
    before = rate.rate(115.0)
    spread(rate, 1, 3715.0, 3715.0)
    assert rate.rate(3715.0) == pytest.approx(before, rel=0.001)
    spread(rate, 100, 3715.0, 3720.0)
    rate.refused(3720.0, PATIENCE_S)
    assert rate.learned == pytest.approx(20.0, rel=0.01)


def test_time_in_which_nothing_was_answered_does_not_count() -> None:
    """A server that stalls is tried now and then; when it is back it sustains what it did."""
    rate = measured(20.0)
    spread(rate, 100, 110.0, 115.0)
    for at in range(117, 716, 2):
        rate.take(float(at), PATIENCE_S)
    rate.granted(715.2, PATIENCE_S)
    spread(rate, 100, 715.2, 720.2)
    rate.refused(720.2, PATIENCE_S)
    assert rate.learned == pytest.approx(20.0, rel=0.02)


def test_silence_before_the_first_refusal_does_not_count_either() -> None:
    """The first guess, too, is made from the time in which something went."""
    rate = Sustained()
    spread(rate, 200, 0.0, 5.0)
    spread(rate, 200, 1005.0, 1010.0)
    rate.refused(1010.0, PATIENCE_S)
    assert rate.learned == pytest.approx(FIRST_GUESS * 400 / 10, rel=0.01)


def test_a_pause_after_a_refusal_counts() -> None:
    """While we wait as the server asked the bucket fills: 150 at once each minute are 2.5 a second."""
    rate = Sustained()
    rate.take(0.0, PATIENCE_S)
    spread(rate, 150, 0.0, 1.0)
    rate.refused(1.0, PATIENCE_S)
    rate.resumed(60.0)
    spread(rate, 150, 60.0, 61.0)
    rate.refused(61.0, PATIENCE_S)
    assert rate.learned == pytest.approx(2.5)


def test_our_own_pace_is_no_silence() -> None:
    """Where one request goes each ten seconds, ten seconds without a word are as they should be."""
    rate = Sustained()
    rate.take(0.0, PATIENCE_S)
    rate.refused(0.1, PATIENCE_S)
    for at in (5.0, 10.0):
        rate.resumed(at)
        rate.granted(at, PATIENCE_S)
    rate.refused(10.1, PATIENCE_S)
    assert rate.learned == pytest.approx(0.2)
    now = 10.1
    for _ in range(10):
        now += rate.wait(now)
        rate.take(now, PATIENCE_S)
        now += 0.03
        rate.granted(now, PATIENCE_S)
    rate.refused(now, PATIENCE_S)
    assert rate.learned == pytest.approx(0.2, rel=0.15)
