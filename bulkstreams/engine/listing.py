"""One pass over all the streams of a tenant, a page at a time, within the tenant's budget.

This module must never judge what it finds; and what it could not see to its end it must never pass for seen.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Final

from bulkstreams.engine.asking import Asking
from bulkstreams.model import Failure, Reply
from bulkstreams.schema import Page, read_page

if TYPE_CHECKING:
    from bulkstreams.engine.lane import Lane

MOST_REPEATED: Final = 20
"""Pages in a row that show nothing but what an earlier one showed, after which a list goes in circles."""


class Listing:
    """A listing of a lane's tenant. `meanwhile` says, where it cannot be done, what that means for the records.

    `actions` are the names of the tenant's actions by their ids (see `acting`), where lines may refer to them by name.
    """

    def __init__(self, lane: Lane, meanwhile: str, actions: Mapping[str, str] | None = None) -> None:
        self._lane = lane
        names = {} if actions is None else actions
        self._asking = Asking(lane, lane.tenant, meanwhile, lambda body: read_page(body, names), lane.forbidden)
        self._cursor: str | None = None
        self._seen: set[str | None] = set()
        self._pages: set[int] = set()  # what stood on each, as a hash
        self._repeated = 0
        self._is_whole = False

    @property
    def pages(self) -> int:
        """Return how many pages it has cost."""
        return self._asking.answers

    @property
    def unreached(self) -> str | None:
        """Return why the tenant is given up, where there was not even a connection: the lane was not stopped then."""
        return self._asking.unreached

    async def run(self, take: Callable[[Page], Awaitable[None]]) -> bool:
        """Hand each page to `take`; return whether the whole list was seen.

        Where it was not, the lane is stopped with the reason, unless it was never connected (`unreached`), or it leaves
        its seat: then another `run` goes on with the page that comes next.
        """
        while not self._is_whole:
            page = await self._asking.get(self._ask)
            if page is None:
                return False
            await take(page)
            self._is_whole = page.next is None
            if not self._is_whole and self._goes_in_circles(page):
                # A list that goes in circles was not seen whole, and what was not seen proves no absence.
                self._asking.stop("lists its streams in circles")
                return False
            self._cursor = page.next
        return True

    def _goes_in_circles(self, page: Page) -> bool:
        """Return whether a page leads back to an earlier one, or the last ones showed nothing new for too long."""
        shown = hash(tuple([stream.id for stream in page.streams]))
        self._repeated = self._repeated + 1 if shown in self._pages else 0
        again = page.next in self._seen or self._repeated == MOST_REPEATED
        self._pages.add(shown)
        self._seen.add(page.next)
        return again

    async def reach(self) -> bool:
        """Ask for the first page alone, until there is one; return whether there was."""
        return await self._asking.get(self._ask) is not None

    async def _ask(self, token: str) -> Reply | Failure:
        return await self._lane.client.page(self._cursor, token)
