"""A rerun with nothing to do against sha256sum: `python -m benchmarks.rerun [--records N] [--rounds N] [--brief]`.

A first run against the sink settles every record. Then the same command runs again over the unchanged input, whole
process and all, in turn with `sha256sum` over that input, which stands for reading it once.
"""

from __future__ import annotations

import hashlib
import shutil
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import NamedTuple

from benchmarks.machine import Measured, arguments, measure, measure_run, sink, write_input

LEDGER = "input.ledger.db"


class Rerun(NamedTuple):
    """A rerun, its own seconds without its start and end, its requests, and what sha256sum took over its input."""

    again: Measured
    elapsed_s: float
    requests: int
    hash_s: float


def hash_command(path: Path) -> list[str]:
    """Return what hashes a file in a process of its own."""
    tool = shutil.which("sha256sum")
    return [tool, str(path)] if tool else [sys.executable, "-m", "benchmarks.rerun", "--bare", str(path)]


def run_bare(path: Path) -> None:
    """Print a file's SHA-256, where the system has no tool for it."""
    with path.open("rb") as file:
        print(hashlib.file_digest(file, "sha256").hexdigest())


def settle(path: Path, url: str, records: int) -> Measured:
    """Create every record of the input, so that nothing is left to do."""
    job, figures = measure_run(path, url, LEDGER)
    assert figures["records"]["created"] == records
    return job


def compare(path: Path, url: str, records: int) -> Rerun:
    """Run sha256sum, then the same command again."""
    hashed = measure(hash_command(path), folder=path.parent)
    again, figures = measure_run(path, url, LEDGER)
    assert figures["records"]["created"] == records
    requests = int(figures["this_run"]["requests"]) + int(figures["this_run"]["lookups"])
    return Rerun(again, float(figures["elapsed_s"]), requests, hashed.wall_s)


def show(found: Rerun) -> Rerun:
    """Print what was found, and return it."""
    again = found.again
    print(
        f"sha256sum {found.hash_s:5.2f} s   rerun {again.wall_s:5.2f} s   requests {found.requests}   "
        f"(of the rerun, {again.wall_s - found.elapsed_s:.2f} s to start and to end; "
        f"processor {again.cpu_s:.2f} s, peak {again.peak_mib:.0f} MiB)",
        flush=True,
    )
    return found


def main() -> None:
    """Settle an input, measure both in turn, and print the medians."""
    args = arguments(__doc__, brief={"records": 20_000, "rounds": 1}, long={"records": 1_000_000, "rounds": 5})
    if args.bare:
        run_bare(Path(args.bare))
        return
    with tempfile.TemporaryDirectory() as name, sink() as url:
        path = write_input(Path(name) / "input.jsonl", args.records)
        first = settle(path, url, args.records)
        print(f"first run {first.wall_s:.1f} s, {args.records / first.wall_s:,.0f} records/s", flush=True)
        rounds = [show(compare(path, url, args.records)) for _ in range(args.rounds)]
    hashed, again = median(one.hash_s for one in rounds), median(one.again.wall_s for one in rounds)
    print(f"median rerun {again:.2f} s (goal: at most {3 * hashed + 1:.2f} s: 3 times {hashed:.2f} s and 1 s)")
    print(f"requests {max(one.requests for one in rounds)} (goal: 0)")


if __name__ == "__main__":
    main()
