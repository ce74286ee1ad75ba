"""What a run looks like while it goes on: counted as outcomes become durable, shown by whoever draws it.

For a person's eyes only: the totals that a run ends with are computed from the ledger, not from here.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from bulkstreams.core.lifecycle import FAILED
from bulkstreams.engine import Engine
from bulkstreams.ledger import LedgerReader, Result
from bulkstreams.model import Problem, Settlement, State

SPAN_S: Final = 5.0
"""Seconds over which the rate "now" is taken."""

LULL_S: Final = 1.5
"""Seconds without news that are no news: a server that gives out its budget once a second has us wait for it."""

MOST_SHOWN: Final = 20
"""Lines of one kind of complaint that are printed; the rest is counted."""

_OPEN: Final = frozenset({State.PENDING.value, State.IN_DOUBT.value})
_FAILED: Final = frozenset(state.value for state in FAILED)

Outcomes = Callable[[Sequence[Result]], Awaitable[None]]


class Live:
    """Watches one run: a reading's findings, the settlements, and what the lanes wait for."""

    def __init__(
        self,
        say: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
        most_shown: int | None = MOST_SHOWN,
    ) -> None:
        self.say = say
        self.engine: Engine | None = None
        self.reader: LedgerReader | None = None
        self.outcomes: Outcomes | None = None
        self.lines = 0
        self.done = 0
        self.states: Counter[str] = Counter()
        self.failures: deque[Result] = deque(maxlen=3)
        self.began = clock()
        self._clock = clock
        self._most_shown = most_shown
        self._recent: deque[tuple[float, int]] = deque()
        self._complaints: Counter[str] = Counter()
        self._notes: Counter[str] = Counter()

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

    def _complain(self, kind: str, text: str) -> None:
        self._complaints[kind] += 1
        if self._most_shown is None or self._complaints[kind] <= self._most_shown:
            self.say(text)
        elif self._complaints[kind] == self._most_shown + 1:
            self.say(f"… more of kind {kind}; `bulkstreams results LEDGER --state {kind}` lists them all")

    # -- settlements --------------------------------------------------------------------------------------------------

    async def settled(self, batch: Sequence[Settlement]) -> None:
        """Count what is durable now; look up what a person or a listener wants to see of it."""
        final = [one for one in batch if one.state not in _OPEN]
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

    # -- figures ------------------------------------------------------------------------------------------------------

    @property
    def elapsed_s(self) -> float:
        """Return the seconds since the run began."""
        return self._clock() - self.began

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

    def left_s(self) -> float | None:
        """Return the seconds that the rest will take at the present rate, or None where that cannot be told."""
        rate = self.rate()
        return None if self.engine is None or rate <= 0 else max(0, self.engine.todo - self.done) / rate

    def waits(self) -> list[str]:
        """Say what each lane that does not flow waits for."""
        if self.engine is None:
            return []
        now = time.monotonic()
        texts = []
        for name, lane in self.engine.lanes.items():
            if lane.stopped is not None and not lane.finished:
                texts.append(f"{name}: stopping: {lane.stopped}")
            elif lane.limiter.resume_at > now:
                texts.append(f"{name}: paused for {lane.limiter.resume_at - now:.1f} s more ({lane.limiter.reason})")
            elif lane.surveying:
                texts.append(f"{name}: looking up what is there already")
            elif lane.reconciler.busy and not lane.in_flight:
                texts.append(f"{name}: looking up {lane.reconciler.count} records in doubt")
        return texts

    def allowed(self) -> str:
        """Return the rate that is allowed, as people say it."""
        if self.engine is None:
            return ""
        rates = {lane.limiter.rate for lane in self.engine.lanes.values()}
        if len(rates) != 1:
            return "own limit a tenant" if rates else ""
        rate = rates.pop()
        return "following the server's headers" if rate is None else f"{rate:g}/s allowed"
