"""Which measures may not be what the server does: each doubt alone, the strongest first, and none without a cause."""

from __future__ import annotations

import pytest

from bulkstreams.core.saturation import Verdict
from bulkstreams.core.soundness import TAILS, Doubt, doubts, few, fewest

FINE = Verdict(saturated=False, share=0.0, periods=())
MANY = 1_000_000
TENS = dict.fromkeys(TAILS, 10.0)
NO_DELAY = dict.fromkeys(TAILS, 0.1)


def of(verdict: Verdict = FINE, missed: float = 0.0) -> dict[str, Doubt]:
    """Return the doubts of a load against which nothing else speaks."""
    return doubts(verdict, missed, MANY, TENS, NO_DELAY)


def test_a_few_late_requests_spoil_only_what_lies_far_out() -> None:
    """One spoils the longest; one in a thousand also the 999th; all are spoiled where the client was saturated."""
    assert of() == {}
    assert list(of(missed=0.00001)) == ["max"]
    assert list(of(missed=0.001)) == ["p999", "max"]
    assert of(missed=0.006) == dict.fromkeys(("p99", "p999", "max", "mean"), Doubt.LATE)
    assert list(of(Verdict(saturated=False, share=0.009, periods=()))) == ["p99", "p999", "max", "mean"]
    assert of(Verdict(saturated=True, share=0.02, periods=())) == dict.fromkeys(TAILS, Doubt.SATURATED)


def test_a_measure_that_is_made_of_the_clients_delays_is_doubtful() -> None:
    """A fifth of it is allowed; a fast server's middle time may be spoiled where its longest is not."""
    delays = {**NO_DELAY, "p50": 2.1, "p90": 2.0, "p999": 9.0}
    assert doubts(FINE, 0.0, MANY, TENS, delays) == {"p50": Doubt.DELAY, "p999": Doubt.DELAY}
    assert doubts(FINE, 0.0, MANY, dict.fromkeys(TAILS, 100.0), delays) == {}


@pytest.mark.parametrize(
    ("requests", "few"),
    [
        (10_000, []),
        (9_999, ["p999"]),
        (999, ["p99", "p999"]),
        (199, ["p95", "p99", "p999"]),
        (99, ["p90", "p95", "p99", "p999"]),
        (19, ["p50", "p90", "p95", "p99", "p999", "mean"]),
    ],
)
def test_a_percentile_needs_requests_beyond_it(requests: int, few: list[str]) -> None:
    """Ten; the longest of all is what it is, of however many."""
    assert doubts(FINE, 0.0, requests, TENS, NO_DELAY) == dict.fromkeys(few, Doubt.FEW)
    assert all((measure in few) is (requests < fewest(measure)) for measure in TAILS)


def test_the_strongest_reason_is_told() -> None:
    """Late ones before delays, delays before too few."""
    found = doubts(FINE, 0.006, 10, TENS, {**NO_DELAY, "p95": 9.0})
    assert found["p99"] is Doubt.LATE
    assert found["p95"] is Doubt.DELAY
    assert found["p90"] is Doubt.FEW


def test_what_was_not_measured_is_not_doubted() -> None:
    """Nothing reached the server, so there is nothing that could be wrong, but for what is missing."""
    nothing = dict.fromkeys(TAILS)
    assert doubts(FINE, 0.0, 0, nothing, NO_DELAY) == {}
    assert doubts(FINE, 0.0, 0, nothing, nothing) == {}
    assert doubts(FINE, 1.0, 0, nothing, nothing) == dict.fromkeys(TAILS, Doubt.LATE)


def test_what_so_many_requests_are_too_few_for_is_known_without_a_load() -> None:
    """Ten must lie beyond a percentile; the longest is what it is of one."""
    assert few(19) == ["p50", "p90", "p95", "p99", "p999", "mean"]
    assert few(999) == ["p99", "p999"]
    assert few(10_000) == []
