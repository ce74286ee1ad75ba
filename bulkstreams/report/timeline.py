"""When records were settled: counts and times by stretches of the runs, laid end to end.

A ledger may be of runs that are days apart, so what is drawn is time in which a run went on; what lies between two runs
is left out. A stretch belongs to one run. This module must never hold more than the stretches.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple

from bulkstreams.histogram import Histogram
from bulkstreams.ledger import Settled
from bulkstreams.model import State

MOST_STRETCHES: Final = 240
"""Stretches that the runs are cut into, about; each run has one at least."""

_WIDTHS: Final = (0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 43200, 86400)
_LEAST_S: Final = 0.001


class Span(NamedTuple):
    """A run as time: its id and name, from when to when, in epoch seconds."""

    run: int
    name: str
    started_at: float
    ended_at: float

    @property
    def seconds(self) -> float:
        """Return how long it took; a clock that was set back makes no run shorter than an instant."""
        return max(self.ended_at - self.started_at, _LEAST_S)


class Stretch:
    """Some seconds of a run: `offset_s` after the first run began, less all that lay between runs."""

    def __init__(self, span: Span, number: int, width: float, seconds: float, offset_s: float) -> None:
        self.run = span.name
        self.at = span.started_at + number * width
        self.seconds = seconds
        self.offset_s = offset_s
        self.states: Counter[str] = Counter()
        self.recovered = self.retries = 0
        self.times = Histogram(coarse=True)

    def add(self, record: Settled) -> None:
        """Count a record that was settled in this stretch."""
        self.states[record.state] += 1
        self.recovered += record.recovered
        self.retries += max(0, record.attempts - 1)
        if timed(record):
            self.times.add((record.latency_ms or 0.0) / 1000)

    @property
    def created_per_s(self) -> float:
        """Return how many records were created in each of its seconds."""
        return round(self.states[State.CREATED] / self.seconds, 3)

    def figures(self) -> dict[str, Any]:
        """Return what it counted; rates are a second's."""
        return {
            "run": self.run,
            "at": self.at,
            "offset_s": round(self.offset_s, 3),
            "seconds": round(self.seconds, 3),
            "records": {state: self.states[state] for state in State if self.states[state]},
            "created_per_s": self.created_per_s,
            "recovered": self.recovered,
            "retries": self.retries,
            "service_time_ms": self.times.figures(),
        }


def timed(record: Settled) -> bool:
    """Return whether a record's latency is that of a create that was answered."""
    return record.latency_ms is not None and record.state != State.UNDONE


class Timeline:
    """The stretches of some runs, and what was settled in them; `elsewhere` counts the records of other runs."""

    def __init__(self, spans: Sequence[Span]) -> None:
        self.width = _width(sum(span.seconds for span in spans))
        self.elsewhere = 0
        self.starts: list[tuple[float, Span]] = []
        self._runs: dict[int, tuple[float, list[Stretch]]] = {}
        offset = 0.0
        for span in spans:
            self.starts.append((offset, span))
            stretches = _stretches(span, self.width, offset)
            self._runs[span.run] = (span.started_at, stretches)
            offset = stretches[-1].offset_s + stretches[-1].seconds

    def add(self, records: Iterable[Settled]) -> Histogram:
        """Count records, and return how long the creates among them took."""
        whole = Histogram()
        for record in records:
            if timed(record):
                whole.add((record.latency_ms or 0.0) / 1000)
            found = self._runs.get(record.run)
            if found is None:
                self.elsewhere += 1
                continue
            started_at, stretches = found
            number = int((record.settled_at - started_at) / self.width)
            stretches[min(max(number, 0), len(stretches) - 1)].add(record)
        return whole

    def stretches(self) -> list[Stretch]:
        """Return all stretches, in order."""
        return [one for _, its in self._runs.values() for one in its]

    def created(self) -> tuple[int, float]:
        """Return how many records were created, and how long the runs took that created any."""
        runs = [its for _, its in self._runs.values() if any(one.states[State.CREATED] for one in its)]
        return (
            sum(one.states[State.CREATED] for its in runs for one in its),
            sum(one.seconds for its in runs for one in its),
        )


def _width(seconds: float) -> float:
    return next((width for width in _WIDTHS if seconds <= width * MOST_STRETCHES), _WIDTHS[-1])


def _stretches(span: Span, width: float, offset: float) -> list[Stretch]:
    """Cut a run; what would be left at its end, and less than half a stretch, goes with the one before it."""
    count = max(1, round(span.seconds / width))
    last = span.seconds - (count - 1) * width
    return [
        Stretch(span, number, width, last if number == count - 1 else width, offset + number * width)
        for number in range(count)
    ]
