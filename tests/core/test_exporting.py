"""What the API shows of a stream → the definition that makes another like it."""

from __future__ import annotations

from typing import Any

import pytest

from bulkstreams.core.exporting import DESTINATIONS, METHODS, STREAM, Keys, Wanted, export, is_action, line
from bulkstreams.core.matching import digest
from bulkstreams.core.naming import SecretNames
from bulkstreams.model import SECRET_FIELDS
from bulkstreams.schema.definition import PROPERTIES

AT = "2026-07-01T12:00:00.000Z"


def shown(destination: Any, **more: Any) -> dict[str, Any]:
    """Return a stream as the API shows it; keywords replace its parts."""
    return {
        "id": "est_1",
        "status": "enabled",
        "name": "audit",
        "subscriptions": [{"event_type": "user.created"}],
        "created_at": AT,
        "updated_at": AT,
        "destination": destination,
        **more,
    }


def webhook(**authorization: Any) -> dict[str, Any]:
    """Return a webhook destination as the API shows it."""
    return {
        "type": "webhook",
        "configuration": {"webhook_endpoint": "https://example.com", "webhook_authorization": authorization},
    }


def secret(field: str) -> str:
    """Name the variable of the one stream of these tests."""
    return SecretNames().name("audit", field)


BEARER = webhook(method="bearer")
BRIDGE = {
    "type": "eventbridge",
    "configuration": {
        "aws_account_id": "123456789012",
        "aws_region": "eu-west-1",
        "aws_partner_event_source": "aws.partner/auth0.com/acme/auth0.events",
    },
}
ACTION = {"type": "action", "configuration": {"action_id": "a1"}}


@pytest.mark.parametrize(
    ("authorization", "field"),
    [
        ({"method": "basic", "username": "ada"}, "password"),
        ({"method": "bearer"}, "token"),
        ({"method": "custom_header", "header_key": "X-Key"}, "header_value"),
    ],
)
def test_each_method_is_given_a_reference_of_its_own(authorization: dict[str, str], field: str) -> None:
    """Where the API shows no secret, the definition refers to a variable that is named after the stream."""
    exported = export(shown(webhook(**authorization)), secret)
    name = f"AUDIT_{field.upper()}"
    assert exported.secrets == (name,)
    found = exported.definition["destination"]["configuration"]["webhook_authorization"]
    assert found == {**authorization, field: f"${{env:{name}}}"}
    assert exported.left_out == ()


def test_what_only_the_api_sets_is_left_out_in_silence() -> None:
    """Neither id, times nor partner source stand in a definition; its status does, whatever is shown."""
    exported = export(shown(BRIDGE, status=None), secret)
    assert list(exported.definition) == ["name", "subscriptions", "destination", "status"]
    assert exported.definition["status"] == "enabled"
    assert list(exported.definition["destination"]["configuration"]) == ["aws_account_id", "aws_region"]
    assert (exported.secrets, exported.left_out, exported.action_id) == ((), (), None)


@pytest.mark.parametrize("destination", [BEARER, BRIDGE, ACTION, None, "?", webhook(method="hmac")])
def test_a_definition_means_the_same_as_what_is_shown(destination: Any) -> None:
    """A stream that is made from it is recognised as equal, and nothing that was shown is changed meanwhile."""
    before = shown(destination, status="disabled")
    copy = shown(destination, status="disabled")
    assert digest(export(before, secret).definition) == digest(before)
    assert before == copy


def test_no_subscriptions_and_no_name_are_no_properties() -> None:
    """The API shows none as an empty list, which a create may not have."""
    exported = export(shown(BEARER, subscriptions=[], name=None), secret)
    assert list(exported.definition) == ["destination", "status"]


def test_properties_that_nobody_knows_are_left_out_and_told() -> None:
    """What the API may add one day is named by its place, so that `run` need not refuse the line."""
    destination = webhook(method="bearer", algorithm="x")
    destination["configuration"]["retry"] = {}
    destination["hue"] = 1
    subscriptions = [{"event_type": "user.created", "filter": "x"}, "odd"]
    exported = export(shown(destination, subscriptions=subscriptions, colour="red", **{"a b": 1, "ü": 2}), secret)
    assert exported.left_out == (
        "colour",
        '["a b"]',
        '["\\u00fc"]',
        "subscriptions[0].filter",
        "destination.hue",
        "destination.configuration.retry",
        "destination.configuration.webhook_authorization.algorithm",
    )
    assert exported.definition["subscriptions"] == [{"event_type": "user.created"}, "odd"]
    assert len(export(shown(BEARER, **{"x" * 900: 1}), secret).left_out[0]) < 80


def test_a_value_in_the_place_of_a_secret_is_never_passed_on() -> None:
    """Should a server show what it must not, it ends here, also where the kind of destination is unknown."""
    planted = dict.fromkeys(SECRET_FIELDS, "planted")
    for destination in (
        webhook(method="bearer", **planted),
        webhook(method="hmac", **planted),
        {"type": "pigeon", "configuration": {"rings": [planted, 1]}},
        {"type": "webhook", "configuration": planted, **planted},
        {"type": "webhook", "configuration": [planted]},
        {"type": "action", "configuration": {"action_id": planted}},
        webhook(method="basic", username=planted),
    ):
        assert "planted" not in repr(export(shown(destination), secret))
    assert "planted" not in repr(export(shown(BEARER, status=planted, subscriptions=[{"event_type": planted}]), secret))


@pytest.mark.parametrize(
    "destination",
    [
        {"type": "pigeon", "configuration": {"loft": 3}},
        {"type": ["webhook"]},
        "odd",
        {"type": "webhook", "configuration": "odd"},
        webhook(method=3),
        {"type": "webhook", "configuration": {"webhook_authorization": ["odd"]}},
        {"type": "action", "configuration": {"action_id": 7}},
    ],
)
def test_a_destination_of_an_unknown_kind_is_passed_on(destination: Any) -> None:
    """A newer version may know it; whether `run` takes it is not decided here."""
    exported = export(shown(destination), secret, {"a1": "x"}.get)
    assert exported.definition["destination"] == destination
    assert (exported.secrets, exported.action_id) == ((), None)


def test_a_webhook_without_authorization_needs_no_secret() -> None:
    """What is not shown is not made up."""
    exported = export(shown({"type": "webhook", "configuration": {"webhook_endpoint": "https://a"}}), secret)
    assert exported.secrets == ()
    assert "destination" not in export({"id": "est_1"}, secret).definition


@pytest.mark.parametrize(("name", "kept"), [("Notify", None), (None, "a1"), ("", "a1"), ("{odd}", "a1")])
def test_an_action_is_referred_to_by_its_name(name: str | None, kept: str | None) -> None:
    """Where it has none that a reference can hold, its id stays, and is told."""
    exported = export(shown(ACTION), secret, lambda _: name)
    found = exported.definition["destination"]["configuration"]["action_id"]
    assert (found, exported.action_id) == ("a1" if kept else "${action:Notify}", kept)
    assert export(shown(ACTION), secret).action_id == "a1"
    assert is_action(shown(ACTION))
    assert not is_action(shown(BEARER))


def test_what_is_known_here_is_what_validation_knows() -> None:
    """A property that `run` comes to take must not be left out by an export."""
    found = {(): STREAM, ("subscriptions",): ("event_type",), ("destination",): ("type", "configuration")}
    found |= {("destination", kind): known for kind, known in DESTINATIONS.items()}
    found |= {("destination", "webhook", method): known for method, known in METHODS.items()}
    assert found == PROPERTIES
    assert all(known[-1] in SECRET_FIELDS for known in METHODS.values())


@pytest.mark.parametrize(
    ("wanted", "names"),
    [
        (Wanted(), {"audit", "Audit", None, "b*"}),
        (Wanted(names=("*",)), {"audit", "Audit", None, "b*"}),
        (Wanted(names=("a*",)), {"audit"}),
        (Wanted(names=("A*", "b[*]")), {"Audit", "b*"}),
        (Wanted(types=frozenset({"action"})), {"Audit"}),
        (Wanted(types=frozenset({"action", "webhook"})), {"audit", "Audit", "b*"}),
        (Wanted(statuses=frozenset({"disabled"})), {"b*"}),
        (Wanted(names=("?*",), statuses=frozenset({"enabled"})), {"audit", "Audit"}),
    ],
)
def test_filters_are_about_names_types_and_statuses(wanted: Wanted, names: set[str | None]) -> None:
    """A name matches as a file's would, case and all; every kind of filter that is given must match."""
    streams = [
        shown(BEARER),
        shown(ACTION, name="Audit", status=None),
        shown(BRIDGE, name=None),
        shown(BEARER, name="b*", status="disabled"),
    ]
    assert {one["name"] for one in streams if wanted.takes(one)} == names


def test_no_line_passes_for_the_repetition_of_another() -> None:
    """A second stream of a name is given a key; and so is one whose name is such a key."""
    keys = Keys()
    given = [keys.give(name) for name in ("a", "b", "a", "a", "a (2)", "a (4)", "a", "b")]
    assert given == [None, None, "a (2)", "a (3)", "a (2) (2)", None, "a (5)", "b (2)"]


def test_a_given_key_can_be_one() -> None:
    """It holds no control character, and is not too long for a key."""
    keys = Keys()
    name = "a\nb" + "x" * 600
    assert [keys.give(name), len(keys.give(name) or "")] == [None, 504]
    assert "\n" not in (keys.give("a\nb" + "x" * 600) or "\n")


def test_an_envelope_says_only_what_there_is_to_say() -> None:
    """A definition stands alone where neither a tenant nor a key is to be told."""
    assert line({"name": "a"}, None, None) == {"name": "a"}
    assert line({"name": "a"}, "acme", None) == {"stream": {"name": "a"}, "tenant": "acme"}
    assert line({"name": "a"}, None, "a (2)") == {"stream": {"name": "a"}, "key": "a (2)"}
    assert list(line({}, "acme", "k")) == ["stream", "tenant", "key"]
