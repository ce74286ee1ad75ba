"""Differences, field by field: nothing where the digests agree, something where they do not, and never a secret."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bulkstreams.core.difference import SHOWN, Difference, by_id, by_name, differences, kept
from bulkstreams.core.matching import digest
from tests.core.test_matching import CALM, DEFINITIONS, TEXT, Definition, webhook, with_secret

ODD = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXT | st.sampled_from(["", "https://a:b@c.test", "webhook", "action"]),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(
            st.sampled_from(["type", "configuration", "webhook_authorization", "method", "username", "token", "x"]),
            inner,
            max_size=3,
        )
    ),
    max_leaves=6,
)
"""Destinations that only a server nobody foresaw would show."""


def told(wanted: Definition, found: Definition) -> list[str]:
    """Return the differences as people read them."""
    return [str(one) for one in differences(wanted, found)]


def changed(definition: Definition, **configuration: Any) -> Definition:
    """Return a copy with other values in its destination's configuration."""
    one = copy.deepcopy(definition)
    one["destination"]["configuration"] |= configuration
    return one


@CALM
@given(DEFINITIONS, DEFINITIONS)
def test_there_is_a_difference_exactly_where_the_digests_differ(one: Definition, other: Definition) -> None:
    """What a run takes for equal shows no difference, and what it calls a conflict shows at least one."""
    assert bool(differences(one, other)) == (digest(one) != digest(other))
    assert differences(one, one) == ()


@CALM
@given(ODD, ODD)
def test_that_holds_for_destinations_that_nobody_foresaw(one: Any, other: Any) -> None:
    """Whatever stands where a destination belongs: a conflict is never without a difference."""
    wanted, found = {"name": "a", "destination": one}, {"name": "a", "destination": other}
    assert bool(differences(wanted, found)) == (digest(wanted) != digest(found))


@CALM
@given(DEFINITIONS, DEFINITIONS)
def test_each_difference_is_one(one: Definition, other: Definition) -> None:
    """No property is named that is the same on both sides, and none is named twice."""
    found = differences(one, other)
    assert all(difference.wanted != difference.found for difference in found)
    assert len({difference.path for difference in found}) == len(found)


@CALM
@given(DEFINITIONS, DEFINITIONS)
def test_no_secret_shows(one: Definition, other: Definition) -> None:
    """Neither side's secrets stand in what is told, nor in the values that a machine is given."""
    secret = "Planted-1f09"
    wanted, found = (with_secret(side, secret) for side in (one, other))
    assert secret not in repr(differences(wanted, found))
    assert secret not in "".join(told(wanted, found))


@CALM
@given(ODD, ODD)
def test_no_secret_shows_of_what_nobody_foresaw(one: Any, other: Any) -> None:
    """A secret or an endpoint's password in a place that is new shows neither."""
    secret = "Planted-1f09"
    inside = {"token": secret, "list": [{"password": secret}], "url": f"https://u:{secret}@a.test/"}
    wanted, found = ({"destination": {"type": "new", "more": side, "in": inside}} for side in (one, other))
    assert secret not in repr(differences(wanted, found))
    assert secret not in repr(differences(wanted, {}))


@CALM
@given(DEFINITIONS)
def test_what_is_kept_of_a_stream_is_enough_to_compare(definition: Definition) -> None:
    """What goes into a file has the digest of the whole, and no secret, no password of an endpoint, no instant."""
    secret = "Planted-1f09"
    shown = {**with_secret(definition, secret), "id": "est_1", "updated_at": "2026-01-01", "url": secret}
    if shown["destination"]["type"] == "webhook":
        shown = changed(shown, webhook_endpoint=f"https://u:{secret}@a.test")
    assert digest(kept(shown)) == digest(shown)
    assert secret not in repr(kept(shown))
    assert "est_1" not in repr(kept(shown))


def test_a_change_is_told_by_its_path_and_both_values() -> None:
    """Each property has a line of its own: where it stands, what the line says, what the tenant shows."""
    here = {**webhook(method="basic", username="u", password="p"), "status": "enabled"}
    there = {
        **webhook(method="custom_header", header_key="X-Key"),
        "name": "other",
        "status": "disabled",
        "id": "est_1",
    }
    there["destination"]["configuration"]["webhook_endpoint"] = "https://b.test"
    assert told(here, there) == [
        'name: "audit" here, "other" at the tenant',
        'destination.configuration.webhook_endpoint: "https://a.test" here, "https://b.test" at the tenant',
        'destination.configuration.webhook_authorization.method: "basic" here, "custom_header" at the tenant',
        'destination.configuration.webhook_authorization.username: "u" here, nothing at the tenant',
        'destination.configuration.webhook_authorization.header_key: nothing here, "X-Key" at the tenant',
        'status: "enabled" here, "disabled" at the tenant',
    ]


def test_subscriptions_are_told_by_what_stands_on_one_side_alone() -> None:
    """Of twenty event types, the two that differ are the news; what both have is not repeated."""
    here, there = ({"subscriptions": [{"event_type": f"user.{t}"} for t in types]} for types in ("abc", "cbd"))
    assert told(here, there) == ['subscriptions: "user.a" only here; "user.d" only at the tenant']
    assert told(here, {}) == ['subscriptions: "user.a", "user.b", "user.c" only here']
    twice = {"subscriptions": [*there["subscriptions"], {"event_type": "user.b"}]}
    assert told(there, twice) == ['subscriptions: "user.b" only at the tenant']
    assert differences(here, there)[0].wanted == ["user.a", "user.b", "user.c"]


def test_destinations_of_different_types_differ_in_that_alone() -> None:
    """An action has no endpoint to compare: its type says all there is to say."""
    action = {**webhook(), "destination": {"type": "action", "configuration": {"action_id": "a"}}}
    assert told(webhook(method="bearer"), action) == ['destination.type: "webhook" here, "action" at the tenant']
    other = changed(action, action_id="b")
    assert told(action, other) == ['destination.configuration.action_id: "a" here, "b" at the tenant']


def test_the_password_of_an_endpoint_is_masked_and_not_compared() -> None:
    """Two endpoints that differ in user and password alone are the same; where more differs, neither shows."""
    one = changed(webhook(method="bearer"), webhook_endpoint="https://me:pass@a.test/x")
    same = changed(one, webhook_endpoint="https://you:word@a.test/x")
    other = changed(one, webhook_endpoint="https://you:word@b.test/x")
    assert differences(one, same) == ()
    (difference,) = differences(one, other)
    assert (difference.wanted, difference.found) == ("https://***@a.test/x", "https://***@b.test/x")


@pytest.mark.parametrize(
    ("one", "other", "path"),
    [
        ({"type": "queue", "configuration": {"a": {"b": 1}}}, {"type": "queue"}, "destination.configuration"),
        (
            {"type": "queue", "configuration": {"a": {"b": 1}}},
            {"type": "queue", "configuration": {"a": {"b": 2}}},
            "destination.configuration.a.b",
        ),
        ({"type": "queue", "a": None}, {"type": "queue"}, "destination"),
        ("queue", None, "destination"),
    ],
)
def test_a_destination_of_a_new_type_is_compared_property_by_property(one: Any, other: Any, path: str) -> None:
    """What a later API shows is told by its innermost path; what cannot be pinned down, as a whole."""
    assert [difference.path for difference in differences({"destination": one}, {"destination": other})] == [path]


def test_a_value_is_shown_short_and_harmless() -> None:
    """Neither a long name nor one with a terminal's control sequences spoils the line."""
    text = str(Difference("name", "x" * 2 * SHOWN, "a\x1b[2J\u202eb"))
    assert f'name: "{"x" * (SHOWN - 1)}… here, "a\\u001b[2J\\u202eb" at the tenant' == text


def action(id_: str) -> Definition:
    """Return a definition that delivers to an action."""
    return {"name": "a", "destination": {"type": "action", "configuration": {"action_id": id_}}}


def test_an_action_is_compared_by_name_where_the_line_names_it() -> None:
    """The id that the tenant shows is told as the name that it has there, and only to a line that goes by names."""
    names = {"act_1": "Audit", "act_2": "Other"}
    assert differences(action("${action:Audit}"), by_name(action("${action:Audit}"), action("act_1"), names)) == ()
    found = by_name(action("${action:Audit}"), action("act_2"), names)
    (difference,) = differences(action("${action:Audit}"), found)
    assert (difference.wanted, difference.found) == ("${action:Audit}", "${action:Other}")
    for wanted, shown in (
        (action("act_1"), action("act_1")),
        (action("${action:Audit}"), action("act_3")),
        (action("${action:Audit}"), webhook(method="bearer")),
        (action("${action:Audit}"), {"name": "a"}),
        (webhook(method="bearer"), action("act_1")),
    ):
        assert by_name(wanted, shown, names) == shown


def test_a_line_that_names_its_action_is_put_as_its_stream_will_be_shown() -> None:
    """The name gives way to the tenant's id for it; where there is none, or the line names none, it is as it was."""
    names = {"act_1": "Audit"}
    assert by_id(action("${action:Audit}"), names) == action("act_1")
    for line in (action("${action:Other}"), action("act_1"), webhook(method="bearer"), {"name": "a"}):
        assert by_id(line, names) == line
