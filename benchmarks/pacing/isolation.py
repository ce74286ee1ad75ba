"""The table's last row in real time: healthy tenants beside one that is down, one that throttles all, one that refuses.

The input is sorted by tenant, those in trouble first. What counts is when the last healthy lane is done, from the first
request of the run on, over what a lane alone would have to take: its budget allows no less.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Final, NamedTuple

from benchmarks.machine import ENVIRONMENT, definition, sandbox
from benchmarks.pacing.real import LATENCY

BURST: Final = 5
RATE: Final = 20.0
LANES: Final = 20
GOAL: Final = 1.1

IN_TROUBLE: Final = ("down", "refusing", "throttling")


class Isolated(NamedTuple):
    """Seconds that the healthy lanes took, the least that one lane alone needs, and how the others ended."""

    seconds: float
    ideal: float
    exit_code: int
    stopped: dict[str, str]


def isolate(seconds: float, seed: int, *, lanes: int = LANES) -> Isolated:
    """Provision so many healthy lanes with work for so many seconds each, beside the three in trouble."""
    records = BURST + round(RATE * seconds)
    names = [*IN_TROUBLE, *(f"well-{number:02}" for number in range(lanes))]
    flags = [word for name in IN_TROUBLE for word in (f"--{name}", name)]
    flags += ["--burst", f"{BURST}", "--rate", f"{RATE:g}", "--latency", LATENCY]
    with tempfile.TemporaryDirectory() as folder, sandbox(flags, seed) as url:
        place = Path(folder)
        (place / "bulkstreams.toml").write_text("\n".join(_table(name, url) for name in names))
        with (place / "input.jsonl").open("w") as file:
            for name in names:
                file.writelines(
                    json.dumps({"tenant": name, "stream": definition(number)}) + "\n" for number in range(records)
                )
        # The tenants in trouble never end by themselves.
        done = _run(place, "run", "input.jsonl", "--json", "--progress", "none", "--deadline", f"{4 + 2 * seconds:g}")
        figures = json.loads(done.stdout)
        rows = [json.loads(line) for line in _run(place, "results", figures["ledger"]).stdout.splitlines()]
    return judge(rows, figures, records)


def judge(rows: Sequence[dict[str, Any]], figures: dict[str, Any], records: int) -> Isolated:
    """Hold the ledger's rows against what one lane needs; everything of the healthy must have been created."""
    healthy = [row for row in rows if row["tenant"] not in IN_TROUBLE]
    missing = sum(row["state"] != "created" for row in healthy)
    if missing:
        raise SystemExit(f"{missing} records of healthy tenants were not created by the deadline")
    began = min(_instant(row["first_sent_at"]) for row in healthy)
    ended = max(_instant(row["settled_at"]) for row in healthy)
    # The look-up before the first create takes a token, too.
    ideal = (records + 1 - BURST) / RATE
    return Isolated(ended - began, ideal, figures["exit_code"], figures["stopped"])


def isolation_table(seconds: float, seed: int) -> bool:
    """Print the row in Markdown; return whether the goal was met."""
    one = isolate(seconds, seed)
    print(f"\n{LANES} healthy lanes beside {', '.join(IN_TROUBLE)}: the last is done after {one.seconds:.2f} s")
    print(f"{one.seconds / one.ideal:.3f} of the ideal of one lane (goal: at most {GOAL}); exit code {one.exit_code}")
    for tenant, reason in sorted(one.stopped.items()):
        print(f"  {tenant}: {reason}")
    return one.seconds <= GOAL * one.ideal


def _table(name: str, url: str) -> str:
    return f'[tenants.{name}]\nbase_url = "{url}/t/{name}"\ntoken = "any"\n'


def _run(place: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "bulkstreams", *words]
    return subprocess.run(command, cwd=place, env=ENVIRONMENT, text=True, stdout=subprocess.PIPE, check=False)


def _instant(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()
