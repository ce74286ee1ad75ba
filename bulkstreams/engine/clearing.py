"""The work of a lane that only clears doubts: what was lost is looked up, and nothing is sent, whatever is found.

This module must never claim a record: what a look-up shows to be absent stays pending, for nobody to send.
"""

from __future__ import annotations

from bulkstreams.client import Client
from bulkstreams.engine.creating import Creating
from bulkstreams.engine.fleet import Fleet, LanePlan
from bulkstreams.engine.lane import Lane
from bulkstreams.ledger import Ledger
from bulkstreams.model import Claim, TenantName


class LookingUp(Creating):
    """The doubts of `run`, without its creates."""

    async def claim(self, count: int, server_now: float | None) -> list[Claim]:
        """Claim nothing."""
        return []


def _nothing(_claim: Claim) -> bytes:
    raise AssertionError("nothing is claimed here, so nothing is sent")


async def clear_doubts(fleet: Fleet, ledger: Ledger, tenant: TenantName, doubts: int) -> None:
    """Look up the records of a tenant that are in doubt; those that cannot be judged stay so (`Fleet.reasons`)."""

    async def open_lane(name: TenantName, plan: LanePlan, client: Client) -> Lane:
        def looking(lane: Lane) -> LookingUp:
            work = LookingUp(lane, ledger, _nothing, compares=False)
            work.expect(in_doubt=doubts)
            return work

        lane = fleet.lane(name, plan, client, looking)
        lane.expect(0)
        return lane

    await fleet.run({tenant: (0, doubts)}, open_lane)
