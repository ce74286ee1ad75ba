"""The command `report`: what it writes and prints, what it refuses, and what it says where its packages are missing."""

from __future__ import annotations

import csv
import io
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.scenarios.rig import KILL, Desk, Server, configuration, for_each, until, webhook, webhooks

ROOT = Path(__file__).parent.parent.parent
NAME = "in.report.html"


@pytest.fixture
def done(desk: Desk, server: Server) -> Desk:
    """Return a desk with a ledger of created and refused records, of lines with secrets of every kind."""
    rows = [
        *webhooks(20),
        webhook("no", subscriptions=[{"event_type": "n.s"}]),
        webhook("env", secret="${env:HOOK_SECRET}"),
    ]
    desk.write("in.jsonl", rows)
    assert desk.provision(server, "in.jsonl", "--allow-unknown-events").code == 1
    return desk


def test_a_report_is_one_file_beside_the_work(done: Desk) -> None:
    """Named after the ledger; standard output stays empty, and no draft is left behind."""
    ended = done.run("report", "in.ledger.db")
    assert (ended.code, ended.out) == (0, "")
    assert NAME in ended.err
    text = (done.folder / NAME).read_text(encoding="utf-8")
    assert text.startswith("<!DOCTYPE html>")
    assert "unknown event type" in text or "n.s" in text
    assert len(text.encode()) < 1_000_000
    assert not list(done.folder.glob(".*part*"))


def test_a_report_goes_where_it_is_wanted(done: Desk) -> None:
    """To a file of any name, over an older one, or to standard output; it is the same page."""
    (done.folder / "other.html").write_text("old")
    assert done.run("report", "in.ledger.db", "--html", "other.html").code == 0
    printed = done.run("report", "in.ledger.db", "--html", "-")
    assert printed.out.startswith("<!DOCTYPE html>")
    assert not (done.folder / NAME).exists()
    assert (done.folder / "other.html").read_text(encoding="utf-8")[:15] == "<!DOCTYPE html>"


def test_numbers_are_printed_as_json_and_as_csv(done: Desk) -> None:
    """Those of the page and of `status`; a page is made only where it is asked for."""
    found = done.run("report", "in.ledger.db", "--json").json
    told = done.run("status", "in.ledger.db", "--json").json
    assert {name: count for name, count in found["records"].items() if count} == told["records"]
    rows = list(csv.DictReader(io.StringIO(done.run("report", "in.ledger.db", "--csv").out, newline="")))
    value = {(row["section"], row["item"], row["measure"]): row["value"] for row in rows}
    assert value["records", "", "created"] == str(found["records"]["created"]) == "21"
    assert value["effort", "", "requests"] == str(found["effort"]["requests"])
    assert not (done.folder / NAME).exists()
    assert done.run("report", "in.ledger.db", "--json", "--html", NAME).json["records"] == found["records"]
    assert (done.folder / NAME).exists()


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (["--json", "--csv"], "--json and --csv both want standard output. Give one of them."),
        (
            ["--csv", "--html", "-"],
            "--csv and --html - both want standard output. Give --html a file, or one of them.",
        ),
        (
            ["--json", "--csv", "--html", "-"],
            "--json, --csv and --html - all want standard output. Give --html a file, or one of them.",
        ),
    ],
)
def test_one_output_takes_one_form(done: Desk, flags: list[str], told: str) -> None:
    """Several flags that want it are refused, and what helps is of these flags alone."""
    ended = done.run("report", "in.ledger.db", *flags)
    assert (ended.code, ended.out) == (2, "")
    assert told in " ".join(ended.err.split())


def test_two_ledgers_are_set_side_by_side(done: Desk, server: Server) -> None:
    """Of the same input: here all created, there all found."""
    ended = done.provision(server, "in.jsonl", "--allow-unknown-events", "--ledger", "later.ledger.db")
    assert ended.records["exists"] == 21
    found = done.run("report", "in.ledger.db", "--compare", "later.ledger.db", "--json").json
    rows = {row["measure"]: (row["a"], row["b"]) for row in found["difference"]["measures"]}
    assert rows["records: created"] == (21, 0)
    assert rows["records: exists"] == (0, 21)
    assert found["same_input"]
    assert done.run("report", "in.ledger.db", "--compare", "later.ledger.db").code == 0
    text = (done.folder / NAME).read_text(encoding="utf-8")
    assert "A and B compared" in text
    assert "Both are of the same definitions" in text


def test_what_was_done_with_streams_afterwards_is_told(desk: Desk, server: Server) -> None:
    """With what could not be done, and why; a delete is neither drawn as a create nor timed as one."""
    desk.write("in.jsonl", webhooks(6))
    assert desk.provision(server, "in.jsonl").code == 0
    before = desk.run("report", "in.ledger.db", "--json").json
    server.edit(server.streams()[0]["id"], status="disabled")
    assert desk.run("undo", "in.ledger.db", "--yes", "--base-url", server.url).code == 1
    found = desk.run("report", "in.ledger.db", "--json").json
    assert (found["records"]["undone"], found["records"]["created"]) == (5, 1)
    (done,) = found["afterwards"]["commands"]
    assert {name: count for name, count in done["records"].items() if count} == {"total": 6, "deleted": 5, "changed": 1}
    (failure,) = found["afterwards"]["failures"]
    assert (failure["kind"], failure["state"], failure["records"]) == ("undo", "changed", 1)
    assert "--force" in failure["remedy"]
    assert before["latency"]["service_time_ms"]["count"] == 6
    assert found["latency"]["service_time_ms"]["count"] == 1
    assert desk.run("report", "in.ledger.db").code == 0
    assert "undo: changed" in " ".join((desk.folder / NAME).read_text(encoding="utf-8").split())


def test_what_a_run_asked_and_why_it_paused_is_drawn(desk: Desk, serve: Callable[..., Server]) -> None:
    """Each request, retry, 429 and look-up stands where it was, beside the budget; each tenant has its own pauses."""
    server = serve(rate=15.0, burst=5, faults={"throttle": 0.1})
    desk.write("in.jsonl", for_each(["calm", "acme"], webhooks(30)))
    desk.write("bulkstreams.toml", configuration({"calm": server, "acme": server}))
    ended = desk.run("run", "in.jsonl", "--json")
    assert (ended.code, ended.json["this_run"]["throttled"] > 0) == (0, True), ended
    found = desk.run("report", "in.ledger.db", "--json", "--html", NAME).json
    stretches, throttling = found["timeline"]["stretches"], found["throttling"]
    for name in ("requests", "retries", "throttled", "lookups"):
        assert sum(one[name] for one in stretches) == ended.json["this_run"][name]
    assert found["timeline"]["unplaced_requests"] == 0
    assert all(one["allowed_per_s"] > 0 for one in stretches if one["allowed_per_s"] is not None)
    assert any(one["allowed_per_s"] for one in stretches)
    assert 1 <= throttling["pauses"] <= ended.json["this_run"]["throttled"]
    assert {one["name"] for one in throttling["tenants"]["told"]} <= {"calm", "acme"}
    for one in throttling["longest"]:
        assert (one["kind"], one["run"]) == ("throttled", found["runs"]["told"][0]["name"])
        assert 0 <= one["offset_s"] <= one["offset_s"] + one["seconds"] <= found["effort"]["elapsed_s"] + 0.002
    assert not any("budget" in said or "429" in said for said in found["unknown"])
    text = (desk.folder / NAME).read_text(encoding="utf-8")
    assert all(f'id="plot-{name}"' in text for name in ("settled", "asked", "times", "pauses"))


def test_a_report_of_a_run_that_goes_on_is_of_one_instant(desk: Desk, serve: Callable[..., Server]) -> None:
    """It disturbs nothing, and its numbers agree with each other."""
    server = serve(latency=(0.02, 0.02))
    desk.write("in.jsonl", webhooks(400))
    running = desk.start_provision(server, "in.jsonl", "--concurrency", "2")
    until(lambda: desk.states().get("created", 0) >= 10)
    found = desk.run("report", "in.ledger.db", "--json").json
    drawn = sum(one["records"].get("created", 0) for one in found["timeline"]["stretches"])
    assert 10 <= drawn == found["records"]["created"] < 400
    assert found["records"]["total"] == 400
    assert found["ledger"]["sha256"] is None
    running.signal(KILL)
    running.process.wait()
    killed = desk.run("report", "in.ledger.db", "--json", "--html", NAME).json
    placed = sum(one["requests"] or 0 for one in killed["timeline"]["stretches"])
    assert placed + killed["timeline"]["unplaced_requests"] >= killed["effort"]["requests"] > 0
    assert (desk.folder / NAME).exists()


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["none.ledger.db"], 3, "there is no ledger none.ledger.db"),
        (["in.jsonl"], 3, "is not a bulkstreams ledger"),
        (["in.ledger.db", "--compare", "none.ledger.db"], 3, "there is no ledger none.ledger.db"),
        (["in.ledger.db", "--json", "--csv"], 2, "--json and --csv both want standard output.\nGive one of them"),
        (
            ["in.ledger.db", "--json", "--html", "-"],
            2,
            "--json and --html - both want standard output.\nGive --html a file",
        ),
        (["in.ledger.db", "--json", "--csv", "--html", "-"], 2, "--json and --csv and --html - all want"),
        (["in.ledger.db", "--html", "in.ledger.db"], 2, "would write over in.ledger.db"),
        (["in.ledger.db", "--html", "./in.jsonl"], 2, "would write over in.jsonl"),
        (["in.ledger.db", "--html", "no/such/folder.html"], 2, "cannot be written"),
        (["in.ledger.db", "--html", "."], 2, "is not a file that could be replaced"),
    ],
)
def test_what_cannot_be_is_refused_and_nothing_is_lost(done: Desk, arguments: list[str], code: int, words: str) -> None:
    """With a remedy; inputs and ledger stay as they are, and no file appears."""
    before = {path: path.read_bytes() for path in done.folder.iterdir() if path.suffix in {".db", ".jsonl"}}
    names = {path.name for path in done.folder.iterdir()}
    ended = done.run("report", *arguments)
    assert ended.code == code, ended
    assert words in ended.err
    assert ended.err.count("\n") >= 2, "an error ends with a remedy"
    assert {path: path.read_bytes() for path in before} == before
    assert {path.name for path in done.folder.iterdir()} - names <= {"in.ledger.db-shm", "in.ledger.db-wal"}


@pytest.mark.parametrize("package", ["jinja2"])
def test_where_a_package_is_missing_the_command_that_installs_it_is_told(done: Desk, package: str) -> None:
    """As it can be typed: every package of the extra; the other commands need none of them."""
    hidden = done.folder / "hidden"
    hidden.mkdir()
    (hidden / "sitecustomize.py").write_text(f"import sys\nsys.modules[{package!r}] = None\n")
    ended = done.run("report", "in.ledger.db", env={"PYTHONPATH": str(hidden)})
    assert (ended.code, ended.out) == (2, "")
    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]["report"]
    assert f"Install it: {sys.executable} -m pip install" in ended.err
    assert all(one.partition(">")[0] in ended.err for one in wanted)
    assert not (done.folder / NAME).exists()
    assert done.run("status", "in.ledger.db", env={"PYTHONPATH": str(hidden)}).code == 0
