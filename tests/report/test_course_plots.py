"""The plots of how runs went: they hold the numbers of the figures, and what nobody knows is a gap in them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bulkstreams.report import course_plots, plots
from tests.ledger import ACME, in_loop
from tests.report import HOSTILE, TOLD, asked, noted_run, three_runs, two_runs


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return where the ledger is to be."""
    return tmp_path / "in.ledger.db"


def values(plot: dict[str, Any]) -> dict[str, list[Any]]:
    """Return the values of each series by its label."""
    return {one["label"]: one["values"] for one in plot["series"]}


@in_loop
async def test_what_was_asked_is_drawn_against_what_was_allowed(path: Path) -> None:
    """A second's share of each count; of runs that noted nothing there is a gap, as between two runs."""
    found = await three_runs(path)
    drawn = plots.of_ledger(found)["asked"]
    series = values(drawn)
    assert list(series) == ["requests", "look-ups", "retries", "answered 429", "allowed"]
    known = [one for one in found["timeline"]["stretches"] if one["requests"] is not None]
    for label, name in (("requests", "requests"), ("answered 429", "throttled"), ("look-ups", "lookups")):
        rates = [value for value in series[label] if value is not None]
        assert [rate * one["seconds"] for rate, one in zip(rates, known, strict=True)] == pytest.approx(
            [one[name] for one in known], abs=1e-3
        )
    assert {value for value in series["allowed"] if value is not None} == {4.0}
    assert drawn["x"] == plots.of_ledger(found)["settled"]["x"]
    assert [one["label"] for one in drawn["series"] if "dash" in one] == ["retries", "allowed"]


@in_loop
async def test_a_series_of_nothing_is_not_drawn(path: Path) -> None:
    """Nor is a plot without a series."""
    found = await three_runs(path)
    for one in found["timeline"]["stretches"]:
        one |= {"retries": 0, "throttled": 0, "allowed_per_s": None}
    assert list(values(plots.of_ledger(found)["asked"])) == ["requests", "look-ups"]
    for one in found["timeline"]["stretches"]:
        one |= {"requests": 0, "lookups": 0}
    assert "asked" not in plots.of_ledger(found)
    assert not {"asked", "pauses"} & plots.of_ledger(await two_runs(path.with_name("other.ledger.db"))).keys()


@in_loop
async def test_retries_and_the_budget_stand_with_the_requests_where_those_are_known(path: Path) -> None:
    """Beside what was settled they stand only for runs that noted nothing, and what is allowed now only then."""
    found = await three_runs(path)
    found["timeline"]["allowed_per_s"] = 12.5
    drawn = values(plots.of_ledger(found)["settled"])
    assert "allowed now" not in drawn
    stretches = found["timeline"]["stretches"]
    assert [value is not None for value in drawn["retries"] if value is not None] == [True] * sum(
        one["requests"] is None for one in stretches
    )
    await noted_run(other := path.with_name("other.ledger.db"))
    assert "settled" not in plots.of_ledger(asked(other, 7000.0))


@in_loop
async def test_a_tenant_is_a_lane_and_a_pause_a_bar_in_it(path: Path) -> None:
    """From its beginning to its end on the axis of the other plots, by kind, with its reason."""
    drawn = plots.of_ledger(await three_runs(path))["pauses"]
    assert drawn["lanes"] == [ACME, HOSTILE]
    assert drawn["x"] == [0, 25.0]
    bars = {one["label"]: one["bars"] for one in drawn["series"]}
    assert bars == {
        "throttled": [[0, 16.0, 18.0, 6001, 2.0, 1, 1], [1, 17.0, 17.5, 6002, 0.5, 1, 1]],
        "unreachable": [[0, 19.0, 24.0, 6004, 4.0, 3, 0]],
    }
    assert drawn["reasons"] == [HOSTILE, TOLD]
    other = plots.of_ledger(await three_runs(path.with_name("other.ledger.db")))["asked"]
    assert (drawn["x_label"], [one["x"] for one in drawn["marks"]]) == (other["x_label"], [10.0, 15.0])


@in_loop
async def test_reasons_take_little_room_whatever_servers_say(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A plot tells those of the longest pauses, cut short; the others tell none there."""
    monkeypatch.setattr(course_plots, "MOST_REASONS", 1)
    found = await three_runs(path)
    for one in found["throttling"]["lanes"][0]["pauses"]:
        one["reason"] += "!" * 1000
    drawn = plots.of_ledger(found)["pauses"]
    assert [len(text) for text in drawn["reasons"]] == [course_plots.MOST_LETTERS]
    assert drawn["reasons"][0].startswith(HOSTILE[:80])
    assert [bar[6] for one in drawn["series"] for bar in one["bars"]] == [None, None, 0]
