"""The command line: flags in, exit codes out. Everything between is `commands`' and `report`'s."""

from __future__ import annotations

import os
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Final

import typer

from bulkstreams import report
from bulkstreams.cli import (
    afterwards,
    benching,
    exporting,
    flags,
    importing,
    planning,
    reporting,
    running,
    serving,
)
from bulkstreams.cli.given import Command
from bulkstreams.cli.loop import run_loop
from bulkstreams.cli.telling import naming_a_ledger, output, print_figures, print_json, print_text, say
from bulkstreams.commands import results as results_command
from bulkstreams.commands.live import Live
from bulkstreams.commands.run import check_inputs
from bulkstreams.commands.validate import validate as validate_command
from bulkstreams.config import Flags, load
from bulkstreams.errors import UsageError
from bulkstreams.ledger import LedgerReader
from bulkstreams.model import State

app = typer.Typer(
    name="bulkstreams",
    help="Create Auth0 event streams in bulk: every record exactly once, whatever dies.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(asked: bool) -> None:
    if asked:
        print_text(f"bulkstreams {version('bulkstreams')}")
        raise typer.Exit


@app.callback()
def _main(
    _: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")] = False,
) -> None:
    pass


def validate(
    inputs: flags.Inputs,
    config: flags.Config = None,
    allow_unknown_events: flags.Unknown = None,
    as_json: flags.AsJson = False,
) -> None:
    """Check every line offline, by the same rules as `run`. Sends nothing."""
    check_inputs(inputs)
    settings = load(Flags(config=config, allow_unknown_events=allow_unknown_events), os.environ, Path.cwd())
    live = Live(say if as_json else print_text, most_shown=None)
    figures, code = run_loop(lambda: validate_command(inputs, settings, os.environ, live))
    print_figures(figures, as_json, "checked")
    raise typer.Exit(code)


def status(ledger: flags.LedgerPath, as_json: flags.AsJson = False) -> None:
    """Count a ledger's records by state and tenant, and group the failures by cause."""
    with naming_a_ledger(), LedgerReader(ledger) as reader:
        if as_json:
            print_json(report.status(reader, time.time()))
        else:
            print_text("\n".join(report.status_lines(reader, time.time())))


def results(
    ledger: flags.LedgerPath,
    form: Annotated[
        results_command.Format, typer.Option("--format", help="How rows are written; terraform: as import blocks.")
    ] = results_command.Format.JSONL,
    state: Annotated[str | None, typer.Option(metavar="S[,S]", help="Only records in these states.")] = None,
    tenant: Annotated[str | None, typer.Option(metavar="NAME", help="Only records of this tenant.")] = None,
    as_input: Annotated[bool, typer.Option("--as-input", help="The original lines, valid as input again.")] = False,
) -> None:
    """Print one row a record, in the order of the input."""
    states = _states(state)
    with naming_a_ledger(), LedgerReader(ledger) as reader:
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


COMMANDS: Final = (
    validate,
    planning.plan,
    running.run,
    planning.verify,
    status,
    results,
    reporting.report,
    exporting.export,
    afterwards.activate,
    afterwards.smoke,
    afterwards.undo,
    benching.bench,
    serving.sandbox,
)
"""In the order of `--help`: what a job takes from its beginning to its end."""

for _command in COMMANDS:
    app.command(cls=Command)(_command)
app.add_typer(importing.app)
