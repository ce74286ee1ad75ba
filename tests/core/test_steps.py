"""What an errand asks next, and what an answer to it means."""

from __future__ import annotations

import itertools

import pytest

from bulkstreams.core import steps
from bulkstreams.core.errands import (
    STATUS,
    Answered,
    Delivery,
    End,
    Errand,
    Fate,
    Kind,
    Outcome,
    Shown,
    Step,
    Wait,
)
from bulkstreams.core.matching import digest
from bulkstreams.core.retry import BACKOFF_FIRST_S
from bulkstreams.core.steps import ARRIVED, FRESH_S, POLL_CAP_S, POLL_FIRST_S
from bulkstreams.model import Failure, Reply

DEFINITION = {"name": "a", "status": "enabled", "subscriptions": [{"event_type": "user.created"}]}
MARK = digest(DEFINITION)
OFF = digest({**DEFINITION, "status": "disabled"})
OTHER = digest({**DEFINITION, "subscriptions": []})
BORN, LATER = "2026-01-01T00:00:00.000Z", "2026-01-01T00:00:01.000Z"

UNTOUCHED = Shown(BORN, BORN, "enabled", "webhook", MARK)
TOUCHED = UNTOUCHED._replace(updated_at=LATER, digest=OTHER)
SWITCHED_OFF = Shown(BORN, LATER, "disabled", "webhook", OFF)
SWITCHES = tuple(STATUS)


def errand(kind: Kind = Kind.UNDO, **fields: object) -> Errand:
    """Return an errand as the ledger has it, ready for its first step."""
    return steps.resumed(Errand(3, 7, kind, "est_1", MARK, **fields))  # type: ignore[arg-type]


def look(one: Errand, shown: Shown, *, retries: int = 5, force: bool = False) -> Errand | End:
    """Have an errand look at a stream, a hundred seconds into the run."""
    return steps.looked(one, shown, retries=retries, now=100.0, force=force)


def reply(status: int) -> Reply:
    """Return an answer with nothing in it but its status."""
    return Reply(status, {}, b"", 0.0125)


def fate(found: Errand | End) -> Fate:
    """Return the fate that an errand has met."""
    assert isinstance(found, End), found
    return found.fate


def next_step(found: Errand | End) -> tuple[Step, Wait]:
    """Return the step that an errand takes next, and what it waits for."""
    assert isinstance(found, Errand), found
    return found.step, found.wait


# -- where an errand goes on ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [Kind.UNDO, *SWITCHES])
def test_a_stream_is_looked_at_before_anything_is_done_to_it(kind: Kind) -> None:
    """The first request is for the stream itself, at once."""
    first = errand(kind)
    assert (first.step, first.wait, first.acted) == (Step.LOOK, Wait.NOTHING, False)


@pytest.mark.parametrize("kind", [Kind.UNDO, *SWITCHES])
def test_with_an_intent_on_record_an_act_is_waited_for(kind: Kind) -> None:
    """A process that died may have sent it just now: it settles before the look."""
    again = errand(kind, intent_at=50.0)
    assert (again.step, again.wait, again.acted) == (Step.LOOK, Wait.SETTLE, True)


def test_a_switch_that_may_be_at_work_is_waited_for_by_other_errands() -> None:
    """An undo does not overtake the switch whose answer was lost."""
    again = errand(Kind.UNDO, touched=True)
    assert (again.step, again.wait, again.acted) == (Step.LOOK, Wait.SETTLE, False)


def test_a_test_event_needs_no_look() -> None:
    """It changes nothing; after an intent its delivery is searched for first, and a known one is asked for at once."""
    assert next_step(errand(Kind.SMOKE)) == (Step.ACT, Wait.NOTHING)
    assert next_step(errand(Kind.SMOKE, intent_at=50.0)) == (Step.SEARCH, Wait.SETTLE)
    assert next_step(errand(Kind.SMOKE, intent_at=50.0, delivery="evt_1")) == (Step.POLL, Wait.NOTHING)


# -- what an answer is ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (200, Answered.DONE), (202, Answered.DONE), (204, Answered.DONE), (301, Answered.REFUSED),
        (400, Answered.REFUSED), (401, Answered.UNAUTHORIZED), (403, Answered.FORBIDDEN), (404, Answered.ABSENT),
        (408, Answered.LOST), (409, Answered.REFUSED), (429, Answered.THROTTLED), (500, Answered.LOST),
        (502, Answered.LOST), (524, Answered.LOST),
    ],
)  # fmt: skip
def test_an_answer_means_what_its_status_says(status: int, expected: Answered) -> None:
    """Only a server that fails, or none that answers, leaves a doubt."""
    assert steps.answered(reply(status), usable=True, absent=True) is expected


def test_an_answer_that_does_not_say_what_was_asked_is_lost() -> None:
    """A 200 without a stream says nothing of it, and a 404 of somebody else no more."""
    assert steps.answered(reply(200), usable=False, absent=False) is Answered.LOST
    assert steps.answered(reply(404), usable=False, absent=False) is Answered.LOST


def test_a_failure_says_whether_anything_was_sent() -> None:
    """No connection is no doubt; no answer is."""
    assert steps.answered(Failure("refused", False, 0.1), usable=False, absent=False) is Answered.NOT_SENT
    assert steps.answered(Failure("timeout", True, 30.0), usable=False, absent=False) is Answered.LOST


# -- what a look says -------------------------------------------------------------------------------------------------


def test_a_stream_that_is_as_it_was_created_is_undone() -> None:
    """The act follows at once, and remembers when the stream was seen."""
    found = look(errand(), UNTOUCHED)
    assert isinstance(found, Errand)
    assert (found.step, found.wait, found.looked_at, found.looks) == (Step.ACT, Wait.NOTHING, 100.0, 1)


def test_a_stream_that_only_we_changed_is_undone_too() -> None:
    """What our own change left is known by the instant that it left."""
    assert next_step(look(errand(updated_at=LATER), TOUCHED)) == (Step.ACT, Wait.NOTHING)


@pytest.mark.parametrize("kind", [Kind.UNDO, Kind.DISABLE])
@pytest.mark.parametrize(
    ("shown", "known"),
    [
        (TOUCHED, None),
        (TOUCHED._replace(digest=MARK), None),
        (TOUCHED._replace(updated_at=None), None),
        (TOUCHED._replace(updated_at="2026-01-02T00:00:00.000Z"), LATER),
        (TOUCHED._replace(created_at=None, updated_at=None), None),
    ],
)
def test_a_stream_that_somebody_changed_is_left(kind: Kind, shown: Shown, known: str | None) -> None:
    """Also where it looks the same now, and where it does not tell; unless that is asked for."""
    one = errand(kind, updated_at=known)
    assert fate(look(one, shown)) is Fate.CHANGED
    assert next_step(look(one, shown, force=True)) == (Step.ACT, Wait.NOTHING)


def test_a_changed_stream_says_since_when() -> None:
    """A person reads when it was changed, and after what."""
    first, again = look(errand(), TOUCHED), look(errand(updated_at=BORN), TOUCHED._replace(created_at=None))
    assert isinstance(first, End)
    assert isinstance(again, End)
    assert first.message == f"the stream was changed at {LATER}, after its creation: it was left as it is"
    assert again.message is not None
    assert "after our last change of it" in again.message


@pytest.mark.parametrize("shown", [UNTOUCHED, TOUCHED])
def test_a_stream_that_has_the_status_already_is_not_switched(shown: Shown) -> None:
    """Whoever switched it: nothing is sent, and its last change stays its own."""
    assert look(errand(Kind.ENABLE), shown) == End(Fate.ALREADY, status="enabled")


def test_a_lost_switch_is_recognised_by_what_it_left() -> None:
    """It has the status, it was changed since, and in nothing else: that was us, and the instant is remembered."""
    found = look(errand(Kind.DISABLE, intent_at=50.0), SWITCHED_OFF)
    assert isinstance(found, End)
    assert (found.fate, found.status, found.updated_at) == (Fate.SWITCHED, "disabled", LATER)


@pytest.mark.parametrize("shown", [SWITCHED_OFF._replace(digest=OTHER), SWITCHED_OFF._replace(updated_at=BORN)])
def test_what_else_was_changed_with_it_is_not_taken_for_ours(shown: Shown) -> None:
    """A stream that has the status, but not as our switch would have left it, is as somebody else wants it."""
    assert look(errand(Kind.DISABLE, intent_at=50.0), shown) == End(Fate.ALREADY, status="disabled")


def test_a_lost_switch_the_other_way_does_not_bar_the_next() -> None:
    """Off was asked for and its answer lost; on finds the stream changed in its status alone, and goes on."""
    one = errand(Kind.ENABLE, touched=True)
    assert next_step(look(one, SWITCHED_OFF)) == (Step.ACT, Wait.NOTHING)
    assert fate(look(one, SWITCHED_OFF._replace(digest=OTHER))) is Fate.CHANGED
    assert next_step(look(errand(Kind.UNDO, touched=True), SWITCHED_OFF)) == (Step.ACT, Wait.NOTHING)


def test_a_lost_delete_says_nothing_of_a_change() -> None:
    """Only a switch moves a stream's instant: what moved it after a lost delete was somebody else."""
    assert fate(look(errand(Kind.UNDO, intent_at=50.0), SWITCHED_OFF)) is Fate.CHANGED


def test_the_destination_of_a_stream_with_an_action_is_passed_over() -> None:
    """It cannot be changed at the API, and a line may name its action in another way."""
    moved = digest({**DEFINITION, "status": "disabled", "destination": {"type": "action", "configuration": {}}})
    shown = Shown(BORN, LATER, "disabled", "action", moved)
    assert fate(look(errand(Kind.DISABLE, intent_at=50.0), shown)) is Fate.SWITCHED
    assert fate(look(errand(Kind.DISABLE, intent_at=50.0), shown._replace(type="webhook"))) is Fate.ALREADY


def test_attempts_that_are_used_up_end_after_a_last_look() -> None:
    """Whether the last of them took effect is known then: it did not."""
    found = look(errand()._replace(attempts=3), UNTOUCHED, retries=2)
    assert isinstance(found, End)
    assert (found.fate, found.message) == (Fate.FAILED, "no answer to 3 attempts; the stream is as it was")


# -- what the act brought ---------------------------------------------------------------------------------------------


def test_an_act_that_was_answered_is_done() -> None:
    """A delete ends its errand, and so does a switch, with the instant that it left."""
    assert steps.done(errand(), now=100.0) == End(Fate.DELETED)
    assert steps.done(errand(Kind.ENABLE), updated_at=LATER, now=100.0) == End(
        Fate.SWITCHED, status="enabled", updated_at=LATER
    )


def test_an_accepted_test_event_is_waited_for() -> None:
    """Its delivery is asked for after a moment; attempts of before are forgotten."""
    found = steps.done(errand(Kind.SMOKE)._replace(attempts=2), delivery="evt_1", now=100.0)
    assert isinstance(found, Errand)
    assert (found.step, found.wait) == (Step.POLL, Wait.DELIVERY)
    assert (found.delivery, found.since, found.attempts) == ("evt_1", 100.0, 0)


@pytest.mark.parametrize(
    ("kind", "intent_at", "expected"),
    [
        (Kind.UNDO, None, Fate.GONE),
        (Kind.UNDO, 50.0, Fate.DELETED),
        (Kind.ENABLE, 50.0, Fate.GONE),
        (Kind.DISABLE, None, Fate.GONE),
        (Kind.SMOKE, 50.0, Fate.GONE),
    ],
)
def test_a_stream_that_is_not_there_was_deleted_by_us_or_is_gone(
    kind: Kind, intent_at: float | None, expected: Fate
) -> None:
    """Only a delete of ours that may have been applied makes it ours."""
    assert fate(steps.absent(errand(kind, intent_at=intent_at))) is expected


def test_a_no_is_told_in_the_apis_words() -> None:
    """What is refused for good has failed."""
    assert steps.refused("Payload validation error") == End(Fate.FAILED, "Payload validation error")


@pytest.mark.parametrize(
    ("kind", "step"), [(Kind.UNDO, Step.LOOK), (Kind.ENABLE, Step.LOOK), (Kind.SMOKE, Step.SEARCH)]
)
@pytest.mark.parametrize("retries", [0, 5])
def test_a_lost_act_is_looked_up_before_another(kind: Kind, step: Step, retries: int) -> None:
    """It settles first, and however many attempts are used up, what became of it is found out."""
    found = steps.lost(errand(kind)._replace(step=Step.ACT), "timeout", retries=retries)
    assert isinstance(found, Errand)
    assert (found.step, found.wait, found.acted, found.attempts) == (step, Wait.SETTLE, True, 1)


def test_a_lost_question_is_asked_again_for_as_long_as_there_are_attempts() -> None:
    """It changed nothing, so it is just asked again; in the end what could not be asked has failed."""
    found = steps.lost(errand(), "timeout", retries=1)
    assert isinstance(found, Errand)
    assert (found.step, found.wait, found.acted, found.attempts) == (Step.LOOK, Wait.BACKOFF, False, 1)
    assert steps.lost(found, "timeout", retries=1) == End(Fate.FAILED, "could not be looked at: timeout")


def test_what_the_tenants_outage_costs_is_no_attempt() -> None:
    """A tenant that is down is waited for; no errand pays for that."""
    found = steps.lost(errand(), "timeout", retries=0, free=True)
    assert isinstance(found, Errand)
    assert (found.step, found.attempts) == (Step.LOOK, 0)


def test_a_delivery_that_cannot_be_asked_for_is_unconfirmed() -> None:
    """The event was taken: that nobody can say what became of it is no failure of the stream."""
    one = errand(Kind.SMOKE, delivery="evt_1")
    assert fate(steps.lost(one, "timeout", retries=0)) is Fate.UNCONFIRMED


# -- test events ------------------------------------------------------------------------------------------------------


def search(one: Errand, found: Delivery | None, retries: int = 5) -> Errand | End:
    """Have an errand find a delivery, or none."""
    return steps.searched(one, found, retries=retries, now=100.0)


def test_a_lost_test_event_whose_delivery_is_there_is_not_sent_again() -> None:
    """It is asked for from then on."""
    found = search(errand(Kind.SMOKE, intent_at=50.0)._replace(attempts=1), Delivery("evt_1", "pending"))
    assert isinstance(found, Errand)
    assert (found.step, found.delivery, found.since, found.attempts) == (Step.POLL, "evt_1", 100.0, 0)


def test_a_lost_test_event_without_a_delivery_is_sent_again_while_there_are_attempts() -> None:
    """Another is sent; when all are used up, it has failed."""
    one = errand(Kind.SMOKE, intent_at=50.0)._replace(attempts=2)
    assert next_step(search(one, None)) == (Step.ACT, Wait.NOTHING)
    assert fate(search(one, None, retries=1)) is Fate.FAILED


def poll(found: Delivery, waited_s: float = 0.0, one: Errand | None = None) -> Errand | End:
    """Have a delivery looked at, with a minute's patience."""
    return steps.polled(
        one or errand(Kind.SMOKE, delivery="evt_1"), found, waited_s=waited_s, patience_s=60.0
    )  # fmt: skip


@pytest.mark.parametrize("word", sorted(ARRIVED))
def test_a_delivery_that_is_called_a_success_was_delivered(word: str) -> None:
    """Whatever the API calls it: none of the words is published."""
    assert poll(Delivery("evt_1", word), waited_s=99.0) == End(Fate.DELIVERED)


def test_a_failed_delivery_says_why() -> None:
    """The newest error of its attempts is told, where there is one."""
    assert poll(Delivery("evt_1", "failed", "no such host")) == End(
        Fate.FAILED, "the delivery failed: no such host"
    )  # fmt: skip
    assert poll(Delivery("evt_1", "failed")) == End(Fate.FAILED, "the delivery failed")


@pytest.mark.parametrize("status", ["pending", "some new word", None])
def test_a_delivery_under_way_is_asked_for_until_patience_ends(status: str | None) -> None:
    """Then it is unconfirmed, which is neither a success nor a failure."""
    found = poll(Delivery("evt_1", status), waited_s=59.9)
    assert isinstance(found, Errand)
    assert (found.step, found.wait, found.polls, found.seen) == (Step.POLL, Wait.DELIVERY, 1, True)
    assert fate(poll(Delivery("evt_1", status), waited_s=60.0)) is Fate.UNCONFIRMED


def test_a_delivery_that_was_seen_and_is_no_more_has_gone_its_way() -> None:
    """Failed ones stay to be seen: so it did not fail."""
    seen = poll(Delivery("evt_1", "pending"))
    assert isinstance(seen, Errand)
    assert fate(steps.absent(seen, waited_s=1.0, patience_s=60.0)) is Fate.DELIVERED


def test_a_delivery_that_was_never_seen_proves_nothing() -> None:
    """It may not show yet; when patience ends, it is unconfirmed, and honest words say so."""
    one = errand(Kind.SMOKE, delivery="evt_1")
    assert next_step(steps.absent(one, waited_s=1.0, patience_s=60.0)) == (Step.POLL, Wait.DELIVERY)
    found = steps.absent(one, waited_s=60.0, patience_s=60.0)
    assert isinstance(found, End)
    assert found.fate is Fate.UNCONFIRMED
    assert "whether it arrived the API does not say" in str(found.message)


# -- waiting ----------------------------------------------------------------------------------------------------------


def test_each_wait_has_its_length() -> None:
    """None, the settle time, exponential backoff with jitter, pauses that grow up to a cap."""
    one = errand()
    assert steps.delay(one, 2.0, 0.5) == 0.0
    assert steps.delay(one._replace(wait=Wait.SETTLE), 2.0, 0.5) == 2.0
    assert steps.delay(one._replace(wait=Wait.BACKOFF, attempts=2), 2.0, 0.5) == BACKOFF_FIRST_S
    pauses = [steps.delay(one._replace(wait=Wait.DELIVERY, polls=polls), 2.0, 0.5) for polls in range(99)]
    assert pauses[:2] == [POLL_FIRST_S, 2 * POLL_FIRST_S]
    assert all(before <= after for before, after in itertools.pairwise(pauses))
    assert pauses[-1] == POLL_CAP_S


def test_an_act_that_was_kept_back_looks_once_more_but_not_for_ever() -> None:
    """A pause of minutes makes a look old; where every request takes so long, the second look has to do."""
    act = look(errand(), UNTOUCHED)
    assert isinstance(act, Errand)
    assert not steps.is_stale(act, 100.0 + FRESH_S)
    assert steps.is_stale(act, 100.1 + FRESH_S)
    assert not steps.is_stale(act._replace(looks=2), 999.0)
    assert not steps.is_stale(act._replace(looked_at=None), 999.0)
    assert not steps.is_stale(act._replace(step=Step.LOOK), 999.0)


def test_what_was_looked_at_goes_before_what_was_not() -> None:
    """The newest look first: an older one is repeated anyway. A test event follows no look, and is in no hurry."""
    old = look(errand(), UNTOUCHED)
    assert isinstance(old, Errand)
    new = old._replace(looked_at=101.0)
    event = errand(Kind.SMOKE)._replace(step=Step.ACT)
    assert sorted([event, old, errand(), new], key=steps.urgency) == [new, old, event, errand()]


# -- what is remembered -----------------------------------------------------------------------------------------------


def test_an_intent_is_remembered_with_its_instant() -> None:
    """It leaves the errand pending."""
    found = steps.intended(errand(Kind.UNDO)._replace(attempts=1), 55.5)
    assert found == Outcome(3, 7, "undo", "pending", 1, intent_at=55.5)


def test_the_delivery_of_a_test_event_is_remembered_at_once() -> None:
    """A process that dies then asks for it, and sends no other event."""
    found = steps.done(errand(Kind.SMOKE, event="user.created")._replace(intent_at=55.5), delivery="evt_1", now=1.0)
    assert isinstance(found, Errand)
    assert steps.accepted(found) == Outcome(
        3, 7, "smoke", "pending", 0, event="user.created", delivery="evt_1", intent_at=55.5
    )


def test_an_errand_that_is_given_back_keeps_its_intent_only_where_an_act_may_be_at_work() -> None:
    """What was intended and never sent leaves no trace; what was lost does, and what was accepted."""
    one = errand()._replace(intent_at=55.5)
    assert steps.returned(one).intent_at is None
    assert steps.returned(one._replace(acted=True)).intent_at == 55.5
    assert steps.returned(one._replace(delivery="evt_1")).intent_at == 55.5


def test_a_fate_is_remembered_with_all_that_a_person_asks_for() -> None:
    """The answer's status and time, the error's code and words, and what our change left of the stream."""
    one = errand(Kind.ENABLE)._replace(intent_at=55.5, attempts=1)
    end = steps.done(one, updated_at=LATER, now=1.0)
    assert isinstance(end, End)
    found = steps.ended(one, end, now=60.0, answer=reply(200))
    assert (found.state, found.http_status, found.latency_ms, found.settled_at) == ("switched", 200, 12.5, 60.0)
    assert (found.status, found.updated_at, found.intent_at, found.attempts) == ("enabled", LATER, 55.5, 1)
    refused = steps.ended(one, steps.refused("no"), now=60.0, answer=reply(400), error_code="invalid_body")
    assert (refused.state, refused.error_code, refused.message) == ("failed", "invalid_body", "no")
    assert refused.intent_at is None


def test_a_failure_that_may_still_take_effect_keeps_its_intent() -> None:
    """The next command waits for it, and takes its work for ours."""
    one = errand(intent_at=50.0)
    found = steps.ended(one, End(Fate.FAILED, "no answer"), now=60.0)
    assert (found.intent_at, found.http_status, found.latency_ms) == (50.0, None, None)
    assert steps.ended(one, End(Fate.FAILED), now=60.0, answer=Failure("timeout", True, 1.5)).latency_ms == 1500.0
