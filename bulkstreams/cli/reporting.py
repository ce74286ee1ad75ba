"""The command `report`: a ledger as one HTML page, as JSON, or as CSV."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from bulkstreams.cli import flags
from bulkstreams.cli.extras import not_installed
from bulkstreams.cli.places import check_apart
from bulkstreams.cli.telling import naming_a_ledger, output, print_json, say
from bulkstreams.commands.replacing import Replacement
from bulkstreams.errors import UsageError
from bulkstreams.ledger import History

_STDOUT: Final = "-"
_ENDING: Final = ".report.html"


def report(
    ledger: flags.LedgerPath,
    html: Annotated[
        str | None,
        typer.Option(
            metavar="FILE|-", help="Where the page goes; default: LEDGER's stem + .report.html, in this folder."
        ),
    ] = None,
    compare: Annotated[
        Path | None, typer.Option(metavar="LEDGER", help="Set this ledger beside it, with the differences.")
    ] = None,
    as_json: flags.AsJson = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print the numbers as CSV on standard output.")] = False,
) -> None:
    """Make one self-contained HTML page with plots of what a ledger knows; or print its numbers."""
    wanted = [flag for flag, on in (("--json", as_json), ("--csv", as_csv), ("--html -", html == _STDOUT)) if on]
    if len(wanted) > 1:
        raise _at_odds(wanted)
    ledgers = [ledger] if compare is None else [ledger, compare]
    target = html or (None if wanted else _default(ledger))
    try:
        from bulkstreams.report import comparison, page, table
    except ModuleNotFoundError as missing:
        raise not_installed("`report`", "report", missing) from None
    with naming_a_ledger():
        found = [_figures(path) for path in ledgers]
    figures = found[0] if compare is None else comparison.compare(*found)
    if target is not None:
        _check_target(target, ledgers, found)
        _write(target, page.of_ledger(figures) if compare is None else page.of_comparison(figures))
    if as_json:
        print_json(figures)
    if as_csv:
        _print_lines(table.as_csv(figures))


def _at_odds(wanted: Sequence[str]) -> UsageError:
    """Return the error of several flags that each want standard output for themselves."""
    all_of = "both" if len(wanted) == 2 else "all"
    named = f"{', '.join(wanted[:-1])} and {wanted[-1]}"
    paged = any(one.startswith("--html") for one in wanted)
    hint = "Give --html a file, or one of them." if paged else "Give one of them."
    return UsageError(f"{named} {all_of} want standard output.", hint=hint)


def _figures(path: Path) -> dict[str, Any]:
    from bulkstreams.report import figures, hashes

    hashed = hashes.of_ledger(path)  # before any connection is open on it
    with History(path) as history:
        return figures.figures(history, time.time(), ledger=hashed)


def _default(ledger: Path) -> str:
    return ledger.name.removesuffix(".db").removesuffix(".ledger") + _ENDING


def _check_target(target: str, ledgers: Sequence[Path], found: Iterable[dict[str, Any]]) -> None:
    """Raise UsageError where the page would take the place of a ledger or an input."""
    if target == _STDOUT:
        return
    inputs = [one["path"] for figures in found for one in figures["inputs"]]
    check_apart("--html", target, [*ledgers, *inputs])


def _write(target: str, text: str) -> None:
    """Write the page: whole, or not at all."""
    if target == _STDOUT:
        _print_lines([text])
        return
    data = text.encode()
    with Replacement(Path(target), "--html") as file:
        file.write(data)
        file.seal()
        file.put()
    say(f"{target}: {len(data) / 1000:,.0f} kB; open it in a browser, it needs nothing else")


def _print_lines(lines: Iterable[str]) -> None:
    with output():
        for line in lines:
            sys.stdout.buffer.write(line.encode())
        sys.stdout.buffer.flush()
