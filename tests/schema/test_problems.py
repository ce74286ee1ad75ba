"""What is wrong is said with its place, what was found, and what is allowed: in words that read well aloud."""

from __future__ import annotations

from typing import Any

import pytest

from bulkstreams.model import Invalid
from bulkstreams.schema import Rules, read_line
from bulkstreams.schema.definition import PROPERTIES, REGIONS
from bulkstreams.schema.problems import SHOWN, join, nearest, show
from tests.schema import SECRET, action, definition, dump, eventbridge, webhook

AUTHORIZATION = "destination.configuration.webhook_authorization"
ACCOUNT = "destination.configuration.aws_account_id"
METHOD = 'must be "basic", "bearer" or "custom_header"'
ENDPOINT = "destination.configuration.webhook_endpoint"
WHOLE_URL = "must be a whole URL: https:// and a host, with no space or control character"
NO_CONTROL = "must not contain control characters such as line breaks"


def said(**changes: Any) -> list[str]:
    """Return what is said of a definition with these changes."""
    found = read_line(dump(definition(**changes)), Rules(), lambda _: None)
    assert isinstance(found, Invalid), "the line was taken for valid"
    return [str(problem) for problem in found.problems]


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"name": ["x"]}, "name: must be a string (got an array)"),
        ({"naem": 1}, f'naem: unknown property (did you mean "name"?); allowed: {", ".join(PROPERTIES[()])}'),
        ({"subscriptions": {}}, "subscriptions: must be an array (got an object)"),
        ({"subscriptions": [{}, {"event_type": 5}][1:]}, "subscriptions[0].event_type: must be a string (got 5)"),
        (
            {"subscriptions": [{"event_type": "user.created", "event": "x"}]},
            'subscriptions[0].event: unknown property (did you mean "event_type"?); allowed: event_type',
        ),
        ({"status": None}, 'status: must be "enabled" or "disabled" (got null)'),
        ({"status": "Enabled"}, 'status: must be "enabled" or "disabled" (got "Enabled")'),
        ({"destination": None}, "destination: must be an object (got null)"),
        ({"destination": {**action(), "kind": 1}}, "destination.kind: unknown property; allowed: type, configuration"),
        ({"destination": {"type": "action"}}, "destination.configuration: is required and missing"),
        (
            {"destination": {"type": "action", "configuration": []}},
            "destination.configuration: must be an object (got an array)",
        ),
        ({"destination": action(None)}, "destination.configuration.action_id: must be a string (got null)"),
        ({"destination": eventbridge("123")}, f'{ACCOUNT}: must be 12 digits (got "123")'),
        ({"destination": eventbridge("١" * 12)}, f'{ACCOUNT}: must be 12 digits (got "{"١" * 12}")'),
        (
            {"destination": eventbridge(region="eu-west1")},
            'destination.configuration.aws_region: must be an AWS region (got "eu-west1"; did you mean "eu-west-1"?)',
        ),
        (
            {"destination": eventbridge(region=7)},
            "destination.configuration.aws_region: must be an AWS region (got 7)",
        ),
    ],
)  # fmt: skip
def test_a_problem_names_place_finding_and_remedy(changes: dict[str, Any], sentence: str) -> None:
    """Each rule of a definition has its own sentence."""
    assert said(**changes) == [sentence]


@pytest.mark.parametrize(
    ("destination", "sentence"),
    [
        (
            {"type": "webhok", "configuration": {}},
            'destination.type: must be "webhook", "eventbridge" or "action" (got "webhok"; did you mean "webhook"?)',
        ),
        ({"type": 1}, 'destination.type: must be "webhook", "eventbridge" or "action" (got 1)'),
        ({}, 'destination.type: is required and missing; it must be "webhook", "eventbridge" or "action"'),
        (
            webhook(method="custom-header"),
            f'{AUTHORIZATION}.method: {METHOD} (got a string; did you mean "custom_header"?)',
        ),
        (
            webhook(token=SECRET),
            f'{AUTHORIZATION}.method: is required and missing; it must be "basic", "bearer" or "custom_header"',
        ),
    ],
)
def test_a_wrong_kind_is_told_at_the_property_that_names_it(destination: dict[str, Any], sentence: str) -> None:
    """The place of a wrong type or method is that property, not the object around it."""
    assert said(destination=destination) == [sentence]


@pytest.mark.parametrize(
    ("authorization", "sentences"),
    [
        ({"method": "bearer"}, ["token: is required and missing"]),
        ({"method": "bearer", "token": ""}, ['token: must not be empty (got "")']),
        ({"method": "bearer", "token": 12345}, ["token: must be a string (got a number)"]),
        ({"method": "bearer", "token": f"{SECRET}\r\nX: 1"}, [f"token: {NO_CONTROL}"]),
        ({"method": "basic"}, ["username: is required and missing", "password: is required and missing"]),
        (
            {"method": "basic", "username": f"{SECRET}:", "password": f"\x7f{SECRET}"},
            ["username: must not contain a colon or a control character", f"password: {NO_CONTROL}"],
        ),
        (
            {"method": "basic", "username": SECRET * 8, "password": "p"},
            ["username: must be at most 128 characters long (got 136)"],
        ),
        (
            {"method": "custom_header", "header_key": f"{SECRET} x", "header_value": f"{SECRET}\n"},
            [
                "header_key: must be a header name: letters, digits and !#$%&'*+.^_`|~- (RFC 7230)",
                f"header_value: {NO_CONTROL}",
            ],
        ),
        (
            {"method": "bearer", "tokn": SECRET},
            [
                "token: is required and missing",
                'tokn: unknown property (did you mean "token"?); allowed: method, token',
            ],
        ),
    ],
)
def test_what_is_wrong_in_an_authorization_shows_none_of_it(
    authorization: dict[str, Any], sentences: list[str]
) -> None:
    """Every method needs its own secret; a value from in there is told by its type or length alone."""
    assert said(destination=webhook(**authorization)) == [f"{AUTHORIZATION}.{sentence}" for sentence in sentences]


@pytest.mark.parametrize(
    ("endpoint", "sentence"),
    [
        (f"http://u:{SECRET}@h/?k={SECRET}", 'must start with https:// (got "http://…")'),
        ("HTTPS://hooks.example", 'must start with https:// (got "HTTPS://…")'),
        (f"{SECRET}://hooks.example", "must start with https://"),
        (f"hooks.example/{SECRET}", "must start with https://"),
        ("", "must start with https://"),
        (" https://hooks.example", "must start with https://"),
        ("https://", WHOLE_URL),
        ("https:///path", WHOLE_URL),
        ("https://?q", WHOLE_URL),
        (f"https://u:{SECRET}@", WHOLE_URL),
        (f"https://hooks.example:port/{SECRET}", WHOLE_URL),
        (f"https://hooks.example/{SECRET} x", WHOLE_URL),
        (f"https://hooks.example/\r\n{SECRET}", WHOLE_URL),
        ("https://hooks.example/\n", WHOLE_URL),
        (f"https://u:##{SECRET.replace('-', '_')}##@h", "holds a placeholder that nobody replaced (##…##)"),
        (f"https://h/?k=${{{SECRET}}}", "holds a placeholder that nobody replaced (${…})"),
    ],
)  # fmt: skip
def test_of_an_endpoint_no_more_than_its_scheme_is_shown(endpoint: str, sentence: str) -> None:
    """An endpoint must be an https URL with a host; user, password, path and query stay unsaid."""
    assert said(destination=webhook(endpoint)) == [f"{ENDPOINT}: {sentence}"]


def test_a_secret_where_an_object_belongs_is_not_shown() -> None:
    """Who puts the URL or the token itself where an object should stand reads only that it is a string."""
    line = webhook()
    line["configuration"]["webhook_authorization"] = f"Bearer {SECRET}"
    assert said(destination=line) == [f"{AUTHORIZATION}: must be an object (got a string)"]
    assert said(destination=f"https://u:{SECRET}@h") == ["destination: must be an object (got a string)"]


def test_a_placeholder_in_a_destination_of_no_known_kind_is_not_shown() -> None:
    """Where nobody can say which property is a secret, all of them are taken for one."""
    line = {"type": "webhok", "configuration": {"token": f"##{SECRET.replace('-', '_')}##"}}
    assert "sEcReT" not in " ".join(said(destination=line))


@pytest.mark.parametrize(
    ("place", "path"),
    [
        ((), ""),
        (("name",), "name"),
        (("subscriptions", 1, "event_type"), "subscriptions[1].event_type"),
        (("a b", "c"), '["a b"].c'),
        (("a", 'q"'), 'a["q\\""]'),
        (("a", "x" * 70), f'a["{"x" * SHOWN}…"]'),
    ],
)
def test_a_place_is_written_as_people_write_it(place: tuple[str | int, ...], path: str) -> None:
    """Names are joined by dots, indexes and odd names stand in brackets."""
    assert join(place) == path


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("plain", '"plain"'),
        ('q"\\', '"q\\"\\\\"'),
        ("\x1b[31m", '"\\u001b[31m"'),
        ("\u202eabc", '"\\u202eabc"'),
        ("é", '"é"'),
        ("x" * 61, f'"{"x" * 60}…"'),
        (1.5, "1.5"),
        (None, "null"),
        (True, "true"),
        (int("9" * 70), f"{'9' * 60}…"),
    ],
)
def test_a_value_is_shown_as_json_and_garbles_no_terminal(value: object, text: str) -> None:
    """What is shown is short, and its control and direction characters are escaped."""
    assert show(value) == text


def test_the_nearest_word_is_named_only_where_one_is_near() -> None:
    """A guess that would be far off is not made."""
    assert nearest("eu-west1", REGIONS) == ' (did you mean "eu-west-1"?)'
    assert nearest("moon", REGIONS) == ""
    assert nearest("eu-west-1" * 10, REGIONS) == ""


def test_several_near_words_are_named_where_they_are_asked_for() -> None:
    """The nearest comes first, and each is made legible."""
    words = ('audit "log"', "audit log", "audit lag", "moon")
    assert nearest("audit log", words, 2) == ' (did you mean "audit log" or "audit \\"log\\""?)'
