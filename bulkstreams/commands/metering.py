"""What a command tells of itself while it goes on, in plain values: counts, waits, and how long its creates took.

The values are put together in the event loop, twice a second; whoever wants them, from whatever thread, gets the latest
as they were put together. This module must never hand out anything that goes on changing.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple

import anyio

from bulkstreams.commands.live import OPEN, Live, Watched
from bulkstreams.core.errands import Outcome
from bulkstreams.core.metrics import Histogram, Tally
from bulkstreams.core.waiting import PAUSES, Progress, WaitKind
from bulkstreams.model import Settlement

EVERY_S: Final = 0.5

MOST_TENANTS: Final = 20
"""Tenants that are named in all the time that a command takes; the others are counted. Whoever gathers metrics keeps
a series for each name that it ever saw."""


class Pause(NamedTuple):
    """A tenant to which nothing goes: why, and for how many seconds still; None: nobody knows."""

    tenant: str
    kind: WaitKind
    seconds: float | None


class Figures(NamedTuple):
    """How a command stood at one instant. `took` counts creates by the seconds that they took at most.

    `errands` are by their kind and fate. `progress` is None while it reads; `left` counts records, or errands where
    those are done.
    """

    elapsed_s: float = 0.0
    lines: int = 0
    records: Mapping[str, int] = {}
    errands: Mapping[tuple[str, str], int] = {}
    requests: int = 0
    retries: int = 0
    throttled: int = 0
    lookups: int = 0
    in_flight: int = 0
    left: int = 0
    left_s: float | None = None
    progress: Progress | None = None
    pauses: Sequence[Pause] = ()
    took: Sequence[tuple[float, int]] = ()
    took_s: float = 0.0


class Metered(Live):
    """Watches a command as any `Live` does, and keeps what only ever grows, through all that the command does."""

    def __init__(self, say: Callable[[str], None], clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(say, clock)
        self._records: Counter[str] = Counter()
        self._errands: Counter[tuple[str, str]] = Counter()
        self._took = Histogram()
        self._earlier = Tally()
        self._named: dict[str, None] = {}
        self.figures = self.now()

    async def keep_telling(self) -> None:
        """Bring `figures` up to date until cancelled."""
        while True:
            self.figures = self.now()
            await anyio.sleep(EVERY_S)

    async def settled(self, batch: Sequence[Settlement]) -> None:
        """Count what is durable now, and how long the requests that it came from took."""
        final = [one for one in batch if one.state not in OPEN]
        self._records.update(one.state for one in final)
        self._took.add(one.latency_ms / 1000 for one in final if one.latency_ms is not None)
        await super().settled(batch)

    async def errands_settled(self, batch: Sequence[Outcome]) -> None:
        """Count the errands that have met their fates."""
        self._errands.update((one.kind, one.state) for one in batch if one.state not in OPEN)
        await super().errands_settled(batch)

    def turn_to(self, engine: Watched) -> None:
        """Watch what comes after a run; what was asked in it stays counted."""
        if self.engine is not None:
            self._earlier.add(self.engine.tally)
        super().turn_to(engine)

    def now(self) -> Figures:
        """Return how the command stands; only in the event loop."""
        engine, progress, asked = self.engine, self.progress(), Tally()
        asked.add(self._earlier)
        if engine is not None:
            asked.add(engine.tally)
        return Figures(
            elapsed_s=self.elapsed_s,
            lines=self.lines,
            records=dict(self._records),
            errands=dict(self._errands),
            requests=asked.requests,
            retries=asked.retries,
            throttled=asked.throttled,
            lookups=asked.lookups,
            in_flight=0 if engine is None else sum(lane.in_flight for lane in engine.lanes.values()),
            left=self.total - self.done,
            left_s=None if progress is None or engine is None else progress.left_s(engine.outlook.now),
            progress=progress,
            pauses=() if progress is None or engine is None else tuple(self._pauses(progress, engine.outlook.now)),
            took=self._took.up_to(),
            took_s=self._took.total_s,
        )

    def _pauses(self, progress: Progress, now: float) -> Iterator[Pause]:
        for tenant, wait in progress.waits:
            if wait.kind not in PAUSES:
                continue
            if len(self._named) < MOST_TENANTS:
                self._named.setdefault(tenant)
            if tenant in self._named:
                yield Pause(tenant, wait.kind, wait.seconds(now))
