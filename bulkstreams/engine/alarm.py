"""Waking at an instant, as exactly as the machine can, and never before it.

Event loops keep their timers in whole milliseconds: at a thousand requests a second each would begin one late, more
than many a server takes to answer. Linux has timers of its own (timerfd) that a loop can wait for like for a socket,
and these come within some 50 microseconds. This module must never keep the loop busy while it waits.
"""

from __future__ import annotations

import asyncio
import ctypes
import math
import os
import time
from contextlib import suppress
from typing import Any, Final, Protocol

_ABSOLUTE: Final = 1  # TFD_TIMER_ABSTIME
_FLAGS: Final = os.O_NONBLOCK | os.O_CLOEXEC  # TFD_NONBLOCK | TFD_CLOEXEC


class Alarm(Protocol):
    """Wakes one waiter."""

    async def wait(self, at: float) -> None:
        """Wait until the monotonic instant `at`, or until it is rung."""

    def ring(self) -> None:
        """Wake who waits, before the time."""

    def close(self) -> None:
        """Be of no use any more."""


class LoopAlarm:
    """The event loop's own timers: up to a millisecond or two late."""

    def __init__(self) -> None:
        self._turn: asyncio.Future[None] | None = None

    async def wait(self, at: float) -> None:
        """Wait until the monotonic instant `at`, or until it is rung."""
        loop = asyncio.get_running_loop()
        self._turn = loop.create_future()
        early = max(0.0, at - self._now())
        timer = loop.call_later(math.ceil(early * 1000) / 1000, self.ring)
        try:
            await self._turn
        finally:
            timer.cancel()

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()

    def ring(self) -> None:
        """Wake who waits, before the time."""
        _wake(self._turn)

    def close(self) -> None:
        """Have nothing to close."""


class _Setting(ctypes.Structure):
    _fields_ = (
        ("every_s", ctypes.c_long),
        ("every_ns", ctypes.c_long),
        ("at_s", ctypes.c_long),
        ("at_ns", ctypes.c_long),
    )


class FineAlarm:
    """A timer of the system's, by the clock that `time.monotonic` reads; `libc` has the functions for it."""

    def __init__(self, libc: Any) -> None:
        self._libc = libc
        self._turn: asyncio.Future[None] | None = None
        self._timer: int = libc.timerfd_create(time.CLOCK_MONOTONIC, _FLAGS)
        if self._timer < 0:
            raise OSError("no timer is to be had")
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._timer, self._rings)

    async def wait(self, at: float) -> None:
        """Wait until the monotonic instant `at`, or until it is rung."""
        self._turn = self._loop.create_future()
        at_ns = max(1, math.ceil(at * 1e9))  # an instant that has passed rings at once, zero never
        setting = _Setting(0, 0, at_ns // 1_000_000_000, at_ns % 1_000_000_000)
        self._libc.timerfd_settime(self._timer, _ABSOLUTE, ctypes.byref(setting), None)
        await self._turn

    def _rings(self) -> None:
        with suppress(BlockingIOError):  # it was set anew meanwhile
            os.read(self._timer, 8)
            self.ring()

    def ring(self) -> None:
        """Wake who waits, before the time."""
        _wake(self._turn)

    def close(self) -> None:
        """Give the timer back."""
        self._loop.remove_reader(self._timer)
        os.close(self._timer)


def new_alarm() -> Alarm:
    """Return the finest alarm that there is here; inside a running loop."""
    try:
        # Not `CDLL`: to give the interpreter's lock away for a microsecond can cost five milliseconds.
        return FineAlarm(ctypes.PyDLL(None))
    except (AttributeError, OSError, TypeError):
        return LoopAlarm()


def _wake(turn: asyncio.Future[None] | None) -> None:
    if turn is not None and not turn.done():
        turn.set_result(None)
