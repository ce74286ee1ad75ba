"""When nothing went to which tenant, and for how long: sums by tenant, the longest pauses, and those of a picture.

A week's run of a thousand tenants notes millions of pauses. The ledger adds them up and picks the longest; what a
picture shows is put together where it could not be told apart. This module must never hold more pauses than it tells,
beside the sums of each tenant.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import Any, Final, NamedTuple

from bulkstreams.core.course import Paused
from bulkstreams.core.waiting import PAUSES
from bulkstreams.ledger import History
from bulkstreams.report.timeline import Span, Timeline

MOST_TENANTS: Final = 50
"""Tenants that are told, those that paused longest first."""

MOST_PAUSES: Final = 500
"""Pauses that are told one by one, the longest ones."""

MOST_LANES: Final = 12
"""Tenants whose pauses are put together for a picture, those that paused longest first."""

FINE: Final = 720
"""Pauses that lie closer together than this part of all time are one in a picture, where it is about a pixel."""

MOST_BARS: Final = 3000
"""Pauses of a picture; where there are more, those are one that lie twice as far apart, and so on."""

_KINDS: Final = tuple(sorted(PAUSES))


class Told(NamedTuple):
    """A pause, and the run that it is of."""

    span: Span
    pause: Paused

    def figures(self, timeline: Timeline) -> dict[str, Any]:
        """Return it as numbers and texts: `seconds` from its beginning to its end, of which `paused_s` were paused."""
        pause = self.pause
        offset = timeline.offset(self.span.run, pause.began_at)
        return {
            "tenant": pause.tenant,
            "kind": pause.kind.value,
            "run": self.span.name,
            "at": pause.began_at,
            "offset_s": round(offset, 3),
            "seconds": round(timeline.offset(self.span.run, pause.ended_at) - offset, 3),
            "paused_s": round(pause.seconds, 3),
            "pauses": pause.pauses,
            "reason": pause.reason,
        }


class _Tenant:
    """The sums of one tenant's pauses, by kind, and the longest of them."""

    def __init__(self) -> None:
        self.pauses = dict.fromkeys(_KINDS, 0)
        self.seconds = dict.fromkeys(_KINDS, 0.0)
        self.longest: Told | None = None

    @property
    def paused_s(self) -> float:
        return sum(self.seconds.values())


def throttling(history: History, spans: Sequence[Span], timeline: Timeline) -> dict[str, Any]:
    """Return the pauses of some runs; where no run has noted whether there were any, their number is None."""
    is_known = timeline.has_course or not timeline.without_course()
    sums = _sums(history, spans)
    order = sorted(sums, key=lambda name: (-sums[name].paused_s, name))
    total = sum(one.paused_s for one in sums.values())
    return {
        "pauses": sum(sum(one.pauses.values()) for one in sums.values()) if is_known else None,
        "paused_s": round(total, 3) if is_known else None,
        "pauses_elsewhere": history.pauses_before(spans[0].run) if spans else 0,
        "tenants": {
            "total": len(sums),
            "told": [_tenant(name, sums[name], timeline) for name in order[:MOST_TENANTS]],
        },
        "longest": [one.figures(timeline) for one in _longest(history, spans)],
        "lanes": _lanes(history, spans, timeline, order[:MOST_LANES]),
    }


def _sums(history: History, spans: Sequence[Span]) -> dict[str, _Tenant]:
    sums: dict[str, _Tenant] = {}
    for span in spans:
        for one in history.pause_sums(span.run, span.ended_at):
            its = sums.setdefault(one.longest.tenant, _Tenant())
            its.pauses[one.longest.kind] += one.pauses
            its.seconds[one.longest.kind] += one.seconds
            if its.longest is None or one.longest.seconds > its.longest.pause.seconds:
                its.longest = Told(span, one.longest)
    return sums


def _tenant(name: str, its: _Tenant, timeline: Timeline) -> dict[str, Any]:
    assert its.longest is not None
    return {
        "name": name,
        "pauses": sum(its.pauses.values()),
        "paused_s": round(its.paused_s, 3),
        "share": min(1.0, round(its.paused_s / timeline.seconds, 6)),  # a clock that was set back makes runs too short
        **{kind.value: {"pauses": its.pauses[kind], "paused_s": round(its.seconds[kind], 3)} for kind in _KINDS},
        "longest": its.longest.figures(timeline),
    }


def _longest(history: History, spans: Sequence[Span]) -> list[Told]:
    """Return the longest pauses of all, in the order in which they began."""
    found: list[Told] = []
    for span in spans:
        its = (Told(span, one) for one in history.longest_pauses(span.run, span.ended_at, MOST_PAUSES))
        found = heapq.nlargest(MOST_PAUSES, chain(found, its), key=lambda told: told.pause.seconds)
    return sorted(found, key=_began)


def _lanes(history: History, spans: Sequence[Span], timeline: Timeline, tenants: Sequence[str]) -> list[dict[str, Any]]:
    """Return the pauses of some tenants by tenant, those put together that lie close."""
    apart_s = timeline.seconds / FINE
    bars = list(_joined(_of_tenants(history, spans, tenants), apart_s))
    while len(bars) > MOST_BARS and apart_s < timeline.seconds:
        apart_s *= 2
        bars = list(_joined(bars, apart_s))
    lanes: dict[str, list[Told]] = {name: [] for name in tenants}
    for one in sorted(bars, key=_began):
        lanes[one.pause.tenant].append(one)
    return [{"name": name, "pauses": [one.figures(timeline) for one in its]} for name, its in lanes.items()]


def _of_tenants(history: History, spans: Sequence[Span], tenants: Sequence[str]) -> Iterator[Told]:
    for span in spans:
        for one in history.pauses_of(span.run, span.ended_at, tenants):
            yield Told(span, one)


def _joined(told: Iterable[Told], apart_s: float) -> Iterator[Told]:
    """Put pauses of one run, tenant and kind together that lie close; the reason is that of the longest among them."""
    before: Told | None = None
    longest = 0.0
    for one in told:
        if before is not None and _whose(one) == _whose(before) and _apart(before, one) < apart_s:
            longest, before = max(longest, one.pause.seconds), _both(before, one, longest)
            continue
        if before is not None:
            yield before
        before, longest = one, one.pause.seconds
    if before is not None:
        yield before


def _whose(one: Told) -> tuple[int, str, str]:
    return one.span.run, one.pause.tenant, one.pause.kind


def _began(one: Told) -> tuple[int, float]:
    return one.span.run, one.pause.began_at


def _apart(one: Told, other: Told) -> float:
    return other.pause.began_at - one.pause.ended_at


def _both(one: Told, other: Told, longest: float) -> Told:
    """Return two pauses as one; of what the first was put together from, the `longest` took so many seconds."""
    mine, its = one.pause, other.pause
    both = mine._replace(
        ended_at=max(mine.ended_at, its.ended_at),
        seconds=mine.seconds + its.seconds,
        pauses=mine.pauses + its.pauses,
        reason=its.reason if its.seconds > longest else mine.reason,
    )
    return one._replace(pause=both)
