"""The look-up before a tenant's first create: what stands there already is found, not made again.

It makes a ledger that was lost, or a first run against a tenant that others have filled, as safe as any other, also
where the tenant would take a second stream of a name. It costs one listing, not a refusal for each record, and is not
done again for records that were looked for already. This module must never send a create.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING

from bulkstreams.core import outcome
from bulkstreams.core.matching import Judgement, Stream, in_turn, judge, mark, with_any_status
from bulkstreams.engine.listing import Listing
from bulkstreams.ledger import Ledger
from bulkstreams.model import Doubt, Event, State
from bulkstreams.schema import Page

if TYPE_CHECKING:
    from bulkstreams.engine.lane import Lane


class Survey:
    """One listing of a lane's tenant, held against the lane's pending records a page at a time.

    `set_status` is what these are to be given in place of their lines' status; `actions` as for a `Listing`. Whoever
    wants it `also` has each page.
    """

    def __init__(
        self,
        lane: Lane,
        ledger: Ledger,
        set_status: str | None = None,
        actions: Mapping[str, str] | None = None,
        also: Callable[[Page], Awaitable[None]] | None = None,
    ) -> None:
        self._also = also
        self._lane = lane
        self._ledger = ledger
        self._set_status = set_status
        self._listing = Listing(lane, "nothing was sent", actions)
        self._differing: dict[int, tuple[Doubt, Judgement]] = {}

    @property
    def is_over(self) -> bool:
        """Return whether it ended short of its end, since the tenant cannot be reached."""
        return self._listing.unreached is not None

    async def run(self) -> bool:
        """Settle the pending records whose streams stand at the tenant; return whether the lane may go on to send.

        Where the lane leaves meanwhile, another `run` goes on with the page that comes next.
        """
        lane = self._lane
        whole = await self._listing.run(self._take)
        if self._listing.unreached is not None:
            await lane.give_up(self._listing.unreached)
        if not whole:
            return False
        for record, judgement in self._differing.values():
            self._settle(record, judgement)
        await lane.tools.recorder.flush()
        await self._ledger.surveyed(lane.tenant)
        return lane.stopped is None

    async def _take(self, page: Page) -> None:
        """Judge the pending records that the streams of one page may be; whoever wants it `also` has the page."""
        if self._also is not None:
            await self._also(page)
        if not page.streams:
            return
        ledger = self._ledger
        await self._lane.tools.recorder.flush()  # what the page before settled is pending no more
        by_mark: dict[str | bytes, list[Stream]] = {}
        for stream in page.streams:
            for one in stream.marks:
                by_mark.setdefault(one, []).append(stream)
        names = [one for one in by_mark if isinstance(one, str)]
        digests = [its for one in by_mark if isinstance(one, bytes) for its in with_any_status(one)]
        records = await ledger.unsent(self._lane.tenant, names, digests, self._set_status)
        if records:
            # Whose a stream is matters only where it may be a nameless twin's, or the work of an attempt of ours.
            asked = any(one.name is None or one.ours_since is not None for one in records)
            owned = await ledger.owned(self._lane.tenant, [one.id for one in page.streams]) if asked else set()
            for record in in_turn(records):
                self._judge(record, by_mark[mark(record)], owned)

    def _judge(self, record: Doubt, streams: list[Stream], owned: set[str]) -> None:
        judgement = judge(record, streams, owned, mature=True)
        if judgement is None or judgement.stream is None:
            return
        if judgement.event is Event.FOUND_DIFFERENT:
            # Where names are not unique, an equal one may stand on a later page.
            self._differing.setdefault(record.id, (record, judgement))
            return
        self._differing.pop(record.id, None)
        if record.name is None or judgement.event is Event.FOUND_OURS:
            owned.add(judgement.stream.id)  # such a stream proves one record at most
        self._settle(record, judgement)

    def _settle(self, record: Doubt, judgement: Judgement) -> None:
        tools = self._lane.tools
        retries, now = self._lane.settings.retries, tools.clock.wall()
        self._lane.found_before_sending()
        tools.recorder.put(outcome.found(record, judgement, before=State.PENDING, retries=retries, now=now))
