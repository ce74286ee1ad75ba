"""A line becomes a record with its key, or all that is wrong with it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bulkstreams.model import Invalid, Record
from bulkstreams.schema import MAX_KEY, line_digest
from bulkstreams.schema.problems import MOST_PROBLEMS
from tests.schema import (
    ENDPOINT,
    OBJECTS,
    SECRET,
    action,
    definition,
    dump,
    eventbridge,
    not_set,
    read,
    record,
    said,
    webhook,
)

# -- what is right ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "destination",
    [
        webhook(),
        webhook(method="basic", username="u" * 128, password=SECRET),
        webhook(method="custom_header", header_key="X-Key!#$%&'*+.^_`|~", header_value=SECRET),
        webhook("https://user:pass@[2001:db8::1]:8443/a?b=c#d"),
        webhook("https://münchen.example"),
        eventbridge(),
        action(),
    ],
)
def test_every_kind_of_destination_is_taken(destination: dict[str, Any]) -> None:
    """Each destination and each webhook method, with its secret, makes a record without a note."""
    found = record(definition(destination=destination))
    assert (found.tenant, found.key, found.name, found.notes) == (None, "audit", "audit", ())


def test_only_the_destination_is_required() -> None:
    """A definition with nothing but a destination is valid, as it is to the API; its key is its digest."""
    found = record({"destination": action()})
    assert found.name is None
    assert found.key.startswith("digest:")
    assert record({"destination": action("other")}).key != found.key


def test_a_name_of_128_characters_is_the_longest() -> None:
    """Characters are counted, not bytes."""
    assert record(definition(name="ü" * 128)).name == "ü" * 128
    assert said(definition(name="ü" * 129)) == ["name: must be at most 128 characters long (got 129)"]


# -- identity ---------------------------------------------------------------------------------------------------------


def test_the_callers_key_comes_before_the_name() -> None:
    """An envelope gives tenant and key; without a key the name is the key."""
    full = record({"stream": definition(), "tenant": "acme", "key": "acme/audit"})
    assert (full.tenant, full.key, full.name) == ("acme", "acme/audit", "audit")
    assert record({"stream": definition(), "tenant": "acme"}).key == "audit"


def test_an_envelope_changes_nothing_about_the_definition() -> None:
    """A bare definition and the same one in an envelope have the same digest."""
    assert record({"stream": definition(), "key": "k"}).digest == record(definition()).digest


def test_secrets_take_no_part_in_identity() -> None:
    """Another secret, or a reference in its place, leaves key and digest as they were."""
    one = {"destination": webhook(method="bearer", token="one")}
    for token in ("two", "${env:TOKEN}"):
        other = {"destination": webhook(method="bearer", token=token)}
        assert record(other) == record(one)


def test_an_invalid_line_keeps_the_key_it_can_have() -> None:
    """A line whose definition alone is wrong is known by tenant and key, so that mending it is noticed."""
    found = read({"stream": definition(status="on"), "tenant": "acme", "key": "k"})
    assert isinstance(found, Invalid)
    assert (found.tenant, found.key, found.name) == ("acme", "k", "audit")


@pytest.mark.parametrize("key", [None, 5, "", "a\nb", "k" * (MAX_KEY + 1)])
def test_an_invalid_line_with_an_unusable_key_has_none(key: object) -> None:
    """Where another key may have been meant, the name does not step in for it."""
    found = read({"stream": definition(), "key": key})
    assert isinstance(found, Invalid)
    assert found.key is None


def test_a_name_that_is_too_long_to_be_a_key_is_none() -> None:
    """A megabyte of name does not get into the ledger."""
    found = read(definition(name="n" * (MAX_KEY + 1)))
    assert isinstance(found, Invalid)
    assert (found.key, found.name) == (None, None)


# -- envelopes --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("around", "sentence"),
    [
        ({"tennant": "acme"}, 'tennant: unknown property (did you mean "tenant"?); allowed: stream, tenant, key'),
        ({"tenant": 5}, "tenant: must be a string (got a number)"),
        ({"tenant": None}, "tenant: must be a string (got null)"),
        ({"tenant": ""}, 'tenant: must not be empty (got "")'),
        ({"tenant": "t" * 513}, "tenant: must be at most 512 characters long (got 513)"),
        ({"key": "a\u0000b"}, "key: must not contain control characters"),
        ({"key": "a\u0085b"}, "key: must not contain control characters"),
    ],
)
def test_what_is_wrong_around_a_definition_is_told(around: dict[str, Any], sentence: str) -> None:
    """An envelope holds a stream, a tenant and a key, and nothing else."""
    assert said({"stream": definition(), **around}) == [sentence]


@pytest.mark.parametrize(("stream", "kind"), [(None, "null"), ("audit", "a string"), ([], "an array"), (1, "a number")])
def test_an_envelope_needs_an_object_in_it(stream: object, kind: str) -> None:
    """What stands in an envelope is a definition; what is wrong with the envelope is told with it."""
    assert said({"stream": stream, "key": ""}) == [
        'key: must not be empty (got "")',
        f"stream: must be an object (got {kind})",
    ]


def test_a_tenant_inside_a_definition_is_shown_its_place() -> None:
    """Who writes `tenant` beside `name` is told how an envelope looks."""
    assert said(definition(tenant="acme")) == [
        'tenant: belongs beside a definition, not in it: {"stream": {…}, "tenant": "…"}'
    ]


# -- all at once ------------------------------------------------------------------------------------------------------


def test_all_problems_of_a_line_are_told_together() -> None:
    """Envelope, shape, events and references: no kind of problem hides another."""
    line = {
        "stream": {
            "name": "",
            "subscriptions": [{"event_type": "user.created"}, {"event_type": "user.gone"}, {}],
            "destination": webhook("http://hooks.example", method="basic", username="a:b", password="${env:P}"),
            "status": "on",
        },
        "key": "",
    }
    assert [sentence.split(": ")[0] for sentence in said(line, unresolvable=not_set)] == [
        "key",
        "name",
        "subscriptions[2].event_type",
        ENDPOINT,
        "destination.configuration.webhook_authorization.username",
        "status",
        "destination.configuration.webhook_authorization.password",
        "subscriptions[1].event_type",
    ]


def test_a_megabyte_of_nonsense_does_not_become_ten() -> None:
    """After a hundred problems, the line says that there are more."""
    sentences = said(definition(**{f"wrong{i}": i for i in range(5000)}))
    assert len(sentences) == MOST_PROBLEMS + 1
    assert sentences[-1] == "has more than 100 problems; these are the first"
    assert len(said(definition(**{f"wrong{i}": i for i in range(MOST_PROBLEMS)}))) == MOST_PROBLEMS


# -- event types ------------------------------------------------------------------------------------------------------


def test_an_unknown_event_type_is_a_problem_or_a_note() -> None:
    """The list grows at the API: `--allow-unknown-events` turns the error into a note."""
    line = definition(subscriptions=[{"event_type": "user.created"}, {"event_type": "user.create"}])
    unknown = 'subscriptions[1].event_type: unknown event type "user.create" (did you mean "user.created"?)'
    assert said(line) == [f"{unknown}; --allow-unknown-events lets it by"]
    assert [str(note) for note in record(line, relaxed=True).notes] == [f"{unknown}; is not checked"]


@pytest.mark.parametrize("relaxed", [False, True])
def test_an_event_type_twice_is_refused(relaxed: bool) -> None:
    """The API takes no two equal subscriptions; no flag changes that."""
    line = definition(subscriptions=[{"event_type": "user.created"}] * 2)
    assert said(line, relaxed=relaxed) == ['subscriptions[1].event_type: "user.created" is subscribed to twice']


# -- response-only properties -----------------------------------------------------------------------------------------


def test_what_the_api_alone_sets_is_left_out_with_a_note() -> None:
    """An exported stream is valid input, and equal to the one it was exported from."""
    exported = definition(
        destination=eventbridge(aws_partner_event_source="aws.partner/auth0.com/acme/auth0.events"),
        id="est_1",
        created_at="2026-01-01T00:00:00.000Z",
        updated_at="2026-01-01T00:00:00.000Z",
    )
    found = record(exported)
    assert [str(note) for note in found.notes] == [
        f"{path}: is set by the API; left out"
        for path in ("id", "created_at", "updated_at", "destination.configuration.aws_partner_event_source")
    ]
    assert found.digest == record(definition(destination=eventbridge())).digest


def test_a_partner_source_belongs_to_eventbridge_alone() -> None:
    """In another destination that property is unknown."""
    other = action()
    other["configuration"]["aws_partner_event_source"] = "x"
    assert said(definition(destination=other)) == [
        "destination.configuration.aws_partner_event_source: unknown property; allowed: action_id"
    ]


# -- nothing raises, nothing leaks ------------------------------------------------------------------------------------

PIECES = st.lists(
    st.sampled_from(
        [b'{"', b'"}', b'":"', b'","', b"{", b"}", b"[", b"]", b"stream", b"destination", b"type", b"webhook", b"name",
         b"configuration", b"\\ud800", b"\\", b"${env:A}", b"##A##", b"NaN", b"1e999", b"\xff", b"\x00", b"null"]
    )
    | st.binary(max_size=4),
    max_size=40,
).map(b"".join)  # fmt: skip


@settings(max_examples=300)
@given(st.binary() | PIECES | OBJECTS.map(dump), st.booleans())
@example(b'{"destination":' * 1000, False)
@example(dump({"stream": {"destination": {"type": {}}}}), True)
@example(dump({"subscriptions": [None, 1, [], {"event_type": {}}]}), True)
def test_no_bytes_make_it_raise(line: bytes, relaxed: bool) -> None:
    """Whatever stands in a line, it is a record, or something is said of it; and its digest can be asked for."""
    found = read(line, relaxed=relaxed, unresolvable=not_set)
    assert isinstance(found, Record) or found.problems
    assert isinstance(line_digest(line), bytes | None)


def places(value: Any, place: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return where every value below one stands."""
    steps = (
        list(value.items()) if isinstance(value, dict) else list(enumerate(value)) if isinstance(value, list) else []
    )
    return [found for step, one in steps for found in [(*place, step), *places(one, (*place, step))]]


def spoil(line: dict[str, Any], place: tuple[Any, ...], how: str, with_: object) -> None:
    """Drop a property or item, rename it, or set another value in its place."""
    *above, last = place
    for step in above:
        line = line[step]
    if how == "set" or isinstance(last, int):
        line[last] = with_
    else:
        old = line.pop(last)
        if how == "rename":
            line[f"{last}x"] = old


SECRETS = st.sampled_from(
    [SECRET, f"##{SECRET.replace('-', '_')}##", f"${{{SECRET}}}", f"@@{SECRET}\r\n", f"{SECRET}é\\"]
)
METHODS = st.sampled_from(
    [
        ("bearer", {}, "token"),
        ("basic", {"username": SECRET}, "password"),
        ("custom_header", {"header_key": "k"}, "header_value"),
    ]
)


@settings(max_examples=400)
@given(SECRETS, METHODS, st.booleans(), st.sampled_from(["drop", "rename", "set", "cut", "byte"]), st.data())
def test_a_secret_never_shows(
    secret: str, method: tuple[str, dict[str, str], str], wrapped: bool, how: str, data: st.DataObject
) -> None:
    """However a line with a secret is broken, neither the secret nor a piece of it is in what is said of it."""
    name, more, field = method
    endpoint = f"https://{SECRET}:{SECRET}@hooks.example/x?key={SECRET}"
    line: dict[str, Any] = definition(destination=webhook(endpoint, method=name, **more, **{field: secret}))
    if wrapped:
        line = {"stream": line, "tenant": "acme", "key": "k"}
    if how in {"drop", "rename", "set"}:
        place = data.draw(st.sampled_from(places(line)))
        spoil(line, place, how, data.draw(st.sampled_from([None, 7, "odd", [], {}, ["odd"], {"odd": 1}])))
    text = dump(line)
    at = data.draw(st.integers(0, len(text) - 1))
    if how == "cut":
        text = text[:at]
    elif how == "byte":
        text = text[:at] + data.draw(st.binary(min_size=1, max_size=1)) + text[at + 1 :]
    found = read(text, unresolvable=lambda reference: "is not set")
    shown = f"{found!r} {found}"
    assert "sEcReT" not in shown
    assert "7f3a" not in shown
