"""Which lanes run now, where there are more of them than connections: each in turn, and none at another's cost.

A lane needs a seat to have tasks and a session; a seat comes with so many connections. Seats are given in the order of
the queue. While nobody waits for one, a lane keeps its own until it is done. When others wait, it gives it up where it
can send nothing for longer than a moment, to be seated again when that is over; or when its turn is over, to the end of
the queue: while it is away its tenant's bucket fills. This module must never look into a lane, nor cut one off.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from heapq import heapify, heappop, heappush
from typing import Final, Protocol

import anyio
from anyio.abc import TaskGroup

from bulkstreams.model import TenantName

MOST_SEATS: Final = 512
"""Lanes that run at once: of 10 requests a second each they keep a processor busy, at some 60 KB each."""

MOST_CONNECTIONS: Final = 4096
"""Connections of all lanes together, where there are several; each costs some 25 KB, and all are seldom of use."""

LEAST_POOL: Final = 4
"""Connections that a seat comes with at the least, where its lane wants as many."""

TURN_S: Final = 5.0
"""Seconds that a lane may keep its seat while others wait for one."""

MOMENT_S: Final = 1.0
"""Seconds of rest that are not worth a change of seats."""

LOOK_S: Final = 0.25
"""How often those who sit are looked at while others wait."""

FOR_TOKEN: Final = 1
"""Connections that a seat takes beside its pool: the one for a token."""


class Sitter(Protocol):
    """A lane, as far as its seat is concerned."""

    def rests_until(self) -> float:
        """Return the monotonic instant before which it can send nothing."""

    def leave(self) -> None:
        """Give the seat up as soon as what is under way has ended."""


@dataclass(slots=True, eq=False)
class Seat:
    """What a lane has while it runs: a pool of `pool` connections. Whoever sits down says so with `taken_by`."""

    tenant: TenantName
    pool: int
    wanted: int
    since: float
    taken_by: Sitter | None = None
    asked_at: float | None = None

    def ask(self, now: float) -> None:
        """Ask for the seat."""
        if self.taken_by is not None:
            self.asked_at = now if self.asked_at is None else self.asked_at
            self.taken_by.leave()


Turn = Callable[[Seat], Awaitable[float | None]]
"""What a lane does in its seat; it returns the monotonic instant from which on it wants another, None for never."""


class Seats:
    """The seats of a run: at most `most`, with `connections` among them all. `clock` gives monotonic seconds."""

    def __init__(
        self, connections: int, clock: Callable[[], float], *, most: int = MOST_SEATS, turn_s: float = TURN_S
    ) -> None:
        self._all = self._free = max(1 + FOR_TOKEN, connections)
        self._most = most
        self._turn_s = turn_s
        self._clock = clock
        self._queue: deque[TenantName] = deque()
        self._away: list[tuple[float, int, TenantName]] = []
        self._seated: set[Seat] = set()
        self._turns = 0
        self._look_at = 0.0
        self._closed = False
        self._changed = asyncio.Event()

    @property
    def waiting(self) -> list[TenantName]:
        """Return whose lanes have no seat and are not done, the next ones first."""
        return [*self._queue, *(tenant for _, _, tenant in sorted(self._away))]

    def close(self) -> None:
        """Give out no more seats."""
        self._closed = True
        self._changed.set()

    def recall(self, tenant: TenantName) -> None:
        """Have a lane that is away seated next: it was stopped, and waits no more for what kept it away."""
        for one in self._away:
            if one[2] == tenant:
                self._away.remove(one)
                heapify(self._away)
                self._queue.appendleft(tenant)
                self._changed.set()
                return

    async def run(self, tenants: Iterable[TenantName], wanted: Callable[[TenantName], int], turn: Turn) -> None:
        """Give every tenant its turns, until all are done or `close`; `wanted`: the connections that it can use."""
        self._queue.extend(tenants)
        async with anyio.create_task_group() as group:
            while not self._closed and (self._queue or self._away or self._seated):
                now = self._clock()
                self._bring_back(now)
                self._fill(group, wanted, turn, now)
                if now >= self._look_at:
                    self._make_room(now)
                    self._look_at = now + LOOK_S
                self._changed.clear()
                with anyio.move_on_after(self._patience(now)):
                    await self._changed.wait()

    def _patience(self, now: float) -> float | None:
        """Return the seconds after which to look again, if nothing happens until then; None: not at all."""
        if self._queue or any(self._is_cut(seat) for seat in self._seated):
            return max(0.0, self._look_at - now)
        return max(0.0, self._away[0][0] - now) if self._away else None

    def _bring_back(self, now: float) -> None:
        while self._away and self._away[0][0] <= now:
            self._queue.append(heappop(self._away)[2])

    # -- sitting down --------------------------------------------------------------------------------------------------

    def _fill(self, group: TaskGroup, wanted: Callable[[TenantName], int], turn: Turn, now: float) -> None:
        while self._queue and len(self._seated) < self._most:
            wants = wanted(self._queue[0])
            pool = min(self._share(wants), self._free - FOR_TOKEN)
            if pool < min(wants, LEAST_POOL) and self._seated:
                return
            seat = Seat(self._queue.popleft(), max(1, pool), wants, now)
            self._free -= seat.pool + FOR_TOKEN
            self._seated.add(seat)
            group.start_soon(self._sit, seat, turn)

    def _share(self, wants: int) -> int:
        """Return how many of the connections that it wants a lane may have beside all others that want a seat now."""
        at_once = min(self._most, max(1, len(self._queue) + len(self._seated)))
        among = self._all if at_once == 1 else min(self._all, MOST_CONNECTIONS)
        return min(wants, max(LEAST_POOL, among // at_once - FOR_TOKEN))

    async def _sit(self, seat: Seat, turn: Turn) -> None:
        again: float | None = None
        try:
            again = await turn(seat)
        finally:
            self._seated.discard(seat)
            self._free += seat.pool + FOR_TOKEN
            self._changed.set()
        if again is not None:
            self._turns += 1
            heappush(self._away, (again, self._turns, seat.tenant))

    # -- getting up ----------------------------------------------------------------------------------------------------

    def _make_room(self, now: float) -> None:
        """Ask as many for their seats as wait for one: first those who rest, then those whose turn is over."""
        missing = len(self._queue)
        for seat in self._seated:
            if seat.asked_at is not None:
                seat.ask(now)
                missing -= now - seat.asked_at < MOMENT_S  # who needs longer to leave is not counted on
        if missing > 0:
            for seat in self._dispensable(now)[:missing]:
                seat.ask(now)
        elif not self._queue:
            for seat in self._seated:
                if now - seat.since >= self._turn_s and self._is_cut(seat):
                    seat.ask(now)  # for one with more connections

    def _dispensable(self, now: float) -> list[Seat]:
        resting, over = [], []
        for seat in self._seated:
            if seat.taken_by is None or seat.asked_at is not None:
                continue
            if seat.taken_by.rests_until() > now + MOMENT_S:
                resting.append(seat)
            elif now - seat.since >= self._turn_s:
                over.append(seat)
        return resting + sorted(over, key=lambda seat: seat.since)

    def _is_cut(self, seat: Seat) -> bool:
        """Return whether a lane that sat down among many could have twice its connections by now."""
        return seat.asked_at is None and min(self._share(seat.wanted), seat.pool + self._free) >= 2 * seat.pool
