"""The models and the sandbox agree, though neither knows the other."""

from __future__ import annotations

from random import Random

import pytest

from benchmarks.pacing.budgets import Bucket, Stacked, Tops, Trickle
from benchmarks.pacing.models import Server
from benchmarks.pacing.servers import Make
from bulkstreams.sandbox.limits import limits_of
from bulkstreams.sandbox.settings import SandboxSettings


def stacked(since: float, draws: Random) -> Stacked:
    """Make the second row's two buckets."""
    return Stacked(Bucket(Trickle(40.0), 40, since), Bucket(Trickle(20.0), 150, since))


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(
    ("make", "settings"),
    [
        (lambda since, draws: Bucket(Trickle(50.0), 20, since), SandboxSettings(rate=50.0, burst=20)),
        (lambda since, draws: Bucket(Trickle(2.0), 2, since), SandboxSettings(rate=2.0, burst=2)),
        (lambda since, draws: Bucket(Tops(16), 50, since), SandboxSettings(rate=16.0, burst=50, refill="window")),
        (stacked, SandboxSettings(rate=40.0, burst=40, unseen_rate=20.0, unseen_burst=150)),
    ],
    ids=["bucket", "slow bucket", "windows", "stacked"],
)
def test_a_model_grants_and_tells_what_the_sandbox_does(make: Make, settings: SandboxSettings, seed: int) -> None:
    """Request by request, the model and the sandbox's own limits grant, refuse and tell the same."""
    server = Server(make, seed=seed)
    limits = limits_of(settings, server.wall(0.0))
    assert limits is not None
    draws, now = Random(seed), 0.0
    for _ in range(2000):
        now += draws.expovariate((settings.rate or 0) * 1.2)
        answer, grant = server.ask(now), limits.take(server.wall(now))
        told = [int(answer.headers[f"x-ratelimit-{name}"]) for name in ("limit", "remaining", "reset")]
        assert (answer.granted, *told) == grant[:4]
