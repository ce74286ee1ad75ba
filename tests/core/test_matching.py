"""Digests of definitions, what they ignore and what they notice, and the judgement of a look-up."""

from __future__ import annotations

import copy
import string
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from bulkstreams.core.matching import (
    CLOCK_MARGIN_S,
    PARTS,
    Judgement,
    Stream,
    differing,
    digest,
    in_turn,
    judge,
    mark,
    part_of,
    with_action,
    with_any_status,
)
from bulkstreams.model import RESPONSE_ONLY, SECRET_FIELDS, Doubt, Event, Status

# How long a machine takes to draw or to run an example is no matter of these properties.
CALM = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

Definition = dict[str, Any]
TEXT = st.text(string.ascii_lowercase + string.digits, min_size=1, max_size=12)
EVENTS = st.lists(TEXT.map(lambda t: {"event_type": f"user.{t}"}), min_size=1, max_size=5, unique_by=str)
AUTHORIZATION = st.one_of(
    st.fixed_dictionaries({"method": st.just("basic"), "username": TEXT, "password": TEXT}),
    st.fixed_dictionaries({"method": st.just("bearer"), "token": TEXT}),
    st.fixed_dictionaries({"method": st.just("custom_header"), "header_key": TEXT, "header_value": TEXT}),
)
DESTINATIONS = st.one_of(
    st.builds(
        lambda t, a: {
            "type": "webhook",
            "configuration": {"webhook_endpoint": f"https://{t}.test", "webhook_authorization": a},
        },
        TEXT,
        AUTHORIZATION,
    ),
    st.builds(
        lambda a, r: {"type": "eventbridge", "configuration": {"aws_account_id": a, "aws_region": r}}, TEXT, TEXT
    ),
    st.builds(lambda a: {"type": "action", "configuration": {"action_id": a}}, TEXT),
    st.builds(lambda t, v: {"type": "queue", "configuration": {t: v, "token": v}}, TEXT, TEXT),
)
DEFINITIONS = st.fixed_dictionaries(
    {"name": TEXT, "subscriptions": EVENTS, "destination": DESTINATIONS},
    optional={"status": st.sampled_from(["enabled", "disabled"])},
)


def webhook(**authorization: str) -> Definition:
    """Return a definition with a webhook and the given way to authorize."""
    return {
        "name": "audit",
        "subscriptions": [{"event_type": "user.created"}, {"event_type": "user.deleted"}],
        "destination": {
            "type": "webhook",
            "configuration": {"webhook_endpoint": "https://a.test", "webhook_authorization": authorization},
        },
    }


def with_secret(value: Any, secret: str) -> Any:
    """Return a copy in which every secret has another value."""
    if isinstance(value, dict):
        return {k: secret if k in SECRET_FIELDS else with_secret(v, secret) for k, v in value.items()}
    return value


def without_secrets(value: Any) -> Any:
    """Return a copy as the API shows it: no secret in it."""
    if isinstance(value, dict):
        return {k: without_secrets(v) for k, v in value.items() if k not in SECRET_FIELDS}
    return value


@CALM
@given(DEFINITIONS, TEXT)
def test_secrets_take_no_part(definition: Definition, secret: str) -> None:
    """Another secret, or none, makes no other digest: what the API shows matches what was sent."""
    changed = copy.deepcopy(definition)
    changed["destination"] = with_secret(changed["destination"], secret)
    shown = {**definition, "destination": without_secrets(definition["destination"])}
    assert digest(definition) == digest(changed) == digest(shown)


@CALM
@given(DEFINITIONS, st.randoms(use_true_random=False))
def test_the_order_of_subscriptions_and_of_keys_does_not_count(definition: Definition, random: Any) -> None:
    """A set of events is a set, and an object's keys have no order."""
    events = list(definition["subscriptions"])
    random.shuffle(events)
    shuffled = {**definition, "subscriptions": events}
    assert digest(dict(reversed(shuffled.items()))) == digest(definition)


@CALM
@given(DEFINITIONS)
def test_an_absent_status_is_enabled(definition: Definition) -> None:
    """What the API gives a stream without a status is what such a line means."""
    bare = {k: v for k, v in definition.items() if k != "status"}
    assert digest(bare) == digest({**bare, "status": "enabled"}) == digest({**bare, "status": None})
    assert differing(digest(bare), digest({**bare, "status": "disabled"})) == ("status",)


@CALM
@given(DEFINITIONS, TEXT)
def test_response_only_properties_are_passed_over(definition: Definition, text: str) -> None:
    """An export is the same definition as what it was made from."""
    shown = copy.deepcopy({**definition, **dict.fromkeys(RESPONSE_ONLY, text)})
    shown["destination"]["configuration"]["aws_partner_event_source"] = text
    assert digest(shown) == digest(definition)


@CALM
@given(DEFINITIONS, DEFINITIONS)
def test_differing_names_the_parts(one: Definition, other: Definition) -> None:
    """Two digests tell exactly the parts in which what the API shows of two definitions differs."""

    def shown(definition: Definition) -> dict[str, Any]:
        return {
            "name": definition["name"],
            "subscriptions": sorted(e["event_type"] for e in definition["subscriptions"]),
            "destination": without_secrets(definition["destination"]),
            "status": definition.get("status", "enabled"),
        }

    expected = tuple(part for part in PARTS if shown(one)[part] != shown(other)[part])
    assert differing(digest(one), digest(other)) == expected


@CALM
@given(DEFINITIONS)
def test_a_digest_has_a_fixed_width(definition: Definition) -> None:
    """Every digest is 32 bytes and differs from itself in nothing."""
    assert len(digest(definition)) == 32
    assert differing(digest(definition), digest(definition)) == ()


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"method": "basic", "username": "a"}, {"method": "basic", "username": "b"}),
        ({"method": "custom_header", "header_key": "x-a"}, {"method": "custom_header", "header_key": "x-b"}),
        ({"method": "bearer"}, {"method": "basic"}),
    ],
)
def test_what_shows_of_an_authorization_counts(before: dict[str, str], after: dict[str, str]) -> None:
    """A method, a user name or a header's name is no secret, and changing it is a change."""
    assert differing(digest(webhook(**before)), digest(webhook(**after))) == ("destination",)


def test_a_webhook_without_authorization_has_a_digest() -> None:
    """A configuration that lacks its authorization, or has a wrong kind of it, is digested by its endpoint."""
    bare = webhook(method="bearer")
    del bare["destination"]["configuration"]["webhook_authorization"]
    wrong = copy.deepcopy(bare)
    wrong["destination"]["configuration"]["webhook_authorization"] = "text"
    elsewhere = copy.deepcopy(bare)
    elsewhere["destination"]["configuration"]["webhook_endpoint"] = "https://b.test"
    assert digest(bare) == digest(wrong) != digest(webhook(method="bearer"))
    assert differing(digest(bare), digest(elsewhere)) == ("destination",)


def test_a_user_and_a_password_in_an_endpoint_take_no_part() -> None:
    """What stands before an endpoint's host is a secret too; the host and an `@` in the path are not."""

    def at(endpoint: str) -> bytes:
        definition = webhook(method="bearer")
        definition["destination"]["configuration"]["webhook_endpoint"] = endpoint
        return digest(definition)

    assert at("https://user:secret@a.test/x") == at("https://other@a.test/x") == at("https://a.test/x")
    assert at("https://user:secret@b.test/x") != at("https://a.test/x")
    assert at("https://a.test/@one") != at("https://a.test/@two")


@pytest.mark.parametrize("odd", [None, "text", 7, [], {}, {"type": "webhook"}, {"type": "webhook", "configuration": 1}])
def test_odd_destinations_are_told_apart(odd: object) -> None:
    """A destination of an unexpected shape has a digest too, other than that of a whole one."""
    whole = webhook(method="bearer")
    assert differing(digest(whole), digest({**whole, "destination": odd})) == ("destination",)


def test_an_absent_name_is_not_an_empty_one() -> None:
    """A nameless definition is other than one whose name is the empty text."""
    assert differing(digest({}), digest({"name": ""})) == ("name",)
    assert digest({"name": None}) == digest({})


def test_one_subscription_more_is_a_difference_of_subscriptions() -> None:
    """A line with an added event is told apart from what was sent, and only there."""
    more = webhook()
    more["subscriptions"].append({"event_type": "user.updated"})
    assert differing(digest(webhook()), digest(more)) == ("subscriptions",)


# -- judging a look-up ------------------------------------------------------------------------------------------------

SENT = digest(webhook())
OTHER = digest({**webhook(), "status": "disabled"})


def doubt(**changes: Any) -> Doubt:
    """Return the doubt about a record that was sent once, at the server's instant 1000."""
    return Doubt(1, "audit", SENT, SENT, attempts=1, ours_since=1000.0)._replace(**changes)


def stream(id_: str = "est_1", mark: bytes = SENT, created_at: float | None = 1000.5) -> Stream:
    """Return a stream as a look-up shows it."""
    return Stream(id_, "audit", mark, created_at)


def verdict(about: Doubt, *found: Stream, mature: bool = True) -> Judgement | None:
    """Judge what a look-up found."""
    return judge(about, found, mature=mature)


def test_an_equal_stream_made_after_our_intent_is_ours() -> None:
    """A lost attempt whose stream is there was recovered."""
    assert verdict(doubt(), stream()) == Judgement(Event.FOUND_OURS, stream())


def test_an_equal_stream_from_before_our_intent_was_there_before() -> None:
    """A stream that is older than the first attempt, by more than the margin, is not ours."""
    old = stream(created_at=1000.0 - CLOCK_MARGIN_S - 0.1)
    assert verdict(doubt(), old) == Judgement(Event.FOUND_EQUAL, old)
    edge = stream(created_at=1000.0 - CLOCK_MARGIN_S)
    assert verdict(doubt(), edge) == Judgement(Event.FOUND_OURS, edge)


def test_an_equal_stream_of_unknown_age_is_taken_for_ours() -> None:
    """Where the API shows no creation time, the attempt that was made is the better explanation."""
    unknown = stream(created_at=None)
    assert verdict(doubt(), unknown) == Judgement(Event.FOUND_OURS, unknown)


@pytest.mark.parametrize("attempts", [1, 2, 6])
@pytest.mark.parametrize("created_at", [0.0, 1000.5, None])
def test_without_a_lost_attempt_no_stream_is_ours(attempts: int, created_at: float | None) -> None:
    """Every attempt was answered with a no, or never sent: the equal stream is another's, however young it is."""
    there = stream(created_at=created_at)
    for taken in (True, False):
        about = doubt(name_taken=taken, attempts=attempts, ours_since=None)
        assert verdict(about, there) == Judgement(Event.FOUND_EQUAL, there)


def test_a_name_that_was_taken_at_a_retry_may_be_ours() -> None:
    """An earlier lost attempt may have created what a later one ran into."""
    assert verdict(doubt(name_taken=True, attempts=2), stream()) == Judgement(Event.FOUND_OURS, stream())


def test_a_stream_and_its_record_have_the_same_mark() -> None:
    """A listing is searched by name, and without one by what shows, whatever the status is."""
    assert (mark(doubt()),) == stream().marks == ("audit",)
    its = mark(doubt(name=None))
    assert (its,) == Stream("est_1", None, SENT, None).marks == Stream("est_1", None, OTHER, None).marks
    assert (its,) != Stream("est_1", None, digest({**webhook(), "name": "b"}), None).marks


@CALM
@given(DEFINITIONS)
def test_a_nameless_mark_leads_to_every_digest_that_its_line_may_have(definition: Definition) -> None:
    """From what shows of a stream, records are found in whichever status their lines ask for."""
    nameless = {k: v for k, v in definition.items() if k != "name"}
    digests = [digest({**nameless, "status": status}) for status in ("enabled", "disabled")]
    (its,) = Stream("est_1", None, digest(nameless), None).marks
    assert isinstance(its, bytes)
    assert with_any_status(its) == digests


def handled(by: str, **changes: Any) -> Definition:
    """Return a definition whose events go to an action."""
    return {**webhook(), "destination": {"type": "action", "configuration": {"action_id": by}}, **changes}


@CALM
@given(DEFINITIONS, TEXT)
def test_a_digest_with_another_action_is_that_of_the_definition_so_changed(definition: Definition, by: str) -> None:
    """Only the destination's part is another; the rest is what it was."""
    changed = {**definition, "destination": {"type": "action", "configuration": {"action_id": by}}}
    assert with_action(digest(definition), by) == digest(changed)


def test_a_stream_is_equal_by_the_id_of_its_action_or_by_its_name() -> None:
    """One record names the action, another has its id: the stream may have been made from either."""
    by_id, by_name, other = (digest(handled(by)) for by in ("act_1", "${action:a}", "${action:b}"))
    found = Stream("est_1", "audit", by_id, 1000.5, by_name=by_name)
    for mark_ in (by_id, by_name):
        assert verdict(doubt(digest=mark_, current=mark_), found) == Judgement(Event.FOUND_OURS, found)
    judgement = verdict(doubt(digest=other), found)
    assert judgement == Judgement(Event.FOUND_DIFFERENT, found, ("destination",))


def test_of_a_stream_whose_action_is_named_only_what_differs_is_told() -> None:
    """Where the name of the action is right, its id is no difference."""
    by_id, by_name = digest(handled("act_1")), digest(handled("${action:a}"))
    found = Stream("est_1", "audit", by_id, 1000.5, by_name=by_name)
    wanted = digest(handled("${action:a}", status="disabled"))
    assert verdict(doubt(digest=wanted), found) == Judgement(Event.FOUND_DIFFERENT, found, ("status",))


def test_a_nameless_stream_is_known_by_both_of_its_digests() -> None:
    """A record without a name finds its stream whether it names the action or not."""
    by_id, by_name = digest(handled("act_1")), digest(handled("${action:a}"))
    found = Stream("est_1", None, by_id, 1000.5, by_name=by_name)
    for its in (by_id, by_name):
        about = doubt(name=None, digest=its)
        assert mark(about) in found.marks
        assert verdict(about, found) == Judgement(Event.FOUND_OURS, found)
    assert len(found.marks) == 2
    assert Stream("est_1", "audit", by_id, None, by_name=by_name).marks == ("audit",)


def test_where_a_status_was_given_and_the_action_is_named_neither_is_a_difference() -> None:
    """A stream that was made with both put in place, and switched since, is the record's."""
    by_id, by_name = (digest(handled(by, status="disabled")) for by in ("act_1", "${action:a}"))
    about = doubt(digest=digest(handled("${action:a}")), status="disabled")
    for name in ("audit", None):
        found = Stream("est_1", name, by_id, 1000.5, by_name=by_name)
        assert verdict(about._replace(name=name), found) == Judgement(Event.FOUND_OURS, found)


def test_of_several_equal_streams_the_newest_is_judged() -> None:
    """Only one made after our intent can be ours, wherever it stands in the listing."""
    old, new, unknown = stream("est_1", created_at=10.0), stream("est_2"), stream("est_3", created_at=None)
    assert verdict(doubt(), old, new, unknown) == Judgement(Event.FOUND_OURS, new)
    assert verdict(doubt(), unknown, new, old) == Judgement(Event.FOUND_OURS, new)


def test_an_equal_stream_counts_before_a_different_one() -> None:
    """A different stream in the same finding does not hide the equal one."""
    assert verdict(doubt(), stream("est_9", OTHER), stream()) == Judgement(Event.FOUND_OURS, stream())


def test_a_different_stream_is_a_conflict_and_names_its_parts() -> None:
    """The difference is known by part, for the message."""
    other = stream(mark=OTHER)
    assert verdict(doubt(), other) == Judgement(Event.FOUND_DIFFERENT, other, ("status",))


def test_absence_counts_only_from_a_mature_look_up() -> None:
    """A look-up that began too early proves nothing: look again."""
    assert verdict(doubt()) == Judgement(Event.ABSENT)
    assert verdict(doubt(), mature=False) is None


def test_a_finding_needs_no_maturity() -> None:
    """What is there is there, however early one looked."""
    assert verdict(doubt(), stream(), mature=False) == Judgement(Event.FOUND_OURS, stream())


def test_an_answered_attempt_needs_no_settle_time() -> None:
    """After a 409 nothing of that attempt is still at work, so its absence is known at once."""
    assert verdict(doubt(name_taken=True), mature=False) == Judgement(Event.ABSENT)


@CALM
@given(
    st.lists(st.tuples(st.sampled_from([SENT, OTHER]), st.none() | st.floats(0, 1e10)), max_size=4),
    st.booleans(), st.booleans(), st.integers(1, 5), st.none() | st.floats(0, 1e10),
)  # fmt: skip
def test_absent_is_said_only_of_an_empty_finding(
    found: list[tuple[bytes, float | None]], mature: bool, taken: bool, attempts: int, since: float | None
) -> None:
    """No look-up that found a stream under the name ever ends in absence, and so in sending again."""
    streams = [stream(f"est_{i}", mark, at) for i, (mark, at) in enumerate(found)]
    about = doubt(name_taken=taken, attempts=attempts, ours_since=since)
    judgement = verdict(about, *streams, mature=mature)
    assert (judgement is None or judgement.event is Event.ABSENT) == (not streams)


def test_a_password_in_an_endpoint_never_counts() -> None:
    """Who the endpoint is called as may be a secret: it is no part of the digest, not even hashed."""
    one = {"destination": {"type": "webhook", "configuration": {"webhook_endpoint": "https://me:secret@e.com/x@y"}}}
    other = {"destination": {"type": "webhook", "configuration": {"webhook_endpoint": "https://e.com/x@y"}}}
    assert digest(one) == digest(other)


def test_a_nameless_doubt_takes_no_stream_that_another_record_stands_for() -> None:
    """A stream proves one record at most; and a 409 to a nameless create can only be about the quota."""
    definition = {"destination": {"type": "action", "configuration": {"action_id": "a"}}}
    shown = digest(definition)
    lost = Doubt(1, None, shown, shown, 1, ours_since=100.0)
    found = [Stream("est_1", None, shown, 101.0)]
    assert judge(lost, found, mature=True) == Judgement(Event.FOUND_OURS, found[0])
    assert judge(lost, found, {"est_1"}, mature=True) == Judgement(Event.ABSENT)
    refused = lost._replace(name_taken=True, ours_since=None)
    assert judge(refused, found, mature=False) == Judgement(Event.ABSENT)


def test_a_nameless_record_takes_the_oldest_stream_that_may_be_its_own() -> None:
    """What is older than its intent is a twin's; and one that was never sent takes any that nobody stands for."""
    shown = digest({"destination": {"type": "action", "configuration": {"action_id": "a"}}})
    lost = Doubt(1, None, shown, shown, 1, ours_since=100.0)
    old, first, second = (Stream(f"est_{at}", None, shown, at) for at in (50.0, 101.0, 102.0))
    assert judge(lost, [second, first, old], mature=True) == Judgement(Event.FOUND_OURS, first)
    assert judge(lost, [second, first, old], {first.id}, mature=True) == Judgement(Event.FOUND_OURS, second)
    assert judge(lost, [old], mature=True) == Judgement(Event.ABSENT)
    assert judge(lost._replace(ours_since=None), [first, old], mature=True) == Judgement(Event.FOUND_EQUAL, old)


# -- where a status was given in place of the line's -------------------------------------------------------------------


@pytest.mark.parametrize("shown", [SENT, OTHER])
@pytest.mark.parametrize("status", ["enabled", "disabled"])
def test_where_a_status_was_given_no_status_is_a_difference(shown: bytes, status: str) -> None:
    """A stream that was made with it, or that was switched since, is the record's as much as one with the line's."""
    there = stream(mark=shown)
    assert verdict(doubt(status=status), there) == Judgement(Event.FOUND_OURS, there)
    assert verdict(doubt(status=status, ours_since=None), there) == Judgement(Event.FOUND_EQUAL, there)


def test_where_a_status_was_given_other_parts_still_differ_and_are_named_alone() -> None:
    """The message of such a conflict says nothing of a status that nobody asked for."""
    other = stream(mark=digest({**webhook(method="basic"), "status": "disabled"}))
    assert verdict(doubt(status="disabled"), other) == Judgement(Event.FOUND_DIFFERENT, other, ("destination",))
    assert verdict(doubt(), other) == Judgement(Event.FOUND_DIFFERENT, other, ("destination", "status"))


SHOWN = digest({"destination": {"type": "action", "configuration": {"action_id": "a"}}})
SHOWN_OFF = digest({"destination": {"type": "action", "configuration": {"action_id": "a"}}, "status": "disabled"})


def nameless(id_: str, at: float, status: str = "enabled") -> Stream:
    """Return a nameless stream as a look-up shows it."""
    return Stream(id_, None, SHOWN if status == "enabled" else SHOWN_OFF, at, status=status)


def test_a_nameless_record_without_a_given_status_takes_only_its_own() -> None:
    """Its mark leads to streams of both statuses; one of the other is not its own."""
    lost = Doubt(1, None, SHOWN, SHOWN, 1, ours_since=100.0)
    off, on = nameless("est_1", 101.0, "disabled"), nameless("est_2", 102.0)
    assert judge(lost, [off, on], mature=True) == Judgement(Event.FOUND_OURS, on)
    assert judge(lost, [off], mature=True) == Judgement(Event.ABSENT)
    assert judge(lost, [off], mature=False) is None


def test_a_nameless_record_with_a_given_status_takes_one_that_has_it_before_one_that_was_switched() -> None:
    """The older one is another's more likely; but where there is no other, it was switched since."""
    lost = Doubt(1, None, SHOWN, SHOWN, 1, ours_since=100.0, status="disabled")
    on, off = nameless("est_1", 101.0), nameless("est_2", 102.0, "disabled")
    assert judge(lost, [on, off], mature=True) == Judgement(Event.FOUND_OURS, off)
    assert judge(lost, [on, off], {"est_2"}, mature=True) == Judgement(Event.FOUND_OURS, on)
    assert judge(lost, [on, off], {"est_1", "est_2"}, mature=True) == Judgement(Event.ABSENT)
    assert judge(lost, [nameless("est_3", 50.0, "disabled")], mature=True) == Judgement(Event.ABSENT)


TWINS = st.lists(
    st.tuples(
        st.sampled_from(["enabled", "disabled"]),  # what the line asks for
        st.sampled_from([None, "enabled", "disabled"]),  # what its stream was given in place of that
        st.booleans(),  # whether it was switched since, where it may have been
        st.booleans(),  # whether the attempt was applied
    ),
    max_size=6,
)


@CALM
@given(TWINS)
@example([("enabled", "enabled", True, True), ("enabled", None, False, True)])
def test_in_turn_nameless_records_leave_no_stream_to_be_made_twice(twins: list[tuple[str, Any, bool, bool]]) -> None:
    """However runs with and without a given status are mixed, and whatever was switched since, each stream is taken."""
    digests = {"enabled": SHOWN, "disabled": SHOWN_OFF}
    doubts = [
        Doubt(i, None, digests[line], digests[line], 1, ours_since=100.0, status=its)
        for i, (line, its, *_) in enumerate(twins)
    ]
    found = []
    for line, its, switched, applied in twins:
        status = its or line
        if its is not None and switched:
            status = "disabled" if status == "enabled" else "enabled"
        if applied:
            found.append(nameless(f"est_{len(found)}", 101.0, status))
    owned: set[str] = set()
    for one in in_turn(doubts):
        judgement = judge(one, found, owned, mature=True)
        assert judgement is not None
        if judgement.stream is not None:
            owned.add(judgement.stream.id)
    assert len(owned) == len(found)


@pytest.mark.parametrize("status", Status)
def test_the_status_of_a_definition_is_the_end_of_its_digest(status: Status) -> None:
    """So that whoever has only the digest knows whether the stream is on; one that is not given is on."""
    assert digest({"name": "a", "status": status.value}).endswith(part_of(status))
    assert digest({"name": "a"}).endswith(part_of(status)) is (status is Status.ENABLED)
