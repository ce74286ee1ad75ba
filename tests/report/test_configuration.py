"""What was in force, as a report tells it: the newest run of each command whole, and what changed on the way there."""

from __future__ import annotations

import re
from html import unescape
from pathlib import Path
from typing import Any

import pytest

from bulkstreams.ledger import InForce, Run
from bulkstreams.report import comparison, configuration, page
from bulkstreams.report.configuration import figures, words
from tests.ledger import ACME, in_loop
from tests.report import IN_FORCE, LATER, asked, first_run, two_runs

CLIENT = "client secret ${env:ACME_SECRET} of client acme-client"


def run(name: str, command: str | None, told: InForce | None) -> Run:
    """Return a run of which nothing counts but what it was told."""
    return Run(1, name, None, 1, "host", 1.0, 2.0, 0, 0, 0, 0, 0, {}, command, told)


def seen(text: str) -> str:
    """Return the texts of a page, one after the other."""
    return " ".join(unescape(re.sub("<[^>]*>", " ", text)).split())


def test_of_each_command_the_newest_run_is_told_whole() -> None:
    """With its name and its beginning; runs of which nothing is known are left out."""
    found = figures([run("a", None, None), run("b", "run", IN_FORCE), run("c", "undo", LATER), run("d", "run", LATER)])[
        "newest"
    ]
    assert {command: one["run"] for command, one in found.items()} == {"run": "d", "undo": "c"}
    assert found["run"].items() >= {"started_at": 1.0, **LATER.as_json()}.items()


def test_of_earlier_runs_it_is_told_what_changed() -> None:
    """From one run of a command to its next; what nobody chose is no change, and what stays so is not repeated."""
    found = figures(
        [run("a", "run", IN_FORCE), run("x", "undo", InForce()), *(run(name, "run", LATER) for name in "bcd")]
    )["changed"]
    assert {(one["run"], one["command"]) for one in found} == {("b", "run")}
    assert [(one["setting"], one["before"], one["value"]) for one in found] == [
        ("rate", 16.0, 4.0),
        (f"tenant {ACME}", "https://acme.test; token ***; deadline 90 s", f"https://acme.test; {CLIENT}"),
        ("tenant my_tenant", None, "https://my.test; no credentials"),
        ("more tenants", None, 3),
    ]
    inputs = IN_FORCE._replace(inputs=["a", "b"], more_inputs=1200)
    (one,) = figures([run("a", "run", IN_FORCE), run("b", "run", inputs)])["changed"]
    assert (one["setting"], one["before"], one["value"]) == ("inputs", "in.jsonl", "a, b and 1,200 more")


@pytest.mark.parametrize(
    ("value", "name", "text"),
    [
        (None, "limit", "none"),
        (True, "preflight", "yes"),
        (False, "keep", "no"),
        (0.4, "reserve", "40 %"),
        (0.015, "max_failure_rate", "1.5 %"),
        (1200.5, "deadline_s", "1,200.5 s"),
        (16.0, "rate", "16"),
        ("auto", "rate", "auto"),
        (1_000_000, "burst", "1,000,000"),
        (12_345_678_901_234, "limit", "12,345,678,901,234"),
    ],
)
def test_a_value_is_said_as_people_say_it(value: Any, name: str, text: str) -> None:
    """With its unit, which its name tells."""
    assert words(value, name) == text


@in_loop
async def test_a_page_shows_the_newest_configuration_and_what_changed(tmp_path: Path) -> None:
    """Every setting beside its default, each tenant with what stands in the place of its secret."""
    text = seen(page.of_ledger(await two_runs(tmp_path / "in.ledger.db")))
    for said in (
        "In force in the newest run (run ", "rate 4 auto BULKSTREAMS_RATE", "reserve 40 % 0 % bulkstreams.toml",
        "timeout 30 s 30 s", "deadline none none", "preflight yes yes", "inputs in.jsonl",
        "Its tenants, the first 2 of 5", f"acme (default) https://acme.test {CLIENT}",
        "my_tenant https://my.test no credentials", "run rate 16 4", "more of it never stood in the ledger",
    ):  # fmt: skip
        assert said in text, said


@in_loop
async def test_a_page_of_runs_that_say_nothing_has_no_configuration(tmp_path: Path) -> None:
    """It says that it is not known, and no more."""
    found = await two_runs(tmp_path / "in.ledger.db")
    found["configuration"] = {"newest": {}, "changed": []}
    text = page.of_ledger(found)
    assert "<h3>" not in text
    assert "In force" not in text


@in_loop
async def test_a_page_is_small_however_often_settings_changed(tmp_path: Path) -> None:
    """The newest changes are shown, and it is said how many there are."""
    found = await two_runs(tmp_path / "in.ledger.db")
    row = found["configuration"]["changed"][0]
    found["configuration"]["changed"] = [{**row, "before": f"was{n}"} for n in range(1500)]
    text = seen(page.of_ledger(found))
    assert f"The newest {page.MOST_CHANGES} of 1,500 changes" in text
    assert "was1499" in text
    assert "was1399" not in text


@in_loop
async def test_two_ledgers_are_compared_by_their_newest_runs(tmp_path: Path) -> None:
    """Only what differs is told; where one of them does not know, nothing is."""
    await first_run(tmp_path / "a.ledger.db")
    a, b = asked(tmp_path / "a.ledger.db"), await two_runs(tmp_path / "b.ledger.db")
    found = comparison.compare(a, b)
    told = found["difference"]["configuration"]
    assert told["command"] == "run"
    assert {"name": "rate", "a": 16.0, "b": 4.0} in told["differing"]
    assert [one["name"] for one in told["differing"]] == ["rate", f"tenant {ACME}", "tenant my_tenant", "more tenants"]
    assert "differ setting A B rate 16 4 tenant acme" in seen(page.of_comparison(found))
    same = comparison.compare(a, a)
    assert same["difference"]["configuration"] == {"command": "run", "differing": []}
    assert "The same settings were in force in the newest run of both" in seen(page.of_comparison(same))
    unknown = comparison.compare(a, {**b, "configuration": {"newest": {}, "changed": []}})
    assert unknown["difference"]["configuration"] == {"command": None, "differing": []}
    assert "The same settings" not in page.of_comparison(unknown)


def test_benches_are_compared_by_their_loads() -> None:
    """Not by what deleted what they had created."""
    told = figures([run("a", "bench", IN_FORCE), run("b", "bench --clean", LATER)])
    other = figures([run("a", "bench", LATER)])
    found = configuration.compared(told, other)
    assert (found["command"], found["differing"][0]) == ("bench", {"name": "rate", "a": 16.0, "b": 4.0})
