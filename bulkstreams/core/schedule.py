"""When each request of a load is to begin: a rate over time, and the instants that follow from it.

A schedule is a row of stages, in each of which the rate is constant or changes evenly. Request k (from 0) begins when
the sum of the rate over time reaches k, so no stage rounds, and no drift builds up over millions of requests.
This module must never wait, nor know whether anything began when it was to.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

_RATE: Final = re.compile(r"(\d+(?:\.\d+)?)(?:/(s|m|min|h))?")
_PERIOD_S: Final = {"s": 1, "m": 60, "min": 60, "h": 3600}
_SPAN: Final = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|min|h)?")
_UNIT_S: Final = {
    "ms": Fraction(1, 1000),
    "s": Fraction(1),
    "m": Fraction(60),
    "min": Fraction(60),
    "h": Fraction(3600),
}

MOST_RATE: Final = 1_000_000
"""Requests a second that may be asked for: far more than one process can send."""


@dataclass(frozen=True, slots=True)
class Stage:
    """A stretch of `seconds` in which the rate goes evenly from `first` to `last` requests a second."""

    first: Fraction
    last: Fraction
    seconds: Fraction

    @property
    def requests(self) -> Fraction:
        """Return the requests that are due in it: the mean of both rates, times its length."""
        return (self.first + self.last) / 2 * self.seconds

    def __str__(self) -> str:
        """Return it as a line of a file has it, its numbers rounded to six digits."""
        first, last, seconds = (f"{float(one):.6g}" for one in (self.first, self.last, self.seconds))
        return f"{first}/s {seconds}s" if self.first == self.last else f"{first}:{last}/{seconds}s"

    def cut(self, seconds: Fraction) -> Stage:
        """Return its beginning, no longer than `seconds`."""
        if seconds >= self.seconds:
            return self
        return Stage(self.first, self.first + (self.last - self.first) * seconds / self.seconds, seconds)


def steady(rate: Fraction | float, seconds: Fraction | float) -> Stage:
    """Return a stage of a constant rate."""
    return Stage(Fraction(rate), Fraction(rate), Fraction(seconds))


class Schedule:
    """The stages of a load, one after the other."""

    def __init__(self, stages: Sequence[Stage]) -> None:
        self.stages = tuple(stages)
        self.seconds = sum((stage.seconds for stage in stages), Fraction(0))
        self.requests = math.ceil(sum((stage.requests for stage in stages), Fraction(0)))

    def after(self, warmup: Fraction | float) -> Schedule:
        """Return this schedule with a warm-up before it, at the rate that it begins with."""
        if not warmup:
            return self
        rate = next((rate for one in self.stages for rate in (one.first, one.last) if rate), Fraction(0))
        return Schedule((steady(rate, warmup), *self.stages))

    def instants(self) -> Iterator[float]:
        """Yield when each request is to begin, in seconds after the schedule's own beginning."""
        at, owed, number = Fraction(0), Fraction(0), 0  # `owed`: what earlier stages add up to
        for stage in self.stages:
            after = owed + stage.requests
            begins, before, reached = float(at), float(owed), _reaching(stage)
            for request in range(number, math.ceil(after)):
                yield begins + reached(request - before)
            at, owed, number = at + stage.seconds, after, math.ceil(after)

    def due_by(self, seconds: float) -> int:
        """Return how many requests begin before an instant of it."""
        at, owed = Fraction(0), Fraction(0)
        for stage in self.stages:
            if seconds < float(at + stage.seconds):
                into, slope = max(0.0, seconds - float(at)), float((stage.last - stage.first) / stage.seconds)
                return min(self.requests, math.ceil(float(owed) + into * (float(stage.first) + slope / 2 * into)))
            at, owed = at + stage.seconds, owed + stage.requests
        return self.requests


def _reaching(stage: Stage) -> Callable[[float], float]:
    """Return what tells the seconds after which a stage's sum reaches so many requests.

    The root of `slope/2 t² + first t = requests` in the form that loses no digits where the slope is small or `first`
    is zero.
    """
    first, seconds = float(stage.first), float(stage.seconds)
    if stage.first == stage.last:
        return lambda requests: requests / first
    slope = float((stage.last - stage.first) / stage.seconds)

    def reached(requests: float) -> float:
        root = math.sqrt(max(0.0, first * first + 2 * slope * requests))
        return min(2 * requests / (first + root), seconds) if requests > 0 else 0.0

    return reached


# -- what people write -------------------------------------------------------------------------------------------------


class ScheduleError(ValueError):
    """A text that describes no schedule; carries the sentence."""


def read_rate(text: str) -> Fraction:
    """Return the requests a second that a text asks for: `200/s`, `200`, `90/m`."""
    found = _RATE.fullmatch(text.strip())
    if found is None:
        raise ScheduleError(f"{text.strip()!r} is no rate; write 200/s, 90/m, or a ramp: 50:500/60s")
    rate = Fraction(found[1]) / _PERIOD_S[found[2] or "s"]
    if rate > MOST_RATE:
        raise ScheduleError(f"{text.strip()!r} is more than {MOST_RATE:,} a second")
    return rate


def read_span(text: str) -> Fraction:
    """Return the seconds that a text names: `30s`, `1.5m`, `250ms`, `90`."""
    found = _SPAN.fullmatch(text.strip())
    if found is None:
        raise ScheduleError(f"{text.strip()!r} is no length of time; write 30s, 1.5m or 2h")
    return Fraction(found[1]) * _UNIT_S[found[2] or "s"]


def read_stage(text: str, seconds: Fraction) -> tuple[Stage, ...]:
    """Return the stages of a text: a rate for `seconds`, or a ramp, whose last rate is held where `seconds` is longer.

    A ramp is `FIRST:LAST/TIME`; where `seconds` is zero it has just its own time.
    """
    if ":" not in text:
        return (steady(_some(read_rate(text), text), seconds),)
    rates, _, span = text.partition("/")
    first, _, last = rates.partition(":")
    if not span:
        raise ScheduleError(f"{text.strip()!r} does not say how long the ramp takes; write 50:500/60s")
    own = read_span(span)
    ramp = Stage(read_rate(first), read_rate(last), own)
    _some(ramp.requests, text)
    if not seconds:
        return (ramp,)
    held = (steady(ramp.last, seconds - own),) if seconds > own else ()
    return (ramp.cut(seconds), *held)


def _some(amount: Fraction, text: str) -> Fraction:
    if not amount:
        raise ScheduleError(f"{text.strip()!r} asks for nothing")
    return amount


def read_stages(lines: Iterable[str]) -> tuple[Stage, ...]:
    """Return the stages of a file: a line each, `200/s 30s` or `50:500/60s`; `0 5s` is a pause, `#` begins a remark."""
    stages: list[Stage] = []
    for number, line in enumerate(lines, 1):
        words = line.partition("#")[0].split()
        if not words:
            continue
        try:
            stages += _of_line(words)
        except ScheduleError as wrong:
            raise ScheduleError(f"line {number}: {wrong}") from None
    if not any(stage.requests for stage in stages):
        raise ScheduleError("no line asks for a request")
    return tuple(stages)


def _of_line(words: Sequence[str]) -> tuple[Stage, ...]:
    if len(words) > 2 or (len(words) == 1 and ":" not in words[0]):
        raise ScheduleError("must be a rate and a length of time, e.g. 200/s 30s, or a ramp: 50:500/60s")
    seconds = read_span(words[1]) if len(words) == 2 else Fraction(0)
    if len(words) == 2 and not seconds:
        raise ScheduleError("takes no time")
    if ":" not in words[0]:
        return (steady(read_rate(words[0]), seconds),)
    return read_stage(words[0], seconds)
