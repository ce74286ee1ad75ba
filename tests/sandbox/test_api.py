"""The sandbox's API: statuses, bodies, masking, names, quota, pages."""

from __future__ import annotations

import io
import re
from typing import Any

import pytest

from tests.sandbox.calls import SECRET, STREAMS, Caller, FakeClock, Reply, action, eventbridge, talk, webhook


def created(body: dict[str, Any], **settings: Any) -> Reply:
    """Return the answer to one create."""
    return talk(lambda caller: caller.create(body), **settings)


def test_a_created_stream_is_shown_as_the_api_shows_it() -> None:
    """A create answers 201 with the recorded key order, equal instants in ISO ms UTC, and status enabled."""
    reply = created(webhook(), clock=FakeClock())
    assert reply.status == 201
    assert reply.headers["content-type"] == "application/json; charset=utf-8"
    shown = reply.json
    assert list(shown) == ["id", "status", "name", "subscriptions", "created_at", "updated_at", "destination"]
    assert re.fullmatch("est_[1-9A-HJ-NP-Za-km-z]{22}", shown["id"])
    assert shown["status"] == "enabled"
    assert shown["created_at"] == shown["updated_at"] == "2027-01-15T08:00:00.250Z"


@pytest.mark.parametrize(
    ("sent", "shown"),
    [
        ({"method": "bearer", "token": SECRET}, {"method": "bearer"}),
        ({"method": "basic", "username": "u", "password": SECRET}, {"method": "basic", "username": "u"}),
        (
            {"method": "custom_header", "header_key": "X-Key", "header_value": SECRET},
            {"method": "custom_header", "header_key": "X-Key"},
        ),
    ],
    ids=lambda a: a["method"],
)
def test_a_secret_never_comes_back(sent: dict[str, str], shown: dict[str, str]) -> None:
    """Each method's secret is accepted and is in no answer, list or book."""
    body = webhook()
    body["destination"]["configuration"]["webhook_authorization"] = sent

    async def scene(caller: Caller) -> None:
        first = await caller.create(body)
        listed = await caller.ask("GET", STREAMS)
        books = await caller.ask("GET", "/_sandbox/books", token=None)
        assert first.json["destination"]["configuration"]["webhook_authorization"] == shown
        assert [entry["name"] for entry in books.json["accepted"]] == ["audit"]
        assert SECRET.encode() not in first.body + listed.body + books.body

    talk(scene)


def test_eventbridge_is_given_a_partner_source() -> None:
    """The answer names the partner event source that AWS would see."""
    source = created(eventbridge()).json["destination"]["configuration"]["aws_partner_event_source"]
    assert re.fullmatch(r"aws\.partner/auth0\.com/\w+-[0-9a-f-]{36}/auth0\.events", source)


def test_a_stream_may_have_no_name() -> None:
    """The name is optional, and two streams without one are no double."""

    async def scene(caller: Caller) -> None:
        assert [(await caller.create(webhook(None))).status for _ in range(2)] == [201, 201]
        assert caller.sandbox.books()["tenants"]["sandbox"]["doubles"] == {}

    talk(scene)


def at(path: str, value: object, body: dict[str, Any] | None = None) -> dict[str, Any]:
    """Return a definition with the value at a dotted path replaced."""
    body = body or webhook()
    *parents, last = path.split(".")
    place = body
    for parent in parents:
        place = place[parent]
    place[last] = value
    return body


HOOK = "destination.configuration."
WRONG = {
    "endpoint": (
        at(HOOK + "webhook_endpoint", "http://x.test"),
        "String does not match pattern ^https://.*: http://x.test",
    ),
    "empty name": (webhook(""), "String is too short (0 chars), minimum 1"),
    "long name": (webhook("n" * 129), "String is too long (129 chars), maximum 128"),
    "no events": (webhook(subscriptions=[]), "Array is too short (0), minimum 1"),
    "no destination": ({"name": "a"}, "Missing required property: destination"),
    "id": (webhook(id="est_x"), "Additional properties not allowed: id"),
    "no secret": (at(HOOK + "webhook_authorization", {"method": "bearer"}), "Missing required property: token"),
    "name type": (webhook(name=7), "Expected type string but found type integer"),
    "account": (at(HOOK + "aws_account_id", "12345678901\n", eventbridge()), "String does not match pattern"),
    "region": (at(HOOK + "aws_region", "us-north-9", eventbridge()), "us-north-9"),
    "source": (at(HOOK + "aws_partner_event_source", "x", eventbridge()), "Additional properties not allowed"),
    "kind": (at("destination.type", "kafka"), "kafka"),
    "array": ([webhook()], "Expected type object but found type array"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_body_is_refused_in_the_apis_words(case: str) -> None:
    """Each broken rule gives a 400 invalid_body whose message names it, in the form of a failed oneOf."""
    body, words = WRONG[case]
    refused = created(body).json
    assert (refused["statusCode"], refused["error"], refused["errorCode"]) == (400, "Bad Request", "invalid_body")
    assert refused["message"].startswith(
        "Payload validation error: 'None of the valid schemas were met'. Inner errors: [ "
    )
    assert refused["message"].endswith(" ].")
    assert words in refused["message"]


def test_an_unknown_event_type_is_refused() -> None:
    """The catalogue is checked, and the message names what it lacks."""
    refused = created(webhook(subscriptions=[{"event_type": "user.exploded"}])).json
    assert refused["errorCode"] == "invalid_body"
    assert "user.exploded" in refused["message"]


@pytest.mark.parametrize("where", ["token", "password"])
def test_a_wrong_body_never_echoes_a_secret(where: str) -> None:
    """A secret in a broken body, in its place or a wrong one, is not in the refusal."""
    body = at(HOOK + "webhook_authorization", {"method": "bearer", where: SECRET, "more": 1})
    assert SECRET not in created(body).body.decode()


@pytest.mark.parametrize(
    ("sent", "status", "message"),
    [
        (
            {"data": b"{nope", "headers": {"content-type": "application/json"}},
            400,
            "Invalid request payload JSON format",
        ),
        ({"data": b"<a/>", "headers": {"content-type": "text/xml"}}, 415, "Unsupported Media Type"),
        (
            {"data": io.BytesIO(b"x" * 1_048_577), "headers": {"content-type": "application/json"}},
            413,
            "Payload content length",
        ),
    ],
)
def test_an_unreadable_body_is_refused(sent: dict[str, Any], status: int, message: str) -> None:
    """No JSON is 400, another type 415, more than 1 MB 413, each in the Boom shape."""
    refused = talk(lambda caller: caller.ask("POST", STREAMS, **sent)).json
    assert refused["statusCode"] == status
    assert refused["message"].startswith(message)


def test_a_name_is_taken_once_and_free_again_after_a_delete() -> None:
    """A second stream of a name is a 409 until the first is deleted; deleting twice is 204 twice."""

    async def scene(caller: Caller) -> None:
        first = await caller.create(webhook())
        assert (await caller.create(webhook())).json["statusCode"] == 409
        path = f"{STREAMS}/{first.json['id']}"
        assert [(await caller.ask("DELETE", path)).status for _ in range(2)] == [204, 204]
        assert (await caller.ask("GET", path)).json == {
            "statusCode": 404, "error": "Not Found", "message": "The requested stream does not exist.",
        }  # fmt: skip
        assert (await caller.create(webhook())).status == 201

    talk(scene)


def test_doubles_can_be_counted_where_names_need_not_be_unique() -> None:
    """With unique names off, the books tell which live names stand twice."""

    async def scene(caller: Caller) -> None:
        for _ in range(3):
            assert (await caller.create(webhook("twin"))).status == 201
        assert caller.sandbox.books()["tenants"]["sandbox"]["doubles"] == {"twin": 3}

    talk(scene, unique_names=False)


def test_a_full_quota_is_a_conflict() -> None:
    """One stream more than the quota allows is a 409."""

    async def scene(caller: Caller) -> list[int]:
        return [(await caller.create(webhook(f"n{i}"))).status for i in range(3)]

    assert talk(scene, quota=2) == [201, 201, 409]


def test_tenants_are_apart() -> None:
    """The same name is free at another tenant, and a tenant's books are its own."""

    async def scene(caller: Caller) -> None:
        assert (await caller.create(webhook(), tenant="acme")).status == 201
        assert (await caller.create(webhook(), tenant="globex")).status == 201
        books = (await caller.ask("GET", "/_sandbox/books", tenant="acme", token=None)).json
        assert list(books["tenants"]) == ["acme"]
        assert [entry["tenant"] for entry in books["accepted"]] == ["acme"]

    talk(scene)


def test_pages_show_every_stream_once_oldest_first() -> None:
    """Following `next` shows all streams in the order of creation, and the last page has no `next`."""

    async def scene(caller: Caller) -> None:
        for i in range(5):
            await caller.create(webhook(f"n{i}"))
        names, cursor = [], ""
        for _ in range(3):
            page = (await caller.ask("GET", f"{STREAMS}?take=2{cursor}")).json
            names += [stream["name"] for stream in page["eventStreams"]]
            cursor = f"&from={page['next']}" if "next" in page else ""
        assert (names, cursor) == ([f"n{i}" for i in range(5)], "")

    talk(scene)


def test_a_last_page_that_is_full_has_no_next() -> None:
    """Exactly as many streams as a page takes are one page."""

    async def scene(caller: Caller) -> None:
        for i in range(2):
            await caller.create(webhook(f"n{i}"))
        assert "next" not in (await caller.ask("GET", f"{STREAMS}?take=2")).json

    talk(scene)


@pytest.mark.parametrize(
    "query", ["take=0", "take=101", "take=x", "take=-1", "take=", "from=bm9wZQ", "from=!", "from=%F0"]
)
def test_a_senseless_query_is_refused(query: str) -> None:
    """A page size out of range, or a cursor that is not ours, is a 400 invalid_query_string."""
    refused = talk(lambda caller: caller.ask("GET", f"{STREAMS}?{query}"))
    assert (refused.status, refused.json["errorCode"]) == (400, "invalid_query_string")


def test_a_malformed_id_is_refused_as_recorded() -> None:
    """An id of another form is a 400 invalid_uri with the recorded message."""
    for bad in ("est_invalid_id_1234567890", "est_invalid-id!1234567890x"):
        refused = talk(lambda caller, bad=bad: caller.ask("GET", f"{STREAMS}/{bad}")).json
        assert refused["errorCode"] == "invalid_uri"
        assert refused["message"] == (
            f"Path validation error: 'Object didn't pass validation for format event-stream-id: {bad}' on property id "
            "(Unique identifier for the event stream)."
        )


def test_a_patch_moves_updated_at_alone() -> None:
    """A PATCH changes what it names, moves `updated_at` and leaves `created_at`."""
    clock = FakeClock()

    async def scene(caller: Caller) -> None:
        first = (await caller.create(webhook())).json
        clock.now += 5
        path = f"{STREAMS}/{first['id']}"
        changed = (await caller.ask("PATCH", path, json={"status": "disabled", "name": "new"})).json
        assert (changed["status"], changed["name"]) == ("disabled", "new")
        assert changed["created_at"] == first["created_at"] < changed["updated_at"]
        assert (await caller.ask("GET", path)).json == changed
        assert (await caller.create(webhook())).status == 201, "the old name is free"
        assert (await caller.create(webhook("new"))).status == 409, "the new name is taken"

    talk(scene, clock)


def test_each_patch_moves_updated_at_however_soon_it_comes() -> None:
    """Within one millisecond, and on a clock that was set back, no two changes bear the same instant."""
    clock = FakeClock()

    async def scene(caller: Caller) -> None:
        first = (await caller.create(webhook())).json
        seen = [first["updated_at"]]
        for back in (0, 0, 5):
            clock.now -= back
            changed = await caller.ask("PATCH", f"{STREAMS}/{first['id']}", json={"status": "enabled"})
            seen.append(changed.json["updated_at"])
            assert changed.json["created_at"] == first["created_at"]
        assert [instant[-7:] for instant in seen] == ["00.250Z", "00.251Z", "00.252Z", "00.253Z"]

    talk(scene, clock)


TYPES = {"webhook": webhook(), "eventbridge": eventbridge(), "action": action()}


@pytest.mark.parametrize("after", TYPES)
@pytest.mark.parametrize("before", TYPES)
def test_the_destination_of_a_stream_keeps_its_type(before: str, after: str) -> None:
    """A PATCH takes the destination of a webhook for a webhook alone; eventbridge and action take none at all."""

    async def scene(caller: Caller) -> None:
        shown = (await caller.create(TYPES[before])).json
        path = f"{STREAMS}/{shown['id']}"
        reply = await caller.ask("PATCH", path, json={"destination": TYPES[after]["destination"]})
        assert reply.status == (200 if before == after == "webhook" else 400)
        if reply.status == 400:
            assert (await caller.ask("GET", path)).json == shown
            assert caller.sandbox.books()["tenants"]["sandbox"]["updated"] == {}
            assert (await caller.ask("PATCH", path, json={"status": "disabled"})).json["status"] == "disabled"

    talk(scene)


def test_a_webhook_may_move_and_its_new_secret_is_not_shown() -> None:
    """Endpoint and authorization are replaced as a whole, and without its secret a destination is refused."""
    moved = at(HOOK + "webhook_endpoint", "https://example.com/new")["destination"]

    async def scene(caller: Caller) -> None:
        path = f"{STREAMS}/{(await caller.create(webhook())).json['id']}"
        reply = await caller.ask("PATCH", path, json={"destination": moved})
        assert reply.json["destination"]["configuration"]["webhook_endpoint"] == "https://example.com/new"
        assert SECRET.encode() not in reply.body
        assert (await caller.ask("PATCH", path, json={"destination": reply.json["destination"]})).status == 400

    talk(scene)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"id": "est_x"}, "Additional properties not allowed: id"),
        ({"status": "enabled", "updated_at": "x", "more": 1}, "Additional properties not allowed: updated_at,more"),
        ({"status": "off"}, "No enum match for: off"),
        ({"name": ""}, "String is too short"),
        ({"subscriptions": [{"event_type": "user.exploded"}]}, "user.exploded"),
        ({"destination": eventbridge()["destination"]}, "None of the valid schemas were met"),
        ([], "Expected type object but found type array"),
    ],
    ids=lambda given: given if isinstance(given, str) else "",
)
def test_a_wrong_patch_changes_nothing(body: Any, words: str) -> None:
    """Unknown, response-only and senseless properties are a 400 that names them, and the stream is as it was."""

    async def scene(caller: Caller) -> None:
        shown = (await caller.create(webhook())).json
        path = f"{STREAMS}/{shown['id']}"
        refused = await caller.ask("PATCH", path, json=body)
        assert (refused.status, refused.json["errorCode"]) == (400, "invalid_body")
        assert words in refused.json["message"]
        assert (await caller.ask("GET", path)).json == shown

    talk(scene)


def test_a_patch_may_leave_no_subscription_and_name_nothing() -> None:
    """The published schema asks for no subscription and no property; either way the stream was updated."""

    async def scene(caller: Caller) -> None:
        path = f"{STREAMS}/{(await caller.create(webhook())).json['id']}"
        assert (await caller.ask("PATCH", path, json={"subscriptions": []})).json["subscriptions"] == []
        assert (await caller.ask("PATCH", path, json={})).status == 200

    talk(scene)


def test_a_patch_of_a_missing_stream_is_a_404() -> None:
    """After a DELETE there is nothing to change, and nothing comes back by a PATCH."""

    async def scene(caller: Caller) -> None:
        path = f"{STREAMS}/{(await caller.create(webhook())).json['id']}"
        assert (await caller.ask("DELETE", path)).status == 204
        refused = await caller.ask("PATCH", path, json={"status": "disabled"})
        assert (refused.status, refused.json["message"]) == (404, "The requested stream does not exist.")
        assert (await caller.ask("GET", STREAMS)).json == {"eventStreams": []}

    talk(scene)


def test_a_patch_onto_a_taken_name_is_a_conflict() -> None:
    """Unique names stay unique under renaming."""

    async def scene(caller: Caller) -> None:
        await caller.create(webhook("one"))
        path = f"{STREAMS}/{(await caller.create(webhook('two'))).json['id']}"
        assert (await caller.ask("PATCH", path, json={"name": "one"})).status == 409
        assert (await caller.ask("PATCH", path, json={"name": "two"})).status == 200

    talk(scene)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/api/v2/nothing"), ("PUT", STREAMS), ("GET", "/oauth/token"), ("GET", "/"),
        ("GET", f"{STREAMS}/est_1/test"), ("POST", f"{STREAMS}/est_1/deliveries"), ("GET", f"{STREAMS}/est_1/more"),
        ("POST", f"{STREAMS}/est_1/test/evt_1"), ("GET", f"{STREAMS}/est_1/deliveries/evt_1/more"),
        ("DELETE", "/api/v2/actions/actions"), ("GET", f"{STREAMS}/"),
    ],
)  # fmt: skip
def test_what_is_not_there_is_a_404(method: str, path: str) -> None:
    """An unknown path, or a wrong method on a known one, is a 404 in the Boom shape."""
    refused = talk(lambda caller: caller.ask(method, path))
    assert (refused.status, refused.json["error"]) == (404, "Not Found")


def test_a_path_that_only_begins_like_a_known_one_is_a_404() -> None:
    """`/api/v2/event-streamsX` creates nothing."""

    async def scene(caller: Caller) -> None:
        refused = await caller.ask("POST", STREAMS + "X", json=webhook())
        assert refused.status == 404
        assert caller.sandbox.books()["accepted"] == []

    talk(scene)
