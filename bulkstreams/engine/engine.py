"""A run: the ledger brought up to date with the inputs, then one lane for each tenant that has something to do.

This module must never decide what becomes of a record (the lanes' and the core's work), print, or read a flag.
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from functools import partial
from typing import Final, Protocol

import anyio

from bulkstreams.client import Client, new_session
from bulkstreams.core.outage import PATIENCE_S
from bulkstreams.core.pacing import Ceiling, Window
from bulkstreams.core.references import Reference
from bulkstreams.core.stopping import Stop, StopRules
from bulkstreams.engine.lane import Lane
from bulkstreams.engine.reading import Reading, Tenants, Watcher
from bulkstreams.engine.recorder import Listener, Recorder
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
        """Return where its tokens come from; `session` is an HTTP session for its token requests alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What a run is about."""

    inputs: Sequence[Input]
    rules: Rules
    tenants: Tenants
    unresolvable: Callable[[Reference], str | None]
    resolve: Callable[[Reference], str]
    mask: Callable[[str, tuple[str, ...]], str]
    connector: Connector
    watcher: Watcher
    listener: Listener
    limits: Limits = field(default_factory=Limits)
    retries: int = 5
    timeout_s: float = 30.0
    settle_s: float = 2.0
    retry_failed: bool = False
    preflight: bool = True


class Engine:
    """Provisions what a job's inputs name and the ledger does not show as settled."""

    def __init__(
        self,
        ledger: Ledger,
        job: Job,
        clock: Clock | None = None,
        draw: Callable[[], float] = random.random,
    ) -> None:
        self.job = job
        self.lanes: dict[TenantName, Lane] = {}
        self.stopped: str | None = None
        self.todo = 0
        self.has_read = False
        self._ledger = ledger
        self._clock: Clock = clock or SystemClock()
        self._draw = draw
        self._began = self._clock.monotonic()
        self._recorder = Recorder(ledger, job.listener)
        self._files: Mapping[int, Input] = {}
        self._left = job.limits.limit
        self._stops = Stops(job.limits, began=self._began, clock=self._clock.monotonic, stop=self._stop_by_rule)
        self._cut = anyio.CancelScope()
        self._reading = anyio.CancelScope()

    @property
    def reasons(self) -> dict[str, str]:
        """Return the tenants whose lanes were stopped, and why."""
        return {name: self._stops.told(lane.stopped) for name, lane in self.lanes.items() if lane.stopped is not None}

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
        todo = await self._ledger.reopen(retry_failed=self.job.retry_failed)
        for tenant in todo:
            await self._recall(tenant)
        self.todo = sum(pending + in_doubt for pending, in_doubt in todo.values())
        try:
            await self._provision(todo)
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

    async def _provision(self, todo: Mapping[TenantName, tuple[int, int]]) -> None:
        async with AsyncExitStack() as sessions, anyio.create_task_group() as outer:
            outer.start_soon(self._recorder.run)
            try:
                with self._cut:
                    await self._run_lanes(todo, sessions)
            finally:
                with anyio.CancelScope(shield=True), anyio.move_on_after(GRACE_S):
                    await self._recorder.flush()
                self._recorder.close()

    async def _run_lanes(self, todo: Mapping[TenantName, tuple[int, int]], sessions: AsyncExitStack) -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(self._stops.watch)
            async with anyio.create_task_group() as lanes:
                for tenant, (pending, in_doubt) in todo.items():
                    survey = self.job.preflight and pending > 0 and await self._ledger.needs_survey(tenant)
                    lane = await self._open_lane(tenant, sessions)
                    self.lanes[tenant] = lane
                    if self.stopped is not None:
                        lane.stop(self.stopped)
                    lanes.start_soon(partial(lane.run, pending=pending, in_doubt=in_doubt, survey=survey))
            group.cancel_scope.cancel()

    async def _open_lane(self, tenant: TenantName, sessions: AsyncExitStack) -> Lane:
        job = self.job
        plan = job.connector.plan(tenant)
        session = await sessions.enter_async_context(new_session(plan.concurrency))
        for_tokens = await sessions.enter_async_context(new_session(1))  # a token request carries no token
        window = Window(reserve=plan.reserve) if plan.obey_budget else None
        return Lane(
            tenant,
            Client(session, plan.base_url, job.timeout_s),
            job.connector.credential(tenant, for_tokens),
            Limiter(plan.ceiling, window, self._clock.monotonic),
            window,
            LaneSettings(
                concurrency=plan.concurrency, retries=job.retries, settle_s=job.settle_s,
                patience_s=self._patience_s(plan.stops),
            ),
            Tools(
                ledger=self._ledger,
                recorder=self._stops.expect(tenant, plan.stops, self._recorder),
                prepare=self._prepare,
                compares=any(not one.trusted for one in self._files.values()),
                mask=job.mask, allow=self._allow, clock=self._clock, draw=self._draw,
            ),
        )  # fmt: skip

    # -- stopping -----------------------------------------------------------------------------------------------------

    def _patience_s(self, own: StopRules) -> float:
        """Return how long a tenant that is down is waited for: to its deadline where it has one, and tells how long."""
        has_deadline = own.deadline_s is not None or self.job.limits.deadline_s is not None
        return math.inf if has_deadline else PATIENCE_S

    def stop(self, reason: str, hint: str = "") -> None:
        """Drain: nothing new starts, attempts under way end in order, unsent claims become pending again."""
        if self.stopped is None:
            self.stopped = reason
            self._reading.cancel()  # nothing was sent yet; the next run reads anew
            for lane in self.lanes.values():
                lane.stop(reason, hint)
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
        body = prepare(data, self.job.resolve)
        if body is None or (not one.trusted and line_digest(data) != claim.digest):
            raise InputChangedError(
                f"{one.name}:{claim.line} is no longer the line that was read; it was not sent.",
                hint="Run the same command again: it reads the input anew and resumes.",
            )
        return body
