"""What else could have been used: each a process of its own, `python -m benchmarks.peers.NAME INPUT URL TIMEOUT`.

A peer reads the same input, sends with the same concurrency and the same time for one attempt, and does what its users
do: logs a failure and goes on; at the end it is run once more for what failed. It prints what it would report, as one
JSON object: `{"created": [names], "failed": [names], "seconds": of sending}`.

Where a choice was to be made it was made in the peer's favour. A 409 is taken for "it is there", which makes a second
run safe where names are unique, though a full quota is told by the same status. This module must never know of the
sandbox, its faults or its books: a peer is told no more than a real API would tell it.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from time import perf_counter
from typing import Any, Final

PASSES: Final = 2
"""The first run, and the one for what failed in it."""

Send = Callable[[dict[str, Any]], Awaitable[bool]]
"""Sends one definition by the peer's own means; returns whether it would be reported as created."""


async def provision(definitions: Iterable[dict[str, Any]], send: Send, concurrency: int) -> None:
    """Send all definitions, then those that failed once more; print the report."""
    began = perf_counter()
    left = list(definitions)
    created: list[str] = []
    for _ in range(PASSES):
        done = await _send_all(left, send, concurrency)
        created += [one["name"] for one in left if one["name"] in done]
        left = [one for one in left if one["name"] not in done]
    failed = [one["name"] for one in left]
    print(json.dumps({"created": created, "failed": failed, "seconds": perf_counter() - began}))


async def _send_all(definitions: list[dict[str, Any]], send: Send, concurrency: int) -> set[str]:
    waiting = iter(definitions)
    done: set[str] = set()

    async def work() -> None:
        for one in waiting:
            if await send(one):
                done.add(one["name"])

    await asyncio.gather(*(work() for _ in range(concurrency)))
    return done


def asked() -> tuple[list[dict[str, Any]], str, float]:
    """Return what the command line asks for: the definitions, the tenant's address, the seconds for one attempt."""
    path, url, timeout_s = sys.argv[1:]
    lines = Path(path).read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines], url, float(timeout_s)
