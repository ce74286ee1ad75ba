"""Replies for the pacing tests: their headers, as a server means them or as garbage, and a bucket that makes them."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from email.utils import formatdate
from heapq import heappop, heappush

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from bulkstreams.core.pacing import Pacer

# How long a machine takes to draw or to run an example is no matter of these properties.
CALM = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

NOW = 1_750_000_000
DATE = formatdate(NOW, usegmt=True)
NAMES = ("x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset", "retry-after", "date")
GARBAGE = st.one_of(
    st.text(max_size=30),
    st.sampled_from(
        [
            "nan", "-nan", "inf", "-inf", "1e999", "-1", "0", "12.7", "1_000", " 7 ", "٣", "", "9" * 400, DATE,
            "Mon, 99 Foo 20205 99:99:99 +9999", "Wed, 31 Dec 9999 23:59:59 -9959", "Thu, 01 Jan 0000 00:00:00 GMT",
            "Thu, 01 Jan 1970 00:00:00 GMT", "1 Jan 99999999999999999999 00:00:00 GMT",
        ]
    ),
    st.integers(-5, 60).map(str),
    st.integers().map(str),
    st.floats().map(str),
)  # fmt: skip
HEADERS = st.dictionaries(st.sampled_from(NAMES), GARBAGE)
DRAWS = st.floats(0, 1, exclude_max=True)


def told(remaining: int, *, limit: int | None = None, reset: float | None = None, at: float = 0.0) -> dict[str, str]:
    """Return the headers of a reply made at `NOW + at` on the server's clock; `reset` counts from NOW, too."""
    headers = {"x-ratelimit-remaining": str(remaining), "date": formatdate(math.floor(NOW + at), usegmt=True)}
    if limit is not None:
        headers["x-ratelimit-limit"] = str(limit)
    if reset is not None:
        headers["x-ratelimit-reset"] = str(math.ceil(NOW + reset))
    return headers


@dataclass
class Bucket:
    """A server's bucket that is full at first; `shown`: its replies tell of it, without a limit if `sized` is False."""

    burst: int
    rate: float
    shown: bool = True
    sized: bool = True
    tokens: float = field(init=False)
    lowest: int = field(init=False)
    refused: int = 0
    granted: int = 0
    _at: float = 0.0

    def __post_init__(self) -> None:
        self.tokens, self.lowest = float(self.burst), self.burst

    def ask(self, now: float) -> tuple[int, dict[str, str]]:
        """Take a token, if there is one; return the reply's status and headers."""
        self.tokens = min(self.burst, self.tokens + (now - self._at) * self.rate)
        self._at = now
        lets = self.tokens >= 1.0 - 1e-9
        self.tokens -= lets
        self.granted, self.refused = self.granted + lets, self.refused + (not lets)
        left = math.floor(self.tokens + 1e-9)
        self.lowest = min(self.lowest, left)
        more_at = now + (left + 1 - self.tokens) / self.rate
        headers = told(left, limit=self.burst if self.sized else None, reset=more_at, at=now)
        return 201 if lets else 429, headers if self.shown else {}


class Client:
    """One client with an endless backlog, in a time of its own; `waits[n % len]` is how long the n-th is under way."""

    def __init__(self, pacer: Pacer, server: Bucket, travel: list[float], began: float = 1000.0) -> None:
        self.pacer, self.server, self.travel = pacer, server, travel
        self.began = self.now = began
        self.in_flight = self.most_in_flight = self.sent = 0
        self.times: list[float] = []
        self._events: list[tuple[float, int, int, int, dict[str, str] | None]] = []

    def run(self, seconds: float, *, quiet: bool = False) -> int:
        """Let so much time pass; return how many were granted meanwhile. `quiet`: nothing new is sent."""
        until, before = self.now + seconds, self.server.granted
        while self.now < until:
            wait = math.inf if quiet else self.pacer.wait(self.in_flight, self.now)
            if wait <= 0.0:
                self._send()
                continue
            assert wait < math.inf or self._events or quiet, "waits for what can never come"
            look_at = min(until, self.now + max(wait, 1e-6))
            if self._events and self._events[0][0] <= look_at:
                self._happen()
            else:
                self.now = look_at
        return self.server.granted - before

    def _send(self) -> None:
        ticket = self.pacer.take(self.now)
        travel = self.travel[self.sent % len(self.travel)]
        self.sent += 1
        self.times.append(self.now)
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        heappush(self._events, (self.now + travel / 2, self.sent, ticket, 0, None))

    def _happen(self) -> None:
        self.now, number, ticket, status, headers = heappop(self._events)
        if headers is None:
            status, headers = self.server.ask(self.now - self.began)
            travel = self.travel[(number - 1) % len(self.travel)]
            heappush(self._events, (self.now + travel / 2, number, ticket, status, headers))
            return
        self.in_flight -= 1
        self.pacer.heard(ticket, status, headers, self.now, 0.5)
