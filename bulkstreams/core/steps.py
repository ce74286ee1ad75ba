"""How an errand goes on: what to ask next, and what follows from the answer.

An errand goes step by step, one request each: it looks at the stream, acts on it, and where no answer came it looks
again before it acts again. What an answer leads to is either a later step of the same errand or its fate.
This module must never wait or read a clock; and it must never let an act follow a look that another change came after.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from bulkstreams.core.errands import (
    FINE,
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
from bulkstreams.core.matching import differing
from bulkstreams.core.retry import Verdict, backoff, classify, used_up
from bulkstreams.model import Failure, Reply

FRESH_S: Final = 5.0
"""Seconds for which a look says how a stream is; an act that was kept back for longer looks once more."""

POLL_FIRST_S: Final = 0.5
POLL_CAP_S: Final = 10.0
"""The first and the longest pause before a delivery is asked for again; they double in between."""

ARRIVED: Final = frozenset({"delivered", "succeeded", "success", "successful", "completed"})
"""What a delivery's status may be called that went well: the published list names only `failed`."""


def resumed(errand: Errand) -> Errand:
    """Return an errand as the ledger has it with the step that it goes on with.

    With an intent of earlier on record an act may be at work on the server still, so it is waited for.
    """
    if errand.delivery is not None:
        return errand._replace(step=Step.POLL)
    acted = errand.intent_at is not None
    first = Step.LOOK if errand.kind is not Kind.SMOKE else Step.SEARCH if acted else Step.ACT
    return errand._replace(step=first, acted=acted, wait=Wait.SETTLE if acted or errand.touched else Wait.NOTHING)


def answered(answer: Reply | Failure, *, usable: bool, absent: bool) -> Answered:
    """Return what a request ended in.

    `usable`: a 2xx has in it what it was asked for. `absent`: a 404 is the API's own, not that of whoever stands
    before it: that one says nothing of a stream.
    """
    if isinstance(answer, Reply) and answer.status == 404:
        return Answered.ABSENT if absent else Answered.LOST
    return _ANSWERED[classify(answer, usable=usable)]


_ANSWERED: Final[Mapping[Verdict, Answered]] = {
    Verdict.CREATED: Answered.DONE,
    Verdict.REFUSED: Answered.REFUSED,
    Verdict.NAME_TAKEN: Answered.REFUSED,
    Verdict.NOT_SENT: Answered.NOT_SENT,
    Verdict.LOST: Answered.LOST,
    Verdict.THROTTLED: Answered.THROTTLED,
    Verdict.UNAUTHORIZED: Answered.UNAUTHORIZED,
    Verdict.FORBIDDEN: Answered.FORBIDDEN,
}


def is_stale(errand: Errand, now: float) -> bool:
    """Return whether an act has to look once more first: it was kept back since (but no errand is for ever)."""
    if errand.step is not Step.ACT or errand.looked_at is None or errand.looks > 1:
        return False
    return now - errand.looked_at > FRESH_S


def urgency(errand: Errand) -> tuple[int, float]:
    """Return what an errand is sorted by where a gate lets few through: acts on what was looked at go first.

    The newest look before older ones, so that one which was looked at again is not kept back again.
    """
    if errand.step is Step.ACT and errand.looked_at is not None:
        return 0, -errand.looked_at
    return 1, 0.0


def delay(errand: Errand, settle_s: float, draw: float) -> float:
    """Return the seconds to wait before an errand's next step; `draw` is in [0, 1)."""
    match errand.wait:
        case Wait.NOTHING:
            return 0.0
        case Wait.SETTLE:
            return settle_s
        case Wait.BACKOFF:
            return backoff(errand.attempts, draw)
        case _:
            return _between_polls(errand.polls)


def _between_polls(polls: int) -> float:
    pause: float = min(POLL_CAP_S, POLL_FIRST_S * 2.0 ** min(polls, 16))
    return pause


# -- what a look says -------------------------------------------------------------------------------------------------


def unchanged(errand: Errand, shown: Shown) -> bool:
    """Return whether a stream is as it was created, or as our own last change left it."""
    at = shown.updated_at
    return at is not None and at in (shown.created_at, errand.updated_at)


def _ours(errand: Errand, shown: Shown) -> bool:
    """Return whether nobody but us changed a stream, as far as that can be told.

    A switch of ours whose answer was lost moved an instant that we do not know; then what shows has to be the same.
    """
    if unchanged(errand, shown):
        return True
    switched = errand.touched or (errand.acted and errand.kind in STATUS)
    return switched and _same(errand, shown)


def looked(errand: Errand, shown: Shown, *, retries: int, now: float, force: bool = False) -> Errand | End:
    """Say what follows from how the stream is: the act, or the errand's fate. `now` is monotonic."""
    wanted = STATUS.get(errand.kind)
    if wanted is not None and shown.status == wanted:
        if errand.acted and not unchanged(errand, shown) and _ours(errand, shown):
            return End(Fate.SWITCHED, "its answer was lost; a look shows that it was done", wanted, shown.updated_at)
        return End(Fate.ALREADY, status=wanted)
    if not (force or _ours(errand, shown)):
        return End(Fate.CHANGED, _changed(errand, shown))
    if used_up(errand.attempts, retries):
        return End(Fate.FAILED, f"no answer to {errand.attempts} attempts; the stream is as it was")
    return errand._replace(step=Step.ACT, wait=Wait.NOTHING, looked_at=now, looks=errand.looks + 1)


def _same(errand: Errand, shown: Shown) -> bool:
    """Return whether a stream still is what it was made of, but for its status.

    The destination of a stream with an action cannot be changed at all, and a line may name it in another way.
    """
    passed_over = {"status"} | ({"destination"} if shown.type == "action" else set())
    return not set(differing(errand.digest, shown.digest)) - passed_over


def _changed(errand: Errand, shown: Shown) -> str:
    since = "its creation" if errand.updated_at is None else "our last change of it"
    return f"the stream was changed at {shown.updated_at}, after {since}: it was left as it is"


# -- what the act brought ---------------------------------------------------------------------------------------------


def done(errand: Errand, *, updated_at: str | None = None, delivery: str | None = None, now: float) -> Errand | End:
    """Say what follows from an act that was answered with a yes. `now` is monotonic."""
    if errand.kind is Kind.UNDO:
        return End(Fate.DELETED)
    if errand.kind is Kind.SMOKE:
        return errand._replace(step=Step.POLL, wait=Wait.DELIVERY, delivery=delivery, since=now, polls=0, attempts=0)
    return End(Fate.SWITCHED, status=STATUS[errand.kind], updated_at=updated_at)


def absent(errand: Errand, *, waited_s: float = 0.0, patience_s: float = 0.0) -> Errand | End:
    """Say what follows from a 404 to an errand's step."""
    if errand.step is Step.POLL:
        return _unlisted(errand, waited_s, patience_s)
    if errand.kind is Kind.UNDO and errand.acted:
        return End(Fate.DELETED, "its answer was lost; a look shows that the stream is gone")
    return End(Fate.GONE, "the stream is not at the tenant any more: somebody else deleted it")


def refused(message: str) -> End:
    """Say what follows from a no for good, in the API's own words."""
    return End(Fate.FAILED, message)


def lost(errand: Errand, what: str, *, retries: int, free: bool = False) -> Errand | End:
    """Say what follows where no usable answer came; `free`: that is the tenant's trouble, and costs no attempt.

    An act may have taken effect: it settles, and is looked up before anything else. A mere question is asked again.
    """
    attempts = errand.attempts + (not free)
    if errand.step is Step.ACT:
        step = Step.SEARCH if errand.kind is Kind.SMOKE else Step.LOOK
        return errand._replace(step=step, wait=Wait.SETTLE, attempts=attempts, acted=True)
    if not used_up(attempts, retries):
        return errand._replace(wait=Wait.BACKOFF, attempts=attempts)
    if errand.step is Step.POLL:
        return End(Fate.UNCONFIRMED, f"the event was taken; what became of it could not be asked: {what}")
    return End(Fate.FAILED, f"could not be looked at: {what}")


# -- what becomes of a test event -------------------------------------------------------------------------------------


def searched(errand: Errand, found: Delivery | None, *, retries: int, now: float) -> Errand | End:
    """Say what follows from the deliveries since the intent of a test whose answer was lost."""
    if found is not None:
        return errand._replace(step=Step.POLL, wait=Wait.NOTHING, delivery=found.id, since=now, polls=0, attempts=0)
    if used_up(errand.attempts, retries):
        return End(Fate.FAILED, f"no answer to {errand.attempts} attempts, and no delivery of theirs is to be seen")
    return errand._replace(step=Step.ACT, wait=Wait.NOTHING)


def polled(errand: Errand, found: Delivery, *, waited_s: float, patience_s: float) -> Errand | End:
    """Say what follows from how a delivery stands, `waited_s` seconds after the event was taken."""
    if found.status == Fate.FAILED:
        return End(Fate.FAILED, f"the delivery failed: {found.error}" if found.error else "the delivery failed")
    if found.status in ARRIVED:
        return End(Fate.DELIVERED)
    if waited_s >= patience_s:
        return End(Fate.UNCONFIRMED, f"the delivery was still {found.status or 'unknown'} after {patience_s:g} s")
    return _again(errand._replace(seen=True))


def _unlisted(errand: Errand, waited_s: float, patience_s: float) -> Errand | End:
    """Say what it means that a delivery is not shown: only one that was to be seen before has gone its way.

    The API publishes no status but `failed`, so one that is neither pending nor failed any more is taken for delivered.
    """
    if errand.seen:
        return End(
            Fate.DELIVERED, "no longer pending, and not among the failed deliveries, which are all the API shows"
        )
    if waited_s >= patience_s:
        return End(
            Fate.UNCONFIRMED,
            f"the event was taken, and no delivery of it was to be seen within {patience_s:g} s: it did not fail, but "
            "whether it arrived the API does not say",
        )
    return _again(errand)


def _again(errand: Errand) -> Errand:
    return errand._replace(wait=Wait.DELIVERY, polls=errand.polls + 1, attempts=0)


# -- what is to be remembered -----------------------------------------------------------------------------------------


def intended(errand: Errand, now: float) -> Outcome:
    """Return the durable notice that an act may be sent from now on (epoch seconds)."""
    return _outcome(errand, Fate.PENDING)._replace(intent_at=now)


def accepted(errand: Errand) -> Outcome:
    """Return the notice under which delivery a test event is known, so that it is not sent again."""
    return _outcome(errand, Fate.PENDING)


def returned(errand: Errand) -> Outcome:
    """Return the notice of an errand that is given back unfinished: an act that cannot be at work leaves no intent."""
    outcome = _outcome(errand, Fate.PENDING)
    return outcome if errand.acted or errand.delivery is not None else outcome._replace(intent_at=None)


def ended(
    errand: Errand, end: End, *, now: float, answer: Reply | Failure | None = None, error_code: str | None = None
) -> Outcome:
    """Return what is to be remembered of an errand that has met its fate at `now` (epoch seconds)."""
    return _outcome(errand, end.fate)._replace(
        http_status=answer.status if isinstance(answer, Reply) else None,
        error_code=error_code,
        message=end.message,
        intent_at=errand.intent_at if errand.acted or end.fate in FINE else None,
        settled_at=now,
        latency_ms=None if answer is None else round(answer.elapsed_s * 1000, 3),
        status=end.status,
        updated_at=end.updated_at,
    )


def _outcome(errand: Errand, fate: Fate) -> Outcome:
    return Outcome(
        errand.id,
        errand.record,
        errand.kind.value,
        fate.value,
        errand.attempts,
        event=errand.event,
        delivery=errand.delivery,
        intent_at=errand.intent_at,
    )
