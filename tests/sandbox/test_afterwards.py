"""What is done to streams after their creation, under faults and without scopes, and what the books prove of it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import pytest

from bulkstreams.errors import UsageError
from bulkstreams.sandbox import FAULT_KINDS, SandboxSettings, scopes_without
from tests.sandbox.calls import STREAMS, Caller, Reply, talk, webhook

LOST = (aiohttp.ClientError, ConnectionError, TimeoutError)
BEFORE = ("error-before", "reset-before", "html-502", "throttle")
AFTER = ("error-after", "reset-after", "hang-after", "truncate", "late")
DOES: dict[str, tuple[str, str, dict[str, str] | None]] = {
    "update": ("PATCH", "", {"status": "disabled"}),
    "delete": ("DELETE", "", None),
    "test": ("POST", "/test", {"event_type": "user.created"}),
}
"""Each kind of request that changes something: its method, what stands behind the stream's path, its body."""


def books(caller: Caller) -> dict[str, Any]:
    """Return the books of the default tenant."""
    found: dict[str, Any] = caller.sandbox.books()["tenants"]["sandbox"]
    return found


def effects(caller: Caller) -> dict[str, int]:
    """Return how often each kind of request took effect."""
    found = books(caller)
    return {"update": found["updates"], "delete": found["deletes"], "test": sum(map(len, found["tested"].values()))}


async def made(caller: Caller, name: str = "audit") -> str:
    """Create a stream and return its id."""
    return str((await caller.create(webhook(name))).json["id"])


async def until(holds: Callable[[], bool], *, late: bool) -> None:
    """Wait for what a late request brings about; of any other it must be so at once."""
    async with asyncio.timeout(30):
        while not holds():
            assert late
            await asyncio.sleep(0)


async def do(caller: Caller, kind: str, stream_id: str, **more: Any) -> Reply | None:
    """Send a request of a kind to a stream; None: no whole answer came."""
    method, behind, body = DOES[kind]
    patience = aiohttp.ClientTimeout(total=0.5)
    try:
        return await caller.ask(method, f"{STREAMS}/{stream_id}{behind}", json=body, timeout=patience, **more)
    except LOST:
        return None


@pytest.mark.parametrize("kind", DOES)
@pytest.mark.parametrize("fault", BEFORE + AFTER)
def test_each_fault_befalls_what_is_done_to_streams(fault: str, kind: str) -> None:
    """A fault before leaves nothing behind, one after hides what took effect once; creates are spared here."""

    async def scene(caller: Caller) -> None:
        stream_id = await made(caller)
        reply = await do(caller, kind, stream_id)
        assert (reply is None) == (fault in ("reset-before", *AFTER[1:]))
        assert reply is None or reply.status >= 429
        expected = {one: int(one == kind and fault in AFTER) for one in DOES}
        await until(lambda: effects(caller) == expected, late=fault == "late")
        assert books(caller)["faults"] == {fault: 1}

    talk(scene, faults={fault: 1.0}, faults_on=(kind,), late_by=0.01)


@pytest.mark.parametrize("fault", AFTER)
def test_a_lost_delete_can_be_asked_for_again(fault: str) -> None:
    """The second DELETE is a 204 without an effect, and the books tell the one that had one from both."""

    async def scene(caller: Caller) -> None:
        stream_id = await made(caller)
        for _ in range(2):
            await do(caller, "delete", stream_id)
        await until(lambda: books(caller)["deletes_asked"] == {stream_id: 2}, late=fault == "late")
        assert books(caller)["deleted"] == [stream_id]
        assert books(caller)["live"] == 0

    talk(scene, faults={fault: 1.0}, faults_on=("delete",), late_by=0.01)


LOOK_UPS = {
    "deliveries": "/event-streams/{}/deliveries",
    "delivery": "/event-streams/{}/deliveries/{}",
    "actions": "/actions/actions",
}


@pytest.mark.parametrize("kind", LOOK_UPS)
def test_new_look_ups_meet_only_faults_that_leave_nothing(kind: str) -> None:
    """Deliveries and actions can be broken before, and never hang or break off."""

    async def scene(caller: Caller) -> int:
        stream_id = await made(caller)
        event = await do(caller, "test", stream_id)
        assert event is not None
        return (await caller.ask("GET", "/api/v2" + LOOK_UPS[kind].format(stream_id, event.json["id"]))).status

    assert talk(scene, faults={"hang-after": 1.0}, faults_on=(kind,)) == 200
    assert talk(scene, faults={"html-502": 1.0}, faults_on=(kind,)) == 502


def test_what_is_done_to_streams_does_not_move_the_faults_of_creates() -> None:
    """One seed brings creates the same faults, whether anything is deleted, changed, tested or looked up between."""

    async def creates(caller: Caller, between: Callable[[str], Awaitable[Any]] | None) -> list[int]:
        found = []
        for i in range(40):
            reply = await caller.create(webhook(f"n{i}"))
            found.append(reply.status)
            if between and reply.status == 201:
                await between(reply.json["id"])
        return found

    async def alone(caller: Caller) -> list[int]:
        return await creates(caller, None)

    async def busy(caller: Caller) -> list[int]:
        async def between(stream_id: str) -> None:
            for kind in ("update", "test", "delete"):
                await do(caller, kind, stream_id)
            await caller.ask("GET", "/api/v2/actions/actions")

        return await creates(caller, between)

    faults = {"error-before": 0.3, "html-502": 0.2}
    assert talk(alone, seed=7, faults=faults) == talk(busy, seed=7, faults=faults)


def test_the_books_prove_what_was_done_to_which_stream() -> None:
    """Deleted ids in order, the status that each change set, and the events of each test stand there, and no more."""

    async def scene(caller: Caller) -> None:
        a, b, c = [await made(caller, name) for name in "abc"]
        for stream_id in (c, a):
            await do(caller, "update", stream_id)
        await caller.ask("PATCH", f"{STREAMS}/{c}", json={"name": "new"})
        await caller.ask("PATCH", f"{STREAMS}/{c}", json={"status": "enabled"})
        await do(caller, "test", b)
        await do(caller, "test", b)
        await do(caller, "test", "est_" + "1" * 22)
        for stream_id in (c, a, c, "est_" + "1" * 22):
            await do(caller, "delete", stream_id)
        await do(caller, "update", a)
        found = (await caller.ask("GET", "/_sandbox/books", token=None)).json["tenants"]["sandbox"]
        assert found["deleted"] == [c, a]
        assert found["deletes_asked"] == {c: 2, a: 1, "est_" + "1" * 22: 1}
        assert found["updated"] == {c: ["disabled", None, "enabled"], a: ["disabled"]}
        assert found["tested"] == {b: ["user.created", "user.created"]}
        assert (found["deletes"], found["updates"], found["live"], found["accepted"]) == (2, 4, 1, 3)

    talk(scene)


def test_the_books_of_tenants_are_apart() -> None:
    """What is deleted at one tenant stands in no other's books, and takes none of its streams."""

    async def scene(caller: Caller) -> None:
        stream_id = (await caller.create(webhook(), tenant="acme")).json["id"]
        for tenant in ("globex", "acme"):
            assert await do(caller, "delete", stream_id, tenant=tenant)
        found = caller.sandbox.books()["tenants"]
        assert (found["acme"]["deleted"], found["globex"]["deleted"]) == ([stream_id], [])

    talk(scene)


NEEDS = {
    "create:event_streams": ("POST", "/event-streams"),
    "update:event_streams": ("PATCH", "/event-streams/{}"),
    "delete:event_streams": ("DELETE", "/event-streams/{}"),
    "read:event_deliveries": ("GET", "/event-streams/{}/deliveries/evt_1"),
    "read:actions": ("GET", "/actions/actions"),
}


@pytest.mark.parametrize("scope", NEEDS)
def test_a_missing_scope_is_the_recorded_403(scope: str) -> None:
    """Without its scope a request is refused by name, before anything else, and the others go on."""
    method, path = NEEDS[scope]

    async def scene(caller: Caller) -> None:
        refused = await caller.ask(method, "/api/v2" + path.format("x"), json={})
        assert refused.json == {
            "statusCode": 403, "error": "Forbidden", "errorCode": "insufficient_scope",
            "message": f"Insufficient scope, expected any of: {scope}",
        }  # fmt: skip
        assert (await caller.ask("GET", STREAMS)).status == 200

    talk(scene, scopes=scopes_without([scope]))


def test_a_test_event_needs_the_scope_of_updates() -> None:
    """Without update:event_streams no test event is accepted."""

    async def scene(caller: Caller) -> None:
        refused = await do(caller, "test", await made(caller))
        assert refused is not None
        assert refused.status == 403
        assert books(caller)["tested"] == {}

    talk(scene, scopes=scopes_without(["update:event_streams"]))


def test_a_list_of_deliveries_needs_either_of_two_scopes() -> None:
    """One of them is enough, and without both the refusal names both."""

    async def scene(caller: Caller) -> Reply:
        return await caller.ask("GET", f"{STREAMS}/est_{'1' * 22}/deliveries")

    either = ("read:event_streams", "read:event_deliveries")
    assert [talk(scene, scopes=(scope,)).status for scope in either] == [404, 404]
    refused = talk(scene, scopes=scopes_without(either))
    assert (refused.status, refused.json["message"].endswith(",".join(either))) == (403, True)


def test_a_token_says_which_scopes_it_carries() -> None:
    """The token endpoint answers with the scopes of everything that the sandbox can do, but those left out."""
    grant = {"grant_type": "client_credentials", "client_id": "a", "client_secret": "b"}

    async def scene(caller: Caller) -> set[str]:
        sent = grant | {"audience": "https://x.test/api/v2/"}
        return set((await caller.ask("POST", "/oauth/token", token=None, json=sent)).json["scope"].split())

    every = {*NEEDS, "read:event_streams"}
    assert talk(scene) == every
    left_out = ["read:actions", "delete:event_streams"]
    assert talk(scene, scopes=scopes_without(left_out)) == every - set(left_out)


def test_a_senseless_scope_or_kind_is_refused_with_the_nearest() -> None:
    """A scope that nothing needs, and a kind of request that meets no faults, are wrong usage."""
    with pytest.raises(UsageError) as caught:
        scopes_without(["read:action"])
    assert "read:actions" in caught.value.hint
    with pytest.raises(UsageError) as caught:
        SandboxSettings(faults_on=("deletes",))
    assert "Did you mean delete?" in caught.value.hint
    assert "token" not in FAULT_KINDS
