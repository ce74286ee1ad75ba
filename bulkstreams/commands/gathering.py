"""One tenant's streams, read a page at a time: those that are wanted, each once, and the names of its actions.

This module must never hold more than a page, nor say that it has seen all where it has not.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from bulkstreams.core.exporting import Wanted, is_action
from bulkstreams.engine.acting import LookUp, Refused
from bulkstreams.engine.lane import Lane
from bulkstreams.engine.listing import Listing
from bulkstreams.model import TenantName
from bulkstreams.schema import Page

Shown = Mapping[str, Any]
"""A stream as the API shows it."""


@dataclass(frozen=True, slots=True)
class Named:
    """The names of a tenant's actions by their ids: those that are one action's own. `refused`: why there are none.

    `ids` are those of all its actions.
    """

    by_id: Mapping[str, str]
    refused: str | None = None
    ids: Collection[str] = ()


NO_NAMES: Final = Named({})

_NOT_ALL: Final = "not all of its streams were read"

HandOn = Callable[["Gathering", Sequence[Shown]], Awaitable[None]]
"""What becomes of the wanted streams of a page."""


class Gathering:
    """Reads the streams of one tenant."""

    def __init__(self, tenant: TenantName, wanted: Wanted, hand_on: HandOn) -> None:
        self.tenant = tenant
        self.pages = 0
        self.streams = 0
        self.met = 0
        self.is_whole = False
        self.actions: Named | None = None
        self._wanted = wanted
        self._hand_on = hand_on
        self._seen: set[str] = set()
        self._listing: Listing | None = None
        self._look_up: LookUp | None = None
        self._held: list[Shown] = []

    async def look(self, lane: Lane) -> bool:
        """Read on; return whether all of it was read. A lane that was away comes back to where it left."""
        if self._listing is None:
            self._listing = Listing(lane, _NOT_ALL)
        if self._held and not await self._pass(lane):
            return False
        self.is_whole = await self._listing.run(lambda page: self._take(lane, page)) and not self._held
        return self.is_whole

    async def _take(self, lane: Lane, page: Page) -> None:
        """Take the wanted streams of a page, unless they were on an earlier one: a list may move while it is read."""
        self.pages += 1
        self._held = []
        for stream, shown in zip(page.streams, page.shown, strict=True):
            if stream.id not in self._seen:
                self._seen.add(stream.id)
                self.met += 1
                if self._wanted.takes(shown):
                    self._held.append(shown)
        if self._held:
            await self._pass(lane)

    async def _pass(self, lane: Lane) -> bool:
        """Hand the held streams on, once the names of their actions are known; return whether that was done."""
        if self.actions is None and any(map(is_action, self._held)):
            self.actions = await self._name_actions(lane)
            if self.actions is None:
                return False
        held, self._held = self._held, []
        self.streams += len(held)
        await self._hand_on(self, held)
        return True

    async def _name_actions(self, lane: Lane) -> Named | None:
        """Look the names of the tenant's actions up; None where the lane was stopped over it, or leaves its seat."""
        if self._look_up is None:
            self._look_up = LookUp(lane, wished=True, meanwhile=_NOT_ALL)
        found = await self._look_up.run()
        if isinstance(found, Refused):
            return Named({}, found.message)
        return None if found is None else Named(found.names, ids={one for its in found.ids.values() for one in its})
