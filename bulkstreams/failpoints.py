"""Named points at which a process can be told to kill itself, so that a test decides where a crash comes.

`BULKSTREAMS_FAILPOINT=settle.after:3` ends the process with SIGKILL when `settle.after` is reached for the third time:
no handler runs, nothing is flushed. What is armed wraps the methods concerned from outside, once, at the start of the
process; no other module knows of a point, so what is not armed costs nothing. This module must never be armed but by
that variable, nor change what a wrapped method does.
"""

from __future__ import annotations

import difflib
import functools
import os
import signal
import sqlite3
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, cast

from bulkstreams.client import Client
from bulkstreams.errors import UsageError
from bulkstreams.ledger import ErrandBook, Ledger
from bulkstreams.ledger import format as ledger_format
from bulkstreams.ledger.writer import Writer

VARIABLE: Final = "BULKSTREAMS_FAILPOINT"

_METHODS: Final[Mapping[type, tuple[str, ...]]] = {
    Ledger: (
        "begin_run", "begin_reading", "ingest", "end_reading", "reopen", "unsent", "surveyed", "claim", "settle",
        "doubts", "owned", "end_run",
    ),
    Client: ("create", "page"),
}  # fmt: skip
"""What a run awaits, by class: each has a point before and one after it."""

_AFTERWARDS: Final[Mapping[type, Mapping[str, str]]] = {
    ErrandBook: {name: f"errands.{name}" for name in ("begin", "claim", "settle")},
    Client: {name: name for name in ("stream", "delete", "change", "test", "deliveries", "delivery")},
}
"""The same of what is done to streams after their creation: by class, the methods and what their points are called."""

_COMMIT: Final = ("commit.before", "commit.written", "commit.durable", "commit.after")
"""Around the writer's transaction: nothing of it is there; all is written but not committed; it is on disk and nobody
was told; who waits for it is about to be told."""

POINTS: Final = (
    *(f"{name}.{side}" for names in _METHODS.values() for name in names for side in ("before", "after")),
    *_COMMIT,
)
"""Every point of a run, by name."""

POINTS_AFTERWARDS: Final = tuple(
    f"{point}.{side}" for points in _AFTERWARDS.values() for point in points.values() for side in ("before", "after")
)
"""Those of the commands that come after it."""

Reached = Callable[[str], None]


class Fuse:
    """Ends the process when a point is reached for the n-th time; called with the name of every point reached.

    A point is reached in one thread only, the event loop's or the ledger's, so counting needs no lock.
    """

    def __init__(self, point: str, nth: int) -> None:
        self.point = point
        self.left = nth

    def __call__(self, point: str) -> None:
        """Take note of a point; not to return is the purpose."""
        if point == self.point:
            self.left -= 1
            if self.left == 0:
                os.kill(os.getpid(), signal.SIGKILL)


def arm(environment: Mapping[str, str]) -> None:
    """Arm the point that the environment names, if it names one; call it once, before anything is opened.

    Raises UsageError where there is no such point.
    """
    text = environment.get(VARIABLE)
    if text:
        watch(parse(text))


def parse(text: str) -> Fuse:
    """Return what `NAME:N` asks for: `settle.after:3`, or `settle.after` for its first time."""
    point, colon, count = text.partition(":")
    known = (*POINTS, *POINTS_AFTERWARDS)
    if point not in known:
        near = difflib.get_close_matches(point, known, n=1)
        guess = f"Did you mean {near[0]}? " if near else ""
        raise UsageError(
            f"{VARIABLE}: there is no point called {point!r}.", hint=f"{guess}The points are: {', '.join(known)}."
        )
    if colon and not (count.isascii() and count.isdigit() and int(count)):
        raise UsageError(f"{VARIABLE}: {count!r} is not a count.", hint=f"Write {point}:3 for its third time.")
    return Fuse(point, int(count or 1))


def watch(reached: Reached) -> None:
    """Wrap what has points, for the rest of this process, so that `reached` is called with each that is reached."""
    for owner, names in _METHODS.items():
        for name in names:
            setattr(owner, name, _around(getattr(owner, name), name, reached))
    for owner, points in _AFTERWARDS.items():
        for name, point in points.items():
            setattr(owner, name, _around(getattr(owner, name), point, reached))
    Writer._commit = _around_commit(Writer._commit, reached)  # type: ignore[method-assign]
    ledger_format.connect = _around_connect(ledger_format.connect, reached)


def _around(method: Callable[..., Awaitable[Any]], name: str, reached: Reached) -> Callable[..., Awaitable[Any]]:
    @functools.wraps(method)
    async def watched(*arguments: Any, **named: Any) -> Any:
        reached(f"{name}.before")
        result = await method(*arguments, **named)
        reached(f"{name}.after")
        return result

    return watched


def _around_commit(method: Callable[..., None], reached: Reached) -> Callable[..., None]:
    @functools.wraps(method)
    def watched(*arguments: Any) -> None:
        reached("commit.before")
        method(*arguments)
        reached("commit.after")

    return watched


def _around_connect(connect: Callable[..., sqlite3.Connection], reached: Reached) -> Callable[..., sqlite3.Connection]:
    @functools.wraps(connect)
    def watched(*arguments: Any, **named: Any) -> sqlite3.Connection:
        db = connect(*arguments, **named)
        return db if named.get("read_only") else cast("sqlite3.Connection", _Connection(db, reached))

    return watched


class _Connection:
    """The writer's connection, watched for the statement that makes a transaction durable."""

    def __init__(self, db: sqlite3.Connection, reached: Reached) -> None:
        self._db = db
        self._reached = reached

    def __getattr__(self, name: str) -> Any:
        return getattr(self._db, name)

    def execute(self, sql: str, *values: Any) -> sqlite3.Cursor:
        """Execute a statement; before and after a COMMIT there is a point."""
        if sql != "COMMIT":
            return self._db.execute(sql, *values)
        self._reached("commit.written")
        cursor = self._db.execute(sql)
        self._reached("commit.durable")
        return cursor
