"""The first two rows of the table in real time: `bulkstreams run` against the sandbox, whose books are the judge.

The used share is of what the sandbox would have granted in the whole of the run's own time, its start and end with it.
A look-up takes of the budget as a create does, so it counts as one.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any, Final, NamedTuple
from urllib.request import urlopen

from benchmarks.machine import measure, sandbox, write_input
from benchmarks.pacing.servers import TABLE, Goal

LATENCY: Final = "30ms"


class Real(NamedTuple):
    """What the sandbox's limits are: the (burst, rate) that shows, and the one that does not."""

    name: str
    goal: Goal
    shown: tuple[int, float]
    unseen: tuple[int, float] | None

    def grantable(self, seconds: float) -> float:
        """Return what it grants in so many seconds to whom always has a request waiting."""
        return min(burst + rate * seconds for burst, rate in (self.shown, self.unseen or self.shown))

    def flags(self) -> list[str]:
        """Return the sandbox's flags."""
        flags = ["--burst", f"{self.shown[0]}", "--rate", f"{self.shown[1]:g}"]
        if self.unseen is not None:
            flags += ["--unseen-burst", f"{self.unseen[0]}", "--unseen-rate", f"{self.unseen[1]:g}"]
        return flags


class Outcome(NamedTuple):
    """What one run came to."""

    used: float
    refused: float
    seconds: float
    requests: int


ROWS: Final = (
    Real(TABLE[0].name, TABLE[0].goal or Goal(0, 1), (20, 50.0), None),
    Real(TABLE[1].name, TABLE[1].goal or Goal(0, 1), (40, 40.0), (150, 20.0)),
)


def judge(row: Real, figures: dict[str, Any], statuses: dict[str, int]) -> Outcome:
    """Hold what a run said at its end against the statuses that the sandbox's books count."""
    refused = statuses.get("429", 0)
    requests = sum(statuses.values())
    seconds = float(figures["elapsed_s"])
    if refused != figures["this_run"]["throttled"]:
        raise SystemExit(f"the run tells of {figures['this_run']['throttled']} 429s, the books of {refused}")
    return Outcome((requests - refused) / row.grantable(seconds), refused / requests, seconds, requests)


def provision(row: Real, seconds: float, seed: int) -> Outcome:
    """Create as many streams as the sandbox grants in so many seconds."""
    records = int(row.grantable(seconds))
    with tempfile.TemporaryDirectory() as name, sandbox([*row.flags(), "--latency", LATENCY], seed) as url:
        path = write_input(Path(name) / "input.jsonl", records)
        command = [sys.executable, "-m", "bulkstreams", "run", str(path), "--base-url", url, "--json"]
        command += ["--progress", "none"]
        figures = json.loads(measure(command, folder=path.parent).output)
        with urlopen(f"{url}/_sandbox/books") as answer:
            (books,) = json.load(answer)["tenants"].values()
    if books["live"] != records:
        raise SystemExit(f"{books['live']} streams of {records} are there")
    return judge(row, figures, books["statuses"])


def real_table(seconds: float, seed: int) -> bool:
    """Print both rows in Markdown; return whether the goals were met."""
    print("| server, in real time | used | 429 | seconds | requests |\n| --- | --- | --- | --- | --- |")
    met = True
    for row in ROWS:
        one = provision(row, seconds, seed)
        print(f"| {row.name} | {one.used:.3f} | {one.refused:.2%} | {one.seconds:.1f} | {one.requests:,} |", flush=True)
        met = met and one.used >= row.goal.used and one.refused <= row.goal.refused
    goals = ", ".join(f"≥ {row.goal.used:.2f} and ≤ {row.goal.refused:.1%}" for row in ROWS)
    print(f"goals {'met' if met else 'missed'} (goal: {goals})")
    return met
