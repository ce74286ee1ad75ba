"""The command line: flags in, exit codes out. Everything between is `commands`' and `report`'s."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import anyio
import typer

from bulkstreams import report
from bulkstreams.cli import serving
from bulkstreams.cli.loop import SIGNALS, heeded, run_loop
from bulkstreams.cli.outlets import watch_reader
from bulkstreams.cli.progress import ProgressKind, choose, console, show
from bulkstreams.cli.rows import results_to
from bulkstreams.cli.telling import finish, output, print_figures, print_json, print_text, say
from bulkstreams.commands import results as results_command
from bulkstreams.commands.live import Live
from bulkstreams.commands.run import RunOptions, RunReport, Session, check_inputs, open_session, preview
from bulkstreams.commands.validate import validate as validate_command
from bulkstreams.config import Flags, Settings, default_ledger, load
from bulkstreams.errors import UsageError, first_cause
from bulkstreams.ledger import LedgerReader
from bulkstreams.model import State
from bulkstreams.sandbox import Sandbox, SandboxSettings
from bulkstreams.secrets import read_token_file

app = typer.Typer(
    name="bulkstreams",
    help="Create Auth0 event streams in bulk: every record exactly once, whatever dies.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Inputs = Annotated[list[str], typer.Argument(metavar="INPUT…", help="JSON Lines files (.gz too), or - for stdin.")]
LedgerPath = Annotated[Path, typer.Argument(metavar="LEDGER", help="The file that `run` wrote.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output, and nothing else.")]
Config = Annotated[Path | None, typer.Option(help="Configuration; default: bulkstreams.toml here, if there is one.")]
Unknown = Annotated[
    bool | None, typer.Option("--allow-unknown-events", help="Take event types that this version does not know.")
]


def _version(asked: bool) -> None:
    if asked:
        print_text(f"bulkstreams {version('bulkstreams')}")
        raise typer.Exit


@app.callback()
def _main(
    _: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")] = False,
) -> None:
    pass


@app.command()
def run(
    inputs: Inputs,
    tenant: Annotated[str | None, typer.Option(help="The tenant of lines that name none.")] = None,
    config: Config = None,
    base_url: Annotated[str | None, typer.Option(metavar="URL", help="The tenant's address, over its domain.")] = None,
    token_file: Annotated[Path | None, typer.Option(metavar="FILE", help="A file that holds a token.")] = None,
    ledger: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Default: INPUT's stem + .ledger.db, in this folder.")
    ] = None,
    rate: Annotated[
        str | None, typer.Option(metavar="R|auto|max", help="Requests a second; auto follows the server's headers.")
    ] = None,
    burst: Annotated[int | None, typer.Option(metavar="N", help="Requests at once, within an explicit --rate.")] = None,
    reserve: Annotated[
        str | None, typer.Option(metavar="P%", help="Share of the tenant's budget left to others, such as logins.")
    ] = None,
    concurrency: Annotated[int | None, typer.Option(metavar="N", help="Requests under way at once. [32]")] = None,
    retries: Annotated[int | None, typer.Option(metavar="N", help="Retries of a record; a 429 costs none. [5]")] = None,
    timeout: Annotated[str | None, typer.Option(metavar="S", help="Seconds for one attempt. [30]")] = None,
    deadline: Annotated[str | None, typer.Option(metavar="S", help="Seconds for the run, e.g. 20m.")] = None,
    max_failures: Annotated[int | None, typer.Option(metavar="N", help="Stop after N failed records.")] = None,
    max_failure_rate: Annotated[
        str | None, typer.Option(metavar="P%", help="Stop when more than this share has failed (of 20 or more).")
    ] = None,
    limit: Annotated[int | None, typer.Option(metavar="N", min=1, help="Take at most N records in this run.")] = None,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Take refused and conflicting ones again.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check and count; send nothing, write nothing.")] = False,
    allow_unknown_events: Unknown = None,
    no_preflight: Annotated[
        bool, typer.Option("--no-preflight", help="Do not look first which streams the tenant has already.")
    ] = False,
    sandbox: Annotated[bool, typer.Option("--sandbox", help="Provision a local Auth0 inside this process.")] = False,
    results: Annotated[
        str | None, typer.Option(metavar="FILE|-", help="Write a JSON line for each settled record, as it happens.")
    ] = None,
    as_json: AsJson = False,
    progress: Annotated[ProgressKind, typer.Option(help="How progress is shown.")] = ProgressKind.AUTO,
) -> None:
    """Validate the input, then create what the ledger does not show as settled. A rerun resumes."""
    check_inputs(inputs)
    if as_json and results == "-":
        raise UsageError("--json and --results - both want standard output.", hint="Give --results a file.")
    flags = Flags(
        tenant=tenant, config=config, base_url=base_url, rate=rate, burst=burst, reserve=reserve,
        token=None if token_file is None else read_token_file(token_file), concurrency=concurrency, retries=retries,
        timeout=timeout, deadline=deadline, max_failures=max_failures, max_failure_rate=max_failure_rate,
        allow_unknown_events=allow_unknown_events,
    )  # fmt: skip
    if sandbox and (base_url or tenant or token_file):
        raise UsageError("--sandbox brings its own tenant.", hint="Leave out --base-url, --tenant and --token-file.")
    # The sandbox needs no account, so an account's variables are none of its business.
    settings = load(flags, {} if sandbox else os.environ, Path.cwd())
    options = RunOptions(
        inputs=inputs, ledger=ledger, limit=limit, retry_failed=retry_failed, preflight=not no_preflight
    )
    _check_results(results, [*inputs, str(ledger or default_ledger(inputs))])
    live = Live(say)
    if dry_run:
        figures, code = run_loop(lambda: _preview(options, settings, live, sandbox=sandbox))
        print_figures(figures, as_json, f"would send {figures['would_send']:,}")
        raise typer.Exit(code)
    with results_to(results, live) as rows:
        ended = run_loop(lambda: _run(options, settings, live, choose(progress, os.environ), sandbox=sandbox))
    raise typer.Exit(finish(ended, None if rows is None else rows.trouble, as_json=as_json))


def _check_results(target: str | None, others: Sequence[str]) -> None:
    """Raise UsageError where the rows of --results would be written into an input or the ledger."""
    if target is None or target == "-":
        return
    into = next((other for other in others if Path(other).resolve() == Path(target).resolve()), None)
    if into is not None:
        raise UsageError(f"--results {target} would write into {into}.", hint="Give it a file of its own.")


async def _preview(options: RunOptions, settings: Settings, live: Live, *, sandbox: bool) -> Any:
    chosen = settings.with_sandbox("http://127.0.0.1:0") if sandbox else settings
    return await preview(options, chosen, os.environ, live)


async def _run(options: RunOptions, settings: Settings, live: Live, kind: ProgressKind, *, sandbox: bool) -> RunReport:
    async with AsyncExitStack() as stack:
        if sandbox:
            server = await stack.enter_async_context(Sandbox(SandboxSettings()))
            settings = settings.with_sandbox(server.url)
        session = await stack.enter_async_context(open_session(options, settings, os.environ, live))
        stack.enter_context(watch_reader(lambda: session.engine.stop("nobody reads standard error any more")))
        try:
            async with anyio.create_task_group() as group:
                group.start_soon(_watch_signals, session)
                group.start_soon(show, live, kind, console())
                ended = await session.execute()
                group.cancel_scope.cancel()
        except BaseExceptionGroup as group_:
            raise first_cause(group_) from None
        return ended


async def _watch_signals(session: Session) -> None:
    with anyio.open_signal_receiver(*heeded()) as received:
        async for number in received:
            if session.interrupted is None:
                say("draining: requests under way end in order, nothing new starts; once more to leave at once")
            elif number == signal.SIGHUP:
                continue  # a terminal that closes says so twice: through its shell, and through the system
            session.interrupt(SIGNALS[number])


@app.command()
def validate(
    inputs: Inputs,
    config: Config = None,
    allow_unknown_events: Unknown = None,
    as_json: AsJson = False,
) -> None:
    """Check every line offline, by the same rules as `run`. Sends nothing."""
    check_inputs(inputs)
    settings = load(Flags(config=config, allow_unknown_events=allow_unknown_events), os.environ, Path.cwd())
    live = Live(say if as_json else print_text, most_shown=None)
    figures, code = run_loop(lambda: validate_command(inputs, settings, os.environ, live))
    print_figures(figures, as_json, "checked")
    raise typer.Exit(code)


@app.command()
def status(ledger: LedgerPath, as_json: AsJson = False) -> None:
    """Count a ledger's records by state and tenant, and group the failures by cause."""
    with LedgerReader(ledger) as reader:
        if as_json:
            print_json(report.status(reader, time.time()))
        else:
            print_text("\n".join(report.status_lines(reader, time.time())))


@app.command()
def results(
    ledger: LedgerPath,
    form: Annotated[
        results_command.Format, typer.Option("--format", help="How rows are written; terraform: as import blocks.")
    ] = results_command.Format.JSONL,
    state: Annotated[str | None, typer.Option(metavar="S[,S]", help="Only records in these states.")] = None,
    tenant: Annotated[str | None, typer.Option(metavar="NAME", help="Only records of this tenant.")] = None,
    as_input: Annotated[bool, typer.Option("--as-input", help="The original lines, valid as input again.")] = False,
) -> None:
    """Print one row a record, in the order of the input."""
    states = _states(state)
    with LedgerReader(ledger) as reader:
        for line in results_command.written(reader, states, tenant, form, as_lines=as_input):
            with output():
                sys.stdout.buffer.write(line)
        with output():
            sys.stdout.buffer.flush()


def _states(text: str | None) -> list[State]:
    names = [name.strip() for name in (text or "").split(",") if name.strip()]
    known = {state.value: state for state in State}
    unknown = [name for name in names if name not in known]
    if unknown:
        raise UsageError(f"there is no state {unknown[0]!r}.", hint=f"States: {', '.join(known)}.")
    return [known[name] for name in names]


app.command()(serving.sandbox)
