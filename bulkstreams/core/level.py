"""How many tokens are in the bucket that the server shows: what it told last, less what went since, plus what came.

Every reply tells the level of the moment that it was made, so an error never adds up. What the server has told is
sure, but for other clients that drain the same bucket. What has come since then is a guess; a guess that was refused
is trusted less. This module must never wait or read a clock: instants come in as `now` (monotonic seconds).
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from bulkstreams.core.budget import SENSIBLE_RESET_S, Budget, epoch

SLOT_S: Final = 0.05
"""The least time over which a refill is measured: in less, one token more or less would be most of it."""

SLOT_REQUESTS: Final = 2
"""And the least number of requests: a slow bucket's tokens come one by one."""

SLOTS: Final = 16
"""Measured refills that are remembered: about the last second of a busy tenant."""

LOOK_S: Final = 0.1
"""After so long without a request, one that the margin would hold back goes alone, to see what came meanwhile."""

MARGIN_SHARE: Final = 0.1
"""The share of the bucket, two tokens at most, that is kept for such looks to begin with."""

MARGIN_MOST: Final = 0.7
"""The share of the bucket up to which the margin grows where other clients drain it: more would overflow too often."""

BLIND_S: Final = 1.0
"""The wait for more tokens where nothing is left and the server does not say when more come."""

LEAST_SLOTS: Final = 2
"""Measured refills from which on they are believed."""

RESERVED_SLOTS: Final = 4
"""The same where some is reserved: then two that were measured wrongly still do not count."""

UNORDERED_SHARE: Final = 0.1
"""The share of the bucket that may be in doubt about their order, where a refill is measured."""

RESERVED_GUESS: Final = 0.75
"""The share of the refill that is guessed on where some is reserved: a guess that is wrong takes what is others'.

This costs no rate, as each reply tells the level anew: it only stands a little higher."""

_KEPT: Final = 0.98
"""What a measured refill leaves of those before it in the mean of them all, which so goes back some fifty."""

_CALMING: Final = 0.9995
"""What a granted request leaves of the margin: half of it goes in about 1,400 requests."""

_DISTRUST: Final = 0.5
"""What a refused guess leaves of the trust in guesses."""

_TRUST: Final = 1.02
"""By how much a guess that was granted restores it: 35 of them make up for one that was refused."""

_LEAST_TRUST: Final = 0.02
"""However often guesses were refused, some go: or trust could never grow again."""


class Told(NamedTuple):
    """The reply to the request `ticket` (1, 2, …), of which `sent` have gone by now.

    Requests that are on their way together may arrive in any order. Of those still in flight, `uncounted` may not have
    been counted in this reply; `unordered` of these went before `ticket` did. Two requests arrive in order, as a rule,
    if they went `apart_s` from each other.
    """

    ticket: int
    headers: Mapping[str, str]
    sent_at: float
    now: float
    sent: int
    in_flight: int
    uncounted: int
    unordered: int
    apart_s: float


@dataclass(slots=True)
class Level:
    """The visible bucket of one tenant. `reserve`, in [0, 1), is the share of it that is left to other clients."""

    reserve: float = 0.0
    limit: int | None = None
    known: bool = False
    _floor: int = 0
    _margin: float = 0.0
    _least_margin: float = 0.0
    _told: int = 0
    _lowest: int = 0
    _left: int = 0
    _sent: int = 0
    _asked_at: float = -math.inf
    _at: float = 0.0
    _reset: float | None = None
    _refill: float = 0.0
    _trust: float = 1.0
    _guessed: set[int] = field(default_factory=set)
    _came: float = 0.0
    _passed_s: float = 0.0
    _slots: deque[float] = field(default_factory=lambda: deque(maxlen=SLOTS))
    _slot: tuple[int, int, float] | None = None
    _offsets: deque[tuple[float, float]] = field(default_factory=deque)

    # -- what may go --------------------------------------------------------------------------------------------------

    @property
    def seen(self) -> float | None:
        """Return the tokens a second that were seen coming; None: they were not.

        This is what goes in the long run, however few are guessed on: each reply tells the level anew. A guess goes by
        the lower of what was measured (`refill`), what people are told by all of it: tokens may come all at once.
        """
        return self._came / self._passed_s if self._came > 0.0 and len(self._slots) >= LEAST_SLOTS else None

    @property
    def told(self) -> int | None:
        """Return the tokens that were left when the server told last; None: it never did."""
        return self._told if self.known else None

    @property
    def refill(self) -> float | None:
        """Return the tokens a second that may be guessed on, as far as they were seen coming; None: they were not."""
        return self._refill * self._trust if self._refill > 0.0 else None

    def wait(
        self, sent: int, in_flight: int, at_least: float, quiet_s: float, now: float, *, travel_s: float = 0.0
    ) -> float:
        """Return the seconds to wait before one more request may go; inf: not before a reply.

        `sent` counts the requests that went so far, `quiet_s` is how long ago the last one did; none goes on a guess
        before `at_least` seconds have passed. What comes in the `travel_s` of its way is there when it arrives.
        """
        sure = self._left - (sent - self._sent) - self._floor
        wanted = 1.0 + self._margin
        if sure >= wanted:
            return 0.0
        wait = math.inf
        if self._refill > 0.0:
            cautious, ahead = (RESERVED_GUESS, 0.0) if self._floor else (1.0, travel_s)
            wait = (wanted - sure) / (self._refill * self._trust * cautious) - (now + ahead - self._at)
        if in_flight == 0:
            wait = min(wait, LOOK_S - quiet_s if sure >= 1 else self._until_more(now))
        return max(at_least, wait)

    def take(self, ticket: int) -> None:
        """Note that the request `ticket` goes; remember whether on a guess."""
        if self._left - (ticket - self._sent) - self._floor < 0:
            self._guessed.add(ticket)

    def settle(self, ticket: int) -> None:
        """Forget how the request `ticket` went: it has its reply, whatever that told, or will have none."""
        self._guessed.discard(ticket)

    def _until_more(self, now: float) -> float:
        """Return the seconds until the server said that more tokens come, by its own clock, never too few."""
        offset = self._offset()
        if self._reset is None or offset is None:
            wait = BLIND_S - (now - self._at)
        else:
            wait = self._reset - offset - now
            if wait > SENSIBLE_RESET_S:
                wait = BLIND_S - (now - self._at)
        # Others took what was to be left to them: each second brings one token at least, as a rule.
        return wait + min(SENSIBLE_RESET_S, max(0, self._floor - self._told))

    # -- what replies tell --------------------------------------------------------------------------------------------

    def heard(self, reply: Told, budget: Budget) -> None:
        """Take the level from a reply to a request that took a token."""
        self._note_clock(reply.headers, reply.now)
        if reply.ticket in self._guessed:
            self._trust = min(1.0, self._trust * _TRUST)
        left = budget.remaining - reply.uncounted
        self._margin = max(self._least_margin, self._margin * _CALMING)
        later = reply.sent_at >= self._asked_at + reply.apart_s
        self._lowest = budget.remaining if later else min(self._lowest, budget.remaining)
        if reply.in_flight == 0:
            left = self._lowest  # all are answered: the one that was counted last saw the least
        elif not later and left >= self._left - (reply.sent - self._sent):
            return
        self._measure(reply, budget)
        self._anchor(reply, budget, left)

    def refused(self, reply: Told, budget: Budget) -> None:
        """Take note of a request that this bucket refused: there was less in it than was thought."""
        self._note_clock(reply.headers, reply.now)
        if reply.ticket in self._guessed:
            self._trust = max(_LEAST_TRUST, self._trust * _DISTRUST)
        self._slot = None
        self._anchor(reply, budget, -reply.uncounted)
        if self.limit is not None:
            self._margin = min(MARGIN_MOST * self.limit, max(1.0, 2 * self._margin))

    def _anchor(self, reply: Told, budget: Budget, left: int) -> None:
        if budget.limit is not None and budget.limit != self.limit:
            self.limit = budget.limit
            # One token at least is ours: of a bucket of two, nine tenths are all, and nothing would ever go.
            self._floor = min(math.ceil(budget.limit * self.reserve), budget.limit - 1)
            self._margin = self._least_margin = min(2.0, MARGIN_SHARE * budget.limit)
        self.known = True
        self._left, self._sent, self._asked_at = left, reply.sent, reply.sent_at
        self._at = (reply.sent_at + reply.now) / 2
        self._told, self._reset = budget.remaining, budget.reset

    def _measure(self, reply: Told, budget: Budget) -> None:
        """See what came between two replies; a bucket that is full may have had more coming."""
        if reply.unordered > max(1.0, UNORDERED_SHARE * (self.limit or 0)):
            self._slot = None
            return
        if self._slot is None:
            self._slot = (reply.ticket, budget.remaining, reply.sent_at)
            return
        first, remaining, since = self._slot
        passed = reply.sent_at - since
        if passed < SLOT_S or reply.ticket - first < SLOT_REQUESTS:
            return
        self._slot = (reply.ticket, budget.remaining, reply.sent_at)
        came = budget.remaining - remaining + reply.ticket - first
        gained = max(0.0, came / passed)
        if self.limit is not None and budget.remaining >= self.limit - 1 and 0.0 < gained < self._refill:
            return
        self._came, self._passed_s = _KEPT * self._came + came, _KEPT * self._passed_s + passed
        self._slots.append(gained)
        if len(self._slots) >= (RESERVED_SLOTS if self._floor else LEAST_SLOTS):
            # The lower quartile: a bucket that is filled up once a second gains nothing in most of the slots between.
            self._refill = sorted(self._slots)[len(self._slots) // 4]

    # -- the server's clock -------------------------------------------------------------------------------------------

    def _note_clock(self, headers: Mapping[str, str], now: float) -> None:
        """Learn from `Date`, which is cut to whole seconds, how far the server's clock is ahead of ours at the least.

        The more replies, the nearer: the one that was made just after the second's turn tells it to the latency.
        """
        date = epoch(headers.get("date"))
        if date is None:
            return
        offset = date - now
        offsets = self._offsets
        while offsets and offsets[-1][1] <= offset:
            offsets.pop()
        offsets.append((now, offset))
        while now - offsets[0][0] > SENSIBLE_RESET_S:  # clocks drift
            offsets.popleft()

    def _offset(self) -> float | None:
        return self._offsets[0][1] if self._offsets else None
