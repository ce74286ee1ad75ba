"""The one thread that writes the ledger, and the commit that many callers share.

Operations that arrive while a commit is under way share the next one, so one `fsync` serves many. Each operation is a
function of the connection that runs few, large statements: SQLite lets go of the interpreter for each step of a
statement, and getting it back from a busy event loop takes milliseconds, so a step a row would be ruinous.
This module must never know what an operation means.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any, TypeVar

from bulkstreams.errors import LedgerError
from bulkstreams.ledger import format as ledger_format
from bulkstreams.ledger.seal import Folding, close_sealed, close_unfolded

T = TypeVar("T")
Operation = Callable[[sqlite3.Connection], T]
_Job = tuple[Operation[Any], "asyncio.Future[Any]"]


class Writer:
    """Runs operations on the ledger in one thread, a batch to a transaction, and answers when they are durable."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._loop = asyncio.get_running_loop()
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._broken: LedgerError | None = None
        self._closed = False
        self._db = ledger_format.connect(path)
        with ledger_format.told(path):
            self._folding = Folding(self._db)
        self._thread = Thread(target=self._work, name="ledger", daemon=True)
        self._thread.start()

    async def do(self, operation: Operation[T]) -> T:
        """Run `operation` and return its result once it is on disk.

        Raises LedgerWriteError where it could not be made durable: then nothing of the batch is, and the writer
        refuses everything from then on.
        """
        if self._closed:
            raise LedgerError("the ledger is closed.")
        future: asyncio.Future[T] = self._loop.create_future()
        self._jobs.put((operation, future))
        return await future

    def close(self) -> None:
        """Finish what is queued, close the file and end the thread; calling it twice does no harm."""
        self._closed = True
        if self._thread.is_alive():
            self._jobs.put(None)
            self._thread.join()

    def _work(self) -> None:
        try:
            while True:
                batch, last = self._next_batch()
                if batch:
                    self._commit(batch)
                if last:
                    return
        finally:
            self._close()

    def _close(self) -> None:
        if self._broken is not None:
            close_unfolded(self._db, self._path)
        elif self._folding.begun:
            with suppress(sqlite3.Error, OSError):
                close_sealed(self._db, self._path)
        else:
            self._db.close()

    def _next_batch(self) -> tuple[list[_Job], bool]:
        batch: list[_Job] = []
        job = self._jobs.get()
        while job is not None:
            batch.append(job)
            try:
                job = self._jobs.get_nowait()
            except Empty:
                return batch, False
        return batch, True

    def _commit(self, batch: list[_Job]) -> None:
        if self._broken is None:
            try:
                self._folding.fold_if_due()
                self._db.execute("BEGIN IMMEDIATE")
                results = [operation(self._db) for operation, _ in batch]
                self._db.execute("COMMIT")
            except sqlite3.Error as error:
                self._broken = ledger_format.unusable(self._path, error)
                self._roll_back()
            except Exception as error:  # noqa: BLE001 - relayed to its caller, who waits in another thread
                # Its neighbours in the batch did nothing wrong: they are run again, each on its own.
                self._roll_back()
                self._apart(batch, error)
                return
            else:
                self._answer(lambda: _resolve(batch, results))
                return
        broken: LedgerError = self._broken
        self._answer(lambda: _reject(batch, broken))

    def _apart(self, batch: list[_Job], error: Exception) -> None:
        if len(batch) == 1:
            self._answer(lambda: _reject(batch, error))
            return
        for job in batch:
            self._commit([job])

    def _roll_back(self) -> None:
        if self._db.in_transaction:
            try:
                self._db.execute("ROLLBACK")
            except sqlite3.Error as error:
                self._broken = ledger_format.unusable(self._path, error)

    def _answer(self, callback: Callable[[], None]) -> None:
        # A loop that is gone has nobody left who waits.
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(callback)


def _resolve(batch: list[_Job], results: list[Any]) -> None:
    for (_, future), result in zip(batch, results, strict=True):
        if not future.done():
            future.set_result(result)


def _reject(batch: list[_Job], error: BaseException) -> None:
    for _, future in batch:
        if not future.done():
            future.set_exception(error)
