"""The suite of benchmarks: its table is whole, and a sender that does not do what it should has no figure."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from benchmarks.ingest import Ingested
from benchmarks.machine import CLIENT_CORE, measure
from benchmarks.suite.rows import UNTOLD, ingest_row, sender_row
from benchmarks.suite.senders import JOB, LOOP, Sent, read_ab, read_hey, read_wrk, senders
from benchmarks.suite.table import HEAD, Row, markdown, spread

ROOT = Path(__file__).parent.parent
SIZES = ["--records", "64", "--small", "100", "--large", "300", "--tenants", "20"]
WHAT = ["`POST`"] * 6 + ["ingest"] + ["memory"] * 2 + ["resume"] * 2 + ["lanes"] * 3
TOOLS = ("hey", "wrk", "ab")

HEY = """Summary:
  Total:\t0.0850 secs
  Requests/sec:\t23709.1235

Status code distribution:
  [201]\t2016 responses
"""
WRK = """Running 1s test @ http://127.0.0.1:37257/api/v2/event-streams
  1 threads and 32 connections
    Req/Sec    43.57k    17.97k   64.92k    62.50%
  36658 requests in 1.01s, 20.52MB read
Requests/sec:  36251.76
"""
AB = """Concurrency Level:      32
Complete requests:      2000
Failed requests:        0
Keep-Alive requests:    2000
Requests per second:    55126.79 [#/sec] (mean)
"""


def cells(lines: Sequence[str]) -> list[list[str]]:
    """Return the cells of the rows of a table, its head among them."""
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]


def test_the_readme_shows_such_a_table() -> None:
    """It has every row of the suite, each sender with a figure, and the machine and versions that they are of."""
    section = (ROOT / "README.md").read_text(encoding="utf-8").split("\n## Figures\n")[1].split("\n## ")[0]
    head, _, *rows = cells(section.splitlines())
    assert tuple(head) == HEAD
    assert [row[0].split(":")[0] for row in rows] == WHAT
    assert [row[0].removeprefix("`POST`: ") for row in rows[:6]] == [one.name for one in senders()]
    assert all(row[2][0].isdigit() for row in rows)
    for word in ("cores", "load average", "bulkstreams 0.", "aiohttp 3."):
        assert word in " ".join(section.split()), word


def test_one_command_writes_the_whole_table(tmp_path: Path) -> None:
    """The suite writes every row with a figure or the word that it was skipped, and leaves nothing else behind."""
    ended = subprocess.run(
        [sys.executable, "-m", "benchmarks", "--brief", *SIZES, "--output", str(tmp_path / "table.md")],
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout == ""
    assert [path.name for path in tmp_path.iterdir()] == ["table.md"]
    lines = (tmp_path / "table.md").read_text(encoding="utf-8").splitlines()
    rows = cells(lines)[2:]
    assert [row[0].split(":")[0] for row in rows] == WHAT
    assert all(len(row) == len(HEAD) for row in rows)
    assert all(float(row[4]) > 0 for row in rows if not row[2].startswith(("skipped: not installed", UNTOLD)))
    assert any("bulkstreams 0." in line and "aiohttp 3." in line for line in lines)


def test_an_output_in_no_folder_is_told_before_anything_is_measured(tmp_path: Path) -> None:
    """A table that could not be written is refused at once, not after minutes."""
    ended = subprocess.run(
        [sys.executable, "-m", "benchmarks", "--brief", "--output", str(tmp_path / "none" / "table.md")],
        cwd=ROOT, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert ended.returncode == 1
    assert ended.stderr.endswith("there is no such folder\n")
    assert "round" not in ended.stderr


def test_a_tool_that_is_not_installed_is_skipped_with_a_word(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Where a tool is not found its row says so, and names the package that has it."""
    monkeypatch.setenv("PATH", str(tmp_path))
    by_name = {one.name: one for one in senders()}
    told = [sender_row(by_name[name], [], [], {}).figure for name in TOOLS]
    assert told == [
        f"skipped: not installed (Debian's package `{package}`)" for package in ("hey", "wrk", "apache2-utils")
    ]


def test_a_rate_is_held_against_the_jobs_in_each_round_and_the_start_is_taken_off() -> None:
    """The ratio is the median of the rounds' ratios; the processor's share is that of a request beyond the start's."""
    job = [Sent(1_000, 500.0, 1.0), Sent(1_000, 100.0, 1.0), Sent(1_000, 300.0, 1.0)]
    loop = [Sent(1_000, 1_000.0, 0.6), Sent(1_000, 400.0, 0.6), Sent(1_000, 1_000.0, 0.6)]
    row = sender_row(senders()[1], job, loop, {JOB: Sent(200, 100.0, 0.2), LOOP: Sent(200, 100.0, 0.2)})
    assert (row.ratio, row.processor, row.by_processor) == ("0.30 (0.25 to 0.50)", "500 µs a request", "0.50")
    nothing_told = sender_row(senders()[1], job, loop, {LOOP: Sent(200, 100.0, 0.6)})
    assert nothing_told.processor == nothing_told.by_processor == UNTOLD


def test_an_input_that_is_smaller_than_the_noise_has_no_figure() -> None:
    """Where the start alone took as long as the whole, no rate is told, rather than a negative one."""
    sound, unsound = Ingested(50_000.0, 200_000.0, 0.4, 1e-5), Ingested(-9_000.0, 200_000.0, 0.9, -1e-5)
    assert (ingest_row(300, [sound, unsound]).figure, ingest_row(300, [sound, unsound]).ratio) == (UNTOLD, "")
    assert ingest_row(300, [sound]).ratio == "0.25"


def test_what_the_tools_print_is_read() -> None:
    """Rates, and wrk's own count of requests, are read from what each tool prints."""
    assert read_hey(HEY, 2_016) == 23709.1235
    assert read_wrk(WRK) == (36_658, 36251.76)
    assert read_ab(AB, 2_000) == 55126.79


def test_a_tool_whose_requests_were_not_all_created_has_no_rate() -> None:
    """Errors, refusals, connections that were closed, and output of another shape end the suite."""
    for read in (
        lambda: read_hey(HEY.replace("[201]\t2016", "[201]\t2015"), 2_016),
        lambda: read_hey(HEY.replace("[201]", "[429]"), 2_016),
        lambda: read_hey(HEY.replace("Requests/sec", "Rate"), 2_016),
        lambda: read_wrk(WRK + "  Non-2xx or 3xx responses: 5\n"),
        lambda: read_wrk(WRK + "  Socket errors: connect 0, read 3, write 0, timeout 0\n"),
        lambda: read_ab(AB.replace("Failed requests:        0", "Failed requests:        1"), 2_000),
        lambda: read_ab(AB.replace("Keep-Alive requests:    2000", "Keep-Alive requests:    0"), 2_000),
        lambda: read_ab(AB + "Non-2xx responses:      2000\n", 2_000),
    ):
        with pytest.raises(SystemExit, match="its rate means nothing"):
            read()


def test_medians_stand_with_the_least_and_the_most() -> None:
    """A figure of several rounds shows how far they lie apart; one round stands alone."""
    assert spread([3.0, 1.0, 2.0], ".1f") == "2.0 (1.0 to 3.0)"
    assert spread([1_234.5], ",.0f") == "1,234"
    assert markdown([Row(what="a", figure="1")]).splitlines()[2] == "| a |  | 1 |  |  |  |  |  |"


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system keeps no process on a core")
def test_what_is_measured_begins_on_its_core(tmp_path: Path) -> None:
    """The child has the client's core alone from its start, and the benchmark keeps all of its own."""
    before = os.sched_getaffinity(0)
    told = measure([sys.executable, "-c", "import os; print(*os.sched_getaffinity(0))"], folder=tmp_path).output
    assert told == f"{CLIENT_CORE}\n"
    assert os.sched_getaffinity(0) == before
