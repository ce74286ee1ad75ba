"""The benchmarks start, measure and end; what they measure is for people to judge, never for a test."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SIZES = {
    "whole_job": ["--records", "300"],
    "ingest": ["--records", "300"],
    "memory": ["--small", "100", "--large", "300"],
    "rerun": ["--records", "300"],
    "torture": ["--records", "60", "--kills", "1"],
}


@pytest.mark.parametrize("name", SIZES)
def test_a_benchmark_runs_and_tells_its_goal(name: str, tmp_path: Path) -> None:
    """Each benchmark, in its brief form, ends in order with a figure beside its goal, and leaves nothing behind."""
    ended = subprocess.run(
        [sys.executable, "-m", f"benchmarks.{name}", "--brief", *SIZES[name]],
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    assert "(goal: " in ended.stdout.splitlines()[-1]
    assert list(tmp_path.iterdir()) == []


def test_every_benchmark_is_run_here_and_explained() -> None:
    """A benchmark that is added is smoke-run too, and the README of the benchmarks tells what it means."""
    found = {path.stem for path in (ROOT / "benchmarks").glob("*.py")} - {"__init__", "machine", "sink"}
    found |= {path.parent.name for path in (ROOT / "benchmarks").glob("*/__main__.py")}
    readme = (ROOT / "benchmarks" / "README.md").read_text(encoding="utf-8")
    assert found == set(SIZES)
    assert all(f"python -m benchmarks.{name}" in readme for name in found)
