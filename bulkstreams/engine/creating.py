"""The work of `run`: creating the pending records of one tenant, each exactly once.

Where lines name actions, these are looked up first (`referring`). Before the first create a look-up tells what is there
(`survey`); attempts are `attempts`' affair, and what is in doubt waits for a look-up (`reconcile`). This module must
never decide anything itself: it only puts the four together.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from bulkstreams.engine.attempts import Attempts
from bulkstreams.engine.reconcile import Reconciler
from bulkstreams.engine.survey import Survey
from bulkstreams.ledger import Ledger
from bulkstreams.model import Claim, Event
from bulkstreams.schema import Page

if TYPE_CHECKING:
    from bulkstreams.engine.lane import Lane
    from bulkstreams.engine.referring import Referring


class Creating:
    """The creates of one lane. `prepare` gives the body of a claim; `compares`: it wants the digests of claims.

    `set_status` is what that body gives every stream in place of its line's status; None: nothing. `referring` is None
    where no line of the tenant names an action.
    """

    scopes = "the scopes create:event_streams and read:event_streams"
    requests_each = 1.0
    first_look = "looking up what is there already"

    def __init__(
        self,
        lane: Lane,
        ledger: Ledger,
        prepare: Callable[[Claim], bytes],
        *,
        compares: bool,
        referring: Referring | None = None,
        set_status: str | None = None,
    ) -> None:
        self._lane = lane
        self._ledger = ledger
        self._compares = compares
        self._referring = referring
        self._is_checked = referring is None
        self._set_status = set_status
        self._survey: Survey | None = None
        self.doubts = Reconciler(lane, ledger, referring)
        self.attempts = Attempts(lane, self.doubts, prepare)
        self.prepare, self.send = self.attempts.prepare, self.attempts.send

    def expect(
        self, *, in_doubt: int = 0, survey: bool = False, also: Callable[[Page], Awaitable[None]] | None = None
    ) -> None:
        """Take in, before the lane runs, how many records are in doubt, and whether to look first what is there.

        Whoever wants them `also` has the pages of that look.
        """
        actions = None if self._referring is None else self._referring.names
        self._survey = Survey(self._lane, self._ledger, self._set_status, actions, also) if survey else None
        if in_doubt:
            self.doubts.expect(in_doubt)

    @property
    def looks_first(self) -> bool:
        """Return whether what stands at the tenant has to be looked up, still."""
        return self._survey is not None or not self._is_checked

    @property
    def is_over(self) -> bool:
        """Return whether a look-up ended short of its end, since the tenant cannot be reached."""
        referring, survey = self._referring, self._survey
        return (referring is not None and referring.is_over) or (survey is not None and survey.is_over)

    async def look_first(self) -> bool:
        """Look what is there, but first whose it is: a stream that a doubt is about is no other record's.

        And before that, which actions the lines mean: a doubt is about the stream of one.
        """
        lane, referring = self._lane, self._referring
        if referring is not None and not await referring.look_up():
            return False
        while self.doubts.busy:
            await lane.change()
        if not lane.going:
            return False
        if referring is not None and not self._is_checked:
            self._is_checked = await referring.check()
        return self._is_checked and await self._look_there()

    async def _look_there(self) -> bool:
        if self._survey is not None:
            if not await self._survey.run():
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
