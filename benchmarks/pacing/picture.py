"""One picture of the contenders: what each was granted and refused, second by second, in the first minute of a backlog.

It is drawn with matplotlib, which nothing else needs (the extra `pictures`). The same seed gives the same file, byte
for byte, with the same matplotlib. It must read well on white and on black: nothing behind it, and middling colours.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, Final, NamedTuple

from benchmarks.pacing.policies import OTHERS, OURS, Contender
from benchmarks.pacing.servers import TABLE, Row
from benchmarks.pacing.simulator import Result, simulate

SECONDS: Final = 60
SERVERS: Final = (TABLE[0], TABLE[1])
ENDLESS: Final = 1_000_000
"""Records that nobody gets through in so short a time."""

INK, GRANTED, REFUSED = "#7d8590", "#2da177", "#e5534b"
STYLE: Final = {
    "svg.hashsalt": "bulkstreams",
    "svg.fonttype": "none",
    "font.family": ["sans-serif"],
    "font.size": 9.0,
    **dict.fromkeys(("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color"), INK),
}
MISSING: Final = "a picture needs matplotlib; from the checkout's root: pip install '.[pictures]'"


class Panel(NamedTuple):
    """One contender at one server: what to draw, and what to say of it."""

    granted: Sequence[int]
    refused: Sequence[int]
    sustained: float
    text: str


def panel(row: Row, contender: Contender, seed: int) -> Panel:
    """Play the first minute."""
    server = row.make(seed)
    other = row.make(seed)  # a model that a neighbour shares cannot be asked of what is to come
    half, grantable = other.grantable(SECONDS / 2), other.grantable(SECONDS)
    result = simulate(
        server,
        contender.make(server.wall),
        records=ENDLESS,
        concurrency=contender.concurrency,
        seed=seed,
        deadline=SECONDS,
    )
    text = f"{contender.name}: {_words(result, grantable)}"
    return Panel(
        _filled(result.granted_per_second), _filled(result.refused_per_second), (grantable - half) * 2 / SECONDS, text
    )


def _words(result: Result, grantable: float) -> str:
    words = f"{math.floor(100.0 * result.granted / grantable)} % used, {result.refused_share:.1%} refused"
    return words + (f", {result.given_up:,} given up" if result.given_up else "")


def _filled(series: Sequence[int]) -> list[int]:
    """Return one number a second, for each second."""
    return [*series, *[0] * SECONDS][:SECONDS]


def draw(path: Path, seed: int) -> None:
    """Write the picture. Raises SystemExit with what to install where matplotlib is missing."""
    try:
        matplotlib, figures = import_module("matplotlib"), import_module("matplotlib.figure")
    except ImportError:
        raise SystemExit(MISSING) from None
    with matplotlib.rc_context(STYLE):
        figure = figures.Figure(figsize=(10.0, 7.2), layout="constrained")
        compose(figure, seed)
        figure.savefig(path, format="svg", transparent=True, metadata={"Date": None, "Creator": None})


def compose(figure: Any, seed: int) -> None:
    """Fill a figure: a column for each server, a line for each contender."""
    contenders = (OURS, *OTHERS)
    grid = figure.subplots(len(contenders), len(SERVERS), sharex=True, sharey="col")
    for column, row in enumerate(SERVERS):
        for line, contender in enumerate(contenders):
            _draw_panel(grid[line][column], panel(row, contender, seed))
        grid[0][column].annotate(
            row.name, (0.0, 1.0), (0, 24), xycoords="axes fraction", textcoords="offset points", fontweight="bold"
        )
        grid[-1][column].set_xlabel("seconds")
    figure.legend(*grid[0][0].get_legend_handles_labels(), loc="outside lower center", ncols=3, frameon=False)


def _draw_panel(axes: Any, shown: Panel) -> None:
    edges = range(SECONDS + 1)
    below = [-count for count in shown.refused]
    axes.stairs(shown.granted, edges, fill=True, color=GRANTED, label="granted in a second")
    axes.stairs(below, edges, fill=True, color=REFUSED, label="refused with 429 in a second")
    axes.axhline(shown.sustained, color=INK, linewidth=1.0, linestyle="--", label="what the server sustains")
    axes.axhline(0.0, color=INK, linewidth=0.8)
    axes.set_title(shown.text, loc="left", fontsize=9.0)
    axes.set_xlim(0, SECONDS)
    axes.yaxis.set_major_formatter(lambda value, position: f"{abs(value):g}")
    axes.spines[["top", "right"]].set_visible(False)
