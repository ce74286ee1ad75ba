"""What a lane waits for, told from its own state when somebody asks: nothing is noted on the hot path for it.

This module must never wait, send or change anything.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from bulkstreams.core.waiting import Wait, WaitKind

if TYPE_CHECKING:
    from bulkstreams.engine.lane import Lane

SILENT_S: Final = 2.0
"""Seconds without an answer after which a lane that has requests under way is said to wait for replies."""


def wait_of(lane: Lane, now: float, silent_s: float = 0.0) -> Wait | None:
    """Return what keeps a lane from sending at once, or None where it flows, or has done its work.

    `silent_s`: for how long nothing of it has moved.
    """
    return next((wait for ask in _QUESTIONS if (wait := ask(lane, now, silent_s)) is not None), None)


def _stopping(lane: Lane, _now: float, _silent_s: float) -> Wait | None:
    return None if lane.stopped is None else Wait(WaitKind.STOPPING, lane.stopped)


def pause_of(lane: Lane, now: float, _silent_s: float = 0.0) -> Wait | None:
    """Return why nothing at all goes to a lane's tenant, and until when; None where something may."""
    limiter = lane.limiter
    if limiter.resume_at <= now:
        return None
    kind = WaitKind.THROTTLED if limiter.is_throttled else WaitKind.UNREACHABLE
    return Wait(kind, limiter.reason, limiter.resume_at)


def _token(lane: Lane, _now: float, _silent_s: float) -> Wait | None:
    return Wait(WaitKind.TOKEN, "waiting for a token") if lane.tokens.is_fetching else None


def _replies(lane: Lane, _now: float, silent_s: float) -> Wait | None:
    count = len(lane.under_way)
    if not count or silent_s < SILENT_S:
        return None
    return Wait(WaitKind.REPLY, f"waiting for replies to {_counted(count, 'request')}")


def _survey(lane: Lane, _now: float, _silent_s: float) -> Wait | None:
    return Wait(WaitKind.SURVEY, _in_trouble(lane, lane.work.first_look)) if lane.surveying else None


def _ledger(lane: Lane, _now: float, silent_s: float) -> Wait | None:
    if not lane.idle or silent_s < SILENT_S:
        return None
    if lane.is_claiming:
        return Wait(WaitKind.LEDGER, "waiting for the ledger's disk")
    if lane.tools.recorder.behind:
        return Wait(WaitKind.LEDGER, "waiting for the ledger's disk, or for whoever is told of outcomes")
    return None


def _doubts(lane: Lane, now: float, _silent_s: float) -> Wait | None:
    doubts = lane.doubts
    if not doubts.busy or not lane.idle:
        return None
    records = f"{_counted(doubts.count, 'record')} in doubt"
    if doubts.settles_at > now:
        return Wait(WaitKind.DOUBT, f"{records} must settle before the look-up", doubts.settles_at)
    return Wait(WaitKind.DOUBT, _in_trouble(lane, f"looking up {records}"))


def _in_trouble(lane: Lane, what: str) -> str:
    trouble = lane.breaker.outage.trouble
    return f"{what} ({trouble})" if trouble else what


def _paced(lane: Lane, _now: float, _silent_s: float) -> Wait | None:
    if not lane.at_gate:
        return None
    rate, ceiling = lane.limiter.rate, lane.settings.ceiling
    if rate is None:
        return Wait(WaitKind.PACED, "paced by the server's budget")
    by = "its own ceiling" if ceiling is not None and rate >= ceiling else "the server's budget"
    return Wait(WaitKind.PACED, f"paced at {rate:.3g}/s by {by}")


def _counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


_QUESTIONS: Final[tuple[Callable[[Lane, float, float], Wait | None], ...]] = (
    _stopping, pause_of, _token, _replies, _doubts, _survey, _ledger, _paced,
)  # fmt: skip
"""In the order of what says most: the first that has an answer tells."""
