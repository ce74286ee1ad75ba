"""The plots of how runs went: what was asked against what was allowed, and when nothing went to which tenant.

They hold the numbers of `figures` and no others. This module must never draw what nobody knows: it is a gap.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any, Final

from bulkstreams.report.axes import Plot, along, of_runs, per_s, series_of, time_unit, with_gaps

MOST_REASONS: Final = 200
"""Reasons that a plot tells, those of the longest pauses; so that its data stay small whatever servers say."""

MOST_LETTERS: Final = 160
"""Of a reason that a plot tells; the table tells it whole."""

_COUNTS: Final = (
    ("requests", "requests", None),
    ("look-ups", "lookups", None),
    ("retries", "retries", [2, 3]),
    ("answered 429", "throttled", None),
)
_KINDS: Final = ("throttled", "unreachable")


def is_known(stretch: Mapping[str, Any]) -> bool:
    """Return whether it is known what was asked in a stretch."""
    return stretch["requests"] is not None


def asked(figures: Mapping[str, Any]) -> Plot | None:
    """Return what was asked a second, what of it was a retry or answered 429, and what was allowed."""
    rows = with_gaps(stretches := figures["timeline"]["stretches"])
    known = [one for one in stretches if is_known(one)]
    series = [
        series_of(label, name, rows, partial(_asked_per_s, name=name)) | ({"dash": dash} if dash else {})
        for label, name, dash in _COUNTS
        if any(one[name] for one in known)
    ]
    if not series:
        return None
    if any(one["allowed_per_s"] for one in known):
        series.append(series_of("allowed", "allowed", rows, _allowed_per_s) | {"dash": [8, 4]})
    return along("Requests a second against the budget", "requests a second", figures, rows, series)


def _asked_per_s(stretch: Mapping[str, Any], name: str) -> float | None:
    return per_s(stretch, stretch[name]) if is_known(stretch) else None


def _allowed_per_s(stretch: Mapping[str, Any]) -> float | None:
    allowed: float | None = stretch["allowed_per_s"]
    return allowed


def pauses(figures: Mapping[str, Any]) -> Plot | None:
    """Return when the tenants that paused longest did so: a lane a tenant, a bar a pause.

    A bar is its lane, from and to on the axis, when it began (epoch seconds), of how many seconds and pauses it
    is, and the number of its reason; None: that is not told here.
    """
    lanes = figures["throttling"]["lanes"]
    if not lanes:
        return None
    rows = with_gaps(stretches := figures["timeline"]["stretches"])
    size, _ = time_unit(rows)
    reasons = _reasons(one for lane in lanes for one in lane["pauses"])
    bars = {kind: [_bar(number, one, size, reasons) for number, one in _of_kind(lanes, kind)] for kind in _KINDS}
    return {
        "title": "When nothing was sent to a tenant",
        "x": [0, round((stretches[-1]["offset_s"] + stretches[-1]["seconds"]) / size, 5)],
        "names": ["", ""],
        **of_runs(figures, rows),
        "y_label": "",
        "lanes": [lane["name"] for lane in lanes],
        "reasons": list(reasons),
        "series": [
            {"label": kind, "colour": kind, "values": [None, None], "bars": its} for kind, its in bars.items() if its
        ],
        "log": False,
    }


def _reasons(told: Iterable[Mapping[str, Any]]) -> dict[str, int]:
    """Return the reasons of the longest pauses, with the place of each."""
    longest = sorted(told, key=lambda one: -one["paused_s"])
    texts = list(dict.fromkeys(_short(one["reason"]) for one in longest))
    return {text: number for number, text in enumerate(texts[:MOST_REASONS])}


def _short(reason: str) -> str:
    return reason if len(reason) <= MOST_LETTERS else f"{reason[: MOST_LETTERS - 1]}…"


def _of_kind(lanes: Sequence[Mapping[str, Any]], kind: str) -> Iterable[tuple[int, Mapping[str, Any]]]:
    return ((number, one) for number, lane in enumerate(lanes) for one in lane["pauses"] if one["kind"] == kind)


def _bar(lane: int, one: Mapping[str, Any], size: float, reasons: Mapping[str, int]) -> list[float | None]:
    from_, to = (round(at / size, 5) for at in (one["offset_s"], one["offset_s"] + one["seconds"]))
    reason = reasons.get(_short(one["reason"]))
    return [lane, from_, to, round(one["at"]), round(one["paused_s"], 2), one["pauses"], reason]
