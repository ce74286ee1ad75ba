"""Outcomes on their way to the ledger: gathered while a commit is under way, written together, then told.

This module must never tell anybody of an outcome before it is on disk.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Generic, Protocol, TypeVar

import anyio

from bulkstreams.core.metrics import Tally
from bulkstreams.model import Settlement

GATHER_S: Final = 0.02
"""How long settlements are gathered for one commit: an `fsync` costs as much as settling a hundred records."""

ENOUGH: Final = 512
"""Settlements that are worth a commit of their own at once."""

Listener = Callable[[Sequence[Settlement]], Awaitable[None]]

S = TypeVar("S")
S_contra = TypeVar("S_contra", contravariant=True)


class Book(Protocol[S_contra]):
    """Where settlements of one kind are written, durably: the ledger, for those of records."""

    async def settle(self, settlements: Sequence[S_contra], tally: Tally) -> None:
        """Write what became of them, and what it took."""


class Recorder(Generic[S]):
    """Writes settlements to `book` in batches, and hands each batch to `listener` once it is durable."""

    def __init__(self, book: Book[S], listener: Callable[[Sequence[S]], Awaitable[None]]) -> None:
        self._book = book
        self._listener = listener
        self._waiting: list[S] = []
        self._wake = asyncio.Event()
        self._taken, self._written = 0, 0
        self._progress = asyncio.Event()
        self._hurry = asyncio.Event()
        self._over = False
        self._ended = False
        self.tally = Tally()

    @property
    def backlog(self) -> int:
        """Return how many settlements wait to be written and told."""
        return len(self._waiting)

    @property
    def behind(self) -> int:
        """Return how many settlements are not durable and told yet, those included that are being written."""
        return self._taken + len(self._waiting) - self._written

    def put(self, settlement: S) -> None:
        """Take a settlement to be written with the next commit."""
        if not self._waiting:
            self._wake.set()
        self._waiting.append(settlement)

    async def run(self) -> None:
        """Write what is put, until `close`; errors of the ledger go to the task group and end the run."""
        try:
            while not (self._over and not self._waiting):
                await self._wake.wait()
                self._wake.clear()
                while self._waiting:
                    if len(self._waiting) < ENOUGH and not self._over and not self._hurry.is_set():
                        with anyio.move_on_after(GATHER_S):
                            await self._hurry.wait()
                    await self._write()
            rest = self.tally.taken()
            if rest != Tally():  # what was asked since, and led to no outcome
                await self._book.settle([], rest)
        finally:
            self._ended = True
            self._progress.set()

    async def _write(self) -> None:
        batch, self._waiting = self._waiting, []
        self._taken += len(batch)
        await self._book.settle(batch, self.tally.taken())
        await self._listener(batch)
        self._written += len(batch)
        self._progress.set()

    async def flush(self) -> None:
        """Wait until everything that was put by now is durable and told, or `run` has ended over an error."""
        target = self._taken + len(self._waiting)
        self._hurry.set()
        while self._written < target and not self._ended:
            self._progress.clear()
            await self._progress.wait()
        if not self._over:
            self._hurry.clear()

    def close(self) -> None:
        """Let `run` end once everything is written."""
        self._over = True
        self._hurry.set()
        self._wake.set()


class Unrecorded:
    """Stands in for a recorder where nothing is to be remembered: it counts requests, and takes no settlement."""

    backlog = 0
    behind = 0

    def __init__(self) -> None:
        self.tally = Tally()

    def put(self, settlement: object) -> None:
        """Refuse: whoever only looks has nothing to settle."""
        raise AssertionError("nothing is recorded here")

    async def run(self) -> None:
        """Have nothing to write."""

    async def flush(self) -> None:
        """Have nothing to wait for."""

    def close(self) -> None:
        """Have nothing to end."""
