"""When nothing went to which tenant, and for how long: sums by tenant, the longest pauses, and those of a picture.

A week's run of a thousand tenants notes millions of pauses. The ledger adds them up and picks the longest; what a
picture shows is put together where it could not be told apart. This module must never hold more than it tells.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from operator import attrgetter
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
"""Pauses that lie closer together than this part of all time are one in a picture: that is less than a pixel there."""

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
        "lanes": [
            {"name": name, "pauses": [one.figures(timeline) for one in its]}
            for name, its in _lanes(history, spans, order[:MOST_LANES], timeline.seconds / FINE).items()
        ],
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
        "share": round(its.paused_s / timeline.seconds, 6),
        **{kind.value: {"pauses": its.pauses[kind], "paused_s": round(its.seconds[kind], 3)} for kind in _KINDS},
        "longest": its.longest.figures(timeline),
    }


def _longest(history: History, spans: Sequence[Span]) -> list[Told]:
    """Return the longest pauses of all, in the order in which they began."""
    found: list[Told] = []
    for span in spans:
        its = (Told(span, one) for one in history.longest_pauses(span.run, span.ended_at, MOST_PAUSES))
        found = heapq.nlargest(MOST_PAUSES, chain(found, its), key=lambda told: told.pause.seconds)
    return sorted(found, key=lambda told: (told.span.run, told.pause.began_at))


def _lanes(history: History, spans: Sequence[Span], tenants: Sequence[str], apart_s: float) -> dict[str, list[Told]]:
    """Return the pauses of some tenants, those put together that lie closer than `apart_s`."""
    lanes: dict[str, list[Told]] = {name: [] for name in tenants}
    for span in spans:
        for one in _joined(history.pauses_of(span.run, span.ended_at, tenants), apart_s):
            lanes[one.tenant].append(Told(span, one))
    return lanes


def _joined(pauses: Iterable[Paused], apart_s: float) -> Iterator[Paused]:
    """Put pauses of one tenant and kind together that lie close; the reason is that of the longest among them."""
    before: Paused | None = None
    longest = 0.0
    for one in pauses:
        if before is None:
            before, longest = one, one.seconds
        elif _whose(one) == _whose(before) and one.began_at - before.ended_at < apart_s:
            reason = one.reason if one.seconds > longest else before.reason
            longest = max(longest, one.seconds)
            before = before._replace(
                ended_at=max(before.ended_at, one.ended_at),
                seconds=before.seconds + one.seconds,
                pauses=before.pauses + one.pauses,
                reason=reason,
            )
        else:
            yield before
            before, longest = one, one.seconds
    if before is not None:
        yield before


_whose = attrgetter("tenant", "kind")
