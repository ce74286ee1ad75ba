"""When each request of a load is to begin: the sums are exact, and no text is misread."""

from __future__ import annotations

import math
from collections import deque
from fractions import Fraction

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bulkstreams.core.schedule import (
    Schedule,
    ScheduleError,
    Stage,
    read_rate,
    read_span,
    read_stage,
    read_stages,
    steady,
)

CALM = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow], max_examples=60)
RATES = st.fractions(min_value=0, max_value=400, max_denominator=7)
STAGES = st.lists(
    st.builds(Stage, RATES, RATES, st.fractions(min_value=Fraction(1, 10), max_value=5, max_denominator=10)),
    min_size=1,
    max_size=4,
)


def test_a_constant_rate_begins_at_zero_and_has_rate_times_duration_requests() -> None:
    """200/s for 3 s are 600, each 5 ms after the one before; the next would begin at the very end."""
    schedule = Schedule([steady(200, 3)])
    instants = list(schedule.instants())
    assert (schedule.requests, len(instants), schedule.seconds) == (600, 600, 3)
    assert instants == pytest.approx([k / 200 for k in range(600)])


def test_a_ramp_reaches_its_rates_and_its_mean() -> None:
    """50:500 in 60 s are 16,500 requests: first 1/50 s apart, at the end 1/500."""
    schedule = Schedule(read_stage("50:500/60s", Fraction(0)))
    instants = list(schedule.instants())
    assert len(instants) == schedule.requests == 16_500
    assert instants[1] - instants[0] == pytest.approx(1 / 50, rel=0.02)
    assert instants[-1] - instants[-2] == pytest.approx(1 / 500, rel=0.02)
    assert instants[-1] < 60


def test_a_ramp_from_nothing_and_to_nothing_loses_no_request() -> None:
    """A rate of zero at either end is no division by it."""
    up, down = (list(Schedule(read_stage(text, Fraction(0))).instants()) for text in ("0:100/2s", "100:0/2s"))
    assert len(up) == len(down) == 100
    assert up[0] == 0
    assert max(up + down) <= 2
    assert up[1] == pytest.approx(0.2)  # 25 t² reaches 1


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("200/s 30s", "200/s 30s"),
        ("90/m 1.5m", "1.5/s 90s"),
        ("50:500/60s", "50:500/60s"),
        ("0 250ms", "0/s 0.25s"),
        ("1/h 3h", "0.000277778/s 10800s"),
    ],
)
def test_a_stage_says_itself_as_it_may_be_written(line: str, words: str) -> None:
    """Whatever units it was given in; what it says can be read again."""
    pause = "1/s 1s"  # a file must ask for something
    (stage, _) = read_stages([line, pause])
    assert str(stage) == words
    assert str(read_stages([words, pause])[0]) == words


@given(STAGES)
@CALM
def test_whatever_the_stages_the_instants_are_in_order_and_as_many_as_the_sum(stages: list[Stage]) -> None:
    """No stage rounds: the number is the whole sum, rounded up once; a request is due where the sum reaches it."""
    schedule = Schedule(stages)
    instants = list(schedule.instants())
    assert len(instants) == schedule.requests == math.ceil(sum((one.requests for one in stages), Fraction(0)))
    assert instants == sorted(instants)
    assert all(0 <= one <= float(schedule.seconds) for one in instants)
    for cut in (0.0, float(schedule.seconds) / 3, float(schedule.seconds)):
        told, found = schedule.due_by(cut), sum(one < cut for one in instants)
        near = sum(abs(one - cut) < 1e-6 for one in instants)
        assert abs(told - found) <= near or cut == float(schedule.seconds)
    assert schedule.due_by(float(schedule.seconds) + 1) == schedule.requests


def test_a_pause_has_no_requests_and_shifts_what_follows() -> None:
    """Nothing is due in it, and the request that is due as it ends begins then."""
    instants = list(Schedule(read_stages(["10 1s", "0 2s", "10 1s"])).instants())
    assert len(instants) == 20
    assert not [one for one in instants if 1 <= one < 3]
    assert instants[10] == 3


def test_a_warm_up_comes_before_at_the_first_rate() -> None:
    """Two seconds at 100/s and then the schedule itself; of a schedule that begins with a pause, at its next rate."""
    warm = Schedule([steady(100, 1), steady(50, 1)]).after(2.0)
    assert (warm.requests, warm.seconds) == (350, 4)
    assert warm.due_by(2.0) == 200
    late = Schedule(read_stages(["0 1s", "0:40/1s"])).after(1.0)
    assert late.stages[0].first == 40
    same = Schedule([steady(1, 1)])
    assert same.after(0.0) is same


def test_millions_of_requests_drift_nowhere() -> None:
    """The last of 3,000,000 at a third of a thousand a second begins where it is to, to the microsecond."""
    schedule = Schedule([steady(Fraction(1000, 3), 9000)])
    assert schedule.requests == 3_000_000
    (last,) = deque(schedule.instants(), maxlen=1)
    assert last == pytest.approx(2_999_999 * 3 / 1000, abs=1e-6)


@pytest.mark.parametrize(
    ("text", "rate"), [("200/s", 200), ("200", 200), ("90/m", 1.5), ("36/h", 0.01), (" 0.5/s ", 0.5), ("60/min", 1)]
)
def test_a_rate_is_read(text: str, rate: float) -> None:
    """A number, a second's where nothing else is said."""
    assert float(read_rate(text)) == rate


@pytest.mark.parametrize(
    ("text", "seconds"), [("30s", 30), ("30", 30), ("1.5m", 90), ("250ms", 0.25), ("2h", 7200), ("1min", 60)]
)
def test_a_length_of_time_is_read(text: str, seconds: float) -> None:
    """A number with a unit, seconds where there is none."""
    assert float(read_span(text)) == seconds


@pytest.mark.parametrize("text", ["", "x", "-5/s", "5/x", "1e3", "5 /s", "5/s/s", "2000000/s"])
def test_no_other_text_is_a_rate(text: str) -> None:
    """What is misspelt is told, with an example."""
    with pytest.raises(ScheduleError, match=r"rate|more than"):
        read_rate(text)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("50:500", "does not say how long"),
        ("0/s", "asks for nothing"),
        ("0:0/5s", "asks for nothing"),
        ("50:x/5s", "is no rate"),
        ("50:60/x", "is no length of time"),
    ],
)
def test_no_other_text_is_a_stage(text: str, told: str) -> None:
    """Each says what is missing."""
    with pytest.raises(ScheduleError, match=told):
        read_stage(text, Fraction(0))


def test_a_ramp_is_held_or_cut_where_another_length_is_said() -> None:
    """60 s of a ramp in 100: its last rate is held for 40. In 30: half of the way."""
    longer = read_stage("50:500/60s", Fraction(100))
    assert longer == (Stage(Fraction(50), Fraction(500), Fraction(60)), steady(500, 40))
    assert read_stage("50:500/60s", Fraction(30)) == (Stage(Fraction(50), Fraction(275), Fraction(30)),)
    assert read_stage("50:500/60s", Fraction(60)) == (Stage(Fraction(50), Fraction(500), Fraction(60)),)


def test_a_file_of_stages_is_read_with_remarks_and_pauses() -> None:
    """Blank lines and remarks are passed over; a ramp may have a length of its own, or another."""
    text = "# up\n10/s 2s\n\n10:20/4s   # a ramp\n10:20/4s 6s\n0 1s\n"
    stages = read_stages(text.splitlines())
    assert [(float(one.first), float(one.last), float(one.seconds)) for one in stages] == [
        (10, 10, 2), (10, 20, 4), (10, 20, 4), (20, 20, 2), (0, 0, 1),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("10/s", "line 1: must be a rate and a length"),
        ("10/s 5s 6s", "line 1: must be a rate and a length"),
        ("\n10/s soon", "line 2: 'soon' is no length"),
        ("10/s 0s", "line 1: takes no time"),
        ("0 5s", "no line asks for a request"),
        ("", "no line asks for a request"),
    ],
)
def test_a_bad_line_of_a_file_is_named(text: str, told: str) -> None:
    """With its number, and what it should be."""
    with pytest.raises(ScheduleError, match=told):
        read_stages(text.splitlines())
