"""Auth0's own Python client, pointed at the sandbox: what it can do with the real API, it can do here."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from auth0.management.client import AsyncAuth0
from auth0.management.errors import BadRequestError, ConflictError, ForbiddenError, NotFoundError
from auth0.management.event_streams.client import AsyncEventStreamsClient
from auth0.management.types import (
    CreateEventStreamWebHookRequestContent,
    EventStreamSubscription,
    EventStreamWebhookBearerAuth,
    EventStreamWebhookConfiguration,
    EventStreamWebhookDestination,
)

from bulkstreams.sandbox import Sandbox, SandboxSettings

ONCE = {"max_retries": 0}


def definition(name: str) -> CreateEventStreamWebHookRequestContent:
    """Return a webhook stream; the client's types leave out the secret, which it passes on all the same."""
    authorization = EventStreamWebhookBearerAuth(method="bearer", token="s3cret")  # type: ignore[call-arg]
    configuration = EventStreamWebhookConfiguration(
        webhook_endpoint="https://example.com/hook", webhook_authorization=authorization
    )
    return CreateEventStreamWebHookRequestContent(
        name=name,
        subscriptions=[EventStreamSubscription(event_type="user.created")],
        destination=EventStreamWebhookDestination(type="webhook", configuration=configuration),
    )


@asynccontextmanager
async def client_at(prefix: str, **settings: Any) -> AsyncIterator[AsyncAuth0]:
    """Yield the official client at a sandbox of its own; its connections are closed in the end."""
    async with Sandbox(SandboxSettings(rate=None, **settings)) as sandbox, httpx.AsyncClient() as http:
        yield AsyncAuth0(base_url=f"{sandbox.url}{prefix}/api/v2", token="dummy", httpx_client=http)


@asynccontextmanager
async def streams_at(prefix: str) -> AsyncIterator[AsyncEventStreamsClient]:
    """Yield the event streams of an official client."""
    async with client_at(prefix) as client:
        yield client.event_streams


@pytest.mark.parametrize("prefix", ["", "/t/acme"])
def test_the_official_client_creates_lists_gets_patches_and_deletes(prefix: str) -> None:
    """Streams live a whole life through the official client, with and without a tenant's prefix."""

    async def life() -> None:
        async with streams_at(prefix) as streams:
            first = await streams.create(request=definition("n0"), request_options=ONCE)
            for i in range(1, 5):
                await streams.create(request=definition(f"n{i}"), request_options=ONCE)
            assert [s.name async for s in await streams.list(take=2)] == [f"n{i}" for i in range(5)]
            changed = await streams.update(first.id, status="disabled")
            assert (await streams.get(first.id)).status == changed.status == "disabled"
            assert changed.created_at is not None
            assert changed.updated_at >= changed.created_at
            await streams.delete(first.id)
            with pytest.raises(NotFoundError):
                await streams.get(first.id)
            assert [s.name async for s in await streams.list()] == [f"n{i}" for i in range(1, 5)]

    asyncio.run(life())


def test_the_official_client_understands_a_refusal() -> None:
    """A taken name and a wrong body arrive as the client's own errors, with the API's body."""

    async def refused() -> None:
        async with streams_at("") as streams:
            await streams.create(request=definition("n"), request_options=ONCE)
            with pytest.raises(ConflictError):
                await streams.create(request=definition("n"), request_options=ONCE)
            with pytest.raises(BadRequestError) as caught:
                await streams.create(request=definition(""), request_options=ONCE)
            assert caught.value.body["errorCode"] == "invalid_body"

    asyncio.run(refused())


@pytest.mark.parametrize("prefix", ["", "/t/acme"])
def test_the_official_client_tests_streams_and_reads_their_deliveries(prefix: str) -> None:
    """A test event is accepted as pending, and its failed delivery is found alone and in the list, page by page."""

    async def tested() -> None:
        async with client_at(prefix, delivery_time=0, undeliverable=("bad",)) as client:
            streams = client.event_streams
            bad = await streams.create(request=definition("bad"), request_options=ONCE)
            sent = [await streams.test(bad.id, event_type="user.created", request_options=ONCE) for _ in range(3)]
            assert {(one.status, len(one.attempts)) for one in sent} == {("pending", 0)}
            found = await streams.deliveries.get_history(bad.id, sent[0].id)
            assert (found.status, len(found.attempts), found.event_stream_id) == ("failed", 4, bad.id)
            assert found.event is not None
            assert found.event.type == "user.created"
            listed = [one.id async for one in await streams.deliveries.list(bad.id, statuses="failed", take=2)]
            assert listed == [one.id for one in sent]
            with pytest.raises(NotFoundError):
                await streams.deliveries.get_history(bad.id, "evt_" + "1" * 22)

    asyncio.run(tested())


def test_the_official_client_lists_actions() -> None:
    """All pages of actions are read through its own paging, and a missing scope arrives as its own error."""

    async def listed() -> None:
        async with client_at("", actions=[f"a{i}" for i in range(5)]) as client:
            found = [one async for one in await client.actions.list(trigger_id="event-stream", per_page=2)]
            assert [one.name for one in found] == [f"a{i}" for i in range(5)]
            assert {(one.status, one.all_changes_deployed) for one in found} == {("built", True)}
        async with client_at("", scopes=()) as client:
            with pytest.raises(ForbiddenError) as caught:
                await client.actions.list()
            assert caught.value.body["errorCode"] == "insufficient_scope"

    asyncio.run(listed())
