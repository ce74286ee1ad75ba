"""The command `bench`: its flags in, an exit code out."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final
from urllib.parse import urlsplit

import typer

from bulkstreams.cli import flags
from bulkstreams.cli.attending import attend, attend_with
from bulkstreams.cli.bench_page import Writing, page_at
from bulkstreams.cli.bench_plan import plan_of, span_of
from bulkstreams.cli.bench_text import summary
from bulkstreams.cli.bench_view import BenchView
from bulkstreams.cli.loop import run_loop
from bulkstreams.cli.progress import ProgressKind, choose, console
from bulkstreams.cli.telling import fail, print_json, print_text, say
from bulkstreams.commands.bench.allowed import check_host, check_ledger
from bulkstreams.commands.bench.in_force import CLEANING
from bulkstreams.commands.bench.options import CEILING, CLIENTS, DURATION, PROBE, RATE, BenchOptions, BenchReport
from bulkstreams.commands.bench.session import open_bench, open_clearing
from bulkstreams.commands.errands import ErrandReport, open_errands
from bulkstreams.commands.live import Live
from bulkstreams.commands.prospect import ErrandOptions
from bulkstreams.commands.room import connections
from bulkstreams.commands.run import check_inputs
from bulkstreams.config import Flags, Settings, load
from bulkstreams.core.errands import Kind
from bulkstreams.errors import BulkstreamsError, UsageError
from bulkstreams.ledger import LedgerReader
from bulkstreams.secrets import read_token_file

LEDGER: Final = Path("bench.ledger.db")


def bench(
    inputs: Annotated[
        list[str] | None, typer.Argument(metavar="INPUT…", help="JSON Lines to take definitions from, in turn.")
    ] = None,
    template: Annotated[
        Path | None, typer.Option(metavar="FILE", help="One definition to make all of; without it, one built in.")
    ] = None,
    rate: Annotated[
        str | None, typer.Option(metavar="R|R:R/T", help=f"Requests a second, or a ramp: 50:500/60s. [{RATE}]")
    ] = None,
    stages: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="A line a stage: 200/s 30s, 50:500/60s [90s], 0 5s for a pause; # a remark."),
    ] = None,
    duration: Annotated[
        str | None,
        typer.Option(metavar="T", help=f"How long, also of a ramp: cut, or held. [{DURATION}; search: {PROBE} each]"),
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
        Path | None, typer.Option(metavar="FILE", help=f"Where it is noted what was created. \\[{LEDGER}]")
    ] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Leave at the tenant what was created.")] = False,
    clean: Annotated[
        Path | None, typer.Option(metavar="LEDGER", help="Only delete what a bench that died has created.")
    ] = None,
    approved_load_test: Annotated[
        bool, typer.Option("--approved-load-test", help="Needed for Auth0's cloud, and any public host.")
    ] = False,
    html: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Make one self-contained HTML page of it, with plots.")
    ] = None,
    as_json: flags.AsJson = False,
    progress: flags.Progress = ProgressKind.AUTO,
) -> None:
    """Put a load on an API's creates by a schedule, tell its latencies, and delete what was created.

    A `bulkstreams sandbox` takes any token: AUTH0_API_TOKEN=any-token, and --base-url http://127.0.0.1:8025.
    """
    given = Flags(
        tenant=tenant, config=config, base_url=base_url or (None if tenant else _address_in(clean)), timeout=timeout,
        token=None if token_file is None else read_token_file(token_file), allow_unknown_events=allow_unknown_events,
    )  # fmt: skip
    settings = load(given, os.environ, Path.cwd())
    kind = choose(progress, os.environ)
    if clean is not None:
        if html is not None:
            raise UsageError("--clean only deletes: there is nothing that --html could show.", hint="Leave one out.")
        mark = check_ledger(clean, cleans=True)
        cleaned = run_loop(lambda: _clean_up(clean, mark or "", settings, kind))
        if as_json:
            print_json(cleaned.figures)
        raise typer.Exit(cleaned.exit_code)
    options = BenchOptions(
        plan=plan_of(rate, stages, duration, search, concurrency, closed_loop=closed_loop),
        ledger=ledger or LEDGER, inputs=inputs or (), template=template, warmup_s=float(span_of(warmup, "--warmup")),
        ceiling=_ceiling(concurrency or (CLIENTS if closed_loop else CEILING)), keep=keep,
    )  # fmt: skip
    _check(options, settings, approved=approved_load_test)
    files = [*map(Path, options.inputs), options.ledger, *(one for one in (template, stages) if one is not None)]
    with page_at(html, settings.require_default().base_url, files) as write:
        ended = run_loop(lambda: _bench(options, settings, kind))
        code = _finish(ended, options, settings, kind, write, as_json=as_json)
    raise typer.Exit(code)


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
    say(f"what is created is noted in {options.ledger}; should this be killed: {_to_clean(options.ledger)}")
    async with open_bench(options, settings, os.environ, view) as session:
        ended = await attend_with(session, lambda: view.show(kind, console()))
    if kind is ProgressKind.BAR:
        console().print(view.picture(console().width))
    return ended


def _finish(
    ended: BenchReport, options: BenchOptions, settings: Settings, kind: ProgressKind, write: Writing, *, as_json: bool
) -> int:
    """Delete what was created, and tell it all; return the exit code."""
    if not as_json:
        print_text("\n".join(summary(ended.figures, ended.stopped, ended.examples)))
    code, left = int(ended.exit_code), ended.created + ended.in_doubt
    try:
        write(ended)
    except BulkstreamsError as error:  # what was created is deleted whatever becomes of the page
        code = fail(error)
    if left and (options.keep or ended.cut_off):
        say(f"{left:,} streams are left at the tenant, or may be; to delete them: {_to_clean(options.ledger)}")
    elif left:
        try:
            cleaned = run_loop(lambda: _undo(options.ledger, settings, kind))
            ended.figures["cleaned"] = cleaned.figures["records"]
            code = code or int(cleaned.exit_code)
        except BulkstreamsError as error:  # what was measured is told whatever becomes of the cleaning
            code = fail(error)
            say(f"to delete what is left: {_to_clean(options.ledger)}")
    ended.figures["exit_code"] = code
    if as_json:
        print_json(ended.figures)
    return code


def _to_clean(ledger: Path) -> str:
    return shlex.join(["bulkstreams", "bench", "--clean", str(ledger)])


# -- cleaning ----------------------------------------------------------------------------------------------------------


async def _clean_up(path: Path, mark: str, settings: Settings, kind: ProgressKind) -> ErrandReport:
    """Look up what a bench that died may have created, and delete all that it did create."""
    async with open_clearing(path, mark, settings, os.environ) as session:
        for tenant, reason in (await attend(session, Live(say), kind)).items():
            say(f"stopped {tenant}: {reason}")
    return await _undo(path, settings, kind)


async def _undo(path: Path, settings: Settings, kind: ProgressKind) -> ErrandReport:
    """Delete what a bench's ledger knows to have been created."""
    live, options = Live(say), ErrandOptions(kind=Kind.UNDO, ledger=path, command=CLEANING)
    async with open_errands(options, settings, os.environ, live) as session:
        ended = await attend(session, live, kind)
    records: Mapping[str, Any] = ended.figures["records"]
    parts = [f"{count:,} {name}" for name, count in records.items() if name != "total" and count]
    say(f"cleaned: {', '.join(parts) or 'nothing was there'}")
    if ended.exit_code:
        say(f"to go on with it: {_to_clean(path)}")
    return ended


def _address_in(ledger: Path | None) -> str | None:
    """Return where a bench's tenant is that was known by its address alone, so that who cleans need not say it again.

    None: it was known by another name; and where the environment names a tenant, its token belongs to no other.
    """
    if ledger is None or os.environ.get("AUTH0_DOMAIN"):
        return None
    with LedgerReader(ledger) as reader:
        found = [address for name, address in reader.addresses().items() if urlsplit(address).netloc == name]
    return found[0] if len(found) == 1 else None


def _ceiling(wanted: int) -> int:
    """Return how many connections may be open, as far as the system lets us."""
    room = connections()
    if room < wanted:
        say(f"at most {room:,} requests under way at once: the system lets us open no more files (ulimit -n)")
    return min(wanted, room)
