"""What a load measures: of the server, and of itself, second by second.

This module must never send or wait for a request: it is told of each, and only its own timer looks at the client.
"""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import anyio

from bulkstreams.core.saturation import LATE_S, Cause, Span, Verdict, judge
from bulkstreams.core.schedule import Schedule
from bulkstreams.engine.tools import Clock
from bulkstreams.histogram import Histogram
from bulkstreams.model import Failure, Reply

TICK_S: Final = 0.05
"""How often the lateness of the event loop is sampled."""

LOOKS_EVERY: Final = 5
"""Samples between two counts of the open sockets: with a thousand of them a count takes a millisecond."""

EVERY_S: Final = 1.0
"""The length of an interval: what series are made of."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One interval of a load, which begins at `at` seconds after the warm-up (before zero: in it).

    `offered` requests were due in it, `sent` began, `done` ended, `errors` of them not in a 201. Both kinds of time are
    of the `timed` ones, which ended and had reached the server; None: there were none. `lag_ms` is the mean lateness of
    the event loop, `busy` the share of a core that it took, `cpu` that of the whole process. At once, `most_under_way`
    requests were under way, counted with each that begins, and `most_sockets` were seen open. The last three are as
    they were at its end: requests under way, requests that were due and had not begun, open sockets.
    """

    at: float
    seconds: float
    offered: int
    sent: int
    done: int
    timed: int
    errors: int
    late: int
    p50_ms: float | None
    p99_ms: float | None
    max_ms: float | None
    service_p50_ms: float | None
    service_p99_ms: float | None
    lag_ms: float
    busy: float
    cpu: float
    most_under_way: int
    most_sockets: int
    under_way: int
    overdue: int
    sockets: int


@dataclass(slots=True)
class _Now:
    """What is counted of the interval that goes on."""

    began: float
    busy_at: float
    cpu_at: float
    most_under_way: int = 0
    most_sockets: int = 0
    sent: int = 0
    left_over: int = 0  # of those sent: what was to begin in a warm-up that was over
    done: int = 0
    errors: int = 0
    late: Counter[Cause] = field(default_factory=Counter)
    lag_s: float = 0.0
    samples: int = 0


class Meter:
    """The figures of one load, which begins at `began` (monotonic) with a warm-up of `warmup_s`: that is in no total.

    What was asked for is the schedule's word, not that of whoever was to follow it; a closed loop has none. `sockets`
    tells how many are open; `busy` and `cpu` are the processor seconds of the event loop's thread and of the process.
    An interval ends exactly where the warm-up does, so that what the client is judged by holds nothing of it.
    """

    def __init__(
        self,
        began: float,
        warmup_s: float,
        schedule: Schedule | None,
        clock: Clock,
        sockets: Callable[[], int],
        busy: Callable[[], float] = time.thread_time,
        cpu: Callable[[], float] = time.process_time,
    ) -> None:
        self.began_at, self.begins = began, began + warmup_s
        self.schedule = schedule
        self._in_warmup = 0 if schedule is None else schedule.due_by(warmup_s)
        self.response, self.service = Histogram(), Histogram()
        self._held, self._own = Histogram(), Histogram()  # delays of starts: at the ceiling, and by our own doing
        self.offered, self.requests, self.warmup = 0, 0, 0  # `offered` is known at the end
        self.errors = 0
        self.status: Counter[int] = Counter()
        self.failures: Counter[str] = Counter()
        self.late: Counter[Cause] = Counter()
        self.waited_s = 0.0  # for a free connection
        self.last_at: float | None = None
        self.replied_at = self.begins
        self.points: list[Point] = []
        self.spans: list[Span] = []
        self.under_way = 0
        self._recent, self._recent_service = Histogram(coarse=True), Histogram(coarse=True)
        self._clock = clock
        self._sockets, self._busy, self._cpu = sockets, busy, cpu
        self._sent, self._asked = 0, 0
        self.cut_at = math.inf
        self._now = _Now(began, busy(), cpu())
        self._turn_at = self.begins if warmup_s else math.inf  # until the warm-up's last interval is closed
        self._due = math.inf  # when the next sample is to be taken

    # -- what it is told ----------------------------------------------------------------------------------------------

    def began(self, at: float, now: float, cause: Cause) -> None:
        """Count a request that begins `now` and was to begin at `at`; `cause`: why, if that was earlier."""
        if now >= self._turn_at:
            self._turn()
        self.under_way += 1
        self._sent += 1
        one, late = self._now, now - at
        one.sent += 1
        if self.under_way > one.most_under_way:
            one.most_under_way = self.under_way
        if at < self.begins:
            self._began_in_warmup(late, cause)
            return
        self.requests += 1
        self.last_at = now
        if late > LATE_S:
            one.late[cause] += 1
            self.late[cause] += 1
        if cause is Cause.CEILING:
            self.waited_s += late
            self._held.add(late)
        else:
            self._own.add(late)

    def _began_in_warmup(self, late: float, cause: Cause) -> None:
        """Count a request of the warm-up; the intervals after it have nothing to do with when that began."""
        self.warmup += 1
        if self._now.began >= self.begins:
            self._now.left_over += 1
        elif late > LATE_S:
            self._now.late[cause] += 1

    def ended(self, at: float, now: float, answer: Reply | Failure) -> None:
        """Take the end of a request that was to begin at `at`."""
        if now >= self._turn_at:
            self._turn()
        self.under_way -= 1
        self._now.done += 1
        good = isinstance(answer, Reply) and answer.status == 201
        self._now.errors += not good
        sent = isinstance(answer, Reply) or answer.sent  # a connection that was refused at once is no fast answer
        if sent:
            self._recent.add(now - at)
            self._recent_service.add(answer.elapsed_s)
        if at < self.begins:
            return
        self.errors += not good
        if isinstance(answer, Reply):
            self.status[answer.status] += 1
            self.replied_at = now
        else:
            self.failures[answer.reason] += 1
        if sent:
            self.response.add(now - at)
            self.service.add(answer.elapsed_s)

    # -- what it sees for itself --------------------------------------------------------------------------------------

    def cut(self) -> None:
        """Take note that nothing more is to begin: what the schedule asks for from now on is asked in vain."""
        self.cut_at = min(self.cut_at, self._clock.monotonic())

    async def watch(self) -> None:
        """Sample until cancelled; the last interval is closed by `finish`."""
        self._due = self._next(self._clock.monotonic())
        while True:
            await anyio.sleep(max(0.0, self._due - self._clock.monotonic()))
            now = self._clock.monotonic()
            if now >= self._turn_at:
                self._turn()
            self._sample(now)
            if now - self._now.began >= EVERY_S:
                self._close(now)
            self._due = self._next(max(self._due, now))

    def _next(self, now: float) -> float:
        return min(now + TICK_S, self._turn_at)

    def _sample(self, until: float) -> None:
        """Take note of how late the loop is by an instant, as far as that lies in the interval that goes on."""
        self._now.lag_s += max(0.0, until - max(self._due, self._now.began))  # timers may also come early
        if self._now.samples % LOOKS_EVERY == 0:
            self._now.most_sockets = max(self._now.most_sockets, self._sockets())
        self._now.samples += 1

    def _turn(self) -> None:
        """Close the warm-up's last interval at its very end, however much later that is noticed."""
        self._turn_at = math.inf
        if self._due < self.begins:
            self._sample(self.begins)
        self._close(self.begins)

    def finish(self) -> None:
        """Close the last interval, if there was anything in it."""
        now = self._clock.monotonic()
        if now >= self._turn_at:
            self._turn()
        self.offered = self.requests if self.schedule is None else max(0, self._asked_by(now) - self._in_warmup)
        if self._now.sent or self._now.done or self._asked_by(now) > self._asked:
            self._close(now)

    def _asked_by(self, now: float) -> int:
        """Return how many requests were to begin by an instant."""
        return self._sent if self.schedule is None else self.schedule.due_by(min(now, self.cut_at) - self.began_at)

    def _close(self, until: float) -> None:
        """Close the interval that goes on at an instant; of what was used by now that counts which falls before it."""
        one, recent, service = self._now, self._recent.ms(), self._recent_service.ms()
        seconds = max(until - one.began, 1e-9)
        part = seconds / max(seconds, self._clock.monotonic() - one.began)
        busy_at = one.busy_at + part * (self._busy() - one.busy_at)
        cpu_at = one.cpu_at + part * (self._cpu() - one.cpu_at)
        lag_s = one.lag_s / one.samples if one.samples else 0.0
        busy = (busy_at - one.busy_at) / seconds
        at, asked = one.began - self.begins, self._asked_by(until)
        offered, self._asked = asked - self._asked, asked
        sockets = max(0, self._sockets())
        self.spans.append(
            Span(
                at=at,
                seconds=seconds,
                due=max(offered, one.sent - one.left_over),
                late=one.late,
                lag_s=lag_s,
                busy=busy,
            )
        )
        self.points.append(
            Point(
                at=round(at, 3), seconds=round(seconds, 3), offered=offered, sent=one.sent, done=one.done,
                timed=self._recent.count, errors=one.errors, late=one.late.total(), p50_ms=recent["p50"],
                p99_ms=recent["p99"], max_ms=recent["max"], service_p50_ms=service["p50"],
                service_p99_ms=service["p99"], lag_ms=round(lag_s * 1000, 3), busy=round(busy, 4),
                cpu=round((cpu_at - one.cpu_at) / seconds, 4), most_under_way=one.most_under_way,
                most_sockets=max(one.most_sockets, sockets), under_way=self.under_way,
                overdue=max(0, asked - self._sent), sockets=sockets,
            )
        )  # fmt: skip
        self._recent.clear()
        self._recent_service.clear()
        self._now = _Now(until, busy_at, cpu_at, self.under_way, sockets)

    # -- what follows -------------------------------------------------------------------------------------------------

    @property
    def verdict(self) -> Verdict:
        """Return whether the client was the bottleneck, in what was measured: a warm-up is there to be slow in."""
        return judge(span for span in self.spans if span.at >= 0)

    @property
    def unreached(self) -> int:
        """Return how many ended without having reached the server: they are in no percentile."""
        return self.status.total() + self.failures.total() - self.response.count

    @property
    def delay(self) -> Histogram:
        """Return how long after its intended start each request began."""
        delay = Histogram()
        delay.merge(self._held)
        delay.merge(self._own)
        return delay

    @property
    def own_delay(self) -> Histogram:
        """Return how much of that was the client's own doing: nothing, where a connection had to be waited for."""
        delay = Histogram()
        delay.merge(self._own)
        delay.add_nothing(self._held.count)
        return delay

    def achieved(self, seconds: float) -> float:
        """Return the requests a second that began, over the `seconds` of the schedule and what they came after it."""
        taken = max(seconds, (self.last_at or self.begins) - self.begins)
        return self.requests / taken if taken > 0 else 0.0

    def completed(self, seconds: float) -> float:
        """Return the replies a second, over the `seconds` of the schedule and what the last of them came after it."""
        taken = max(seconds, self.replied_at - self.begins)
        return self.status.total() / taken if taken > 0 else 0.0
