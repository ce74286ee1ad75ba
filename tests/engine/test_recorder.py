"""The recorder: batches, order, and nobody told before it is durable."""

from __future__ import annotations

from collections.abc import Sequence

import anyio
import pytest

from bulkstreams.core.metrics import Tally
from bulkstreams.engine.recorder import Recorder
from bulkstreams.errors import LedgerWriteError, first_cause
from bulkstreams.model import Settlement
from tests.engine.fakes import in_told_time


class SlowDisk:
    """A ledger whose commit takes a second, or fails."""

    def __init__(self, broken: bool = False) -> None:
        self.durable: list[int] = []
        self.commits: list[int] = []
        self.tally = Tally()
        self.broken = broken

    async def settle(self, batch: Sequence[Settlement], tally: Tally) -> None:
        """Write a batch, slowly."""
        await anyio.sleep(1.0)
        if self.broken:
            raise LedgerWriteError("the disk is full.")
        self.durable += [one.id for one in batch]
        self.commits.append(len(batch))
        self.tally.add(tally)


class Scene:
    """A recorder over a slow disk, and what it told when."""

    def __init__(self, disk: SlowDisk) -> None:
        self.disk = disk
        self.told: list[int] = []
        self.recorder = Recorder(disk, self.tell)  # type: ignore[arg-type]

    async def tell(self, batch: Sequence[Settlement]) -> None:
        """Take a batch; it must be durable."""
        assert {one.id for one in batch} <= set(self.disk.durable)
        self.told += [one.id for one in batch]

    def put(self, *ids: int) -> None:
        """Put settlements of these records."""
        for id_ in ids:
            self.recorder.put(Settlement(id_, "created", 1))


def test_nobody_is_told_before_it_is_on_disk() -> None:
    """Every batch reaches the listener after its commit, whole and in order."""
    scene = Scene(SlowDisk())

    async def run() -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(scene.recorder.run)
            for i in range(10):
                scene.put(i)
                await anyio.sleep(0.3)
                assert set(scene.told) <= set(scene.disk.durable)
            await scene.recorder.flush()
            scene.recorder.close()

    in_told_time(run)
    assert scene.told == scene.disk.durable == list(range(10))


def test_what_comes_during_a_commit_shares_the_next_one() -> None:
    """A thousand settlements in one second cost two or three commits, not a thousand."""
    scene = Scene(SlowDisk())

    async def run() -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(scene.recorder.run)
            for i in range(1000):
                scene.put(i)
                await anyio.sleep(0.001)
            await scene.recorder.flush()
            scene.recorder.close()

    in_told_time(run)
    assert sum(scene.disk.commits) == 1000
    assert len(scene.disk.commits) <= 3


def test_flush_waits_for_what_was_put_before_it_and_not_for_what_comes_after() -> None:
    """A tenant that never pauses cannot starve another's flush."""
    scene = Scene(SlowDisk())

    async def run() -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(scene.recorder.run)
            scene.put(1, 2, 3)

            async def flood() -> None:
                for i in range(100, 200):
                    scene.put(i)
                    await anyio.sleep(0.1)

            group.start_soon(flood)
            await anyio.sleep(0.005)
            with anyio.fail_after(3.0):
                await scene.recorder.flush()
            assert {1, 2, 3} <= set(scene.told)
            assert len(scene.told) < 50
            await anyio.sleep(20.0)
            scene.recorder.close()

    in_told_time(run)
    assert len(scene.told) == 103


def test_flush_with_nothing_to_write_returns_at_once() -> None:
    """An idle recorder holds nobody up."""
    scene = Scene(SlowDisk())

    async def run() -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(scene.recorder.run)
            with anyio.fail_after(0.001):
                await scene.recorder.flush()
            scene.recorder.close()

    in_told_time(run)
    assert scene.disk.commits == []


def test_a_broken_ledger_ends_the_run_and_tells_nobody() -> None:
    """The error goes to the task group; a flush that waits is let go, and the listener hears nothing."""
    scene = Scene(SlowDisk(broken=True))
    let_go = []

    async def flush() -> None:
        with anyio.CancelScope(shield=True), anyio.fail_after(5.0):
            await scene.recorder.flush()
            let_go.append(True)

    async def run() -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(scene.recorder.run)
            scene.put(1, 2)
            group.start_soon(flush)

    with pytest.raises(BaseExceptionGroup) as caught:
        in_told_time(run)
    assert isinstance(first_cause(caught.value), LedgerWriteError)
    assert let_go == [True]
    assert scene.told == []


def test_the_tally_goes_with_the_settlements_and_is_counted_once() -> None:
    """What it took is in the same commit as what came of it."""
    scene = Scene(SlowDisk())

    async def run() -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(scene.recorder.run)
            for i in range(5):
                scene.recorder.tally.requests += 1
                scene.put(i)
                await anyio.sleep(0.7)
            await scene.recorder.flush()
            scene.recorder.close()

    in_told_time(run)
    assert scene.disk.tally.requests == 5
    assert scene.recorder.tally.requests == 5


def test_what_was_asked_and_led_to_no_outcome_is_counted_at_the_end() -> None:
    """A look-up that was refused settles nothing; the run's own row tells of it all the same."""
    scene = Scene(SlowDisk())

    async def run() -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(scene.recorder.run)
            scene.recorder.tally.lookups += 2
            scene.recorder.close()

    in_told_time(run)
    assert scene.disk.tally == Tally(lookups=2)
