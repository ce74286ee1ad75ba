"""The way of one request to its tenant, for whatever is not sent by the thousand a second: token, limits, breaker.

This module must never send anything, nor keep what it did not let through.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from bulkstreams.engine.lane import Lane


class Passage(NamedTuple):
    """What a request goes with: the limiter's ticket and a token."""

    ticket: int
    token: str


async def passage(lane: Lane, who: Callable[[], int]) -> Passage | None:
    """Wait until a request may go, which is `who`'s by then; None: none may now, and it is to be put back."""
    token = lane.tokens.current() or await lane.tokens.fetch()
    if token is None:
        return None
    ticket = lane.limiter.passes(lane.in_flight)
    if ticket is None:
        ticket = await lane.limiter.acquire(lambda: lane.in_flight)
    if ticket is None:
        return None
    if lane.holding or not lane.breaker.go(who()):
        lane.limiter.lost(ticket)
        return None
    return Passage(ticket, token)
