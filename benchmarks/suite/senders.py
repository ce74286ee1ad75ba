"""Who sends the same body to the same sink: the whole job, and what it is held against.

Each is a process of its own on the client's core, with the same concurrency. What is not installed says so and is left
out. A sender whose requests were not all created ends the suite: its rate would mean nothing.
"""

from __future__ import annotations

import json
import re
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from importlib.util import find_spec
from pathlib import Path
from typing import Final, NamedTuple

from benchmarks.machine import CONCURRENCY, definition, measure, write_input
from benchmarks.whole_job import Rate, bare_loop, whole_job

JOB: Final = "bulkstreams run"
LOOP: Final = "bare aiohttp loop"
TYPE: Final = "application/json"
TOKEN: Final = "Authorization: Bearer dummy-token"
TIMEOUT_S: Final = 30
WRK_EACH_S: Final = 32_000
"""Requests for which wrk is given a second: it counts seconds, not requests."""

WRK_SCRIPT: Final = """wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
wrk.headers["Authorization"] = "Bearer dummy-token"
wrk.body = io.open("body.json"):read("*a")
"""


class Sent(NamedTuple):
    """So many requests, all created: how many a second, and the processor's seconds of the whole process."""

    requests: int
    per_s: float
    cpu_s: float


@dataclass(frozen=True, slots=True)
class Target:
    """The sink, and the folder in which senders find what they send."""

    url: str
    folder: Path

    @property
    def streams(self) -> str:
        """Where a stream is created."""
        return f"{self.url}/api/v2/event-streams"

    def input(self, records: int) -> Path:
        """Return the input of so many records; write it where it is not there yet."""
        path = self.folder / f"{records}.jsonl"
        return path if path.exists() else write_input(path, records)

    def ledger(self) -> str:
        """Return the name of a ledger that is not there yet."""
        return f"{sum(1 for _ in self.folder.glob('*.ledger.db'))}.ledger.db"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sender:
    """One who sends; `share` of the suite's records, so that fast and slow ones take seconds alike.

    `starts`: the start takes seconds of processor, which are measured by themselves and taken off. `missing` tells what
    is not installed, and where it comes from; it is empty where all is there.
    """

    name: str
    send: Callable[[Target, int], Sent]
    share: Fraction = Fraction(1)
    starts: bool = False
    missing: str = ""

    def requests(self, records: int) -> int:
        """Return how many requests are its share: a whole number for each connection, and more than its start has."""
        return max(int(records * self.share) // CONCURRENCY, 2) * CONCURRENCY


def senders() -> tuple[Sender, ...]:
    """Return all, the whole job first."""
    client = "" if find_spec("auth0") else "not installed (`pip install auth0-python`)"
    slow, fast = Fraction(1, 8), Fraction(4)
    return (
        Sender(name=JOB, send=_job, starts=True),
        Sender(name=LOOP, send=_loop, starts=True),
        Sender(name="official Python client", send=_client, starts=True, share=slow, missing=client),
        Sender(name="hey", send=_hey, share=fast, missing=_missing("hey", "hey")),
        Sender(name="wrk", send=_wrk, share=fast, missing=_missing("wrk", "wrk")),
        Sender(name="ab", send=_ab, share=fast, missing=_missing("ab", "apache2-utils")),
    )


def read_hey(output: str, requests: int) -> float:
    """Return the requests a second that hey tells of."""
    created = _numbers(r"\[201\]\s+(\d+) responses", output)
    return _rate("hey", output, r"Requests/sec:\s+([\d.]+)", all_created=created == [requests])


def read_wrk(output: str) -> tuple[int, float]:
    """Return the requests that wrk tells of, and how many a second."""
    clean = "Non-2xx" not in output and "Socket errors" not in output
    rate = _rate("wrk", output, r"Requests/sec:\s+([\d.]+)", all_created=clean)
    return int(sum(_numbers(r"(\d+) requests in", output))), rate


def read_ab(output: str, requests: int) -> float:
    """Return the requests a second that ab tells of."""
    counts = _numbers(r"(?:Complete|Failed|Keep-Alive) requests:\s+(\d+)", output)
    clean = counts == [requests, 0, requests] and "Non-2xx" not in output
    return _rate("ab", output, r"Requests per second:\s+([\d.]+)", all_created=clean)


def _rate(name: str, output: str, pattern: str, *, all_created: bool) -> float:
    found = _numbers(pattern, output)
    if not (all_created and len(found) == 1):
        raise SystemExit(f"{name} did not create what it sent, so its rate means nothing:\n{output}")
    return found[0]


def _numbers(pattern: str, output: str) -> list[float]:
    return [float(number) for number in re.findall(pattern, output)]


def _missing(program: str, package: str) -> str:
    return "" if shutil.which(program) else f"not installed (Debian's package `{package}`)"


def _of(requests: int, rate: Rate) -> Sent:
    return Sent(requests, rate.per_s, rate.process.cpu_s)


def _job(target: Target, requests: int) -> Sent:
    return _of(requests, whole_job(target.input(requests), target.url, requests, target.ledger()))


def _loop(target: Target, requests: int) -> Sent:
    return _of(requests, bare_loop(target.folder, target.url, requests))


def _client(target: Target, requests: int) -> Sent:
    module = "benchmarks.peers.official_client"
    command = [sys.executable, "-m", module, str(target.input(requests)), target.url, str(TIMEOUT_S)]
    process = measure(command, folder=target.folder)
    report = json.loads(process.output)
    if len(report["created"]) != requests:
        raise SystemExit(f"the official client created {len(report['created'])} of {requests}")
    return Sent(requests, requests / report["seconds"], process.cpu_s)


def _body(target: Target) -> str:
    path = target.folder / "body.json"
    path.write_text(json.dumps(definition(0)), encoding="utf-8")
    return path.name


def _hey(target: Target, requests: int) -> Sent:
    amount = ["-n", str(requests), "-c", str(CONCURRENCY)]
    what = ["-m", "POST", "-T", TYPE, "-H", TOKEN, "-D", _body(target), target.streams]
    process = measure(["hey", *amount, *what], folder=target.folder)
    return Sent(requests, read_hey(process.output, requests), process.cpu_s)


def _wrk(target: Target, requests: int) -> Sent:
    _body(target)
    (target.folder / "post.lua").write_text(WRK_SCRIPT, encoding="utf-8")
    amount = ["-t", "1", "-c", str(CONCURRENCY), "-d", f"{max(requests // WRK_EACH_S, 1)}s"]
    process = measure(["wrk", *amount, "-s", "post.lua", target.streams], folder=target.folder)
    sent, per_s = read_wrk(process.output)
    return Sent(sent, per_s, process.cpu_s)


def _ab(target: Target, requests: int) -> Sent:
    amount = ["-q", "-k", "-n", str(requests), "-c", str(CONCURRENCY)]
    what = ["-p", _body(target), "-T", TYPE, "-H", TOKEN, target.streams]
    process = measure(["ab", *amount, *what], folder=target.folder)
    return Sent(requests, read_ab(process.output, requests), process.cpu_s)
