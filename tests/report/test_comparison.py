"""Two ledgers side by side, and the numbers as CSV: every value is one of the figures."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import pytest

from bulkstreams.report import comparison, table
from tests.ledger import in_loop
from tests.report import HOSTILE, asked, first_run, three_runs, two_runs


async def noted(folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the figures of a ledger that knows of pauses, and of one that does not."""
    return await three_runs(folder / "c.ledger.db"), await two_runs(folder / "d.ledger.db")


async def both(folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the figures of a ledger after its first run, and of another after both."""
    await first_run(folder / "a.ledger.db")
    return asked(folder / "a.ledger.db"), await two_runs(folder / "b.ledger.db")


@in_loop
async def test_differences_are_those_of_b_less_those_of_a(tmp_path: Path) -> None:
    """Each measure of either stands in one row, with both values; what neither has is left out."""
    a, b = await both(tmp_path)
    found = comparison.compare(a, b)
    assert (found["a"], found["b"]) == (a, b)
    rows = {row["measure"]: row for row in found["difference"]["measures"]}
    assert len(rows) == len(found["difference"]["measures"])
    wanted = {
        "records: refused": (2, 3, 1, 1.5),
        "records: exists": (0, 1, 1, None),
        "records: pending": (2, 0, -2, 0.0),
        "requests": (8, 10, 2, 1.25),
        "time in runs": (10.0, 15.0, 5.0, 1.5),
        "service time max": (40.0, 40.0, 0.0, 1.0),
    }
    for name, row in wanted.items():
        assert tuple(rows[name][key] for key in ("a", "b", "difference", "ratio")) == row
    assert "records: in doubt" not in rows
    assert not any("response" in name for name in rows)


@in_loop
async def test_pauses_are_measures_too(tmp_path: Path) -> None:
    """What a ledger does not know is no zero, and makes no difference."""
    a, b = await noted(tmp_path)
    rows = {row["measure"]: row for row in comparison.compare(a, b)["difference"]["measures"]}
    for name, value in (("pauses, of all tenants together", 5), ("time in pauses, of all tenants together", 6.5)):
        assert [rows[name][key] for key in ("a", "b", "difference", "ratio")] == [value, None, None, None]
    same = {row["measure"]: row for row in comparison.compare(a, a)["difference"]["measures"]}
    assert same["pauses, of all tenants together"]["ratio"] == 1.0


@in_loop
async def test_the_most_over_a_second_is_not_compared_with_the_most_over_more(tmp_path: Path) -> None:
    """They are two measures, each with the length that it is taken over; those of the same length are one."""
    a, b = await both(tmp_path)

    def told() -> list[tuple[str, float | None, float | None, float | None]]:
        rows = comparison.compare(a, b)["difference"]["measures"]
        return [(row["measure"], row["a"], row["b"], row["difference"]) for row in rows if "most" in row["measure"]]

    assert told() == [("created a second, at the most, over 1 s", 1.0, 1.0, 0.0)]
    b["effort"]["most_created_over_s"] = 2
    assert told() == [
        ("created a second, at the most, over 1 s", 1.0, None, None),
        ("created a second, at the most, over 2 s", None, 1.0, None),
    ]


@in_loop
async def test_causes_of_either_are_told_of_both(tmp_path: Path) -> None:
    """A cause that only one of them has stands with nothing in the other's place."""
    found = comparison.compare(*await both(tmp_path))["difference"]["causes"]
    counts = {one["message"]: (one["a"], one["b"]) for one in found}
    assert counts[HOSTILE] == (None, 1)
    assert sorted(counts.values(), key=str) == [(1, 1), (2, 2), (None, 1)]


@in_loop
async def test_inputs_are_the_same_if_their_definitions_are(tmp_path: Path) -> None:
    """Whatever became of them."""
    a, b = await both(tmp_path)
    assert comparison.compare(a, b)["same_input"]
    b["inputs"][0]["definitions_sha256"] = "another"
    assert not comparison.compare(a, b)["same_input"]
    assert not comparison.compare({**a, "inputs": []}, {**b, "inputs": []})["same_input"]


def leaves(value: Any) -> list[str]:
    """Return every value of some figures as CSV writes it, in order."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        return [leaf for one in value for leaf in leaves(one)]
    return ["" if value is None else str(value)]


@pytest.mark.parametrize("compared", [False, True])
@in_loop
async def test_csv_holds_every_value_of_the_figures(tmp_path: Path, compared: bool) -> None:
    """In their order, hostile texts whole; the path tells whose each is."""
    a, b = await both(tmp_path)
    text = "".join(table.as_csv(comparison.compare(a, b) if compared else b))
    rows = list(csv.reader(io.StringIO(text, newline="")))
    assert tuple(rows[0]) == table.COLUMNS
    of_b = [row for row in rows[1:] if row[0] == b["ledger"]["path"]]
    assert [row[4] for row in of_b] == leaves(b)
    assert HOSTILE in [row[4] for row in of_b]
    assert ["runs", b["runs"]["told"][0]["name"], "told.requests", "8"] in [row[1:] for row in of_b]
    others = {row[0] for row in rows[1:]} - {b["ledger"]["path"]}
    assert others == ({a["ledger"]["path"], ""} if compared else set())
    if compared:
        assert ["", "difference", "requests", "measures.ratio", "1.25"] in rows


@in_loop
async def test_a_pause_is_an_item_of_its_tenant_and_instant(tmp_path: Path) -> None:
    """So that a row of CSV can be read by itself."""
    a, _ = await noted(tmp_path)
    rows = [row[1:] for row in csv.reader(io.StringIO("".join(table.as_csv(a)), newline=""))]
    assert ["throttling", "acme 6004.0", "longest.paused_s", "4.0"] in rows
    assert ["throttling", "acme 6004.0", "lanes.pauses.kind", "unreachable"] in rows
    assert ["throttling", "acme", "tenants.told.unreachable.paused_s", "4.0"] in rows
    assert ["throttling", "", "pauses", "5"] in rows
    counts = [int(value or 0) for *item, value in rows if item[::2] == ["timeline", "stretches.requests"]]
    assert sum(counts) == 40


@in_loop
async def test_a_spreadsheet_runs_no_cell(tmp_path: Path) -> None:
    """Neither a text of a ledger nor what an item is called by, though both are what others wrote."""
    a, _ = await noted(tmp_path)
    a["tenants"][0]["name"] = a["inputs"][0]["path"] = "=HYPERLINK(1)"
    a["effort"]["elapsed_s"] = -1.5
    rows = list(csv.reader(io.StringIO("".join(table.as_csv(a)), newline="")))
    assert {"'=HYPERLINK(1)"} <= {row[2] for row in rows} & {row[4] for row in rows}
    assert not [text for row in rows for text in row if text.startswith("=")]
    assert ["effort", "", "elapsed_s", "-1.5"] in [row[1:] for row in rows]
