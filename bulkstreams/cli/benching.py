"""The command `bench`: its flags in, an exit code out."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from bulkstreams.cli import flags
from bulkstreams.cli.attending import attend, attend_with
from bulkstreams.cli.bench_text import summary
from bulkstreams.cli.bench_view import BenchView
from bulkstreams.cli.loop import run_loop
from bulkstreams.cli.progress import ProgressKind, choose, console
from bulkstreams.cli.telling import print_json, say
from bulkstreams.commands.bench.allowed import check_host, check_ledger
from bulkstreams.commands.bench.options import BenchOptions, BenchReport, ClosedLoop, Plan, Searching
from bulkstreams.commands.bench.session import open_bench, open_clearing
from bulkstreams.commands.errands import ErrandOptions, ErrandReport, open_errands
from bulkstreams.commands.live import Live
from bulkstreams.commands.room import connections
from bulkstreams.commands.run import check_inputs
from bulkstreams.config import Flags, Settings, load
from bulkstreams.core.errands import Kind
from bulkstreams.core.schedule import Schedule, ScheduleError, read_span, read_stage, read_stages
from bulkstreams.core.searching import GoalError, read_goal
from bulkstreams.errors import ExitCode, UsageError
from bulkstreams.ledger import LedgerReader
from bulkstreams.secrets import read_token_file

LEDGER: Final = Path("bench.ledger.db")
RATE: Final = "50/s"
DURATION: Final = "30s"
PROBE: Final = "10s"
FIRST_PROBE: Final = "10/s"
CEILING: Final = 1000
CLIENTS: Final = 32


def bench(
    inputs: Annotated[
        list[str] | None, typer.Argument(metavar="[INPUT…]", help="JSON Lines to take definitions from, in turn.")
    ] = None,
    template: Annotated[
        Path | None, typer.Option(metavar="FILE", help="One definition to make all of; without it, one built in.")
    ] = None,
    rate: Annotated[
        str | None, typer.Option(metavar="R|R:R/T", help=f"Requests a second, or a ramp: 50:500/60s. [{RATE}]")
    ] = None,
    stages: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A line a stage: 200/s 30s, or 50:500/60s; 0 5s is a pause.")
    ] = None,
    duration: Annotated[
        str | None, typer.Option(metavar="T", help=f"How long; of a search: each probe. [{DURATION}; {PROBE}]")
    ] = None,
    warmup: Annotated[str, typer.Option(metavar="T", help="At the first rate, before it counts.")] = "0s",
    concurrency: Annotated[
        int | None, typer.Option(metavar="N", min=1, help=f"Most under way at once. [{CEILING}; closed: {CLIENTS}]")
    ] = None,
    closed_loop: Annotated[
        bool, typer.Option("--closed-loop", help="Each of --concurrency clients waits for its answer: no schedule.")
    ] = False,
    search: Annotated[
        str | None, typer.Option(metavar="GOAL", help="Find the highest rate that keeps it, e.g. 'p99<250ms'.")
    ] = None,
    tenant: flags.Tenant = None,
    config: flags.Config = None,
    base_url: flags.BaseUrl = None,
    token_file: flags.TokenFile = None,
    timeout: flags.Timeout = None,
    allow_unknown_events: flags.Unknown = None,
    ledger: Annotated[
        Path | None, typer.Option(metavar="FILE", help=f"Where it is noted what was created. [{LEDGER}]")
    ] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Leave at the tenant what was created.")] = False,
    clean: Annotated[
        Path | None, typer.Option(metavar="LEDGER", help="Only delete what a bench that died has created.")
    ] = None,
    approved_load_test: Annotated[
        bool, typer.Option("--approved-load-test", help="Needed for Auth0's cloud, and any public host.")
    ] = False,
    as_json: flags.AsJson = False,
    progress: flags.Progress = ProgressKind.AUTO,
) -> None:
    """Put a load on an API's creates by a schedule, tell its latencies, and delete what was created."""
    given = Flags(
        tenant=tenant, config=config, base_url=base_url or _address_in(clean), timeout=timeout,
        token=None if token_file is None else read_token_file(token_file), allow_unknown_events=allow_unknown_events,
    )  # fmt: skip
    settings = load(given, os.environ, Path.cwd())
    kind = choose(progress, os.environ)
    if clean is not None:
        mark = check_ledger(clean, cleans=True)
        code = run_loop(lambda: _clean_up(clean, mark or "", settings, kind)).exit_code
        raise typer.Exit(code)
    options = BenchOptions(
        plan=_plan(rate, stages, duration, search, concurrency, closed_loop=closed_loop),
        ledger=ledger or LEDGER, inputs=inputs or (), template=template, warmup_s=float(_span(warmup, "--warmup")),
        ceiling=_ceiling(concurrency or (CLIENTS if closed_loop else CEILING)), keep=keep,
    )  # fmt: skip
    _check(options, settings, approved=approved_load_test)
    ended = run_loop(lambda: _bench(options, settings, kind))
    raise typer.Exit(_finish(ended, options, settings, kind, as_json=as_json))


def _check(options: BenchOptions, settings: Settings, *, approved: bool) -> None:
    """Refuse what must not be, before anything is made or sent."""
    if options.template is not None and options.inputs:
        raise UsageError("--template and INPUT are two answers to one question.", hint="Give one of them.")
    check_inputs(options.inputs)
    target = settings.default or settings.require_default()
    check_host(target.base_url, approved=approved)
    settings.require_default()
    check_ledger(options.ledger, cleans=False)


async def _bench(options: BenchOptions, settings: Settings, kind: ProgressKind) -> BenchReport:
    view = BenchView(say)
    async with open_bench(options, settings, os.environ, view) as session:
        return await attend_with(session, lambda: view.show(kind, console()))


def _finish(
    ended: BenchReport, options: BenchOptions, settings: Settings, kind: ProgressKind, *, as_json: bool
) -> ExitCode:
    """Delete what was created, and tell it all; return the exit code."""
    if not as_json:
        for line in summary(ended.figures, ended.stopped, ended.examples):
            say(line)
    code, left = ended.exit_code, ended.created + ended.in_doubt
    if left and not options.keep and not ended.cut_off:
        cleaned = run_loop(lambda: _undo(options.ledger, settings, kind))
        ended.figures["cleaned"] = cleaned.figures["records"]
        code = code or cleaned.exit_code
    elif left:
        hint = shlex.join(["bulkstreams", "bench", "--clean", str(options.ledger)])
        say(f"{left:,} streams are left at the tenant, or may be; to delete them: {hint}")
    ended.figures["exit_code"] = int(code)
    if as_json:
        print_json(ended.figures)
    return code


# -- cleaning ----------------------------------------------------------------------------------------------------------


async def _clean_up(path: Path, mark: str, settings: Settings, kind: ProgressKind) -> ErrandReport:
    """Look up what a bench that died may have created, and delete all that it did create."""
    async with open_clearing(path, mark, settings, os.environ) as session:
        for tenant, reason in (await attend(session, Live(say), kind)).items():
            say(f"stopped {tenant}: {reason}")
    return await _undo(path, settings, kind)


async def _undo(path: Path, settings: Settings, kind: ProgressKind) -> ErrandReport:
    """Delete what a bench's ledger knows to have been created."""
    live = Live(say)
    async with open_errands(ErrandOptions(kind=Kind.UNDO, ledger=path), settings, os.environ, live) as session:
        ended = await attend(session, live, kind)
    records: Mapping[str, Any] = ended.figures["records"]
    parts = [f"{count:,} {name}" for name, count in records.items() if name != "total" and count]
    say(f"cleaned: {', '.join(parts) or 'nothing was there'}")
    if ended.exit_code:
        say(f"to go on with it: {shlex.join(['bulkstreams', 'bench', '--clean', str(path)])}")
    return ended


def _address_in(ledger: Path | None) -> str | None:
    """Return where the tenant of a bench's ledger is, so that who cleans it need not say so; None: it is not known."""
    if ledger is None or os.environ.get("AUTH0_DOMAIN"):
        return None
    with LedgerReader(ledger) as reader:
        addresses = list(reader.addresses().values())
    return addresses[0] if len(addresses) == 1 and addresses[0].startswith("http") else None


# -- flags -------------------------------------------------------------------------------------------------------------


def _plan(
    rate: str | None, stages: Path | None, duration: str | None, search: str | None, concurrency: int | None,
    *, closed_loop: bool,
) -> Plan:  # fmt: skip
    """Return what load is asked for; raise UsageError where that is unclear."""
    named = [
        flag for flag, given in (("--stages", stages), ("--search", search), ("--closed-loop", closed_loop)) if given
    ]
    if len(named) > 1:
        raise UsageError(f"{named[0]} and {named[1]} are two kinds of load.", hint="Give one of them.")
    if stages is not None:
        if rate is not None or duration is not None:
            raise UsageError("--stages says rates and durations itself.", hint="Leave out --rate and --duration.")
        return _staged(stages)
    if closed_loop:
        if rate is not None:
            raise UsageError(
                "a closed loop has no --rate: its clients send as they are answered.", hint="Leave it out."
            )
        return ClosedLoop(clients=concurrency or CLIENTS, seconds=float(_length(duration or DURATION)))
    try:
        if search is not None:
            (first,) = read_stage(FIRST_PROBE if rate is None else rate.replace(":", " "), Fraction(1))
            seconds = float(_length(duration or PROBE))
            return Searching(goal=read_goal(search), first=float(first.first), seconds=seconds)
        asked = rate or RATE
        own = Fraction(0) if ":" in asked and duration is None else _length(duration or DURATION)
        return Schedule(read_stage(asked, own))
    except (ScheduleError, GoalError) as wrong:
        raise UsageError(f"{'--rate' if isinstance(wrong, ScheduleError) else '--search'}: {wrong}.") from None


def _staged(path: Path) -> Schedule:
    try:
        return Schedule(read_stages(path.read_text(encoding="utf-8").splitlines()))
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            f"--stages {path} cannot be read: {getattr(error, 'strerror', None) or 'not UTF-8'}."
        ) from None
    except ScheduleError as wrong:
        raise UsageError(f"--stages {path}: {wrong}.") from None


def _length(text: str) -> Fraction:
    seconds = _span(text, "--duration")
    if not seconds:
        raise UsageError("--duration: a load takes some time.", hint="e.g. 30s")
    return seconds


def _span(text: str, flag: str) -> Fraction:
    try:
        return read_span(text)
    except ScheduleError as wrong:
        raise UsageError(f"{flag}: {wrong}.") from None


def _ceiling(wanted: int) -> int:
    """Return how many connections may be open, as far as the system lets us."""
    room = connections()
    if room < wanted:
        say(f"at most {room:,} requests under way at once: the system lets us open no more files (ulimit -n)")
    return min(wanted, room)
