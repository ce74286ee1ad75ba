"""The contenders follow their published rules."""

from __future__ import annotations

import math
from email.utils import formatdate
from random import Random

import pytest

from benchmarks.pacing.budgets import Bucket, Trickle
from benchmarks.pacing.models import Server
from benchmarks.pacing.policies import BackOff, Constant, OfficialClient
from benchmarks.pacing.simulator import simulate

EPOCH = 1_800_000_000
DRAWS = (0.0, 0.25, 0.5, 0.999)


def wall(now: float) -> float:
    """Return the client's own clock."""
    return EPOCH + now


def test_constant_starts_eight_in_any_second() -> None:
    """No second, wherever it begins, has more than eight starts; after it there is no debt."""
    policy, now, starts = Constant(), 0.0, []
    draws = Random(1)
    for _ in range(400):
        now += policy.wait(0, now) + draws.random() * 0.05
        if policy.wait(0, now) == 0.0:
            policy.take(now)
            starts.append(now)
    assert all(later - first >= 1.0 for first, later in zip(starts, starts[8:], strict=False))
    assert len(starts) > 7 * (now - 1.0)


def test_constant_backs_off_from_one_to_thirty_seconds_and_then_gives_up() -> None:
    """Its delays double from 1 s to 30 s with up to a second more; after thirteen of them the record is given up."""
    policy = Constant()
    for draw in DRAWS:
        delays = [policy.again(tries, {}, 0.0, draw) for tries in range(1, 14)]
        assert delays == [min(30.0, 2.0**n) + draw for n in range(13)]
        assert policy.again(14, {}, 0.0, draw) is None


def test_backing_off_alone_never_gives_up_and_ignores_headers() -> None:
    """Its delays double from 1 s to a minute, half as much more or less, whatever the server says."""
    policy = BackOff()
    headers = {"retry-after": "100", "x-ratelimit-reset": str(EPOCH + 100)}
    for tries in (1, 2, 3, 6, 7, 50, 5000):
        middle = min(60.0, 2.0 ** min(tries - 1, 20))
        delays = [policy.again(tries, headers, 0.0, draw) for draw in DRAWS]
        assert all(delay is not None and middle / 2 <= delay < middle * 1.5 for delay in delays)


@pytest.mark.parametrize(
    ("headers", "least", "most"),
    [
        ({"retry-after": "7"}, 7.0, 7.0),
        ({"retry-after": "7", "x-ratelimit-reset": str(EPOCH + 99)}, 7.0, 7.0),
        ({"retry-after": "600"}, 60.0, 60.0),
        ({"retry-after": formatdate(EPOCH + 20, usegmt=True)}, 10.0, 10.0),
        ({"retry-after": "0", "x-ratelimit-reset": str(EPOCH + 15)}, 5.0, 6.0),
        ({"x-ratelimit-reset": str(EPOCH + 15)}, 5.0, 6.0),
        ({"x-ratelimit-reset": str(EPOCH + 3600)}, 60.0, 72.0),
        ({"x-ratelimit-reset": str(EPOCH + 10)}, 1.8, 2.2),
        ({"x-ratelimit-reset": "soon"}, 1.8, 2.2),
        ({}, 1.8, 2.2),
    ],
)
def test_the_official_client_waits_by_its_rule(headers: dict[str, str], least: float, most: float) -> None:
    """Retry-After, else the reset by its own clock and a fifth more, else 1 s doubled and a tenth more or less."""
    policy = OfficialClient(wall)
    delays = [policy.again(2, headers, 10.0, draw) for draw in DRAWS]
    assert all(delay is not None and least <= delay <= most for delay in delays)
    assert (least == most) == (len(set(delays)) == 1)
    assert policy.again(3, headers, 10.0, 0.5) is None


def test_the_official_client_s_rule_is_the_one_that_it_has() -> None:
    """The delays are those of the installed client's own function, over headers of all kinds."""
    http_client = pytest.importorskip("auth0.management.core.http_client")
    httpx = pytest.importorskip("httpx")
    policy = OfficialClient(wall)
    for headers in ({"retry-after": "7"}, {"retry-after": "600"}, {}, {"x-ratelimit-reset": "soon"}):
        theirs = {http_client._retry_timeout(httpx.Response(429, headers=headers), retries=1) for _ in range(200)}
        ours = [policy.again(2, headers, 10.0, draw / 200) for draw in range(200)]
        assert min(theirs) == pytest.approx(min(one or math.nan for one in ours), rel=0.02)
        assert max(theirs) == pytest.approx(max(one or math.nan for one in ours), rel=0.02)


def test_the_official_client_loses_what_was_refused_three_times() -> None:
    """A burst on a slow bucket is refused, refused again, and given up, each record for itself."""
    server = Server(lambda since, draws: Bucket(Trickle(0.0001), 10, since), seed=1)
    result = simulate(server, OfficialClient(server.wall), records=30, concurrency=32)
    assert (result.granted, result.given_up) == (10, 20)
    assert result.refused == 60
