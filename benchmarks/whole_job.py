"""The whole job against a bare aiohttp loop: `python -m benchmarks.whole_job [--records N] [--rounds N] [--brief]`.

Both run on one core, in turn, against a sink on another, with the same concurrency and event loop. The bare loop posts
one constant body and does nothing else; the job validates, keys, writes its ledger with fsync, and posts.
"""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import NamedTuple

import aiohttp

from benchmarks.machine import CONCURRENCY, Measured, arguments, definition, measure, measure_run, sink, write_input


class Rate(NamedTuple):
    """Records per second without the start of the process, and the whole process."""

    per_s: float
    process: Measured


async def bare(url: str, records: int) -> float:
    """Post one body so many times; return the records per second."""
    body = json.dumps(definition(0)).encode()
    headers = {"Authorization": "Bearer dummy-token", "Content-Type": "application/json"}
    left = iter(range(records))

    async def work(session: aiohttp.ClientSession) -> None:
        for _ in left:
            async with session.post(f"{url}/api/v2/event-streams", data=body, headers=headers) as response:
                await response.read()
                assert response.status == 201

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=CONCURRENCY)) as session:
        began = time.perf_counter()
        await asyncio.gather(*(work(session) for _ in range(CONCURRENCY)))
        return records / (time.perf_counter() - began)


def run_bare(url: str, records: int) -> None:
    """Print the bare loop's records per second."""
    try:
        import uvloop

        print(uvloop.run(bare(url, records)))
    except ImportError:
        print(asyncio.run(bare(url, records)))


def bare_loop(folder: Path, url: str, records: int) -> Rate:
    """Measure the bare loop in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.whole_job", "--bare", url, "--records", str(records)]
    process = measure(command, folder=folder)
    return Rate(float(process.output), process)


def whole_job(path: Path, url: str, records: int, ledger: str) -> Rate:
    """Measure the whole job into a ledger that is not there yet."""
    process, figures = measure_run(path, url, ledger)
    assert figures["records"]["created"] == records
    return Rate(records / float(figures["elapsed_s"]), process)


def compare(path: Path, url: str, records: int, ledger: str) -> float:
    """Run the loop, then the job; print both rates and return their ratio."""
    loop = bare_loop(path.parent, url, records)
    job = whole_job(path, url, records, ledger)
    print(
        f"bare loop {loop.per_s:8,.0f}/s   whole job {job.per_s:8,.0f}/s   ratio {job.per_s / loop.per_s:.2f}   "
        f"(with the start of the process: {records / job.process.wall_s:,.0f}/s)"
    )
    return job.per_s / loop.per_s


def main() -> None:
    """Measure both in turn, and print the median ratio."""
    args = arguments(__doc__, brief={"records": 5_000, "rounds": 1}, long={"records": 50_000, "rounds": 5})
    if args.bare:
        run_bare(args.bare, args.records)
        return
    with tempfile.TemporaryDirectory() as name, sink() as url:
        path = write_input(Path(name) / "input.jsonl", args.records)
        ratios = [compare(path, url, args.records, f"{number}.ledger.db") for number in range(args.rounds)]
    print(f"median ratio {median(ratios):.2f} (goal: at least 0.70)")


if __name__ == "__main__":
    main()
