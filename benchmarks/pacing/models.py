"""Models of servers in virtual time: a budget, a clock of its own, what its headers say of both, and its latency.

All chance comes from the model's own seed. Instants `now` are seconds since the client came, of a clock that is right.
A model must never wait, nor see more of a client than that it asks.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from email.utils import formatdate
from functools import lru_cache
from random import Random
from typing import Final, NamedTuple

from benchmarks.pacing.budgets import Budget, Neighbour

EPOCH: Final = 1_800_000_000
"""The epoch second of the minute in which the client comes; a whole minute."""


class Answer(NamedTuple):
    """What the server does with one request; `remaining` is what is truly left."""

    granted: bool
    remaining: int
    headers: dict[str, str]


class Told(NamedTuple):
    """What the headers of one reply are made of; `reset` and `date` are epoch seconds of the server's clock."""

    granted: bool
    limit: int
    remaining: int
    reset: int
    date: int


Telling = Callable[[Told, Random], dict[str, str]]
"""Makes the headers of one reply."""

Travel = Callable[[float, Random], tuple[float, float]]
"""Tells how long a request that leaves now is on its way to the server's decision, and its reply on the way back (s).

An infinite way there: it never arrives, nor does any reply.
"""


class Server:
    """One server. `phase` is the server's second within its minute when the client comes."""

    def __init__(
        self,
        budget: Callable[[float, Random], Budget],
        *,
        seed: int,
        telling: Telling | None = None,
        travel: Travel | None = None,
        ahead: int = 0,
        drift: float = 0.0,
    ) -> None:
        """`budget` is made from the instant at which the client comes and a source of chance; `ahead`: seconds."""
        self._draws = Random(f"server {seed}")
        self.phase = self._draws.random() * 60.0
        self._budget = budget(self.phase, Random(f"budget {seed}"))
        self._pace = 1.0 + drift
        self._telling = telling or plain
        self._travel = travel or steady(0.030)
        self._epoch = EPOCH + ahead

    def wall(self, now: float) -> float:
        """Return the epoch seconds of a clock that is right."""
        return EPOCH + self.phase + now

    def travel(self, now: float) -> tuple[float, float]:
        """Return the seconds there and back of a request that leaves now."""
        return self._travel(now, self._draws)

    def ask(self, now: float) -> Answer:
        """Decide on a request that arrives now."""
        at, budget = self.phase + now * self._pace, self._budget
        granted = budget.take(at)
        remaining = budget.remaining(at)
        told = Told(
            granted,
            budget.limit,
            remaining,
            self._epoch + math.ceil(budget.more_at(at)),
            self._epoch + math.floor(at),
        )
        return Answer(granted, remaining, self._telling(told, self._draws))

    def grantable(self, now: float) -> float:
        """Return what it would have granted by now to a client that always had a request waiting."""
        return self._budget.grantable(self.phase + now * self._pace)

    def neighbour_got(self) -> float | None:
        """Return the share of what a neighbour wanted that it got so far; None where there is no neighbour."""
        budget = self._budget
        return budget.took / budget.wanted if isinstance(budget, Neighbour) and budget.wanted else None


# -- what headers say ---------------------------------------------------------------------------------------------


def plain(told: Told, draws: Random) -> dict[str, str]:
    """Tell what there is."""
    return {
        "x-ratelimit-limit": str(told.limit),
        "x-ratelimit-remaining": str(told.remaining),
        "x-ratelimit-reset": str(told.reset),
        "date": _date(told.date),
    }


def with_retry_after(told: Told, draws: Random) -> dict[str, str]:
    """Tell what there is, and after a refusal how many whole seconds to wait."""
    headers = plain(told, draws)
    if not told.granted:
        headers["retry-after"] = str(max(1, told.reset - told.date))
    return headers


def silent(told: Told, draws: Random) -> dict[str, str]:
    """Tell nothing but the time."""
    return {"date": _date(told.date)}


def at_times(telling: Telling, share: float, otherwise: Telling = plain) -> Telling:
    """Use `telling` for that share of the replies, at random."""
    return lambda told, draws: (telling if draws.random() < share else otherwise)(told, draws)


def wrong(told: Told, draws: Random) -> dict[str, str]:
    """Tell what cannot be: no limit at all, a reset of an hour ago or in a year, less than nothing, no number."""
    headers = plain(told, draws)
    headers.update(
        draws.choice(
            (
                {"x-ratelimit-limit": "0"},
                {"x-ratelimit-reset": str(told.date - 3600)},
                {"x-ratelimit-reset": str(told.date + 365 * 86_400)},
                {"x-ratelimit-reset": str(told.reset * 1000)},
                {"x-ratelimit-remaining": "-1"},
                {"x-ratelimit-remaining": "many", "x-ratelimit-reset": ""},
                {"x-ratelimit-limit": "-20", "x-ratelimit-remaining": "-5", "x-ratelimit-reset": "-1"},
                {"date": "yesterday"},
            )
        )
    )
    return headers


def negative(told: Told, draws: Random) -> dict[str, str]:
    """Tell -1 wherever a number of tokens belongs, always."""
    return {**plain(told, draws), "x-ratelimit-limit": "-1", "x-ratelimit-remaining": "-1"}


@lru_cache(maxsize=64)
def _date(epoch: int) -> str:
    return formatdate(epoch, usegmt=True)


# -- latency ------------------------------------------------------------------------------------------------------


def steady(seconds: float, jitter: float = 0.1) -> Travel:
    """Return a latency that varies by `jitter` of itself, half of it on the way there."""

    def travel(now: float, draws: Random) -> tuple[float, float]:
        whole = seconds * (1.0 + jitter * (2.0 * draws.random() - 1.0))
        return whole * 0.5, whole * 0.5

    return travel


def between(start: float, end: float, inside: Travel, outside: Travel) -> Travel:
    """Return a latency that is another one from `start` to `end`."""
    return lambda now, draws: (inside if start <= now < end else outside)(now, draws)


def stalled(start: float, end: float, outside: Travel) -> Travel:
    """Return a latency by which nothing is answered from `start` to `end`; what was decided waits until then."""

    def travel(now: float, draws: Random) -> tuple[float, float]:
        there, back = outside(now, draws)
        return there, back + max(0.0, end - now) if start <= now + there < end else back

    return travel


def vanishing(now: float, draws: Random) -> tuple[float, float]:
    """Never arrive."""
    return math.inf, math.inf
