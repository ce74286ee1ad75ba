"""When records were settled, and what was asked: by stretches of the runs, laid end to end.

A ledger may be of runs that are days apart, so what is drawn is time in which a run went on; what lies between two runs
is left out. A stretch belongs to one run. This module must never hold more than the stretches.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final, Literal, NamedTuple

from bulkstreams.core.course import Asked
from bulkstreams.histogram import Histogram
from bulkstreams.ledger import Settled
from bulkstreams.model import State

MOST_STRETCHES: Final = 240
"""Stretches that the runs are cut into, about; each run has one at least."""

_WIDTHS: Final = (0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 43200, 86400)
_LEAST_S: Final = 0.001
_WINDOW_S: Final = 1.0
_COUNTS: Final = ("requests", "retries", "throttled", "lookups")


class Span(NamedTuple):
    """A run as time: its id and name, from when to when, in epoch seconds; and what it says that it asked in all."""

    run: int
    name: str
    started_at: float
    ended_at: float
    requests: int = 0
    lookups: int = 0

    @property
    def seconds(self) -> float:
        """Return how long it took; a clock that was set back makes no run shorter than an instant."""
        return max(self.ended_at - self.started_at, _LEAST_S)


class Stretch:
    """Some seconds of a run: `offset_s` after the first run began, less all that lay between runs.

    `asked` is what was asked in it, and `allowed` how many requests a second the tenants did allow; None: nobody knows.
    """

    def __init__(self, span: Span, number: int, width: float, seconds: float, offset_s: float) -> None:
        self.run = span.name
        self.at = span.started_at + number * width
        self.seconds = seconds
        self.offset_s = offset_s
        self.states: Counter[str] = Counter()
        self.recovered = self.repeated = 0
        self.times = Histogram(coarse=True)
        self.asked: Counter[str] | None = None
        self.allowed: float | None = None

    def add(self, record: Settled) -> None:
        """Count a record that was settled in this stretch."""
        self.states[record.state] += 1
        self.recovered += record.recovered
        self.repeated += max(0, record.attempts - 1)
        if timed(record):
            self.times.add((record.latency_ms or 0.0) / 1000)

    def ask(self, counts: Iterable[int], allowed: float | None) -> None:
        """Count what was asked in this stretch."""
        self.asked = self.asked or Counter()
        for name, count in zip(_COUNTS, counts, strict=True):
            self.asked[name] += count
        self.allowed = self.allowed if allowed is None else allowed

    @property
    def created_per_s(self) -> float:
        """Return how many records were created in each of its seconds."""
        return round(self.states[State.CREATED] / self.seconds, 3)

    def figures(self) -> dict[str, Any]:
        """Return what it counted; rates are a second's.

        Where nobody knows what was asked, records' attempts before their last one are its retries.
        """
        asked = dict.fromkeys(_COUNTS) if self.asked is None else {name: self.asked[name] for name in _COUNTS}
        return {
            "run": self.run,
            "at": self.at,
            "offset_s": round(self.offset_s, 3),
            "seconds": round(self.seconds, 3),
            "records": {state: self.states[state] for state in State if self.states[state]},
            "created_per_s": self.created_per_s,
            "recovered": self.recovered,
            **asked,
            "retries": self.repeated if self.asked is None else asked["retries"],
            "allowed_per_s": None if self.allowed is None else round(self.allowed, 3),
            "service_time_ms": self.times.figures(),
        }


def timed(record: Settled) -> bool:
    """Return whether a record's latency is that of a create that was answered."""
    return record.latency_ms is not None and record.state != State.UNDONE


class _Track:
    """A run, laid on the axis; `placed` counts the requests and look-ups that stand in its stretches."""

    def __init__(self, span: Span, width: float, offset: float) -> None:
        self.span = span
        self.width = width
        self.offset = offset
        self.stretches = _stretches(span, width, offset)
        self.placed = Counter[str]()
        self.has_course = False

    def number(self, instant: float) -> int:
        """Return which stretch an instant is in; a clock that was set back or ahead leads to the first, or the last."""
        number = int((instant - self.span.started_at) / self.width)
        return min(max(number, 0), len(self.stretches) - 1)

    def ask(self, asked: Asked) -> None:
        """Count what was asked; what lies across stretches is shared out by time, and each request counts once."""
        self.has_course = True
        self.placed.update(requests=asked.requests, lookups=asked.lookups)
        told = (0, 0, 0, 0)
        for stretch, share in self._shares(asked):
            upto = tuple(round(share * getattr(asked, name)) for name in _COUNTS)
            stretch.ask((count - before for count, before in zip(upto, told, strict=True)), asked.allowed)
            told = upto

    def _shares(self, asked: Asked) -> Iterator[tuple[Stretch, float]]:
        """Yield the stretches in which something was asked, each with the part of it that is over as that ends."""
        first, last = self.number(asked.began_at), self.number(asked.began_at + asked.seconds)
        for number in range(first, last):
            ends_at = self.span.started_at + (number + 1) * self.width
            yield self.stretches[number], (ends_at - asked.began_at) / asked.seconds
        yield self.stretches[last], 1.0

    def created_per_s(self, window_s: float) -> Iterator[float]:
        """Yield how many records were created a second, by windows from its beginning on that are whole stretches.

        As with stretches, what would be left at the end, and less than half a window, goes with the window before it.
        """
        each = round(window_s / self.width)
        count = max(1, round(self.span.seconds / window_s))
        for number in range(count):
            its = self.stretches[number * each : None if number == count - 1 else (number + 1) * each]
            yield round(sum(one.states[State.CREATED] for one in its) / sum(one.seconds for one in its), 3)

    @property
    def is_known(self) -> bool:
        """Return whether it is known what was asked when: of a run that asked nothing it is, too."""
        return self.has_course or not (self.span.requests or self.span.lookups)

    def fill(self) -> None:
        """Tell where nothing was asked; what tenants allowed is what they allowed before."""
        allowed = None
        for one in self.stretches if self.is_known else ():
            if one.asked is None:
                one.asked, one.allowed = Counter(), allowed
            allowed = one.allowed


class Timeline:
    """The stretches of some runs, and what was settled in them; `elsewhere` counts the records of other runs."""

    def __init__(self, spans: Sequence[Span]) -> None:
        self.seconds = sum(span.seconds for span in spans)
        self.width = _width(self.seconds)
        self.elsewhere = 0
        self._runs: dict[int, _Track] = {}
        offset = 0.0
        for span in spans:
            self._runs[span.run] = _Track(span, self.width, offset)
            offset += span.seconds

    def add(self, records: Iterable[Settled]) -> Histogram:
        """Count records, and return how long the creates among them took."""
        whole = Histogram()
        for record in records:
            if timed(record):
                whole.add((record.latency_ms or 0.0) / 1000)
            track = self._runs.get(record.run)
            if track is None:
                self.elsewhere += 1
                continue
            track.stretches[track.number(record.settled_at)].add(record)
        return whole

    def ask(self, course: Iterable[tuple[int, Asked]]) -> None:
        """Count all that the runs (by id) asked of their tenants."""
        for run, asked in course:
            if (track := self._runs.get(run)) is not None:
                track.ask(asked)
        for track in self._runs.values():
            track.fill()

    def unplaced(self, what: Literal["requests", "lookups"], count: int) -> int:
        """Return how many of the ledger's requests, or look-ups, stand in no stretch; it has so many of them in all."""
        tracks = [(int(getattr(track.span, what)), track.placed[what]) for track in self._runs.values()]
        lost = sum(max(0, told - placed) for told, placed in tracks)
        return max(0, count - sum(told for told, _ in tracks)) + lost

    def offset(self, run: int, instant: float) -> float:
        """Return where an instant of a run lies on the axis, in seconds; one outside the run lies at its end."""
        track = self._runs[run]
        return track.offset + min(max(instant - track.span.started_at, 0.0), track.span.seconds)

    @property
    def runs(self) -> int:
        """Return how many runs there are."""
        return len(self._runs)

    @property
    def has_course(self) -> bool:
        """Return whether any run noted what it asked when."""
        return any(track.has_course for track in self._runs.values())

    @property
    def has_budget(self) -> bool:
        """Return whether it is known of any time what the tenants allowed."""
        return any(one.allowed is not None for one in self.stretches())

    def without_course(self) -> set[int]:
        """Return the runs, by id, of which nobody knows what they asked when."""
        return {run for run, track in self._runs.items() if not track.is_known}

    def stretches(self) -> list[Stretch]:
        """Return all stretches, in order."""
        return [one for track in self._runs.values() for one in track.stretches]

    @property
    def window_s(self) -> float:
        """Return over how many seconds the most is taken: one, or a stretch where that is longer."""
        return max(self.width, _WINDOW_S)

    def most_created_per_s(self) -> float:
        """Return how many records were created a second in the best of all windows; each lies within one run."""
        return max((most for track in self._runs.values() for most in track.created_per_s(self.window_s)), default=0.0)

    def created(self) -> tuple[int, float]:
        """Return how many records were created, and how long the runs took that created any."""
        runs = [its.stretches for its in self._runs.values()]
        runs = [its for its in runs if any(one.states[State.CREATED] for one in its)]
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
