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
    """A listing of a lane's tenant. `meanwhile` says, where it cannot be done, what that means for the records."""

    def __init__(self, lane: Lane, meanwhile: str) -> None:
        self._lane = lane
        self._meanwhile = meanwhile
        self.pages = 0
        self.unreached: str | None = None
        """Why the tenant is given up, where there was not even a connection: then the lane was not stopped."""

    async def run(self, take: Callable[[Page], Awaitable[None]]) -> bool:
        """Hand each page to `take`; return whether the whole list was seen.

        Where it was not, the lane is stopped with the reason, unless it was never connected (`unreached`).
        """
        cursor: str | None = None
        seen: set[str] = set()
        while True:
            page = await self._page(cursor)
            if page is None:
                return False
            await take(page)
            if page.next is None:
                return True
            if page.next in seen:
                # A list that goes in circles was not seen whole, and what was not seen proves no absence.
                self._stop("lists its streams in circles")
                return False
            cursor = page.next
            seen.add(cursor)

    async def reach(self) -> bool:
        """Ask for the first page alone, until there is one; return whether there was."""
        return await self._page(None) is not None

    async def _page(self, cursor: str | None) -> Page | None:
        """Fetch one page; None where it is not to be had, or the lane was stopped."""
        lane = self._lane
        failures = 0
        with lane.breaker.looking():
            while lane.stopped is None:
                await lane.breaker.turn()
                token = lane.credential.current() or await lane.token()
                if token is None:
                    continue  # the lane waits for one, or was stopped
                if not await lane.limiter.acquire(lambda: lane.in_flight):
                    return None
                if not lane.breaker.go(LOOK_UP):
                    continue
                answer = await self._ask(cursor, token)
                page = await self._read(answer, token)
                if page is not None:
                    self.pages += 1
                    return page
                if isinstance(answer, Reply) and answer.status in {401, 429}:
                    continue
                failures += 1
                if self._is_given_up(answer, failures):
                    return None
                if not lane.breaker.is_open:
                    await lane.sleep(backoff(failures, lane.tools.draw()))
        return None

    def _is_given_up(self, answer: Reply | Failure, failures: int) -> bool:
        """Return whether a page that failed so often in a row is asked for no more; then say why."""
        breaker, cause = self._lane.breaker, _cause(answer)
        if isinstance(answer, Failure) and not answer.sent:
            if breaker.unsent(LOOK_UP, cause) == math.inf:
                self.unreached = cause
            return breaker.gave_up
        if isinstance(answer, Failure) or broken(answer.status):
            if breaker.lost(LOOK_UP, cause) == math.inf:
                self._stop(f"could not be looked up ({breaker.story()})")
            if breaker.outage.answered:
                return breaker.gave_up
        if used_up(failures, RETRIES):
            self._stop(f"could not be looked up ({cause})")
        return used_up(failures, RETRIES)

    async def _ask(self, cursor: str | None, token: str) -> Reply | Failure:
        lane = self._lane
        lane.tools.recorder.tally.lookups += 1
        lane.in_flight += 1
        try:
            return await lane.client.page(cursor, token)
        finally:
            lane.in_flight -= 1

    async def _read(self, answer: Reply | Failure, token: str) -> Page | None:
        lane = self._lane
        if isinstance(answer, Failure):
            lane.limiter.changed()
            return None
        lane.heard(answer, throttled=answer.status == 429)
        if not broken(answer.status):
            lane.breaker.heard()
        if answer.status == 401:
            await lane.reauthorize(token)
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
