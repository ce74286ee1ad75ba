"""What the end of an attempt means, and whether and when to try again.

`classify` is the contract's table of answers; `backoff` is exponential with full jitter (delay drawn uniformly from
zero to the cap, after Marc Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015).
This module must never wait, draw, or read a clock; and it must never look at an error's prose, which is unstable.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from bulkstreams.model import Failure, Reply


class Verdict(StrEnum):
    """What one attempt ended in."""

    CREATED = "created"
    REFUSED = "refused"
    NAME_TAKEN = "name_taken"
    NOT_SENT = "not_sent"
    LOST = "lost"
    THROTTLED = "throttled"
    UNAUTHORIZED = "unauthorized"
    FORBIDDEN = "forbidden"


AMBIGUOUS: Final = frozenset({408, 500, 502, 503, 504, *range(520, 525)})
"""Statuses after which the create may or may not have been applied: gateways answer so for a server that goes on."""

BACKOFF_FIRST_S: Final = 0.25
BACKOFF_CAP_S: Final = 20.0


def classify(answer: Reply | Failure, *, usable: bool) -> Verdict:
    """Return the verdict on a create's answer; `usable` says that a 2xx body names the stream it created."""
    if isinstance(answer, Failure):
        return Verdict.LOST if answer.sent else Verdict.NOT_SENT
    status = answer.status
    if status == 201 or 200 <= status < 300:
        return Verdict.CREATED if usable else Verdict.LOST
    if broken(status):
        # 501, 505 and their like are in no table; a server that fails may have acted, so doubt is the safe reading.
        return Verdict.LOST
    return _FINAL.get(status, Verdict.REFUSED)


def broken(status: int) -> bool:
    """Return whether an answer of this status says that the server, or one before it, is broken."""
    return status in AMBIGUOUS or status >= 500 or status < 200


_FINAL: Final = {
    401: Verdict.UNAUTHORIZED,
    403: Verdict.FORBIDDEN,
    404: Verdict.FORBIDDEN,
    409: Verdict.NAME_TAKEN,
    429: Verdict.THROTTLED,
}


def backoff(attempt: int, draw: float) -> float:
    """Return the seconds to wait before the next attempt, after `attempt` (1-based) failed; `draw` is in [0, 1)."""
    ceiling: float = min(BACKOFF_CAP_S, BACKOFF_FIRST_S * 2 ** min(attempt - 1, 16))
    return ceiling * draw


def used_up(attempts: int, retries: int) -> bool:
    """Return whether a record that was tried `attempts` times has used its first attempt and all its retries."""
    return attempts > retries


LOOKUP_SHARE: Final = 4
"""Creates that are sent for each page of a listing, at least, before the next begins while there is more to send."""


def look_up_now(*, idle: bool, crowded: bool, sent_since: int, pages: int) -> bool:
    """Return whether it is time for another listing of a tenant, given that it would clear a doubt.

    `pages` is what the last one cost, `sent_since` the creates sent after it: so look-ups take a fifth of a tenant's
    budget at the most, and many doubts share one. A lane that is `idle` has nothing better to do; one that is
    `crowded` with doubts may not go on before some are cleared.
    """
    return idle or crowded or sent_since >= LOOKUP_SHARE * pages
