"""The plots of a bench: what was asked for and what became of it, and how long it took, second by second.

They hold the numbers of the bench's series and curves and no others. A colour means one thing on the whole page, and a
dotted line is service time wherever it stands. This module must never join what was measured
with what was not: an interval without an answer is a gap.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from operator import itemgetter
from typing import Any, Final

from bulkstreams.core.waiting import duration
from bulkstreams.report.axes import Plot, is_wide, time_unit
from bulkstreams.report.plots import curves

LEAST_S: Final = 0.2
"""The shortest interval that a rate is drawn of; the end of a bench may leave a shorter one, which the table has."""

MOST_MARKS: Final = 40
"""Ends of periods that are marked in a plot."""

_RATES: Final = (
    ("sent", "exists", "sent", None),
    ("answered or failed", "created", "done", None),
    ("errors", "refused", "errors", None),
    ("offered", "allowed", "offered", [8, 4]),
)
_DOTTED: Final = [3, 3]
_TIMES: Final = (
    ("response p50", "middle", "p50_ms", None),
    ("response p99", "p99", "p99_ms", None),
    ("service p50", "middle", "service_p50_ms", _DOTTED),
    ("service p99", "p99", "service_p99_ms", _DOTTED),
)
_KINDS: Final = ("response_time", "service_time")


def of_bench(bench: Mapping[str, Any]) -> dict[str, Plot]:
    """Return the plots of one bench by name."""
    found = {"rates": _rates(bench), "times": _times(bench), "curve": _curve(bench)}
    return {name: plot | {"id": name} for name, plot in found.items() if plot}


def _rates(bench: Mapping[str, Any]) -> Plot | None:
    series = [
        _series(bench, label, colour, dash, partial(_per_s, name=name))
        for label, colour, name, dash in _RATES
        if not (name == "offered" and bench["figures"]["offered_rate"] is None)
    ]
    return _over_time("Requests a second", "requests a second", bench, series)


def _per_s(point: Mapping[str, Any], name: str) -> float | None:
    return round(point[name] / point["seconds"], 3) if point["seconds"] >= LEAST_S else None


def _times(bench: Mapping[str, Any]) -> Plot | None:
    series = [_series(bench, label, colour, dash, itemgetter(name)) for label, colour, name, dash in _TIMES]
    plot = _over_time("Latency over time", "milliseconds", bench, series)
    return None if plot is None else plot | {"log": is_wide(ms for one in series for ms in one["values"])}


def _series(
    bench: Mapping[str, Any],
    label: str,
    colour: str,
    dash: Sequence[int] | None,
    value: Callable[[Mapping[str, Any]], float | None],
) -> dict[str, Any]:
    made = {"label": label, "colour": colour, "values": [value(one) for one in bench["series"]]}
    return made if dash is None else made | {"dash": dash}


def _over_time(title: str, y_label: str, bench: Mapping[str, Any], series: Sequence[Mapping[str, Any]]) -> Plot | None:
    """Return a plot over the bench; marked are the end of a warm-up, and where the client was the bottleneck."""
    points = bench["series"]
    if not any(value is not None for one in series for value in one["values"]):
        return None
    middles = [one["at"] + one["seconds"] / 2 for one in points]
    size, unit = time_unit([(middles[-1], None)])
    return {
        "title": title,
        "x": [round(at / size, 5) for at in middles],
        "names": [_name(one) for one in points],
        "x_label": f"{unit} since the load began",
        "y_label": y_label,
        "marks": [{"x": round(at / size, 5), "label": label} for at, label in _marks(bench)],
        "series": series,
        "log": False,
    }


def _name(point: Mapping[str, Any]) -> str:
    where = "in the warm-up" if point["at"] < 0 else f"after {duration(point['at'])}"
    return f"{where}, {point['seconds']:.2f} s"


def _marks(bench: Mapping[str, Any]) -> list[tuple[float, str]]:
    warm = [(0.0, "the warm-up ends")] if bench["series"][0]["at"] < 0 else []
    periods = bench["figures"]["client"]["saturated_periods"]
    ends = [(at, "the client was the bottleneck") for one in periods for at in (one["begins"], one["ends"])]
    return [*warm, *ends][:MOST_MARKS]


def _curve(bench: Mapping[str, Any]) -> Plot | None:
    """Return both kinds of time by percentile, as far as there are requests to tell by."""
    known = [
        (kind.replace("_", " "), "time", curve) for kind in _KINDS if (curve := bench["percentiles"][f"{kind}_ms"])
    ]
    plot = curves("Time by percentile", known)
    for one in [] if plot is None else plot["series"]:
        if one["label"] == "service time":
            one["dash"] = _DOTTED
    return plot
