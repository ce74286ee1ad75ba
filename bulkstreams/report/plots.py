"""The plots of a page as plain values: what stands on each axis and in each series, ready to be drawn.

They hold the numbers of `figures` and no others. This module must never make markup: texts are values here, and the
page escapes them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Final

from bulkstreams.core.waiting import duration
from bulkstreams.model import State
from bulkstreams.report.axes import Plot, along, clock, is_wide, per_s, series_of, time_unit, with_gaps
from bulkstreams.report.course_plots import asked, is_known, pauses

_DRAWN: Final = (
    State.CREATED, State.EXISTS, State.REFUSED, State.CONFLICT, State.EXHAUSTED, State.IN_DOUBT, State.UNDONE,
)  # fmt: skip
"""States that a record is settled in by a run, in the order in which they are drawn."""

_TIMES: Final = ("p50", "p90", "p99", "max")


def of_ledger(figures: Mapping[str, Any], side: str = "") -> dict[str, Plot]:
    """Return the plots of one ledger by name; `side` tells those of two ledgers on one page apart."""
    found = {
        "settled": _settled(figures),
        "asked": asked(figures),
        "times": _times(figures),
        "curve": _curve(figures),
        "pauses": pauses(figures),
        "runs": _runs(figures),
    }
    return {name: plot | {"id": f"{name}{side}"} for name, plot in found.items() if plot}


def of_both(a: Mapping[str, Any], b: Mapping[str, Any]) -> dict[str, Plot]:
    """Return the plots that lay two ledgers over each other."""
    found = {"both-created": _both_created(a, b), "both-curve": _both_curves(a, b)}
    return {name: plot | {"id": name} for name, plot in found.items() if plot}


def _settled(figures: Mapping[str, Any]) -> Plot | None:
    """Return what was settled a second.

    Where nobody knows what was asked when: also what was retried, and what is allowed as far as the ledger knows that.
    """
    rows = with_gaps(stretches := figures["timeline"]["stretches"])
    series = [
        series_of(state.replace("_", " "), state, rows, partial(_settled_per_s, state=state))
        for state in _DRAWN
        if any(one["records"].get(state) for one in stretches)
    ]
    if any(map(_repeated_per_s, stretches)):
        series.append(series_of("retries", "retries", rows, _repeated_per_s) | {"dash": [2, 3]})
    if not series:
        return None
    if (allowed := figures["timeline"]["allowed_per_s"]) is not None and not any(map(is_known, stretches)):
        line = [round(allowed, 3)] * len(rows)
        series.append({"label": "allowed now", "colour": "allowed", "dash": [8, 4], "values": line})
    return along("Records settled a second", "records a second", figures, rows, series)


def _settled_per_s(stretch: Mapping[str, Any], state: str) -> float:
    return per_s(stretch, stretch["records"].get(state, 0))


def _repeated_per_s(stretch: Mapping[str, Any]) -> float | None:
    return None if is_known(stretch) else per_s(stretch, stretch["retries"])


def _times(figures: Mapping[str, Any]) -> Plot | None:
    """Return the percentiles of the service time over the runs."""
    rows = with_gaps(stretches := figures["timeline"]["stretches"])
    times = [one["service_time_ms"] for one in stretches if one["service_time_ms"]]
    if not times:
        return None
    series = [series_of(name, name, rows, partial(_time, name=name)) for name in _TIMES]
    plot = along("Service time over time", "milliseconds", figures, rows, series)
    return plot | {"log": is_wide(one[name] for one in times for name in ("p50", "max"))}


def _time(stretch: Mapping[str, Any], name: str) -> float | None:
    return (stretch["service_time_ms"] or {}).get(name)


def _curve(figures: Mapping[str, Any]) -> Plot | None:
    """Return the times by percentile, on an axis on which each further nine takes the same room."""
    latency = figures["latency"]
    known = [
        (kind.replace("_", " "), kind, latency[f"{kind}_curve"])
        for kind in ("service_time", "response_time")
        if latency[f"{kind}_curve"]
    ]
    return curves("Time by percentile", known)


def curves(title: str, curves: Sequence[tuple[str, str, Sequence[Mapping[str, float]]]]) -> Plot | None:
    """Return times by percentile; each curve is a label, a colour and its points. None: there is not one point."""
    shares = sorted({point["percentile"] for _, _, curve in curves for point in curve})
    if not shares:
        return None
    series: list[dict[str, Any]] = []
    for label, colour, curve in curves:
        known = {point["percentile"]: point["ms"] for point in curve}
        series.append({"label": label, "colour": colour, "values": [known.get(share) for share in shares]})
    return {
        "title": title,
        "x": [round(-math.log10(1 - share / 100), 4) for share in shares],
        "names": [f"{share:.6g} %" for share in shares],
        "x_label": "percentile",
        "y_label": "milliseconds",
        "nines": True,
        "marks": [],
        "series": series,
        "log": is_wide(ms for one in series for ms in one["values"]),
    }


def _runs(figures: Mapping[str, Any]) -> Plot | None:
    """Return what each run asked of the servers; the part that was refused is within the whole."""
    runs = figures["runs"]["told"]
    if len(runs) < 2:
        return None
    first = figures["runs"]["total"] - len(runs) + 1
    widths = {"requests": 0.8, "retries": 0.5, "throttled": 0.25}
    return {
        "title": "Requests of each run, and those answered 429",
        "x": list(range(first, first + len(runs))),
        "names": [f"run {run['name']}, {clock(run['started_at'])}, {duration(run['elapsed_s'])}" for run in runs],
        "x_label": "run",
        "y_label": "requests",
        "bars": True,
        "marks": [],
        "series": [
            {"label": label, "colour": colour, "width": widths[colour], "values": [run[colour] for run in runs]}
            for label, colour in (("requests", "requests"), ("retries", "retries"), ("answered 429", "throttled"))
        ],
        "log": False,
    }


def _both_created(a: Mapping[str, Any], b: Mapping[str, Any]) -> Plot | None:
    sides = [
        {one["offset_s"] + one["seconds"] / 2: one["created_per_s"] for one in figures["timeline"]["stretches"]}
        for figures in (a, b)
    ]
    offsets = sorted(set(sides[0]) | set(sides[1]))
    if not offsets:
        return None
    size, unit = time_unit([(offset, None) for offset in offsets])
    return {
        "title": "Created a second",
        "x": [round(offset / size, 5) for offset in offsets],
        "names": [f"after {duration(offset)} of runs" for offset in offsets],
        "x_label": f"{unit} of runs",
        "y_label": "records a second",
        "marks": [],
        "joined": True,
        "series": [
            {"label": label, "colour": label.lower(), "values": [side.get(offset) for offset in offsets]}
            for label, side in zip(("A", "B"), sides, strict=True)
        ],
        "log": False,
    }


def _both_curves(a: Mapping[str, Any], b: Mapping[str, Any]) -> Plot | None:
    known = [("A", "a", a["latency"]["service_time_curve"]), ("B", "b", b["latency"]["service_time_curve"])]
    plot = curves("Service time by percentile", known)
    return None if plot is None else plot | {"joined": True}
