"""Reading, validating, keying, ingesting: `python -m benchmarks.ingest [--records N] [--rounds N] [--brief]`.

`bulkstreams validate` reads an input into a real ledger, as `run` does before it sends anything; what it takes for one
record alone, its start, is taken off. A bare loop decodes the same lines with `json.loads`, in turn, on the same core.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import NamedTuple

from benchmarks.machine import Measured, arguments, measure, write_input


class Ingested(NamedTuple):
    """Records per second of the job and of the loop; seconds of the job's start; its processor's seconds a record."""

    rate: float
    loop_rate: float
    start_s: float
    cpu_s: float


def run_bare(path: Path) -> None:
    """Print the seconds that a loop takes to decode each line."""
    began = time.perf_counter()
    with path.open("rb") as file:
        for line in file:
            json.loads(line)
    print(time.perf_counter() - began)


def validate(path: Path) -> Measured:
    """Measure the whole process that reads an input."""
    return measure([sys.executable, "-m", "bulkstreams", "validate", str(path), "--json"], folder=path.parent)


def compare(path: Path, one: Path, records: int) -> Ingested:
    """Run the loop, then the job."""
    command = [sys.executable, "-m", "benchmarks.ingest", "--bare", str(path)]
    loop_rate = records / float(measure(command, folder=path.parent).output)
    start = validate(one)
    whole = validate(path)
    assert json.loads(whole.output)["records"]["valid"] == records
    rate = records / (whole.wall_s - start.wall_s)
    return Ingested(rate, loop_rate, start.wall_s, (whole.cpu_s - start.cpu_s) / records)


def show(found: Ingested) -> Ingested:
    """Print what was found, and return it."""
    print(
        f"json.loads {found.loop_rate:9,.0f}/s   ingest {found.rate:8,.0f}/s   "
        f"ratio {found.rate / found.loop_rate:.2f}   "
        f"(start {found.start_s:.2f} s, processor {1e6 * found.cpu_s:.1f} µs a record)"
    )
    return found


def main() -> None:
    """Measure both in turn, and print the medians."""
    args = arguments(__doc__, brief={"records": 20_000, "rounds": 1}, long={"records": 200_000, "rounds": 5})
    if args.bare:
        run_bare(Path(args.bare))
        return
    with tempfile.TemporaryDirectory() as name:
        path = write_input(Path(name) / "input.jsonl", args.records)
        one = write_input(Path(name) / "one.jsonl", 1)
        found = [show(compare(path, one, args.records)) for _ in range(args.rounds)]
    ratio = median(each.rate / each.loop_rate for each in found)
    rate = median(each.rate for each in found)
    print(f"median {rate:,.0f} records/s (goal: at least 25,000), {ratio:.2f} of json.loads")


if __name__ == "__main__":
    main()
