"""The lines of one tenant that name its actions: looked up before anything else, and told invalid before any is sent.

What a name stands for is `acting`'s to say. This module must never hold more than a page of records, nor send a create.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import anyio.lowlevel

from bulkstreams.core import outcome
from bulkstreams.engine.acting import Actions, LookUp
from bulkstreams.errors import ActionError
from bulkstreams.ledger import Ledger
from bulkstreams.model import Pending

if TYPE_CHECKING:
    from bulkstreams.engine.lane import Lane

PAGE: Final = 500
"""Records whose lines are read again between two questions to the ledger."""


class Referring:
    """What a lane knows of the actions that its lines name. `named` reads the name in the line of a record again.

    `names` are those by id that a listing needs: none before the look-up.
    """

    def __init__(self, lane: Lane, ledger: Ledger, named: Callable[[Pending], str | None]) -> None:
        self._lane = lane
        self._ledger = ledger
        self._named = named
        self._look_up = LookUp(lane)
        self._actions: Actions | None = None
        self._checked = 0  # the last record that was
        self.names: dict[str, str] = {}

    @property
    def is_over(self) -> bool:
        """Return whether the look-up ended short of its end, since the tenant cannot be reached."""
        return self._look_up.unreached is not None

    def find(self, name: str) -> str:
        """Return the id of an action; raise ActionError where the name stands for none, or for several."""
        if self._actions is None:
            raise AssertionError("nothing is sent before the look-up")
        return self._actions.find(name)

    async def look_up(self) -> bool:
        """Look the tenant's actions up, once; return whether the lane may go on."""
        lane = self._lane
        if self._actions is None:
            found = await self._look_up.run()
            if self._look_up.unreached is not None:
                await lane.give_up(self._look_up.unreached)
            if not isinstance(found, Actions):
                return False
            self._actions = found
            self.names.update(found.names)
            lane.wake()
        return lane.going

    async def known(self) -> bool:
        """Wait until the actions are known; return whether the lane goes on."""
        while self._lane.going and self._actions is None:
            await self._lane.change()
        return self._lane.going

    async def check(self) -> bool:
        """Settle the pending records whose names stand for no action; return whether the lane may go on."""
        lane = self._lane
        await lane.tools.recorder.flush()
        while lane.going and (page := await self._ledger.pending(lane.tenant, self._checked, PAGE)):
            for record in page:
                name = self._named(record)
                if name is not None:
                    await self._check(record, name)
            self._checked = page[-1].id
        await lane.tools.recorder.flush()  # what was settled is not to be claimed
        return lane.going

    async def _check(self, record: Pending, name: str) -> None:
        try:
            self.find(name)
        except ActionError as error:
            tools = self._lane.tools
            self._lane.found_before_sending()
            tools.recorder.put(outcome.unusable(record, error.message, now=tools.clock.wall()))
            await anyio.lowlevel.checkpoint()  # near names take their time
