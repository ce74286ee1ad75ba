"""What a reply says of its tenant's budget and of the server's clock; what it says is read, never believed blindly.

The server says how much is left (`x-ratelimit-remaining`) and when more comes (`x-ratelimit-reset`, whole epoch
seconds on the server's own clock, so it is read against the `Date` of its replies, never against ours).
This module must never wait, decide, or read a clock.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import mktime_tz, parsedate_tz
from functools import lru_cache
from typing import Final

PAUSE_CAP_S: Final = 300.0
"""The longest pause that one header may ask for: a wrong clock must not park a tenant for days."""

SENSIBLE_RESET_S: Final = 90.0
"""The farthest reset that is believed: the longest window that Auth0 documents is a minute."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """What one reply says of the tenant's bucket: its size, what is left, when (server's epoch s) more tokens come."""

    limit: int | None
    remaining: int
    reset: float | None


def read_budget(headers: Mapping[str, str]) -> Budget | None:
    """Return what the headers of a reply say of the tenant's budget, or None where they are missing or senseless.

    More left than the bucket holds, or a bucket that holds nothing, says that the headers are about something else.
    Less than nothing left is an overdrawn bucket: nothing is left.
    """
    remaining = _whole(headers.get("x-ratelimit-remaining"))
    limit = _whole(headers.get("x-ratelimit-limit"))
    if remaining is None or (limit is not None and (limit < 1 or remaining > limit)):
        return None
    reset = _whole(headers.get("x-ratelimit-reset"))
    return Budget(limit=limit, remaining=max(0, remaining), reset=None if reset is None else float(reset))


def seconds_to_reset(headers: Mapping[str, str]) -> float | None:
    """Return the seconds from the reply's `Date` to its `x-ratelimit-reset`, at least 0; None if not to be had.

    `Date` is cut to whole seconds, so the difference can be up to one second too long, never too short. A reset that
    is farther off than any window is none.
    """
    reset, date = _whole(headers.get("x-ratelimit-reset")), epoch(headers.get("date"))
    if reset is None or date is None or reset - date > SENSIBLE_RESET_S:
        return None
    return max(0.0, reset - date)


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the seconds that `Retry-After` asks for, given as a number or as a date, within [0, cap]."""
    text = headers.get("retry-after")
    if text is None:
        return None
    try:
        seconds = float(text)
    except ValueError:
        at, date = epoch(text), epoch(headers.get("date"))
        if at is None or date is None:
            return None
        seconds = at - date
    return min(PAUSE_CAP_S, max(0.0, seconds)) if seconds == seconds else None


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
            date = epoch(headers.get("date"))
            self._newest, self._told = None, self._told if date is None else (date, arrived)
        return None if self._told is None else self._told[0] + now - self._told[1]


def _whole(text: str | None) -> int | None:
    try:
        return None if text is None else int(float(text))
    except (ValueError, OverflowError):
        return None


@lru_cache(maxsize=64)  # the same second's `Date` comes with every reply of that second
def epoch(text: str | None) -> float | None:
    """Return the epoch seconds of an HTTP date, or None where it is none."""
    parsed = parsedate_tz(text) if text else None
    try:
        return None if parsed is None else float(mktime_tz(parsed))
    except (ValueError, OverflowError):
        return None
