"""The commands `plan` and `verify`: their flags in, an exit code out. `run --dry-run` comes here too."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import typer

from bulkstreams import report
from bulkstreams.cli import flags
from bulkstreams.cli.attending import attend
from bulkstreams.cli.comparisons import (
    finding_lines,
    plan_lines,
    plan_steps,
    run_of,
    verify_lines,
    verify_steps,
)
from bulkstreams.cli.loop import run_loop
from bulkstreams.cli.progress import ProgressKind, choose
from bulkstreams.cli.sandboxed import placed, settings_for
from bulkstreams.cli.telling import print_json, print_text, say
from bulkstreams.commands.comparing import Comparison, Grounds, open_comparison
from bulkstreams.commands.live import Live
from bulkstreams.commands.plan import PlanSession
from bulkstreams.commands.run import RunOptions, check_inputs
from bulkstreams.commands.verify import Finding, QuietLive, VerifySession, onlooker
from bulkstreams.config import Flags, Settings, load
from bulkstreams.engine import Job, Onlooker, Planner
from bulkstreams.ledger import Ledger
from bulkstreams.secrets import read_token_file

R = TypeVar("R")

LISTED = "bulkstreams validate INPUT"
"""What tells all the complaints about lines: a command that only looks leaves no ledger to ask."""


def plan(
    inputs: flags.Inputs,
    tenant: flags.Tenant = None,
    config: flags.Config = None,
    base_url: flags.BaseUrl = None,
    token_file: flags.TokenFile = None,
    ledger: flags.LedgerFile = None,
    rate: flags.Rate = None,
    burst: flags.Burst = None,
    reserve: flags.Reserve = None,
    concurrency: flags.Concurrency = None,
    retries: flags.Retries = None,
    timeout: flags.Timeout = None,
    deadline: flags.Deadline = None,
    max_failures: flags.MaxFailures = None,
    max_failure_rate: flags.MaxFailureRate = None,
    limit: flags.Limit = None,
    retry_failed: flags.RetryFailed = False,
    allow_unknown_events: flags.Unknown = None,
    no_preflight: flags.NoPreflight = False,
    set_status: flags.SetStatus = None,
    sandbox: flags.InSandbox = False,
    as_json: flags.AsJson = False,
    progress: flags.Progress = ProgressKind.AUTO,
) -> None:
    """Say what `run` with the same flags would do: it looks at the tenants, sends nothing, writes nothing."""
    check_inputs(inputs)
    asked = Flags(
        tenant=tenant, config=config, base_url=base_url, rate=rate, burst=burst, reserve=reserve,
        token=None if token_file is None else read_token_file(token_file), concurrency=concurrency, retries=retries,
        timeout=timeout, deadline=deadline, max_failures=max_failures, max_failure_rate=max_failure_rate,
        allow_unknown_events=allow_unknown_events,
    )  # fmt: skip
    settings = settings_for(asked, sandbox=sandbox)
    options = RunOptions(
        inputs=inputs, ledger=ledger, limit=limit, retry_failed=retry_failed, preflight=not no_preflight,
        set_status=set_status,
    )  # fmt: skip
    raise typer.Exit(planned(options, settings, progress, sandbox=sandbox, as_json=as_json, command="plan"))


def planned(
    options: RunOptions, settings: Settings, progress: ProgressKind, *, sandbox: bool, as_json: bool, command: str
) -> int:
    """Plan, and tell the plan; return the exit code. `command` is what was called: `plan`, or `run --dry-run`."""
    live = Live(say, listed=LISTED)
    found = run_loop(lambda: _compare(options, settings, live, progress, Planner, PlanSession, sandbox=sandbox))
    if as_json:
        print_json(found.figures)
        return int(found.exit_code)
    print_text("\n".join(plan_lines(found)))
    for text in [*report.stopped_lines(found.reasons), *plan_steps(found, _again(), _run(command))]:
        say(text)
    return int(found.exit_code)


def verify(
    inputs: flags.Inputs,
    tenant: flags.Tenant = None,
    config: flags.Config = None,
    base_url: flags.BaseUrl = None,
    token_file: flags.TokenFile = None,
    ledger: flags.LedgerFile = None,
    rate: flags.Rate = None,
    burst: flags.Burst = None,
    reserve: flags.Reserve = None,
    concurrency: flags.Concurrency = None,
    timeout: flags.Timeout = None,
    deadline: flags.Deadline = None,
    allow_unknown_events: flags.Unknown = None,
    as_json: flags.AsJson = False,
    progress: flags.Progress = ProgressKind.AUTO,
) -> None:
    """Compare the input, the ledger and the tenants: a line each, with `=` `*` `+` `-` or `!`. Sends nothing."""
    check_inputs(inputs)
    asked = Flags(
        tenant=tenant, config=config, base_url=base_url, rate=rate, burst=burst, reserve=reserve,
        token=None if token_file is None else read_token_file(token_file), concurrency=concurrency, timeout=timeout,
        deadline=deadline, allow_unknown_events=allow_unknown_events,
    )  # fmt: skip
    settings = load(asked, os.environ, Path.cwd())
    options = RunOptions(inputs=inputs, ledger=ledger)
    tell: Callable[[Finding], None] = _keep_quiet if as_json else _tell
    found = run_loop(
        lambda: _compare(
            options,
            settings,
            QuietLive(say, listed=LISTED),
            progress,
            onlooker,
            lambda grounds: VerifySession(grounds, tell),
        )
    )
    if as_json:
        print_json(found.figures)
    else:
        for text in [*verify_lines(found), *verify_steps(found, _again(), _run("verify"))]:
            say(text)
    raise typer.Exit(int(found.exit_code))


def _tell(finding: Finding) -> None:
    if lines := finding_lines(finding):
        print_text("\n".join(lines))


def _keep_quiet(_: Finding) -> None:
    pass


async def _compare(
    options: RunOptions,
    settings: Settings,
    live: Live,
    progress: ProgressKind,
    make: Callable[[Ledger, Job], Onlooker],
    kind: Callable[[Grounds], Comparison[R]],
    *,
    sandbox: bool = False,
) -> R:
    async with (
        placed(settings, sandbox=sandbox) as where,
        open_comparison(options, where, os.environ, live, make, kind) as session,
    ):
        return await attend(session, live, choose(progress, os.environ))


def _again() -> str:
    return shlex.join(["bulkstreams", *sys.argv[1:]])


def _run(command: str) -> str:
    return shlex.join(["bulkstreams", *run_of(sys.argv[1:], command)])
