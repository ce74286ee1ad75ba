"""One trial: a server with every fault, an input, lives that are ended, a last one that completes it, a verdict.

This module must never stop at the first thing that is wrong: all of it is evidence.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from signal import SIGKILL
from subprocess import run
from typing import Any, Final

from benchmarks.machine import ENVIRONMENT
from benchmarks.torture.feed import Feed, configuration, feed
from benchmarks.torture.judge import Complaint, Findings, count, judge
from benchmarks.torture.lives import LEDGER, TOLD, Body, End, Life, drawn, in_order
from benchmarks.torture.server import Server, served

AGE_S: Final = 3.2
"""Seconds that a stream must have stood before a run for it to be known that it is not the run's own: clocks are read
to the second, and two seconds are allowed for their being apart."""

LAST_LIVES: Final = 25
"""Runs to the end, at most: each may be stopped by a look-up that fails too often in a row."""


@dataclass(slots=True, kw_only=True)
class Trial:
    """What a trial is about, and what came of it; `rate` is what each tenant of the sandbox allows in a second."""

    seed: int
    kills: int
    records: int
    tenants: int
    rate: int
    unique: bool
    killed: int = 0
    at_points: int = 0
    signalled: int = 0
    lives: int = 0
    faults: int = 0
    seconds: float = 0.0
    complaints: list[Complaint] = field(default_factory=list)

    def run(self, folder: Path) -> Trial:
        """Run it in an empty folder, and judge it; return itself."""
        began = time.monotonic()
        tenants = [f"t{number}" for number in range(self.tenants)]
        given = feed(self.seed, self.records, tenants)
        with served(self.seed, unique=self.unique, rate=self.rate) as server:
            (folder / "in.jsonl").write_text(given.text(), encoding="utf-8")
            (folder / "bulkstreams.toml").write_text(configuration({name: server.url_of(name) for name in tenants}))
            before = self._prepare(server, given)
            self._torture(Body(folder))
            self._complete(Body(folder))
            self.faults = server.faults() - before
            self.complaints += judge(given.lines, _findings(folder, server, tenants))
        self.seconds = time.monotonic() - began
        return self

    @staticmethod
    def _prepare(server: Server, given: Feed) -> int:
        """Create what is to be there before, and wait until it is old enough; return the faults that this met."""
        server.seed(given.seeds)
        if given.seeds:
            time.sleep(AGE_S)
        return server.faults()

    def _torture(self, body: Body) -> None:
        ends = drawn(self.seed, self.records, self.kills)
        while self.killed < self.kills:
            end = next(ends)
            life = self._live(body, end)
            if life.code == -SIGKILL:
                self.killed += 1
                self.at_points += bool(end.point) and not life.overdue
            else:
                self.signalled += bool(end.signals)
            if life.code in {0, 1}:
                self._complain(f"all is done after {self.killed} of {self.kills} kills: more records are needed")
                return

    def _complete(self, body: Body) -> None:
        for _ in range(LAST_LIVES):
            life = self._live(body, None)
            if life.code in {0, 1} and not life.records["exhausted"]:
                return
        self._complain(f"no end after {LAST_LIVES} runs: {life}")

    def _live(self, body: Body, end: End | None) -> Life:
        self.lives += 1
        life = body.live(end)
        if not in_order(life.code, end) or "Traceback" in life.errors or (end is None and life.overdue):
            self._complain(f"life {self.lives}, {end}: {life}")
        return life

    def _complain(self, what: str) -> None:
        self.complaints.append(Complaint("wrong ends", what))

    def __str__(self) -> str:
        names = "unique" if self.unique else "not unique"
        wrong = ", ".join(f"{kind} {number}" for kind, number in count(self.complaints).items())
        return (
            f"seed {self.seed}, names {names}: {self.records:,} records, {self.killed} kills ({self.at_points} at "
            f"points), {self.signalled} signalled, {self.faults:,} faults, {self.lives} runs; {wrong}; "
            f"{self.seconds:.0f} s"
        )


def _findings(folder: Path, server: Server, tenants: list[str]) -> Findings:
    """Gather what the judge needs, each thing from whoever keeps it."""
    command = [sys.executable, "-m", "bulkstreams", "results", LEDGER]
    ended = run(command, cwd=folder, env=ENVIRONMENT, capture_output=True, text=True, check=True)
    return Findings(
        rows=[json.loads(line) for line in ended.stdout.splitlines()],
        accepted=server.books()["accepted"],
        streams={name: server.streams(name) for name in tenants},
        told=list(_told(folder / TOLD)),
    )


def _told(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the rows that were told; one that a kill cut short tells nothing, nor does what follows on its line."""
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            yield json.loads(line)
        except ValueError:
            continue
