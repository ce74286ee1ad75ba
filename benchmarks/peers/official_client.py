"""Auth0's own Python client in a loop, with its own retries as they come.

It sends again twice: after a 408, 409, 429 or 5xx, and after a connection that could not be made or that ended in the
middle of an answer; not after a time-out or a reset. This module must never change how it retries.
"""

from __future__ import annotations

import asyncio
import logging

import httpx
from auth0.management.client import AsyncAuth0
from auth0.management.core.api_error import ApiError
from auth0.management.types import CreateEventStreamWebHookRequestContent

from benchmarks.machine import CONCURRENCY
from benchmarks.peers import asked, provision

TROUBLE = (ApiError, httpx.HTTPError, ValueError)
"""What the client raises: the API's own words, a connection's end, an answer that cannot be read."""


async def main() -> None:
    """Create every stream of the input."""
    definitions, url, timeout_s = asked()
    streams = AsyncAuth0(base_url=f"{url}/api/v2", token="dummy-token", timeout=timeout_s).event_streams

    async def send(definition: dict[str, object]) -> bool:
        try:
            await streams.create(request=CreateEventStreamWebHookRequestContent.model_validate(definition))
        except TROUBLE as error:
            if isinstance(error, ApiError) and error.status_code == 409:
                return True
            logging.warning("%s: %s", definition["name"], type(error).__name__)
            return False
        return True

    await provision(definitions, send, CONCURRENCY)


if __name__ == "__main__":
    asyncio.run(main())
