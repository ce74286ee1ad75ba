"""A command that talks to tenants, while it goes on: its progress, the signals that end it, the reader that leaves.

This module must never know what the command does, nor how it ends.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Coroutine
from typing import Any, Protocol, TypeVar

import anyio

from bulkstreams.cli.loop import SIGNALS, heeded
from bulkstreams.cli.outlets import watch_reader
from bulkstreams.cli.progress import ProgressKind, console, show
from bulkstreams.cli.telling import say
from bulkstreams.commands.live import Live
from bulkstreams.commands.metering import Metered
from bulkstreams.errors import ExitCode, first_cause

Report = TypeVar("Report", covariant=True)
Value = TypeVar("Value")


class Attended(Protocol[Report]):
    """What goes on, as far as its end is concerned."""

    @property
    def interrupted(self) -> ExitCode | None:
        """Return the exit code of the signal that asked it to drain; None: none did."""

    def interrupt(self, code: ExitCode) -> None:
        """Drain, and the second time leave at once."""

    def stop(self, reason: str) -> None:
        """Drain."""

    async def execute(self) -> Report:
        """Do it all, and report."""


Beside = Callable[[], Coroutine[Any, Any, None]]
"""What goes on beside a command, until it is cancelled."""


async def attend(session: Attended[Report], live: Live, kind: ProgressKind) -> Report:
    """Execute a session to its end, however that comes, and show its progress."""
    telling: list[Beside] = [live.keep_telling] if isinstance(live, Metered) else []
    return await attend_with(session, lambda: show(live, kind, console()), *telling)


async def attend_with(session: Attended[Report], *beside: Beside, minds: Callable[[], bool] = lambda: True) -> Report:
    """Execute a session to its end, however that comes, and beside it what shows how it stands.

    `minds`: whether it is to end, just then, because its reader leaves or its terminal closes.
    """

    def left() -> None:
        if minds():
            session.stop("nobody reads standard error any more")

    with watch_reader(left):
        return await with_beside(session.execute, lambda: _watch_signals(session, minds), *beside)


async def with_beside(work: Callable[[], Coroutine[Any, Any, Value]], *beside: Beside) -> Value:
    """Do some work to its end while other things go on beside it, and return what it gives."""
    try:
        async with anyio.create_task_group() as group:
            for one in beside:
                group.start_soon(one)
            ended = await work()
            group.cancel_scope.cancel()
    except BaseExceptionGroup as trouble:
        raise first_cause(trouble) from None
    return ended


async def _watch_signals(session: Attended[object], minds: Callable[[], bool]) -> None:
    with anyio.open_signal_receiver(*heeded()) as received:
        async for number in received:
            # A terminal that closes says so twice: through its shell, and through the system.
            if number == signal.SIGHUP and (session.interrupted is not None or not minds()):
                continue
            if session.interrupted is None:
                say("draining: requests under way end in order, nothing new starts; once more to leave at once")
            session.interrupt(SIGNALS[number])
