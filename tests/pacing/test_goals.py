"""The goals of ours in virtual time, by the policy that `bulkstreams run` has, against models of servers."""

from __future__ import annotations

import pytest

from benchmarks.pacing.__main__ import play
from benchmarks.pacing.crowd import spread
from benchmarks.pacing.models import Server
from benchmarks.pacing.policies import CONCURRENCY, OURS
from benchmarks.pacing.servers import MORE, TABLE, USUAL, Row
from benchmarks.pacing.simulator import simulate
from bulkstreams.core.pacing import Pacer

SECONDS = 300.0


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("row", TABLE, ids=lambda row: row.name)
def test_ours_uses_what_there_is_and_is_hardly_refused(row: Row, seed: int) -> None:
    """Each row of the table: enough used of what the server would have granted, few 429, and no record lost."""
    assert row.goal is not None
    result = play(row, OURS, seconds=SECONDS, seed=seed)
    assert result.complete
    assert result.given_up == 0
    assert result.used >= row.goal.used
    assert result.refused_share <= row.goal.refused


def test_an_hour_of_traffic_ends_as_well_as_minutes() -> None:
    """An hour against a hidden second bucket: what was learnt is kept, probing stays cheap."""
    row = TABLE[1]
    assert row.goal is not None
    result = play(row, OURS, seconds=3600.0, seed=1)
    assert result.complete
    assert result.used >= row.goal.used
    assert result.refused_share <= row.goal.refused


def test_a_server_that_always_refuses_is_asked_ever_more_seldom() -> None:
    """Ten minutes of nothing but 429 are a few dozen requests, one at a time, never a hot loop."""
    result = play(MORE[-1], OURS, seconds=SECONDS, seed=1)
    assert not result.complete
    assert result.highest_in_flight == 1
    assert 3 <= result.refused <= 120


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("reserve", [0.1, 0.4, 0.9])
def test_a_reserve_is_left_to_others(reserve: float, seed: int) -> None:
    """Of a bucket that shows, never less than the reserve is left; the work is done all the same."""
    server = Server(USUAL, seed=seed)
    result = simulate(
        server, Pacer(reserve=reserve, concurrency=CONCURRENCY), records=3000, concurrency=CONCURRENCY, seed=seed
    )
    assert result.complete
    assert result.lowest_remaining is not None
    assert result.lowest_remaining >= int(20 * reserve)


def test_a_crowd_of_tenants_is_served_well_to_the_last() -> None:
    """Of 150 tenants of all plans each uses at least half of its budget in a first minute, and most nearly all."""
    one = spread(150, seconds=60.0, seed=1)
    assert one.least_used >= 0.5
    assert one.median_used >= 0.95
    assert one.median_refused <= 0.005
    assert one.most_refused <= 0.06
