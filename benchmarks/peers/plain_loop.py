"""The usual script: an aiohttp loop that sends again, up to five times, and waits twice as long each time.

It does so after a 5xx, a 429, a time-out, a lost connection, and an answer that cannot be read. This module must never
look anything up: that is what the usual script leaves out.
"""

from __future__ import annotations

import asyncio
import logging
import random
from typing import Final

import aiohttp

from benchmarks.machine import CONCURRENCY
from benchmarks.peers import asked, provision

RETRIES: Final = 5
FIRST_WAIT_S: Final = 0.5


async def attempt(session: aiohttp.ClientSession, url: str, definition: dict[str, object]) -> int | None:
    """Post one definition; return the status, or None where there was no answer that could be read."""
    try:
        async with session.post(url, json=definition) as response:
            if response.status < 300:
                await response.json()
            return response.status
    except (aiohttp.ClientError, TimeoutError, ValueError):
        return None


async def create(session: aiohttp.ClientSession, url: str, definition: dict[str, object]) -> bool:
    """Post one definition until there is an answer to go by."""
    for retry in range(RETRIES + 1):
        status = await attempt(session, url, definition)
        if status is not None and status != 429 and status < 500:
            return status < 300 or status == 409
        if retry < RETRIES:
            await asyncio.sleep(FIRST_WAIT_S * 2**retry * random.uniform(0.8, 1.2))
    logging.warning("%s: no success in %d attempts", definition["name"], RETRIES + 1)
    return False


async def main() -> None:
    """Create every stream of the input."""
    definitions, url, timeout_s = asked()
    async with aiohttp.ClientSession(
        headers={"Authorization": "Bearer dummy-token"}, timeout=aiohttp.ClientTimeout(total=timeout_s)
    ) as session:
        await provision(definitions, lambda one: create(session, f"{url}/api/v2/event-streams", one), CONCURRENCY)


if __name__ == "__main__":
    asyncio.run(main())
