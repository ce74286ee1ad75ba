"""The contenders: ours, and what others do, each by its published rule, behind the same protocol.

`wall` gives the client's own clock, in epoch seconds, for an instant of the simulator. A contender must never know
more of the server than its real counterpart would.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Mapping
from email.utils import mktime_tz, parsedate_tz
from typing import Final, NamedTuple

from benchmarks.pacing.simulator import Policy
from bulkstreams.core.pacing import Pacer

Wall = Callable[[float], float]

CONCURRENCY: Final = 32


class Contender(NamedTuple):
    """A policy by name: how to make a new one, and how many requests it has at once at most."""

    name: str
    make: Callable[[Wall], Policy]
    concurrency: int


class Ungated:
    """Lets everything through at once, and learns nothing."""

    resume_at = 0.0

    def __init__(self) -> None:
        self._tickets = 0

    def wait(self, in_flight: int, now: float) -> float:
        """Return 0.0."""
        return 0.0

    def take(self, now: float) -> int:
        """Return the next number."""
        self._tickets += 1
        return self._tickets

    def heard(self, ticket: int, status: int, headers: Mapping[str, str], now: float, draw: float) -> None:
        """Learn nothing."""

    def lost(self, ticket: int, now: float) -> None:
        """Learn nothing."""


class BackOff(Ungated):
    """Back off on 429 only: as fast as concurrency allows; whoever is refused sleeps, and never gives up.

    Each sleeps for itself: 1 s, doubled with each refusal up to a minute, ±50 %.
    """

    def again(self, tries: int, headers: Mapping[str, str], now: float, draw: float) -> float | None:
        """Return the seconds until the request goes again."""
        return min(60.0, 2.0 ** min(tries - 1, 16)) * (0.5 + draw)


class Constant(Ungated):
    """A constant pace: `per_second` starts within any second.

    These are auth0-deploy-cli's numbers, `API_CONCURRENCY` 3 and `API_FREQUENCY_PER_SECOND` 8. Whoever is refused
    sleeps 1 s, doubled up to 30 s, and up to 1 s more; its client's ten retries and its own three are taken as one
    row of thirteen.
    """

    RETRIES: Final = 13

    def __init__(self, per_second: int = 8) -> None:
        super().__init__()
        self._starts: deque[float] = deque(maxlen=per_second)

    def wait(self, in_flight: int, now: float) -> float:
        """Return the seconds until less than `per_second` began within the last one."""
        if len(self._starts) < (self._starts.maxlen or 0):
            return 0.0
        return max(0.0, self._starts[0] + 1.0 - now)

    def take(self, now: float) -> int:
        """Note the start. A request that goes again counts as well, although it does not ask."""
        self._starts.append(now)
        return super().take(now)

    def again(self, tries: int, headers: Mapping[str, str], now: float, draw: float) -> float | None:
        """Return the seconds until the request goes again, or None."""
        return None if tries > self.RETRIES else min(30.0, 2.0 ** (tries - 1)) + draw


class OfficialClient(Ungated):
    """The rule of Auth0's official Python client 5.x (`core/http_client.py`): two retries, each request for itself.

    The delay: `Retry-After`; else the time by its own clock until `x-ratelimit-reset` and up to a fifth more; else
    1 s, doubled, ±10 %; each before its jitter a minute at most. After that the request has failed.
    """

    RETRIES: Final = 2
    CAP_S: Final = 60.0

    def __init__(self, wall: Wall) -> None:
        super().__init__()
        self._wall = wall

    def again(self, tries: int, headers: Mapping[str, str], now: float, draw: float) -> float | None:
        """Return the seconds until the request goes again, or None."""
        if tries > self.RETRIES:
            return None
        asked = self._retry_after(headers, now)
        if asked is not None and asked > 0.0:
            return min(asked, self.CAP_S)
        reset = self._until_reset(headers, now)
        if reset > 0.0:
            return min(reset, self.CAP_S) * (1.0 + 0.2 * draw)
        return min(2.0 ** (tries - 1), self.CAP_S) * (1.0 + 0.2 * (draw - 0.5))

    def _retry_after(self, headers: Mapping[str, str], now: float) -> float | None:
        text = headers.get("retry-after", "")
        if text.strip().isdecimal():
            return float(text)
        date = parsedate_tz(text)
        return None if date is None else max(0.0, mktime_tz(date) - self._wall(now))

    def _until_reset(self, headers: Mapping[str, str], now: float) -> float:
        try:
            return int(headers.get("x-ratelimit-reset", "")) - self._wall(now)
        except ValueError:
            return -math.inf


OURS: Final = Contender("bulkstreams", lambda wall: Pacer(concurrency=CONCURRENCY), CONCURRENCY)
OTHERS: Final = (
    Contender("constant 8/s", lambda wall: Constant(), 3),
    Contender("back off on 429", lambda wall: BackOff(), CONCURRENCY),
    Contender("official client", OfficialClient, CONCURRENCY),
)
