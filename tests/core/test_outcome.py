"""What is to be remembered after an attempt or a look-up."""

from __future__ import annotations

import pytest

from bulkstreams.core import outcome
from bulkstreams.core.lifecycle import IllegalEventError
from bulkstreams.core.matching import Judgement, Stream
from bulkstreams.model import Claim, Doubt, Event, Failure, Key, Pending, Reply, State, TenantName

MARK, OTHER = b"m" * 32, b"o" * 32
CLAIM = Claim(7, TenantName("acme"), Key("a"), "a", 1, 3, 100, 99, MARK, 0, None, server_intent_at=50.0)
REPLY = Reply(201, {}, b"{}", 0.1234567)
LOST = Failure("no answer", True, 30.0)
STREAM = Stream("est_1", "a", MARK, 51.0)
DOUBT = Doubt(7, "a", MARK, MARK, 1, 20.0, 50.0)


def test_a_create_is_remembered_with_all_that_a_person_asks_for() -> None:
    """State and anchor, the stream's id, the attempt, when it was sent and settled, and how long it took."""
    made = outcome.created(CLAIM, REPLY, "est_1", sent_at=60.0, now=61.0)
    assert (made.id, made.state, made.anchor, made.remote_id) == (7, "created", "created", "est_1")
    assert (made.attempts, made.http_status, made.latency_ms) == (1, 201, 123.457)
    assert (made.first_sent_at, made.settled_at, made.recovered, made.ours_since) == (60.0, 61.0, False, None)
    again = outcome.created(CLAIM._replace(attempts=2, first_sent_at=20.0), REPLY, "est_1", sent_at=60.0, now=61.0)
    assert (again.attempts, again.first_sent_at) == (3, 20.0)


def test_both_ways_to_a_created_record_remember_the_same() -> None:
    """The short way of the hot path and the general one differ in nothing."""
    claim = CLAIM._replace(first_sent_at=60.0)
    general = outcome.ended(claim, Event.ACCEPTED, now=61.0, answer=REPLY, remote_id="est_1")
    assert general == outcome.created(claim, REPLY, "est_1", sent_at=60.0, now=61.0)


@pytest.mark.parametrize(("earlier", "since"), [(None, 50.0), (30.0, 30.0)])
def test_a_lost_attempt_leaves_its_intent_to_judge_by(earlier: float | None, since: float) -> None:
    """A stream made since the first lost attempt's intent may be ours."""
    found = outcome.ended(CLAIM._replace(ours_since=earlier), Event.LOST, now=61.0, answer=LOST)
    assert (found.state, found.ours_since, found.latency_ms) == ("in_doubt", since, 30_000.0)


@pytest.mark.parametrize("event", [Event.NAME_TAKEN, Event.NOT_APPLIED, Event.REFUSED])
@pytest.mark.parametrize("earlier", [None, 30.0])
def test_an_attempt_that_was_not_applied_leaves_what_there_was(event: Event, earlier: float | None) -> None:
    """A no to this attempt says nothing of an earlier one, and makes no stream ours."""
    assert outcome.ended(CLAIM._replace(ours_since=earlier), event, now=61.0).ours_since == earlier


def test_attempts_count_one_more_unless_told_otherwise() -> None:
    """What was put back unsent, or after a 429, cost none."""
    assert outcome.ended(CLAIM, Event.NOT_APPLIED, now=61.0).attempts == 1
    assert outcome.ended(CLAIM, Event.NOT_APPLIED, now=61.0, attempts=0).attempts == 0


def test_a_pending_record_may_turn_out_to_be_of_no_use_at_its_tenant() -> None:
    """It is invalid as if its line were; what earlier attempts left stays."""
    gone = outcome.unusable(Pending(7, 1, 3, 100, 99, 2, 20.0, 50.0), "there is no such action", now=61.0)
    assert (gone.id, gone.state, gone.error_code, gone.message) == (7, "invalid", "invalid", "there is no such action")
    assert (gone.attempts, gone.first_sent_at, gone.ours_since, gone.settled_at) == (2, 20.0, 50.0, 61.0)
    assert (gone.anchor, gone.remote_id, gone.http_status, gone.recovered) == (None, None, None, False)


def test_no_outcome_can_be_made_that_the_table_does_not_allow() -> None:
    """A lost attempt cannot be given up: first comes a look-up."""
    with pytest.raises(IllegalEventError):
        outcome.ended(CLAIM, Event.LOST, Event.GAVE_UP, now=61.0)
    with pytest.raises(IllegalEventError):
        outcome.found(DOUBT, Judgement(Event.ABSENT), before=State.PENDING, retries=5, now=61.0)


@pytest.mark.parametrize("before", [State.IN_DOUBT, State.PENDING])
@pytest.mark.parametrize(
    ("event", "state", "recovered"),
    [(Event.FOUND_OURS, "created", True), (Event.FOUND_EQUAL, "exists", False)],
)
def test_what_a_look_up_finds_anchors_the_record(before: State, event: Event, state: str, recovered: bool) -> None:
    """The record stands for that stream from now on."""
    found = outcome.found(DOUBT, Judgement(event, STREAM), before=before, retries=5, now=61.0)
    assert (found.state, found.anchor, found.remote_id, found.recovered) == (state, state, "est_1", recovered)
    assert (found.attempts, found.http_status, found.message) == (1, None, None)


def test_a_different_stream_is_named_with_what_differs() -> None:
    """A conflict tells which stream is in the way, and what of it differs."""
    judgement = Judgement(Event.FOUND_DIFFERENT, STREAM, ("subscriptions", "status"))
    found = outcome.found(DOUBT._replace(name_taken=True), judgement, retries=5, now=61.0)
    assert (found.state, found.anchor, found.http_status) == ("conflict", None, 409)
    assert found.message == "a stream of that name is there (est_1) and differs in: subscriptions, status"


def test_absence_sends_again_until_the_attempts_are_used_up() -> None:
    """With retries left the record is pending, and after the last it is exhausted."""
    absent = Judgement(Event.ABSENT)
    again = outcome.found(DOUBT, absent, retries=1, now=61.0)
    assert (again.state, again.ours_since) == ("pending", 50.0)
    last = outcome.found(DOUBT._replace(attempts=2), absent, retries=1, now=61.0)
    assert last.state == "exhausted"
    assert "the tenant does not have it" in str(last.message)


def test_a_line_that_changed_meanwhile_is_told_once_the_doubt_is_cleared() -> None:
    """Its stream stays anchored, but the record is a conflict; or invalid, where the line cannot be used any more."""
    ours = Judgement(Event.FOUND_OURS, STREAM)
    changed = outcome.found(DOUBT._replace(current=OTHER), ours, retries=5, now=61.0)
    assert (changed.state, changed.anchor) == ("conflict", "created")
    assert "changed" in str(changed.message)
    broken = outcome.found(DOUBT._replace(invalid="name: is wrong"), ours, retries=5, now=61.0)
    assert (broken.state, broken.anchor, broken.message) == ("invalid", "created", "name: is wrong")
    gone = outcome.found(DOUBT._replace(invalid="name: is wrong"), Judgement(Event.ABSENT), retries=5, now=61.0)
    assert (gone.state, gone.anchor) == ("invalid", None)
