"""Looking at the tenants that the inputs name, with nothing in hand to change them: what `plan` and `verify` rest on.

A plan settles in a copy of the ledger what a run would find before its first create: doubts are cleared and the tenants
surveyed by the very same code. This module must never be given a client that can write.
"""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Final, Protocol, cast

from bulkstreams.client import Client, OnlyReads, new_session
from bulkstreams.core.foresight import DRAINED, PUBLISHED, Moment, Seen, came
from bulkstreams.core.stopping import StopRules
from bulkstreams.engine.creating import Creating
from bulkstreams.engine.engine import Engine, Job
from bulkstreams.engine.fleet import Connect, LanePlan
from bulkstreams.engine.listing import Listing
from bulkstreams.engine.looking import Looking
from bulkstreams.engine.referring import Referring
from bulkstreams.engine.stops import Limits
from bulkstreams.engine.tools import Clock
from bulkstreams.engine.work import Work
from bulkstreams.ledger import Ledger
from bulkstreams.model import Claim, TenantName
from bulkstreams.schema import Page
from bulkstreams.source import Input

if TYPE_CHECKING:
    from bulkstreams.engine.lane import Lane


SOUNDINGS: Final = 8
"""Requests that a plan spends at the most to see a bucket refill that no published plan has."""

SOUNDING_S: Final = 0.25
"""How long it then waits for what comes into the bucket."""


class Keeper(Protocol):
    """Who keeps what listings show."""

    async def keep(self, tenant: TenantName, page: Page) -> None:
        """Keep a page of a tenant's streams."""

    def listed(self, tenant: TenantName) -> None:
        """A tenant's streams were seen to their end."""


@dataclass(frozen=True, slots=True)
class Look:
    """What a look at a tenant has shown beside its streams: its budget, and what our token allows (None: unknown)."""

    seen: Seen
    scopes: frozenset[str] | None


def only_reading(timeout_s: float) -> Connect:
    """Return how tenants are connected to by who must not write."""

    @asynccontextmanager
    async def connect(plan: LanePlan, connections: int) -> AsyncIterator[Client]:
        async with new_session(connections) as session:
            yield cast("Client", OnlyReads(Client(session, plan.base_url, timeout_s)))

    return connect


class Onlooker(Engine):
    """Reads the inputs, and then lists each tenant that they name; `looks` tells afterwards what that has shown."""

    def __init__(
        self,
        ledger: Ledger,
        job: Job,
        clock: Clock | None = None,
        draw: Callable[[], float] = random.random,
        connect: Connect | None = None,
    ) -> None:
        # What is found fails nobody, and nothing is taken: of a run's limits only the time counts.
        calm = replace(job, limits=Limits(deadline_s=job.limits.deadline_s))
        super().__init__(ledger, calm, clock, draw, connect or only_reading(job.timeout_s))
        self.looks: dict[TenantName, Look] = {}
        self.actions: dict[TenantName, Mapping[str, str]] = {}  # where lines name some: their names by id
        self.keeper: Keeper | None = None
        self._moments: dict[TenantName, list[Moment]] = {}  # of each tenant the first and the last
        self._lowest: dict[TenantName, int] = {}

    @property
    def files(self) -> Mapping[int, Input]:
        """Return which ledger id stands for which input, once they were read."""
        return self._files

    async def provision(self) -> None:
        """Look at the tenants; `read` comes first. A tenant's own trouble stops its lane alone (`reasons`)."""
        tenants = await self._ledger.named()
        for tenant in tenants:
            await self._recall(tenant)
        self._todo = await self._expected(tenants)
        self._refer = await self._ledger.referring()
        await self._fleet.run({tenant: (0, 1 + doubts) for tenant, (_, doubts) in self._todo.items()}, self._open_lane)

    async def _expected(self, tenants: list[TenantName]) -> dict[TenantName, tuple[int, int]]:
        """Return how many records of each tenant are pending and in doubt, as far as that matters."""
        return dict.fromkeys(tenants, (0, 0))

    async def _open_lane(self, tenant: TenantName, plan: LanePlan, client: Client) -> Lane:
        calm = replace(plan, stops=StopRules(deadline_s=plan.stops.deadline_s))
        return self._fleet.lane(tenant, calm, client, self._work)

    def _referring(self, lane: Lane) -> Referring | None:
        """Return what looks the tenant's actions up, where lines name some."""
        if lane.tenant not in self._refer:
            return None
        found = Referring(lane, self._ledger, self._action_named)
        self.actions[lane.tenant] = found.names
        return found

    def _work(self, lane: Lane) -> Work:
        referring = self._referring(lane)
        listing = Listing(lane, "what it has is not known", self.actions.get(lane.tenant))

        async def look(lane: Lane) -> bool:
            if referring is not None and not (await referring.look_up() and await referring.check()):
                return False
            return await listing.run(partial(self._keep, lane)) and self._seen(lane)

        return Looking(lane, look)

    async def _keep(self, lane: Lane, page: Page) -> None:
        self._note(lane)
        if self.keeper is not None:
            await self.keeper.keep(lane.tenant, page)

    def _note(self, lane: Lane) -> None:
        """Take note of how the tenant's bucket stands after one more page."""
        left = lane.limiter.pacer.level.told
        if left is not None:
            self._lowest[lane.tenant] = min(left, self._lowest.get(lane.tenant, left))
            moments = self._moments.setdefault(lane.tenant, [])
            pages = moments[-1].requests + 1 if moments else 1
            moments[1:] = [Moment(lane.tools.clock.monotonic(), left, pages)]

    def _refill(self, lane: Lane) -> float | None:
        """Return the most that was seen coming into the tenant's bucket, over all pages or from one to the next."""
        moments = self._moments.pop(lane.tenant, [])
        rates = [lane.limiter.pacer.level.seen, came(moments[0], moments[-1]) if moments else None]
        return max((rate for rate in rates if rate is not None), default=None)

    def _seen(self, lane: Lane) -> bool:
        """Take note of what a lane has seen, now that it has seen all."""
        pacer = lane.limiter.pacer
        self.looks[lane.tenant] = Look(
            Seen(
                ceiling=lane.settings.ceiling,
                learned=pacer.sustained.learned,
                refill=self._refill(lane),
                limit=pacer.level.limit,
                left=pacer.level.told,
                lowest=self._lowest.get(lane.tenant),
                latency_s=pacer.latency_s,
                concurrency=pacer.concurrency,
            ),
            lane.tokens.scopes,
        )
        if self.keeper is not None:
            self.keeper.listed(lane.tenant)
        return True


class Planner(Onlooker):
    """An onlooker that settles in its ledger, a copy, what a run would settle before it sends anything."""

    async def _expected(self, tenants: list[TenantName]) -> dict[TenantName, tuple[int, int]]:
        todo = await self._ledger.reopen(retry_failed=self.job.retry_failed)
        return {tenant: todo.get(tenant, (0, 0)) for tenant in tenants}

    def _work(self, lane: Lane) -> Work:
        work = _Planning(lane, self._ledger, self._referring(lane), self.job.set_status, self._sounded)
        keep = partial(self._keep, lane)
        work.expect(in_doubt=self._todo[lane.tenant][1], survey=self.job.preflight, also=keep)
        if not self.job.preflight:
            listing = Listing(lane, "what it has is not known", self.actions.get(lane.tenant))
            work.look_there = lambda: listing.run(keep)
        return work

    async def _sounded(self, lane: Lane) -> bool:
        """Take note of what a lane has seen; where that does not tell how fast its bucket refills, find out first."""
        level = lane.limiter.pacer.level
        pending = self._todo[lane.tenant][0]
        limit, told = level.limit or 0, level.told
        if limit <= DRAINED or limit in PUBLISHED or told is None or pending <= told:
            return self._seen(lane)
        page = Listing(lane, "what it has is not known")
        self._moments.pop(lane.tenant, None)
        for _ in range(SOUNDINGS):
            if not await page.reach():
                return False
            self._note(lane)
            if level.told is None or level.told <= limit - DRAINED:
                break
        await lane.sleep(SOUNDING_S)
        if not await page.reach():
            return False
        self._note(lane)
        return self._seen(lane)


class _Planning(Creating):
    """The work of `run` up to its first create, which it has nothing to make with. `seen` is told that all was seen."""

    scopes = "the scope read:event_streams"

    def __init__(
        self,
        lane: Lane,
        ledger: Ledger,
        referring: Referring | None,
        set_status: str | None,
        seen: Callable[[Lane], Awaitable[bool]],
    ) -> None:
        super().__init__(lane, ledger, _never, compares=False, referring=referring, set_status=set_status)
        self.look_there: Callable[[], Awaitable[bool]] | None = None
        self._tell_seen = seen
        self._has_seen = False

    @property
    def looks_first(self) -> bool:
        """Return whether anything is left to look at: there is nothing else to do."""
        return not self._has_seen

    @property
    def is_over(self) -> bool:
        """Return that a look that failed is no end: the lane is stopped over it."""
        return False

    async def look_first(self) -> bool:
        """Look as a run does; a tenant that was never connected to cannot be reached."""
        lane = self._lane
        if await super().look_first():
            self._has_seen = await self._tell_seen(lane)
        elif lane.going:
            lane.cannot_be_reached(lane.breaker.story())
        return self._has_seen

    async def _look_there(self) -> bool:
        return await (super()._look_there() if self.look_there is None else self.look_there())

    async def claim(self, count: int, server_now: float | None) -> list[Claim]:
        """Claim nothing."""
        return []


def _never(claim: Claim) -> bytes:
    raise AssertionError(f"nothing is sent of a plan, and not record {claim.id}")
