"""The command `run`: its flags in, an exit code out."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Annotated

import typer

from bulkstreams.cli import flags
from bulkstreams.cli.attending import attend
from bulkstreams.cli.loop import run_loop
from bulkstreams.cli.metering import watched
from bulkstreams.cli.places import check_apart
from bulkstreams.cli.planning import planned
from bulkstreams.cli.progress import ProgressKind, choose
from bulkstreams.cli.rows import results_to
from bulkstreams.cli.sandboxed import placed, settings_for
from bulkstreams.cli.telling import finish
from bulkstreams.commands.live import Live
from bulkstreams.commands.run import RunOptions, RunReport, check_inputs, open_session
from bulkstreams.config import Flags, Settings, default_ledger
from bulkstreams.errors import UsageError
from bulkstreams.secrets import read_token_file


def run(
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
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only plan: as `plan` with the same flags.")] = False,
    allow_unknown_events: flags.Unknown = None,
    no_preflight: flags.NoPreflight = False,
    set_status: flags.SetStatus = None,
    smoke: Annotated[
        str | None, typer.Option(metavar="EVENT", help="Send what was created a test event, and wait for its delivery.")
    ] = None,
    sandbox: flags.InSandbox = False,
    results: Annotated[
        str | None, typer.Option(metavar="FILE|-", help="Write a JSON line for each settled record, as it happens.")
    ] = None,
    as_json: flags.AsJson = False,
    progress: flags.Progress = ProgressKind.AUTO,
    metrics_port: flags.MetricsPort = None,
) -> None:
    """Validate the input, then create what the ledger does not show as settled. A rerun resumes."""
    check_inputs(inputs)
    if as_json and results == "-":
        raise UsageError("--json and --results - both want standard output.", hint="Give --results a file.")
    asked = Flags(
        tenant=tenant, config=config, base_url=base_url, rate=rate, burst=burst, reserve=reserve,
        token=None if token_file is None else read_token_file(token_file), concurrency=concurrency, retries=retries,
        timeout=timeout, deadline=deadline, max_failures=max_failures, max_failure_rate=max_failure_rate,
        allow_unknown_events=allow_unknown_events,
    )  # fmt: skip
    settings = settings_for(asked, sandbox=sandbox)
    options = RunOptions(
        inputs=inputs, ledger=ledger, limit=limit, retry_failed=retry_failed, preflight=not no_preflight,
        set_status=set_status, smoke=smoke,
    )  # fmt: skip
    _check_results(results, [*inputs, str(ledger or default_ledger(inputs))])
    if dry_run:
        raise typer.Exit(planned(options, settings, progress, sandbox=sandbox, as_json=as_json, command="run"))
    with watched(metrics_port) as live, results_to(results, live) as rows:
        ended = run_loop(lambda: _run(options, settings, live, choose(progress, os.environ), sandbox=sandbox))
    raise typer.Exit(finish(ended, None if rows is None else rows.trouble, as_json=as_json))


def _check_results(target: str | None, others: Sequence[str]) -> None:
    """Raise UsageError where the rows of --results would be written into an input or the ledger."""
    if target is None or target == "-":
        return
    check_apart("--results", target, others)


async def _run(options: RunOptions, settings: Settings, live: Live, kind: ProgressKind, *, sandbox: bool) -> RunReport:
    async with (
        placed(settings, sandbox=sandbox) as where,
        open_session(options, where, os.environ, live) as session,
    ):
        return await attend(session, live, kind)
