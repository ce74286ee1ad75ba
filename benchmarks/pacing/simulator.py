"""One client with a backlog against one model of a server, in virtual time: events in a heap, nothing waits.

A request leaves when the policy lets it, arrives at the server after the way there, is granted or refused in that
instant, and its reply is heard after the way back. What was refused goes again before all others. The simulator must
never decide when a request may go: the policy does, and `again` where a contender lets each request wait for itself.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from heapq import heappop, heappush
from random import Random
from typing import Any, Final, Protocol

from benchmarks.pacing.models import Server

LATE_S: Final = 0.001
"""Timers of an event loop come up to so much late."""

TIMEOUT_S: Final = 30.0
LOOKS_PER_REQUEST: Final = 200
"""A policy that looks more often than that without sending anything would spin."""

_LEAST_WAIT_S: Final = 1e-6

CREATED: Final = 201
THROTTLED: Final = 429


class Policy(Protocol):
    """What gates the requests of one tenant: the shape of `core.pacing.Pacer`.

    A contender may have one more method, `again(tries, headers, now, draw) -> float | None`: the seconds for which a
    request that was refused for the `tries`-th time (1-based) sleeps, keeping its place among those at once and going
    again without asking the gate; None: it is given up.
    """

    resume_at: float

    def wait(self, in_flight: int, now: float) -> float:
        """Return 0.0 where one more may go now, else the seconds to wait; infinite: not before a reply comes."""

    def take(self, now: float) -> int:
        """Note that a request goes; return its ticket."""

    def heard(self, ticket: int, status: int, headers: Mapping[str, str], now: float, draw: float) -> None:
        """Note its reply."""

    def lost(self, ticket: int, now: float) -> None:
        """Note that no reply will come."""


Again = Callable[[int, Mapping[str, str], float, float], float | None]


class StuckError(Exception):
    """The policy waits for what can never come, or looks for ever without sending."""


@dataclass(slots=True, kw_only=True)
class Result:
    """What became of a backlog. `duration`: seconds until the last grant was heard; `grantable`: by the last grant."""

    records: int
    granted: int = 0
    refused: int = 0
    given_up: int = 0
    timed_out: int = 0
    duration: float = 0.0
    grantable: float = 0.0
    highest_in_flight: int = 0
    lowest_remaining: int | None = None
    neighbour_got: float | None = None
    looks: int = 0
    complete: bool = False
    granted_per_second: list[int] = field(default_factory=list)
    refused_per_second: list[int] = field(default_factory=list)

    @property
    def requests(self) -> int:
        """Return how many reached the server."""
        return self.granted + self.refused

    @property
    def used(self) -> float:
        """Return the share of what the server would have granted; 1 where it would have granted nothing."""
        return self.granted / self.grantable if self.grantable else 1.0

    @property
    def refused_share(self) -> float:
        """Return the share of 429 among all replies."""
        return self.refused / self.requests if self.requests else 0.0


def simulate(
    server: Server,
    policy: Policy,
    *,
    records: int,
    concurrency: int,
    seed: int = 0,
    deadline: float = math.inf,
    timeout: float = TIMEOUT_S,
) -> Result:
    """Send so many records, at most `concurrency` at once, until all are granted or given up, or until `deadline`."""
    return _Run(server, policy, records, concurrency, Random(f"client {seed}"), timeout).run(deadline)


class _Run:
    __slots__ = (
        "_again", "_ask", "_busy", "_concurrency", "_draw", "_events", "_flying", "_fresh", "_grantable",
        "_neighbour_got", "_now", "_number", "_policy", "_refused", "_result", "_timeout", "_travel", "_wake_at",
    )  # fmt: skip

    def __init__(
        self, server: Server, policy: Policy, records: int, concurrency: int, draws: Random, timeout: float
    ) -> None:
        self._ask, self._travel, self._grantable = server.ask, server.travel, server.grantable
        self._neighbour_got = server.neighbour_got
        self._policy = policy
        self._again: Again | None = getattr(policy, "again", None)
        self._concurrency, self._timeout = concurrency, timeout
        self._draw = draws.random
        self._fresh = records
        self._refused: deque[int] = deque()  # of those that go again: how often each was refused
        self._busy = self._flying = 0
        self._events: list[tuple[float, int, Callable[[Any], None], Any]] = []
        self._number = 0
        self._now = 0.0
        self._wake_at = math.inf
        self._result = Result(records=records)

    def run(self, deadline: float) -> Result:
        events, result = self._events, self._result
        self._pump()
        while events and events[0][0] <= deadline:
            self._now, _, happen, what = heappop(events)
            happen(what)
        result.complete = not events and result.granted + result.given_up == result.records
        result.neighbour_got = self._neighbour_got()
        if not events and not result.complete:
            raise StuckError(f"nothing is under way at {self._now:.3f} s, and {self._fresh} records wait")
        return result

    def _at(self, at: float, happen: Callable[[Any], None], what: Any) -> None:
        self._number += 1
        heappush(self._events, (at, self._number, happen, what))

    # -- the client ---------------------------------------------------------------------------------------------------

    def _pump(self) -> None:
        """Send what may go now."""
        while self._busy < self._concurrency and (self._fresh or self._refused):
            self._result.looks += 1
            wait = self._policy.wait(self._flying, self._now)
            if wait > 0.0:
                self._look_again(wait)
                return
            self._busy += 1
            if self._refused:
                self._send(self._refused.popleft())
            else:
                self._fresh -= 1
                self._send(0)

    def _look_again(self, wait: float) -> None:
        result = self._result
        if result.looks > LOOKS_PER_REQUEST * (result.requests + result.timed_out + 50):
            raise StuckError(f"it looks and looks, {result.looks} times for {result.requests} requests")
        at = self._now + max(wait, _LEAST_WAIT_S) + LATE_S * self._draw()
        if at < self._wake_at:  # one that comes sooner looks again anyway
            self._wake_at = at
            self._at(at, self._wake, None)

    def _wake(self, _: None) -> None:
        if self._now >= self._wake_at:
            self._wake_at = math.inf
            self._pump()

    def _send(self, tries: int) -> None:
        now, result = self._now, self._result
        self._flying += 1
        if self._flying > result.highest_in_flight:
            result.highest_in_flight = self._flying
        flight = (self._policy.take(now), tries)
        there, back = self._travel(now)
        if there == math.inf:
            self._at(now + self._timeout, self._vanish, flight)
        else:
            self._at(now + there, self._arrive, (flight, back))

    def _vanish(self, flight: tuple[int, int]) -> None:
        ticket, tries = flight
        self._flying -= 1
        self._busy -= 1
        self._result.timed_out += 1
        self._policy.lost(ticket, self._now)
        self._refused.appendleft(tries)
        self._pump()

    def _hear(self, heard: tuple[tuple[int, int], bool, Mapping[str, str]]) -> None:
        (ticket, tries), granted, headers = heard
        now, draw = self._now, self._draw()
        self._flying -= 1
        self._policy.heard(ticket, CREATED if granted else THROTTLED, headers, now, draw)
        if granted:
            self._busy -= 1
            self._result.duration = now
        elif self._again is None:
            self._busy -= 1
            self._refused.appendleft(tries + 1)
        else:
            self._retry(self._again(tries + 1, headers, now, self._draw()), tries + 1)
        self._pump()

    def _retry(self, delay: float | None, tries: int) -> None:
        if delay is None:
            self._busy -= 1
            self._result.given_up += 1
        else:
            self._at(self._now + delay + LATE_S * self._draw(), self._send, tries)

    # -- the server ---------------------------------------------------------------------------------------------------

    def _arrive(self, arrived: tuple[tuple[int, int], float]) -> None:
        flight, back = arrived
        now, result = self._now, self._result
        granted, remaining, headers = self._ask(now)
        if granted:
            result.granted += 1
            _count(result.granted_per_second, now)
            result.grantable = self._grantable(now)
        else:
            result.refused += 1
            _count(result.refused_per_second, now)
        if result.lowest_remaining is None or remaining < result.lowest_remaining:
            result.lowest_remaining = remaining
        self._at(now + back, self._hear, (flight, granted, headers))


def _count(series: list[int], now: float) -> None:
    second = int(now)
    while len(series) <= second:
        series.append(0)
    series[second] += 1
