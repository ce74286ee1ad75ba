"""Requests of a lane that only look: one at a time, within the tenant's budget, until each has a usable answer.

This module must never judge what it is told; and what it could not see it must never pass for seen.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final, Generic, TypeVar

from bulkstreams.core.retry import backoff, broken, used_up
from bulkstreams.engine.breaker import LOOK_UP
from bulkstreams.model import Failure, Reply
from bulkstreams.schema import read_error

if TYPE_CHECKING:
    from bulkstreams.engine.lane import Lane

RETRIES: Final = 5
"""Failures in a row of the same request, of a tenant that is not just down, after which it is given up."""

FORBIDDEN: Final = frozenset({403, 404})
"""Statuses that say that this will never be had: what asks for it may not, or is at the wrong address."""

T = TypeVar("T")

Ask = Callable[[str], Awaitable[Reply | Failure]]
"""How a request is made once it may be: with the lane's token."""


class Asking(Generic[T]):
    """What a lane asks its tenant for. `read` makes of a 200's body what is wanted, or None where it is not that.

    Where it cannot be had, the lane is stopped: `what` could not be looked up, and `meanwhile` says what that means for
    the records. A 403 or a 404 is `forbidden`'s to act on, with the server's own words.
    """

    def __init__(
        self,
        lane: Lane,
        what: str,
        meanwhile: str,
        read: Callable[[bytes], T | None],
        forbidden: Callable[[Reply, str], None],
    ) -> None:
        self._lane = lane
        self._what, self._meanwhile = what, meanwhile
        self._read_body, self._forbidden = read, forbidden
        self._failures = 0
        self.answers = 0
        self.unreached: str | None = None
        """Why the tenant is given up, where there was not even a connection: then the lane was not stopped."""

    async def get(self, ask: Ask) -> T | None:
        """Ask until there is an answer; None where there is none to be had, or the lane was stopped, or leaves."""
        lane = self._lane
        with lane.breaker.looking():
            while (let := await self._let_go()) is not None:
                token, ticket = let
                answer = await self._ask(ask, token)
                found = await self._read(ticket, answer, token)
                if found is not None:
                    self.answers += 1
                    self._failures = 0
                    return found
                status = answer.status if isinstance(answer, Reply) else None
                if status in {401, 429}:
                    continue
                self._failures += 1
                if status in FORBIDDEN or self._is_given_up(answer):
                    return None
                if not lane.breaker.is_open:
                    delay = backoff(self._failures, lane.tools.draw())
                    lane.looks_again_at = lane.tools.clock.monotonic() + delay
                    await lane.sleep(delay)
        return None

    async def _let_go(self) -> tuple[str, int] | None:
        """Wait until a request may be made; return the token and the limiter's ticket for it, None where none may."""
        lane = self._lane
        while lane.going:
            await lane.breaker.turn()
            token = lane.tokens.current() or await lane.tokens.fetch()
            if token is None:
                continue  # the lane waits for one, or was stopped
            ticket = await lane.limiter.acquire(lambda: lane.in_flight)
            if ticket is None:
                return None
            if lane.breaker.go(LOOK_UP):
                return token, ticket
            lane.limiter.lost(ticket)
            if lane.breaker.gave_up:
                return None  # whoever found that out is about to stop the lane, or has
        return None

    def _is_given_up(self, answer: Reply | Failure) -> bool:
        """Return whether what failed so often in a row is asked for no more; then say why."""
        breaker, cause = self._lane.breaker, _cause(answer)
        if isinstance(answer, Failure) and not answer.sent:
            if breaker.unsent(LOOK_UP, cause) == math.inf:
                self.unreached = cause
            return breaker.gave_up
        if isinstance(answer, Failure) or broken(answer.status):
            if breaker.lost(LOOK_UP, cause) == math.inf:
                self.stop(f"could not be looked up ({breaker.story()})")
            if breaker.outage.is_awaited:
                return breaker.gave_up
        if used_up(self._failures, RETRIES):
            self.stop(f"could not be looked up ({cause})")
        return used_up(self._failures, RETRIES)

    async def _ask(self, ask: Ask, token: str) -> Reply | Failure:
        lane = self._lane
        lane.tools.recorder.tally.lookups += 1
        lane.in_flight += 1
        try:
            return await ask(token)
        finally:
            lane.in_flight -= 1

    async def _read(self, ticket: int, answer: Reply | Failure, token: str) -> T | None:
        lane = self._lane
        if isinstance(answer, Failure):
            lane.limiter.lost(ticket)
            return None
        lane.heard(ticket, answer)
        if not broken(answer.status):
            lane.breaker.heard()
        if answer.status == 401:
            await lane.tokens.renew(token)
        elif answer.status in FORBIDDEN:
            self._forbidden(answer, read_error(answer.body, lambda text: lane.tools.mask(text, (token,)))[1])
        return self._read_body(answer.body) if answer.status == 200 else None

    def stop(self, trouble: str) -> None:
        """Stop the lane, since what it asks for is not to be had."""
        self._lane.stop(
            f"{self._what} {trouble}: {self._meanwhile}",
            "Run the same command again when the tenant answers: it looks there first.",
        )


def _cause(answer: Reply | Failure) -> str:
    if isinstance(answer, Failure):
        return answer.reason
    return "a page that cannot be read" if answer.status == 200 else f"it answered {answer.status}"
