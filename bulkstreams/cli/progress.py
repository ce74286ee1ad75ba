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
from bulkstreams.report import duration

PLAIN_EVERY_S: Final = 5.0
BAR_EVERY_S: Final = 0.2


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
        to.print(" · ".join([line(live), *live.waits()[:3]]), markup=False)


async def _bar(live: Live, to: Console) -> None:
    with RichLive(console=to, auto_refresh=False, transient=True) as view:
        while True:
            view.update(picture(live), refresh=True)
            await anyio.sleep(BAR_EVERY_S)


def line(live: Live) -> str:
    """Return a run's progress as one plain line."""
    if live.engine is None or not live.engine.todo:
        return f"reading: {live.lines:,} lines in {duration(live.elapsed_s)}"
    parts = [f"{live.done:,}/{live.engine.todo:,}", f"{live.rate():.1f}/s ({live.allowed()})"]
    left = live.left_s()
    if left is not None:
        parts.append(f"{duration(left)} left")
    parts += [f"{count:,} {state}" for state, count in sorted(live.states.items())]
    return " · ".join(parts)


def picture(live: Live) -> Group:
    """Return a run's progress as a picture of a few lines."""
    if live.engine is None or not live.engine.todo:
        return Group(Text(line(live)))
    table = Table.grid(padding=(0, 1))
    table.add_row(ProgressBar(total=max(1, live.engine.todo), completed=live.done, width=30), Text(line(live)))
    waits = [Text(f"  {text}", style="yellow") for text in live.waits()[:6]]
    failed = [
        Text(f"  {one.file}:{one.line}: {one.state}: {one.message or one.http_status}", style="red")
        for one in live.failures
    ]
    return Group(table, *waits, *failed)
