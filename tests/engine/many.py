"""A whole run with many tenants and everything outside of the engine faked: one ledger, a server for each tenant."""

from __future__ import annotations

import asyncio
import json
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import anyio

from bulkstreams.core.pacing import Ceiling
from bulkstreams.engine import Engine, Job, LanePlan, Limits
from bulkstreams.engine.lane import Lane
from bulkstreams.model import Claim, Doubt, State, TenantName
from bulkstreams.schema import Rules
from bulkstreams.secrets import mask
from tests.engine.fakes import FakeClock, FakeCredential, FakeLedger, ScriptedClient, in_told_time, webhooks


class LedgerOfMany(FakeLedger):
    """The records of several tenants, in the order of the tenants."""

    def __init__(self, records: Mapping[str, int], *, surveyed: bool) -> None:
        rows = [(tenant, one) for tenant, count in records.items() for one in webhooks(count)]
        super().__init__([one for _, one in rows])
        self.tenant_of = {id_: tenant for id_, (tenant, _) in enumerate(rows, 1)}
        self.surveyed_at: Counter[str] = Counter()
        self._needs_survey = not surveyed

    async def reopen(self, *, retry_failed: bool) -> dict[TenantName, tuple[int, int]]:
        """Return how many records of each tenant are pending and in doubt."""
        await self._commit()
        found: dict[str, Counter[State]] = {tenant: Counter() for tenant in dict.fromkeys(self.tenant_of.values())}
        for id_, state in self.state.items():
            found[self.tenant_of[id_]][state] += 1
        return {TenantName(name): (one[State.PENDING], one[State.IN_DOUBT]) for name, one in found.items()}

    async def tenant(self, name: str, address: str) -> int:
        """Know every tenant."""
        return 1

    async def needs_survey(self, tenant: TenantName) -> bool:
        """Return what was said at the start."""
        await self._commit()
        return self._needs_survey

    async def surveyed(self, tenant: TenantName) -> None:
        """Count the surveys of each tenant."""
        await self._commit()
        self.surveyed_at[tenant] += 1

    async def note(self, progress: object, now: float) -> None:
        """Remember nothing of how the run stands."""

    async def note_course(self, asked: object, paused: object) -> None:
        """Remember nothing of how it went either."""

    def _of(self, tenant: str, state: State) -> list[int]:
        return [id_ for id_, one in self.state.items() if one is state and self.tenant_of[id_] == tenant]

    async def claim(
        self,
        tenant: TenantName,
        count: int,
        now: float,
        *,
        server_now: float | None = None,
        digests: bool = True,
        status: str | None = None,
    ) -> list[Claim]:
        """Mark the tenant's next pending records as in flight; a claim's offset is the record's number."""
        await self._commit()
        ids = self._of(tenant, State.PENDING)[:count]
        self.state.update(dict.fromkeys(ids, State.IN_FLIGHT))
        return [self._claim(tenant, id_, server_now or now)._replace(offset=id_) for id_ in ids]

    async def doubts(self, tenant: TenantName, count: int) -> list[Doubt]:
        """Return what is in doubt at the tenant."""
        await self._commit()
        return [self._doubt(id_) for id_ in self._of(tenant, State.IN_DOUBT)][:count]

    async def unsent(
        self, tenant: TenantName, names: Sequence[str], digests: Sequence[bytes], status: str | None = None
    ) -> list[Doubt]:
        """Return the tenant's pending records that bear one of the names."""
        await self._commit()
        return [one for one in map(self._doubt, self._of(tenant, State.PENDING)) if one.name in names]

    async def named(self) -> list[TenantName]:
        """Return the tenants that records are for."""
        return [TenantName(name) for name in dict.fromkeys(self.tenant_of.values())]

    async def referring(self) -> frozenset[TenantName]:
        """Return the tenants whose lines name actions: none does."""
        return frozenset()

    async def owned(self, tenant: TenantName, ids: Sequence[str]) -> set[str]:
        """Return the ids that records of the tenant stand for."""
        await self._commit()
        ours = [one for one in self.settlements.values() if self.tenant_of[one.id] == tenant]
        return {one.remote_id for one in ours if one.remote_id is not None} & set(ids)

    def counts_of(self, tenant: str) -> dict[str, int]:
        """Return how many records of a tenant are in each state."""
        return dict(Counter(state.value for id_, state in self.state.items() if self.tenant_of[id_] == tenant))


class _Input:
    """The lines, by their offsets."""

    name, trusted = "in.jsonl", True

    def __init__(self, ledger: LedgerOfMany) -> None:
        self._ledger = ledger

    def read_at(self, offset: int, length: int) -> bytes:
        """Return a line."""
        return json.dumps(self._ledger.definitions[offset]).encode()


class Many:
    """A run over `records` (how many of each tenant), with a server for each tenant that follows a script of its own.

    It counts what is open: sessions and the tasks of the loop, at most; and notes who sat when.
    """

    def __init__(
        self,
        records: Mapping[str, int],
        scripts: Mapping[str, Callable[[str, int], Any]] | None = None,
        *,
        seats: int,
        surveyed: bool = True,
        **job: Any,
    ) -> None:
        self.ledger = LedgerOfMany(records, surveyed=surveyed)
        self.servers = {name: ScriptedClient((scripts or {}).get(name)) for name in records}
        self.credentials: dict[str, FakeCredential] = defaultdict(FakeCredential)
        self.sat: list[tuple[float, str]] = []
        self.pools: list[int] = []
        self.stopped_early: list[str] = []
        self.ceiling = Ceiling(rate=None, burst=1)
        self.kind = Engine
        self.open = self.most_open = self.most_tasks = 0
        self._seats = seats
        self._job = job

    # -- what the engine asks for --------------------------------------------------------------------------------------

    def locate(self, tenant: str | None) -> tuple[str, str]:
        """Return where a tenant is."""
        return str(tenant), f"https://{tenant}.example.com"

    def address(self, tenant: str | None) -> str | None:
        """Return where a tenant is."""
        return None

    def plan(self, tenant: TenantName) -> LanePlan:
        """Return the same plan for all."""
        return LanePlan(base_url=tenant, ceiling=self.ceiling, obey_budget=True, reserve=0.0, concurrency=4)

    def credential(self, tenant: TenantName, session: object) -> FakeCredential:
        """Return the tenant's tokens."""
        return self.credentials[tenant]

    @asynccontextmanager
    async def _connect(self, plan: LanePlan, connections: int) -> AsyncIterator[Any]:
        self.open += 1
        self.most_open = max(self.most_open, self.open)
        self.sat.append((asyncio.get_running_loop().time(), plan.base_url))
        self.pools.append(connections)
        try:
            yield self.servers[plan.base_url]
        finally:
            self.most_tasks = max(self.most_tasks, len(asyncio.all_tasks()))
            self.open -= 1

    def lane_stopped(self, tenant: str, reason: str) -> None:
        """Note which tenants stop while the run goes on."""
        self.stopped_early.append(tenant)

    # -- a run ---------------------------------------------------------------------------------------------------------

    def run(
        self, meanwhile: Callable[[Engine], Awaitable[None]] | None = None, *, deadline_s: float = 3600.0
    ) -> Engine:
        """Run to the end, `meanwhile` beside it."""

        async def scene() -> Engine:
            async def listen(_: object) -> None:
                pass

            limits = Limits(**{"deadline_s": deadline_s, **self._job.pop("limits", {})})
            job = Job(
                inputs=[], rules=Rules(False), tenants=self, unresolvable=lambda _: None, resolve=lambda _: "",
                mask=mask, connector=self, watcher=self, listener=listen, limits=limits, seats=self._seats,  # type: ignore[arg-type]
                **self._job,
            )  # fmt: skip
            self.engine = self.kind(self.ledger, job, FakeClock(), lambda: 0.5, self._connect)  # type: ignore[arg-type]
            self.engine._files = {1: _Input(self.ledger)}  # type: ignore[dict-item]
            async with anyio.create_task_group() as group:
                if meanwhile is not None:
                    group.start_soon(meanwhile, self.engine)
                await self.engine.provision()
                group.cancel_scope.cancel()
            return self.engine

        engine: Engine = in_told_time(scene)
        return engine

    def turns(self, tenant: str) -> int:
        """Return how often a tenant was seated."""
        return sum(name == tenant for _, name in self.sat)

    def lane(self, tenant: str) -> Lane:
        """Return the lane of a tenant that is not done."""
        return self.engine.lanes[TenantName(tenant)]
