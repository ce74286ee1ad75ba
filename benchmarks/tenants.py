"""What tenants cost: `python -m benchmarks.tenants [--records N] [--few N] [--many N] [--brief]`.

The same number of records for one tenant, for few and for many, sorted by tenant, each a whole `bulkstreams run`
against the sink: seconds, peak memory, and the most file descriptors that were open at once.
"""

from __future__ import annotations

import json
import resource
import sys
import tempfile
from pathlib import Path
from time import sleep
from typing import Final, NamedTuple

from benchmarks.machine import Measured, arguments, definition, measure, sink

LOOK_S: Final = 0.02


class Cost(NamedTuple):
    """The run of so many tenants, and the most files that it had open at once (0: the system does not tell)."""

    tenants: int
    job: Measured
    files: int


class Files:
    """Counts the file descriptors of a process, again and again, while it lives; where the system tells of them."""

    def __init__(self) -> None:
        self.most = 0

    def watch(self, process: int) -> None:
        """Look until the process has ended."""
        folder = Path(f"/proc/{process}/fd")
        while True:
            try:
                found = sum(1 for _ in folder.iterdir())
            except OSError:
                return
            if not found:  # it has ended, and nobody has asked how
                return
            self.most = max(self.most, found)
            sleep(LOOK_S)


def write(folder: Path, records: int, tenants: int, url: str) -> None:
    """Write the input, sorted by tenant, and the configuration."""
    each = records // tenants
    with (folder / "input.jsonl").open("w", encoding="utf-8") as file:
        for number in range(each * tenants):
            file.write(json.dumps({"tenant": f"t{number // each:05}", "stream": definition(number)}) + "\n")
    with (folder / "bulkstreams.toml").open("w", encoding="utf-8") as file:
        for number in range(tenants):
            file.write(f'[tenants.t{number:05}]\nbase_url = "{url}/t/t{number:05}"\ntoken = "dummy"\n')


def cost(records: int, tenants: int, url: str) -> Cost:
    """Run one input."""
    with tempfile.TemporaryDirectory() as name:
        write(Path(name), records, tenants, url)
        command = [sys.executable, "-m", "bulkstreams", "run", "input.jsonl", "--rate", "max", "--json"]
        files = Files()
        job = measure(command, folder=Path(name), watch=files.watch)
    figures = json.loads(job.output)
    assert figures["records"]["created"] == records // tenants * tenants
    assert figures["this_run"]["retries"] == 0, "a connection could not be opened"
    return Cost(tenants, job, files.most)


def show(found: Cost) -> Measured:
    """Print what it cost, and return the run."""
    tenants, job, files = found
    print(
        f"{tenants:7,} tenants: {job.wall_s:6.1f} s, {job.cpu_s:6.1f} s of processor, peak {job.peak_mib:6.1f} MiB, "
        f"{files or 'unknown':>6} files open at most (of {resource.getrlimit(resource.RLIMIT_NOFILE)[1]:,})",
        flush=True,
    )
    return job


def main() -> None:
    """Measure one, few and many tenants, and print what one tenant more costs."""
    args = arguments(
        __doc__,
        brief={"records": 1_000, "few": 100, "many": 1_000},
        long={"records": 20_000, "few": 1_000, "many": 10_000},
    )
    with sink() as url:
        one, _, many = (show(cost(args.records, tenants, url)) for tenants in (1, args.few, args.many))
    each = (many.cpu_s - one.cpu_s) / (args.many - 1)
    print(
        f"a tenant more: {each * 1000:.2f} ms of processor; "
        f"peak of {args.many:,} to that of one: {many.peak_mib / one.peak_mib:.2f} (goal: at most 2.50)"
    )


if __name__ == "__main__":
    main()
