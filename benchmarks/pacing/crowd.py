"""Many tenants of all plans, each with a policy and a server of its own: the spread of what they come to.

Lanes share nothing but the process, so one after the other in virtual time says the same as all at once.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from random import Random
from statistics import median
from typing import Final, NamedTuple

from benchmarks.pacing.models import Server
from benchmarks.pacing.policies import OURS
from benchmarks.pacing.servers import PLANS, Make
from benchmarks.pacing.simulator import Result, simulate

CLOCKS: Final = (-90, -1, 0, 0, 0, 1, 90)
"""How far ahead the tenants' clocks are (s)."""


class Spread(NamedTuple):
    """What a crowd came to; `hours`: of traffic, all tenants together."""

    requests: int
    hours: float
    least_used: float
    median_used: float
    most_refused: float
    median_refused: float


def tenants(count: int, seed: int) -> Iterator[tuple[int, Make, int]]:
    """Give so many tenants, each as its seed, its budget and how far its clock is ahead."""
    draws = Random(f"crowd {seed}")
    plans, weights = [make for _, _, make in PLANS], [weight for _, weight, _ in PLANS]
    for number in range(count):
        yield seed * 1_000_003 + number, draws.choices(plans, weights)[0], draws.choice(CLOCKS)


def play(budget: Make, ahead: int, *, seconds: float, seed: int) -> Result:
    """Send what one tenant's server would have granted in so many seconds."""
    server = Server(budget, seed=seed, ahead=ahead)
    return simulate(
        server,
        OURS.make(server.wall),
        records=max(1, math.floor(server.grantable(seconds))),
        concurrency=OURS.concurrency,
        seed=seed,
        deadline=seconds * 40,
    )


def spread(count: int, *, seconds: float, seed: int) -> Spread:
    """Play so many tenants, and tell their spread."""
    results = [play(budget, ahead, seconds=seconds, seed=own) for own, budget, ahead in tenants(count, seed)]
    used = [one.used for one in results]
    refused = [one.refused_share for one in results]
    return Spread(
        requests=sum(one.requests for one in results),
        hours=sum(one.duration for one in results) / 3600.0,
        least_used=min(used),
        median_used=median(used),
        most_refused=max(refused),
        median_refused=median(refused),
    )
