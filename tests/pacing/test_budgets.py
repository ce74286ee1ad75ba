"""What models of servers grant, against a client that always asks."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import pytest

from benchmarks.pacing.budgets import Bucket, Budget, Nothing, Stacked, Tops, Trickle, in_bursts, one_by_one

SINCE = 17.43
STEP = 0.004


def greedy(budget: Budget, seconds: float) -> tuple[int, float]:
    """Ask at every step until refused; return what was granted, and the instant of the last step."""
    granted, at = 0, SINCE
    for step in range(round(seconds / STEP) + 1):
        at = SINCE + step * STEP
        while budget.take(at):
            granted += 1
    return granted, at


MODELS: dict[str, Callable[[], Budget]] = {
    "trickle": lambda: Bucket(Trickle(50.0), 20, SINCE),
    "slow trickle": lambda: Bucket(Trickle(2.5), 10, SINCE),
    "rate that changes": lambda: Bucket(Trickle(30.0, (SINCE + 10.0, 5.0)), 20, SINCE),
    "windows of a second": lambda: Bucket(Tops(50), 50, SINCE),
    "windows of a minute": lambda: Bucket(Tops(600, 60.0), 600, SINCE),
    "more at each top": lambda: Bucket(Tops(16), 50, SINCE),
    "stacked": lambda: Stacked(Bucket(Trickle(40.0), 40, SINCE), Bucket(Trickle(20.0), 150, SINCE)),
    "neighbour one by one": lambda: one_by_one(Bucket(Trickle(50.0), 20, SINCE), 25.0, SINCE, Random(3)),
    "neighbour in bursts": lambda: in_bursts(Bucket(Trickle(50.0), 20, SINCE), 25.0, SINCE, Random(3)),
    "nothing": Nothing,
}


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("seconds", [0.0, 0.5, 9.0, 45.0, 130.0])
def test_a_greedy_client_gets_what_a_model_says_is_grantable(name: str, seconds: float) -> None:
    """What would have been granted is what a client gets that always asks, and never less than that."""
    budget = MODELS[name]()
    granted, at = greedy(budget, seconds)
    assert granted <= budget.grantable(at) + 1e-6
    assert granted > budget.grantable(at) - 1.0


@pytest.mark.parametrize("name", MODELS)
def test_an_idle_client_finds_no_more_than_the_bucket_holds(name: str) -> None:
    """Tokens that nobody takes run over: after a long while no more than the limit is there at once."""
    budget = MODELS[name]()
    at = SINCE + 600.0
    assert budget.remaining(at) <= budget.limit
    granted = 0
    while budget.take(at):
        granted += 1
    assert granted <= budget.limit
    assert budget.remaining(at) == 0 or name == "stacked"


@pytest.mark.parametrize("name", [name for name in MODELS if name != "nothing"])
def test_a_refusal_takes_no_token(name: str) -> None:
    """Whoever was refused a thousand times finds the token that comes next, as if it had not asked."""
    asked, waited = MODELS[name](), MODELS[name]()
    for budget in (asked, waited):
        greedy(budget, 20.0)
    at = SINCE + 20.0
    for _ in range(1000):
        assert not asked.take(at)
    assert [asked.take(at + late) for late in (0.1, 0.5, 1.5, 60.0)] == [
        waited.take(at + late) for late in (0.1, 0.5, 1.5, 60.0)
    ]


@pytest.mark.parametrize("name", ["trickle", "slow trickle", "windows of a second", "windows of a minute"])
def test_more_comes_when_the_model_says_so_and_no_sooner(name: str) -> None:
    """An empty bucket refuses until the instant that it names, and grants then."""
    budget = MODELS[name]()
    greedy(budget, 7.0)
    at = SINCE + 7.0
    due = budget.more_at(at)
    assert due > at
    assert not budget.take(due - 1e-4)
    assert budget.take(due + 1e-6)


def test_what_the_hidden_bucket_refuses_leaves_the_shown_one_as_it_was() -> None:
    """A refusal by the second bucket shows the first with plenty left, and takes nothing of it."""
    budget = Stacked(Bucket(Trickle(1.0), 40, SINCE), Bucket(Trickle(1.0), 5, SINCE))
    assert [budget.take(SINCE) for _ in range(7)] == [True] * 5 + [False] * 2
    assert budget.remaining(SINCE) == 35


def test_what_the_shown_bucket_refuses_leaves_the_hidden_one_as_it_was() -> None:
    """A refusal by the first bucket takes nothing of the second."""
    hidden = Bucket(Trickle(1.0), 40, SINCE)
    budget = Stacked(Bucket(Trickle(1.0), 5, SINCE), hidden)
    assert [budget.take(SINCE) for _ in range(7)] == [True] * 5 + [False] * 2
    assert hidden.remaining(SINCE) == 35


@pytest.mark.parametrize("make", [one_by_one, in_bursts])
def test_a_neighbour_takes_about_what_it_is_said_to(make: Callable[..., Budget]) -> None:
    """Of a bucket that nobody else uses, either neighbour takes its half in the long run."""
    budget = make(Bucket(Trickle(50.0), 20, SINCE), 25.0, SINCE, Random(11))
    seconds = 2000.0
    budget.remaining(SINCE + seconds)
    assert budget.took == pytest.approx(25.0 * seconds, rel=0.05)  # type: ignore[attr-defined]


def test_a_neighbour_gets_what_is_left_to_it() -> None:
    """Beside nobody a neighbour gets nearly all that it wants; beside a client that takes all, hardly any."""
    alone, beside = (in_bursts(Bucket(Trickle(50.0), 20, SINCE), 25.0, SINCE, Random(11)) for _ in range(2))
    alone.remaining(SINCE + 200.0)
    greedy(beside, 200.0)
    assert alone.wanted == beside.wanted
    assert alone.took > 0.9 * alone.wanted
    assert beside.took < 0.1 * beside.wanted


def test_a_neighbour_that_is_away_takes_nothing() -> None:
    """A neighbour that comes and goes takes only while it is there."""
    bucket = Bucket(Trickle(50.0), 20, SINCE)
    budget = in_bursts(bucket, 25.0, SINCE, Random(11), there=lambda at: at > SINCE + 100.0)
    budget.remaining(SINCE + 100.0)
    assert budget.took == 0
    budget.remaining(SINCE + 110.0)
    assert budget.took > 0
