"""When the next request of a tenant may go: what the server's headers say, and how long a pause must be.

The server says how much is left (`x-ratelimit-remaining`) and when more comes (`x-ratelimit-reset`, whole epoch
seconds on the server's own clock, so it is read against the `Date` of the same reply, never against ours).
This module must never wait or read a clock: instants come in as `now`, chance as `draw`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import mktime_tz, parsedate_tz
from functools import lru_cache
from typing import Final

PAUSE_FLOOR_S: Final = 0.25
"""The least pause after a 429: whole-second resets often lie in the past when they arrive."""

PAUSE_CAP_S: Final = 300.0
"""The longest pause that one header may ask for: a wrong clock must not park a tenant for days."""

PAUSE_UNKNOWN_S: Final = 1.0
"""The first pause after a 429 that says nothing of when to come back; it doubles while the 429s go on."""

JITTER: Final = 0.1
"""The share of a pause that is added at random, so that clients that were refused together do not return together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """What one reply says of the tenant's bucket: its size, what is left, seconds until more tokens come."""

    limit: int | None
    remaining: int
    more_in_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Ceiling:
    """The most that may be sent: `rate` requests a second sustained, `burst` at once; None: no ceiling of ours."""

    rate: float | None
    burst: int


def read_budget(headers: Mapping[str, str]) -> Budget | None:
    """Return what the headers of a reply say of the tenant's budget, or None where they are missing or senseless."""
    remaining = _whole(headers.get("x-ratelimit-remaining"))
    if remaining is None:
        return None
    return Budget(
        limit=_whole(headers.get("x-ratelimit-limit")),
        remaining=max(0, remaining),
        more_in_s=seconds_to_reset(headers) or 0.0,
    )


def seconds_to_reset(headers: Mapping[str, str]) -> float | None:
    """Return the seconds from the reply's `Date` to its `x-ratelimit-reset`, within [0, cap]; None if not to be had.

    `Date` is cut to whole seconds too, so the difference can be up to one second too long, never too short.
    """
    reset, date = _whole(headers.get("x-ratelimit-reset")), _epoch(headers.get("date"))
    if reset is None or date is None:
        return None
    return min(PAUSE_CAP_S, max(0.0, reset - date))


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the seconds that `Retry-After` asks for, given as a number or as a date, within [0, cap]."""
    text = headers.get("retry-after")
    if text is None:
        return None
    try:
        seconds = float(text)
    except ValueError:
        at, date = _epoch(text), _epoch(headers.get("date"))
        if at is None or date is None:
            return None
        seconds = at - date
    return min(PAUSE_CAP_S, max(0.0, seconds)) if seconds == seconds else None


def pause_after_429(headers: Mapping[str, str], *, in_a_row: int, draw: float) -> float:
    """Return the seconds that the whole tenant waits after a 429, the `in_a_row`-th (1-based) without a success.

    The server's word comes first: `Retry-After`, then `x-ratelimit-reset`. Where it says nothing, or keeps refusing
    after the wait it asked for, the pause doubles. `draw` in [0, 1) adds jitter.
    """
    asked = retry_after(headers)
    if asked is None:
        asked = seconds_to_reset(headers)
    grown = min(PAUSE_CAP_S, PAUSE_UNKNOWN_S * 2.0 ** min(in_a_row - 1, 16))
    if asked is None:
        wait = grown
    elif in_a_row > 3:
        wait = max(asked, grown / 4)
    else:
        wait = asked
    return max(PAUSE_FLOOR_S, wait) * (1.0 + JITTER * draw)


@dataclass(slots=True)
class ServerClock:
    """The server's own wall clock, told by the `Date` of its newest reply and counted on by a clock that nobody sets.

    So neither a difference between the two machines' clocks nor a clock that is set while a run goes on matters to
    what is compared with the server's instants. `Date` is cut to whole seconds and has travelled: the clock shows up
    to about a second less than the server's, never more.
    """

    _newest: tuple[Mapping[str, str], float] | None = None
    _told: tuple[float, float] | None = None

    def heard(self, headers: Mapping[str, str], now: float) -> None:
        """Take note of a reply that arrived `now` (monotonic seconds)."""
        self._newest = (headers, now)

    def at(self, now: float) -> float | None:
        """Return the server's epoch seconds `now` (monotonic), or None where no reply has told them yet."""
        if self._newest is not None:
            headers, arrived = self._newest
            date = _epoch(headers.get("date"))
            self._newest, self._told = None, self._told if date is None else (date, arrived)
        return None if self._told is None else self._told[0] + now - self._told[1]


def _whole(text: str | None) -> int | None:
    try:
        return None if text is None else int(float(text))
    except (ValueError, OverflowError):
        return None


@lru_cache(maxsize=64)  # the same second's `Date` comes with every reply of that second
def _epoch(text: str | None) -> float | None:
    parsed = parsedate_tz(text) if text else None
    try:
        return None if parsed is None else float(mktime_tz(parsed))
    except (ValueError, OverflowError):
        return None


@dataclass(slots=True)
class Window:
    """What of the server's budget is left to take, as the newest reply tells it.

    Until a first reply came, and after a 429, one request goes alone: it shows what there is. After that as many may
    go as the newest reply left, less those that it could not have counted yet; when nothing is left, all wait until
    more tokens come, and one request goes alone again to see how many. `reserve` is the share of the bucket, in
    [0, 1), that is left to the tenant's other clients.
    """

    reserve: float = 0.0
    _known: bool = False
    _credit: int | None = None
    _more_at: float = 0.0

    def wait(self, in_flight: int, now: float) -> float:
        """Return the seconds to wait before one more request may go beside `in_flight` others; 0: it may go now."""
        if self._known and (self._credit is None or self._credit > 0):
            return 0.0
        if in_flight > 0:
            return PAUSE_CAP_S  # their replies will tell
        return max(0.0, self._more_at - now)

    def take(self) -> None:
        """Note that a request goes."""
        if self._credit is not None and self._credit > 0:
            self._credit -= 1

    def replied(self, headers: Mapping[str, str], in_flight: int, now: float) -> None:
        """Take note of a reply that arrived `now`, while `in_flight` other requests had no answer yet."""
        budget = read_budget(headers)
        self._known = True
        if budget is None:
            # Perhaps a gateway answered for the server; what the server said last still holds.
            return
        kept = 0 if budget.limit is None else int(budget.limit * self.reserve)
        self._credit = max(0, budget.remaining - kept - in_flight)
        # A whole-second reset is often past already when it arrives; without the floor it would not be a wait at all.
        self._more_at = now + max(budget.more_in_s, PAUSE_FLOOR_S)

    def throttled(self) -> None:
        """Begin gently again."""
        self._known, self._credit = False, None
