"""When the next request of a tenant may go: the whole of its budget is to be used, and next to no 429 received.

Three things are known of a tenant, and each holds requests back by itself: the bucket that its headers show
(`core.level`), the rate that it sustains where they show none or not all (`core.sustained`), and how many requests
may be in flight. This module must never wait or read a clock: instants come in as `now`, chance as `draw`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from bulkstreams.core.budget import PAUSE_CAP_S, read_budget, retry_after, seconds_to_reset
from bulkstreams.core.level import Level, Told
from bulkstreams.core.sustained import Sustained

PAUSE_FLOOR_S: Final = 0.25
"""The least pause after a 429: whole-second resets often lie in the past when they arrive."""

TAKEN_AT_ITS_WORD: Final = 3
"""Refusals in a row up to which the server is believed about how long to wait; after that the pauses grow."""

JITTER: Final = 0.1
"""The share of a pause that is added at random, so that clients that were refused together do not return together."""

HEADROOM: Final = 2.0
"""How many times the requests that rate and latency call for (Little's law) may be in flight."""

SPARE: Final = 2
"""And so many more, for replies that come late by chance."""

STALLED_S: Final = 1.0
"""Where replies stay away, one request goes after so many seconds, or so many times the usual latency, to try."""

STALLED_LATENCIES: Final = 4.0

UNWATCHED: Final = 0
"""The ticket of requests that went while nothing held them back."""

_SMOOTHING: Final = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Ceiling:
    """The most that may be sent: `rate` requests a second sustained, `burst` at once; None: no ceiling of ours."""

    rate: float | None
    burst: int


def pause_after_429(headers: Mapping[str, str], *, in_a_row: int, draw: float) -> float:
    """Return the seconds that the whole tenant waits after a 429, the `in_a_row`-th (1-based) without a success.

    The server's word comes first: `Retry-After`, then `x-ratelimit-reset`. Where it says nothing, or keeps refusing
    after the wait it asked for, the pause doubles. `draw` in [0, 1) adds jitter.
    """
    asked = retry_after(headers)
    if asked is None:
        asked = seconds_to_reset(headers)
    grown = min(PAUSE_CAP_S, PAUSE_FLOOR_S * 2.0 ** min(in_a_row - 1, 16))
    wait = grown if asked is None or in_a_row > TAKEN_AT_ITS_WORD else asked
    return max(PAUSE_FLOOR_S, asked or 0.0, wait) * (1.0 + JITTER * draw)


class Pacer:
    """One tenant's pace. `obey` False: only a 429 holds back; `reserve` is the share left to others, in [0, 1)."""

    def __init__(self, *, obey: bool = True, reserve: float = 0.0, concurrency: int = 32) -> None:
        self.resume_at = 0.0
        self.level = Level(reserve=reserve)
        self.sustained = Sustained()
        self.latency_s: float | None = None
        self.obeys = obey
        self.concurrency = concurrency
        self._sent = 0
        self._sent_at: dict[int, float] = {}
        self._newest = 0
        self._waits_since = 0.0  # since when nothing was heard of what went since the newest reply
        self._last_at = -math.inf
        self._spread_s = 0.0
        self._last_refused = 0
        self._in_a_row = 0
        self._window = 1.0  # requests that may be in flight
        self._careful = float(concurrency)  # from this window on it grows by one a round trip, below it doubles

    @property
    def open(self) -> bool:
        """Return whether nothing is known to hold requests back: then they need no ticket of their own."""
        return (
            self._window >= self.concurrency
            and self._sent > 0  # the first is watched, also where there is never more than one,
            and not self._in_a_row  # and so is the first after a refusal: it ends the row
            and not (self.level.known or self.sustained.learned is not None or self.resume_at)
        )

    @property
    def refusing(self) -> int:
        """Return how many refusals in a row there were, once they are so many that pauses grow; else 0."""
        return self._in_a_row if self._in_a_row > TAKEN_AT_ITS_WORD else 0

    @property
    def rate(self) -> float | None:
        """Return the requests a second that the tenant sustains; None: unknown, or nothing limits them."""
        rates = [self.level.seen if self.level.known else None, self.sustained.learned]
        return min((rate for rate in rates if rate is not None), default=None)

    @property
    def window(self) -> int:
        """Return how many requests may be in flight."""
        return min(self.concurrency, math.ceil(self._window))

    def wait(self, in_flight: int, now: float) -> float:
        """Return the seconds to wait before one more request may go beside `in_flight`; inf: not before a reply."""
        if self.resume_at:
            if now < self.resume_at:
                return self.resume_at - now
            self.sustained.resumed(self.resume_at)
            self._last_at = max(self._last_at, self.resume_at)
            self.resume_at = 0.0
        if in_flight >= self._window:
            return self._until_stalled(in_flight, now)
        if not self.obeys:
            return 0.0
        wait = self.sustained.wait(now)
        if self.sustained.learned is not None:
            wait = max(wait, self._unpile(self.sustained.learned, now))
        if self.level.known:
            quiet, travel = now - self._last_at, (self.latency_s or 0.0) / 2
            at_least = self._unpile(self.level.refill or 0.0, now) if in_flight else 0.0
            wait = max(wait, self.level.wait(self._sent, in_flight, at_least, quiet, now, travel_s=travel))
        return wait

    def _until_stalled(self, in_flight: int, now: float) -> float:
        """Return the seconds after which one goes although the window is full: what fills it may hang.

        Not where no reply came ever, and never above the ceiling.
        """
        if self.latency_s is None or in_flight >= self.concurrency:
            return math.inf
        return self._until_try(now)

    def _unpile(self, rate: float, now: float) -> float:
        """Return the seconds to wait where more are unanswered than the usual latency explains; else 0.

        Those that a later request has overtaken do not count: they hang, and the server goes on.
        """
        latency = self.latency_s or 0.0
        if self._sent - self._newest < HEADROOM * rate * latency + SPARE:
            return 0.0
        return self._until_try(now)

    def _until_try(self, now: float) -> float:
        """Return the seconds until one more goes to a server that does not answer: as long again as it has not."""
        return max(0.0, max(self._patience_s, self._last_at - self._waits_since) - (now - self._last_at))

    @property
    def _patience_s(self) -> float:
        """Return how long replies may stay away before that is no longer usual."""
        return max(STALLED_S, STALLED_LATENCIES * (self.latency_s or 0.0))

    def take(self, now: float) -> int:
        """Note that a request goes; return its ticket, for `heard` or `lost`: 0 where nothing holds requests back."""
        if self.open:
            return UNWATCHED
        if self._sent == self._newest:
            self._waits_since = now
        self._sent += 1
        self._sent_at[self._sent] = now
        self._last_at = now
        if self.obeys:
            self.sustained.take(now, self._patience_s)
            if self.level.known:
                self.level.take(self._sent)
        return self._sent

    def lost(self, ticket: int, now: float) -> None:
        """Take note that no reply to `ticket` will come."""
        self._sent_at.pop(ticket, None)
        self.level.settle(ticket)
        self._answered(ticket, now)

    def heard(self, ticket: int, status: int, headers: Mapping[str, str], now: float, draw: float) -> None:
        """Take from the reply to `ticket` what it says of the budget; after a 429 the whole tenant pauses."""
        sent_at = self._sent_at.pop(ticket, now - (self.latency_s or 0.0))
        if status == 429:
            self._refused(ticket, headers, sent_at, now, draw)
        else:
            self._granted(ticket, headers, sent_at, now)
        if ticket != UNWATCHED:
            self._answered(ticket, now)
            self._time(now - sent_at)
        self.level.settle(ticket)

    def _answered(self, ticket: int, now: float) -> None:
        if ticket > self._newest:
            self._newest, self._waits_since = ticket, now

    def _granted(self, ticket: int, headers: Mapping[str, str], sent_at: float, now: float) -> None:
        # What went before the tenant was refused says nothing of what it bears afterwards.
        newer = ticket > self._last_refused or self.open
        if newer:
            self._in_a_row = 0
            self._widen()
        if not self.obeys:
            return
        self.sustained.granted(now, self._patience_s)
        budget = read_budget(headers)
        if budget is not None:
            self.level.heard(self._told(ticket, headers, sent_at, now), budget)
            if newer:
                self._window = max(self._window, self._careful)

    def _time(self, taken: float) -> None:
        """Smooth latency and its spread as TCP does (RFC 6298, section 2), upwards faster than downwards."""
        if self.latency_s is None:
            self.latency_s, self._spread_s = taken, taken / 2
            return
        error = taken - self.latency_s
        self._spread_s += _SMOOTHING * (abs(error) - self._spread_s)
        self.latency_s += _SMOOTHING * (3.0 if error > 0 else 1.0) * error

    def _widen(self) -> None:
        if self._window < self.concurrency:
            wider = self._window + (1.0 if self._window < self._careful else 1.0 / self._window)
            self._window = min(float(self.concurrency), wider)

    def _told(self, ticket: int, headers: Mapping[str, str], sent_at: float, now: float) -> Told:
        """Say of a reply which requests it may not have counted."""
        apart = 2 * self._spread_s
        uncounted = unordered = 0
        hung = now - self._patience_s
        for other, at in reversed(self._sent_at.items()):
            if other < ticket and at <= hung:
                break
            uncounted += 1
            unordered += other < ticket and at > sent_at - apart
        return Told(ticket, headers, sent_at, now, self._sent, len(self._sent_at), uncounted, unordered, apart)

    def _refused(self, ticket: int, headers: Mapping[str, str], sent_at: float, now: float, draw: float) -> None:
        """Pause; one pause for all that were under way when it began: they say nothing new."""
        if ticket > self._last_refused or self.open:
            self._last_refused = self._sent
            self._in_a_row += 1
            self._careful = max(1.0, self._window / 2)
            if self.obeys:
                self._learn(ticket, headers, sent_at, now)
        self._window = 1.0
        pause = pause_after_429(headers, in_a_row=self._in_a_row, draw=draw)
        self.resume_at = max(self.resume_at, now + pause)

    def _learn(self, ticket: int, headers: Mapping[str, str], sent_at: float, now: float) -> None:
        """Take from a 429 which bucket was empty: the one that the headers show, or one that they do not."""
        budget = read_budget(headers)
        if budget is not None and budget.remaining == 0:
            self.level.refused(self._told(ticket, headers, sent_at, now), budget)
        else:
            self.sustained.refused(now, self._patience_s)
