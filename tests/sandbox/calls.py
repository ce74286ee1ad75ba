"""What the sandbox's tests share: bodies to send, a clock to hand in, a way to run one conversation."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import orjson

from bulkstreams.sandbox import Sandbox, SandboxSettings

STREAMS = "/api/v2/event-streams"
SECRET = "s3cr3t-never-shown"
NOON = 1_800_000_000.25


class FakeClock:
    """A clock that moves only when told."""

    def __init__(self, now: float = NOON) -> None:
        self.now = now

    def __call__(self) -> float:
        """Return the time that it was told."""
        return self.now


def webhook(name: str | None = "audit", **more: Any) -> dict[str, Any]:
    """Return a valid webhook definition; keywords replace its parts."""
    body: dict[str, Any] = {
        "subscriptions": [{"event_type": "user.created"}],
        "destination": {
            "type": "webhook",
            "configuration": {
                "webhook_endpoint": "https://example.com/hook",
                "webhook_authorization": {"method": "bearer", "token": SECRET},
            },
        },
    }
    return ({} if name is None else {"name": name}) | body | more


def eventbridge(name: str = "bridge") -> dict[str, Any]:
    """Return a valid eventbridge definition."""
    inner = {"aws_account_id": "123456789012", "aws_region": "eu-west-1"}
    return webhook(name, destination={"type": "eventbridge", "configuration": inner})


def action(name: str = "act") -> dict[str, Any]:
    """Return a valid action definition."""
    return webhook(name, destination={"type": "action", "configuration": {"action_id": "a-1"}})


class Reply:
    """An answer, read to its end."""

    def __init__(self, response: aiohttp.ClientResponse, body: bytes) -> None:
        self.status, self.headers, self.body = response.status, response.headers, body

    @property
    def json(self) -> Any:
        """Return the body, decoded."""
        return orjson.loads(self.body)


class Caller:
    """Sends requests to one sandbox."""

    def __init__(self, sandbox: Sandbox, session: aiohttp.ClientSession) -> None:
        self.sandbox, self.session = sandbox, session

    async def ask(
        self, method: str, path: str, *, tenant: str | None = None, token: str | None = "t", **more: Any
    ) -> Reply:
        """Send one request and read the answer."""
        headers = dict(more.pop("headers", {}))
        if token is not None:
            headers.setdefault("Authorization", f"Bearer {token}")
        url = self.sandbox.url + (f"/t/{tenant}" if tenant else "") + path
        async with self.session.request(method, url, headers=headers, **more) as response:
            return Reply(response, await response.read())

    async def create(self, body: Any, **more: Any) -> Reply:
        """Send one create."""
        return await self.ask("POST", STREAMS, json=body, **more)


def talk(scene: Callable[[Caller], Awaitable[Any]], clock: Callable[[], float] | None = None, **settings: Any) -> Any:
    """Run a conversation against a sandbox of its own, without a rate limit unless one is given."""

    async def run() -> Any:
        chosen = SandboxSettings(**{"rate": None, **settings})
        sandbox = Sandbox(chosen, clock=clock) if clock else Sandbox(chosen)
        async with sandbox, aiohttp.ClientSession() as session:
            session._retry_connection = False  # aiohttp would send a lost GET or DELETE once more by itself
            return await scene(Caller(sandbox, session))

    return asyncio.run(run())
