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

import aiohttp

from benchmarks.machine import CONCURRENCY, arguments, definition, measure, measure_run, sink, write_input


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


def compare(path: Path, url: str, records: int, ledger: str) -> float:
    """Run the loop, then the job; print both rates and return their ratio."""
    command = [sys.executable, "-m", "benchmarks.whole_job", "--bare", url, "--records", str(records)]
    bare_rate = float(measure(command, folder=path.parent).output)
    job, figures = measure_run(path, url, ledger)
    assert figures["records"]["created"] == records
    job_rate = records / float(figures["elapsed_s"])
    print(
        f"bare loop {bare_rate:8,.0f}/s   whole job {job_rate:8,.0f}/s   ratio {job_rate / bare_rate:.2f}   "
        f"(with the start of the process: {records / job.wall_s:,.0f}/s)"
    )
    return job_rate / bare_rate


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
