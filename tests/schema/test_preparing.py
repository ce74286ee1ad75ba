"""The line again, as the exact body to send."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bulkstreams.core.references import Reference
from bulkstreams.errors import ActionError, SecretError
from bulkstreams.model import Record
from bulkstreams.schema import Rules, line_digest, prepare, read_line, reading, secrets_in
from tests.schema import SECRET, action, definition, dump, eventbridge, webhook

SAMPLES = Path(__file__).parents[2] / "samples"
LINES = [
    line for name in ("streams.jsonl", "tenants.jsonl") for line in (SAMPLES / name).read_bytes().splitlines()
]  # fmt: skip


def never(reference: Reference) -> str:
    """Stand for a resolver that must not be asked."""
    raise AssertionError(f"{reference} was resolved")


def body(line: bytes, resolve: Any = never) -> dict[str, Any]:
    """Return the decoded body of a line that can be sent."""
    prepared = prepare(line, resolve)
    assert prepared is not None
    found: dict[str, Any] = json.loads(prepared)
    return found


def test_a_body_has_the_digest_that_was_read_and_needs_no_validation(monkeypatch: pytest.MonkeyPatch) -> None:
    """For each line of the samples, what is sent is what was read; and it is not validated a second time."""
    read = [read_line(line, Rules(), lambda _: None) for line in LINES]
    monkeypatch.setattr(reading, "check", lambda _: pytest.fail("pydantic was asked again"))
    for line, record in zip(LINES, read, strict=True):
        prepared = prepare(line, never)
        assert isinstance(record, Record)
        assert prepared is not None
        assert line_digest(prepared) == line_digest(line) == record.digest


def test_an_envelope_is_not_sent() -> None:
    """The body is the definition alone, and in full."""
    assert body(dump({"stream": definition(), "tenant": "acme", "key": "k"})) == definition()


def test_a_line_with_nothing_to_change_is_sent_as_it_is() -> None:
    """No byte of an ordinary definition is touched."""
    line = b' {"name" : "a stream",  "destination": {"type":"action","configuration":{"action_id":"\xc3\xa9"}}}'
    assert prepare(line, never) == line


@pytest.mark.parametrize(
    "line",
    [
        definition(id="est_1", created_at="2026-01-01", updated_at="2026-01-01"),
        definition(destination=eventbridge(aws_partner_event_source="aws.partner/x")),
        {"stream": definition(id="est_1", destination=eventbridge(aws_partner_event_source="x"))},
    ],
)
def test_what_the_api_alone_sets_is_not_sent(line: dict[str, Any]) -> None:
    """Response-only properties, wherever they stand, are missing from the body; all else is there."""
    sent = body(dump(line))
    plain = line.get("stream", line)
    destination = eventbridge() if plain["destination"]["type"] == "eventbridge" else plain["destination"]
    assert sent == definition(destination=destination)


def test_an_escaped_name_of_a_property_changes_nothing() -> None:
    """A response-only property is left out and an envelope is opened, however JSON writes their names."""
    line = (
        dump({"stream": definition(id="est_1")}).replace(b'"id"', b'"\\u0069d"').replace(b'"stream"', b'"str\\u0065am"')
    )
    assert body(line) == definition()


@pytest.mark.parametrize(
    ("method", "field"), [("bearer", "token"), ("basic", "password"), ("custom_header", "header_value")]
)
@pytest.mark.parametrize("escaped", [False, True])
def test_a_reference_is_resolved_just_before_sending(method: str, field: str, escaped: bool) -> None:
    """The body holds the secret in place of the reference, whole, whatever characters it is made of."""
    asked = []
    secret = f'{SECRET}"\\é${{env:B}}'
    line = dump(definition(destination=webhook(method=method, **{field: "${env:A}"})))
    if escaped:
        line = line.replace(b"${", b"\\u0024\\u007b")
    sent = body(line, lambda reference: (asked.append(str(reference)), secret)[1])
    assert sent["destination"]["configuration"]["webhook_authorization"] == {"method": method, field: secret}
    assert asked == ["${env:A}"]


@pytest.mark.parametrize("own", [None, "enabled", "disabled"])
@pytest.mark.parametrize("status", ["enabled", "disabled"])
def test_a_given_status_is_sent_in_place_of_the_lines(own: str | None, status: str) -> None:
    """Bare or in an envelope, with a status of its own or without: all else of the definition is as it was."""
    line = definition() if own is None else definition(status=own)
    for text in (dump(line), dump({"stream": line, "key": "k"})):
        prepared = prepare(text, never, status)
        assert prepared is not None
        assert json.loads(prepared) == {**line, "status": status}


def test_a_given_status_keeps_nothing_from_being_resolved_or_left_out() -> None:
    """A reference becomes its secret, and what only the API sets is not sent, as without one."""
    line = definition(id="est_1", destination=webhook(method="bearer", token="${env:A}"))
    prepared = prepare(dump(line), lambda _: SECRET, "disabled")
    assert prepared is not None
    sent = json.loads(prepared)
    assert sent["destination"]["configuration"]["webhook_authorization"]["token"] == SECRET
    assert (sent["status"], "id" in sent) == ("disabled", False)


def test_a_name_that_looks_like_a_reference_is_not_resolved() -> None:
    """Only a webhook's secret is ever looked up."""
    line = definition(name="${env:A}", destination=action("${env:B}"))
    assert body(dump(line)) == line


@pytest.mark.parametrize("around", [False, True])
@pytest.mark.parametrize("escaped", [False, True])
def test_the_id_of_an_action_takes_the_place_of_its_name(around: bool, escaped: bool) -> None:
    """The body has the id that the tenant's look-up gave; nothing else is touched."""
    asked = []
    plain = definition(destination=action("${action:Audit log}"))
    line = dump({"stream": plain, "key": "k"} if around else plain)
    if escaped:
        line = line.replace(b"$", b"\\u0024")
    prepared = prepare(line, never, find_action=lambda name: (asked.append(name), "act_1")[1])
    assert prepared is not None
    assert json.loads(prepared) == definition(destination=action("act_1"))
    assert asked == ["Audit log"]


def test_an_action_that_was_not_looked_up_is_not_sent() -> None:
    """A body never holds a reference; what is raised says which line's place it is about."""
    line = dump(definition(destination=action("${action:a}")))
    with pytest.raises(ActionError, match=r'destination\.configuration\.action_id: the action "a" was not looked up'):
        prepare(line, never)


def test_a_reference_that_no_longer_resolves_is_the_callers_to_handle() -> None:
    """What the resolver raises goes through."""

    def gone(_: Reference) -> str:
        raise SecretError("gone")

    with pytest.raises(SecretError, match="gone"):
        prepare(dump(definition(destination=webhook(method="bearer", token="${env:A}"))), gone)


@pytest.mark.parametrize(
    ("authorization", "secrets"),
    [
        ({"method": "bearer", "token": 'a"\\é'}, ('a"\\é',)),
        ({"method": "basic", "username": "u", "password": "p"}, ("p",)),
        ({"method": "custom_header", "header_key": "k", "header_value": "v"}, ("v",)),
    ],
)
def test_the_secrets_of_a_body_are_found_to_be_masked(authorization: dict[str, str], secrets: tuple[str, ...]) -> None:
    """The secret as it was sent, and nothing else, is what to mask in an answer."""
    prepared = prepare(dump({"stream": definition(destination=webhook(**authorization))}), never)
    assert prepared is not None
    assert secrets_in(prepared) == secrets


def test_a_body_without_secrets_has_none_to_mask() -> None:
    """Other destinations have no secret."""
    assert secrets_in(dump(definition(destination=action()))) == ()


@given(st.binary() | st.binary().map(lambda data: b'{"stream": "\\' + data))
@example(b'{"destination":{"type":"action","configuration":' + b"[" * 400 + b'"\\n"' + b"]" * 400 + b"}}")
@example(b'{"destination":{"type":"webhook","configuration":{"webhook_authorization":{"token":5}}},"id":1}')
@example(b'{"destination":{"type":"webhook","configuration":{"webhook_authorization":[]}},"id":1}')
@example(b'{"stream":null}')
@example(b'{"stream":"id"}')
@example(b'{"stream":["id"]}')
@example(b'["stream"]')
@example(b"\\" + b"[" * 5000)
def test_no_bytes_make_preparing_raise(line: bytes) -> None:
    """A line that changed into anything at all has a body or has none; and its secrets can be asked for."""
    assert isinstance(prepare(line, lambda _: SECRET), bytes | None)
    assert isinstance(prepare(line, lambda _: SECRET, "disabled"), bytes | None)
    assert isinstance(secrets_in(line), tuple)
    assert isinstance(line_digest(line), bytes | None)
