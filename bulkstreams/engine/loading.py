"""A load: creates that begin when a schedule says so, whether or not earlier ones were answered; each is one sample.

That is an open loop. A closed loop of a fixed number of clients, each of which sends again once it has its answer, is
here too, for who wants to compare. Claims are taken from the ledger ahead of the schedule, so their intents are durable
before they are due; what became of each is settled in batches, as in a run.
This module must never send a record twice, slow down because a server says so, or leave out a request that was due and
not sent without counting it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final, Protocol

import anyio
from anyio.abc import TaskGroup

from bulkstreams.core import outcome
from bulkstreams.core.retry import Verdict, classify
from bulkstreams.core.saturation import LATE_S, Cause
from bulkstreams.core.schedule import Schedule
from bulkstreams.engine.alarm import Alarm, LoopAlarm
from bulkstreams.engine.metering import Meter
from bulkstreams.engine.supply import Overdue, Supply
from bulkstreams.engine.tools import Clock, Outcomes
from bulkstreams.model import Claim, Event, Failure, Reply, Settlement
from bulkstreams.schema import created_id

GRACE_S: Final = 5.0
"""Seconds after a schedule's end in which what was due by then may still begin."""

MOST_IN_A_ROW: Final = 32
"""Requests that are handed out in one go where they come late."""


class Sender(Protocol):
    """Who sends one create (see `client`)."""

    def create(self, body: bytes, token: str) -> Awaitable[Reply | Failure]:
        """POST one event stream."""


class Load:
    """One load at one tenant. `prepare` gives the body of a claim; `token` the token to send it with.

    `ceiling` is how many requests may be under way at once; `unauthorized` is told of a token that was refused.
    """

    def __init__(
        self,
        sender: Sender,
        supply: Supply,
        recorder: Outcomes[Settlement],
        meter: Meter,
        clock: Clock,
        *,
        prepare: Callable[[Claim], bytes],
        token: Callable[[], str],
        explain: Callable[[Reply, bytes], tuple[str | None, str]],
        unauthorized: Callable[[str], None],
        ceiling: int,
        alarm: Alarm | None = None,
    ) -> None:
        self._sender, self._supply, self._recorder, self._meter = sender, supply, recorder, meter
        self._clock = clock
        self._prepare, self._token, self._explain = prepare, token, explain
        self._unauthorized = unauthorized
        self._ceiling = ceiling
        self._overdue = Overdue()
        self._idle: list[asyncio.Future[None]] = []
        self._workers = 0
        self._over = False
        self._alarm = alarm or LoopAlarm()
        self._drained = asyncio.Event()
        self._group: TaskGroup
        supply.came = self._supplied

    def stop(self) -> None:
        """Begin nothing more; what is under way ends in order."""
        self._meter.cut()
        self._end()

    def _end(self) -> None:
        self._over = True
        self._drained.set()
        self._alarm.ring()
        for turn in self._idle:
            _wake(turn)
        self._idle.clear()

    async def _until(self, at: float) -> None:
        """Wait until the instant `at`, or the load is over."""
        while not self._over and at > self._clock.monotonic():
            await self._alarm.wait(at)

    @asynccontextmanager
    async def _beside(self, since: float) -> AsyncIterator[TaskGroup]:
        """Give what workers run in, beside the supply and the meter, from an instant on.

        However that ends, what was not sent is given back.
        """
        try:
            await self._until(since)
            async with anyio.create_task_group() as beside:
                beside.start_soon(self._supply.run)
                beside.start_soon(self._meter.watch)
                async with anyio.create_task_group() as group:
                    yield group
                beside.cancel_scope.cancel()
        finally:
            self._finish()

    # -- the open loop ------------------------------------------------------------------------------------------------

    async def follow(self, schedule: Schedule, began: float) -> None:
        """Begin a request at each instant of a schedule that began at `began`, and wait for the ends of all."""
        self._overdue.instants, self._overdue.began = schedule.instants(), began
        ends = began + float(schedule.seconds)
        async with self._beside(self._clock.monotonic()) as self._group:
            await self._offer(schedule, began, ends + GRACE_S)
            await self._until(ends)
            with anyio.move_on_after(GRACE_S):
                while self._overdue.count and not self._over:
                    self._drained.clear()
                    await self._drained.wait()
            self._end()

    async def _offer(self, schedule: Schedule, began: float, last: float) -> None:
        """Hand out each request when it is due; those that are not by the instant `last` are only counted."""
        monotonic = self._clock.monotonic
        behind = 0
        for due in schedule.instants():
            at = began + due
            if at > monotonic():
                await self._until(at)
                behind = 0
            elif (behind := behind + 1) % MOST_IN_A_ROW == 0:
                await asyncio.sleep(0)  # else who comes late would keep those waiting who do the work
            if self._over:
                return
            now = monotonic()
            if now < last:
                self._overdue.add(self._what_keeps(at, now))
                self._hand_out()

    def _what_keeps(self, at: float, now: float) -> Cause:
        """Say what would be to blame if a request that is due at `at` began late."""
        if now - at > LATE_S:
            return Cause.LOOP
        if self._supply.empty:
            return Cause.LEDGER
        return Cause.LOOP if self._idle or self._workers < self._ceiling else Cause.CEILING

    def _hand_out(self) -> None:
        """Wake a worker for one more request, or hire one; where all are at work, one of them will see it."""
        if self._supply.empty:
            return
        if self._idle:
            _wake(self._idle.pop())
        elif self._workers < self._ceiling and not self._over:
            self._workers += 1
            self._group.start_soon(self._work)

    def _supplied(self) -> None:
        """Wake workers for what waited for claims."""
        for _ in range(min(self._overdue.count, self._ceiling)):
            self._hand_out()

    async def _work(self) -> None:
        """Begin what is due, one request after the other, and wait for more."""
        loop, overdue = asyncio.get_running_loop(), self._overdue
        while not self._over:
            while overdue.count and not self._over and (claim := self._supply.take()) is not None:
                at, cause = overdue.take()
                await self._attempt(at, cause, claim)
            self._drained.set()
            if not self._over:
                turn = loop.create_future()
                self._idle.append(turn)
                await turn

    # -- the closed loop ----------------------------------------------------------------------------------------------

    async def keep_busy(self, clients: int, begins: float, ends: float) -> None:
        """Let `clients` each send one request after the other between two instants; wait for the ends of all."""
        async with self._beside(begins) as self._group:
            for _ in range(clients):
                self._group.start_soon(self._client)
            await self._until(ends)
            self._end()

    async def _client(self) -> None:
        monotonic = self._clock.monotonic
        ready = monotonic()
        while not self._over:
            claim = self._supply.take()
            if claim is not None:
                await self._attempt(ready, Cause.LEDGER, claim)
                ready = monotonic()
            elif self._supply.dry:
                return
            else:
                await anyio.sleep(0.001)

    # -- one request --------------------------------------------------------------------------------------------------

    async def _attempt(self, at: float, cause: Cause, claim: Claim) -> None:
        """Send one record and settle what became of it; there is no second time."""
        monotonic, token = self._clock.monotonic, self._token()
        body = self._prepare(claim)
        sent_at = self._clock.wall()
        tally = self._recorder.tally
        tally.requests += 1
        self._meter.began(at, monotonic(), cause)
        answer = await self._sender.create(body, token)
        self._meter.ended(at, monotonic(), answer)
        self._settle(claim, answer, body, token, sent_at)

    def _settle(self, claim: Claim, answer: Reply | Failure, body: bytes, token: str, sent_at: float) -> None:
        now = self._clock.wall()
        remote_id = created_id(answer.body) if isinstance(answer, Reply) and 200 <= answer.status < 300 else None
        verdict = classify(answer, usable=remote_id is not None)
        if verdict is Verdict.CREATED:
            assert isinstance(answer, Reply)
            assert remote_id is not None
            self._recorder.put(outcome.created(claim, answer, remote_id, sent_at=sent_at, now=now))
            return
        if verdict is Verdict.THROTTLED:
            self._recorder.tally.throttled += 1
        if verdict is Verdict.UNAUTHORIZED:
            self._unauthorized(token)
        code, message = (None, answer.reason) if isinstance(answer, Failure) else self._explain(answer, body)
        was_sent = isinstance(answer, Reply) or answer.sent
        claim = claim._replace(first_sent_at=sent_at) if was_sent else claim
        self._recorder.put(
            outcome.ended(claim, *EVENTS[verdict], now=now, answer=answer, error_code=code, message=message)
        )

    def _finish(self) -> None:
        """Give back what was claimed and not sent: it stays pending, and nobody sends it."""
        now = self._clock.wall()
        for claim in self._supply.rest():
            self._recorder.put(outcome.ended(claim, Event.NOT_APPLIED, now=now, attempts=claim.attempts))
        self._meter.finish()


EVENTS: Final = {
    Verdict.REFUSED: (Event.REFUSED,),
    Verdict.UNAUTHORIZED: (Event.REFUSED,),
    Verdict.FORBIDDEN: (Event.REFUSED,),
    # Nobody else has such a name: who took it is this very request, sent twice by something between us and the server.
    Verdict.NAME_TAKEN: (Event.LOST,),
    Verdict.LOST: (Event.LOST,),
    Verdict.NOT_SENT: (Event.NOT_APPLIED, Event.GAVE_UP),
    Verdict.THROTTLED: (Event.NOT_APPLIED, Event.GAVE_UP),
}
"""What an attempt that created nothing, as far as we know, means for its record where nobody sends it again."""


def _wake(turn: asyncio.Future[None] | None) -> None:
    if turn is not None and not turn.done():
        turn.set_result(None)
