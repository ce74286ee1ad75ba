"""The loads of one bench: what is sent, when, with which token, and what became of it.

What is created stands in a ledger of its own, as a run's does, so that `undo` can delete it. This module must never
begin anything before the tenant has answered to the token, nor delete.
"""

from __future__ import annotations

import math
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, closing
from typing import Final, Protocol
from uuid import uuid4

import anyio

from bulkstreams.client import Client, new_session, token_session
from bulkstreams.commands.bench.allowed import source_of
from bulkstreams.commands.bench.doubts import doubts_fleet, tell_nobody
from bulkstreams.commands.bench.measured import Measured
from bulkstreams.commands.bench.moulding import Moulds
from bulkstreams.commands.bench.options import BenchOptions, ClosedLoop, Searching
from bulkstreams.commands.bench.reaching import reach
from bulkstreams.commands.bench.token import KeptToken
from bulkstreams.commands.room import open_files
from bulkstreams.commands.wiring import Wiring
from bulkstreams.config import Settings
from bulkstreams.core.budget import ServerClock
from bulkstreams.core.schedule import Schedule, steady
from bulkstreams.core.searching import MOST_ERRORS, Ended, Goal, Probe, Search, probe_seconds, rate_words
from bulkstreams.engine import Course, Fleet, SystemClock
from bulkstreams.engine.alarm import Alarm, new_alarm
from bulkstreams.engine.clearing import clear_doubts
from bulkstreams.engine.definitions import Definitions
from bulkstreams.engine.loading import Load
from bulkstreams.engine.making import Making, lead_of
from bulkstreams.engine.metering import Meter
from bulkstreams.engine.recorder import Recorder
from bulkstreams.engine.supply import MOST_AHEAD, Supply, within
from bulkstreams.errors import first_cause
from bulkstreams.ledger import Ledger
from bulkstreams.model import Claim, Failure, Problem, Reply, TenantName
from bulkstreams.schema import read_error, secrets_in
from bulkstreams.secrets import SecretResolver, mask

LEAD_S: Final = 0.05
"""Seconds between the last preparation and a schedule's beginning."""

REST_S: Final = 1.0
"""Seconds between two probes of a search, for the server to come to rest."""

GRACE_S: Final = 10.0
"""Seconds in which what was answered may still be written down, where the bench is left at once."""


class Watching(Protocol):
    """Who shows a bench while it goes on."""

    def begins(self, what: str, meter: Meter) -> None:
        """A load begins."""

    def phase(self, what: str) -> None:
        """Something else than a load goes on."""


class Bench:
    """The loads of one bench, at one tenant."""

    def __init__(
        self, ledger: Ledger, options: BenchOptions, settings: Settings, environment: Mapping[str, str], live: Watching,
        moulds: Moulds,
    ) -> None:  # fmt: skip
        self.stopped: str | None = None
        self.abandoned = False
        self.loads: list[Measured] = []
        self.search: Search | None = None
        self.examples: dict[str, str] = {}
        self._ledger, self._options, self._settings, self._live = ledger, options, settings, live
        self._moulds = moulds
        self._wiring = Wiring(settings, SecretResolver(environment, settings.folder))
        self._clock = SystemClock()
        self._server_clock = ServerClock()
        self._recorder = Recorder(ledger, tell_nobody)
        self._load: Load | None = None
        self._fleet: Fleet | None = None
        self._cut = anyio.CancelScope()
        self._waiting = anyio.CancelScope()
        self._client: Client
        self._alarm: Alarm
        self._token: KeptToken
        self._definitions: Definitions
        self.tenant = TenantName("")

    def stop(self, reason: str, hint: str = "") -> None:
        """Begin nothing more; what is under way ends in order."""
        self.stopped = self.stopped or reason
        self._waiting.cancel()
        if self._load is not None:
            self._load.stop()
        if self._fleet is not None:
            self._fleet.stop(reason, hint)

    def abandon(self) -> None:
        """Leave at once: what is under way is looked up before it is cleaned."""
        self.abandoned = True
        self.stop("interrupted")
        self._cut.cancel()
        if self._fleet is not None:
            self._fleet.abandon()

    # -- before it ----------------------------------------------------------------------------------------------------

    async def prepare(self) -> None:
        """Note the tenant and what is sent in the ledger."""
        ledger = self._ledger
        located = self._wiring.locate(None)
        assert not isinstance(located, Problem)
        name, address = located
        self.tenant = TenantName(name)
        await ledger.bind(address)
        tenant = await ledger.tenant(name, address)
        prefix = f"bench-{uuid4().hex[:8]}"
        await ledger.begin_reading(source_of(prefix), time.time())
        moulds = await self._moulds.known_to(ledger)
        self._definitions = Definitions(ledger, tenant, moulds, prefix)
        await ledger.end_reading(time.time(), sorted({one.input for one in moulds}))

    # -- the loads ----------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Put the loads on the tenant, one after the other."""
        self._files = open_files()
        plan = self._wiring.plan(self.tenant)
        ceiling = self._options.ceiling
        try:
            async with token_session() as for_tokens, new_session(ceiling) as session:
                self._client = Client(session, plan.base_url, self._settings.timeout_s)
                self._token = KeptToken(self._wiring.credential(self.tenant, for_tokens))
                await self._token.fetch()
                await reach(plan.base_url, self._look, self._rest, self._live.phase)
                with closing(new_alarm()) as self._alarm:
                    await self._beside_the_recorder()
        except BaseExceptionGroup as group:
            raise first_cause(group) from None

    async def _beside_the_recorder(self) -> None:
        async with anyio.create_task_group() as outer:
            outer.start_soon(self._recorder.run)
            try:
                with self._cut:
                    await self._beside_the_token()
            finally:
                with anyio.CancelScope(shield=True), anyio.move_on_after(GRACE_S):
                    await self._recorder.flush()
                self._recorder.close()

    async def _beside_the_token(self) -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(self._token.run)
            group.start_soon(Course(self._recorder.tally, self._clock).keep, self._ledger)
            plan = self._options.plan
            if isinstance(plan, Schedule):
                await self._open(plan)
            elif isinstance(plan, ClosedLoop):
                await self._closed(plan)
            else:
                await self._searched(plan)
            group.cancel_scope.cancel()

    async def _look(self) -> Reply | Failure:
        answer = await self._client.page(None, self._token.text)
        if isinstance(answer, Reply):
            self._server_clock.heard(answer.headers, self._clock.monotonic())
        return answer

    async def _rest(self, seconds: float) -> bool:
        """Wait, unless the bench is stopped; return whether it goes on."""
        with anyio.CancelScope() as self._waiting:
            if self.stopped is None:
                await anyio.sleep(seconds)
        return self.stopped is None

    async def _open(self, schedule: Schedule, what: str = "load") -> Measured:
        """Follow a schedule, with a warm-up before it."""
        warm = schedule.after(self._options.warmup_s)
        most = max(max(one.first, one.last) for one in warm.stages)
        seconds = float(schedule.seconds)
        async with self._making(warm.requests, math.ceil(most)) as claim:
            load, meter = await self._ready(math.ceil(most), claim, warm)
            measured = self._measured(what, meter, seconds, schedule.requests / seconds)
            await load.follow(warm, meter.began_at)
        return measured

    @asynccontextmanager
    async def _making(self, total: float, ahead: int) -> AsyncIterator[Callable[[int], Awaitable[list[Claim]]]]:
        """Have definitions in the ledger before a load begins, make more as it goes, and give what claims them."""
        making = Making(self._definitions, self._claim, total, lead_of(total, within(ahead)))
        await making.fill(lambda: self.stopped is not None)
        async with anyio.create_task_group() as beside:
            beside.start_soon(making.run)
            yield making.claim
            beside.cancel_scope.cancel()

    async def _closed(self, plan: ClosedLoop) -> None:
        async with self._making(math.inf, plan.clients * 4) as claim:
            load, meter = await self._ready(plan.clients * 4, claim, None)
            self._measured(f"closed loop of {plan.clients:,}", meter, plan.seconds, None)
            await load.keep_busy(plan.clients, meter.began_at, meter.begins + plan.seconds)

    def _measured(self, what: str, meter: Meter, seconds: float, rate: float | None) -> Measured:
        """Take note of a load that begins: whatever ends it, it is told of."""
        self._live.begins(what, meter)
        load = Measured(meter=meter, planned_s=seconds, offered_rate=rate)
        self.loads.append(load)
        return load

    async def _ready(
        self, ahead: int, claim: Callable[[int], Awaitable[list[Claim]]], schedule: Schedule | None
    ) -> tuple[Load, Meter]:
        """Have claims ready, and return a load and its meter, which knows when it is to begin."""
        supply = Supply(claim, ahead)
        await supply.fill()
        began = self._clock.monotonic() + LEAD_S
        meter = Meter(began, self._options.warmup_s, schedule, self._clock, lambda: open_files() - self._files)
        self._load = Load(
            self._client, supply, self._recorder, meter, self._clock, prepare=self._definitions.body,
            token=lambda: self._token.text, explain=self._explain, unauthorized=self._token.refused,
            ceiling=self._options.ceiling, alarm=self._alarm,
        )  # fmt: skip
        if self.stopped is not None:
            self._load.stop()
        return self._load, meter

    async def _searched(self, plan: Searching) -> None:
        """Try rates until it is known which is the highest that keeps the goal."""
        search = self.search = Search(plan.first)
        while self.stopped is None and not isinstance(rate := search.next(), Ended):
            seconds = probe_seconds(plan.goal, rate, plan.seconds)
            load = await self._open(Schedule([steady(round(rate, 3), seconds)]), f"probe of {rate_words(rate)}")
            if self.stopped is None:
                search.take(_judged(plan.goal, rate, load))
                await self._rest(REST_S)

    async def _claim(self, count: int) -> list[Claim]:
        if self._recorder.backlog > MOST_AHEAD:
            await self._recorder.flush()  # the disk cannot keep up; that shows as requests that begin late
        server_now = self._server_clock.at(self._clock.monotonic())
        return await self._ledger.claim(self.tenant, count, time.time(), server_now=server_now, digests=False)

    def _explain(self, reply: Reply, body: bytes) -> tuple[str | None, str]:
        """Return what the server says of a refusal, secrets masked; the first of each status is kept as an example."""
        secrets = (self._token.text, *secrets_in(body))
        code, message = read_error(reply.body, lambda text: mask(text, secrets))
        told = message or f"the server answered {reply.status}"
        self.examples.setdefault(str(reply.status), told)
        return code, told

    # -- after it -----------------------------------------------------------------------------------------------------

    async def clear(self, doubts: int) -> Mapping[str, str]:
        """Look up what was lost; return why that did not go to its end, if it did not."""
        self._live.phase(f"looking up {doubts:,} that may have been created")
        fleet = self._fleet = doubts_fleet(self._wiring, self._settings, Recorder(self._ledger, tell_nobody))
        await clear_doubts(fleet, self._ledger, self.tenant, doubts)
        return fleet.reasons


def _judged(goal: Goal, rate: float, load: Measured) -> Probe:
    meter = load.meter
    return Probe(
        rate=rate,
        kept=goal.kept(meter.response.ms()),
        sent_share=meter.requests / max(1, meter.offered),
        error_share=meter.errors / max(1, meter.requests),
        fit=not meter.verdict.saturated,
        full=meter.status[409]
        > MOST_ERRORS * meter.requests,  # nobody else has such names: it is no name that is taken
    )
