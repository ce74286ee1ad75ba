"""The sandbox's test events: what is accepted, and what became of it, without anything ever being sent."""

from __future__ import annotations

import re
from typing import Any

import pytest

from bulkstreams.errors import UsageError
from bulkstreams.sandbox import SandboxSettings, parse_disabled_test
from tests.sandbox.calls import NOON, SECRET, STREAMS, Caller, FakeClock, Reply, action, eventbridge, talk, webhook


async def made(caller: Caller, body: dict[str, Any] | None = None) -> str:
    """Create a stream and return its path."""
    reply = await caller.create(body or webhook())
    assert reply.status == 201
    return f"{STREAMS}/{reply.json['id']}"


async def fire(caller: Caller, path: str, event: str = "user.created", **more: Any) -> Reply:
    """Send a test event to the stream at a path."""
    return await caller.ask("POST", f"{path}/test", json={"event_type": event, **more})


async def fired(caller: Caller, path: str, event: str = "user.created") -> str:
    """Send a test event that must be accepted, and return the path of its delivery."""
    reply = await fire(caller, path, event)
    assert reply.status == 202
    return f"{path}/deliveries/{reply.json['id']}"


async def deliveries(caller: Caller, path: str, query: str = "") -> list[dict[str, Any]]:
    """Return the deliveries on one page of a stream's list."""
    reply = await caller.ask("GET", f"{path}/deliveries{query}")
    assert reply.status == 200
    found: list[dict[str, Any]] = reply.json["deliveries"]
    return found


def test_a_test_event_is_accepted_as_recorded() -> None:
    """The answer is a pending delivery without attempts, whose event names its stream, tenant and purpose."""

    async def scene(caller: Caller) -> None:
        path = await made(caller)
        reply = await fire(caller, path)
        assert reply.status == 202
        shown = reply.json
        assert list(shown) == ["id", "event_stream_id", "event_type", "status", "attempts", "event"]
        assert re.fullmatch("evt_[1-9A-HJ-NP-Za-km-z]{22}", shown["id"])
        assert (shown["status"], shown["attempts"], shown["event_type"]) == ("pending", [], "user.created")
        event = shown["event"]
        assert (event["id"], event["type"], event["specversion"]) == (shown["id"], "user.created", "1.0")
        assert (event["a0purpose"], event["a0stream"]) == ("test", shown["event_stream_id"])
        assert event["time"] == "2027-01-15T08:00:00.250Z"
        assert shown["event_stream_id"] == path.rpartition("/")[2]

    talk(scene, FakeClock())


def test_the_payload_of_a_test_event_can_be_given() -> None:
    """What the request carries as data is what the event carries."""

    async def scene(caller: Caller) -> None:
        reply = await fire(caller, await made(caller), data={"object": {"user_id": "auth0|1"}})
        assert reply.json["event"]["data"] == {"object": {"user_id": "auth0|1"}}

    talk(scene)


@pytest.mark.parametrize("settings", [{}, {"vanishing_deliveries": True}], ids=["stays", "vanishes"])
def test_a_delivery_is_pending_for_its_time_and_then_succeeds(settings: dict[str, Any]) -> None:
    """Until its time it is pending; then it shows one attempt that succeeded, or, as asked for, nothing any more."""
    clock = FakeClock()

    async def scene(caller: Caller) -> None:
        path = await made(caller)
        one = await fired(caller, path)
        clock.now += 1.9
        pending = (await caller.ask("GET", one)).json
        assert (pending["status"], pending["attempts"], "event" in pending) == ("pending", [], False)
        assert await deliveries(caller, path) == [pending]
        clock.now += 0.2
        seen, of_stream = await caller.ask("GET", one), await deliveries(caller, path)
        if settings:
            assert (seen.status, of_stream) == (404, [])
            assert seen.json["error"] == "Not Found"
        else:
            assert of_stream == [seen.json]
            assert [attempt["status"] for attempt in seen.json["attempts"]] == ["success"] == [seen.json["status"]]

    talk(scene, clock, delivery_time=2, **settings)


@pytest.mark.parametrize("glob", ["aud?t", "https://example.com/*"], ids=["name", "endpoint"])
def test_a_delivery_to_what_is_undeliverable_fails_as_recorded(glob: str) -> None:
    """It fails after four attempts, with the cut message and the event; a vanishing sandbox shows it all the same."""
    clock = FakeClock()

    async def scene(caller: Caller) -> None:
        path = await made(caller)
        one = await fired(caller, path)
        assert (await caller.ask("GET", one)).json["status"] == "pending"
        clock.now += 7
        failed = (await caller.ask("GET", one)).json
        assert (failed["status"], failed["event"]["type"]) == ("failed", "user.created")
        assert [attempt["status"] for attempt in failed["attempts"]] == ["failed"] * 4
        assert [attempt["timestamp"][17:19] for attempt in failed["attempts"]] == ["00", "01", "03", "07"]
        assert {attempt["error_message"] for attempt in failed["attempts"]} == {
            'Post "https://example.com/hook": the sandbox was t ...'
        }
        assert await deliveries(caller, path) == [failed]

    talk(scene, clock, delivery_time=7, undeliverable=(glob,), vanishing_deliveries=True)


@pytest.mark.parametrize("body", [eventbridge("broken"), action("broken")], ids=["eventbridge", "action"])
def test_a_stream_without_an_endpoint_is_undeliverable_by_its_name(body: dict[str, Any]) -> None:
    """The glob of a name breaks deliveries of any type, and those of no other stream."""

    async def scene(caller: Caller) -> None:
        broken = await fired(caller, await made(caller, body))
        sound = await fired(caller, await made(caller, webhook("sound")))
        assert [(await caller.ask("GET", one)).json["status"] for one in (broken, sound)] == ["failed", "success"]

    talk(scene, delivery_time=0, undeliverable=("bro*",))


def test_an_undeliverable_stream_without_a_name_is_known_by_its_endpoint() -> None:
    """A glob that fits everything fits a nameless stream by its endpoint."""

    async def scene(caller: Caller) -> None:
        one = await fired(caller, await made(caller, webhook(None)))
        assert (await caller.ask("GET", one)).json["status"] == "failed"

    talk(scene, delivery_time=0, undeliverable=("*",))


def test_a_disabled_stream_is_never_delivered_to() -> None:
    """A test event for it stays pending, or is refused where the settings say so, and is no test in the books then."""
    clock = FakeClock()

    async def held(caller: Caller) -> None:
        path = await made(caller, webhook(status="disabled"))
        one = await fired(caller, path)
        clock.now += 86_400
        assert (await caller.ask("GET", one)).json["status"] == "pending"
        assert (await caller.ask("PATCH", path, json={"status": "enabled"})).status == 200
        assert (await caller.ask("GET", await fired(caller, path))).json["status"] == "success"

    async def refused(caller: Caller) -> None:
        path = await made(caller, webhook(status="disabled"))
        reply = await fire(caller, path)
        assert (reply.status, reply.json["errorCode"]) == (400, "operation_not_supported")
        assert await deliveries(caller, path) == []
        assert caller.sandbox.books()["tenants"]["sandbox"]["tested"] == {}

    talk(held, clock, delivery_time=0)
    talk(refused, clock, delivery_time=0, disabled_test="refuse")


def test_a_wrong_test_event_is_refused() -> None:
    """An unknown type, a missing one, and a property that is none are 400s, before a missing stream is a 404."""

    async def scene(caller: Caller) -> None:
        path = await made(caller)
        for body in ({"event_type": "user.exploded"}, {}, {"event_type": "user.created", "more": 1}, [], {"data": 1}):
            refused = await caller.ask("POST", f"{path}/test", json=body)
            assert (refused.status, refused.json["errorCode"]) == (400, "invalid_body")
        assert (await caller.ask("DELETE", path)).status == 204
        assert (await fire(caller, path, "user.exploded")).status == 400
        assert (await fire(caller, path)).json["message"] == "The requested stream does not exist."

    talk(scene)


def test_what_is_not_there_has_no_deliveries() -> None:
    """A missing stream, another's delivery and an unknown one are 404s; malformed ids are 400 invalid_uri."""

    async def scene(caller: Caller) -> None:
        path, other = await made(caller), await made(caller, webhook("other"))
        one = (await fired(caller, path)).rpartition("/")[2]
        nobody = f"{STREAMS}/est_{'1' * 22}"
        for where in (f"{nobody}/deliveries", f"{nobody}/deliveries/{one}", f"{other}/deliveries/{one}"):
            assert (await caller.ask("GET", where)).status == 404, where
        for where in (f"{STREAMS}/x/deliveries", f"{path}/deliveries/evt_x", f"{STREAMS}/x/deliveries/{one}"):
            refused = await caller.ask("GET", where)
            assert (refused.status, refused.json["errorCode"]) == (400, "invalid_uri"), where
        assert (await caller.ask("POST", f"{STREAMS}/x/test", json={"event_type": "user.created"})).status == 400
        assert (await caller.ask("DELETE", path)).status == 204
        assert (await caller.ask("GET", f"{path}/deliveries")).status == 404

    talk(scene)


def test_a_page_of_deliveries_has_a_next_until_one_is_empty() -> None:
    """As recorded, even the last page that shows anything has a `next`, and following it shows each once, in order."""

    async def scene(caller: Caller) -> None:
        path = await made(caller)
        sent = [(await fired(caller, path)).rpartition("/")[2] for _ in range(4)]
        seen, cursor, pages = [], "", 0
        while True:
            answer = (await caller.ask("GET", f"{path}/deliveries?take=2{cursor}")).json
            seen += [one["id"] for one in answer["deliveries"]]
            pages += 1
            if "next" not in answer:
                break
            cursor = f"&from={answer['next']}"
        assert (seen, pages) == (sent, 3)
        other = await made(caller, webhook("other"))
        for query in (f"?from={cursor[6:]}", "?take=0", "?take=101", "?date_from=2027-01-15T08:00:00.250Z"):
            refused = await caller.ask("GET", f"{other}/deliveries{query}")
            assert (refused.status, refused.json["errorCode"]) == (400, "invalid_query_string"), query
        assert (await caller.ask("GET", f"{path}/deliveries?date_to=2027-13-15T08:00:00Z")).status == 400

    talk(scene)


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("statuses=pending", [2]), ("statuses=success,failed", [0, 1]), ("statuses=failed", []),
        ("event_types=user.created", [0, 2]), ("event_types=user.created,user.deleted", [0, 1, 2]),
        ("statuses=success&event_types=user.deleted", [1]), ("date_from=2027-01-15T08:00:10Z", [1, 2]),
        ("date_from=2027-01-15T08:00:10Z&date_to=2027-01-15T08:00:20Z", [1]), ("take=1", [0]),
        ("date_to=2027-01-15T09:00:10%2B01:00", [0]), ("statuses=&event_types=", [0, 1, 2]),
    ],
)  # fmt: skip
def test_deliveries_are_filtered(query: str, found: list[int]) -> None:
    """Status, event type and instants (from inclusive, to exclusive) each narrow the list."""
    clock = FakeClock(NOON - 0.25)

    async def scene(caller: Caller) -> None:
        path = await made(caller)
        sent = []
        for event in ("user.created", "user.deleted", "user.created"):
            sent.append((await fired(caller, path, event)).rpartition("/")[2])
            clock.now += 10
        assert [sent.index(one["id"]) for one in await deliveries(caller, path, f"?{query}")] == found

    talk(scene, clock, delivery_time=15)


def test_no_secret_is_in_a_delivery() -> None:
    """Neither what is accepted nor what failed shows the stream's secret."""

    async def scene(caller: Caller) -> None:
        path = await made(caller)
        shown = [await fire(caller, path), await caller.ask("GET", f"{path}/deliveries")]
        assert SECRET.encode() not in b"".join(reply.body for reply in shown)

    talk(scene, delivery_time=0, undeliverable=("*",))


def test_the_same_seed_gives_events_the_same_ids_and_streams_theirs() -> None:
    """Test events and actions draw apart from streams: their ids do not move, whatever else is asked for."""

    async def plain(caller: Caller) -> list[str]:
        return [await made(caller, webhook(f"n{i}")) for i in range(2)]

    async def tested(caller: Caller) -> tuple[list[str], str]:
        first = await made(caller, webhook("n0"))
        event = await fired(caller, first)
        return [first, await made(caller, webhook("n1"))], event

    paths, event = talk(tested, seed=7, actions=("notify",))
    assert paths == talk(plain, seed=7)
    assert talk(tested, seed=7)[1] == event


def test_senseless_settings_of_deliveries_are_refused() -> None:
    """A negative time, and a third thing to do for a disabled stream, are wrong usage."""
    with pytest.raises(UsageError, match="delivery_time"):
        SandboxSettings(delivery_time=-1)
    with pytest.raises(UsageError, match="drop"):
        parse_disabled_test("drop")
