"""Doubt, and the one thing that clears it: a look-up of the tenant. One paged listing serves every doubt of a lane.

Absence counts only where the listing began a settle time after the attempt ended, since a request whose connection
died may still be at work on the server. This module must never send a create, nor judge a stream itself
(`core.matching.judge` does).
"""

from __future__ import annotations

from collections.abc import Iterable
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Final

from bulkstreams.core.matching import Judgement, Stream, judge
from bulkstreams.core.retry import backoff, used_up
from bulkstreams.model import Doubt, Event, Failure, Reply
from bulkstreams.schema import Page, read_error, read_page

if TYPE_CHECKING:
    from bulkstreams.engine.lane import Lane

MOST_DOUBTS: Final = 10_000
"""The doubts of one tenant that are held at once; more than these stop the claiming of new records."""

LOOKUP_RETRIES: Final = 5
"""Failures in a row of the same page after which a look-up is given up; the doubts stay in the ledger."""


RETRY_HINT: Final = "Run the same command again when the tenant answers: it looks them up first."


class Reconciler:
    """The doubts of one lane, and the task that clears them while the lane's other records go on."""

    def __init__(self, lane: Lane) -> None:
        self._lane = lane
        self._doubts: dict[int, Doubt] = {}
        self._settles_at: dict[int, float] = {}
        self._inherited: set[int] = set()
        self._more_in_ledger = False
        self._runs = False
        self._server_ahead_s = 0.0

    @property
    def busy(self) -> bool:
        """Return whether doubts are left that a look-up may still clear."""
        return self._runs

    @property
    def count(self) -> int:
        """Return how many records are in doubt."""
        return len(self._doubts)

    @property
    def has_room(self) -> bool:
        """Return whether more records may come into doubt."""
        return len(self._doubts) < MOST_DOUBTS

    def add(self, doubt: Doubt) -> None:
        """Take a doubt to be cleared."""
        self._take(doubt)
        self._start()

    def _take(self, doubt: Doubt) -> None:
        """Note a doubt, and from when on absence proves something: by a clock that nobody sets, so counted from now.

        A 409 is an answer to that very attempt; every other doubt has to settle first.
        """
        wait = 0.0 if doubt.name_taken else self._lane.settings.settle_s
        self._doubts[doubt.id] = doubt
        self._settles_at[doubt.id] = self._lane.tools.clock.monotonic() + wait

    def resume(self) -> None:
        """Begin with the doubts that the ledger holds from earlier runs."""
        self._more_in_ledger = True
        self._start()

    def _start(self) -> None:
        if not self._runs:
            self._runs = True
            self._lane.start(self._run)

    async def _run(self) -> None:
        try:
            while self._lane.stopped is None and await self._gather():
                if not await self._wait_until_mature():
                    return
                if not await self._clear():
                    return
        finally:
            self._runs = False
            self._lane.wake()

    async def _gather(self) -> bool:
        """Fetch what the ledger still has of earlier doubts; return whether there are any at all."""
        if self._more_in_ledger and len(self._doubts) < MOST_DOUBTS // 2:
            await self._lane.tools.recorder.flush()  # or those that were just cleared would be found again
            found = await self._lane.tools.ledger.doubts(self._lane.tenant, MOST_DOUBTS)
            fresh = {doubt.id: doubt for doubt in found if doubt.id not in self._doubts}
            self._more_in_ledger = len(found) == MOST_DOUBTS and bool(fresh)
            self._inherited.update(fresh)
            for doubt in fresh.values():
                self._take(doubt)
        return bool(self._doubts)

    async def _wait_until_mature(self) -> bool:
        """Wait until a look-up can clear at least one doubt."""
        wait = min(self._settles_at[id_] for id_ in self._doubts) - self._lane.tools.clock.monotonic()
        return wait <= 0 or await self._lane.sleep(wait)

    async def _clear(self) -> bool:
        """Look all present doubts up with one listing and settle those it decides; return whether to go on."""
        lane = self._lane
        began = lane.tools.clock.monotonic()
        batch = dict(self._doubts)
        mature = {id_ for id_ in batch if self._settles_at[id_] <= began}
        found = await self._list(batch.values())
        if found is None:
            return False
        owned = await self._owned(stream for streams in found.values() for stream in streams)
        for id_, doubt in batch.items():
            streams = found.get(_mark(doubt), [])
            judgement = judge(doubt, streams, owned, mature=id_ in mature, server_ahead_s=self._server_ahead_s)
            if judgement is None:
                continue
            if judgement.stream is not None and judgement.event is Event.FOUND_OURS:
                owned.add(judgement.stream.id)  # a stream proves one record at most
            del self._doubts[id_], self._settles_at[id_]
            self._settle(doubt, judgement)
        lane.wake()
        return lane.stopped is None

    async def _owned(self, streams: Iterable[Stream]) -> set[str]:
        """Return the ids that other records already stand for, those of creates that were just under way included."""
        ids = [stream.id for stream in streams]
        if not ids:
            return set()
        lane = self._lane
        under_way = set(lane.under_way)
        while under_way & lane.under_way and await lane.sleep(0.02):
            pass  # an answer on its way may name one of these streams
        await lane.tools.recorder.flush()
        return await lane.tools.ledger.owned(ids)

    def _settle(self, doubt: Doubt, judgement: Judgement) -> None:
        inherited = doubt.id in self._inherited
        self._inherited.discard(doubt.id)
        if judgement.event is Event.ABSENT and doubt.name_taken:
            # The API says 409 to a taken name and to a full quota alike; here the name is free. The attempt was
            # answered, so it costs none.
            self._lane.resolve(doubt._replace(attempts=doubt.attempts - 1), Event.ABSENT, None, None)
            if inherited:
                return  # that was an earlier run's 409: there may be room again
            self._lane.stop(
                f"{self._lane.tenant} answered 409 although no stream of that name is there: "
                "its quota of event streams is used up",
                "Delete streams at the tenant or have its quota raised; then run the same command again: it resumes.",
            )
            return
        if inherited and judgement.event is Event.ABSENT:
            doubt = doubt._replace(attempts=0)  # an earlier run's attempts are not this run's
        message = None
        if judgement.event is Event.FOUND_DIFFERENT and judgement.stream is not None:
            parts = ", ".join(judgement.differs)
            message = f"a stream of that name is there ({judgement.stream.id}) and differs in: {parts}"
        self._lane.resolve(doubt, judgement.event, judgement.stream, message)

    async def _list(self, doubts: Iterable[Doubt]) -> dict[str | bytes, list[Stream]] | None:
        """Page through the tenant's streams and keep those that a doubt may be about; None: it could not be done."""
        wanted: dict[str | bytes, list[Stream]] = {_mark(doubt): [] for doubt in doubts}
        cursor: str | None = None
        seen: set[str] = set()
        while True:
            page = await self._page(cursor)
            if page is None:
                return None
            for stream in page.streams:
                mark = stream.digest if stream.name is None else stream.name
                if mark in wanted:
                    wanted[mark].append(stream)
            if page.next is None:
                return wanted
            if page.next in seen:
                # A list that goes in circles was not seen whole, and what was not seen proves no absence.
                lane = self._lane
                lane.stop(f"{lane.tenant} lists its streams in circles: records stay in doubt", RETRY_HINT)
                return None
            cursor = page.next
            seen.add(cursor)

    async def _page(self, cursor: str | None) -> Page | None:
        """Fetch one page, within the tenant's budget; None where it is not to be had, or the lane was stopped."""
        lane = self._lane
        failures = 0
        while lane.stopped is None:
            token = lane.credential.current() or await lane.token()
            if token is None or not await lane.limiter.acquire(lambda: lane.in_flight):
                return None
            lane.tools.recorder.tally.lookups += 1
            lane.in_flight += 1
            try:
                answer = await lane.client.page(cursor, token)
            finally:
                lane.in_flight -= 1
            page = await self._read(answer, token)
            if page is not None:
                return page
            if isinstance(answer, Reply) and answer.status in {401, 429}:
                continue
            failures += 1
            if used_up(failures, LOOKUP_RETRIES):
                lane.stop(
                    f"{lane.tenant} could not be looked up ({_cause(answer)}): records stay in doubt",
                    RETRY_HINT,
                )
                return None
            await lane.sleep(backoff(failures, lane.tools.draw()))
        return None

    async def _read(self, answer: Reply | Failure, token: str) -> Page | None:
        lane = self._lane
        if isinstance(answer, Failure):
            lane.limiter.changed()
            return None
        lane.heard(answer, throttled=answer.status == 429)
        self._note_clock(answer)
        if answer.status == 401:
            await lane.reauthorize(token)
        elif answer.status in {403, 404}:
            lane.forbidden(answer, read_error(answer.body)[1])
        return read_page(answer.body) if answer.status == 200 else None

    def _note_clock(self, reply: Reply) -> None:
        """Learn how far the server's clock is ahead of ours, to the second, from a reply's `Date`."""
        try:
            server = parsedate_to_datetime(reply.headers.get("date", "")).timestamp()
        except (ValueError, TypeError):
            return
        self._server_ahead_s = server - self._lane.tools.clock.wall()


def _mark(doubt: Doubt) -> str | bytes:
    """Return what a doubt's stream is known by in a listing: its name, or without one the digest of what shows."""
    return doubt.digest if doubt.name is None else doubt.name


def _cause(answer: Reply | Failure) -> str:
    return answer.reason if isinstance(answer, Failure) else f"it answered {answer.status}"
