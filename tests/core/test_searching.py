"""The search for the highest rate that keeps a goal: doubled, then halved, within its tolerance."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bulkstreams.core.searching import (
    LONGEST_S,
    MOST_PROBES,
    TOLERANCE,
    Breach,
    Ended,
    Goal,
    GoalError,
    Probe,
    Search,
    probe_seconds,
    rate_words,
    read_goal,
)


def probe(
    rate: float, *, kept: bool = True, sent: float = 1.0, errors: float = 0.0, fit: bool = True, full: bool = False
) -> Probe:
    """Return a probe that passes unless something else is said."""
    return Probe(rate=rate, kept=kept, sent_share=sent, error_share=errors, fit=fit, full=full)


def play(first: float, outcome: Callable[[float], Probe]) -> tuple[Search, Ended]:
    """Search a server that answers as `outcome` says."""
    search = Search(first)
    while not isinstance(rate := search.next(), Ended):
        search.take(outcome(rate))
    return search, rate


@given(st.floats(min_value=1, max_value=50_000), st.floats(min_value=1, max_value=5000))
def test_it_finds_the_limit_of_any_server_from_anywhere(limit: float, first: float) -> None:
    """What it finds keeps the goal, and what is a twentieth higher does not."""
    search, ended = play(first, lambda rate: probe(rate, kept=rate <= limit))
    assert ended is Ended.FOUND
    assert search.best is not None
    assert search.best <= limit < search.best * (1 + TOLERANCE) * 1.001
    assert len(search.probes) <= MOST_PROBES


def test_it_doubles_first_and_then_halves() -> None:
    """The rates are told one by one."""
    search, _ = play(100, lambda rate: probe(rate, kept=rate <= 650))
    assert [one.rate for one in search.probes] == [100, 200, 400, 800, 600, 700, 650, 675]
    assert search.best == 650


def test_a_goal_that_no_rate_keeps_is_said_to_be_none() -> None:
    """It goes down to one a second, in few steps, since each takes its time."""
    search, ended = play(100, lambda rate: probe(rate, kept=False))
    assert (search.best, ended) == (None, Ended.NEVER_KEPT)
    assert [one.rate for one in search.probes] == [100, 12.5, 1.5625, 1]
    assert [one.rate for one in play(0.5, lambda rate: probe(rate, kept=False))[0].probes] == [0.5]


def test_a_search_that_is_cut_short_has_not_come_to_an_end() -> None:
    """Rates were left to try, before the first probe and after any; once none is, it ended as it did."""
    assert Search(100).ended is Ended.STOPPED
    assert Search(100, [probe(100)]).ended is Ended.STOPPED
    assert Search(100, [probe(100, kept=False)]).ended is Ended.STOPPED
    search, ended = play(100, lambda rate: probe(rate, kept=rate <= 650))
    assert search.ended is ended is Ended.FOUND


def test_where_the_client_is_the_limit_it_says_so() -> None:
    """The rate above the best was no finding about the server."""
    search, ended = play(100, lambda rate: probe(rate, fit=rate <= 1000))
    assert ended is Ended.CLIENT
    assert search.best is not None
    assert search.best <= 1000


def test_where_the_tenant_is_full_the_search_ends() -> None:
    """What was refused for want of room is no finding about the rate; what was found before stands."""
    search, ended = play(100, lambda rate: probe(rate, errors=0.5 * (rate > 500), full=rate > 500))
    assert ended is Ended.FULL
    assert [one.rate for one in search.probes] == [100, 200, 400, 800]
    assert search.best == 400


def test_errors_and_requests_that_were_not_sent_break_a_rate_too() -> None:
    """A server that sheds load quickly has fine latencies; that counts for nothing."""
    assert not probe(1, errors=0.02).passed
    assert not probe(1, sent=0.9).passed
    assert not probe(1, fit=False).passed
    assert probe(1, errors=0.01, sent=0.98).passed


@pytest.mark.parametrize(
    ("of", "breaches"),
    [
        (probe(1), []),
        (probe(1, kept=False), [Breach.LATENCY]),
        (probe(1, errors=0.02), [Breach.ERRORS]),
        (probe(1, kept=False, errors=0.02, sent=0.9), [Breach.LATENCY, Breach.ERRORS, Breach.UNSENT]),
        (probe(1, kept=False, fit=False), [Breach.CLIENT]),
        (probe(1, errors=0.02, fit=False, full=True), [Breach.FULL]),
    ],
)
def test_what_broke_a_rate_is_told(of: Probe, breaches: list[Breach]) -> None:
    """All of it; but where the client or the quota was in the way, nobody knows what the server would have done."""
    assert list(of.broken_by) == breaches
    assert of.passed is (not breaches)


def test_a_search_without_end_is_ended() -> None:
    """A server that keeps every goal is asked for ever more only so often."""
    search, ended = play(1, probe_all := lambda rate: probe(rate))
    assert ended is Ended.PROBES
    assert len(search.probes) == MOST_PROBES
    assert probe_all(1).passed


def test_a_rate_above_one_that_broke_is_not_the_best() -> None:
    """A server with a good day at a high rate is not believed: the lower one broke."""
    search = Search(100, [probe(100), probe(200, kept=False), probe(400)])
    assert search.best == 100


@pytest.mark.parametrize(
    ("text", "goal"),
    [
        ("p99<250ms", Goal("p99", 250.0)),
        (" p99.9 <= 1.5s ", Goal("p999", 1500.0)),
        ("max<2s", Goal("max", 2000.0)),
        ("MEAN<900us", Goal("mean", 0.9)),
    ],
)
def test_a_goal_is_read(text: str, goal: Goal) -> None:
    """A measure of the figures and a time."""
    assert read_goal(text) == goal


@pytest.mark.parametrize("text", ["p99", "p98<5ms", "p99<5", "p99>5ms", "p99<0ms", "", "p99<-1s"])
def test_no_other_text_is_a_goal(text: str) -> None:
    """It says what one looks like."""
    with pytest.raises(GoalError, match="p99<250ms"):
        read_goal(text)


def test_a_goal_is_kept_below_it_and_never_without_an_answer() -> None:
    """Exactly the time is too long; nothing measured is no success."""
    goal = Goal("p99", 250.0)
    assert str(goal) == "p99<250ms"
    assert goal.kept({"p99": 249.9})
    assert not goal.kept({"p99": 250.0})
    assert not goal.kept({"p99": None})


def test_a_probe_is_long_enough_for_its_percentile() -> None:
    """Ten requests beyond it: p99 at 20/s takes 50 s and not 10; no probe is made longer than a minute for that."""
    assert probe_seconds(Goal("p99", 1.0), 20, 10) == 50
    assert probe_seconds(Goal("p99", 1.0), 1000, 10) == 10
    assert probe_seconds(Goal("p999", 1.0), 20, 10) == LONGEST_S
    assert probe_seconds(Goal("p50", 1.0), 20, 0.5) == 1.0
    assert probe_seconds(Goal("p50", 1.0), 1, 90) == 90


@pytest.mark.parametrize(("rate", "words"), [(0.78125, "0.7812/s"), (87.5, "87.5/s"), (12_812.5, "12,812/s")])
def test_a_rate_is_told_in_digits(rate: float, words: str) -> None:
    """Never as a power of ten."""
    assert rate_words(rate) == words
