"""The event loop that a command runs in, and the signals that end it. This module must never know what runs there."""

from __future__ import annotations

import gc
import signal
from collections.abc import Callable, Coroutine
from typing import Any, Final, TypeVar

import anyio

from bulkstreams.commands.room import make_room
from bulkstreams.errors import ExitCode

T = TypeVar("T")

SIGNALS: Final = {
    signal.SIGINT: ExitCode.INTERRUPTED,
    signal.SIGTERM: ExitCode.TERMINATED,
    signal.SIGHUP: ExitCode.TERMINATED,
}


def run_loop(work: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run a command's asynchronous part to its end and return what it gives; uvloop carries it where there is one."""
    make_room()
    # What is imported by now stays: the collector need not walk it again and again.
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)
    return anyio.run(work, backend_options={"use_uvloop": _has_uvloop()})


def _has_uvloop() -> bool:
    try:
        import uvloop  # noqa: F401 - not on every platform
    except ImportError:
        return False
    return True


def heeded() -> list[signal.Signals]:
    """Return the signals that end a run; a SIGHUP that was ignored from the start (`nohup`) stays ignored."""
    deaf = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    return [number for number in SIGNALS if not (deaf and number == signal.SIGHUP)]
