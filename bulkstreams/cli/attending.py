"""A command that talks to tenants, while it goes on: its progress, the signals that end it, the reader that leaves.

This module must never know what the command does, nor how it ends.
"""

from __future__ import annotations

import signal
from typing import Protocol, TypeVar

import anyio

from bulkstreams.cli.loop import SIGNALS, heeded
from bulkstreams.cli.outlets import watch_reader
from bulkstreams.cli.progress import ProgressKind, console, show
from bulkstreams.cli.telling import say
from bulkstreams.commands.live import Live
from bulkstreams.commands.metering import Metered
from bulkstreams.errors import ExitCode, first_cause

Report = TypeVar("Report", covariant=True)


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


async def attend(session: Attended[Report], live: Live, kind: ProgressKind) -> Report:
    """Execute a session to its end, however that comes."""
    with watch_reader(lambda: session.stop("nobody reads standard error any more")):
        try:
            async with anyio.create_task_group() as group:
                group.start_soon(_watch_signals, session)
                group.start_soon(show, live, kind, console())
                if isinstance(live, Metered):
                    group.start_soon(live.keep_telling)
                ended = await session.execute()
                group.cancel_scope.cancel()
        except BaseExceptionGroup as trouble:
            raise first_cause(trouble) from None
        return ended


async def _watch_signals(session: Attended[object]) -> None:
    with anyio.open_signal_receiver(*heeded()) as received:
        async for number in received:
            if session.interrupted is None:
                say("draining: requests under way end in order, nothing new starts; once more to leave at once")
            elif number == signal.SIGHUP:
                continue  # a terminal that closes says so twice: through its shell, and through the system
            session.interrupt(SIGNALS[number])
