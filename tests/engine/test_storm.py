"""Everything at once, drawn at random: 429s, outages, losses, hung requests, dead tokens, seats, stops and deaths."""

from __future__ import annotations

import random
from collections import Counter

import anyio
import pytest

from bulkstreams.engine.lane import Lane
from bulkstreams.model import State
from tests.engine.fakes import in_told_time
from tests.engine.storm import SETTLE_S, Storm

LIVES = 3
"""Processes that come one after the other in a storm; one more comes when it is over."""

LONGEST_S = 20_000.0
"""Told seconds within which any life is over."""

ENDS = {State.CREATED, State.EXHAUSTED, State.INVALID}
OPEN = {State.PENDING, State.IN_DOUBT}


async def weather_all(storm: Storm, seed: int) -> None:
    """Live through a storm, look at the books after each life, and finish in fair weather."""
    draw = random.Random(-seed)
    for _ in range(LIVES):
        stop_at = draw.choice([None, None, draw.expovariate(0.1), draw.expovariate(0.02)])
        cut_at = draw.choice([None, None, None, draw.expovariate(0.1)])
        await one_life(storm, stop_at=stop_at, cut_at=cut_at, survey=draw.random() < 0.5)
    storm.weather.blows, storm.retries = False, 5
    await one_life(storm, stop_at=None, cut_at=None, survey=True)
    unusable = storm.ledger.unusable()
    for id_, state in storm.ledger.state.items():
        assert state is (State.INVALID if id_ in unusable else State.CREATED)


async def one_life(storm: Storm, *, stop_at: float | None, cut_at: float | None, survey: bool) -> None:
    """Live once, and compare the ledger with the lane that wrote it and with the tenant."""
    asked = requests(storm)
    with anyio.fail_after(LONGEST_S):
        lane = await storm.live(stop_at=stop_at, cut_at=cut_at, survey=survey)
    await anyio.sleep(SETTLE_S)
    assert requests(storm) - asked < 3_000
    if lane.finished:
        compare_with_the_lane(storm, lane)
    compare_with_the_tenant(storm)


def requests(storm: Storm) -> int:
    """Return how many requests the tenant has had."""
    return len(storm.server.creates) + len(storm.server.pages) + len(storm.server.asked_actions)


def compare_with_the_lane(storm: Storm, lane: Lane) -> None:
    """What a lane says that it left is what the ledger shows; one that was not stopped left nothing."""
    counts = Counter(storm.ledger.state.values())
    assert set(counts) <= ENDS | OPEN
    assert lane.left() == counts[State.PENDING] + counts[State.IN_DOUBT]
    assert lane.stopped is not None or set(counts) <= ENDS


def compare_with_the_tenant(storm: Storm) -> None:
    """Nothing is there twice; what was created is there, and what was given up is not."""
    there = Counter(one["name"] for one in storm.server.streams)
    assert max(there.values(), default=0) <= 1
    for id_, state in storm.ledger.state.items():
        if state in ENDS:
            assert there[storm.ledger.definitions[id_]["name"]] == (state is State.CREATED)


@pytest.mark.parametrize("tens", range(20))
def test_whatever_comes_together_each_record_is_created_once_and_every_run_ends(tens: int) -> None:
    """However seats, pauses, outages and deaths fall together, nothing is lost, sent twice, leaked or waited for ever.

    The fakes end a test in which everybody waits for ever, or nobody ever waits.
    """
    for seed in range(10 * tens, 10 * tens + 10):
        storm = Storm(seed)
        in_told_time(lambda storm=storm, seed=seed: weather_all(storm, seed))
