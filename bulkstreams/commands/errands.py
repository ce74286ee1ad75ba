"""`undo`, `activate` and `smoke`: what is done to the streams that a ledger's runs created.

One session serves the three: they differ in their kind of errand. This module must never touch a tenant that was not
checked before (`prospect`).
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from bulkstreams.client import Client
from bulkstreams.commands import in_force
from bulkstreams.commands.copying import copy_ledger
from bulkstreams.commands.live import Live
from bulkstreams.commands.prospect import ErrandOptions, check_event, check_sites, plan_of
from bulkstreams.commands.room import connections
from bulkstreams.commands.session import Session
from bulkstreams.commands.wiring import Wiring
from bulkstreams.config import Settings
from bulkstreams.core.errands import ASKED, COUNTED, Fate, Kind
from bulkstreams.engine import (
    Errands,
    Fleet,
    Job,
    LanePlan,
    Limits,
    Manner,
    Recorder,
    SystemClock,
    Terms,
    keep_notes,
    only_reading,
)
from bulkstreams.engine.lane import Lane
from bulkstreams.errors import ExitCode, LedgerAddressError, UsageError
from bulkstreams.ledger import ErrandBook, ErrandTotals, Failure, Ledger, LedgerReader, Plan, Run, Site
from bulkstreams.model import State, TenantName
from bulkstreams.secrets import SecretResolver, mask

FAILED: Final[Mapping[Kind, Collection[Fate]]] = {
    Kind.UNDO: (Fate.CHANGED, Fate.FAILED),
    Kind.ENABLE: (Fate.CHANGED, Fate.FAILED, Fate.GONE),
    Kind.DISABLE: (Fate.CHANGED, Fate.FAILED, Fate.GONE),
    Kind.SMOKE: (Fate.FAILED, Fate.GONE),
}
"""Fates with which a command of a kind has not done what was asked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrandReport:
    """How a command ended: the figures of the contract, and what to tell a person."""

    kind: Kind
    figures: Mapping[str, Any]
    exit_code: ExitCode
    reasons: Mapping[str, str]
    hints: Sequence[str]
    failures: Sequence[Failure]


class ErrandSession(Session):
    """A ledger that is held, and the fleet that does its errands. `execute` does them to their end."""

    def __init__(
        self, ledger: Ledger, book: ErrandBook, fleet: Fleet, options: ErrandOptions, plan: Plan, live: Live
    ) -> None:
        super().__init__(fleet)
        self._plan = plan
        self._ledger = ledger
        self._book = book
        self._fleet = fleet
        self._options = options
        self._live = live
        self._sites: Mapping[TenantName, Site] = {}

    async def execute(self) -> ErrandReport:
        """Note what is to be done, do it, end the run in the ledger, and report."""
        ledger, fleet, options = self._ledger, self._fleet, self._options
        self._sites = await self._book.begin(self._plan)
        with LedgerReader(ledger.path) as reader:
            self._live.engine, self._live.reader = fleet, reader
            if fleet.stopped is None:
                await do_errands(fleet, ledger, self._book, self._sites, options.manner)
            totals, failures = reader.errands(options.kind), reader.errand_failures(options.kind, 3)
            if options.manner.dry:
                totals = totals.without_earlier()  # what was done is nothing that would be
            doubtful = reader.doubtful()
            beside = self._beside(reader, totals)
            code = self._code(totals, doubtful)
            await ledger.end_run(time.time(), code, fleet.reasons)
            run = reader.last_run()
            assert run is not None
        return ErrandReport(
            kind=options.kind,
            figures={**self._figures(totals, run, code, doubtful), **beside},
            exit_code=code,
            reasons=fleet.reasons,
            hints=tuple(fleet.hints),
            failures=failures,
        )

    def _code(self, totals: ErrandTotals, doubtful: int) -> ExitCode:
        if totals.fates.get(Fate.PENDING):
            return self.interrupted or ExitCode.STOPPED
        code = ended_with(self._options.kind, totals)
        return ExitCode.IN_DOUBT if code is ExitCode.OK and doubtful and self._undoes else code

    def _beside(self, reader: LedgerReader, totals: ErrandTotals) -> dict[str, int]:
        """Return what else explains the counts: the streams that were there before, where none is ours; those off."""
        records = reader.totals().records
        if not (totals.total or reader.created() or records.get(State.UNDONE)):
            return {"there_before": records.get(State.EXISTS, 0)}
        return off_among(reader) if self._options.kind is Kind.SMOKE else {}

    @property
    def _undoes(self) -> bool:
        return self._options.kind is Kind.UNDO

    def _figures(self, totals: ErrandTotals, run: Run, code: ExitCode, doubtful: int) -> dict[str, Any]:
        found = {
            "run_id": run.name,
            "ledger": str(self._options.ledger),
            "exit_code": int(code),
            "elapsed_s": round(self._live.elapsed_s, 3),
            "records": counted(self._options.kind, totals),
            "this_run": {
                **{fate.value: totals.this_run.get(fate, 0) for fate in COUNTED[self._options.kind]},
                "requests": run.requests,
                "retries": run.retries,
                "throttled": run.throttled,
                "lookups": run.lookups,
            },
            "stopped": dict(run.stopped),
        }
        if doubtful and self._undoes:
            found["in_doubt"] = doubtful
        return {"dry_run": True, **found} if self._options.manner.dry else found


def ended_with(kind: Kind, totals: ErrandTotals) -> ExitCode:
    """Return the exit code that errands of a kind deserve which have all met their fates."""
    if any(totals.fates.get(fate) for fate in FAILED[kind]):
        return ExitCode.FAILURES
    return ExitCode.IN_DOUBT if totals.fates.get(Fate.UNCONFIRMED) else ExitCode.OK


def counted(kind: Kind, totals: ErrandTotals) -> dict[str, int]:
    """Return the counts of a kind's errands, which add up to their total."""
    order = (*COUNTED[kind], Fate.PENDING)
    return {"total": totals.total, **{fate.value: totals.fates.get(fate, 0) for fate in order}}


def off_among(reader: LedgerReader) -> dict[str, int]:
    """Return, as figures have it, how many streams are off of those whose test events nobody heard of, if any are."""
    off = reader.switched_off()
    return {"switched_off": off} if off else {}


async def do_errands(
    fleet: Fleet, ledger: Ledger, book: ErrandBook, sites: Mapping[TenantName, Site], manner: Manner
) -> None:
    """Have a fleet do the errands that wait at some tenants, each of which was checked before."""

    async def open_lane(tenant: TenantName, plan: LanePlan, client: Client) -> Lane:
        lane = fleet.lane(tenant, plan, client, lambda lane: Errands(lane, book, manner))
        lane.expect(sites[tenant].pending)
        return lane

    todo = {tenant: (site.pending, 0) for tenant, site in sites.items()}
    await fleet.run(todo, open_lane, lambda: keep_notes(fleet, ledger))


class Smoke:
    """The test events of a run for what it has created: they are part of the run, and of its ledger's row."""

    def __init__(self, event: str, ledger: Ledger, job: Job, wiring: Wiring, live: Live) -> None:
        self._event = event
        self._wiring = wiring
        self._ledger = ledger
        self._book = ledger.errands(Kind.SMOKE)
        terms = Terms(
            connector=job.connector, watcher=live, mask=job.mask, limits=Limits(deadline_s=job.limits.deadline_s),
            retries=job.retries, timeout_s=job.timeout_s, connections=job.connections,
        )  # fmt: skip
        self.fleet = Fleet(terms, Recorder(self._book, live.errands_settled))

    async def run(self, say: Callable[[str], None]) -> None:
        """Test what this ledger created and was not tested yet; a tenant that cannot be used is left out, and told."""
        sites = {}
        for name, site in (await self._book.begin(Plan(event=self._event))).items():
            try:
                check_sites(self._wiring, self._ledger.path, {name: site})
                sites[name] = site
            except (LedgerAddressError, UsageError) as error:
                say(f"not tested: {error.message}")
        if sites:
            await do_errands(self.fleet, self._ledger, self._book, sites, Manner())


@asynccontextmanager
async def open_errands(
    options: ErrandOptions, settings: Settings, environment: Mapping[str, str], live: Live
) -> AsyncIterator[ErrandSession]:
    """Open the ledger of a command once it is certain that its tenants are where it has them; it stays held.

    A dry one opens a copy, in which what would be done is settled as if it had been; nothing but GETs is sent.
    """
    check_event(options.event, settings)
    wiring = Wiring(settings, SecretResolver(environment, settings.folder))
    with LedgerReader(options.ledger) as reader:
        plan = plan_of(options, settings, reader)
        sites = reader.created(plan.states, plan.tenants)
        check_sites(wiring, options.ledger, sites, reader.default_address())
    if not options.manner.dry:
        async with _open(options, plan, sites, options.ledger, settings, wiring, live) as session:
            yield session
        return
    with tempfile.TemporaryDirectory(prefix="bulkstreams-") as folder:
        copy = Path(folder) / options.ledger.name
        copy_ledger(options.ledger, copy)
        async with _open(options, plan, sites, copy, settings, wiring, live) as session:
            yield session


@asynccontextmanager
async def _open(
    options: ErrandOptions,
    plan: Plan,
    sites: Iterable[str],
    path: Path,
    settings: Settings,
    wiring: Wiring,
    live: Live,
) -> AsyncIterator[ErrandSession]:
    with Ledger.open(path) as ledger:
        room = connections()
        command = options.command or " ".join(ASKED[options.kind])
        await ledger.begin_run(time.time(), command, in_force.of_errands(options, settings, sites, room))
        book = ledger.errands(options.kind)
        terms = Terms(
            connector=wiring,
            watcher=live,
            mask=mask,
            limits=Limits(
                deadline_s=settings.deadline_s,
                max_failures=settings.max_failures,
                max_failure_rate=settings.max_failure_rate,
                limit=options.limit,
            ),
            retries=settings.retries,
            timeout_s=settings.timeout_s,
            connections=room,
        )
        connect = only_reading(settings.timeout_s) if options.manner.dry else None
        fleet = Fleet(terms, Recorder(book, live.errands_settled), SystemClock(), connect=connect)
        yield ErrandSession(ledger, book, fleet, options, plan, live)
