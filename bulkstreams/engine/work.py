"""What a lane does with what it claims, as far as the lane is concerned. Protocols only.

What is claimed is the work's own: a lane counts it, keeps it in order and hands it back. Each has an `id`, unlike any
other's of its lane, and the number of `attempts` that it has cost.
"""

from __future__ import annotations

from typing import Any, Protocol


class Doubts(Protocol):
    """What a lane knows of its records that are in doubt."""

    @property
    def busy(self) -> bool:
        """Return whether a look-up may still clear some."""

    @property
    def count(self) -> int:
        """Return how many there are."""

    @property
    def has_room(self) -> bool:
        """Return whether more records may come into doubt."""

    @property
    def settles_at(self) -> float:
        """Return the monotonic instant from which on a look-up can clear the first of them."""

    def resume(self) -> None:
        """Go on with those that there are, as the lane takes its seat."""

    def hurry(self) -> None:
        """Look up as soon as there is something to clear: the lane has nothing else to do."""


class Work(Protocol):
    """The work of one lane."""

    @property
    def doubts(self) -> Doubts:
        """Return the doubts that are told apart from what is claimed."""

    @property
    def scopes(self) -> str:
        """Return the scopes that it needs, as a person is told of them: `the scope read:event_streams`."""

    @property
    def requests_each(self) -> float:
        """Return how many requests what is claimed costs, as a rule: for telling how long it all may take."""

    @property
    def looks_first(self) -> bool:
        """Return whether something has to be looked up, still, before anything may be claimed."""

    @property
    def is_over(self) -> bool:
        """Return whether a `look_first` that failed leaves nothing to do, though the lane was not stopped."""

    @property
    def first_look(self) -> str:
        """Say what the lane does meanwhile: `looking up what is there already`."""

    async def look_first(self) -> bool:
        """Look; return whether the lane may go on to claim. After the lane has left its seat it is called again."""

    async def claim(self, count: int, server_now: float | None) -> list[Any]:
        """Claim up to `count`; `server_now` is the instant by the tenant's clock, None where that is not known."""

    def prepare(self, claim: Any) -> Any | None:
        """Return what is to be sent; None where it has been settled instead."""

    async def send(self, claim: Any, prepared: Any) -> None:
        """Make one request about a claim once the tenant's limits let it go, and act on what comes back.

        Then the claim is settled, or was handed to `Lane.put_back` or `Lane.later`.
        """

    def release(self, claim: Any) -> None:
        """Give back to the ledger what was claimed and is not under way."""

    def give_up(self, claim: Any, reason: str) -> None:
        """Settle what is tried no more, since the tenant cannot be reached."""


class _NoDoubts:
    """There are none, and never will be."""

    busy = False
    count = 0
    has_room = True
    settles_at = 0.0

    def resume(self) -> None:
        """Do nothing."""

    def hurry(self) -> None:
        """Do nothing."""


NO_DOUBTS: Doubts = _NoDoubts()
"""For work whose lost requests are looked up one by one."""
