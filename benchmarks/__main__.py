"""The suite: `python -m benchmarks [--output FILE] [--records N] [--rounds N] [--brief]` writes a table in Markdown.

The whole job against a bare aiohttp loop, the official Python client, `hey`, `wrk` and `ab`, in turn, all on one core
and against one sink on another; then ingest, memory over the input's size, resume over the ledger's, lanes over
tenants. Progress goes to standard error. What is not installed is skipped, and the table says so.
"""

from __future__ import annotations

import sys
from pathlib import Path

from benchmarks.machine import CONCURRENCY, arguments
from benchmarks.suite.rows import crowding, ingesting, remembering, resuming, sending
from benchmarks.suite.table import Row, load, machine, markdown, versions

BRIEF = {"records": 1_000, "rounds": 1, "small": 1_000, "large": 5_000, "tenants": 100}
LONG = {"records": 20_000, "rounds": 5, "small": 20_000, "large": 200_000, "tenants": 1_000}
FILES = {"output": "where the table goes (default: standard output)"}


def rows(*, records: int, rounds: int, small: int, large: int, tenants: int) -> list[Row]:
    """Measure everything, one thing after the other."""
    return [
        *sending(records, rounds),
        *ingesting(large, rounds),
        *remembering((small, large)),
        *resuming((small, large), rounds),
        *crowding(max(records // 2, tenants), tenants),
    ]


def document(found: list[Row], place: str, rounds: int, *, brief: bool) -> str:
    """Return the table with what it was measured on; say of a brief one what it is worth."""
    many = f"Medians of {rounds} rounds, the least and the most beside them." if rounds > 1 else "One round."
    warning = "\n\nBrief: it only shows that everything runs; these sizes are too small for figures." if brief else ""
    explained = "What a row means, and what not: `benchmarks/README.md`."
    return f"{markdown(found)}\n{place}\n\n{versions()}\n\n{many} {CONCURRENCY} at once. {explained}{warning}\n"


def write(text: str, output: Path | None) -> None:
    """Write the table where it was asked for."""
    if output is None:
        sys.stdout.write(text)
    else:
        output.write_text(text, encoding="utf-8")


def main() -> None:
    """Measure, and write the table."""
    args = arguments(__doc__, BRIEF, LONG, files=FILES)
    if args.output and not args.output.parent.is_dir():
        raise SystemExit(f"{args.output}: there is no such folder")  # now, not when all is measured
    before = load()
    found = rows(**{name: getattr(args, name) for name in LONG})
    write(document(found, machine(before, load()), args.rounds, brief=args.brief), args.output)


if __name__ == "__main__":
    main()
