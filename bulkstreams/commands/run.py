"""`run`: validate, then create what the ledger does not show as settled; and say, from the ledger, how it ended."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bulkstreams.commands import in_force
from bulkstreams.commands.errands import Smoke, counted, ended_with, off_among
from bulkstreams.commands.live import Live
from bulkstreams.commands.prospect import check_event
from bulkstreams.commands.room import connections
from bulkstreams.commands.session import Session
from bulkstreams.commands.wiring import Wiring
from bulkstreams.config import Settings, default_ledger
from bulkstreams.core.errands import Fate, Kind
from bulkstreams.core.lifecycle import FAILED
from bulkstreams.engine import Engine, Job, Limits
from bulkstreams.errors import BulkstreamsError, ExitCode, LedgerError, LedgerWriteError, UsageError
from bulkstreams.ledger import ErrandTotals, Failure, InForce, Ledger, LedgerReader, Run, Totals
from bulkstreams.model import State, Status
from bulkstreams.schema import Rules
from bulkstreams.secrets import SecretResolver, mask
from bulkstreams.source import open_input

COUNTED = (
    State.CREATED, State.EXISTS, State.CONFLICT, State.REFUSED, State.EXHAUSTED, State.INVALID, State.DUPLICATE,
    State.IN_DOUBT, State.PENDING,
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """What is asked of one run, beside the settings."""

    inputs: Sequence[str]
    ledger: Path | None = None
    limit: int | None = None
    retry_failed: bool = False
    set_status: Status | None = None
    preflight: bool = True
    smoke: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunReport:
    """How a run ended: the figures of the contract, and what to tell a person."""

    figures: Mapping[str, Any]
    exit_code: ExitCode
    reasons: Mapping[str, str]
    hints: Sequence[str]
    failures: Sequence[Failure]


class RunSession(Session):
    """A ledger that is held, its inputs, and the engine over both. `execute` runs it to its end.

    `told` is what is in force; `smoke` tests what was created, where that was asked for.
    """

    def __init__(self, ledger: Ledger, engine: Engine, live: Live, told: InForce, smoke: Smoke | None = None) -> None:
        super().__init__(engine)
        self.told = told
        self.ledger = ledger
        self.engine = engine
        self.live = live
        self.smoke = smoke

    async def execute(self) -> RunReport:
        """Read the inputs, provision, end the run in the ledger, and report."""
        ledger, engine = self.ledger, self.engine
        await ledger.begin_run(time.time(), "run", self.told)
        await self._read()
        with LedgerReader(ledger.path) as reader:
            self.live.engine, self.live.reader = engine, reader
            await self._tell_of_lines(reader)
            if engine.stopped is None:
                await engine.provision()
            smoke = await self._test(reader) if self.smoke is not None else None
            totals = reader.totals()
            failures = reader.failures(3)
            undoing = reader.undoing()
            off = {} if smoke is None else off_among(reader)
            code = self._with(smoke, self._code(totals)) or (ExitCode.IN_DOUBT if undoing else ExitCode.OK)
            if not totals.records.get(State.IN_FLIGHT):
                # A run that was cut off ends like one that died: the next begins with doubts about what is in flight.
                await ledger.end_run(time.time(), code, self._reasons)
            run = reader.last_run()
            assert run is not None
        if not ledger.path.exists():
            raise LedgerWriteError(
                f"the ledger {ledger.path} was removed while the run went on: what it knew is lost.",
                hint="Run the same command again: it makes a new one, and finds what is at the tenant already.",
            )
        return RunReport(
            figures={
                **figures(ledger, totals, run, code, self.live.elapsed_s),
                **({} if smoke is None else {"smoke": counted(Kind.SMOKE, smoke), **off}),
                **({"undoing": undoing} if undoing else {}),
            },
            exit_code=code,
            reasons=self._reasons,
            hints=(*engine.hints, *(() if self.smoke is None else self.smoke.fleet.hints)),
            failures=failures,
        )

    @property
    def _reasons(self) -> Mapping[str, str]:
        """Return the tenants that were stopped, and why."""
        return {**({} if self.smoke is None else self.smoke.fleet.reasons), **self.engine.reasons}

    async def _test(self, reader: LedgerReader) -> ErrandTotals:
        """Send what was created its test events, and wait what becomes of them; return how they stand."""
        assert self.smoke is not None
        if self.engine.stopped is None:
            self._engine = self.smoke.fleet  # from here on a signal is for the tests
            self.live.turn_to(self.smoke.fleet)
            await self.smoke.run(self.live.say)
        return reader.errands(Kind.SMOKE)

    def _with(self, smoke: ErrandTotals | None, code: ExitCode) -> ExitCode:
        """Return the exit code of a run that also tested what it created."""
        if smoke is None or code not in {ExitCode.OK, ExitCode.FAILURES}:
            return code
        if smoke.fates.get(Fate.PENDING):
            return self.interrupted or ExitCode.STOPPED
        return code or ended_with(Kind.SMOKE, smoke)

    async def _read(self) -> None:
        """Read the inputs; a run that is refused over them ends in order, for nothing was sent."""
        try:
            await self.engine.read()
        except BulkstreamsError as error:
            with suppress(LedgerError):
                await self.ledger.end_run(time.time(), error.exit_code, {})
            raise

    async def _tell_of_lines(self, reader: LedgerReader) -> None:
        """Tell whoever wants outcomes of the lines that will never be sent."""
        if self.live.outcomes is not None:
            for result in reader.results([State.INVALID, State.DUPLICATE]):
                await self.live.outcomes([result])

    def _code(self, totals: Totals) -> ExitCode:
        """Return the exit code that the ledger's totals deserve."""
        records = totals.records
        open_ = any(records.get(state) for state in (State.PENDING, State.IN_FLIGHT))
        if not self.engine.has_read:
            return self.interrupted or ExitCode.STOPPED  # there may be lines that the ledger does not know of yet
        if self.interrupted is not None and (open_ or records.get(State.IN_DOUBT)):
            return self.interrupted
        if open_:
            return ExitCode.STOPPED
        if records.get(State.IN_DOUBT):
            return ExitCode.IN_DOUBT
        return ExitCode.FAILURES if any(records.get(state) for state in FAILED) else ExitCode.OK


def figures(ledger: Ledger, totals: Totals, run: Run, code: ExitCode, elapsed_s: float) -> dict[str, Any]:
    """Return a run's figures as `--json` prints them; `in_flight` can only be left by a run that was cut off."""
    records = totals.records
    counted = {state.value: records.get(state, 0) for state in COUNTED}
    counted["in_doubt"] += records.get(State.IN_FLIGHT, 0)
    return {
        "run_id": run.name,
        "ledger": str(ledger.path),
        "exit_code": int(code),
        "elapsed_s": round(elapsed_s, 3),
        "records": {"total": totals.total, **counted},
        "this_run": {
            "created": totals.created,
            "recovered": totals.recovered,
            "requests": run.requests,
            "retries": run.retries,
            "throttled": run.throttled,
            "lookups": run.lookups,
        },
        "stopped": dict(run.stopped),
    }


@asynccontextmanager
async def open_session(
    options: RunOptions,
    settings: Settings,
    environment: Mapping[str, str],
    live: Live,
    make: Callable[[Ledger, Job], Engine] = Engine,
) -> AsyncIterator[RunSession]:
    """Open the inputs and the ledger of a run; the ledger stays held until the context ends.

    `make`: what is to become of them, where that is no run.
    """
    check_event(options.smoke, settings)
    path = options.ledger or default_ledger(options.inputs)
    with ExitStack() as stack:
        inputs = []
        for name in options.inputs:
            one = open_input(name, path.absolute().parent)
            stack.callback(one.close)
            inputs.append(one)
        if settings.sandbox_url is None and not settings.tenants:
            settings.require_default()  # nothing could be sent at all: say so before a ledger is made
        secrets = SecretResolver(environment, Path.cwd())
        wiring = Wiring(settings, SecretResolver(environment, settings.folder))
        ledger = stack.enter_context(Ledger.open(path))
        job = Job(
            inputs=inputs,
            rules=Rules(settings.allow_unknown_events),
            tenants=wiring,
            unresolvable=secrets.problem,
            resolve=secrets.resolve,
            mask=mask,
            connector=wiring,
            watcher=live,
            listener=live.settled,
            limits=Limits(
                deadline_s=settings.deadline_s,
                max_failures=settings.max_failures,
                max_failure_rate=settings.max_failure_rate,
                limit=options.limit,
            ),
            retries=settings.retries,
            timeout_s=settings.timeout_s,
            retry_failed=options.retry_failed,
            set_status=options.set_status and options.set_status.value,
            preflight=options.preflight,
            connections=connections(server_inside=settings.sandbox_url is not None),
        )
        smoke = None if options.smoke is None else Smoke(options.smoke, ledger, job, wiring, live)
        told = in_force.of_run(options, settings, job.connections)
        yield RunSession(ledger, make(ledger, job), live, told, smoke)


def _is_no_text(name: str) -> bool:
    return any("\ud800" <= letter <= "\udfff" for letter in name)


def check_inputs(inputs: Sequence[str]) -> None:
    """Raise UsageError where an input's name is bytes that are no text, so that no ledger can hold it.

    Or where one is named twice: its lines would all be duplicates of themselves.
    """
    nameless = next((name for name in inputs if _is_no_text(name)), None)
    if nameless is not None:
        raise UsageError(f"the name of the input {nameless!r} is no text.", hint="Rename the file, or give it as -.")
    twice = next((name for i, name in enumerate(inputs) if name in inputs[:i]), None)
    if twice is not None:
        raise UsageError(f"the input {twice} is named twice.", hint="Name each input once.")
