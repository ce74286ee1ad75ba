"""The plots of a page as plain values: what stands on each axis and in each series, ready to be drawn.

They hold the numbers of `figures` and no others. This module must never make markup: texts are values here, and the
page escapes them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final

from bulkstreams.core.waiting import duration
from bulkstreams.model import State

_UNITS: Final = ((7200.0, 3600.0, "hours"), (120.0, 60.0, "minutes"), (0.0, 1.0, "seconds"))
_DRAWN: Final = (
    State.CREATED, State.EXISTS, State.REFUSED, State.CONFLICT, State.EXHAUSTED, State.IN_DOUBT, State.UNDONE,
)  # fmt: skip
"""States that a record is settled in by a run, in the order in which they are drawn."""

_TIMES: Final = ("p50", "p90", "p99", "max")
_WIDE: Final = 30.0
"""From this ratio of the largest to the least on, times are drawn on a logarithmic axis."""

Plot = dict[str, Any]


def of_ledger(figures: Mapping[str, Any], side: str = "") -> dict[str, Plot]:
    """Return the plots of one ledger by name; `side` tells those of two ledgers on one page apart."""
    found = {"settled": _settled(figures), "times": _times(figures), "curve": _curve(figures), "runs": _runs(figures)}
    return {name: plot | {"id": f"{name}{side}"} for name, plot in found.items() if plot}


def of_both(a: Mapping[str, Any], b: Mapping[str, Any]) -> dict[str, Plot]:
    """Return the plots that lay two ledgers over each other."""
    found = {"both-created": _both_created(a, b), "both-curve": _both_curves(a, b)}
    return {name: plot | {"id": name} for name, plot in found.items() if plot}


def clock(at: float) -> str:
    """Return an epoch second as people read it, in UTC."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _settled(figures: Mapping[str, Any]) -> Plot | None:
    """Return what was settled a second, and retried, beside what is allowed where the ledger knows that."""
    rows = _with_gaps(stretches := figures["timeline"]["stretches"])
    series = [
        _series(state.replace("_", " "), state, rows, partial(_settled_per_s, state=state))
        for state in _DRAWN
        if any(one["records"].get(state) for one in stretches)
    ]
    if any(one["retries"] for one in stretches):
        series.append(_series("retries", "retries", rows, _retried_per_s) | {"dash": [2, 3]})
    if not series:
        return None
    if (allowed := figures["timeline"]["allowed_per_s"]) is not None:
        line = [round(allowed, 3)] * len(rows)
        series.append({"label": "allowed now", "colour": "allowed", "dash": [8, 4], "values": line})
    return _over_time("Records settled a second", "records a second", figures, rows, series)


def _settled_per_s(stretch: Mapping[str, Any], state: str) -> float:
    return _per_s(stretch, stretch["records"].get(state, 0))


def _retried_per_s(stretch: Mapping[str, Any]) -> float:
    return _per_s(stretch, stretch["retries"])


def _times(figures: Mapping[str, Any]) -> Plot | None:
    """Return the percentiles of the service time over the runs."""
    rows = _with_gaps(stretches := figures["timeline"]["stretches"])
    times = [one["service_time_ms"] for one in stretches if one["service_time_ms"]]
    if not times:
        return None
    series = [_series(name, name, rows, partial(_time, name=name)) for name in _TIMES]
    plot = _over_time("Service time over time", "milliseconds", figures, rows, series)
    return plot | {"log": is_wide(one[name] for one in times for name in ("p50", "max"))}


def _time(stretch: Mapping[str, Any], name: str) -> float | None:
    return (stretch["service_time_ms"] or {}).get(name)


def _over_time(
    title: str, y_label: str, figures: Mapping[str, Any], rows: Sequence[Any], series: Sequence[Any]
) -> Plot:
    size, unit = time_unit(rows)
    runs: dict[str, float] = {}
    for one in figures["timeline"]["stretches"]:
        runs.setdefault(one["run"], one["offset_s"] / size)
    return {
        "title": title,
        "x": [round(at / size, 5) for at, _ in rows],
        "names": ["between two runs" if one is None else f"{clock(one['at'])}, run {one['run']}" for _, one in rows],
        "x_label": f"{unit} of runs" if len(runs) > 1 else f"{unit} since the run began",
        "y_label": y_label,
        "marks": [{"x": x, "label": name} for name, x in list(runs.items())[1:]],
        "series": series,
        "log": False,
    }


def _with_gaps(stretches: Sequence[Mapping[str, Any]]) -> list[tuple[float, Mapping[str, Any] | None]]:
    """Return each stretch with its middle, and a gap between two runs, so that no line joins them."""
    rows: list[tuple[float, Mapping[str, Any] | None]] = []
    before = None
    for one in stretches:
        if before is not None and one["run"] != before:
            rows.append((one["offset_s"], None))
        rows.append((one["offset_s"] + one["seconds"] / 2, one))
        before = one["run"]
    return rows


def _series(
    label: str,
    colour: str,
    rows: Iterable[tuple[float, Mapping[str, Any] | None]],
    value: Callable[[Mapping[str, Any]], float | None],
) -> dict[str, Any]:
    return {"label": label, "colour": colour, "values": [None if one is None else value(one) for _, one in rows]}


def _per_s(stretch: Mapping[str, Any], count: int) -> float:
    return round(count / stretch["seconds"], 3) if stretch["seconds"] else 0.0


def time_unit(rows: Sequence[tuple[float, Any]]) -> tuple[float, str]:
    """Return the unit to tell an axis in, as seconds and by name; rows begin with their offset in seconds."""
    most = rows[-1][0] if rows else 0.0
    return next((size, name) for least, size, name in _UNITS if most >= least)


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


def is_wide(values: Iterable[float | None]) -> bool:
    """Return whether times lie so far apart that a logarithmic axis shows them better."""
    found = [value for value in values if value]
    return bool(found) and max(found) > _WIDE * min(found)
