"""What the command tells: data on standard output, everything else on standard error, and how a run ended.

This module must never decide what is told (`report` does), nor let an outlet that takes nothing more pass for success.
"""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TextIO

import orjson
import typer

from bulkstreams import report
from bulkstreams.commands.run import RunReport
from bulkstreams.errors import BulkstreamsError, ExitCode, NoLedgerError, OutputError


def say(text: str) -> None:
    """Tell people something, on standard error."""
    print(text, file=sys.stderr, flush=True)  # noqa: T201


def print_text(text: str) -> None:
    """Print a text on standard output."""
    with output():
        print(text, flush=True)  # noqa: T201


@contextmanager
def output() -> Iterator[None]:
    """Write to standard output; where it takes nothing more, raise OutputError, or leave quietly if a reader did."""
    try:
        yield
    except BrokenPipeError:
        drop(sys.stdout)
        raise typer.Exit(ExitCode.FAILURES) from None
    except OSError as error:
        drop(sys.stdout)
        raise OutputError(
            f"standard output cannot be written: {error.strerror}.", hint="Make room, or write somewhere else."
        ) from None


def print_json(value: Any) -> None:
    """Print one JSON object on standard output, and nothing else."""
    print_text(orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS).decode())


def finish_with(code: int, tell: Callable[[], None]) -> int:
    """Tell the last on standard output; return `code`, or that of an output which took nothing where all went well."""
    try:
        tell()
    except typer.Exit as gone:
        return code or gone.exit_code
    except OutputError as error:
        failed = fail(error)
        return code or failed
    return code


def print_figures(figures: dict[str, Any], as_json: bool, verb: str) -> None:
    """Tell the counts of a command that sends nothing: `verb` says what it did with the records."""
    if as_json:
        print_json(figures)
        return
    records = figures["records"]
    parts = [f"{count:,} {name.replace('_', ' ')}" for name, count in records.items() if name != "total" and count]
    say(f"{verb}: {records['total']:,} records: {', '.join(parts) or 'none'}")


def finish(ended: RunReport, trouble: str | None, *, as_json: bool) -> int:
    """Tell how a run ended; return its exit code, or that of an output which took nothing where all else went well.

    `trouble`: why rows that were asked for could not all be written.
    """
    code = int(ended.exit_code)
    if not as_json:
        _tell(ended)
    else:
        code = finish_with(code, lambda: print_json(ended.figures))
    if trouble is not None:
        code = code or fail(_lost(trouble, ended.figures["ledger"]))
    return code


def _lost(trouble: str, ledger: str) -> OutputError:
    hint = shlex.join(["bulkstreams", "results", ledger])
    return OutputError(f"the results could not be written ({trouble}).", hint=f"The ledger holds them all: {hint}")


def _tell(ended: RunReport) -> None:
    for text in report.summary(ended.figures, ended.reasons, ended.failures):
        say(text)
    step = report.next_step(ended.figures, ended.hints, shlex.join(["bulkstreams", *sys.argv[1:]]))
    if step:
        say(step)


@contextmanager
def naming_a_ledger() -> Iterator[None]:
    """Tell whoever named a file that is no ledger what the argument is; such commands have no --ledger."""
    try:
        yield
    except NoLedgerError as error:
        raise NoLedgerError(error.message, hint="LEDGER is the file that `run` wrote, e.g. in.ledger.db.") from None


def drop(to: TextIO) -> None:
    """Send what is still in a stream's buffer nowhere, so that closing it does not fail once more."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, to.fileno())
    os.close(nowhere)


def fail(error: BulkstreamsError) -> int:
    """Tell an error and its remedy; return the exit code."""
    say(f"error: {error.message}")
    if error.hint:
        say(error.hint)
    return int(error.exit_code)
