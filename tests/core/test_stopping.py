"""When a stop rule trips, and what is told of it."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bulkstreams.core.stopping import RATE_SAMPLE, Count, Stop, StopRules, deadline_passed
from bulkstreams.model import TenantName

CALM = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
ACME = TenantName("acme")


def settle(count: Count, outcomes: str) -> list[Stop]:
    """Settle records, `x` those that failed, and return what tripped."""
    stops = [count.settle(failed=one == "x") for one in outcomes]
    return [stop for stop in stops if stop is not None]


def test_so_many_failures_stop_at_exactly_so_many() -> None:
    """Two of three are none yet; the third trips it, and says how many of how many."""
    count = Count(StopRules(max_failures=3))
    assert settle(count, ".x..x....") == []
    (stop,) = settle(count, "x")
    assert stop.reason == "3 of 10 records that this run settled have failed (--max-failures: 3)"
    assert "raise or drop --max-failures" in stop.hint
    assert "--retry-failed" in stop.hint


def test_what_fails_after_it_tripped_is_told_and_trips_nothing_more() -> None:
    """The requests that were under way end; the counts of the message stay those of the moment."""
    count = Count(StopRules(max_failures=1))
    settle(count, "x")
    assert count.story() == ""
    assert settle(count, ".x.xx") == []
    assert count.story() == "; 3 more failed among what was under way then"
    assert (count.settled, count.failed) == (1, 1)


def test_a_rate_needs_its_sample_and_more_than_the_share() -> None:
    """All of 19 are too few to judge by; at 20 it trips; exactly the share does not."""
    count = Count(StopRules(max_failure_rate=0.1))
    assert settle(count, "x" * (RATE_SAMPLE - 1)) == []
    (stop,) = settle(count, ".")
    assert stop.reason == "19 of 20 records that this run settled have failed (--max-failure-rate: 10%)"
    assert "--max-failure-rate" in stop.hint
    exactly = Count(StopRules(max_failure_rate=0.1))
    assert settle(exactly, "xx" + "." * 18) == []
    assert len(settle(exactly, "x")) == 1


@pytest.mark.parametrize("percent", range(100))
def test_exactly_the_share_never_trips_a_rate(percent: int) -> None:
    """However binary fractions fall: P of 100 are no more than P%, one more is."""
    count = Count(StopRules(max_failure_rate=percent / 100))
    assert settle(count, "." * (100 - percent) + "x" * percent) == []
    assert len(settle(count, "x")) == 1


def test_a_tenants_rule_names_the_tenant_and_where_it_stands() -> None:
    """Nobody must guess which file or flag to change."""
    (stop,) = settle(Count(StopRules(max_failures=1), ACME), "x")
    assert stop.reason == (
        "1 of 1 records of acme that this run settled have failed (max_failures of [tenants.acme]: 1)"
    )
    assert "raise or drop max_failures of [tenants.acme]" in stop.hint
    (rate,) = settle(Count(StopRules(max_failure_rate=0.005), ACME), "x" * 20)
    assert "(max_failure_rate of [tenants.acme]: 0.5%)" in rate.reason


def test_a_deadline_is_the_runs_or_a_tenants() -> None:
    """The run's needs no hint of its own: the command that resumes is told anyway."""
    rules = StopRules(deadline_s=90.0)
    assert deadline_passed(rules, None) == Stop("the deadline of 90 s has passed", "")
    mine = deadline_passed(rules, ACME)
    assert mine.reason == "the deadline of 90 s for acme has passed (deadline of [tenants.acme])"
    assert "raise or drop deadline of [tenants.acme]" in mine.hint


def test_without_rules_nothing_is_worth_counting() -> None:
    """A deadline counts no records."""
    assert not StopRules(deadline_s=1.0).counts
    assert StopRules(max_failures=1).counts
    assert StopRules(max_failure_rate=0.0).counts
    assert settle(Count(StopRules()), "x" * 100) == []


@CALM
@given(outcomes=st.text("x.", max_size=200), most=st.integers(1, 50), percent=st.integers(0, 99))
def test_it_trips_once_and_at_the_first_record_that_makes_a_rule_true(outcomes: str, most: int, percent: int) -> None:
    """Against the rules as the README words them."""
    rules = StopRules(max_failures=most, max_failure_rate=percent / 100)
    count = Count(rules)
    at = [i for i, one in enumerate(outcomes, 1) if count.settle(failed=one == "x") is not None]

    def true_at(i: int) -> bool:
        failed = outcomes[:i].count("x")
        return failed >= most or (i >= RATE_SAMPLE and 100 * failed > percent * i)

    assert at == [i for i in range(1, len(outcomes) + 1) if true_at(i)][:1]
