"""The body that is sent for a line, and what the API sends back."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bulkstreams.core.matching import Stream, digest
from bulkstreams.core.references import Reference
from bulkstreams.errors import SecretError
from bulkstreams.model import Record
from bulkstreams.schema import (
    Page,
    Rules,
    created_id,
    line_digest,
    prepare,
    read_error,
    read_line,
    read_page,
    read_stream,
    secrets_in,
)


def definition(**authorization: str) -> dict[str, Any]:
    """Return a definition of a webhook with this authorization."""
    return {
        "name": "audit",
        "subscriptions": [{"event_type": "user.created"}],
        "destination": {
            "type": "webhook",
            "configuration": {
                "webhook_endpoint": "https://hooks.example/x",
                "webhook_authorization": authorization or {"method": "bearer", "token": "dummy-token"},
            },
        },
    }


EVENTBRIDGE = {
    "name": "siem",
    "destination": {
        "type": "eventbridge",
        "configuration": {"aws_account_id": "123456789012", "aws_region": "eu-west-1"},
    },
}
ACTION = {"name": "mail", "destination": {"type": "action", "configuration": {"action_id": "a1"}}}


def resolve(reference: Reference) -> str:
    """Resolve every reference to its own target."""
    return f"resolved {reference.target}"


def sent(line: Any) -> Any:
    """Return, decoded, the body that is sent for a line, which `read_line` accepts."""
    data = line if isinstance(line, bytes) else json.dumps(line).encode()
    found = read_line(data, Rules(), lambda _: None)
    assert isinstance(found, Record), str(found)
    assert line_digest(data) == found.digest
    body = prepare(data, resolve)
    assert body is not None
    decoded = json.loads(body)
    assert digest(decoded) == found.digest
    return decoded


# -- the body ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("line", [definition(), EVENTBRIDGE, ACTION])
def test_a_plain_definition_is_sent_as_it_is(line: dict[str, Any]) -> None:
    """Nothing is added, nothing taken away; and an envelope changes nothing in it."""
    assert sent(line) == line
    assert sent({"stream": line, "tenant": "acme", "key": "k"}) == line


@pytest.mark.parametrize(
    ("method", "field", "more"),
    [
        ("basic", "password", {"username": "u"}),
        ("bearer", "token", {}),
        ("custom_header", "header_value", {"header_key": "X"}),
    ],
)
def test_a_reference_is_resolved_just_before_sending(method: str, field: str, more: dict[str, str]) -> None:
    """The secret takes the reference's place and nothing else changes, in and out of an envelope."""
    line = definition(method=method, **{field: "${env:NAME}"}, **more)
    resolved = definition(method=method, **{field: "resolved NAME"}, **more)
    assert sent(line) == resolved
    assert sent({"stream": line}) == resolved


def test_an_escaped_reference_is_resolved_too() -> None:
    r"""`\u0024{env:NAME}` is the same text to JSON, so it is the same reference to us."""
    written = json.dumps(definition(method="bearer", token="${env:NAME}")).replace("$", r"\u0024").encode()
    assert sent(written) == definition(method="bearer", token="resolved NAME")


def test_response_only_properties_are_not_sent() -> None:
    """What `read_line` dropped with a note is dropped here, however its name is written."""
    shown = {"id": "est_1", "created_at": "x", "updated_at": "y", **EVENTBRIDGE}
    shown["destination"] = {
        "type": "eventbridge",
        "configuration": {**EVENTBRIDGE["destination"]["configuration"], "aws_partner_event_source": "z"},  # type: ignore[index]
    }
    assert sent(shown) == EVENTBRIDGE
    assert sent({"stream": shown}) == EVENTBRIDGE
    assert sent(json.dumps({"id": "est_1", **ACTION}).replace('"id"', r'"\u0069d"').encode()) == ACTION
    assert sent(json.dumps({"stream": ACTION}).replace('"stream"', r'"strea\u006d"').encode()) == ACTION


def test_a_definition_that_speaks_of_streams_is_no_envelope() -> None:
    """The words of an envelope may stand in a value."""
    line = {**ACTION, "name": 'the "stream" of "id"'}
    assert sent(line) == line


def test_what_the_resolver_raises_goes_through() -> None:
    """A reference that resolved when it was checked may fail now."""

    def fail(reference: Reference) -> str:
        raise SecretError(f"{reference} is gone")

    with pytest.raises(SecretError, match="is gone"):
        prepare(json.dumps(definition(method="bearer", token="${env:NAME}")).encode(), fail)


@pytest.mark.parametrize("data", [b'{"stream": ', b'{"stream": 5}', b'["stream"]', b'{"stream": {}}', b"\\"])
def test_what_cannot_be_a_line_that_was_accepted_is_not_sent(data: bytes) -> None:
    """A line that changed under our feet gives no body."""
    assert prepare(data, resolve) is None


def test_the_secrets_of_a_body_are_known_to_those_who_mask_them() -> None:
    """Each method's secret is found; where there is none, none is."""
    assert secrets_in(json.dumps(definition(method="basic", username="u", password="dummy-p")).encode()) == ("dummy-p",)
    assert secrets_in(json.dumps(definition()).encode()) == ("dummy-token",)
    assert secrets_in(
        json.dumps(definition(method="custom_header", header_key="X", header_value="dummy")).encode()
    ) == ("dummy",)
    assert secrets_in(json.dumps(ACTION).encode()) == ()
    assert secrets_in(b"nonsense") == ()


@pytest.mark.parametrize("data", [b"", b"[]", b"5", b'{"stream": 5}', b'{"subscriptions": 5}'])
def test_what_holds_no_definition_has_no_digest(data: bytes) -> None:
    """No digest stands for a line that cannot be read at all."""
    assert line_digest(data) is None


# -- streams and pages ------------------------------------------------------------------------------------------------

SHOWN = {
    "id": "est_1", "status": "enabled", "created_at": "2026-03-01T10:00:00.250Z", "updated_at": "2026-03-01T10:00:01Z",
    **definition(method="bearer"),
}  # fmt: skip


def test_a_stream_is_read_with_its_digest_and_its_times() -> None:
    """The stream that a create made has the digest of the definition that made it."""
    found = read_stream(SHOWN)
    assert found == Stream(
        id="est_1", name="audit", digest=digest(definition()), created_at=1772359200.25, updated_at=1772359201.0,
        status="enabled",
    )  # fmt: skip


def test_a_time_without_a_zone_is_utc() -> None:
    """Whatever this machine's zone is."""
    found = read_stream({"id": "est_1", "created_at": "2026-03-01T10:00:00"})
    assert found is not None
    assert found.created_at == 1772359200.0


@pytest.mark.parametrize("value", ["yesterday", 5, None, "", "2026-13-01T00:00:00Z", {}])
def test_a_time_that_cannot_be_read_is_none(value: Any) -> None:
    """A stream is a stream without its time, its name and its status."""
    found = read_stream({"id": "est_1", "name": 5, "status": 5, "created_at": value})
    assert found is not None
    assert (found.created_at, found.name, found.status) == (None, None, None)


@pytest.mark.parametrize("value", [None, 5, [], {}, {"id": ""}, {"id": 5}, {"id": "x", "subscriptions": [5]}])
def test_what_is_no_stream_is_none(value: Any) -> None:
    """Without an id, or with a part that makes no sense, it is not used."""
    assert read_stream(value) is None


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b'{"id":"est_1","name":"x"}', "est_1"),
        (b'{"id":""}', None),
        (b'{"id":5}', None),
        (b"{}", None),
        (b"[]", None),
        (b'{"id":"est_1"', None),
        (b"", None),
        (b"<html>", None),
    ],
)
def test_a_created_stream_is_known_by_its_id(body: bytes, expected: str | None) -> None:
    """A 201 that was cut short, or names no stream, proves nothing."""
    assert created_id(body) == expected


@pytest.mark.parametrize(
    ("more", "cursor"), [({}, None), ({"next": ""}, None), ({"next": None}, None), ({"next": "abc"}, "abc")]
)
def test_a_page_ends_the_list_where_it_names_no_next(more: dict[str, Any], cursor: str | None) -> None:
    """Absent, null and empty are the end."""
    stream = read_stream(SHOWN)
    assert stream is not None
    assert read_page(json.dumps({"eventStreams": [SHOWN], **more}).encode()) == Page((stream,), cursor)


def test_a_bare_array_is_a_page() -> None:
    """Some versions of the API list without a frame."""
    assert read_page(b"[]") == Page((), None)


@pytest.mark.parametrize(
    "body",
    [
        b"", b"{}", b'"x"', b'{"eventStreams":5}', b'{"eventStreams":[5]}', b'{"eventStreams":[{"name":"no id"}]}',
        b'{"eventStreams":[],"next":5}', b'{"eventStreams":[]', b"<html></html>",
    ],
)  # fmt: skip
def test_a_page_that_may_leave_something_out_is_none(body: bytes) -> None:
    """Absence is proven by a whole list alone."""
    assert read_page(body) is None


# -- errors -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (
            b'{"statusCode":400,"error":"Bad Request","message":"Payload validation error","errorCode":"invalid_body"}',
            ("invalid_body", "Payload validation error"),
        ),
        (b'{"statusCode":409,"error":"Conflict","message":"It exists."}', (None, "It exists.")),
        (b'{"statusCode":429,"error":"Too Many Requests"}', (None, "Too Many Requests")),
        (b'{"error":"access_denied","error_description":"Unauthorized"}', ("access_denied", "Unauthorized")),
        (b'{"error":"too_many_requests"}', ("too_many_requests", "too_many_requests")),
        (b'{"message":{"deep":1},"errorCode":5}', (None, "")),
        (b"<html><head><title>502 Bad\nGateway</title></head>", (None, "502 Bad Gateway")),
        (b"<h1>Bad <b>Gateway</b></h1>", (None, "Bad Gateway")),
        (b"<html><title></title><p>Oops</p>", (None, "Oops")),
        (b"upstream\x1b[31m connect\r\n error\x00", (None, "upstream [31m connect error")),
        (b"\xff\xfe", (None, "\ufffd\ufffd")),
        (b"[1, 2]", (None, "[1, 2]")),
        (b"", (None, "")),
    ],
)
def test_an_error_s_words_are_one_clean_line(body: bytes, expected: tuple[str | None, str]) -> None:
    """Boom bodies, OAuth bodies, pages and garbage: a code where there is one, and a message."""
    assert read_error(body) == expected


def test_a_long_error_is_cut() -> None:
    """However much the server has to say."""
    assert len(read_error(json.dumps({"message": "x" * 10_000}).encode())[1]) == 500
    assert len(read_error(b"<" * 10_000_000)[1]) <= 500


def test_a_secret_is_masked_before_the_message_is_cut() -> None:
    """A secret across the cut would be half there, and one with white space in it changed."""
    secret = "dummy  secret"
    body = json.dumps({"message": "x" * 494 + secret}).encode()
    assert "dummy" not in read_error(body, lambda text: text.replace(secret, "***"))[1]


@given(st.binary(max_size=300) | st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from([
            "id", "name", "next", "eventStreams", "message", "error", "errorCode", "statusCode", "subscriptions",
            "destination", "type", "configuration", "created_at", "stream",
        ]),
        inner,
        max_size=4,
    ),
    max_leaves=12,
).map(lambda value: json.dumps(value).encode()))  # fmt: skip
def test_nothing_that_comes_back_makes_it_raise(body: bytes) -> None:
    """Whatever a server sends, or a line became, the answer is a value."""
    page = read_page(body)
    assert page is None or isinstance(page, Page)
    code, message = read_error(body)
    assert "\n" not in message
    assert code is None or isinstance(code, str)
    assert created_id(body) is None or created_id(body)
    assert line_digest(body) is None or line_digest(body)
    assert secrets_in(body) is not None


def test_a_deep_body_is_no_stream() -> None:
    """Nesting that would exhaust the stack is not followed."""
    deep = b'{"id":"est_1","destination":' + b'{"a":' * 900 + b"1" + b"}" * 900 + b"}"
    assert read_page(b"[" + deep + b"]") is None
    assert created_id(deep) == "est_1"
    assert line_digest(deep) is None
