"""Peak memory of a run against the input's size: `python -m benchmarks.memory [--small N] [--large N] [--brief]`.

The peak resident memory of the whole process of `bulkstreams run`, as the system tells it at its end, for a small and
a large input: it must not grow with the input.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import NamedTuple

from benchmarks.machine import Measured, arguments, measure_run, sink, write_input


class Run(NamedTuple):
    """A run of so many records, and the bytes of its ledger."""

    records: int
    job: Measured
    ledger: int


def run(records: int, url: str) -> Run:
    """Run an input of so many records."""
    with tempfile.TemporaryDirectory() as name:
        path = write_input(Path(name) / "input.jsonl", records)
        job, figures = measure_run(path, url, "input.ledger.db")
        assert figures["records"]["created"] == records
        return Run(records, job, (Path(name) / "input.ledger.db").stat().st_size)


def show(found: Run) -> float:
    """Print what was found; return the peak of memory in MiB."""
    records, job, size = found
    print(
        f"{records:9,} records: peak {job.peak_mib:6.1f} MiB in {job.wall_s:.1f} s   "
        f"(the ledger on disk: {size / 2**20:,.1f} MiB, {size / records:.0f} bytes a record)",
        flush=True,
    )
    return job.peak_mib


def main() -> None:
    """Measure both sizes, and print the ratio of their peaks."""
    args = arguments(__doc__, brief={"small": 2_000, "large": 20_000}, long={"small": 50_000, "large": 1_000_000})
    with sink() as url:
        small, large = show(run(args.small, url)), show(run(args.large, url))
    megabytes = large * 2**20 / 1e6
    print(f"ratio {large / small:.2f} (goal: at most 1.20), {megabytes:.0f} MB (goal: under 200)")


if __name__ == "__main__":
    main()
