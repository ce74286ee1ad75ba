"""The engine: what the inputs name, and the ledger does not show as settled, is created.

It reads (`reading`), and then provisions with a lane for each tenant that has something to do (`fleet`).
This module must never decide what becomes of a record (the lanes' and the core's work), print, or read a flag.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

import anyio

from bulkstreams.client import Client
from bulkstreams.core.metrics import Tally
from bulkstreams.core.references import Reference
from bulkstreams.engine.course import keep_notes
from bulkstreams.engine.creating import Creating
from bulkstreams.engine.fleet import Connect, Connector, Fleet, LanePlan, LaneWatcher, SystemClock, Terms
from bulkstreams.engine.lane import Lane
from bulkstreams.engine.outlook import Outlook
from bulkstreams.engine.reading import Reading, Tenants, Watcher
from bulkstreams.engine.recorder import Listener, Recorder
from bulkstreams.engine.referring import Referring
from bulkstreams.engine.seats import MOST_SEATS
from bulkstreams.engine.stops import Limits
from bulkstreams.engine.tools import Clock
from bulkstreams.errors import InputChangedError, UsageError
from bulkstreams.ledger import Ledger
from bulkstreams.model import Claim, Pending, TenantName
from bulkstreams.schema import Rules, action_in, line_digest, not_looked_up, prepare
from bulkstreams.source import Input


class RunWatcher(Watcher, LaneWatcher, Protocol):
    """Who wants to know of a run while it goes on: what its reading finds, and which tenants stop."""


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
        self.has_read = False
        self._ledger = ledger
        self._clock: Clock = clock or SystemClock()
        self._files: Mapping[int, Input] = {}
        # Told apart once for all, not at each record.
        self._body = prepare if job.set_status is None else partial(prepare, status=job.set_status)
        self._todo: Mapping[TenantName, tuple[int, int]] = {}
        self._reading = anyio.CancelScope()
        terms = Terms(
            connector=job.connector, watcher=job.watcher, mask=job.mask, limits=job.limits, retries=job.retries,
            timeout_s=job.timeout_s, settle_s=job.settle_s, connections=job.connections, seats=job.seats,
        )  # fmt: skip
        self._fleet = Fleet(terms, Recorder(ledger, job.listener), self._clock, draw, connect)

    # -- how it stands ------------------------------------------------------------------------------------------------

    @property
    def lanes(self) -> Mapping[TenantName, Lane]:
        """Return the lanes that were seated and are not done."""
        return self._fleet.lanes

    @property
    def outlook(self) -> Outlook:
        """Return what tells how the run stands."""
        return self._fleet.outlook

    @property
    def tally(self) -> Tally:
        """Return what was asked of the tenants so far."""
        return self._fleet.tally

    @property
    def todo(self) -> int:
        """Return how many records this run is to settle."""
        return self._fleet.todo

    @property
    def stopped(self) -> str | None:
        """Return why the run was stopped, if it was."""
        return self._fleet.stopped

    @property
    def reasons(self) -> Mapping[str, str]:
        """Return the tenants whose lanes were stopped, and why."""
        return self._fleet.reasons

    @property
    def hints(self) -> Sequence[str]:
        """Return what to do about what stopped, in the order in which it came, the run's own first."""
        return list(self._fleet.hints)

    # -- what it does -------------------------------------------------------------------------------------------------

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
        self._refer = await self._ledger.referring()
        self._compares = any(not one.trusted for one in self._files.values())
        await self._fleet.run(self._todo, self._open_lane, lambda: keep_notes(self._fleet, self._ledger))

    async def _recall(self, tenant: TenantName) -> None:
        """Make sure that a tenant is where the ledger has it: an input that was not read again named none."""
        located = self.job.tenants.locate(tenant)
        if not isinstance(located, tuple):
            raise UsageError(
                f"the ledger holds work for the tenant {tenant}: {located.message}.",
                hint="Put it back into the configuration, or take its lines out of the input.",
            )
        await self._ledger.tenant(*located)

    async def _open_lane(self, tenant: TenantName, plan: LanePlan, client: Client) -> Lane:
        """Make the lane that creates the records of a tenant."""
        pending, in_doubt = self._todo[tenant]
        survey = self.job.preflight and pending > 0 and await self._ledger.needs_survey(tenant)

        def creating(lane: Lane) -> Creating:
            referring = Referring(lane, self._ledger, self._action_named) if tenant in self._refer else None
            body = self._prepare if referring is None else partial(self._prepare, find_action=referring.find)
            work = Creating(
                lane, self._ledger, body, compares=self._compares, set_status=self.job.set_status, referring=referring
            )
            work.expect(in_doubt=in_doubt, survey=survey)
            return work

        lane = self._fleet.lane(tenant, plan, client, creating)
        lane.expect(pending)
        return lane

    def stop(self, reason: str, hint: str = "") -> None:
        """Drain: nothing new starts, attempts under way end in order, unsent claims become pending again."""
        self._reading.cancel()  # nothing was sent yet; the next run reads anew
        self._fleet.stop(reason, hint)

    def abandon(self) -> None:
        """Leave at once: attempts under way are cut off, and a later run looks them up."""
        self._reading.cancel()
        self._fleet.abandon()

    def _action_named(self, record: Pending) -> str | None:
        """Return the name of the action that a record's line refers to."""
        return action_in(self._files[record.input].read_at(record.offset, record.length))

    def _prepare(self, claim: Claim, find_action: Callable[[str], str] = not_looked_up) -> bytes:
        """Read a claim's line again, and make sure that it is the line that was read before.

        The input itself notices a change by the file's times; where those cannot be trusted, the digest does.
        """
        one = self._files[claim.input]
        data = one.read_at(claim.offset, claim.length)
        body = self._body(data, self.job.resolve, find_action=find_action)
        if body is None or (not one.trusted and line_digest(data) != claim.digest):
            raise InputChangedError(
                f"{one.name}:{claim.line} is no longer the line that was read; it was not sent.",
                hint="Run the same command again: it reads the input anew and resumes.",
            )
        return body
