"""A line → a record, or all that is wrong with it."""

from __future__ import annotations

import json
from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bulkstreams.core.matching import digest
from bulkstreams.core.references import Reference
from bulkstreams.model import Invalid, Record
from bulkstreams.schema import MAX_KEY, Rules, read_line

SECRET = "dUmMy5ecretQZXJ"
BASIC = {"method": "basic", "username": "auth0", "password": SECRET}
BEARER = {"method": "bearer", "token": SECRET}
HEADER = {"method": "custom_header", "header_key": "X-Key", "header_value": SECRET}
PLACE = {
    "endpoint": ("destination", "configuration", "webhook_endpoint"),
    "authorization": ("destination", "configuration", "webhook_authorization"),
    "token": ("destination", "configuration", "webhook_authorization", "token"),
}


def webhook(authorization: Any = BEARER, endpoint: Any = "https://hooks.example/x") -> dict[str, Any]:
    """Return a webhook destination."""
    return {
        "type": "webhook",
        "configuration": {"webhook_endpoint": endpoint, "webhook_authorization": deepcopy(authorization)},
    }


def eventbridge(account: Any = "123456789012", region: Any = "eu-west-1") -> dict[str, Any]:
    """Return an EventBridge destination."""
    return {"type": "eventbridge", "configuration": {"aws_account_id": account, "aws_region": region}}


def action(id_: Any = "a1") -> dict[str, Any]:
    """Return an action destination."""
    return {"type": "action", "configuration": {"action_id": id_}}


def definition(**changes: Any) -> dict[str, Any]:
    """Return a valid definition with some of it changed; `...` leaves a property out."""
    whole = {
        "name": "audit",
        "subscriptions": [{"event_type": "user.created"}, {"event_type": "user.deleted"}],
        "destination": webhook(),
        "status": "enabled",
        **changes,
    }
    return {key: value for key, value in whole.items() if value is not ...}


STRICT = Rules()


def read(line: Any, *, rules: Rules = STRICT, why: dict[str, str] | None = None) -> Record | Invalid:
    """Read a line, given as bytes or as what it holds; `why` says which references do not resolve, and why."""
    data = line if isinstance(line, bytes) else json.dumps(line).encode()
    return read_line(data, rules, lambda reference: (why or {}).get(str(reference)))


def valid(line: Any, **options: Any) -> Record:
    """Read a line that must be a record."""
    found = read(line, **options)
    assert isinstance(found, Record), str(found)
    return found


def problems(line: Any, **options: Any) -> list[str]:
    """Read a line that must be invalid, and return what is said of it."""
    found = read(line, **options)
    assert isinstance(found, Invalid)
    return [str(problem) for problem in found.problems]


# -- what is valid ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "destination",
    [
        webhook(BASIC), webhook(BEARER), webhook(HEADER), eventbridge(), eventbridge(region="us-gov-west-1"), action(),
    ],
    ids=["basic", "bearer", "custom_header", "eventbridge", "gov", "action"],
)  # fmt: skip
def test_every_kind_of_destination_is_accepted(destination: dict[str, Any]) -> None:
    """All three destinations, and all three webhook methods with their secret, are valid."""
    line = definition(destination=destination)
    assert valid(line) == Record(None, "audit", "audit", digest(line), ())  # type: ignore[arg-type]


@pytest.mark.parametrize("left_out", ["name", "subscriptions", "status"])
def test_what_the_api_does_not_require_may_be_left_out(left_out: str) -> None:
    """Only the destination is required."""
    line = definition(**{left_out: ...})
    assert valid(line).digest == digest(line)


@pytest.mark.parametrize("name", ["a", "n" * 128, "münchen ☕", 'with "quotes" and \\'])
def test_a_name_has_1_to_128_characters(name: str) -> None:
    """Characters are counted, not bytes."""
    assert valid(definition(name=name)).name == name


@pytest.mark.parametrize(
    "endpoint",
    [
        "https://a",
        "https://hooks.example:8443/x?y=z#t",
        "https://user:word@hooks.example/",
        "https://[2001:db8::1]:8443/x",
        "https://127.0.0.1/x",
        "https://übersicht.example/ä",
        "https://under_score.example?x",
    ],
)
def test_an_https_url_is_an_endpoint(endpoint: str) -> None:
    """Whatever is a whole URL with a host is left to the API to judge."""
    assert valid(definition(destination=webhook(endpoint=endpoint)))


@pytest.mark.parametrize("key", ["X", "x-api_key.v2", "!#$%&'*+.^_`|~-"])
def test_a_header_s_name_is_a_token(key: str) -> None:
    """Every character that RFC 7230 allows in a header's name is allowed."""
    assert valid(definition(destination=webhook({**HEADER, "header_key": key})))


def test_the_longest_user_name_is_accepted() -> None:
    """128 characters are a user name still."""
    assert valid(definition(destination=webhook({**BASIC, "username": "u" * 128})))


def test_all_36_regions_and_25_event_types_are_known() -> None:
    """The catalogues are complete."""
    from bulkstreams.schema.definition import EVENT_TYPES, REGIONS

    assert (len(REGIONS), len(set(REGIONS)), len(EVENT_TYPES)) == (36, 36, 25)
    assert valid(definition(subscriptions=[{"event_type": event} for event in sorted(EVENT_TYPES)]))


def test_white_space_and_escapes_change_nothing() -> None:
    """However the JSON is written, the record is the same."""
    line = definition(name="münchen")
    written = [json.dumps(line, indent=1), json.dumps(line, ensure_ascii=False), f"  {json.dumps(line)}\t"]
    assert len({valid(text.encode()) for text in written}) == 1


# -- identity ---------------------------------------------------------------------------------------------------------


def test_an_envelope_gives_tenant_and_key() -> None:
    """The caller's own key comes before the name."""
    found = valid({"stream": definition(), "tenant": "acme", "key": "acme/audit"})
    assert (found.tenant, found.key, found.name) == ("acme", "acme/audit", "audit")


def test_an_envelope_may_hold_a_definition_alone() -> None:
    """Tenant and key are optional, and the digest is the definition's."""
    found = valid({"stream": definition()})
    assert (found.tenant, found.key, found.digest) == (None, "audit", digest(definition()))


def test_without_a_name_the_digest_is_the_key() -> None:
    """A nameless record has the same key however it is written, another one when it changes, whatever its secret."""
    one = valid(definition(name=...))
    again = valid(dict(reversed(definition(name=...).items())))
    other_secret = valid(definition(name=..., destination=webhook({**BEARER, "token": "dummy"})))
    other = valid(definition(name=..., status="disabled"))
    assert one.key.startswith("digest:")
    assert len(one.key) == len("digest:") + 32
    assert one.key == again.key == other_secret.key != other.key


def test_an_invalid_line_keeps_its_identity() -> None:
    """Tenant, key and name are told wherever they can be used."""
    found = read({"stream": definition(status="on"), "tenant": "acme", "key": "acme/audit"})
    assert isinstance(found, Invalid)
    assert (found.tenant, found.key, found.name) == ("acme", "acme/audit", "audit")
    found = read(definition(status="on"))
    assert (found.tenant, found.key, found.name) == (None, "audit", "audit")


@pytest.mark.parametrize("broken", [{"key": ""}, {"key": 5}, {"tenant": ""}, {"tenant": [], "key": "k"}])
def test_a_broken_envelope_gives_no_key(broken: dict[str, Any]) -> None:
    """Where another key or tenant was meant, the name does not stand in for it."""
    found = read({"stream": definition(), **broken})
    assert isinstance(found, Invalid)
    assert found.key is None


@pytest.mark.parametrize(
    "line", [b"nonsense", {"stream": 5}, {"status": "on"}, definition(name=""), definition(name=5)]
)
def test_a_line_too_broken_has_no_key(line: Any) -> None:
    """Such a line is known by its file and number alone."""
    found = read(line)
    assert isinstance(found, Invalid)
    assert found.key is None


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("tenant", "", 'must not be empty (got "")'),
        ("tenant", 5, "must be a string (got a number)"),
        ("key", None, "must be a string (got null)"),
        ("key", "k" * (MAX_KEY + 1), f"must be at most {MAX_KEY} characters long (got {MAX_KEY + 1})"),
        ("key", "a\nb", "must not contain control characters"),
        ("key", "a\x7fb", "must not contain control characters"),
        ("kee", "a", 'unknown property (did you mean "key"?); allowed: stream, tenant, key'),
    ],
)
def test_an_envelope_is_checked_too(field: str, value: Any, message: str) -> None:
    """Each property of an envelope has its rule."""
    assert problems({"stream": definition(), field: value}) == [f"{field}: {message}"]


def test_the_longest_key_is_accepted() -> None:
    """A key may be as long as the limit, in any script."""
    assert valid({"stream": definition(), "key": "ü" * MAX_KEY}).key == "ü" * MAX_KEY


# -- response-only properties, and the catalogue ---------------------------------------------------------------------


def test_an_export_is_valid_and_its_extras_are_noted() -> None:
    """What the API returns and does not accept is dropped with a note each, and does not count."""
    shown = {"id": "est_1", "created_at": "x", "updated_at": "y", **definition(destination=eventbridge())}
    shown["destination"]["configuration"]["aws_partner_event_source"] = "aws.partner/x"
    found = valid(shown)
    assert [note.path for note in found.notes] == [
        "id", "created_at", "updated_at", "destination.configuration.aws_partner_event_source",
    ]  # fmt: skip
    assert found.digest == digest(definition(destination=eventbridge()))
    assert valid({"stream": {"id": "est_1", **definition()}}).notes[0].path == "id"


def test_an_event_source_belongs_to_eventbridge_alone() -> None:
    """Elsewhere it is an unknown property."""
    destination = action()
    destination["configuration"]["aws_partner_event_source"] = "aws.partner/x"
    assert problems(definition(destination=destination)) == [
        "destination.configuration.aws_partner_event_source: unknown property; allowed: action_id"
    ]


def test_an_unknown_event_type_is_an_error_or_by_leave_a_note() -> None:
    """The list grows, so the user may let a new type by; nothing else is relaxed."""
    line = definition(subscriptions=[{"event_type": "user.create"}])
    (found,) = problems(line)
    assert found == (
        'subscriptions[0].event_type: unknown event type "user.create" (did you mean "user.created"?); '
        "--allow-unknown-events lets it by"
    )
    relaxed = Rules(allow_unknown_events=True)
    assert [note.path for note in valid(line, rules=relaxed).notes] == ["subscriptions[0].event_type"]
    twice = definition(subscriptions=[{"event_type": "new.kind"}] * 2)
    assert problems(twice, rules=relaxed) == ['subscriptions[1].event_type: "new.kind" is subscribed to twice']


# -- references and placeholders --------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["${env:ACME_TOKEN}", "${file:/run/secrets/acme}"])
@pytest.mark.parametrize(("authorization", "field"), [(BASIC, "password"), (BEARER, "token"), (HEADER, "header_value")])
def test_a_secret_may_be_a_reference(authorization: dict[str, str], field: str, text: str) -> None:
    """A reference that resolves is valid; one that does not says why."""
    line = definition(destination=webhook({**authorization, field: text}))
    assert valid(line)
    path = ".".join([*PLACE["authorization"], field])
    assert problems(line, why={text: "it is not there"}) == [f"{path}: it is not there"]


def test_a_reference_in_escapes_is_a_reference() -> None:
    r"""`\u0024{env:X}` is looked at like any other writing of it."""
    line = json.dumps(definition(destination=webhook({**BEARER, "token": "${env:X}"}))).replace("$", r"\u0024")
    assert problems(line.encode(), why={"${env:X}": "it is not there"}) == [
        f"{'.'.join(PLACE['token'])}: it is not there"
    ]


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"name": "${env:NAME}"}, "name"),
        ({"destination": webhook(endpoint="${env:URL}")}, "destination.configuration.webhook_endpoint"),
        (
            {"destination": webhook({**BASIC, "username": "${env:USER}"})},
            "destination.configuration.webhook_authorization.username",
        ),
        ({"destination": action("${env:ACTION}")}, "destination.configuration.action_id"),
    ],
)
def test_a_reference_elsewhere_is_refused(changes: dict[str, Any], path: str) -> None:
    """References stand for secrets only; the message says for which."""
    found = problems(definition(**changes))
    assert f"{path}: must be written out: only password, token, header_value may be a reference" in found
    assert len(found) == 1


@pytest.mark.parametrize("marker", ["##TOKEN##", "@@TOKEN@@", "${TOKEN}", "Bearer ${env:TOKEN}", "${env:TOKEN"])
def test_a_placeholder_in_a_secret_is_refused_without_showing_it(marker: str) -> None:
    """It may as well be a piece of a real secret."""
    (found,) = problems(definition(destination=webhook({**BEARER, "token": marker})))
    assert found.startswith(f"{'.'.join(PLACE['token'])}: holds a placeholder that nobody replaced (")
    assert "TOKEN" not in found.removeprefix(".".join(PLACE["token"]))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": "audit-##ENV##"}, 'name: holds a placeholder that nobody replaced ("##ENV##")'),
        (
            {"destination": webhook(endpoint="##URL##")},
            "destination.configuration.webhook_endpoint: holds a placeholder that nobody replaced (##…##)",
        ),
        (
            {"subscriptions": [{"event_type": "@@EVENT@@"}]},
            'subscriptions[0].event_type: holds a placeholder that nobody replaced ("@@EVENT@@")',
        ),
    ],
)
def test_a_placeholder_elsewhere_is_refused_by_name(changes: dict[str, Any], message: str) -> None:
    """A left-over marker is a problem wherever it stands, and told before what else it breaks there."""
    assert problems(definition(**changes))[0] == message


# -- JSON -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b"\xef\xbb\xbf{}", "begins with a byte-order mark, which may stand only at the start of the input"),
        (b"", "is not JSON: expecting value at column 1"),
        (b"\x00", "is not JSON: expecting value at column 1"),
        (b'{"a":1}}', "is not JSON: extra data at column 8"),
        (b'{"a":"x', "is not JSON: unterminated string starting at column 6"),
        (b'{"a":"\x07"}', "is not JSON: invalid control character at column 7"),
        (b"{'a':1}", "is not JSON: expecting property name enclosed in double quotes at column 2"),
        (b'{"a":NaN}', "is not JSON: NaN is no JSON value"),
        (b'{"a":-Infinity}', "is not JSON: -Infinity is no JSON value"),
        (b'{"a":1e999}', "is not JSON: a number is too large"),
        (b'{"a":' + b"9" * 5000 + b"}", "is not JSON: a number is too large"),
        (b'{"a":"\\ud800"}', "is not JSON: half of a surrogate pair (\\ud800 to \\udfff) stands alone"),
        (b'{"a":"\xff"}', "is not UTF-8 text: a wrong byte at position 7"),
        (b'\xff\xfe{\x00"\x00', "is not UTF-8 text: a wrong byte at position 1"),
        (b"[]", "must be a JSON object (got an array)"),
        (b"null", "must be a JSON object (got null)"),
        (b'"text"', "must be a JSON object (got a string)"),
        (b"true", "must be a JSON object (got true or false)"),
        (b"1.5", "must be a JSON object (got a number)"),
        (b'{"a":1,"a":1}', 'the property "a" is given twice in one object'),
        (b'{"a":{"b":[{"c":1,"c":2}]}}', 'the property "c" is given twice in one object'),
        (b'{"a":1,"\\u0061":2}', 'the property "a" is given twice in one object'),
        (b'{"a":' + b"[" * 300 + b"]" * 300 + b"}", "is nested too deeply"),
        (b'{"\\u0061":' + b"[" * 600 + b"]" * 600 + b"}", "is nested too deeply"),
        (b'{"a":' + b"[" * 50_000 + b"]" * 50_000 + b"}", "is nested too deeply"),
        (b"[" * 50_000, "is nested too deeply"),
    ],
)
def test_what_is_no_json_object_is_one_problem(line: bytes, message: str) -> None:
    """Each kind of broken JSON has its own sentence, which shows nothing of the line."""
    assert problems(line) == [message]


def test_equal_names_in_different_objects_are_no_duplicates() -> None:
    """Only within one object must names differ; escaped quotes confuse nobody."""
    assert valid(definition(name='"quoted" \\ "name": "name"'))


# -- the shape: every rule is in samples/broken.jsonl; here is what a sample cannot show ------------------------------


def test_all_problems_of_a_line_are_reported_together() -> None:
    """Whatever part they are in, and the envelope's with the definition's."""
    line = {
        "tenant": "",
        "stream": definition(
            name="", subscriptions=[{"event_type": "user.create"}], status="on",
            destination=webhook({"method": "basic", "username": "a:b"}, "http://x"),
        ),
    }  # fmt: skip
    assert [problem.split(": ")[0] for problem in problems(line)] == [
        "tenant", "name", "destination.configuration.webhook_endpoint",
        "destination.configuration.webhook_authorization.username",
        "destination.configuration.webhook_authorization.password", "status", "subscriptions[0].event_type",
    ]  # fmt: skip


@pytest.mark.parametrize("kind", ["webhook", "eventbridge", "action"])
def test_a_property_named_like_a_kind_keeps_its_path(kind: str) -> None:
    """A user may write the kind as a property: it is found where it stands."""
    found = problems(definition(destination={**webhook(), kind: {}}))
    assert found == [f"destination.{kind}: unknown property; allowed: type, configuration"]


@pytest.mark.parametrize("value", [5, None, True, [], "text", {}])
@pytest.mark.parametrize(
    "place",
    [
        ("name",), ("subscriptions",), ("subscriptions", 0), ("subscriptions", 0, "event_type"), ("destination",),
        ("destination", "type"), ("destination", "configuration"), PLACE["endpoint"], PLACE["authorization"],
        (*PLACE["authorization"], "method"), PLACE["token"], ("status",),
    ],
    ids=str,
)  # fmt: skip
def test_any_value_anywhere_is_judged_in_our_own_words(place: tuple[Any, ...], value: Any) -> None:
    """A wrong type is named at its place, and pydantic's wording never shows."""
    line = definition()
    target: Any = line
    for step in place[:-1]:
        target = target[step]
    target[place[-1]] = value
    found = read(line)
    if value == "text" and place in {("name",), PLACE["token"]}:
        assert isinstance(found, Record)
        return
    assert isinstance(found, Invalid)
    text = str(found)
    assert "Input should" not in text
    assert "is not allowed here" not in text
    assert text.startswith(str(place[0]))


def test_an_unknown_property_s_name_cannot_garble_a_terminal_or_fill_it() -> None:
    """Such a name is quoted, escaped and cut."""
    assert problems(definition(**{"a b\x1b[2J": 1}))[0].startswith('["a b\\u001b[2J"]: unknown property')
    assert len(problems(definition(**{"x" * 10_000: 1}))[0]) < 200


def test_a_long_value_is_shown_shortened() -> None:
    """An error stays a line that can be read."""
    (found,) = problems(definition(status="s" * 10_000))
    assert found.endswith('s…")')
    assert len(found) < 200


def test_a_line_full_of_problems_ends_its_list_somewhere() -> None:
    """A hundred problems are told, then that there are more; of every kind, and soon."""
    for line in (
        definition(**{f"unknown{i}": 1 for i in range(5000)}),
        definition(subscriptions=[{"event_type": f"no.such{i}"} for i in range(5000)]),
        definition(subscriptions=[{"event_type": "##X##", "a": i} for i in range(500)]),
        {"stream": definition(), **{f"unknown{i}": 1 for i in range(5000)}},
    ):
        found = problems(line)
        assert len(found) == 101
        assert found[-1] == "has more than 100 problems; these are the first"


def test_tenant_and_key_in_a_definition_are_pointed_to_the_envelope() -> None:
    """The commonest mistake gets its remedy."""
    assert problems(definition(tenant="acme")) == [
        'tenant: belongs beside a definition, not in it: {"stream": {…}, "tenant": "…"}'
    ]


# -- nothing raises, nothing leaks ------------------------------------------------------------------------------------


def no_secret(found: Record | Invalid) -> None:
    """Check that a planted secret is in nothing that was returned."""
    assert SECRET not in repr(found)
    assert SECRET not in str(found)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8) | st.just(SECRET),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=8,
)


@given(st.binary(max_size=200))
def test_no_bytes_make_it_raise(data: bytes) -> None:
    """Whatever a line holds, the answer is a value."""
    assert isinstance(read(data), Record | Invalid)


@settings(max_examples=300)
@given(st.data(), JSON, st.sampled_from([BASIC, BEARER, HEADER]))
def test_no_secret_gets_out(data: st.DataObject, value: Any, authorization: dict[str, str]) -> None:
    """Any one part of a definition replaced by anything: the secret in its field is in no message, note or repr."""
    line = definition(destination=webhook(authorization))
    places: list[tuple[Any, ...]] = [
        ("name",), ("status",), ("subscriptions",), ("extra",), ("destination", "type"), ("destination", "extra"),
        ("destination", "configuration", "extra"), (*PLACE["authorization"], "method"),
        (*PLACE["authorization"], "extra"),
    ]  # fmt: skip
    place = data.draw(st.sampled_from(places))
    target: Any = line
    for step in place[:-1]:
        target = target[step]
    harmless = json.loads(json.dumps(value).replace(SECRET, "x")) if place[-1] not in {"extra", "method"} else value
    target[place[-1]] = harmless
    no_secret(read(line))


@pytest.mark.parametrize(
    "destination",
    [
        webhook({**BEARER, "token": f"{SECRET}\n"}),
        webhook({**BEARER, "token": f"##{SECRET}##"}),
        webhook({**BEARER, "token": f"${{{SECRET}}}"}),
        webhook({**BEARER, "token": [SECRET]}),
        webhook({**BEARER, "password": SECRET}),
        webhook({"method": SECRET, "token": SECRET}),
        webhook({**BASIC, "username": f"auth0:{SECRET}"}),
        webhook({**HEADER, "header_key": f"X-Key: {SECRET}"}),
        webhook(f"Bearer {SECRET}"),
        webhook([SECRET]),
        webhook(endpoint=f"http://user:{SECRET}@hooks.example/?token={SECRET}"),
        webhook(endpoint=f"https://user:{SECRET}@/ ?token={SECRET}"),
        webhook(endpoint=f"{SECRET}://x"),
        webhook(endpoint=[f"https://user:{SECRET}@x"]),
        {**webhook(), "secret": SECRET},
        f"https://user:{SECRET}@hooks.example",
        [SECRET],
    ],
)
def test_a_misplaced_secret_does_not_get_out_either(destination: Any) -> None:
    """Where people put secrets by mistake, messages show no value."""
    found = read(definition(destination=destination))
    assert isinstance(found, Invalid)
    no_secret(found)


def test_a_reference_reaches_the_resolver_whole() -> None:
    """What is asked is the reference as it stands in the line."""
    asked: list[Reference] = []
    line = json.dumps(definition(destination=webhook({**BEARER, "token": "${file:a b}"}))).encode()
    assert isinstance(read_line(line, Rules(), asked.append), Record)
    assert asked == [Reference("file", "a b")]
