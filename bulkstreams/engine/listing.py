"""One pass over all the streams of a tenant, a page at a time, within the tenant's budget.

This module must never judge what it finds; and what it could not see to its end it must never pass for seen.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final

from bulkstreams.core.retry import backoff, broken, used_up
from bulkstreams.engine.breaker import LOOK_UP
from bulkstreams.model import Failure, Reply
from bulkstreams.schema import Page, read_error, read_page

if TYPE_CHECKING:
    from bulkstreams.engine.lane import Lane

RETRIES: Final = 5
"""Failures in a row of the same page, of a tenant that is not just down, after which a listing is given up."""


class Listing:
    """A listing of a lane's tenant. `meanwhile` says, where it cannot be done, what that means for the records.

    `retries`: failures in a row of the same page that are made good.
    """

    def __init__(self, lane: Lane, meanwhile: str, retries: int = RETRIES) -> None:
        self._lane = lane
        self._meanwhile = meanwhile
        self._retries = retries
        self._cursor: str | None = None
        self._seen: set[str] = set()
        self._failures = 0
        self._is_whole = False
        self.pages = 0
        self.unreached: str | None = None
        """Why the tenant is given up, where there was not even a connection: then the lane was not stopped."""

    async def run(self, take: Callable[[Page], Awaitable[None]]) -> bool:
        """Hand each page to `take`; return whether the whole list was seen.

        Where it was not, the lane is stopped with the reason, unless it was never connected (`unreached`), or it leaves
        its seat: then another `run` goes on with the page that comes next.
        """
        while not self._is_whole:
            page = await self._page(self._cursor)
            if page is None:
                return False
            await take(page)
            self._is_whole = page.next is None
            if page.next in self._seen:
                # A list that goes in circles was not seen whole, and what was not seen proves no absence.
                self._stop("lists its streams in circles")
                return False
            if page.next is not None:
                self._cursor = page.next
                self._seen.add(page.next)
        return True

    async def reach(self) -> bool:
        """Ask for the first page alone, until there is one; return whether there was."""
        return await self._page(None) is not None

    async def _page(self, cursor: str | None) -> Page | None:
        """Fetch one page; None where it is not to be had, or the lane was stopped, or leaves."""
        lane = self._lane
        with lane.breaker.looking():
            while lane.going:
                await lane.breaker.turn()
                token = lane.tokens.current() or await lane.tokens.fetch()
                if token is None:
                    continue  # the lane waits for one, or was stopped
                ticket = await lane.limiter.acquire(lambda: lane.in_flight)
                if ticket is None:
                    return None
                if not lane.breaker.go(LOOK_UP):
                    lane.limiter.lost(ticket)
                    if lane.breaker.gave_up:
                        return None  # whoever found that out is about to stop the lane, or has
                    continue
                answer = await self._ask(cursor, token)
                page = await self._read(ticket, answer, token)
                if page is not None:
                    self.pages += 1
                    self._failures = 0
                    return page
                if isinstance(answer, Reply) and answer.status in {401, 429}:
                    continue
                self._failures += 1
                if self._is_given_up(answer):
                    return None
                if not lane.breaker.is_open:
                    delay = backoff(self._failures, lane.tools.draw())
                    lane.looks_again_at = lane.tools.clock.monotonic() + delay
                    await lane.sleep(delay)
        return None

    def _is_given_up(self, answer: Reply | Failure) -> bool:
        """Return whether a page that failed so often in a row is asked for no more; then say why."""
        breaker, cause = self._lane.breaker, _cause(answer)
        if isinstance(answer, Failure) and not answer.sent:
            if breaker.unsent(LOOK_UP, cause) == math.inf:
                self.unreached = cause
            return breaker.gave_up
        if isinstance(answer, Failure) or broken(answer.status):
            if breaker.lost(LOOK_UP, cause) == math.inf:
                self._stop(f"could not be looked up ({breaker.story()})")
            if breaker.outage.is_awaited:
                return breaker.gave_up
        if used_up(self._failures, self._retries):
            self._stop(f"could not be looked up ({cause})")
        return used_up(self._failures, self._retries)

    async def _ask(self, cursor: str | None, token: str) -> Reply | Failure:
        lane = self._lane
        lane.tools.recorder.tally.lookups += 1
        lane.in_flight += 1
        try:
            return await lane.client.page(cursor, token)
        finally:
            lane.in_flight -= 1

    async def _read(self, ticket: int, answer: Reply | Failure, token: str) -> Page | None:
        lane = self._lane
        if isinstance(answer, Failure):
            lane.limiter.lost(ticket)
            return None
        lane.heard(ticket, answer)
        if not broken(answer.status):
            lane.breaker.heard()
        if answer.status == 401:
            await lane.tokens.renew(token)
        elif answer.status in {403, 404}:
            lane.forbidden(answer, read_error(answer.body, lambda text: lane.tools.mask(text, (token,)))[1])
        return read_page(answer.body) if answer.status == 200 else None

    def _stop(self, what: str) -> None:
        self._lane.stop(
            f"{self._lane.tenant} {what}: {self._meanwhile}",
            "Run the same command again when the tenant answers: it looks there first.",
        )


def _cause(answer: Reply | Failure) -> str:
    if isinstance(answer, Failure):
        return answer.reason
    return "a page that cannot be read" if answer.status == 200 else f"it answered {answer.status}"
