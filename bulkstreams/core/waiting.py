"""What a run waits for, lane by lane, and when it may be over: values, and the words for them.

The same value is shown by the run itself and read from its ledger by others: instants are by whichever clock its
holder names, monotonic in a run, the epoch's in a ledger. This module must never look at a lane or read a clock.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from enum import StrEnum
from typing import Final, NamedTuple


class WaitKind(StrEnum):
    """What a lane can wait for; what is worth telling most comes first."""

    STOPPING = "stopping"
    UNREACHABLE = "unreachable"
    THROTTLED = "throttled"
    TOKEN = "token"  # noqa: S105 - a word, no secret
    REPLY = "reply"
    LEDGER = "ledger"
    DOUBT = "doubt"
    SURVEY = "survey"
    PACED = "paced"


PAUSES: Final = frozenset({WaitKind.UNREACHABLE, WaitKind.THROTTLED})
"""Waits in which nothing at all goes to the tenant."""

_MANY: Final = {
    WaitKind.STOPPING: "stopping",
    WaitKind.UNREACHABLE: "unreachable",
    WaitKind.THROTTLED: "paused by a 429",
    WaitKind.TOKEN: "waiting for a token",
    WaitKind.REPLY: "waiting for replies",
    WaitKind.LEDGER: "waiting for the ledger",
    WaitKind.DOUBT: "looking up doubts",
    WaitKind.SURVEY: "looking up what is there",
    WaitKind.PACED: "paced",
}

_RANK: Final = {kind: rank for rank, kind in enumerate(WaitKind)}


class Wait(NamedTuple):
    """What one lane waits for: its kind, why in words, and until when; None: that is not known."""

    kind: WaitKind
    reason: str
    until: float | None = None

    def seconds(self, now: float) -> float | None:
        """Return the seconds that it still lasts, or None where nobody knows."""
        return None if self.until is None else max(0.0, self.until - now)

    def words(self, now: float) -> str:
        """Say it to a person."""
        left = self.seconds(now)
        if self.kind is WaitKind.STOPPING:
            return f"stopping: {self.reason}"
        if self.kind in PAUSES:
            return f"paused ({self.reason})" if left is None else f"paused for {duration(left)} more ({self.reason})"
        return self.reason if left is None else f"{self.reason}: {duration(left)} more"


class Progress(NamedTuple):
    """How a run stands: the worst waits, how many lanes wait for what, and when it may be over.

    `lanes` are at work, `unseated` still wait for their turn. `allowed` is what may be sent a second by all lanes
    together, as far as that is known. `at_least`: of some lanes nobody can say how long they take. `stops_at` is the
    run's deadline.
    """

    lanes: int
    unseated: int
    waits: tuple[tuple[str, Wait], ...]
    counts: Mapping[WaitKind, int]
    allowed: float | None = None
    ends_at: float | None = None
    at_least: bool = False
    stops_at: float | None = None

    def left_s(self, now: float) -> float | None:
        """Return the seconds until the run may be over, or None where nobody knows."""
        return None if self.ends_at is None else max(0.0, self.ends_at - now)

    def left(self, now: float) -> str:
        """Say how long the run may still take, and where its deadline comes first; empty where nobody knows.

        That it takes at least a moment says nothing.
        """
        seconds = self.left_s(now)
        told = seconds is not None and (seconds >= 1.0 or not self.at_least)
        parts = [f"{'at least ' if self.at_least else ''}{duration(seconds or 0.0)} left"] if told else []
        if self.stops_at is not None and (self.ends_at is None or self.stops_at < self.ends_at):
            parts.append(f"the deadline comes in {duration(max(0.0, self.stops_at - now))}")
        return ", ".join(parts)

    def moved(self, by: float) -> Progress:
        """Return the same by another clock, which is `by` seconds ahead of this one."""
        return self._replace(
            waits=tuple(
                (name, one if one.until is None else one._replace(until=one.until + by)) for name, one in self.waits
            ),
            ends_at=None if self.ends_at is None else self.ends_at + by,
            stops_at=None if self.stops_at is None else self.stops_at + by,
        )

    def at(self, now: float) -> Progress:
        """Return what of this is still so: without the waits that are over by now."""
        over = [one.kind for _, one in self.waits if one.until is not None and one.until <= now]
        return self._replace(
            waits=tuple((name, one) for name, one in self.waits if one.until is None or one.until > now),
            counts=Counter(self.counts) - Counter(over),
        )

    def lines(self, now: float, most: int) -> list[str]:
        """Say what the lanes wait for: `most` of them one by one, the others counted."""
        shown = self.waits[:most]
        texts = [f"{name}: {one.words(now)}" for name, one in shown]
        rest = Counter(self.counts) - Counter(one.kind for _, one in shown)
        parts = ", ".join(f"{count:,} {_MANY[kind]}" for kind, count in sorted(rest.items(), key=_rank))
        if parts:
            lanes = "lane" if rest.total() == 1 else "lanes"
            texts.append(f"… and {rest.total():,} more {lanes}: {parts}" if shown else parts)
        if self.unseated:
            texts.append(f"{self.unseated:,} tenant{' waits' if self.unseated == 1 else 's wait'} for their turn")
        return texts


def urgency(wait: Wait, left_s: float | None) -> tuple[int, float]:
    """Return what to sort waits by: the worst come first, and of two alike the lane that takes longer."""
    return _RANK[wait.kind], -math.inf if left_s is None else -left_s


def _rank(item: tuple[WaitKind, int]) -> int:
    return _RANK[item[0]]


def duration(seconds: float) -> str:
    """Return a duration as people say it: `0.42 s`, `3 min 20 s`, `2 h 5 min`."""
    if seconds < 60:
        return f"{seconds:.2f} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"
