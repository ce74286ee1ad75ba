"""The benchmarks start, measure and end; what they measure is for people to judge, never for a test."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.side_by_side import Score, Told, judge

ROOT = Path(__file__).parent.parent
SIZES = {
    "whole_job": ["--records", "300"],
    "ingest": ["--records", "300"],
    "memory": ["--small", "100", "--large", "300"],
    "rerun": ["--records", "300"],
    "tenants": ["--records", "200", "--few", "10", "--many", "100"],
    "torture": ["--records", "60", "--kills", "1"],
    "side_by_side": ["--records", "20"],
    "report": ["--records", "300"],
    "pacing": ["--seconds", "5", "--tenants", "10"],
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
    found = {path.stem for path in (ROOT / "benchmarks").glob("*.py")} - {"__init__", "__main__", "machine", "sink"}
    found |= {path.parent.name for path in (ROOT / "benchmarks").glob("*/__main__.py")}
    readme = (ROOT / "benchmarks" / "README.md").read_text(encoding="utf-8")
    assert found == set(SIZES)
    assert all(f"python -m benchmarks.{name}" in readme for name in found)
    assert "python -m benchmarks " in readme  # all in one: tests/test_benchmarks_suite.py


def test_side_by_side_judges_by_the_books_alone() -> None:
    """Names are counted as the books have them: twice, never, and otherwise than a contender told."""
    books = {
        "accepted": [{"name": name} for name in ("once", "twice", "twice", "thrice", "thrice", "thrice", "unheard")],
        "tenants": {"sandbox": {"requests": {"create": 9, "list": 2}}},
    }
    told = Told(there=frozenset({"once", "twice", "thrice", "made up"}), not_there=frozenset({"unheard", "never"}))
    wanted = {"once", "twice", "thrice", "unheard", "never", "made up"}
    assert judge(wanted, told, books, 1.5) == Score(
        created=4, doubles=2, lost=2, told_wrong=2, requests=11, seconds=1.5
    )
