"""References and placeholders in a line: which may stand where, and what is said of the others."""

from __future__ import annotations

import json
from typing import Any

import pytest

from bulkstreams.schema import action_in
from tests.schema import (
    ENDPOINT,
    TOKEN,
    action,
    definition,
    dump,
    not_set,
    record,
    said,
    webhook,
)


@pytest.mark.parametrize(
    "authorization",
    [
        {"method": "bearer", "token": "${env:A}"},
        {"method": "basic", "username": "u", "password": "${file:a/b c.txt}"},
        {"method": "custom_header", "header_key": "k", "header_value": "${env:A}"},
    ],
)
def test_a_secret_may_be_a_reference(authorization: dict[str, Any]) -> None:
    """A reference that resolves is as good as a value; one that does not says why, at its place."""
    line = definition(destination=webhook(**authorization))
    assert record(line)
    *_, (field, reference) = authorization.items()
    assert said(line, unresolvable=lambda found: f"nothing at {found}") == [
        f"destination.configuration.webhook_authorization.{field}: nothing at {reference}"
    ]


def test_an_escaped_reference_is_a_reference() -> None:
    """JSON may write `$` as an escape; it means the same."""
    line = dump(definition(destination=webhook(method="bearer", token="${env:A}"))).replace(b"$", b"\\u0024")
    assert said(line, unresolvable=not_set) == [f"{TOKEN}: the environment variable A is not set"]


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"name": "${env:NAME}"}, "name"),
        ({"destination": webhook("${env:URL}")}, ENDPOINT),
        ({"subscriptions": [{"event_type": "${env:EVENT}"}]}, "subscriptions[0].event_type"),
    ],
)
def test_only_a_secret_may_be_a_reference(changes: dict[str, Any], path: str) -> None:
    """Elsewhere a reference would change the identity, so it is refused, and told once."""
    assert said(definition(**changes), relaxed=True) == [
        f"{path}: must be written out: only password, token, header_value may be a reference"
    ]


# -- references to actions --------------------------------------------------------------------------------------------

ID = "destination.configuration.action_id"


@pytest.mark.parametrize("name", ["audit", "Audit log (v2): 5 $", "é", "x" * 255])
def test_an_action_may_be_named_in_place_of_its_id(name: str) -> None:
    """The record tells which action it refers to, however JSON writes it; and the name takes part in identity."""
    line = definition(destination=action(f"${{action:{name}}}"))
    assert record(line).action == name
    escaped = json.dumps(line).replace("$", "\\u0024").encode()
    assert record(escaped).action == record({"stream": line, "key": "k"}).action == name
    assert record(line).digest == record(escaped).digest != record(definition(destination=action())).digest
    assert action_in(dump(line)) == action_in(escaped) == action_in(dump({"stream": line})) == name


@pytest.mark.parametrize("line", [definition(), definition(destination=action()), definition(name="$5")])
def test_a_line_with_an_id_refers_to_no_action(line: dict[str, Any]) -> None:
    """Nor does one with another destination, or with a sign in its name that a reference begins with."""
    assert record(line).action is None
    assert action_in(dump(line)) is None


@pytest.mark.parametrize(
    "line", [b"", b"[]", b"\\", b'{"stream":"${action:a}"}', b'"${action:a}"', b'{"destination":{},"${action:":1}']
)
def test_what_is_no_line_refers_to_no_action(line: bytes) -> None:
    """A line that changed into anything at all can be asked, too."""
    assert action_in(line) is None


@pytest.mark.parametrize("reference", ["${env:ID}", "${file:id}"])
def test_what_may_stand_for_an_actions_id_is_told_where_a_secret_is_referred_to(reference: str) -> None:
    """An id is no secret: it is written out, or the action is named."""
    assert said(definition(destination=action(reference))) == [
        (
            f"{ID}: must be written out, as an id or as ${{action:NAME}}: "
            "only password, token, header_value may be a reference"
        )
    ]


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("x-${action:a}", "${…}"),
        ("${action:}", "${…}"),
        ("${action:a", "${…}"),
        ("${action:" + "x" * 256 + "}", "${…}"),
        ("${actions:a}", "${…}"),
        ("${action:##ENV##-audit}", "##…##"),
    ],
)
def test_half_a_reference_to_an_action_is_refused(text: str, kind: str) -> None:
    """It would be sent as an id that no action has."""
    assert said(definition(destination=action(text))) == [
        f"{ID}: holds a placeholder that nobody replaced ({kind}); allowed: an id, or ${{action:NAME}}"
    ]


@pytest.mark.parametrize(
    ("changes", "path", "remedy"),
    [
        ({"name": "${action:a}"}, "name", ""),
        ({"destination": webhook("https://x.test/${action:a}")}, ENDPOINT, ""),
        (
            {"destination": webhook(method="bearer", token="${action:a}")},
            TOKEN,
            "; allowed: a value, ${env:NAME} or ${file:PATH}",
        ),
    ],
)
def test_an_action_is_named_nowhere_else(changes: dict[str, Any], path: str, remedy: str) -> None:
    """Only the id of an action is looked up at the tenant."""
    assert said(definition(**changes)) == [f"{path}: must be written out: only {ID} may be ${{action:NAME}}{remedy}"]


def test_a_destination_that_is_no_action_has_no_id_of_one() -> None:
    """There, the property itself is what is wrong."""
    destination = webhook()
    destination["configuration"]["action_id"] = "${action:a}"
    (problem,) = said(definition(destination=destination))
    assert problem.startswith(f"{ID}: unknown property")


@pytest.mark.parametrize(
    ("token", "kind"),
    [
        ("##TOKEN##", "##…##"),
        ("@@TOKEN@@", "@@…@@"),
        ("a##TOKEN##b", "##…##"),
        ("Bearer ${env:TOKEN}", "${…}"),
        ("${vault:TOKEN}", "${…}"),
        ("${env:}", "${…}"),
        ("${TOKEN", "${…}"),
    ],
)
def test_a_placeholder_that_nobody_replaced_is_refused(token: str, kind: str) -> None:
    """Another tool's marker, or half a reference, would be sent as the secret itself; only its kind is told."""
    assert said(definition(destination=webhook(method="bearer", token=token))) == [
        f"{TOKEN}: holds a placeholder that nobody replaced ({kind}); allowed: a value, ${{env:NAME}} or ${{file:PATH}}"
    ]


def test_a_placeholder_outside_the_destination_is_shown() -> None:
    """A name holds no secret, so the placeholder in it is named."""
    assert said(definition(name="x-##ENV##")) == ['name: holds a placeholder that nobody replaced ("##ENV##")']


@pytest.mark.parametrize("token", ["$5{}", "# ## #", "a@@b", "##a b##", "{env:A}"])
def test_a_secret_that_only_looks_odd_is_taken(token: str) -> None:
    """Signs that are no marker are part of the secret."""
    assert record(definition(destination=webhook(method="bearer", token=token)))
