"""The flags that say what load is asked for, read: rates, stages, durations, a goal.

This module must never guess: two flags that ask for different loads are refused.
"""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

from bulkstreams.commands.bench.options import (
    CLIENTS,
    DURATION,
    FIRST_PROBE,
    PROBE,
    RATE,
    ClosedLoop,
    Plan,
    Searching,
)
from bulkstreams.core.schedule import Schedule, ScheduleError, read_span, read_stage, read_stages
from bulkstreams.core.searching import GoalError, read_goal
from bulkstreams.errors import UsageError


def plan_of(
    rate: str | None, stages: Path | None, duration: str | None, search: str | None, concurrency: int | None,
    *, closed_loop: bool,
) -> Plan:  # fmt: skip
    """Return what load is asked for; raise UsageError where that is unclear."""
    named = [
        flag for flag, given in (("--stages", stages), ("--search", search), ("--closed-loop", closed_loop)) if given
    ]
    if len(named) > 1:
        raise UsageError(f"{named[0]} and {named[1]} are two kinds of load.", hint="Give one of them.")
    if stages is not None:
        if rate is not None or duration is not None:
            raise UsageError("--stages says rates and durations itself.", hint="Leave out --rate and --duration.")
        return _staged(stages)
    if closed_loop:
        if rate is not None:
            raise UsageError(
                "a closed loop has no --rate: its clients send as they are answered.", hint="Leave it out."
            )
        return ClosedLoop(
            clients=concurrency or CLIENTS, seconds=float(_length(DURATION if duration is None else duration))
        )
    try:
        if search is not None:
            if rate is not None and ":" in rate:
                raise UsageError(
                    "a search begins at one rate, and finds the others.", hint="Give --rate one, such as 50/s."
                )
            (first,) = read_stage(FIRST_PROBE if rate is None else rate, Fraction(1))
            seconds = float(_length(PROBE if duration is None else duration))
            return Searching(goal=read_goal(search), first=float(first.first), seconds=seconds)
        asked = RATE if rate is None else rate
        own = Fraction(0) if ":" in asked and duration is None else _length(DURATION if duration is None else duration)
        return Schedule(read_stage(asked, own))
    except (ScheduleError, GoalError) as wrong:
        raise UsageError(f"{'--rate' if isinstance(wrong, ScheduleError) else '--search'}: {wrong}.") from None


def _staged(path: Path) -> Schedule:
    try:
        return Schedule(read_stages(path.read_text(encoding="utf-8").splitlines()))
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            f"--stages {path} cannot be read: {getattr(error, 'strerror', None) or 'not UTF-8'}."
        ) from None
    except ScheduleError as wrong:
        raise UsageError(f"--stages {path}: {wrong}.") from None


def _length(text: str) -> Fraction:
    seconds = span_of(text, "--duration")
    if not seconds:
        raise UsageError("--duration: a load takes some time.", hint="e.g. 30s")
    return seconds


def span_of(text: str, flag: str) -> Fraction:
    """Return the seconds that a flag names; raise UsageError where it names none."""
    try:
        return read_span(text)
    except ScheduleError as wrong:
        raise UsageError(f"{flag}: {wrong}.") from None
