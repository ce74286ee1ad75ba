"""How a run went over time, as values: what it asked of its tenants, and when nothing went to one of them.

Stretches grow longer as the run does, so that a week takes some two thousand of them, and a second ten.
It is for pictures: this module must never be what a decision or a total rests on.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

from bulkstreams.core.waiting import PAUSES, Wait, WaitKind

LEAST_S: Final = 0.1
"""Seconds of the shortest stretch."""

STRETCHES: Final = 240
"""Of this many parts of the run so far a stretch is one: about as many as a picture can show."""


class Asked(NamedTuple):
    """What a run asked of all its tenants in some seconds; instants are epoch seconds.

    `requests` were to change something, `lookups` only read; `retries` are among the former, `throttled` among both.
    `allowed` is how many a second those tenants at work that said it allowed together; None: none of them did.
    """

    began_at: float
    seconds: float
    requests: int
    retries: int
    throttled: int
    lookups: int
    allowed: float | None


class Paused(NamedTuple):
    """Pauses of one tenant that lie close together, as one: `seconds` of it were paused, in so many `pauses`.

    One that was under way as its run died has the instant at which it was to end. `reason` is that of the last.
    """

    tenant: str
    kind: WaitKind
    began_at: float
    ended_at: float
    seconds: float
    pauses: int
    reason: str


def stretch_s(elapsed_s: float) -> float:
    """Return the seconds of a stretch that begins so many seconds after its run."""
    return max(LEAST_S, elapsed_s / STRETCHES)


@dataclass(slots=True)
class _Spell:
    """Pauses that lie close together, by the monotonic clock; `ahead` is how far the epoch's is before that."""

    began: float
    until: float
    ahead: float
    seconds: float
    reason: str
    pauses: int = 1
    is_news: bool = True

    def extend(self, until: float, now: float, reason: str) -> None:
        if until > self.until:
            self.pauses += now >= self.until
            self.seconds += until - max(self.until, now)
            self.until, self.reason, self.is_news = until, reason, True

    def cut(self, now: float) -> None:
        if self.until > now:
            ended = max(now, self.began)
            self.seconds = max(0.0, self.seconds - (self.until - ended))  # a sum of floats may be a hair too small
            self.until, self.is_news = ended, True


class Pauses:
    """When nothing went to which tenant. What lies less than `gap_s` apart is one. Instants are monotonic seconds.

    A tenant is in one pause at a time: one of another kind takes the place of what is left of the one before it.
    """

    def __init__(self) -> None:
        self.gap_s = LEAST_S
        self._spells: dict[tuple[str, WaitKind], _Spell] = {}
        self._over: list[Paused] = []

    def note(self, tenant: str, pause: Wait, now: float, wall: float) -> None:
        """Take note that a tenant pauses from `now` on; `wall` is the same instant by the epoch's clock."""
        if pause.until is None or pause.until <= now:
            return
        key = (tenant, pause.kind)
        self._cut(tenant, PAUSES - {pause.kind}, now)
        spell = self._spells.get(key)
        if spell is not None and now - spell.until <= self.gap_s:
            spell.extend(pause.until, now, pause.reason)
            return
        if spell is not None and spell.is_news:
            self._over.append(_told(*key, spell))
        self._spells[key] = _Spell(now, pause.until, wall - now, pause.until - now, pause.reason)

    def cut(self, tenant: str, now: float) -> None:
        """Take note that nobody waits for a tenant any longer."""
        self._cut(tenant, PAUSES, now)

    def end(self, now: float) -> None:
        """Take note that nobody waits for any tenant any longer."""
        for spell in self._spells.values():
            spell.cut(now)

    def taken(self, now: float) -> list[Paused]:
        """Return what is new since this was last asked; one that was told before, and went on, is told anew."""
        told, self._over = [*self._over, *self._news()], []
        self._spells = {key: one for key, one in self._spells.items() if now - one.until <= self.gap_s}
        return told

    def _cut(self, tenant: str, kinds: Iterable[WaitKind], now: float) -> None:
        for kind in kinds:
            if (spell := self._spells.get((tenant, kind))) is not None:
                spell.cut(now)

    def _news(self) -> Iterator[Paused]:
        for key, spell in self._spells.items():
            if spell.is_news:
                spell.is_news = False
                yield _told(*key, spell)


def _told(tenant: str, kind: WaitKind, spell: _Spell) -> Paused:
    began, ended = spell.began + spell.ahead, spell.until + spell.ahead
    return Paused(tenant, kind, began, ended, spell.seconds, spell.pauses, spell.reason)
