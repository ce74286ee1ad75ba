"""The axes that plots share: time as runs laid end to end, in a unit that suits it, with marks where runs began.

This module must never know what is drawn over them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

_UNITS: Final = ((7200.0, 3600.0, "hours"), (120.0, 60.0, "minutes"), (0.0, 1.0, "seconds"))
_WIDE: Final = 30.0
"""From this ratio of the largest to the least on, values are drawn on a logarithmic axis."""

Plot = dict[str, Any]
Row = tuple[float, Mapping[str, Any] | None]
"""A stretch with the offset of its middle, in seconds; None: a gap between two runs."""


def clock(at: float) -> str:
    """Return an epoch second as people read it, in UTC."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def along(title: str, y_label: str, figures: Mapping[str, Any], rows: Sequence[Row], series: Sequence[Any]) -> Plot:
    """Return a plot over the time of the runs, with a mark where each but the first began."""
    names = ["between two runs" if one is None else f"{clock(one['at'])}, run {one['run']}" for _, one in rows]
    size, _ = time_unit(rows)
    return {
        "title": title,
        "x": [round(at / size, 5) for at, _ in rows],
        "names": names,
        **of_runs(figures, rows),
        "y_label": y_label,
        "series": series,
        "log": False,
    }


def of_runs(figures: Mapping[str, Any], rows: Sequence[Row]) -> Plot:
    """Return what is said of the axis, and the marks on it."""
    size, unit = time_unit(rows)
    runs: dict[str, float] = {}
    for one in figures["timeline"]["stretches"]:
        runs.setdefault(one["run"], one["offset_s"] / size)
    return {
        "x_label": f"{unit} of runs" if len(runs) > 1 else f"{unit} since the run began",
        "marks": [{"x": x, "label": name} for name, x in list(runs.items())[1:]],
    }


def with_gaps(stretches: Sequence[Mapping[str, Any]]) -> list[Row]:
    """Return each stretch with its middle, and a gap between two runs, so that no line joins them."""
    rows: list[Row] = []
    before = None
    for one in stretches:
        if before is not None and one["run"] != before:
            rows.append((one["offset_s"], None))
        rows.append((one["offset_s"] + one["seconds"] / 2, one))
        before = one["run"]
    return rows


def series_of(
    label: str, colour: str, rows: Sequence[Row], value: Callable[[Mapping[str, Any]], float | None]
) -> dict[str, Any]:
    """Return one value of each stretch."""
    return {"label": label, "colour": colour, "values": [None if one is None else value(one) for _, one in rows]}


def per_s(stretch: Mapping[str, Any], count: int) -> float:
    """Return how many it is in each of its seconds."""
    return round(count / stretch["seconds"], 3) if stretch["seconds"] else 0.0


def time_unit(rows: Sequence[tuple[float, Any]]) -> tuple[float, str]:
    """Return the unit to tell an axis in, as seconds and by name; rows begin with their offset in seconds."""
    most = rows[-1][0] if rows else 0.0
    return next((size, name) for least, size, name in _UNITS if most >= least)


def is_wide(values: Iterable[float | None]) -> bool:
    """Return whether times lie so far apart that a logarithmic axis shows them better."""
    found = [value for value in values if value]
    return bool(found) and max(found) > _WIDE * min(found)
