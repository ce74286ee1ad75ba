"""What the benchmark prints, draws and ends with."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest

from benchmarks.pacing import __main__ as command
from benchmarks.pacing.crowd import spread, tenants
from benchmarks.pacing.policies import OURS, Contender, Ungated
from benchmarks.pacing.real import ROWS, judge
from benchmarks.pacing.servers import MORE, TABLE, Goal, Row
from benchmarks.pacing.simulator import Result

ROOT = Path(__file__).parent.parent.parent
GOOD = Result(records=100, granted=100, grantable=101.0, complete=True)


def test_each_goal_of_the_table_is_the_one_that_was_set() -> None:
    """The figures of the goals, row by row: the least share used, and the largest share of 429."""
    assert [(row.goal.used, row.goal.refused) for row in TABLE if row.goal] == [
        (0.98, 0.005), (0.93, 0.03), (0.95, 0.01), (0.88, 0.06),
        (0.98, 0.005), (0.98, 0.005), (0.90, 0.03), (0.90, 0.03),
    ]  # fmt: skip


def test_rows_have_names_of_their_own() -> None:
    """No two servers go by the same name."""
    names = [row.name for row in (*TABLE, *MORE)]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize(
    ("result", "met"),
    [
        (GOOD, True),
        (replace(GOOD, refused=1), True),
        (replace(GOOD, refused=3), False),
        (replace(GOOD, grantable=103.0), False),
        (replace(GOOD, complete=False), False),
        (replace(GOOD, given_up=1), False),
    ],
)
def test_a_goal_is_met_by_every_seed_or_not_at_all(result: Result, met: bool) -> None:
    """One seed that uses too little, is refused too often, loses a record or does not end is a goal missed."""
    assert command.meets([GOOD, result], Goal(0.98, 0.02)) is met


def test_a_cell_tells_the_worst_where_there_is_a_goal_and_the_mean_elsewhere() -> None:
    """Least used and most refused of the seeds stand beside a goal; what was given up is told where there is any."""
    other = replace(GOOD, granted=80, refused=20, given_up=20)
    assert command.cell([GOOD, other], Goal(0.98, 0.02)) == "0.792 · 20.00% · 10.0% lost"
    assert command.cell([GOOD, other], None) == "0.891 · 10.00% · 10.0% lost"
    assert command.cell([GOOD], None) == "0.990 · 0.00%"
    assert command.cell([replace(GOOD, neighbour_got=0.25)], None) == "0.990 · 0.00% · neighbour got 25%"


def test_a_server_that_grants_nothing_is_told_by_its_refusals() -> None:
    """Where nothing was granted, no share could be told."""
    assert command.cell([Result(records=9, refused=1234)], None) == "nothing granted · 1,234 × 429"


def test_the_command_ends_with_1_where_ours_misses_a_goal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In full size a missed goal is an exit code; in brief it is only told; a goal that is met ends well."""
    careless = Contender("careless", lambda wall: Ungated(), 32)
    monkeypatch.setattr(command, "MORE", ())
    for ours, row, size, code in (
        (careless, TABLE[0], [], 1),
        (careless, TABLE[0], ["--brief"], 0),
        (careless, Row("anything goes", TABLE[0].make, Goal(0.0, 1.0)), [], 0),
    ):
        monkeypatch.setattr(command, "OURS", ours)
        monkeypatch.setattr(command, "TABLE", (row,))
        monkeypatch.setattr(sys, "argv", ["pacing", "--seconds", "3", "--seeds", "1", "--tenants", "3", *size])
        assert command.main() == code
        assert ("**missed**" in capsys.readouterr().out) is (row is TABLE[0])


def test_a_crowd_has_tenants_of_all_plans_and_tells_its_worst() -> None:
    """The spread is of all tenants: the least used is no more than the median, and all of them sent something."""
    assert len({make for _, make, _ in tenants(300, 1)}) == 6
    assert len({seed for seed, _, _ in tenants(300, 1)}) == 300
    one = spread(40, seconds=5.0, seed=1)
    assert 0.0 < one.least_used <= one.median_used <= 1.0
    assert one.median_refused <= one.most_refused
    assert one.requests > 400
    assert one.hours > 40 * 4.0 / 3600.0
    assert one == spread(40, seconds=5.0, seed=1)


def test_real_time_is_judged_by_the_sandbox_s_books() -> None:
    """Used is what was granted of what the sandbox had in the run's time; refused is the share of 429."""
    figures = {"elapsed_s": 20.0, "this_run": {"throttled": 11}}
    visible, hidden = (judge(row, figures, {"200": 1, "201": 499, "429": 11}) for row in ROWS)
    assert visible.used == pytest.approx(500 / (20 + 50 * 20))
    assert hidden.used == pytest.approx(500 / (150 + 20 * 20))
    assert visible.refused == pytest.approx(11 / 511)


def test_a_run_that_tells_other_than_the_books_has_no_figure() -> None:
    """Where the run's own count of 429 is not the books', something is wrong, and it is said."""
    with pytest.raises(SystemExit, match="the run tells of 3 429s, the books of 11"):
        judge(ROWS[0], {"elapsed_s": 20.0, "this_run": {"throttled": 3}}, {"201": 500, "429": 11})


def test_a_picture_needs_matplotlib_and_says_so() -> None:
    """Where matplotlib is missing, one line says what to install, and nothing is drawn."""
    code = (
        "import sys; sys.modules['matplotlib'] = None; sys.argv = ['pacing', '--picture', 'never.svg'];"
        "from benchmarks.pacing.__main__ import main; sys.exit(main())"
    )
    ended = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert ended.stderr == "a picture needs matplotlib; from the checkout's root: pip install '.[pictures]'\n"
    assert not (ROOT / "never.svg").exists()


def test_a_picture_is_the_same_each_time_and_names_no_place(tmp_path: Path) -> None:
    """The same seed draws the same bytes: no date, no path, and what each contender came to in words."""
    pytest.importorskip("matplotlib")
    from benchmarks.pacing.picture import draw

    for name in ("one.svg", "two.svg"):
        draw(tmp_path / name, seed=1)
    drawn = (tmp_path / "one.svg").read_bytes()
    assert drawn == (tmp_path / "two.svg").read_bytes()
    text = " ".join(ElementTree.fromstring(drawn).itertext())
    for word in (OURS.name, "constant 8/s", "official client", TABLE[0].name, TABLE[1].name, "given up"):
        assert word in text
    for word in (str(ROOT), str(tmp_path), "dc:date"):
        assert word.encode() not in drawn
