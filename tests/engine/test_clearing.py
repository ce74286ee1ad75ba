"""Doubts are cleared by looking, and by nothing else: whatever is found, no create is sent."""

from __future__ import annotations

import pytest

from bulkstreams.engine.clearing import LookingUp
from bulkstreams.engine.lane import Lane
from bulkstreams.model import Claim
from tests.engine.fakes import NOON, Rig, webhook, webhooks


class LookingRig(Rig):
    """A lane that only clears doubts."""

    def _creating(self, lane: Lane) -> LookingUp:
        def nothing(_claim: Claim) -> bytes:
            raise AssertionError("nothing may be sent")

        return LookingUp(lane, self.ledger, nothing, compares=False)  # type: ignore[arg-type]


def test_what_is_there_is_ours_and_what_is_absent_is_not_sent_again() -> None:
    """Two of four doubts were applied: these are created, the others pending, and nothing was asked but the list."""
    rig = LookingRig(webhooks(6), retries=0)
    for id_ in (1, 2, 3, 4):
        rig.ledger.leave_in_doubt(id_, sent_at=NOON)
    for name in ("s0", "s2"):
        rig.client.add(webhook(name), at=NOON + 0.1)
    rig.run()
    assert rig.client.creates == []
    assert {id_: str(state) for id_, state in rig.ledger.state.items()} == {
        1: "created", 2: "pending", 3: "created", 4: "pending", 5: "pending", 6: "pending",
    }  # fmt: skip
    assert rig.lane.finished
    assert rig.lane.stopped is None


@pytest.mark.parametrize("told", [401, 403, 503])
def test_where_the_tenant_does_not_show_its_streams_doubts_stay(told: int) -> None:
    """Nothing is taken for absent that could not be looked for."""
    rig = LookingRig(webhooks(2), retries=0)
    rig.ledger.leave_in_doubt(1, sent_at=NOON)
    rig.client.page_script = lambda _n: told
    rig.run()
    assert rig.ledger.counts() == {"in_doubt": 1, "pending": 1}
    assert rig.client.creates == []
    assert rig.lane.stopped is not None


def test_a_stream_behind_a_409_is_ours_if_it_was_made_since() -> None:
    """Such a doubt says since when it may be: what is found is created, so that `undo` deletes it."""
    rig = LookingRig(webhooks(2), retries=0)
    for id_ in (1, 2):
        rig.ledger.leave_in_doubt(id_, sent_at=NOON, name_taken=True)
        rig.ledger.ours_since[id_] = NOON
    rig.client.add(webhook("s0"), at=NOON + 0.1)
    rig.run()
    assert {id_: str(state) for id_, state in rig.ledger.state.items()} == {1: "created", 2: "pending"}
    assert rig.client.creates == []
