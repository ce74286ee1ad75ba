"""Ours beside what others do, on the same faulty server: `python -m benchmarks.side_by_side [--records N] [--brief]`.

Contenders: Auth0's own Python client in a loop, with its own retries; the usual aiohttp script, with retries on 5xx,
429, time-outs and lost connections (`benchmarks/peers`); and `bulkstreams run`. Each gets the same input, as a process
of its own, and a fresh `bulkstreams sandbox` with the same seed, fault odds, latency and rate limit: once where the
tenant keeps names unique, and once where it takes a second stream of a name. All have the same concurrency and the same
time for one attempt, and each is run once more where it did not bring everything to an end, as its users would. The
dice are thrown for each request, so who sends more meets more faults.

The judge is the sandbox's own books. This module must never fail over a peer's figures: they are only shown.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any, Final
from urllib.request import urlopen

from benchmarks.machine import CONCURRENCY, ENVIRONMENT, arguments, sandbox, write_input

FAULTS: Final = (
    "error-before", "error-after", "reset-before", "reset-after", "hang-after", "truncate", "html-502", "throttle",
)  # fmt: skip
ODDS: Final = 0.02
"""The probability of each; half of them leave a stream behind that its sender does not hear of."""

RATE: Final = 50
BURST: Final = 50
LATENCY: Final = "10ms-40ms"
TIMEOUT_S: Final = 2
HEAD: Final = ("contender", "unique names", "created", "doubles", "lost", "told wrong", "requests", "seconds")


@dataclass(frozen=True, slots=True)
class Told:
    """What a contender reports: the names that it would say are there, and those that it would say are not."""

    there: frozenset[str]
    not_there: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """How one contender did: names created at all, names created more than once, names that never were."""

    created: int
    doubles: int
    lost: int
    told_wrong: int
    requests: int
    seconds: float


def run(command: list[str], folder: Path) -> str:
    """Run a command whose exit code is its own affair; return what it printed."""
    ended = subprocess.run(
        command, cwd=folder, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=False
    )
    return ended.stdout


def peer(module: str) -> Callable[[Path, str], Told]:
    """Return how a peer is run over an input against a server."""

    def provision(path: Path, url: str) -> Told:
        command = [sys.executable, "-m", f"benchmarks.peers.{module}", str(path), url, str(TIMEOUT_S)]
        report = json.loads(run(command, path.parent))
        return Told(frozenset(report["created"]), frozenset(report["failed"]))

    return provision


def ours(path: Path, url: str) -> Told:
    """Run ours over an input, and once more where it did not end well; return what its ledger tells."""
    bulkstreams, ledger = [sys.executable, "-m", "bulkstreams"], f"{url.rpartition(':')[2]}.ledger.db"
    flags = ["--timeout", str(TIMEOUT_S), "--concurrency", str(CONCURRENCY), "--ledger", ledger, "--json"]
    for _ in range(2):
        figures = json.loads(run([*bulkstreams, "run", str(path), "--base-url", url, *flags], path.parent))
        if figures["exit_code"] == 0:
            break
    rows = [json.loads(line) for line in run([*bulkstreams, "results", ledger], path.parent).splitlines()]
    by_state = {row["name"]: row["state"] for row in rows}
    return Told(
        frozenset(name for name, state in by_state.items() if state in {"created", "exists"}),
        frozenset(name for name, state in by_state.items() if state in {"refused", "conflict", "exhausted", "invalid"}),
    )


CONTENDERS: Final = {
    "official client": peer("official_client"),
    "aiohttp loop": peer("plain_loop"),
    "bulkstreams": ours,
}
OURS: Final = "bulkstreams"


def flags(*, unique: bool) -> list[str]:
    """Return the sandbox's flags."""
    faults = [word for fault in FAULTS for word in ("--fault", f"{fault}={ODDS}")]
    limits = ["--rate", str(RATE), "--burst", str(BURST), "--latency", LATENCY]
    return [*limits, *faults, "--unique-names" if unique else "--no-unique-names"]


def compete(contender: str, path: Path, seed: int, *, unique: bool) -> Score:
    """Let one contender provision an input, and hold what it says against the server's books."""
    with sandbox(flags(unique=unique), seed) as url:
        began = perf_counter()
        told = CONTENDERS[contender](path, url)
        seconds = perf_counter() - began
        with urlopen(f"{url}/_sandbox/books") as answer:
            books = json.load(answer)
    wanted = {json.loads(line)["name"] for line in path.read_text(encoding="utf-8").splitlines()}
    return judge(wanted, told, books, seconds)


def judge(wanted: set[str], told: Told, books: dict[str, Any], seconds: float) -> Score:
    """Count what the books show of the names that were wanted, and what was told otherwise."""
    accepted = Counter(one["name"] for one in books["accepted"])
    return Score(
        created=len(wanted & set(accepted)),
        doubles=sum(count > 1 for count in accepted.values()),
        lost=len(wanted - set(accepted)),
        told_wrong=len(told.there - set(accepted)) + len(told.not_there & set(accepted)),
        requests=sum(sum(tenant["requests"].values()) for tenant in books["tenants"].values()),
        seconds=seconds,
    )


def line(*cells: object) -> str:
    """Return one line of the table."""
    first, *others = map(str, cells)
    return "  ".join([first.ljust(15), *(cell.rjust(len(head)) for cell, head in zip(others, HEAD[1:], strict=True))])


def show(contender: str, score: Score, *, unique: bool) -> None:
    """Print how one contender did."""
    names, seconds = "yes" if unique else "no", f"{score.seconds:.1f}"
    cells = (score.created, score.doubles, score.lost, score.told_wrong, score.requests, seconds)
    print(line(contender, names, *cells), flush=True)


def explain(records: int) -> None:
    """Print what is the same for all, and the head of the table."""
    print(f"{records:,} records; for all the same server, limits, odds, concurrency and time for an attempt:")
    print(f"{RATE} requests a second, {CONCURRENCY} at once, {TIMEOUT_S} s; {len(FAULTS)} faults at {ODDS:.0%} each,")
    print("half of which leave a stream behind; each contender is run once more where it did not end well")
    print(line(*HEAD), flush=True)


def main() -> None:
    """Let all compete, print the table, and fail where ours has doubles or losses."""
    args = arguments(__doc__, brief={"records": 20, "seed": 7}, long={"records": 1_000, "seed": 7})
    explain(args.records)
    rounds = [(contender, unique) for unique in (True, False) for contender in CONTENDERS]
    doubles = lost = 0
    # In turn, or their seconds would mean nothing; a brief run only shows that they run.
    with tempfile.TemporaryDirectory() as name, ThreadPoolExecutor(len(rounds) if args.brief else 1) as pool:
        path = write_input(Path(name) / "input.jsonl", args.records)
        scores = pool.map(lambda one: compete(one[0], path, args.seed, unique=one[1]), rounds)
        for (contender, unique), score in zip(rounds, scores, strict=True):
            show(contender, score, unique=unique)
            if contender == OURS:
                doubles, lost = doubles + score.doubles, lost + score.lost
    print(f"{OURS}: {doubles} doubles, {lost} lost (goal: 0 and 0)")
    sys.exit(1 if doubles or lost else 0)


if __name__ == "__main__":
    main()
