"""`bench --html`: the page of a bench.

This module must never let a load begin whose page cannot be made, or written.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bulkstreams.cli.bench_text import answer, doubted, itself, judged, late, of_which, timed
from bulkstreams.cli.extras import not_installed
from bulkstreams.cli.places import check_apart
from bulkstreams.cli.telling import say
from bulkstreams.commands.bench.options import BenchReport
from bulkstreams.commands.replacing import Replacement
from bulkstreams.errors import LedgerError, UsageError
from bulkstreams.ledger import History
from bulkstreams.report import hashes

Writing = Callable[[BenchReport], None]


@contextmanager
def page_at(target: Path | None, base_url: str, others: Sequence[Path]) -> Iterator[Writing]:
    """Give what writes the page of a bench in its place, whole; nothing is written where no page is asked for.

    Raises UsageError at once where the page cannot be made here, or would take the place of one of the `others`.
    """
    if target is None:
        yield lambda _ended: None
        return
    _check(target, others)
    try:
        from bulkstreams.report import page
    except ModuleNotFoundError as missing:
        raise not_installed("`bench --html`", "report", missing) from None
    with Replacement(target, "--html") as file:

        def write(ended: BenchReport) -> None:
            data = page.of_bench(_shown(ended, base_url)).encode()
            file.write(data)
            file.seal()
            file.put()
            say(f"{target}: {len(data) / 1000:,.0f} kB; open it in a browser, it needs nothing else")

        yield write


def _check(target: Path, others: Sequence[Path]) -> None:
    if str(target) == "-":
        raise UsageError("--html takes a file: standard output is the summary's, or --json's.", hint="Name a file.")
    check_apart("--html", target, others)


def _shown(ended: BenchReport, base_url: str) -> dict[str, Any]:
    """Return all that the page shows: the figures as they are printed, series, the summary's words, settings."""
    search = ended.figures.get("search")
    told = {} if search is None else {
        "answer": answer(search),
        "of_which": of_which(ended.figures),
        "judged": [judged(probe) for probe in search["probes"]],
    }  # fmt: skip
    return {
        **ended.everything,
        **told,
        "figures": ended.figures,
        "base_url": base_url,
        "made_at": time.time(),
        "stopped": ended.stopped,
        "examples": dict(ended.examples),
        "late": list(late(ended.figures)),
        "doubted": list(doubted(ended.figures)),
        "timed": list(timed(ended.figures)),
        "itself": itself(ended.figures),
        "in_force": ended.in_force,
        **_hashes(Path(ended.figures["ledger"])),
    }


def _hashes(ledger: Path) -> dict[str, Any]:
    """Return the hashes of a bench's ledger, which nobody holds by now, as it is before the cleaning; and of inputs."""
    file = hashes.of_ledger(ledger)
    try:
        with History(ledger) as history:
            return {"ledger_file": file, "inputs": hashes.of_inputs(history)}
    except LedgerError as error:  # the page tells of a load that was measured, whatever has become of its ledger
        return {"ledger_file": {**file, "sha256": None, "why_not": error.message}, "inputs": []}
