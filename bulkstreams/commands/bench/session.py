"""A bench from its beginning to its end, but for the cleaning; and what is looked up before a cleaning after a death.

This module must never end a bench without having looked up what was lost.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Final

from bulkstreams.commands.bench.allowed import make_room
from bulkstreams.commands.bench.doubts import doubts_fleet, tell_nobody
from bulkstreams.commands.bench.in_force import CLEANING, of_bench, of_clearing
from bulkstreams.commands.bench.loads import Bench, Watching
from bulkstreams.commands.bench.measured import Measured, everything, figures
from bulkstreams.commands.bench.moulding import Moulding
from bulkstreams.commands.bench.options import BenchOptions, BenchReport, Searching
from bulkstreams.commands.session import Session
from bulkstreams.commands.wiring import Wiring
from bulkstreams.config import Settings
from bulkstreams.core.searching import Search
from bulkstreams.engine import Fleet
from bulkstreams.engine.clearing import clear_doubts
from bulkstreams.engine.recorder import Recorder
from bulkstreams.errors import BulkstreamsError, ExitCode, LedgerError, StoppedError, UsageError
from bulkstreams.ledger import InForce, Ledger, LedgerReader, Run
from bulkstreams.model import Problem, State, TenantName
from bulkstreams.schema import Rules
from bulkstreams.secrets import SecretResolver


class BenchSession(Session):
    """A ledger that is held, and the loads that it remembers. `execute` puts them on, and looks up what was lost."""

    def __init__(self, ledger: Ledger, bench: Bench, options: BenchOptions, told: InForce) -> None:
        super().__init__(bench)
        self.begins_more = True
        self._told = told
        self._ledger, self._bench, self._options = ledger, bench, options
        self._began = time.monotonic()

    async def execute(self) -> BenchReport:
        """Do it all but the cleaning, and report."""
        ledger, bench = self._ledger, self._bench
        await ledger.begin_run(time.time(), "bench", self._told)
        try:
            await bench.prepare()
            await bench.run()
        except BulkstreamsError as error:
            with suppress(LedgerError):
                await ledger.end_run(time.time(), error.exit_code, {})
            raise
        finally:
            self.begins_more = False
        with LedgerReader(ledger.path) as reader:
            doubts = reader.totals().records.get(State.IN_DOUBT, 0)
            leaves = self._options.keep or bench.abandoned
            stopped = await bench.clear(doubts) if doubts and not leaves else {}
            records = reader.totals().records
            code = self.interrupted or (ExitCode.OK if bench.stopped is None else ExitCode.STOPPED)
            if not records.get(State.IN_FLIGHT):
                await ledger.end_run(time.time(), code, stopped)
            run = reader.last_run()
            assert run is not None
        return self._report(run, code, records)

    def _report(self, run: Run, code: ExitCode, records: Mapping[State, int]) -> BenchReport:
        bench, options = self._bench, self._options
        load = self._chosen()
        load.meter.finish()
        found = {
            **figures(load),
            "run_id": run.name,
            "ledger": str(options.ledger),
            "elapsed_s": round(time.monotonic() - self._began, 3),
            "created": records.get(State.CREATED, 0),
        }
        if bench.search is not None:
            found["search"] = self._search(bench.search)
        if code is ExitCode.OK:
            code = deserved({status for one in bench.loads for status in one.meter.status})
        return BenchReport(
            figures=found, everything=everything(load), exit_code=code, stopped=bench.stopped,
            cut_off=bench.abandoned,
            in_doubt=records.get(State.IN_DOUBT, 0) + records.get(State.IN_FLIGHT, 0),
            created=records.get(State.CREATED, 0), examples=bench.examples,
            in_force={"run": run.name, "started_at": run.started_at, **self._told.as_json()},
        )  # fmt: skip

    def _chosen(self) -> Measured:
        """Return the load that the figures are of: the only one, or the search's best."""
        bench = self._bench
        if not bench.loads:
            raise StoppedError("the bench was stopped before it began; nothing was sent.")
        best = None if bench.search is None else bench.search.best
        if bench.search is None or best is None:
            return bench.loads[-1]
        return next(load for load, probe in zip(bench.loads, bench.search.probes, strict=False) if probe.rate == best)

    def _search(self, search: Search) -> dict[str, Any]:
        bench, plan = self._bench, self._options.plan
        assert isinstance(plan, Searching)
        return {
            "goal": str(plan.goal),
            "rate": search.best,
            "ended": search.ended.value,
            "probes": [
                {
                    "rate": round(probe.rate, 3), "passed": probe.passed, "client_saturated": not probe.fit,
                    "full": probe.full, "broken_by": [breach.value for breach in probe.broken_by],
                    "measured_ms": load.meter.response.ms()[plan.goal.measure],
                    "achieved_rate": round(load.achieved_rate, 3), "requests": load.meter.requests,
                    "errors": load.meter.errors,
                }
                for probe, load in zip(search.probes, bench.loads, strict=False)
            ],
        }  # fmt: skip


def deserved(answers: Collection[int]) -> ExitCode:
    """Return the exit code of a bench that went to its end and was given these answers: each kind of them once."""
    if answers and set(answers) <= _SHUT_OUT:
        return ExitCode.STOPPED
    return ExitCode.OK if 201 in answers else ExitCode.FAILURES


_SHUT_OUT: Final = frozenset({401, 403, 404})
"""What a tenant answers which lets this client create nothing at all."""


class ClearingSession(Session):
    """A ledger of a bench that died: what was under way then is looked up, and nothing else is done."""

    def __init__(self, ledger: Ledger, mark: str, located: tuple[str, str], fleet: Fleet, told: InForce) -> None:
        super().__init__(fleet)
        self._told = told
        self._ledger, self._mark, self._located, self._fleet = ledger, mark, located, fleet

    async def execute(self) -> Mapping[str, str]:
        """Clear what is in doubt, and return why that did not go to its end, if it did not."""
        ledger = self._ledger
        await ledger.begin_run(time.time(), CLEANING, self._told)
        await ledger.same_source(self._mark)
        await ledger.tenant(*self._located)
        with LedgerReader(ledger.path) as reader:
            doubts = reader.totals().records.get(State.IN_DOUBT, 0)
        if doubts:
            await clear_doubts(self._fleet, ledger, TenantName(self._located[0]), doubts)
        await ledger.end_run(time.time(), self.interrupted or ExitCode.OK, self._fleet.reasons)
        return self._fleet.reasons


@asynccontextmanager
async def open_bench(
    options: BenchOptions, settings: Settings, environment: Mapping[str, str], live: Watching
) -> AsyncIterator[BenchSession]:
    """Read what is to be sent, then open the ledger of a bench; it stays held until the context ends."""
    tenant = settings.require_default().name
    rules = Rules(settings.allow_unknown_events)
    secrets = SecretResolver(environment, Path.cwd())
    moulds = Moulding(options, tenant, secrets, rules, live.phase).read()
    located = Wiring(settings, SecretResolver(environment, settings.folder)).locate(None)
    assert not isinstance(located, Problem)
    if moved := make_room(options.ledger, *located):
        live.phase(moved)
    with Ledger.open(options.ledger) as ledger:
        bench = Bench(ledger, options, settings, environment, live, moulds)
        yield BenchSession(ledger, bench, options, of_bench(options, settings))


@asynccontextmanager
async def open_clearing(
    path: Path, mark: str, settings: Settings, environment: Mapping[str, str]
) -> AsyncIterator[ClearingSession]:
    """Open the ledger of a bench that ended anyhow, to clear what is in doubt; it stays held until the context ends."""
    wiring = Wiring(settings, SecretResolver(environment, settings.folder))
    located = _tenant_of(path, wiring)
    with Ledger.open(path) as ledger:
        fleet = doubts_fleet(wiring, settings, Recorder(ledger, tell_nobody))
        yield ClearingSession(ledger, mark, located, fleet, of_clearing(settings, located[0]))


def _tenant_of(path: Path, wiring: Wiring) -> tuple[str, str]:
    """Return the tenant of a bench's ledger, and where the configuration has it; raise UsageError where it has none."""
    with LedgerReader(path) as reader:
        known = reader.addresses()
    for name, address in known.items():
        located = wiring.locate(name)
        if isinstance(located, Problem):
            raise UsageError(
                f"the ledger {path} has streams at the tenant {name}: {located.message}.",
                hint=f"Name it as the bench did, at {address}, with --base-url, --tenant or --config.",
            )
        return located
    raise UsageError(f"the ledger {path} knows no tenant: its bench had sent nothing.", hint="There is nothing to do.")
