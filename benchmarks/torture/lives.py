"""The lives of the command: each begins as a process of its own and ends as it was drawn beforehand.

Half of the kills come at an instant: soon after the start, after some requests, or in the middle of look-ups. Half
come at a named point (`bulkstreams.failpoints`). Now and then a signal asks the run to drain, or two to leave at once.
This module must never look at what a life achieved, only at how far it is.
"""

from __future__ import annotations

import json
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from random import Random
from tempfile import TemporaryFile
from typing import IO, Final, NamedTuple

from benchmarks.machine import ENVIRONMENT
from benchmarks.torture.feed import SECRET_VARIABLE
from bulkstreams.failpoints import POINTS, VARIABLE

LEDGER: Final = "in.ledger.db"
TOLD: Final = "told.jsonl"
START, REQUESTS, LOOKUPS = "start", "requests", "lookups"
"""What a life is measured by: its age alone, or what its run has noted of itself in the ledger (two columns there)."""

LOOK_S: Final = 0.01
LONGEST_S: Final = 12.0
"""Seconds after which a life that did not come to its end is killed all the same."""

WHOLE_S: Final = 400.0
"""Seconds within which a run that nobody ends must be through."""

SIGNALS: Final = ((signal.SIGINT,), (signal.SIGTERM,), (signal.SIGINT,) * 2, (signal.SIGTERM,) * 2)
IN_ORDER: Final = frozenset({0, 1, 4, 5, 130, 143, -signal.SIGKILL})
"""How a life may end: by the contract of a run, or by our hand (see also `in_order`)."""


class End(NamedTuple):
    """How a life is to end: once it has come to `after` of `what`, by these signals, each `delay_s` after what came
    before it; where a `point` is named, it ends itself there.
    """  # noqa: D205 - one sentence

    what: str
    after: int
    delay_s: float
    signals: tuple[signal.Signals, ...]
    point: str = ""


class Life(NamedTuple):
    """How a life ended: its exit code, whether its time was up, the counts that it printed, what it complained of."""

    code: int
    overdue: bool
    records: dict[str, int]
    errors: str


def in_order(code: int, end: End | None) -> bool:
    """Return whether a life may end so; a second signal may meet a process that is past its handlers: a shell reads
    the same 130 or 143 from it.
    """  # noqa: D205 - one sentence
    return code in IN_ORDER or (end is not None and len(end.signals) > 1 and code == -end.signals[-1])


def drawn(seed: int, records: int, kills: int) -> Iterator[End]:
    """Yield ends without end: an instant and a point in turn, and after every fourth a signal.

    A life whose length is counted in requests has about its share of the records to work on.
    """
    chance = Random(f"{seed} ends")
    points = _points(chance)
    share = max(1, min(200, records // (2 * kills)))
    while True:
        for _ in range(2):
            yield _at_instant(chance, share)
            yield _at_point(next(points), chance, share, batches=1 + records // 1000)
        yield End(REQUESTS, chance.randint(1, share), chance.uniform(0, 0.3), chance.choice(SIGNALS))


def _points(chance: Random) -> Iterator[str]:
    """Yield every point before any comes again."""
    while True:
        yield from chance.sample(POINTS, len(POINTS))


def _at_instant(chance: Random, share: int) -> End:
    what, most, delay_s = chance.choice(((START, 0, 1.0), (REQUESTS, share, 0.3), (LOOKUPS, 12, 0.6)))
    return End(what, chance.randint(0, most), chance.uniform(0, delay_s), (signal.SIGKILL,))


_MOST: Final = {"claim": 8, "settle": 40, "doubts": 2, "owned": 4, "page": 12, "commit": 60}
"""How often a life may pass a point before it dies there; where nothing is said, it dies the first time."""


def _at_point(point: str, chance: Random, share: int, batches: int) -> End:
    name = point.partition(".")[0]
    most = {**_MOST, "create": share, "ingest": batches}.get(name, 1)
    armed = End(START, 0, 0.0, (), f"{point}:{chance.randint(1, most)}")
    if name != "end_run":
        return armed
    # Only a run that drains comes to its last step before all is done.
    return armed._replace(what=REQUESTS, after=chance.randint(1, share), signals=(signal.SIGTERM,))


class Body:
    """The command, to be run in a folder that holds its input and its configuration."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._command = [
            sys.executable, "-m", "bulkstreams", "run", "in.jsonl", "--ledger", LEDGER, "--config", "bulkstreams.toml",
            "--timeout", "1", "--retries", "30", "--concurrency", "12", "--results", TOLD, "--progress", "none",
            "--json",
        ]  # fmt: skip

    def live(self, end: End | None = None) -> Life:
        """Let it live until it ends itself, or to the end that was drawn for it."""
        environment = {**ENVIRONMENT, SECRET_VARIABLE: "dummy-secret-of-a-hook"}
        if end is not None and end.point:
            environment[VARIABLE] = end.point
        with TemporaryFile() as out, TemporaryFile() as err:
            process = subprocess.Popen(self._command, cwd=self._folder, env=environment, stdout=out, stderr=err)
            try:
                in_time = self._attend(process, end)
            finally:
                process.kill()
                code = process.wait()
            return Life(code, not in_time, _records(_text(out)), _text(err))

    def _attend(self, process: subprocess.Popen[bytes], end: End | None) -> bool:
        """Wait until it has ended, and see to its end where one was drawn; return False where it took too long."""
        if end is None:
            return _over(process, WHOLE_S)
        limit = time.monotonic() + LONGEST_S
        while self._progress(process.pid, end.what) < end.after:
            if _over(process, LOOK_S):
                return True
            if time.monotonic() > limit:
                return False
        for number in end.signals:
            if _over(process, end.delay_s):
                return True
            process.send_signal(number)
        return _over(process, LONGEST_S)

    def _progress(self, pid: int, what: str) -> int:
        """Return how many requests or look-ups a run has noted in its ledger by now."""
        if what == START:
            return 0
        sql = f"SELECT {what} FROM run WHERE pid = ? ORDER BY id DESC LIMIT 1"
        try:
            with closing(sqlite3.connect(f"file:{self._folder / LEDGER}?mode=ro", uri=True)) as db:
                row = db.execute(sql, (pid,)).fetchone()
        except sqlite3.OperationalError:
            return 0  # there is no ledger yet
        return 0 if row is None else int(row[0])


def _over(process: subprocess.Popen[bytes], within_s: float) -> bool:
    """Wait for the end of a process, but no longer than that; return whether it came."""
    try:
        process.wait(within_s)
    except subprocess.TimeoutExpired:
        return False
    return True


def _text(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode(errors="replace")


def _records(output: str) -> dict[str, int]:
    found: dict[str, int] = json.loads(output)["records"] if output else {}
    return found
