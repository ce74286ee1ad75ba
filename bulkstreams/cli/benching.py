"""The command `bench`: its flags in, an exit code out."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Final
from urllib.parse import urlsplit

import typer

from bulkstreams.cli import bench_ending, flags
from bulkstreams.cli.bench_page import page_at
from bulkstreams.cli.bench_plan import plan_of, span_of
from bulkstreams.cli.loop import run_loop
from bulkstreams.cli.progress import ProgressKind, choose
from bulkstreams.cli.telling import finish_with, print_json, say
from bulkstreams.commands.bench.allowed import check_host, check_ledger
from bulkstreams.commands.bench.options import CEILING, CLIENTS, DURATION, PROBE, RATE, BenchOptions
from bulkstreams.commands.room import connections
from bulkstreams.commands.run import check_inputs
from bulkstreams.config import Flags, Settings, load
from bulkstreams.core.searching import LONGEST_S
from bulkstreams.errors import NoLedgerError, UsageError
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
        str | None,
        typer.Option(
            metavar="GOAL",
            help="Find the highest rate that keeps it, e.g. 'p99<250ms': probes take 1,000 requests for a p99, "
            f"or {LONGEST_S:g} s at the most, where --duration is shorter.",
        ),
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
    if clean is not None:
        _check_clean(
            clean,
            {
                "INPUT": inputs, "--template": template, "--rate": rate, "--stages": stages, "--duration": duration,
                "--warmup": warmup != "0s", "--concurrency": concurrency, "--closed-loop": closed_loop,
                "--search": search, "--ledger": ledger, "--keep": keep, "--html": html,
            },
        )  # fmt: skip
    given = Flags(
        tenant=tenant, config=config, base_url=base_url or (None if tenant else _address_in(clean)), timeout=timeout,
        token=None if token_file is None else read_token_file(token_file), allow_unknown_events=allow_unknown_events,
    )  # fmt: skip
    settings = load(given, os.environ, Path.cwd())
    asked = bench_ending.Asked(settings=settings, kind=choose(progress, os.environ), flags=_naming(given, token_file))
    if clean is not None:
        mark = check_ledger(clean, cleans=True)
        cleaned = run_loop(lambda: bench_ending.clean(clean, mark or "", asked))
        code = int(cleaned.exit_code)
        raise typer.Exit(finish_with(code, lambda: print_json(cleaned.figures)) if as_json else code)
    options = BenchOptions(
        plan=plan_of(rate, stages, duration, search, concurrency, closed_loop=closed_loop),
        ledger=ledger or LEDGER, inputs=inputs or (), template=template, warmup_s=float(span_of(warmup, "--warmup")),
        ceiling=_ceiling(concurrency or (CLIENTS if closed_loop else CEILING)), keep=keep,
    )  # fmt: skip
    _check(options, settings, approved=approved_load_test)
    files = [*map(Path, options.inputs), options.ledger, *(one for one in (template, stages) if one is not None)]
    with page_at(html, settings.require_default().base_url, files) as write:
        code = run_loop(lambda: bench_ending.bench_it(options, asked, write, as_json=as_json))
    raise typer.Exit(code)


def _check_clean(ledger: Path, others: Mapping[str, object]) -> None:
    """Refuse what would be passed over in silence where nothing is done but to delete, and a ledger that is none."""
    for flag, given in others.items():
        if given:
            raise UsageError(f"--clean only deletes: {flag} means nothing there.", hint="Leave one out.")
    if not ledger.exists():
        raise NoLedgerError(
            f"there is no ledger {ledger}.",
            hint=f"LEDGER is the file that `bulkstreams bench` wrote: {LEDGER}, unless --ledger named another.",
        )


def _check(options: BenchOptions, settings: Settings, *, approved: bool) -> None:
    """Refuse what must not be, before anything is made or sent."""
    if options.template is not None and options.inputs:
        raise UsageError("--template and INPUT are two answers to one question.", hint="Give one of them.")
    check_inputs(options.inputs)
    target = settings.default or settings.require_default()
    check_host(target.base_url, approved=approved)
    settings.require_default()
    check_ledger(options.ledger, cleans=False)


def _naming(given: Flags, token_file: Path | None) -> list[str]:
    """Return the flags that name the tenant to another command, as they named it to this one."""
    named = (
        ("--config", given.config), ("--tenant", given.tenant), ("--base-url", given.base_url),
        ("--token-file", token_file),
    )  # fmt: skip
    return [word for flag, value in named if value is not None for word in (flag, str(value))]


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
