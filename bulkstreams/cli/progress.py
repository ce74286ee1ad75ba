"""A run's progress: a live view on a terminal, a plain line every few seconds elsewhere, or nothing."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from enum import StrEnum
from typing import Final

import anyio
from rich.console import Console, Group
from rich.live import Live as RichLive
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from bulkstreams.commands.live import Live

PLAIN_EVERY_S: Final = 5.0
BAR_EVERY_S: Final = 0.2

PLAIN_WAITS: Final = 3
BAR_WAITS: Final = 5
"""Waits of lanes that are told one by one; the rest is counted."""

PLAIN_MOST: Final = 400
"""Characters of a plain line at the most."""

BAR_WIDTH: Final = 30
_ECHO: Final = 3
"""Columns that stay free: a terminal shows `^C` where the picture ends, and must not go to another line for it."""

WIDE: Final = 100
"""Columns of a terminal from which on the bar stands beside the figures."""


class ProgressKind(StrEnum):
    """How progress is shown."""

    AUTO = "auto"
    BAR = "bar"
    PLAIN = "plain"
    NONE = "none"


def choose(kind: ProgressKind, environment: Mapping[str, str]) -> ProgressKind:
    """Return what `auto` means here: a live view on a terminal that is no CI's, else plain lines."""
    if kind is not ProgressKind.AUTO:
        return kind
    dumb = environment.get("TERM") == "dumb" or bool(environment.get("CI"))
    return ProgressKind.BAR if sys.stderr.isatty() and not dumb else ProgressKind.PLAIN


def console(environment: Mapping[str, str] | None = None) -> Console:
    """Return the console for everything that is not data: standard error, without colour where NO_COLOR asks."""
    plain = bool((environment or os.environ).get("NO_COLOR")) or not sys.stderr.isatty()
    return Console(stderr=True, no_color=plain, highlight=False, soft_wrap=True)


async def show(live: Live, kind: ProgressKind, to: Console) -> None:
    """Show a run's progress until cancelled."""
    if kind is ProgressKind.BAR:
        await _bar(live, to)
    elif kind is ProgressKind.PLAIN:
        await _plain(live, to)


async def _plain(live: Live, to: Console) -> None:
    while True:
        await anyio.sleep(PLAIN_EVERY_S)
        to.print(Text(plain_line(live)))


async def _bar(live: Live, to: Console) -> None:
    with RichLive(console=to, auto_refresh=False, transient=True) as view:
        while True:
            view.update(picture(live, max(1, to.width - _ECHO)), refresh=True)
            await anyio.sleep(BAR_EVERY_S)


def plain_line(live: Live) -> str:
    """Return a run's progress and what it waits for, as one line of a bounded length."""
    return _cut(_clean(" · ".join([line(live), *live.waits(PLAIN_WAITS)])), PLAIN_MOST)


def line(live: Live) -> str:
    """Return a run's progress as one plain line."""
    if live.engine is None or not live.engine.outlook.begun:
        return live.beginning()
    allowed = live.allowed()
    parts = [
        live.count(),
        f"{live.rate():.1f}/s ({allowed})" if allowed else f"{live.rate():.1f}/s",
        live.left(),
        *(f"{count:,} {state.replace('_', ' ')}" for state, count in sorted(live.states.items())),
    ]
    return " · ".join(part for part in parts if part)


def picture(live: Live, width: int) -> Group:
    """Return a run's progress as a picture of a few lines, each cut to a terminal's width."""
    if live.engine is None or not live.engine.outlook.begun:
        return Group(_row(line(live), width))
    total = max(1, live.total) if live.has_total else None  # without one it shows that something goes on, no more
    bar = ProgressBar(total=total, completed=live.done, width=min(BAR_WIDTH, width))
    waits = [_row(f"  {text}", width, "yellow") for text in live.waits(BAR_WAITS)]
    failed = [
        _row(f"  {one.file}:{one.line}: {one.state.replace('_', ' ')}: {one.message or one.http_status}", width, "red")
        for one in live.failures
    ]
    return Group(_head(bar, line(live), width), *waits, *failed)


def _head(bar: ProgressBar, text: str, width: int) -> Table:
    """Return the bar with the figures beside it, or below it where there is little room."""
    table = Table.grid(padding=(0, 1))
    if width < WIDE:
        table.add_row(bar)
        table.add_row(_row(text, width))
    else:
        table.add_row(bar, _row(text, width - BAR_WIDTH - 1))
    return table


def _row(text: str, width: int, style: str = "") -> Text:
    row = Text(_clean(text), style=style, no_wrap=True)
    row.truncate(max(1, width), overflow="ellipsis")  # by columns: some signs take two
    return row


def _clean(text: str) -> str:
    """Return what others said on one line, without signs that steer a terminal."""
    return "".join(one if one.isprintable() else " " for one in text)


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"
