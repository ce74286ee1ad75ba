"""One tenant's share of a command: claims from the ledger, at most `concurrency` attempts at once, verdicts back to it.

What it does with its claims is its `work`: creating streams (`creating`), changing them afterwards, or only looking
(`looking`). A lane holds a bounded window of claims. Workers take from its front; a retry waits in a heap, never in a
worker. A lane that stops touches no other. Where there are more lanes than seats (`seats`), it runs a turn at a time.
This module must never look into an answer (its work does), nor choose a delay itself (`core.retry`, `core.pacing`).
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from heapq import heappop, heappush
from typing import Any, Final

import anyio
from anyio.abc import TaskGroup

from bulkstreams.client import Client
from bulkstreams.core.budget import ServerClock
from bulkstreams.core.pacing import UNWATCHED
from bulkstreams.engine.breaker import Breaker
from bulkstreams.engine.tokens import Tokens
from bulkstreams.engine.tools import Credential, LaneSettings, Tools
from bulkstreams.engine.waiting import pause_of
from bulkstreams.engine.work import Work
from bulkstreams.limiter import Limiter
from bulkstreams.model import Failure, Reply, TenantName

MAX_WINDOW: Final = 4096
"""The most records that one lane holds in flight or about to be: what a crash leaves in doubt at the worst."""

WINDOW_S: Final = 1.0
"""Seconds' worth of sending that a lane claims ahead of its limiter."""

UNREACHABLE_AFTER: Final = 100
"""Records in a row that could not be sent at all, with no answer between, after which a tenant is given up."""


class Lane:
    """Does its work at one tenant, whose limits, token and connections are its own."""

    def __init__(
        self,
        tenant: TenantName,
        client: Client,
        credential: Credential,
        limiter: Limiter,
        settings: LaneSettings,
        tools: Tools,
        work: Callable[[Lane], Work],
    ) -> None:
        self.tenant = tenant
        self.settings = settings
        self.tools = tools
        self.client = client
        self.tokens = Tokens(self, credential)
        self.limiter = limiter
        self.stopped: str | None = None
        self.stop_hint = ""
        self.leaving = False
        self.holding = False
        self.looks_again_at = 0.0  # no page that failed is asked for again before that instant
        self.finished = False
        self.in_flight = 0
        self.sent = 0
        self.under_way: set[int] = set()
        self.width = settings.concurrency
        self.server_clock = ServerClock()
        self._clock_is_old = True
        self._has_heard = False
        self._window = min(2 * settings.concurrency, MAX_WINDOW)
        self._ready: deque[Any] = deque()
        self._waiting: list[tuple[float, int, Any]] = []
        self._waiter_runs = False
        self._workers = 0
        self._unclaimed = 0
        self._claiming = 0
        self._sized_at, self._sized_sent = tools.clock.monotonic(), 0
        self._unreachable = 0
        self._returned = False
        self._dry = False
        self._retry_at = 0.0
        self._changed = asyncio.Event()
        self._stopping = anyio.Event()
        self._group: TaskGroup
        self.breaker = Breaker(self)
        self.work = work(self)
        self.doubts = self.work.doubts

    # -- the life of a lane -------------------------------------------------------------------------------------------

    def expect(self, pending: int) -> None:
        """Take in how many records of the tenant can be claimed, before the first `run`."""
        self._unclaimed = pending

    async def run(self) -> None:
        """Work until nothing of the tenant is pending or in doubt, or until the lane is stopped: then it `finished`.

        Or until it was asked to `leave`: then another `run` goes on where this one ended. Raises InputChangedError and
        the ledger's errors.
        """
        if self.leaving:
            self._come_back()
        over = False
        try:
            async with anyio.create_task_group() as self._group:
                self.breaker.resize()  # its seat may come with other connections than its last one
                self.doubts.resume()
                over = await self._work_through()
        finally:
            # Cut off or not: what is still here was never sent.
            self._release()
        self.finished = over or self.stopped is not None

    async def _work_through(self) -> bool:
        """Look and feed until the lane ends or leaves; return whether there is nothing left that it could do."""
        if self.work.looks_first and not await self.work.look_first():
            return self.work.is_over
        return await self._feed()

    @property
    def going(self) -> bool:
        """Return whether the lane may go on: nobody stopped it, nobody asked it to leave its seat."""
        return self.stopped is None and not self.leaving

    def leave(self) -> None:
        """Send nothing more for now: as `stop`, but for later. It may be asked again while it drains.

        Attempts under way end in order, and so does a token request; one that only waits for its next try does not.
        """
        if self.stopped is None:
            self.leaving = True
            self.limiter.close()
            self._stopping.set()
            self._changed.set()
            self.doubts.hurry()
            self.tokens.leave()

    def _come_back(self) -> None:
        self.leaving = False
        self._retry_at = 0.0
        self._sized_at, self._sized_sent = self.tools.clock.monotonic(), self.sent
        if self.stopped is None:
            self._stopping = anyio.Event()
            self.limiter.open()

    def rests_until(self) -> float:
        """Return the monotonic instant before which it can send nothing; one in the past where it flows.

        Of a lane that has left: the instant from which on a seat is of use to it.
        """
        pause = max(self.limiter.resume_at, self.tokens.resume_at)
        if self._ready or self._workers or (not self.work.looks_first and self._claims_on):
            return max(pause, self._retry_at)
        instants = [due for due, _, _ in self._waiting[:1]]
        if self.doubts.count:
            instants.append(max(self.doubts.settles_at, self.looks_again_at))
        elif self.work.looks_first:
            instants.append(self.looks_again_at)
        return max(pause, min(instants, default=0.0))

    def stop(self, reason: str, hint: str = "") -> None:
        """Send nothing more: attempts under way end in order, what was claimed and not sent becomes pending again."""
        if self.stopped is None and not self.finished:
            outage = self.breaker.trouble()
            told = outage and self.breaker.outage.cause in reason
            trouble = self.limiter.refusing if told or not outage else outage
            self.stopped = f"{reason} ({trouble})" if trouble else reason
            self.stop_hint = hint
            self.limiter.close()
            self.tools.pauses.cut(self.tenant, self.tools.clock.monotonic())
            self._stopping.set()
            self._changed.set()
            self.tokens.stop()

    async def hold(self) -> None:
        """Let no more creates go, and wait until those under way have their answers; look-ups may go on."""
        self.holding = True
        while self.under_way and await self.sleep(0.02):
            pass

    async def sleep(self, seconds: float) -> bool:
        """Wait, but no longer than until the lane is stopped; return whether it goes on."""
        with anyio.move_on_after(seconds):
            await self._stopping.wait()
        return self.going

    def start(self, work: Callable[[], object]) -> None:
        """Start a task that ends before the lane does."""
        self._group.start_soon(work)  # type: ignore[arg-type]

    def wake(self) -> None:
        """Look again whether there is more to claim, or nothing left at all."""
        self._changed.set()

    async def change(self) -> None:
        """Wait until something of the lane has changed: a record was settled, it was woken, stopped, asked to leave."""
        self._changed.clear()
        await self._changed.wait()

    def _release(self) -> None:
        """Give everything back that is held; where only retries were left, note when they all are due."""
        if self._waiting and not self._ready and not self._claims_on:
            self._retry_at = max(due for due, _, _ in self._waiting)
        for claim in [*self._ready, *(claim for _, _, claim in self._waiting)]:
            self._dry = False
            self.work.release(claim)
            self.returned(charged=True)
        self._ready.clear()
        self._waiting.clear()

    # -- what it tells of itself (see `waiting` and `outlook`) ---------------------------------------------------------

    def left(self, may_take: int | None = None) -> int:
        """Return how many records are not settled; of those not claimed yet, no more than the run `may_take`."""
        unclaimed = self._unclaimed if may_take is None else min(self._unclaimed, may_take)
        return unclaimed + self._claiming + self._held + self.doubts.count

    @property
    def surveying(self) -> bool:
        """Return whether what is there already is not known yet: a lane that is away may have to ask once more."""
        return self.work.looks_first

    @property
    def is_claiming(self) -> bool:
        """Return whether claims are on their way from the ledger."""
        return self._claiming > 0

    @property
    def at_gate(self) -> int:
        """Return how many records a worker has in hand that the limiter does not let go yet."""
        return self._workers - len(self.under_way)

    # -- claims -------------------------------------------------------------------------------------------------------

    @property
    def idle(self) -> bool:
        """Return whether there is nothing to send."""
        return self._held == 0

    @property
    def _held(self) -> int:
        return len(self._ready) + len(self._waiting) + self._workers

    async def _feed(self) -> bool:
        """Keep the window filled, ahead of the limiter, so that no worker waits for the disk.

        Return whether nothing is left; where not, the lane was stopped, or leaves.
        """
        while self.going:
            if self._returned:
                self._returned, self._dry = False, False
                await self.tools.recorder.flush()  # what was put back can be claimed once it is on disk
            room = self._window - self._held
            if self._claims_on and not self.holding and room * 2 >= self._window:
                self._dry = await self._claim(room)
                continue
            if self._dry and self._held == 0:
                if not self.doubts.busy:
                    await self.tools.recorder.flush()  # what was put back may still be on its way to the ledger
                    if not self._returned and self._held == 0 and not self.doubts.busy:
                        return self.going
                    continue
                self.doubts.hurry()
            await self.change()
        return False

    @property
    def _claims_on(self) -> bool:
        """Return whether there is more to claim, and nothing keeps the lane from it but its window."""
        return not self._dry and self._may_claim()

    def _may_claim(self) -> bool:
        """Return whether doubts leave room for more; and before the server has answered once, go one at a time."""
        return self.doubts.has_room and (self._held == 0 or self._has_heard)

    def _server_now(self) -> float | None:
        """Return the server's instant; None where its replies do not tell it, so that ours has to do.

        Before its first reply the intent is as good as of old: whatever is there may be its work.
        """
        return self.server_clock.at(self.tools.clock.monotonic()) if self._has_heard else 0.0

    async def _claim(self, room: int) -> bool:
        """Claim up to `room` records; return whether there are no more for now."""
        if not self._has_heard:
            room = 1
        if self.tools.recorder.backlog > MAX_WINDOW:
            await self.tools.recorder.flush()  # whoever is told of outcomes cannot keep up: send no faster than they
        claims = await self._take(room)
        if claims:
            self._size_window()
            self._ready.extend(claims)
            self._staff()
        return len(claims) < room

    async def _take(self, room: int) -> list[Any]:
        """Claim up to `room` records, no more than there are and than the run may take."""
        count = self.tools.allow(max(0, min(room, self._unclaimed)))
        server_now = self._server_now()
        self._clock_is_old = True  # once for each claim is often enough
        claims: list[Any] = []
        if count:
            self._unclaimed -= count
            self._claiming = count
            claims = await self.work.claim(count, server_now)
            self._claiming = 0
        self.tools.allow(len(claims) - count)
        return claims

    def _size_window(self) -> None:
        """Hold what the lane sends in `WINDOW_S`, as it went since the last claim; it may double at most."""
        now = self.tools.clock.monotonic()
        passed, sent = now - self._sized_at, self.sent - self._sized_sent
        self._sized_at, self._sized_sent = now, self.sent
        wanted = min(2 * self._window, round(WINDOW_S * sent / passed)) if passed > 0 and sent else 0
        self._window = max(2 * self.settings.concurrency, min(MAX_WINDOW, wanted))

    def _staff(self) -> None:
        wanted = min(self.width - self._workers, len(self._ready))
        for _ in range(wanted):
            self._workers += 1
            self._group.start_soon(self._work)

    def resize(self, width: int) -> None:
        """Let `width` workers work; those that are too many end with what they have in hand."""
        self.width = width
        if self.stopped is None:
            self._staff()

    async def _work(self) -> None:
        """Send one record after the other, until none is ready."""
        ready, work = self._ready, self.work
        try:
            while ready and not (
                self.stopped is not None or self.leaving or self.holding or self._workers > self.width
            ):
                claim = ready.popleft()
                body = work.prepare(claim)
                if body is not None:
                    await work.send(claim, body)
                if len(ready) * 2 <= self._window:
                    self._changed.set()
        finally:
            self._workers -= 1
            self._changed.set()

    def put_back(self, claim: Any) -> None:
        """Take a claim back that was not sent, or not applied; it goes before all others."""
        self._ready.appendleft(claim)
        self._check_given_up()

    def _check_given_up(self) -> None:
        if self.breaker.gave_up:  # and somebody held this one in hand meanwhile
            self.cannot_be_reached(self.breaker.story())

    def returned(self, *, charged: bool) -> None:
        """Take note that a record is on its way back to the ledger, to be claimed again.

        `charged`: it was claimed in this run, and counts only once for what the run may take.
        """
        self._returned = True
        self._unclaimed += 1
        if charged:
            self.tools.allow(-1)

    def found_before_sending(self) -> None:
        """Take note that a pending record was settled without a claim."""
        self._unclaimed -= 1

    # -- what replies say of the tenant -------------------------------------------------------------------------------

    def heard(self, ticket: int, reply: Reply) -> None:
        """Take from the reply to a request what it says of the tenant's clock and budget."""
        self._unreachable = 0
        limiter = self.limiter
        throttled = reply.status == 429
        if ticket == UNWATCHED and not (throttled or self._clock_is_old or limiter.pacer.obeys):
            limiter.changed()
            return
        if self._clock_is_old:
            self._clock_is_old, self._has_heard = False, True
            self.server_clock.heard(reply.headers, self.tools.clock.monotonic())
        self.tools.recorder.tally.throttled += throttled
        limiter.heard(ticket, reply.status, reply.headers, self.tools.draw() if throttled else 0.0)
        if throttled:
            self.note_pause()

    def note_pause(self) -> None:
        """Have it noted that nothing goes to the tenant for a while."""
        clock = self.tools.clock
        pause = pause_of(self, now := clock.monotonic())
        if pause is not None:
            self.tools.pauses.note(self.tenant, pause, now, clock.wall())

    def forbidden(self, answer: Reply | Failure, message: str) -> None:
        """Stop the lane: no record of this tenant can succeed."""
        status = answer.status if isinstance(answer, Reply) else 0
        hint = (
            f"Give the client {self.work.scopes}, and check that the plan has event streams; "
            "then run the same command again."
            if status == 403
            else "Check the tenant's address (domain or base_url); then run the same command again."
        )
        self.stop(f"{self.tenant} answered {status}: {message}", hint)

    # -- a tenant that cannot be reached ------------------------------------------------------------------------------

    def unsent(self) -> None:
        """Take note that a record's attempts are used up and none reached the tenant; so many in a row stop it."""
        self._unreachable += 1
        if self._unreachable >= UNREACHABLE_AFTER:
            self.cannot_be_reached(self.breaker.story())

    def cannot_be_reached(self, reason: str) -> None:
        """Stop the lane: nothing gets through to its tenant."""
        self.stop(
            f"{self.tenant} cannot be reached: {reason}",
            "Check the network and the tenant's address; then run the same command again: it resumes.",
        )

    async def give_up(self, reason: str) -> None:
        """Exhaust the first records, so many as tell that a tenant is given up; the lane stops where there are more.

        The newest attempt to reach the tenant did not get as far as a connection. What is in doubt stays so.
        """
        held = [*self._ready, *(claim for _, _, claim in self._waiting)]
        room = max(0, UNREACHABLE_AFTER - self._unreachable)
        self._ready.clear()
        self._waiting.clear()
        self._ready.extend(held[room:])
        for claim in [*held[:room], *await self._take(room - len(held[:room]))]:
            self.work.give_up(claim, reason)
            self.unsent()
        if self._unclaimed or self._ready or self.doubts.count:
            self.cannot_be_reached(self.breaker.story())
        self.wake()

    # -- waiting for a retry ------------------------------------------------------------------------------------------

    def later(self, claim: Any, delay: float) -> None:
        """Have a claim sent again after `delay` seconds."""
        heappush(self._waiting, (self.tools.clock.monotonic() + delay, claim.id, claim))
        self._check_given_up()
        if not self._waiter_runs:
            self._waiter_runs = True
            self._group.start_soon(self._bring_back)

    async def _bring_back(self) -> None:
        while self._waiting and self.going:
            due = self._waiting[0][0] - self.tools.clock.monotonic()
            if due > 0:
                # A shorter delay may be added meanwhile; no retry is worse off than by this step for it.
                await self.sleep(min(due, 0.25))
                continue
            self._ready.append(heappop(self._waiting)[2])
            self._staff()
        self._waiter_runs = False
