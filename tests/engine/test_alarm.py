"""Alarms: never before their instant, and at once where somebody rings; the finest there is, or the loop's own."""

from __future__ import annotations

import ctypes
import sys
import time
from collections.abc import Callable

import anyio
import pytest

from bulkstreams.engine.alarm import Alarm, FineAlarm, LoopAlarm, new_alarm
from tests.engine.fakes import in_told_time

FAR = 3600.0
ALARMS = [
    LoopAlarm,
    pytest.param(
        lambda: FineAlarm(ctypes.PyDLL(None)),
        marks=pytest.mark.skipif(sys.platform != "linux", reason="timerfd is Linux's"),
    ),
]


@pytest.mark.parametrize("make", ALARMS, ids=["loop", "fine"])
def test_an_alarm_that_is_rung_wakes_at_once(make: Callable[[], Alarm]) -> None:
    """A load that is stopped does not wait for its next request; the alarm serves again after that."""

    async def scene() -> None:
        alarm = make()
        for _ in range(3):
            async with anyio.create_task_group() as group:
                group.start_soon(alarm.wait, time.monotonic() + FAR)
                await anyio.lowlevel.checkpoint()
                await anyio.lowlevel.checkpoint()
                alarm.ring()
        alarm.ring()  # nobody waits: nothing happens
        alarm.close()

    began = time.monotonic()
    anyio.run(scene)
    assert time.monotonic() - began < FAR


@pytest.mark.skipif(sys.platform != "linux", reason="timerfd is Linux's")
def test_a_fine_alarm_is_never_early() -> None:
    """Each of a hundred instants has come when it wakes, those that had passed already included."""

    async def scene() -> None:
        alarm = FineAlarm(ctypes.PyDLL(None))
        for k in range(100):
            at = time.monotonic() + (k - 20) * 0.0001
            await alarm.wait(at)
            assert time.monotonic() >= at
        alarm.close()

    anyio.run(scene)


def test_the_loops_own_alarm_keeps_to_milliseconds() -> None:
    """It is up to one of them late, so that no timer is set in vain; never early."""

    async def scene() -> None:
        import asyncio

        loop, alarm = asyncio.get_running_loop(), LoopAlarm()
        for step in (0.0, 0.0004, 0.0011, 0.25):
            at = loop.time() + step
            await alarm.wait(at)
            assert 0 <= loop.time() - at <= 0.0011

    in_told_time(scene)


def test_where_the_system_has_no_such_timer_the_loops_own_serves(monkeypatch: pytest.MonkeyPatch) -> None:
    """On macOS there is none; some places forbid it."""

    class NoTimers:
        """A library without the functions, or with one that fails."""

    async def scene() -> None:
        assert isinstance(new_alarm(), LoopAlarm)

    monkeypatch.setattr(ctypes, "PyDLL", lambda _name: NoTimers())
    anyio.run(scene)
    NoTimers.timerfd_create = staticmethod(lambda _clock, _flags: -1)  # type: ignore[attr-defined]
    anyio.run(scene)
