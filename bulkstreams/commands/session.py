"""What every command that talks to tenants is, beside what it does: something that a signal can end in order."""

from __future__ import annotations

from typing import Protocol

from bulkstreams.errors import ExitCode


class Stoppable(Protocol):
    """The engine or the fleet of a command."""

    def stop(self, reason: str, hint: str = "") -> None:
        """Drain: nothing new starts, what is under way ends in order."""

    def abandon(self) -> None:
        """Leave at once."""


class Session:
    """A command that goes on, and how it is ended early; `engine` is what does the work."""

    def __init__(self, engine: Stoppable) -> None:
        self._engine = engine
        self.interrupted: ExitCode | None = None

    def interrupt(self, code: ExitCode) -> None:
        """Drain, and the second time leave at once; it ends with `code` unless nothing is left to do."""
        if self.interrupted is None:
            self.interrupted = code
            self.stop("interrupted" if code is ExitCode.INTERRUPTED else "terminated")
        else:
            self._engine.abandon()

    def stop(self, reason: str) -> None:
        """Drain."""
        self._engine.stop(reason)
