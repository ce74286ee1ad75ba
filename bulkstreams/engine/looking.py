"""The work of a lane that only looks: it claims nothing, sends nothing, and ends with what it has seen."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from bulkstreams.engine.work import NO_DOUBTS

if TYPE_CHECKING:
    from bulkstreams.engine.lane import Lane


class Looking:
    """Awaits `look`, which returns whether it saw all that it was to see.

    Where it did not, the lane is stopped. A lane that leaves its seat meanwhile has `look` called again, so it must be
    able to go on: a `Listing` that was made before the first call does so.
    """

    doubts = NO_DOUBTS
    is_over = False
    requests_each = 1.0
    first_look = "reading its streams"

    def __init__(
        self, lane: Lane, look: Callable[[Lane], Awaitable[bool]], *, scopes: str = "the scope read:event_streams"
    ) -> None:
        self._lane = lane
        self._look = look
        self.scopes = scopes
        self.looks_first = True

    async def look_first(self) -> bool:
        """Look; a tenant that was never connected to cannot be reached."""
        lane = self._lane
        if await self._look(lane):
            self.looks_first = False
            return True
        if lane.going:
            lane.cannot_be_reached(lane.breaker.story())
        return False

    async def claim(self, count: int, server_now: float | None) -> list[Any]:
        """Claim nothing."""
        return []

    def prepare(self, claim: Any) -> Any | None:
        """Have nothing to send."""
        return None

    async def send(self, claim: Any, prepared: Any) -> None:
        """Send nothing."""

    def release(self, claim: Any) -> None:
        """Give nothing back: nothing was claimed."""

    def give_up(self, claim: Any, reason: str) -> None:
        """Give nothing up: nothing was claimed."""
