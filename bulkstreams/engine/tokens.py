"""A lane's token: fetched while its work waits for it, given up where the lane stops or leaves.

This module must never keep a token or show one (the credential does that), nor say when a tenant is down.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import anyio

from bulkstreams.engine.tools import Credential
from bulkstreams.errors import CredentialsError, TokenUnreachedError

if TYPE_CHECKING:
    from bulkstreams.engine.lane import Lane


class Tokens:
    """Where one lane's work gets its token. `current` is the credential's own: the token, if there is a fresh one."""

    def __init__(self, lane: Lane, credential: Credential) -> None:
        self._lane = lane
        self._credential = credential
        self._fetching: set[anyio.CancelScope] = set()
        self.current = credential.current

    @property
    def is_fetching(self) -> bool:
        """Return whether a token is being fetched."""
        return bool(self._fetching)

    @property
    def resume_at(self) -> float:
        """Return the monotonic instant before which the tenant is not asked for a token again."""
        return self._credential.resume_at

    @property
    def scopes(self) -> frozenset[str] | None:
        """Return what the newest token allows; None where that is not known."""
        return self._credential.scopes

    async def fetch(self) -> str | None:
        """Fetch a token; None where none is to be had now, and the lane waits or stops, or was stopped meanwhile."""
        lane = self._lane
        if lane.breaker.is_open and not await lane.sleep(lane.limiter.resume_at - lane.tools.clock.monotonic()):
            return None
        return await self._fetched(self._credential.token)

    async def renew(self, token: str) -> None:
        """Get another token than the one that was refused; stop the lane where there is none."""
        await self._fetched(lambda: self._credential.refresh(token))

    def leave(self) -> None:
        """Give up what only waits for its next try; a request under way ends in order."""
        if self.resume_at > self._lane.tools.clock.monotonic():
            self.stop()

    def stop(self) -> None:
        """Wait for no token any longer."""
        for scope in self._fetching:
            scope.cancel()

    async def _fetched(self, fetch: Callable[[], Awaitable[str]]) -> str | None:
        lane = self._lane
        with anyio.CancelScope() as scope:
            self._fetching.add(scope)
            try:
                return await fetch()
            except TokenUnreachedError as error:
                if not lane.breaker.token_unreached(error.message):
                    lane.stop(error.message, error.hint)
            except CredentialsError as error:
                lane.stop(error.message, error.hint)
            finally:
                self._fetching.discard(scope)
        return None
