"""The lanes of one command: each tenant with something to do has one, which runs while it has a seat.

What is shared among them is here: the seats, the stop rules, the session for tokens, the end of it all. What a lane
does is told by whoever opens it (`Open`). This module must never decide what becomes of a record, print, or read a
flag.
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Final, Protocol

import anyio

from bulkstreams.client import Client, new_session, token_session
from bulkstreams.core.course import Pauses
from bulkstreams.core.metrics import Tally
from bulkstreams.core.outage import PATIENCE_S
from bulkstreams.core.pacing import Ceiling, Pacer
from bulkstreams.core.stopping import Stop, StopRules
from bulkstreams.engine.lane import Lane
from bulkstreams.engine.outlook import Outlook, allowed
from bulkstreams.engine.recorder import Recorder, Unrecorded
from bulkstreams.engine.seats import MOST_SEATS, Seat, Seats
from bulkstreams.engine.stops import Limits, Stops
from bulkstreams.engine.tools import Clock, Credential, LaneSettings, Tools
from bulkstreams.engine.work import Work
from bulkstreams.errors import first_cause
from bulkstreams.limiter import Limiter
from bulkstreams.model import TenantName

GRACE_S: Final = 10.0
"""Seconds that attempts under way are given to end once a command is asked to stop."""


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


class LaneWatcher(Protocol):
    """Who wants to know which tenants stop while the others go on."""

    def lane_stopped(self, tenant: str, reason: str) -> None:
        """A tenant is asked no more by this command, while the others go on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What the lanes of a command have in common.

    `connections` is how many it may have open at once, `seats` how many lanes may run; `limits.limit` counts claims.
    """

    connector: Connector
    watcher: LaneWatcher
    mask: Callable[[str, tuple[str, ...]], str]
    limits: Limits = field(default_factory=Limits)
    retries: int = 5
    timeout_s: float = 30.0
    settle_s: float = 2.0
    connections: int = 100_000
    seats: int = MOST_SEATS


Connect = Callable[[LanePlan, int], AbstractAsyncContextManager[Client]]
"""How a tenant is connected to for a turn: its plan and the connections at once → a client while the context lasts."""

Open = Callable[[TenantName, LanePlan, Client], Awaitable[Lane]]
"""How a tenant's lane is made when it is seated for the first time: with `Fleet.lane`, and the work that it does."""

Beside = Callable[[], Coroutine[Any, Any, None]]
"""What goes on beside the lanes, and is cancelled when the last of them is done."""

Todo = Mapping[TenantName, tuple[int, int]]
"""By tenant: how many records its lane may claim, and how many things it has to look up whatever the limit."""


class Fleet:
    """The lanes of one command. `recorder` takes what becomes of what they claim; `draw` gives chance in [0, 1)."""

    def __init__(
        self,
        terms: Terms,
        recorder: Recorder[Any] | Unrecorded,
        clock: Clock | None = None,
        draw: Callable[[], float] = random.random,
        connect: Connect | None = None,
    ) -> None:
        self.terms = terms
        self.recorder = recorder
        self.lanes: dict[TenantName, Lane] = {}  # those that were seated and are not done
        self.hints: dict[str, None] = {}  # in the order in which they came, the command's own first
        self.stopped: str | None = None
        self.pauses = Pauses()
        self.todo = 0
        self.clock: Clock = clock or SystemClock()
        self._draw = draw
        self._connect: Connect = connect or self._client
        self._began = self.clock.monotonic()
        self._left = terms.limits.limit
        deadline_s = terms.limits.deadline_s
        stops_at = None if deadline_s is None else self._began + deadline_s
        self.outlook = Outlook(self.clock.monotonic, lambda: self._left, stops_at)
        self._todo: Todo = {}
        self._stopped: dict[str, str] = {}
        self._seats = Seats(terms.connections, self.clock.monotonic, most=terms.seats)
        self._stops = Stops(terms.limits, began=self._began, clock=self.clock.monotonic, stop=self._stop_by_rule)
        self._cut = anyio.CancelScope()

    @property
    def tally(self) -> Tally:
        """Return what was asked of the tenants so far."""
        return self.recorder.tally

    def allowed(self) -> float | None:
        """Return the requests a second that the lanes at work may send together, as far as it is known."""
        return allowed(self.lanes.values())

    @property
    def reasons(self) -> dict[str, str]:
        """Return the tenants whose lanes were stopped, and why."""
        found = dict(self._stopped)
        if self.stopped is not None:
            found |= dict.fromkeys(self._seats.waiting, self.stopped)
        found |= {name: lane.stopped for name, lane in self.lanes.items() if lane.stopped is not None}
        return {name: self._stops.told(name, reason) for name, reason in found.items()}

    async def run(self, todo: Todo, open_lane: Open, beside: Beside | None = None) -> None:
        """Run the lanes of all tenants that have something to do, and `beside` them what ends with them.

        Raises what lanes raise; a tenant's own trouble stops its lane alone (`reasons`).
        """
        self._todo = todo
        left = self._left
        claimable = sum(count for count, _ in todo.values())
        self.todo = sum(other for _, other in todo.values()) + (claimable if left is None else min(claimable, left))
        self.outlook.expect(todo)
        try:
            await self._run(open_lane, beside)
        except BaseExceptionGroup as group:
            # One cause ends a run; the others are what it did to its neighbours.
            raise first_cause(group) from None

    async def _run(self, open_lane: Open, beside: Beside | None) -> None:
        async with token_session() as self._for_tokens, anyio.create_task_group() as outer:
            outer.start_soon(self.recorder.run)
            try:
                with self._cut:
                    await self._run_lanes(open_lane, beside)
            finally:
                with anyio.CancelScope(shield=True), anyio.move_on_after(GRACE_S):
                    await self.recorder.flush()
                self.recorder.close()

    async def _run_lanes(self, open_lane: Open, beside: Beside | None) -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(self._stops.watch)
            if beside is not None:
                group.start_soon(beside)
            plan = self.terms.connector.plan
            await self._seats.run(
                self._todo, lambda tenant: plan(tenant).concurrency, lambda seat: self._turn(seat, open_lane)
            )
            group.cancel_scope.cancel()

    # -- a lane's turn ------------------------------------------------------------------------------------------------

    async def _turn(self, seat: Seat, open_lane: Open) -> float | None:
        """Let a tenant's lane run in its seat; return when it wants another, None where it is done."""
        tenant, plan = seat.tenant, self.terms.connector.plan(seat.tenant)
        if tenant not in self.lanes and self._left == 0 and not self._todo[tenant][1]:
            self.outlook.pass_over(tenant)  # no more may be claimed, and there is nothing else to do at this tenant
            return None
        async with self._connect(plan, seat.pool) as client:
            lane = self.lanes.get(tenant) or await self._first(tenant, plan, client, open_lane)
            lane.client, lane.settings = client, replace(lane.settings, concurrency=seat.pool)
            seat.taken_by = lane
            await lane.run()
            del lane.client  # a lane that is away keeps what it learned, and nothing else
        if not lane.finished and self.stopped is None:
            return lane.rests_until()
        self._let_go(lane)
        return None

    async def _first(self, tenant: TenantName, plan: LanePlan, client: Client, open_lane: Open) -> Lane:
        """Have the lane made of a tenant that is seated for the first time."""
        lane = self.lanes[tenant] = await open_lane(tenant, plan, client)
        self.outlook.seat(lane)
        if self.stopped is not None:
            lane.stop(self.stopped)
        return lane

    def lane(self, tenant: TenantName, plan: LanePlan, client: Client, work: Callable[[Lane], Work]) -> Lane:
        """Make a lane of this fleet, for whoever opens one."""
        terms = self.terms
        pacer = Pacer(obey=plan.obey_budget, reserve=plan.reserve, concurrency=plan.concurrency)
        return Lane(
            tenant,
            client,
            terms.connector.credential(tenant, self._for_tokens),
            Limiter(plan.ceiling, pacer, self.clock.monotonic),
            LaneSettings(
                concurrency=plan.concurrency, retries=terms.retries, settle_s=terms.settle_s,
                ceiling=plan.ceiling.rate, patience_s=self._patience_s(plan.stops),
            ),
            Tools(
                recorder=self._stops.expect(tenant, plan.stops, self.recorder), mask=terms.mask, allow=self._allow,
                clock=self.clock, draw=self._draw, pauses=self.pauses,
            ),
            work,
        )  # fmt: skip

    @asynccontextmanager
    async def _client(self, plan: LanePlan, connections: int) -> AsyncIterator[Client]:
        async with new_session(connections) as session:
            yield Client(session, plan.base_url, self.terms.timeout_s)

    def _let_go(self, lane: Lane) -> None:
        """Keep of a lane that is done only why it was stopped, if it was."""
        del self.lanes[lane.tenant]
        self.pauses.cut(lane.tenant, self.clock.monotonic())
        if lane.stopped is not None:
            self._stopped[lane.tenant] = lane.stopped
            if self.stopped is None and (self.lanes or self._seats.waiting):
                self.terms.watcher.lane_stopped(lane.tenant, lane.stopped)
        if lane.stop_hint:
            self.hints.setdefault(lane.stop_hint)

    def _allow(self, wanted: int) -> int:
        """Take `wanted` claims off what may still be taken, and return how many may; a negative gives back."""
        if self._left is None:
            return wanted
        granted = min(wanted, self._left)
        self._left -= granted
        return granted

    def _patience_s(self, own: StopRules) -> float:
        """Return how long a tenant that is down is waited for, in seconds: for ever where a deadline ends it anyway."""
        has_deadline = own.deadline_s is not None or self.terms.limits.deadline_s is not None
        return math.inf if has_deadline else PATIENCE_S

    # -- stopping -----------------------------------------------------------------------------------------------------

    def stop(self, reason: str, hint: str = "") -> None:
        """Drain: nothing new starts, attempts under way end in order, unsent claims become pending again."""
        if self.stopped is None:
            self.stopped = reason
            if hint:
                self.hints = {hint: None, **self.hints}
            self._seats.close()
            for lane in self.lanes.values():
                lane.stop(reason)
            self._cut.deadline = anyio.current_time() + GRACE_S

    def abandon(self) -> None:
        """Leave at once: attempts under way are cut off, and a later run looks them up."""
        self.stop("interrupted")
        self._cut.cancel()

    def _stop_by_rule(self, tenant: TenantName | None, why: Stop) -> None:
        """Stop a tenant's lane, or all, since one of its rules says so."""
        if tenant is None:
            self.stop(why.reason, why.hint)
        elif tenant in self.lanes:
            self.lanes[tenant].stop(why.reason, why.hint)
            self._seats.recall(tenant)
