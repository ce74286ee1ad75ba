"""A bench while it goes on: offered against achieved, the latencies now, errors by kind, and a plot of the latency.

The plot is plotext's. This module must never take long: it draws in the very loop whose lateness is measured, so it
draws seldom, and what it draws is small.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from typing import Any, Final

import anyio
from rich.console import Console, Group
from rich.live import Live as RichLive
from rich.text import Text

from bulkstreams.cli.progress import PLAIN_EVERY_S, ProgressKind
from bulkstreams.core.saturation import trouble
from bulkstreams.core.waiting import duration
from bulkstreams.engine.metering import Meter, Point

DRAWN_EVERY_S: Final = 1.0
PLOT_ROWS: Final = 12
PLOT_COLUMNS: Final = 90
MOST_DOTS: Final = 2 * PLOT_COLUMNS
"""Dots that a curve goes through at the most; with one for each second of an hour, plotext takes 0.15 s each time."""

LEAST_COLUMNS: Final = 40
MOST_KINDS: Final = 4


class BenchView:
    """Shows a bench on `console`; `say` takes what is told once. Between loads it shows what else goes on."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._what = ""
        self._meter: Meter | None = None
        self._between: str | None = None

    def begins(self, what: str, meter: Meter) -> None:
        """Show another load from now on."""
        self._what, self._meter, self._between = what, meter, None

    def phase(self, what: str) -> None:
        """Tell that something else than a load goes on: the figures of the last load would be stale now."""
        self._between = what
        self._say(what)

    async def show(self, kind: ProgressKind, console: Console) -> None:
        """Show it until cancelled."""
        if kind is ProgressKind.BAR:
            _figure()  # loaded now, before anything is timed
            with RichLive(console=console, auto_refresh=False, transient=True) as view:
                while True:
                    view.update(self._now(console.width), refresh=True)
                    await anyio.sleep(DRAWN_EVERY_S)
        elif kind is ProgressKind.PLAIN:
            while True:
                await anyio.sleep(PLAIN_EVERY_S)
                if self._meter is not None and self._between is None:
                    console.print(Text(self.line()))

    def _now(self, width: int) -> Group:
        return self.picture(width) if self._between is None else Group(Text(self._between))

    def line(self) -> str:
        """Return how the load stands, as one line."""
        meter = self._meter
        if meter is None or not meter.points:
            return self._beginning()
        point = meter.points[-1]
        return " · ".join([self._place(point), *_figures(meter), *_errors(meter), *self._warning(meter)])

    def picture(self, width: int) -> Group:
        """Return the same as a few lines with a plot below."""
        meter = self._meter
        if meter is None or not meter.points:
            return Group(Text(self._beginning()))
        point = meter.points[-1]
        rows = [
            Text(f"{self._place(point)} · {' · '.join(_figures(meter))}", no_wrap=True, overflow="ellipsis"),
            *(Text(f"  {text}", style="red") for text in _errors(meter)),
            *(Text(f"  {text}", style="yellow") for text in self._warning(meter)),
        ]
        if width >= LEAST_COLUMNS and len(meter.points) > 1:
            drawn = plot(meter.points, min(width - 1, PLOT_COLUMNS))
            rows += [Text(drawn, no_wrap=True)] if drawn else []
        return Group(*rows)

    def _beginning(self) -> str:
        return f"{self._what or 'the load'} begins"

    def _place(self, point: Point) -> str:
        at = point.at + point.seconds
        if at <= 0:
            return f"{self._what}: warming up"
        meter = self._meter
        if meter is None or meter.schedule is None:
            return f"{self._what}: {duration(at)}"
        whole = float(meter.schedule.seconds) - (meter.begins - meter.began_at)
        return f"{self._what}: {duration(at)} of {duration(whole)}"

    def _warning(self, meter: Meter) -> Iterator[str]:
        if meter.spans and (why := trouble(meter.spans[-1])) is not None:
            yield f"the client is the bottleneck: {why}"


def _figures(meter: Meter) -> Iterator[str]:
    point = meter.points[-1]
    offered = "" if meter.schedule is None else f" of {point.offered / point.seconds:,.1f}/s offered"
    yield f"{point.sent / point.seconds:,.1f}/s{offered}"
    if point.p50_ms is not None:
        of = "" if point.timed == point.done else f" of {point.timed:,} of {point.done:,} that reached the server"
        yield f"p50 {_ms(point.p50_ms)} · p99 {_ms(point.p99_ms)}{of}"
    yield f"{point.under_way:,} under way"
    if point.overdue:
        yield f"{point.overdue:,} overdue"


def _errors(meter: Meter) -> list[str]:
    kinds = {str(status): count for status, count in meter.status.items() if status != 201} | dict(meter.failures)
    worst = sorted(kinds.items(), key=lambda kind: -kind[1])
    told = [f"{count:,} × {kind}" for kind, count in worst[:MOST_KINDS]]
    return [*told, "…"] if len(worst) > MOST_KINDS else told


def _ms(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value / 1000:.2f} s" if value >= 1000 else f"{value:.1f} ms"


def plot(points: Sequence[Point], width: int) -> str:
    """Return the response times over time as text: the middle one, and the 99th of a hundred; "" without an answer.

    Of a long load each dot is the worst of some seconds. Where nothing was answered is a gap.
    """
    stretches = [list(its) for answered, its in groupby(dots(points), key=bool) if answered]
    if not stretches:
        return ""
    figure = _figure()
    figure.clear()
    figure.theme("colorless")
    figure.plot_size(width, PLOT_ROWS)
    for label, name in (("p99", "p99_ms"), ("p50", "p50_ms")):
        for number, its in enumerate(stretches):
            times = [dot[-1].at + dot[-1].seconds for dot in its]
            signal = figure.signal(times, [max(getattr(one, name) for one in dot) for dot in its], marker="braille")
            if not number:
                signal.label(label)
            signal.lines()
            figure.draw(signal)
    figure.title("response time, ms, over seconds")
    return str(figure.build().string(colorless=True))


def dots(points: Sequence[Point]) -> list[list[Point]]:
    """Return the intervals that each dot is of, without those in which nothing was answered."""
    each = max(1, -(-len(points) // MOST_DOTS))
    return [
        [one for one in points[first : first + each] if one.p50_ms is not None] for first in range(0, len(points), each)
    ]


def _figure() -> Any:
    """Return what plots are drawn on: it takes a tenth of a second to load, which no other command should pay."""
    import plotext  # type: ignore[import-untyped]

    return plotext.figure
