"""The servers of the table: each a model by name, with the goals that ours has there, and those beside the table.

Where nothing else is said a server has 20 requests at once and 50 a second, whole headers, a right clock and 30 ms.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any, Final, NamedTuple

from benchmarks.pacing.budgets import Bucket, Budget, Income, Nothing, Stacked, Tops, Trickle, in_bursts, one_by_one
from benchmarks.pacing.models import (
    Server,
    Telling,
    at_times,
    between,
    negative,
    silent,
    stalled,
    steady,
    vanishing,
    with_retry_after,
    wrong,
)

Make = Callable[[float, Random], Budget]


class Goal(NamedTuple):
    """The least share used of what the server would have granted, and the largest share of 429."""

    used: float
    refused: float


class Row(NamedTuple):
    """A server by name: how to make one from a seed, and the goal of ours there, where there is one."""

    name: str
    make: Callable[[int], Server]
    goal: Goal | None = None


def bucket(burst: int, rate: float) -> Make:
    """Return a bucket that is refilled all the time."""
    return lambda since, draws: Bucket(Trickle(rate), burst, since)


def filled(burst: int, income: Income) -> Make:
    """Return a bucket with an income of another kind."""
    return lambda since, draws: Bucket(income, burst, since)


def stacked(shown: tuple[int, float], hidden: tuple[int, Income]) -> Make:
    """Return two buckets, each by (burst, rate or income), of which the second does not show."""
    return lambda since, draws: Stacked(Bucket(Trickle(shown[1]), shown[0], since), Bucket(hidden[1], hidden[0], since))


def one_by_one_beside(burst: int, rate: float, taken: float) -> Make:
    """Return a bucket whose neighbour asks `taken` times a second."""
    return lambda since, draws: one_by_one(Bucket(Trickle(rate), burst, since), taken, since, draws)


def in_bursts_beside(burst: int, rate: float, taken: float, every: float | None = None) -> Make:
    """Return a bucket whose neighbour grabs up to half of it at once; `every`: it comes and goes after so long."""

    def there(at: float) -> bool:
        return every is None or at // every % 2 == 1

    return lambda since, draws: in_bursts(Bucket(Trickle(rate), burst, since), taken, since, draws, there=there)


USUAL: Final = bucket(20, 50.0)
VISIBLE: Final = Goal(0.98, 0.005)
NEIGHBOUR: Final = Goal(0.90, 0.03)


def _row(name: str, budget: Make, goal: Goal | None = None, **more: Any) -> Row:
    return Row(name, lambda seed: Server(budget, seed=seed, **more), goal)


def _usual(name: str, telling: Telling) -> Row:
    return _row(name, USUAL, telling=telling)


TABLE: Final = (
    _row("visible bucket, 20 at once, 50/s", USUAL, VISIBLE),
    _row(
        "hidden second bucket: 40 at once 40/s; 150 at once 20/s",
        stacked((40, 40.0), (150, Trickle(20.0))),
        Goal(0.93, 0.03),
    ),
    _row("fixed windows of a second, 50 each", filled(50, Tops(50)), Goal(0.95, 0.01)),
    _row("no headers at all", USUAL, Goal(0.88, 0.06), telling=silent),
    _row("server clock 90 s behind", USUAL, VISIBLE, ahead=-90),
    _row("server clock 90 s ahead", USUAL, VISIBLE, ahead=90),
    _row("neighbour takes half, one by one", one_by_one_beside(20, 50.0, 25.0), NEIGHBOUR),
    _row("neighbour takes half, in bursts", in_bursts_beside(20, 50.0, 25.0), NEIGHBOUR),
)
"""The rows of the table, with their goals."""

PLANS: Final = (
    ("Free", 40, bucket(2, 2.0)),
    ("self-service", 30, bucket(10, 2.5)),
    ("Enterprise non-production", 15, bucket(10, 2.0)),
    ("Enterprise", 10, bucket(50, 16.0)),
    ("Private Cloud dev", 4, bucket(20, 20.0)),
    ("Private Cloud 100", 1, bucket(50, 100.0)),
)
"""Auth0's published limits (burst, rate), and of a hundred tenants how many have each in the crowd."""

MORE: Final = (
    *(_row(f"plan {name}", make) for name, _, make in PLANS),
    _row("fixed windows of a minute, 600 each", filled(600, Tops(600, 60.0))),
    _row("50 at once, 16 more at the top of each second", filled(50, Tops(16))),
    _row("hidden: 50 at once 50/s; 50 at once 16/s", stacked((50, 50.0), (50, Trickle(16.0)))),
    _row("hidden: 10 at once 10/s; 150 at once 150/min", stacked((10, 10.0), (150, Trickle(2.5)))),
    _row("hidden one falls from 30/s to 10/s after 100 s", stacked((40, 40.0), (40, Trickle(30.0, (100.0, 10.0))))),
    _row("hidden one rises from 10/s to 30/s after 100 s", stacked((40, 40.0), (40, Trickle(10.0, (100.0, 30.0))))),
    _row("neighbour in bursts comes and goes each 40 s", in_bursts_beside(20, 50.0, 25.0, every=40.0)),
    _row("server clock drifts 100 ppm", USUAL, drift=1e-4),
    _row("server clock drifts 2 %", USUAL, drift=0.02),
    _row("server clock drifts -2 %", USUAL, drift=-0.02),
    _usual("Retry-After on each 429", with_retry_after),
    _usual("headers missing on 30 % of replies", at_times(silent, 0.3)),
    _usual("headers wrong on 10 % of replies", at_times(wrong, 0.1)),
    _usual("headers wrong on all replies", wrong),
    _usual("headers negative on all replies", negative),
    _row("no headers, hidden 40 at once 20/s", bucket(40, 20.0), telling=silent),
    _row("latency 30 ms, 2 s from 60 to 120 s, 30 ms", USUAL, travel=between(60.0, 120.0, steady(2.0), steady(0.03))),
    _row("latency 300 ms", USUAL, travel=steady(0.3)),
    _row("stalls from 60 to 75 s", USUAL, travel=stalled(60.0, 75.0, steady(0.03))),
    _row("swallows requests from 60 to 75 s", USUAL, travel=between(60.0, 75.0, vanishing, steady(0.03))),
    Row("always 429", lambda seed: Server(lambda since, draws: Nothing(), seed=seed)),
)
"""What a tenant can also be like: shown without a goal."""
