"""Doubt, and the one thing that clears it: a look-up of the tenant. One paged listing serves every doubt of a lane.

The doubts themselves are the ledger's; here is only from when on each may be taken for absent. Absence counts where
the listing began a settle time after the attempt ended, since a request whose connection died may still be at work on
the server. This module must never send a create, nor judge a stream itself (`core.matching.judge` does).
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import anyio

from bulkstreams.core import outcome
from bulkstreams.core.matching import Judgement, Stream, in_turn, judge, mark
from bulkstreams.core.retry import look_up_now
from bulkstreams.engine.listing import Listing
from bulkstreams.ledger import Ledger
from bulkstreams.model import Doubt, Event, State
from bulkstreams.schema import Page

if TYPE_CHECKING:
    from bulkstreams.engine.lane import Lane
    from bulkstreams.engine.referring import Referring

MOST_DOUBTS: Final = 10_000
"""The doubts of one tenant that one look-up serves; more than these stop the claiming of new records."""

_RECHECK_S: Final = 0.5


@dataclass(slots=True)
class _LookUp:
    """A listing that doubts are held against, kept where the lane leaves its seat in the middle of it."""

    began: float
    doubts: list[Doubt]
    found: dict[str | bytes, list[Stream]]
    listing: Listing

    async def take(self, page: Page) -> None:
        """Keep those streams of a page that a doubt may be about."""
        for stream in page.streams:
            for one in stream.marks:
                if one in self.found:
                    self.found[one].append(stream)


class Reconciler:
    """The doubts of one lane, and the task that clears them while the lane's other records go on."""

    def __init__(self, lane: Lane, ledger: Ledger, referring: Referring | None = None) -> None:
        self._lane = lane
        self._ledger = ledger
        self._referring = referring
        self._settles_at: dict[int, float] = {}  # the doubts that arose in this run
        self._lost_since: dict[int, float] = {}
        self._earlier = 0  # how many more the ledger holds of earlier runs
        self._earlier_settle_at = 0.0
        self._runs = False
        self._quota_is_full = False
        self._look_up: _LookUp | None = None
        self._idle = asyncio.Event()
        self._pages, self._sent = 0, 0  # what the last listing cost, and the creates sent when it ended

    @property
    def busy(self) -> bool:
        """Return whether doubts are left that a look-up may still clear."""
        return self._runs

    @property
    def count(self) -> int:
        """Return how many records are in doubt."""
        return len(self._settles_at) + self._earlier

    @property
    def settles_at(self) -> float:
        """Return the monotonic instant from which on a look-up can clear the first of them."""
        return min(self._instants(), default=0.0)

    def _instants(self) -> list[float]:
        return [*self._settles_at.values(), *([self._earlier_settle_at] if self._earlier else [])]

    @property
    def has_room(self) -> bool:
        """Return whether more records may come into doubt."""
        return self.count < MOST_DOUBTS

    def add(self, id_: int, *, answered: bool, lost_since: float | None = None) -> None:
        """Take a doubt to be cleared, counted from now by a clock that nobody sets.

        An attempt that was `answered` (with a 409) is no longer at work: there is nothing that has to settle.
        `lost_since` is the monotonic instant at which its first lost attempt was sent, if that was in this run.
        """
        wait = 0.0 if answered else self._lane.settings.settle_s
        self._settles_at[id_] = self._lane.tools.clock.monotonic() + wait
        if lost_since is not None:
            self._lost_since[id_] = lost_since
        self._start()

    def expect(self, doubts: int) -> None:
        """Take in the doubts that the ledger holds of earlier runs, whose attempts may have ended just now."""
        self._earlier = doubts
        self._earlier_settle_at = self._lane.tools.clock.monotonic() + self._lane.settings.settle_s

    def resume(self) -> None:
        """Go on with the doubts that there are, as the lane takes its seat."""
        if self.count or self._quota_is_full:
            self._start()

    def hurry(self) -> None:
        """Look up as soon as there is something to clear: the lane has nothing else to do."""
        self._idle.set()

    def _start(self) -> None:
        if not self._runs:
            self._runs = True
            self._lane.start(self._run)

    async def _run(self) -> None:
        lane = self._lane
        try:
            if self._referring is not None and not await self._referring.known():
                return
            if self._quota_is_full:
                await self._stop_over_quota()  # it had begun to when the lane left its seat
            while self.count and await self._wait_until_due() and await self._clear():
                if self._quota_is_full:
                    await self._stop_over_quota()
        finally:
            self._runs = False
            lane.wake()

    # -- when ----------------------------------------------------------------------------------------------------------

    async def _wait_until_due(self) -> bool:
        """Wait until a look-up can clear a doubt and is worth its price; return whether the lane goes on."""
        lane = self._lane
        wait = self.settles_at - lane.tools.clock.monotonic()
        if wait > 0 and not await lane.sleep(wait):
            return False
        while lane.going and not self._due():
            self._idle.clear()
            with anyio.move_on_after(_RECHECK_S):
                await self._idle.wait()
        return lane.going

    def _due(self) -> bool:
        return look_up_now(
            idle=self._lane.idle or self._lane.breaker.is_open,  # no record may go, so a look-up is the probe
            crowded=self.count * 2 >= MOST_DOUBTS,
            sent_since=self._lane.sent - self._sent,
            pages=self._pages,
        )

    # -- what ----------------------------------------------------------------------------------------------------------

    async def _clear(self) -> bool:
        """Look all present doubts up with one listing and settle those it decides; return whether to go on.

        A look-up that the lane's leaving cut short goes on where it was.
        """
        lane = self._lane
        if self._look_up is None:
            self._look_up = await self._begin()
        look_up = self._look_up
        if look_up is None:
            self._earlier = 0
            self._settles_at.clear()
            return True
        if not await self._list(look_up):
            return False
        owned = await self._owned([stream.id for streams in look_up.found.values() for stream in streams])
        if not lane.going:
            return False  # an answer that is still on its way may name one of these streams
        self._look_up = None
        self._judge(look_up, owned)
        lane.wake()
        return lane.going

    async def _begin(self) -> _LookUp | None:
        """Begin a look-up of all present doubts; None where the ledger has none."""
        lane = self._lane
        began = lane.tools.clock.monotonic()
        await lane.tools.recorder.flush()
        doubts = await self._ledger.doubts(lane.tenant, MOST_DOUBTS)
        found: dict[str | bytes, list[Stream]] = {mark(doubt): [] for doubt in doubts}
        actions = None if self._referring is None else self._referring.names
        return _LookUp(began, doubts, found, Listing(lane, "records stay in doubt", actions)) if doubts else None

    def _judge(self, look_up: _LookUp, owned: set[str]) -> None:
        for doubt in map(self._dated, in_turn(look_up.doubts)):
            mature = self._settles_at.get(doubt.id, self._earlier_settle_at) <= look_up.began
            judgement = judge(doubt, look_up.found[mark(doubt)], owned, mature=mature)
            if judgement is None:
                continue
            if judgement.stream is not None and judgement.event is Event.FOUND_OURS:
                owned.add(judgement.stream.id)  # a stream proves one record at most
            self._settle(doubt, judgement)

    def _dated(self, doubt: Doubt) -> Doubt:
        """Date a first loss of this run by the server's clock as it is known now: at its claim it may not have been."""
        sent_at = self._lost_since.get(doubt.id)
        since = None if sent_at is None else self._lane.server_clock.at(sent_at)
        return doubt if since is None else doubt._replace(ours_since=since)

    async def _list(self, look_up: _LookUp) -> bool:
        """Page through the tenant's streams; return whether they were seen to their end."""
        lane, listing = self._lane, look_up.listing
        whole = await listing.run(look_up.take)
        self._pages, self._sent = listing.pages, lane.sent
        if listing.unreached is not None:
            await lane.give_up(listing.unreached)
        return whole

    async def _owned(self, ids: list[str]) -> set[str]:
        """Return the ids that other records already stand for, those of creates that were just under way included."""
        if not ids:
            return set()
        lane = self._lane
        under_way = set(lane.under_way)
        while under_way & lane.under_way and await lane.sleep(0.02):
            pass  # an answer on its way may name one of these streams
        await lane.tools.recorder.flush()
        return await self._ledger.owned(lane.tenant, ids)

    def _settle(self, doubt: Doubt, judgement: Judgement) -> None:
        lane = self._lane
        earlier = self._settles_at.pop(doubt.id, None) is None
        self._lost_since.pop(doubt.id, None)
        if earlier:
            self._earlier = max(0, self._earlier - 1)
        if judgement.event is Event.ABSENT and doubt.name_taken:
            # The API says 409 to a taken name and to a full quota alike; here the name is free. The attempt was
            # answered, so it costs none. An earlier run's 409 says nothing of now: there may be room again.
            doubt = doubt._replace(attempts=doubt.attempts - 1)
            self._quota_is_full = self._quota_is_full or not earlier
        elif judgement.event is Event.ABSENT and earlier:
            doubt = doubt._replace(attempts=0)  # an earlier run's attempts are not this run's
        settlement = outcome.found(doubt, judgement, retries=lane.settings.retries, now=lane.tools.clock.wall())
        if settlement.state == State.PENDING:
            lane.returned(charged=not earlier)
        lane.tools.recorder.put(settlement)

    async def _stop_over_quota(self) -> None:
        """End the lane; first let what is under way be answered, and clear the doubts that this leaves, too."""
        lane = self._lane
        await lane.hold()
        if lane.going and self.count:
            await self._clear()
        if lane.leaving:
            return
        lane.stop(
            f"{lane.tenant} answered 409 although no stream of that name is there: "
            "its quota of event streams is used up",
            "Delete streams at the tenant or have its quota raised; then run the same command again: it resumes.",
        )
