"""Healthy tenants beside others in trouble: what the others suffer costs them nothing."""

from __future__ import annotations

import pytest

from bulkstreams.core.pacing import Ceiling
from tests.engine.fakes import LOST, NOT_SENT
from tests.engine.many import Many

RATE = 20.0
RECORDS = 200
IN_TROUBLE = ("dead", "throttling", "refusing", "erring")
WELL = [f"well-{number:02}" for number in range(20)]


@pytest.mark.parametrize("seats", [24, 8])
@pytest.mark.parametrize("surveyed", [True, False])
def test_twenty_lanes_beside_four_in_trouble_end_as_one_alone_would(seats: int, surveyed: bool) -> None:
    """The input is sorted, those in trouble first; where seats are short the healthy ones still share them all."""
    many = Many(dict.fromkeys([*IN_TROUBLE, *WELL], RECORDS), seats=seats, surveyed=surveyed)
    many.ceiling = Ceiling(rate=RATE, burst=1)
    many.servers["dead"].script = lambda _name, _n: NOT_SENT
    many.servers["dead"].page_script = lambda _n: NOT_SENT
    many.servers["erring"].script = lambda _name, _n: LOST
    many.servers["erring"].page_script = lambda _n: 503
    throttling = many.servers["throttling"]
    throttling.script = lambda _name, _n: throttling.reply(429, {})
    throttling.page_script = lambda _n: 429
    many.servers["refusing"].script = lambda _name, _n: 401
    many.servers["refusing"].page_script = lambda _n: 401
    engine = many.run(deadline_s=600.0)
    assert all(many.ledger.counts_of(tenant) == {"created": RECORDS} for tenant in WELL)
    ideal = (RECORDS + (not surveyed)) / RATE  # a look-up takes a turn at the ceiling, too
    ended = max(at for tenant in WELL for at, _ in many.servers[tenant].creates)
    rounds = -(-len(WELL) // seats)  # with a seat for each lane they all go at once
    assert ended <= 1.1 * ideal * rounds + (0.0 if seats > len(WELL) else 3.0)
    assert set(engine.reasons) == set(IN_TROUBLE)
    assert many.stopped_early == ["refusing"]  # told at once; the others are tried until the deadline
    asked = {tenant: len(many.servers[tenant].creates) + len(many.servers[tenant].pages) for tenant in IN_TROUBLE}
    assert max(asked.values()) < 120, asked
