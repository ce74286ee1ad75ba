"""What the benchmarks share: input of any size, a sink on another core, a process's time and peak memory.

This module must never judge a figure.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from time import perf_counter
from typing import Any, Final, NamedTuple

CORES: Final = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else [0]
CLIENT_CORE: Final = CORES[0]
SERVER_CORE: Final = CORES[-1]
CONCURRENCY: Final = 32

ROOT: Final = Path(__file__).parent.parent
ENVIRONMENT: Final = {
    **{name: value for name, value in os.environ.items() if not name.startswith("AUTH0_")},
    "PYTHONPATH": str(ROOT),
    "AUTH0_API_TOKEN": "dummy-token",
    "CI": "1",
}
_RSS_UNIT: Final = 1024 * 1024 if sys.platform == "darwin" else 1024
"""To a MiB, in the unit of the system's `ru_maxrss`."""


class Measured(NamedTuple):
    """One process: its output, seconds by the clock and by the processor, peak resident memory in MiB."""

    output: str
    wall_s: float
    cpu_s: float
    peak_mib: float


def arguments(
    about: str | None,
    brief: dict[str, int],
    long: dict[str, int],
    switches: Mapping[str, str] = {},
    files: Mapping[str, str] = {},
) -> argparse.Namespace:
    """Read the command line: a whole number for each name of `long`, or those of `brief` where --brief is given.

    `switches` are flags without a value, `files` those that name a file; each with what it does.
    """
    summary = (about or "").split("\n", 1)[0]
    parser = argparse.ArgumentParser(description=summary)
    parser.add_argument("--brief", action="store_true", help="small sizes: does it run at all?")
    for name, value in long.items():
        parser.add_argument(f"--{name}", type=int, metavar="N", help=f"default {value:,}; brief {brief[name]:,}")
    for name, what in switches.items():
        parser.add_argument(f"--{name}", action="store_true", help=what)
    for name, what in files.items():
        parser.add_argument(f"--{name}", type=Path, metavar="FILE", help=what)
    parser.add_argument("--bare", help=argparse.SUPPRESS)
    args = parser.parse_args()
    for name, value in (brief if args.brief else long).items():
        if getattr(args, name) is None:
            setattr(args, name, value)
    return args


def definition(number: int) -> dict[str, object]:
    """Return the definition of one stream, of an everyday size."""
    return {
        "name": f"audit-{number:08}",
        "subscriptions": [{"event_type": "user.created"}, {"event_type": "user.deleted"}],
        "destination": {
            "type": "webhook",
            "configuration": {
                "webhook_endpoint": f"https://hooks.example.com/auth0/audit/{number:08}",
                "webhook_authorization": {"method": "bearer", "token": "dummy-token-of-an-everyday-length"},
            },
        },
        "status": "enabled",
    }


def write_input(path: Path, records: int) -> Path:
    """Write an input of so many records."""
    with path.open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(definition(number)) + "\n" for number in range(records))
    return path


@contextmanager
def sink() -> Iterator[str]:
    """Run a sink on the server's core; give its address."""
    command = [sys.executable, "-m", "benchmarks.sink"]
    with _begin_on(SERVER_CORE):
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    with process:
        try:
            assert process.stdout is not None
            yield f"http://127.0.0.1:{process.stdout.readline().strip()}"
        finally:
            process.terminate()


@contextmanager
def sandbox(flags: Sequence[str], seed: int) -> Iterator[str]:
    """Run a fresh sandbox in a process of its own; give its address."""
    command = [sys.executable, "-m", "bulkstreams", "sandbox", "--port", "0", "--seed", str(seed), *flags]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=ENVIRONMENT) as process:
        try:
            assert process.stdout is not None
            yield process.stdout.readline().split()[2]
        finally:
            process.terminate()


def measure(command: Sequence[str], *, folder: Path, watch: Callable[[int], None] | None = None) -> Measured:
    """Run a command in `folder` on the client's core and measure it; its exit code must be 0.

    `watch` is given the process's id and runs beside it, in a thread, until the process has ended.

    What the system tells of a child's peak memory is at least what its parent held when it was started.
    """
    began = perf_counter()
    with _begin_on(CLIENT_CORE):
        process = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True, env=ENVIRONMENT)
    watcher = Thread(target=watch or (lambda _: None), args=(process.pid,))
    watcher.start()
    assert process.stdout is not None
    with process.stdout:
        output = process.stdout.read()
    watcher.join()  # before its id can be another's
    _, status, usage = os.wait4(process.pid, 0)
    wall = perf_counter() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise SystemExit(f"{' '.join(command)} ended with {process.returncode}")
    return Measured(output, wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / _RSS_UNIT)


def measure_run(path: Path, url: str, ledger: str) -> tuple[Measured, dict[str, Any]]:
    """Measure a whole `bulkstreams run` beside its input, and return what it printed at its end, too."""
    measured = measure(
        [
            sys.executable, "-m", "bulkstreams", "run", str(path), "--base-url", url, "--rate", "max",
            "--concurrency", str(CONCURRENCY), "--ledger", ledger, "--json",
        ],
        folder=path.parent,
    )  # fmt: skip
    return measured, json.loads(measured.output)


@contextmanager
def _begin_on(core: int) -> Iterator[None]:
    """Keep every process that is begun here on one core, from its first thread on, where the system can do that."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})  # a child inherits it; asked of a child that has begun, it would miss its threads
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
