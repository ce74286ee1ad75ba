"""A run: the ledger brought up to date with the inputs, then a lane for each tenant that has something to do.

Lanes run side by side as far as there are seats (`seats`); a lane is made when its tenant is first seated, and let go
when it is done.

This module must never decide what becomes of a record (the lanes' and the core's work), print, or read a flag.
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import Final, Protocol

import anyio

from bulkstreams.client import Client, new_session, token_session
from bulkstreams.core.outage import PATIENCE_S
from bulkstreams.core.pacing import Ceiling, Pacer
from bulkstreams.core.references import Reference
from bulkstreams.core.stopping import Stop, StopRules
from bulkstreams.engine.lane import Lane
from bulkstreams.engine.noting import keep_noting
from bulkstreams.engine.outlook import Outlook
from bulkstreams.engine.reading import Reading, Tenants, Watcher
from bulkstreams.engine.recorder import Listener, Recorder
from bulkstreams.engine.seats import MOST_SEATS, Seat, Seats
from bulkstreams.engine.stops import Limits, Stops
from bulkstreams.engine.tools import Clock, Credential, LaneSettings, Tools
from bulkstreams.errors import InputChangedError, UsageError, first_cause
from bulkstreams.ledger import Ledger
from bulkstreams.limiter import Limiter
from bulkstreams.model import Claim, TenantName
from bulkstreams.schema import Rules, line_digest, prepare
from bulkstreams.source import Input

GRACE_S: Final = 10.0
"""Seconds that attempts under way are given to end once a run is asked to stop."""


class SystemClock:
    """The machine's own clocks."""

    @staticmethod
    def monotonic() -> float:
        """Return monotonic seconds."""
        return time.monotonic()

    @staticmethod
    def wall() -> float:
        """Return seconds since 1970, UTC."""
        return time.time()


@dataclass(frozen=True, slots=True, kw_only=True)
class LanePlan:
    """How one tenant is to be treated; without `obey_budget` only a 429 makes us wait for the server.

    `stops` are its own rules, beside those of the run.
    """

    base_url: str
    ceiling: Ceiling
    obey_budget: bool
    reserve: float
    concurrency: int
    stops: StopRules = field(default_factory=StopRules)


class Connector(Protocol):
    """How the engine learns of the tenants that it meets in the ledger."""

    def plan(self, tenant: TenantName) -> LanePlan:
        """Return how to treat a tenant."""

    def credential(self, tenant: TenantName, session: object) -> Credential:
        """Return where its tokens come from; `session` is an HTTP session for token requests alone, of all tenants."""


class RunWatcher(Watcher, Protocol):
    """Who wants to know of a run while it goes on: what its reading finds, and which tenants stop."""

    def lane_stopped(self, tenant: str, reason: str) -> None:
        """A tenant is asked no more in this run, while the others go on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What a run is about. `connections` is how many it may have open at once, `seats` how many lanes may run.

    `set_status` is what every stream that it creates is given in place of its line's status; None: nothing.
    """

    inputs: Sequence[Input]
    rules: Rules
    tenants: Tenants
    unresolvable: Callable[[Reference], str | None]
    resolve: Callable[[Reference], str]
    mask: Callable[[str, tuple[str, ...]], str]
    connector: Connector
    watcher: RunWatcher
    listener: Listener
    limits: Limits = field(default_factory=Limits)
    retries: int = 5
    timeout_s: float = 30.0
    settle_s: float = 2.0
    retry_failed: bool = False
    set_status: str | None = None
    preflight: bool = True
    connections: int = 100_000
    seats: int = MOST_SEATS


Connect = Callable[[LanePlan, int], AbstractAsyncContextManager[Client]]
"""How a tenant is connected to for a turn: its plan and the connections at once → a client while the context lasts."""


class Engine:
    """Provisions what a job's inputs name and the ledger does not show as settled."""

    def __init__(
        self,
        ledger: Ledger,
        job: Job,
        clock: Clock | None = None,
        draw: Callable[[], float] = random.random,
        connect: Connect | None = None,
    ) -> None:
        self.job = job
        self.lanes: dict[TenantName, Lane] = {}  # those that were seated and are not done
        self.hints: dict[str, None] = {}  # in the order in which they came, the run's own first
        self.stopped: str | None = None
        self.todo = 0
        self.has_read = False
        self._ledger = ledger
        self._clock: Clock = clock or SystemClock()
        self._draw = draw
        self._connect: Connect = connect or self._client
        self._began = self._clock.monotonic()
        self._recorder = Recorder(ledger, job.listener)
        self._files: Mapping[int, Input] = {}
        # Told apart once for all, not at each record.
        self._body = prepare if job.set_status is None else partial(prepare, status=job.set_status)
        self._left = job.limits.limit
        deadline_s = job.limits.deadline_s
        stops_at = None if deadline_s is None else self._began + deadline_s
        self.outlook = Outlook(self._clock.monotonic, lambda: self._left, stops_at)
        self._todo: dict[TenantName, tuple[int, int]] = {}
        self._stopped: dict[str, str] = {}
        self._seats = Seats(job.connections, self._clock.monotonic, most=job.seats)
        self._stops = Stops(job.limits, began=self._began, clock=self._clock.monotonic, stop=self._stop_by_rule)
        self._cut = anyio.CancelScope()
        self._reading = anyio.CancelScope()

    @property
    def reasons(self) -> dict[str, str]:
        """Return the tenants whose lanes were stopped, and why."""
        found = dict(self._stopped)
        if self.stopped is not None:
            found |= dict.fromkeys(self._seats.waiting, self.stopped)
        found |= {name: lane.stopped for name, lane in self.lanes.items() if lane.stopped is not None}
        return {name: self._stops.told(name, reason) for name, reason in found.items()}

    async def read(self) -> bool:
        """Bring the ledger up to date with the inputs; return False where they had not changed.

        A `stop` meanwhile ends it at once.
        """
        job = self.job
        reading = Reading(
            inputs=job.inputs, ledger=self._ledger, rules=job.rules, tenants=job.tenants,
            unresolvable=job.unresolvable, watcher=job.watcher, clock=self._clock.wall,
        )  # fmt: skip
        try:
            with self._reading:
                news = await reading.run()
                self.has_read = True
                return news
        finally:
            self._files = reading.files
        return True

    async def provision(self) -> None:
        """Create what is pending, clear what is in doubt. `read` comes first.

        Raises InputChangedError, and the ledger's errors; a tenant's own trouble stops its lane alone (`reasons`).
        """
        self._todo = await self._ledger.reopen(retry_failed=self.job.retry_failed)
        for tenant in self._todo:
            await self._recall(tenant)
        pending = sum(pending for pending, _ in self._todo.values())
        in_doubt = sum(in_doubt for _, in_doubt in self._todo.values())
        self.todo = in_doubt + (pending if self._left is None else min(pending, self._left))
        self.outlook.expect(self._todo)
        try:
            await self._provision()
        except BaseExceptionGroup as group:
            # One cause ends a run; the others are what it did to its neighbours.
            raise first_cause(group) from None

    async def _recall(self, tenant: TenantName) -> None:
        """Make sure that a tenant is where the ledger has it: an input that was not read again named none."""
        located = self.job.tenants.locate(tenant)
        if not isinstance(located, tuple):
            raise UsageError(
                f"the ledger holds work for the tenant {tenant}: {located.message}.",
                hint="Put it back into the configuration, or take its lines out of the input.",
            )
        await self._ledger.tenant(*located)

    async def _provision(self) -> None:
        async with token_session() as self._for_tokens, anyio.create_task_group() as outer:
            outer.start_soon(self._recorder.run)
            try:
                with self._cut:
                    await self._run_lanes()
            finally:
                with anyio.CancelScope(shield=True), anyio.move_on_after(GRACE_S):
                    await self._recorder.flush()
                self._recorder.close()

    async def _run_lanes(self) -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(self._stops.watch)
            group.start_soon(keep_noting, self.outlook, self._ledger, self._clock)
            await self._seats.run(self._todo, lambda tenant: self.job.connector.plan(tenant).concurrency, self._turn)
            group.cancel_scope.cancel()

    # -- a lane's turn ------------------------------------------------------------------------------------------------

    async def _turn(self, seat: Seat) -> float | None:
        """Let a tenant's lane run in its seat; return when it wants another, None where it is done."""
        tenant, plan = seat.tenant, self.job.connector.plan(seat.tenant)
        if tenant not in self.lanes and self._left == 0 and not self._todo[tenant][1]:
            self.outlook.pass_over(tenant)  # the run may take no more records, and nothing of this tenant is in doubt
            return None
        async with self._connect(plan, seat.pool) as client:
            lane = self.lanes.get(tenant) or await self._open_lane(tenant, plan, client)
            lane.client, lane.settings = client, replace(lane.settings, concurrency=seat.pool)
            seat.taken_by = lane
            await lane.run()
            del lane.client  # a lane that is away keeps what it learned, and nothing else
        if not lane.finished and self.stopped is None:
            return lane.rests_until()
        self._let_go(lane)
        return None

    async def _open_lane(self, tenant: TenantName, plan: LanePlan, client: Client) -> Lane:
        """Make the lane of a tenant that is seated for the first time."""
        job = self.job
        pending, in_doubt = self._todo[tenant]
        survey = job.preflight and pending > 0 and await self._ledger.needs_survey(tenant)
        pacer = Pacer(obey=plan.obey_budget, reserve=plan.reserve, concurrency=plan.concurrency)
        lane = Lane(
            tenant,
            client,
            job.connector.credential(tenant, self._for_tokens),
            Limiter(plan.ceiling, pacer, self._clock.monotonic),
            LaneSettings(
                concurrency=plan.concurrency, retries=job.retries, settle_s=job.settle_s, ceiling=plan.ceiling.rate,
                patience_s=self._patience_s(plan.stops),
            ),
            replace(self._tools, recorder=self._stops.expect(tenant, plan.stops, self._recorder)),
        )  # fmt: skip
        lane.expect(pending=pending, in_doubt=in_doubt, survey=survey)
        self.lanes[tenant] = lane
        self.outlook.seat(lane)
        if self.stopped is not None:
            lane.stop(self.stopped)
        return lane

    @asynccontextmanager
    async def _client(self, plan: LanePlan, connections: int) -> AsyncIterator[Client]:
        async with new_session(connections) as session:
            yield Client(session, plan.base_url, self.job.timeout_s)

    @cached_property
    def _tools(self) -> Tools:
        return Tools(
            ledger=self._ledger, recorder=self._recorder, prepare=self._prepare,
            compares=any(not one.trusted for one in self._files.values()),
            mask=self.job.mask, allow=self._allow, clock=self._clock, draw=self._draw,
            set_status=self.job.set_status,
        )  # fmt: skip

    def _let_go(self, lane: Lane) -> None:
        """Keep of a lane that is done only why it was stopped, if it was."""
        del self.lanes[lane.tenant]
        if lane.stopped is not None:
            self._stopped[lane.tenant] = lane.stopped
            if self.stopped is None and (self.lanes or self._seats.waiting):
                self.job.watcher.lane_stopped(lane.tenant, lane.stopped)
        if lane.stop_hint:
            self.hints.setdefault(lane.stop_hint)

    # -- stopping -----------------------------------------------------------------------------------------------------

    def _patience_s(self, own: StopRules) -> float:
        """Return how long a tenant that is down is waited for, in seconds: for ever where a deadline ends it anyway."""
        has_deadline = own.deadline_s is not None or self.job.limits.deadline_s is not None
        return math.inf if has_deadline else PATIENCE_S

    def stop(self, reason: str, hint: str = "") -> None:
        """Drain: nothing new starts, attempts under way end in order, unsent claims become pending again."""
        if self.stopped is None:
            self.stopped = reason
            if hint:
                self.hints = {hint: None, **self.hints}
            self._reading.cancel()  # nothing was sent yet; the next run reads anew
            self._seats.close()
            for lane in self.lanes.values():
                lane.stop(reason)
            self._cut.deadline = anyio.current_time() + GRACE_S

    def abandon(self) -> None:
        """Leave at once: attempts under way are cut off, and a later run looks them up."""
        self.stop("interrupted")
        self._cut.cancel()

    def _stop_by_rule(self, tenant: TenantName | None, why: Stop) -> None:
        """Stop a tenant's lane, or the run, since one of its rules says so."""
        if tenant is None:
            self.stop(why.reason, why.hint)
        elif tenant in self.lanes:
            self.lanes[tenant].stop(why.reason, why.hint)
            self._seats.recall(tenant)

    # -- what the lanes share -----------------------------------------------------------------------------------------

    def _allow(self, wanted: int) -> int:
        """Take `wanted` records off what the run may still take, and return how many it may; a negative gives back."""
        if self._left is None:
            return wanted
        granted = min(wanted, self._left)
        self._left -= granted
        return granted

    def _prepare(self, claim: Claim) -> bytes:
        """Read a claim's line again, and make sure that it is the line that was read before.

        The input itself notices a change by the file's times; where those cannot be trusted, the digest does.
        """
        one = self._files[claim.input]
        data = one.read_at(claim.offset, claim.length)
        body = self._body(data, self.job.resolve)
        if body is None or (not one.trusted and line_digest(data) != claim.digest):
            raise InputChangedError(
                f"{one.name}:{claim.line} is no longer the line that was read; it was not sent.",
                hint="Run the same command again: it reads the input anew and resumes.",
            )
        return body
