"""How a run stands as a whole: what its lanes wait for, and when the last of them may be done.

Computed when somebody asks, and never more often than is cheap, however many lanes there are. No total that is
reported comes from here. This module must never ask the ledger, nor slow a lane down.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from heapq import nsmallest
from operator import itemgetter
from typing import TYPE_CHECKING, Final

from bulkstreams.core.estimate import Ending, Pace, lane_left, run_left, sustained
from bulkstreams.core.waiting import PAUSES, Progress, Wait, WaitKind, urgency
from bulkstreams.engine.waiting import wait_of
from bulkstreams.model import TenantName

if TYPE_CHECKING:
    from bulkstreams.engine.lane import Lane

EVERY_S: Final = 0.1
"""Seconds for which an answer is good."""

PER_LANE_S: Final = 0.0005
"""Seconds that it is good for, for each lane: looking at one takes about a hundredth of that."""

MOST: Final = 20
"""The waits that are told one by one."""

LONG_S: Final = 10.0
"""Seconds of a pause that are no part of a lane's pace, since they will not come again and again."""

_IDLE: Final = frozenset({WaitKind.SURVEY, WaitKind.TOKEN, WaitKind.DOUBT})
"""Waits that come before or after the sending: they say nothing of its pace."""

_OPEN_ENDED: Final = frozenset({WaitKind.UNREACHABLE, WaitKind.REPLY, WaitKind.DOUBT, WaitKind.SURVEY})
"""Waits that end when the tenant answers: nobody knows when, and no pace tells it."""


class _Watched:
    """One lane, and what it did since it was last looked at."""

    def __init__(self, lane: Lane, now: float) -> None:
        self.lane = lane
        self.pace = Pace()
        self.left: float | None = None
        self.rate: float | None = None
        self.wait: Wait | None = None
        self._seen_at = self._moved_at = now
        self._out_until = 0.0
        self._records: int | None = None  # a lane that has not begun yet does not know them
        self._answered = 0

    def look(self, now: float, may_take: int | None) -> None:
        """Bring everything up to date."""
        lane, records = self.lane, self.lane.left()
        answered = lane.sent - len(lane.under_way)  # what is sent is no news: against a server that hangs a few go, too
        if (records, answered) != (self._records, self._answered):
            self._moved_at = now
        wait = self.wait = wait_of(lane, now, now - self._moved_at)
        if self._records is not None and not self._sits_out(wait, now):
            self.pace.note(self._records - records, now - self._seen_at)
        if records or self._records is not None:
            self._records = records
        self._seen_at, self._answered = now, answered
        paced = wait is not None and wait.kind is WaitKind.PACED
        allowed = lane.limiter.rate
        self.rate = sustained(allowed and allowed / lane.work.requests_each, self.pace.rate, paced=paced)
        pause = 0.0 if wait is None else wait.seconds(now) or 0.0
        self.left = 0.0 if lane.stopped is not None else lane_left(lane.left(may_take), self.rate, pause)

    def _sits_out(self, wait: Wait | None, now: float) -> bool:
        """Return whether a wait is none of the lane's pace; a pause that was long as it began is none to its end."""
        if wait is not None and wait.kind in PAUSES and wait.until is not None and wait.until - now > LONG_S:
            self._out_until = wait.until
        return now <= self._out_until or (wait is not None and wait.kind in _IDLE)


class Outlook:
    """Watches the lanes of one run. `clock` gives monotonic seconds, `may_take` how many records may still be claimed.

    `Progress` comes out by that clock; `stops_at` is the run's deadline by it.
    """

    def __init__(
        self,
        clock: Callable[[], float],
        may_take: Callable[[], int | None] = lambda: None,
        stops_at: float | None = None,
    ) -> None:
        self._clock = clock
        self._stops_at = stops_at
        self._may_take = may_take
        self._watched: dict[TenantName, _Watched] = {}
        self._unseated: dict[TenantName, int] = {}
        self._waiting = 0
        self.begun = False
        self._ending = Ending()
        self._seen: Progress | None = None
        self._good_until = 0.0

    @property
    def now(self) -> float:
        """Return the instant by the clock that it goes by."""
        return self._clock()

    def expect(self, todo: Mapping[TenantName, tuple[int, int]]) -> None:
        """Take note of the tenants that have something to do: how many records are pending and in doubt."""
        self.begun = True
        self._unseated = {tenant: pending + in_doubt for tenant, (pending, in_doubt) in todo.items()}
        self._waiting = sum(self._unseated.values())

    def pass_over(self, tenant: TenantName) -> None:
        """Wait for a tenant's turn no longer."""
        self._waiting -= self._unseated.pop(tenant, 0)

    def seat(self, lane: Lane) -> None:
        """Watch a lane from now on, until it says that it has finished."""
        self.pass_over(lane.tenant)
        self._watched[lane.tenant] = _Watched(lane, self._clock())

    def look(self) -> Progress:
        """Return how the run stands."""
        now = self._clock()
        if self._seen is None or now >= self._good_until:
            self._seen = self._look(now)
            self._good_until = now + max(EVERY_S, PER_LANE_S * len(self._watched))
        return self._seen

    def _look(self, now: float) -> Progress:
        may_take = self._may_take()
        for tenant, one in list(self._watched.items()):
            if one.lane.finished:
                del self._watched[tenant]
            else:
                one.look(now, may_take)
        watched = self._watched.values()
        waits = [(urgency(one.wait, one.left), one.lane.tenant, one.wait) for one in watched if one.wait is not None]
        lefts = [one.left for one in watched if one.left is not None]
        rates = [one.rate for one in watched if one.rate]
        mean = sum(rates) / len(rates) if rates else None
        left = run_left(lefts, self._left_waiting(may_take), mean)
        unsure = len(lefts) < len(watched) or any(wait.kind in _OPEN_ENDED for *_, wait in waits)
        return Progress(
            lanes=len(watched),
            unseated=len(self._unseated),
            waits=tuple((tenant, wait) for _, tenant, wait in nsmallest(MOST, waits, key=itemgetter(0, 1))),
            counts=Counter(wait.kind for *_, wait in waits),
            allowed=allowed(one.lane for one in watched),
            ends_at=self._ending.tell(left, now),
            at_least=unsure or (bool(self._waiting) and mean is None),
            stops_at=self._stops_at,
        )

    def _left_waiting(self, may_take: int | None) -> int:
        return self._waiting if may_take is None else min(self._waiting, may_take)


def allowed(lanes: Iterable[Lane]) -> float | None:
    """Return the requests a second that those lanes may send together of which it is known; None: it is of none.

    A tenant that never said it, as while it is down, hides nothing of what the others allow.
    """
    rates = [rate for lane in lanes if (rate := lane.limiter.rate) is not None]
    return sum(rates) if rates else None
