"""The whole job against a bare aiohttp loop: `python -m benchmarks.whole_job [--records N] [--rounds N]`.

Both run on one core, in turn, against a sink on another, with the same concurrency and event loop. The bare loop posts
one constant body and does nothing else; the job validates, keys, writes its ledger with fsync, and posts.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import aiohttp

from benchmarks.machine import definition, measure, sink, write_input

CONCURRENCY = 32


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


def main() -> None:
    """Measure both in turn, and print the median ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=50_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--bare", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.bare:
        run_bare(args.bare, args.records)
        return
    with tempfile.TemporaryDirectory() as name, sink() as url:
        folder = Path(name)
        path = write_input(folder / "input.jsonl", args.records)
        ratios = []
        for number in range(args.rounds):
            loop = measure(
                [sys.executable, "-m", "benchmarks.whole_job", "--bare", url, "--records", str(args.records)],
                folder=folder,
            )
            job = measure(
                [
                    sys.executable, "-m", "bulkstreams", "run", str(path), "--base-url", url, "--rate", "max",
                    "--concurrency", str(CONCURRENCY), "--ledger", f"{number}.ledger.db", "--json",
                ],
                folder=folder,
                environment={"AUTH0_API_TOKEN": "dummy-token", "CI": "1"},
            )  # fmt: skip
            bare_rate = float(loop.output)
            figures = json.loads(job.output)
            assert figures["records"]["created"] == args.records
            job_rate = args.records / figures["elapsed_s"]
            ratios.append(job_rate / bare_rate)
            print(
                f"bare loop {bare_rate:8,.0f}/s   whole job {job_rate:8,.0f}/s   ratio {ratios[-1]:.2f}   "
                f"(with the start of the process: {args.records / job.wall_s:,.0f}/s)"
            )
        print(f"median ratio {median(ratios):.2f} (goal: at least 0.70)")


if __name__ == "__main__":
    main()
