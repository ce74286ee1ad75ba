"""What a run looks like while it goes on: counted as outcomes become durable, shown by whoever draws it.

For a person's eyes only: the totals that a run ends with are computed from the ledger, not from here.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final, Protocol

from bulkstreams.core.errands import Outcome
from bulkstreams.core.lifecycle import FAILED
from bulkstreams.core.metrics import Tally
from bulkstreams.core.waiting import Progress, duration
from bulkstreams.engine import Outlook
from bulkstreams.engine.lane import Lane
from bulkstreams.ledger import LedgerReader, Result
from bulkstreams.model import Problem, Settlement, State, TenantName

SPAN_S: Final = 5.0
"""Seconds over which the rate "now" is taken."""

LULL_S: Final = 1.5
"""Seconds without news that are no news: a server that gives out its budget once a second has us wait for it."""

MOST_SHOWN: Final = 20
"""Lines of one kind of complaint that are printed; the rest is counted."""

MOST_STOPPED: Final = 5
"""Tenants that are told one by one as they stop."""

OPEN: Final = frozenset({State.PENDING.value, State.IN_DOUBT.value})
"""States in which a record or an errand is not done with."""

_FAILED: Final = frozenset(state.value for state in FAILED)

Outcomes = Callable[[Sequence[Result]], Awaitable[None]]


class Watched(Protocol):
    """The engine or the fleet of a command, as far as its progress is concerned."""

    @property
    def outlook(self) -> Outlook:
        """Return what tells how it stands."""

    @property
    def todo(self) -> int:
        """Return how many records it is to settle."""

    @property
    def lanes(self) -> Mapping[TenantName, Lane]:
        """Return the lanes that were seated and are not done."""

    @property
    def tally(self) -> Tally:
        """Return what was asked of the tenants so far."""

    def stop(self, reason: str, hint: str = "") -> None:
        """Drain."""


class Live:
    """Watches one run: a reading's findings, the settlements, and what the lanes wait for.

    `listed`: the command that tells all the complaints of which only the first are told; {}: their kind.
    `has_total`: it is known from the beginning how much there is to do. `reads_lines`: it begins with reading an input.
    """

    has_total = True
    reads_lines = True

    def __init__(
        self,
        say: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
        most_shown: int | None = MOST_SHOWN,
        listed: str = "bulkstreams results LEDGER --state {}",
    ) -> None:
        self.say = say
        self.engine: Watched | None = None
        self.reader: LedgerReader | None = None
        self.outcomes: Outcomes | None = None
        self.lines = 0
        self.done = 0
        self.states: Counter[str] = Counter()
        self.failures: deque[Result] = deque(maxlen=3)
        self.began = clock()
        self._clock = clock
        self._most_shown = most_shown
        self._listed = listed
        self._recent: deque[tuple[float, int]] = deque()
        self._complaints: Counter[str] = Counter()
        self._notes: Counter[str] = Counter()
        self._stopped = 0

    # -- a reading's findings -----------------------------------------------------------------------------------------

    def lines_read(self, count: int) -> None:
        """Count lines that are in the ledger."""
        self.lines += count

    def invalid(self, file: str, line: int, problems: Sequence[Problem]) -> None:
        """Tell each problem of a line that cannot be used."""
        for problem in problems:
            self._complain("invalid", f"{file}:{line}: {problem}")

    def duplicate(self, file: str, line: int, key: str | None, first_file: str, first_line: int) -> None:
        """Tell of a line whose key an earlier one has."""
        self._complain("duplicate", f"{file}:{line}: duplicate of {first_file}:{first_line} (key {key!r}); not sent")

    def noted(self, file: str, line: int, notes: Sequence[Problem]) -> None:
        """Count what was passed over."""
        for note in notes:
            self._notes[str(note)] += 1
            if self._notes[str(note)] == 1:
                self.say(f"note: {file}:{line}: {note}")

    def lane_stopped(self, tenant: str, reason: str) -> None:
        """Tell at once of a tenant that is asked no more: the others may take long."""
        self._stopped += 1
        if self._stopped <= MOST_STOPPED:
            self.say(f"stopped {tenant}: {reason}")
        elif self._stopped == MOST_STOPPED + 1:
            self.say("… more tenants stopped; they are told at the end, and by `bulkstreams status` then")

    def beginning(self) -> str:
        """Say what goes on before there is anything to do at the tenants."""
        return f"reading: {self.lines:,} lines in {duration(self.elapsed_s)}" if self.reads_lines else "beginning"

    def _complain(self, kind: str, text: str) -> None:
        self._complaints[kind] += 1
        if self._most_shown is None or self._complaints[kind] <= self._most_shown:
            self.say(text)
        elif self._complaints[kind] == self._most_shown + 1:
            self.say(f"… more of kind {kind}; `{self._listed.format(kind)}` lists them all")

    # -- settlements --------------------------------------------------------------------------------------------------

    async def settled(self, batch: Sequence[Settlement]) -> None:
        """Count what is durable now; look up what a person or a listener wants to see of it."""
        final = [one for one in batch if one.state not in OPEN]
        self.done += len(final)
        self.states.update([one.state for one in final])
        self._recent.append((self._clock(), self.done))
        if self.reader is None:
            return
        if self.outcomes is not None:
            if final:
                await self.outcomes(self.reader.by_id([one.id for one in final]))
            return
        failed = [one.id for one in final if one.state in _FAILED][-3:]
        if failed:
            self.failures.extend(self.reader.by_id(failed))

    async def errands_settled(self, batch: Sequence[Outcome]) -> None:
        """Count the errands that have met their fates; whoever wants outcomes of records is told nothing of them."""
        final = [one.state for one in batch if one.state not in OPEN]
        self.done += len(final)
        self.states.update(final)
        self._recent.append((self._clock(), self.done))

    def turn_to(self, engine: Watched) -> None:
        """Watch what comes after a run, from its beginning: what was counted so far is told elsewhere."""
        self.engine = engine
        self.done = 0
        self.states.clear()
        self.failures.clear()
        self._recent.clear()

    # -- figures ------------------------------------------------------------------------------------------------------

    @property
    def elapsed_s(self) -> float:
        """Return the seconds since the run began."""
        return self._clock() - self.began

    @property
    def total(self) -> int:
        """Return how many records this run is to settle; a look-up may settle more than it was to take."""
        return max(self.done, 0 if self.engine is None else self.engine.todo)

    def count(self) -> str:
        """Say how much is done."""
        return f"{self.done:,}/{self.total:,}"

    def rate(self) -> float:
        """Return the records settled per second, over the last few seconds."""
        now = self._clock()
        while len(self._recent) > 2 and now - self._recent[0][0] > SPAN_S:
            self._recent.popleft()
        if len(self._recent) < 2:
            return 0.0
        (at, done), (last_at, last) = self._recent[0], self._recent[-1]
        # What comes once a second is no slower for the second that it has not come.
        return (last - done) / max(last_at - at, now - at - LULL_S, 1e-3)

    def progress(self) -> Progress | None:
        """Return what the lanes wait for and when the run may be over; None while it reads."""
        return None if self.engine is None or not self.engine.outlook.begun else self.engine.outlook.look()

    def left(self) -> str:
        """Say how long the run may still take; empty where nobody knows."""
        progress = self.progress()
        return "" if progress is None or self.engine is None else progress.left(self.engine.outlook.now)

    def waits(self, most: int) -> list[str]:
        """Say what lanes wait for: `most` of them one by one, those that it hurts most, and the others counted."""
        progress = self.progress()
        if progress is None or self.engine is None:
            return []
        now = self.engine.outlook.now
        return progress.at(now).lines(now, most)

    def allowed(self) -> str:
        """Return the rate that is allowed, as people say it; empty where nobody knows."""
        progress = self.progress()
        return "" if progress is None or progress.allowed is None else f"{progress.allowed:.3g}/s allowed"


class Reads(Live):
    """Watches a command that only reads tenants: it counts streams, and nobody knows beforehand how many there are."""

    has_total = False
    reads_lines = False

    def read(self, count: int) -> None:
        """Count streams that were read."""
        self.done += count
        self._recent.append((self._clock(), self.done))

    def count(self) -> str:
        """Say how much is done."""
        return f"{self.done:,} streams read"

    def left(self) -> str:
        """Say nothing."""
        return ""
