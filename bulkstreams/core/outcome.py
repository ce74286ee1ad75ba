"""What the ledger is to remember of a record, as the end of an attempt or a look-up has it: settlements.

Every state comes out of `lifecycle.step`, so no settlement can be made that its table does not allow. This module
must never decide what an answer means (`retry`) or whose a stream is (`matching`): it only writes down what follows.
"""

from __future__ import annotations

from typing import Final

from bulkstreams.core.lifecycle import step
from bulkstreams.core.matching import Judgement
from bulkstreams.core.retry import used_up
from bulkstreams.model import Claim, Doubt, Event, Failure, Pending, Reply, Settlement, State

_CREATED: Final = step(State.IN_FLIGHT, Event.ACCEPTED).value


def created(claim: Claim, reply: Reply, remote_id: str, *, sent_at: float, now: float) -> Settlement:
    """Return the settlement of a record that was created: what nearly every attempt ends in."""
    return Settlement(
        claim.id,
        _CREATED,
        claim.attempts + 1,
        remote_id,
        reply.status,
        None,
        None,
        claim.first_sent_at or sent_at,
        now,
        round(reply.elapsed_s * 1000, 3),
        False,
        _CREATED,
    )


def ended(
    claim: Claim,
    *events: Event,
    now: float,
    answer: Reply | Failure | None = None,
    attempts: int | None = None,
    remote_id: str | None = None,
    error_code: str | None = None,
    message: str | None = None,
) -> Settlement:
    """Return the settlement of a record that was in flight and went through `events`.

    A lost attempt leaves its intent as the instant from which a stream may be ours; one that was answered, or never
    sent, leaves what earlier attempts had left.
    """
    state = State.IN_FLIGHT
    for event in events:
        state = step(state, event)
    since = claim.ours_since
    if since is None and Event.LOST in events:
        since = claim.server_intent_at
    return Settlement(
        claim.id,
        state.value,
        claim.attempts + 1 if attempts is None else attempts,
        remote_id,
        answer.status if isinstance(answer, Reply) else None,
        error_code,
        message,
        claim.first_sent_at,
        now,
        None if answer is None else round(answer.elapsed_s * 1000, 3),
        anchor=_CREATED if state is State.CREATED else None,
        ours_since=since,
    )


def found(
    doubt: Doubt, judgement: Judgement, *, before: State = State.IN_DOUBT, retries: int, now: float
) -> Settlement:
    """Return the settlement of a record that a look-up judged; it was in the state `before`."""
    state = step(before, judgement.event)
    anchor = state if state in {State.CREATED, State.EXISTS} else None
    message = _difference(judgement)
    if doubt.invalid is not None:
        state = step(state, Event.LINE_INVALID)
        message = doubt.invalid
    elif anchor is not None and doubt.current != doubt.digest:
        state = step(state, Event.LINE_DIFFERS)
        message = "the line changed after its stream was sent; nothing more was sent"
    elif state is State.PENDING and used_up(doubt.attempts, retries):
        state = step(state, Event.GAVE_UP)
        message = "no answer to any attempt; a look-up shows that the tenant does not have it"
    return Settlement(
        doubt.id,
        state.value,
        doubt.attempts,
        None if judgement.stream is None else judgement.stream.id,
        409 if doubt.name_taken else None,
        None,
        message,
        doubt.first_sent_at,
        now,
        None,
        judgement.event is Event.FOUND_OURS,
        None if anchor is None else anchor.value,
        doubt.ours_since,
    )


def unusable(record: Pending, message: str, *, now: float) -> Settlement:
    """Return the settlement of a pending record whose line, valid in itself, is found to be none for its tenant."""
    state = step(State.PENDING, Event.LINE_INVALID)
    return Settlement(
        record.id,
        state.value,
        record.attempts,
        error_code=state.value,
        message=message,
        first_sent_at=record.first_sent_at,
        settled_at=now,
        ours_since=record.ours_since,
    )


def _difference(judgement: Judgement) -> str | None:
    if judgement.event is not Event.FOUND_DIFFERENT or judgement.stream is None:
        return None
    return f"a stream of that name is there ({judgement.stream.id}) and differs in: {', '.join(judgement.differs)}"
