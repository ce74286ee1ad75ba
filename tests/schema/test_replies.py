"""What the API sends back is understood, or is told apart from what can be."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bulkstreams.core.errands import Delivery, Shown
from bulkstreams.core.matching import digest
from bulkstreams.schema import (
    NamedAction,
    created_id,
    is_absent,
    read_actions,
    read_deliveries,
    read_delivery,
    read_error,
    read_page,
    read_shown,
    read_stream,
)
from bulkstreams.schema.replies import MAX_BODY, MAX_MESSAGE
from bulkstreams.secrets import mask
from tests.schema import SECRET, action, definition, dump, webhook


def stream(**changes: Any) -> dict[str, Any]:
    """Return a stream as the API shows it."""
    at = "2026-01-01T00:00:00.500Z"
    return {"id": "est_1", **definition(destination=action()), "created_at": at, "updated_at": at, **changes}


@pytest.mark.parametrize(
    ("body", "id_"),
    [
        (dump(stream()), "est_1"),
        (b'{"id": ""}', None),
        (b'{"id": 5}', None),
        (b"{}", None),
        (b'["id"]', None),
        (dump(stream())[:-1], None),
        (b"", None),
        (b"<html>", None),
    ],
)
def test_a_created_stream_is_known_by_its_id(body: bytes, id_: str | None) -> None:
    """A 201 that is cut short, or names no stream, has no id."""
    assert created_id(body) == id_


def test_a_stream_is_read_with_its_instants() -> None:
    """Name, status, digest and the instants on the server's clock are what a look-up judges by."""
    found = read_stream(stream(status="disabled"))
    assert found is not None
    assert (found.id, found.name, found.status) == ("est_1", "audit", "disabled")
    assert found.created_at == found.updated_at == 1767225600.5
    assert found.digest == digest(definition(destination=action(), status="disabled"))


@pytest.mark.parametrize(
    ("at", "epoch"),
    [
        ("2026-01-01T00:00:00+01:00", 1767222000.0),
        ("2026-01-01T00:00:00", 1767225600.0),
        ("1970-01-01T00:00:00Z", 0.0),
        ("yesterday", None),
        ("9999-99-99", None),
        (5, None),
        (None, None),
    ],
)
def test_an_instant_is_utc_where_it_does_not_say(at: object, epoch: float | None) -> None:
    """An instant that cannot be read is none; the stream still counts."""
    found = read_stream(stream(created_at=at))
    assert found is not None
    assert found.created_at == epoch


@pytest.mark.parametrize("cursor", [{}, {"next": None}, {"next": ""}])
def test_the_last_page_has_no_cursor(cursor: dict[str, Any]) -> None:
    """The API leaves `next` out; null and nothing mean the same."""
    page = read_page(dump({"eventStreams": [stream()], **cursor}))
    assert page is not None
    assert (len(page.streams), page.next) == (1, None)


def test_a_page_has_its_streams_and_the_next_cursor() -> None:
    """The streams keep their order; a bare array is a page of its own."""
    found = [stream(id="est_1"), stream(id="est_2")]
    page = read_page(dump({"eventStreams": found, "next": "abc"}))
    assert page is not None
    assert ([one.id for one in page.streams], page.next) == (["est_1", "est_2"], "abc")
    bare = read_page(dump(found))
    assert bare is not None
    assert bare.streams == page.streams


@pytest.mark.parametrize(
    "body",
    [
        {"eventStreams": [stream(), {"name": "no id"}]},
        {"eventStreams": [stream(subscriptions=5)]},
        {"eventStreams": [stream(subscriptions=["x"])]},
        {"eventStreams": [None]},
        {"eventStreams": [], "next": 5},
        {"eventStreams": {}},
        {"streams": []},
        "text",
    ],
)
def test_a_page_with_something_unreadable_is_no_page(body: object) -> None:
    """What it hides could pass for absent, and absence leads to sending again."""
    assert read_page(dump(body)) is None


@pytest.mark.parametrize(
    ("body", "code", "message"),
    [
        (
            {"statusCode": 400, "error": "Bad Request", "message": "no", "errorCode": "invalid_body"},
            "invalid_body",
            "no",
        ),
        ({"statusCode": 409, "error": "Conflict", "message": "taken"}, None, "taken"),
        ({"statusCode": 429, "error": "Too Many Requests"}, None, "Too Many Requests"),
        ({"error": "access_denied", "error_description": "Unauthorized"}, "access_denied", "Unauthorized"),
        ({"error": ["x"], "message": 5}, None, ""),
        ({}, None, ""),
    ],
)
def test_an_errors_words_are_found(body: dict[str, Any], code: str | None, message: str) -> None:
    """Both shapes of error are read: the API's own, and OAuth's from the token endpoint."""
    assert read_error(dump(body)) == (code, message)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"<html><head><TITLE>502 Bad\nGateway</TITLE></head><body>cloud</body></html>", "502 Bad Gateway"),
        (b"<html><title> </title><body><h1>Bad</h1>gateway</body></html>", "Bad gateway"),
        (b"upstream timed out", "upstream timed out"),
        (b"\xff\x00\x1b[31m", "\ufffd [31m"),
        (b"[1]", "[1]"),
        (b"", ""),
    ],
)
def test_an_error_that_is_no_json_is_told_in_one_plain_line(body: bytes, message: str) -> None:
    """Of a page of HTML its title, else its words; nothing that would garble a terminal."""
    assert read_error(body) == (None, message)


def test_a_long_message_is_shortened() -> None:
    """A message of any length takes one line of bounded length, and says that there was more."""
    _, message = read_error(dump({"message": "x" * 5000}))
    assert len(message) == MAX_MESSAGE
    assert message.endswith("x…")


@pytest.mark.parametrize("before", [b"", b" " * (MAX_BODY - 5), b"<i>" * (MAX_BODY // 3), b'{"message": "'])
@pytest.mark.parametrize("pad", [0, MAX_MESSAGE - 5])
def test_a_secret_is_masked_before_anything_is_cut(before: bytes, pad: int) -> None:
    """Not even half of a secret is left at the end of what is shown of a body."""
    body = before + b"x" * pad + SECRET.encode() + b" " + b"y" * MAX_BODY
    _, message = read_error(body, lambda text: mask(text, [SECRET]))
    assert "dummy" not in message


@given(
    st.binary() | st.recursive(st.none() | st.integers() | st.text(), st.lists, max_leaves=5).map(lambda v: dump([v])),
    st.sampled_from(["id", "eventStreams", "next", "message", "errorCode", "created_at", "destination", "name"]),
    st.sampled_from([None, 5, "x", [], {}, [{}], [[]], 1e300, "\x00"]),
)
@example(b'[{"id": "x", "destination": ' + b"[" * 1000 + b"]" * 1000 + b"}]", "id", None)
@example(b"[" * 100_000, "id", None)
def test_no_answer_makes_them_raise(data: bytes, field: str, value: object) -> None:
    """Whatever a server, or what stands before it, sends: it is read or it is nothing."""
    bodies = (data, json.dumps({field: value}).encode(), json.dumps([stream(**{field: value})]).encode())
    for body in bodies:
        created_id(body)
        read_page(body)
        code, message = read_error(body)
        assert isinstance(code, str | None)
        assert len(message) <= MAX_MESSAGE
        assert "\n" not in message


# -- actions ----------------------------------------------------------------------------------------------------------


def named(name: str) -> bytes:
    """Return the digest of the stream that is told of here, with its action named."""
    return digest(definition(destination=action(f"${{action:{name}}}")))


def test_a_stream_is_also_known_by_the_name_of_its_action() -> None:
    """Where the tenant's actions are known, the stream of one has a digest with the name in place of the id."""
    id_ = action()["configuration"]["action_id"]
    found = read_stream(stream(), {id_: "Audit log"})
    assert found is not None
    assert (found.digest, found.by_name) == (digest(definition(destination=action())), named("Audit log"))
    page = read_page(dump({"eventStreams": [stream(), stream(id="est_2")]}), {id_: "Audit log"})
    assert page is not None
    assert [one.by_name for one in page.streams] == [named("Audit log")] * 2


@pytest.mark.parametrize(
    ("destination", "actions"),
    [
        (action(), {}),
        (action(), {"another": "Audit log"}),
        (action("act_1"), {"act_1": "what no {reference} can hold"}),
        (webhook(), {"act_1": "Audit log"}),
        (action(["act_1"]), {"act_1": "Audit log"}),
        ({"type": "action"}, {"act_1": "Audit log"}),
        (None, {"act_1": "Audit log"}),
    ],
)
def test_a_stream_without_a_named_action_is_known_by_its_id_alone(destination: Any, actions: dict[str, str]) -> None:
    """No action, none that is known, or none that can be referred to: then there is but one digest."""
    found = read_stream(stream(destination=destination), actions)
    assert found is not None
    assert found.by_name is None


def test_a_page_of_actions_is_read() -> None:
    """Ids, names and the number of all; what else an action has is passed over."""
    body = dump({"actions": [{"id": "a", "name": "A", "code": "x"}, {"id": "b", "name": ""}, {"id": "c"}], "total": 7})
    page = read_actions(body)
    assert page is not None
    assert page.actions == (NamedAction("a", "A"), NamedAction("b", None), NamedAction("c", None))
    assert page.total == 7


@pytest.mark.parametrize("total", [None, "7", -1, True, 7.5])
def test_a_total_that_is_none_is_passed_over(total: object) -> None:
    """A bare array has no total either."""
    page = read_actions(dump({"actions": [], "total": total}))
    assert page is not None
    assert page.total is None
    assert read_actions(b"[]") == page


@pytest.mark.parametrize(
    "body",
    [b"", b"<html>", b"5", b"{}", b'{"actions": {}}', b'[{"name": "A"}]', b'[{"id": ""}]', b'[{"id": 5}]', b"[[]]"],
)
def test_what_is_no_page_of_actions_is_told_apart(body: bytes) -> None:
    """An action without an id spoils its page: what it leaves out could pass for unknown."""
    assert read_actions(body) is None


@given(st.binary() | st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists).map(dump))
def test_no_bytes_make_reading_actions_raise(body: bytes) -> None:
    """Whatever a server sends is a page or none."""
    page = read_actions(body)
    assert page is None or all(one.id for one in page.actions)


# -- what is done to streams after their creation ---------------------------------------------------------------------

SHOWN = {
    "id": "est_1", "name": "a", "status": "enabled", "subscriptions": [], "created_at": "then", "updated_at": "now",
    "destination": {"type": "webhook", "configuration": {}},
}  # fmt: skip


def test_a_stream_is_read_with_its_instants_as_they_are_written() -> None:
    """They are only compared, never computed with."""
    assert read_shown(dump(SHOWN), "est_1") == Shown("then", "now", "enabled", "webhook", digest(SHOWN))
    bare = {"id": "est_1"}
    assert read_shown(dump(bare), "est_1") == Shown(None, None, None, None, digest(bare))


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b"null", b"{}", b'{"id": "est_2"}', b'{"id": 1}', b'{"id": "est_1", "subscriptions": [1]}'],
)
def test_what_is_not_that_stream_is_none(body: bytes) -> None:
    """An answer about another stream says nothing of this one."""
    assert read_shown(body, "est_1") is None


def test_a_delivery_is_read_with_its_newest_error() -> None:
    """Older attempts are history; a user and a password before a host are left out."""
    attempts = [{"error_message": "old"}, {"error_message": 'Post "https://me:secret@host/": no\nway'}, {}, 7]
    body = {"id": "evt_1", "status": "failed", "attempts": attempts}
    assert read_delivery(dump(body)) == Delivery("evt_1", "failed", 'Post "https://***@host/": no way')
    assert read_delivery(b'{"id": "evt_1", "status": 1, "attempts": 2}') == Delivery("evt_1")


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"id": ""}', b'{"id": 3}'])
def test_what_is_no_delivery_is_none(body: bytes) -> None:
    """Nothing it could be makes reading raise."""
    assert read_delivery(body) is None


def test_deliveries_are_read_with_and_without_a_wrapping() -> None:
    """The API wraps them, its description does not; a page with something unreadable in it is none."""
    one = [{"id": "evt_1", "status": "pending"}]
    assert read_deliveries(dump(one)) == read_deliveries(dump({"deliveries": one}))
    assert read_deliveries(dump(one)) == [Delivery("evt_1", "pending")]
    assert read_deliveries(b'{"deliveries": []}') == []
    assert [read_deliveries(body) for body in (b"", b"{}", b"7", b'[{"id": 1}]')] == [None] * 4


def test_only_the_apis_own_404_says_that_something_is_absent() -> None:
    """A proxy's page, or another service's, does not know."""
    assert is_absent(b'{"statusCode":404,"error":"Not Found","message":"The requested stream does not exist."}')
    assert not any(map(is_absent, (b"", b"<html>", b"{}", b"[]", b'{"error": "not found"}', b'{"statusCode": 500}')))
