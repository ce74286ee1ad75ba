"""The work of `run`: creating the pending records of one tenant, each exactly once.

Before the first create a look-up tells what is there (`survey`); attempts are `attempts`' affair, and what is in doubt
waits for a look-up (`reconcile`). This module must never decide anything itself: it only puts the three together.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from bulkstreams.engine.attempts import Attempts
from bulkstreams.engine.reconcile import Reconciler
from bulkstreams.engine.survey import Survey
from bulkstreams.ledger import Ledger
from bulkstreams.model import Claim, Event

if TYPE_CHECKING:
    from bulkstreams.engine.lane import Lane


class Creating:
    """The creates of one lane. `prepare` gives the body of a claim; `compares`: it wants the digests of claims.

    `set_status` is what that body gives every stream in place of its line's status; None: nothing.
    """

    scopes = "the scopes create:event_streams and read:event_streams"

    def __init__(
        self,
        lane: Lane,
        ledger: Ledger,
        prepare: Callable[[Claim], bytes],
        *,
        compares: bool,
        set_status: str | None = None,
    ) -> None:
        self._lane = lane
        self._ledger = ledger
        self._compares = compares
        self._set_status = set_status
        self._survey: Survey | None = None
        self.doubts = Reconciler(lane, ledger)
        self.attempts = Attempts(lane, self.doubts, prepare)
        self.prepare, self.send = self.attempts.prepare, self.attempts.send

    def expect(self, *, in_doubt: int = 0, survey: bool = False) -> None:
        """Take in, before the lane runs, how many records are in doubt, and whether to look first what is there."""
        self._survey = Survey(self._lane, self._ledger, self._set_status) if survey else None
        if in_doubt:
            self.doubts.expect(in_doubt)

    @property
    def looks_first(self) -> bool:
        """Return whether what stands at the tenant has to be looked up, still."""
        return self._survey is not None

    @property
    def is_over(self) -> bool:
        """Return whether the survey ended short of its end, since the tenant cannot be reached."""
        return self._survey is not None and self._survey.is_over

    async def look_first(self) -> bool:
        """Look what is there, but first whose it is: a stream that a doubt is about is no other record's."""
        lane, survey = self._lane, self._survey
        while self.doubts.busy:
            await lane.change()
        if survey is None or not (lane.going and await survey.run()):
            return False
        self._survey = None
        return True

    async def claim(self, count: int, server_now: float | None) -> list[Claim]:
        """Claim records: whatever is made at the tenant from `server_now` on may be their work."""
        lane = self._lane
        return await self._ledger.claim(
            lane.tenant, count, lane.tools.clock.wall(), server_now=server_now, digests=self._compares,
            status=self._set_status,
        )  # fmt: skip

    def release(self, claim: Claim) -> None:
        """Have a record pending again that was not sent."""
        self.attempts.settle(claim, Event.NOT_APPLIED, attempts=claim.attempts)

    def give_up(self, claim: Claim, reason: str) -> None:
        """Exhaust a record: the tenant is known not to have it."""
        self.attempts.give_up(claim._replace(attempts=self._lane.settings.retries), reason)
