"""Who watches a command: a `Live`, or one whose figures are served as well. What they mean is said in `commands`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from bulkstreams.cli.extras import not_installed
from bulkstreams.cli.telling import say
from bulkstreams.commands.live import Live
from bulkstreams.commands.metering import Metered


@contextmanager
def watched(port: int | None, *, reads_lines: bool = True) -> Iterator[Live]:
    """Give what watches a command; with a port, serve its figures there while the context lasts, and say where."""
    if port is None:
        live = Live(say)
        live.reads_lines = reads_lines
        yield live
        return
    try:
        from bulkstreams.commands import metrics
    except ModuleNotFoundError as missing:
        raise not_installed("`--metrics-port`", "metrics", missing) from None
    live = Metered(say)
    live.reads_lines = reads_lines
    with metrics.serve(port, lambda: live.figures) as address:
        say(f"metrics: {address}")
        yield live
