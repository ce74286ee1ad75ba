"""What the benchmarks share: input of any size, a sink on another core, a process's time and peak memory."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter
from typing import Final, NamedTuple

CORES: Final = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else [0]
CLIENT_CORE: Final = CORES[0]
SERVER_CORE: Final = CORES[-1]


class Measured(NamedTuple):
    """One process: its output, seconds by the clock and by the processor, peak resident memory in MiB."""

    output: str
    wall_s: float
    cpu_s: float
    peak_mib: float


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
    """Write an input of so many records, unless it is there."""
    if not path.exists():
        with path.open("w", encoding="utf-8") as file:
            file.writelines(json.dumps(definition(number)) + "\n" for number in range(records))
    return path


@contextmanager
def sink() -> Iterator[str]:
    """Run a sink on the server's core; give its address."""
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.sink"], stdout=subprocess.PIPE, text=True, preexec_fn=pin(SERVER_CORE)
    )
    try:
        assert process.stdout is not None
        yield f"http://127.0.0.1:{process.stdout.readline().strip()}"
    finally:
        process.terminate()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


def pin(core: int):  # type: ignore[no-untyped-def]
    """Return what a child process calls to stay on one core."""
    return (lambda: os.sched_setaffinity(0, {core})) if hasattr(os, "sched_setaffinity") else None


def measure(command: Sequence[str], *, folder: Path, environment: dict[str, str] | None = None) -> Measured:
    """Run a command on the client's core and measure it; its exit code must be 0."""
    began = perf_counter()
    process = subprocess.Popen(
        command, cwd=folder, stdout=subprocess.PIPE, text=True, preexec_fn=pin(CLIENT_CORE),
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent), **(environment or {})},
    )  # fmt: skip
    assert process.stdout is not None
    with process.stdout:
        output = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    wall = perf_counter() - began
    if process.returncode != 0:
        raise SystemExit(f"{' '.join(command)} ended with {process.returncode}")
    return Measured(output, wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / _RSS_UNIT)


_RSS_UNIT: Final = 1024 * 1024 if sys.platform == "darwin" else 1024
assert resource
