"""The commands `undo`, `activate` and `smoke`: their flags in, an exit code out.

Whoever gives one of the first two is asked before anything is sent. This module must never take silence for a yes.
"""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Collection
from pathlib import Path
from typing import Annotated

import typer

from bulkstreams import report
from bulkstreams.cli import flags
from bulkstreams.cli.attending import attend
from bulkstreams.cli.loop import run_loop
from bulkstreams.cli.metering import watched
from bulkstreams.cli.progress import ProgressKind, choose
from bulkstreams.cli.telling import finish_with, naming_a_ledger, print_json, say
from bulkstreams.commands.errands import ErrandReport, open_errands
from bulkstreams.commands.live import Live
from bulkstreams.commands.prospect import ErrandOptions, prospect
from bulkstreams.config import Flags, Settings, load
from bulkstreams.core.errands import Kind
from bulkstreams.engine import Manner
from bulkstreams.errors import ExitCode, UsageError
from bulkstreams.ledger import UNDOABLE
from bulkstreams.model import State
from bulkstreams.secrets import read_token_file

Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask; needed where there is no terminal to ask at.")]
Force = Annotated[bool, typer.Option("--force", help="Streams that were changed since their creation, too.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Look at the streams and say what would be done to them.")]
OfStates = Annotated[
    str | None,
    typer.Option("--state", metavar="S[,S]", help="Only records in these states. \\[created,conflict,invalid]"),
]
AtTenant = Annotated[str | None, typer.Option(metavar="NAME", help="Only streams at this tenant of the ledger.")]
Event = Annotated[str, typer.Option("--event", metavar="TYPE", help="The type of the test event.")]
Patience = Annotated[float, typer.Option(metavar="S", min=0.0, help="Seconds that a delivery is waited for.")]


def undo(
    ledger: flags.LedgerPath,
    yes: Yes = False,
    dry_run: DryRun = False,
    force: Force = False,
    state: OfStates = None,
    tenant: AtTenant = None,
    config: flags.Config = None,
    base_url: flags.BaseUrl = None,
    token_file: flags.TokenFile = None,
    rate: flags.Rate = None,
    burst: flags.Burst = None,
    reserve: flags.Reserve = None,
    concurrency: flags.Concurrency = None,
    retries: flags.Retries = None,
    timeout: flags.Timeout = None,
    deadline: flags.Deadline = None,
    max_failures: flags.MaxFailures = None,
    limit: flags.Limit = None,
    as_json: flags.AsJson = False,
    progress: flags.Progress = ProgressKind.AUTO,
    metrics_port: flags.MetricsPort = None,
) -> None:
    """Delete exactly the streams that this ledger created and nobody has changed since. A rerun resumes."""
    settings = _settings(
        tenant, config, base_url, token_file, rate, burst, reserve, concurrency, retries, timeout, deadline,
        max_failures,
    )  # fmt: skip
    options = ErrandOptions(
        kind=Kind.UNDO,
        ledger=ledger,
        states=_states(state),
        tenant=tenant,
        limit=limit,
        manner=Manner(force=force, dry=dry_run),
    )
    _confirm(options, settings, "delete", yes=yes)
    raise typer.Exit(_do(options, settings, progress, metrics_port, as_json=as_json))


def activate(
    ledger: flags.LedgerPath,
    off: Annotated[bool, typer.Option("--off", help="Switch them off.")] = False,
    yes: Yes = False,
    dry_run: DryRun = False,
    force: Force = False,
    state: OfStates = None,
    tenant: AtTenant = None,
    config: flags.Config = None,
    base_url: flags.BaseUrl = None,
    token_file: flags.TokenFile = None,
    rate: flags.Rate = None,
    burst: flags.Burst = None,
    reserve: flags.Reserve = None,
    concurrency: flags.Concurrency = None,
    retries: flags.Retries = None,
    timeout: flags.Timeout = None,
    deadline: flags.Deadline = None,
    max_failures: flags.MaxFailures = None,
    limit: flags.Limit = None,
    as_json: flags.AsJson = False,
    progress: flags.Progress = ProgressKind.AUTO,
    metrics_port: flags.MetricsPort = None,
) -> None:
    """Switch the streams on that this ledger created, or off, unless somebody has changed them. A rerun resumes."""
    settings = _settings(
        tenant, config, base_url, token_file, rate, burst, reserve, concurrency, retries, timeout, deadline,
        max_failures,
    )  # fmt: skip
    options = ErrandOptions(
        kind=Kind.DISABLE if off else Kind.ENABLE,
        ledger=ledger,
        states=_states(state),
        tenant=tenant,
        limit=limit,
        manner=Manner(force=force, dry=dry_run),
    )
    _confirm(options, settings, "switch off" if off else "switch on", yes=yes)
    raise typer.Exit(_do(options, settings, progress, metrics_port, as_json=as_json))


def smoke(
    ledger: flags.LedgerPath,
    event: Event = "user.created",
    patience: Patience = 60.0,
    state: OfStates = None,
    allow_unknown_events: flags.Unknown = None,
    tenant: AtTenant = None,
    config: flags.Config = None,
    base_url: flags.BaseUrl = None,
    token_file: flags.TokenFile = None,
    rate: flags.Rate = None,
    burst: flags.Burst = None,
    reserve: flags.Reserve = None,
    concurrency: flags.Concurrency = None,
    retries: flags.Retries = None,
    timeout: flags.Timeout = None,
    deadline: flags.Deadline = None,
    max_failures: flags.MaxFailures = None,
    limit: flags.Limit = None,
    as_json: flags.AsJson = False,
    progress: flags.Progress = ProgressKind.AUTO,
    metrics_port: flags.MetricsPort = None,
) -> None:
    """Send each stream that this ledger created a test event, unless one was delivered, and record its delivery."""
    settings = _settings(
        tenant, config, base_url, token_file, rate, burst, reserve, concurrency, retries, timeout, deadline,
        max_failures, allow_unknown_events,
    )  # fmt: skip
    options = ErrandOptions(
        kind=Kind.SMOKE,
        ledger=ledger,
        states=_states(state),
        tenant=tenant,
        event=event,
        limit=limit,
        manner=Manner(patience_s=patience),
    )
    raise typer.Exit(_do(options, settings, progress, metrics_port, as_json=as_json))


def _settings(
    tenant: str | None,
    config: Path | None,
    base_url: str | None,
    token_file: Path | None,
    rate: str | None,
    burst: int | None,
    reserve: str | None,
    concurrency: int | None,
    retries: int | None,
    timeout: str | None,
    deadline: str | None,
    max_failures: int | None,
    allow_unknown_events: bool | None = None,
) -> Settings:
    asked = Flags(
        tenant=tenant, config=config, base_url=base_url, rate=rate, burst=burst, reserve=reserve,
        token=None if token_file is None else read_token_file(token_file), concurrency=concurrency, retries=retries,
        timeout=timeout, deadline=deadline, max_failures=max_failures,
        allow_unknown_events=allow_unknown_events,
    )  # fmt: skip
    return load(asked, os.environ, Path.cwd())


def _states(text: str | None) -> Collection[State]:
    """Return the states that were named; only those in which a stream stands for a record are of any use."""
    if text is None:
        return UNDOABLE
    names = [name.strip() for name in text.split(",") if name.strip()]
    known = {state.value: state for state in UNDOABLE}
    unknown = [name for name in names if name not in known]
    if unknown:
        raise UsageError(
            f"this ledger created no stream for a record in the state {unknown[0]!r}.",
            hint=f"States: {', '.join(known)}.",
        )
    return tuple(known[name] for name in names)


def _confirm(options: ErrandOptions, settings: Settings, verb: str, *, yes: bool) -> None:
    """Ask whether it is meant; raise UsageError where it is not, or nobody can be asked."""
    if options.manner.dry or yes:
        return
    with naming_a_ledger():
        found = prospect(options, settings, os.environ)
    if not found.streams:
        return
    words = f"{verb} {found.words(options.limit)}"
    again = shlex.join(["bulkstreams", *sys.argv[1:], "--yes"])
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise UsageError(f"nobody confirmed to {words}; nothing was sent.", hint=f"If that is meant: {again}")
    if _asked(f"{words[0].upper()}{words[1:]}? Type yes to do so: ") != "yes":
        raise UsageError("that was no yes; nothing was sent.", hint=f"To see what would be done: {_dry()}")


def _asked(question: str) -> str:
    """Ask, and return the answer; whoever interrupts instead has done nothing."""
    try:
        sys.stderr.write(question)
        sys.stderr.flush()
        return sys.stdin.readline().strip().lower()
    except KeyboardInterrupt:
        say("\ninterrupted; nothing was sent")
        raise typer.Exit(ExitCode.INTERRUPTED) from None


def _dry() -> str:
    return shlex.join(["bulkstreams", *sys.argv[1:], "--dry-run"])


def _do(options: ErrandOptions, settings: Settings, progress: ProgressKind, port: int | None, *, as_json: bool) -> int:
    """Do it, and tell how it ended; return the exit code."""
    with naming_a_ledger(), watched(port, reads_lines=False) as live:
        ended = run_loop(lambda: _execute(options, settings, live, choose(progress, os.environ)))
    if as_json:
        return finish_with(int(ended.exit_code), lambda: print_json(ended.figures))
    for text in report.errand_summary(ended.kind, ended.figures, ended.reasons, ended.failures):
        say(text)
    step = report.errand_next(ended.kind, ended.figures, ended.hints, shlex.join(["bulkstreams", *sys.argv[1:]]))
    if step:
        say(step)
    return int(ended.exit_code)


async def _execute(options: ErrandOptions, settings: Settings, live: Live, kind: ProgressKind) -> ErrandReport:
    async with open_errands(options, settings, os.environ, live) as session:
        return await attend(session, live, kind)
