"""What was in force in a run: it stands in the run's row, is read back as it was written, and older ledgers lack it."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from bulkstreams.ledger import Configured, History, InForce, Ledger, LedgerReader, Setting, Shown
from bulkstreams.ledger.in_force import LONGEST, decode, encode
from tests.ledger import in_loop

TOLD = InForce(
    inputs=("in.jsonl", "more.jsonl.gz"),
    more_inputs=3,
    settings={
        "rate": Setting(16.0, "auto", "--rate"),
        "deadline_s": Setting(None, None),
        "retry_failed": Setting(True, False, "--retry-failed"),
        "concurrency": Setting(32, 32),
    },
    tenants=(
        Configured(
            "acme",
            "https://acme.test",
            True,
            {"rate": 4.0},
            Shown("client secret", "${env:ACME_SECRET}", "acme-client"),
        ),
        Configured("local", "http://127.0.0.1:1", False, {}, Shown("token", "***")),
        Configured("nobody", "https://nobody.test", False, {}, None),
    ),
    more_tenants=7,
)


@in_loop
async def test_a_run_says_what_began_it_and_what_was_in_force(path: Path) -> None:
    """Whoever reads the ledger is told both as they were written, of the newest run and of each."""
    for command, told in (("run", TOLD), ("undo", InForce())):
        with Ledger.open(path) as ledger:
            await ledger.begin_run(1.0, command, told)
            await ledger.end_run(2.0, 0, {})
    with History(path) as history:
        assert [(run.command, run.settings) for run in history.runs(9)] == [("run", TOLD), ("undo", InForce((), 0, {}))]
        last = history.last_run()
        assert last is not None
        assert (last.command, last.settings) == ("undo", InForce((), 0, {}))


@in_loop
async def test_any_sqlite_tool_can_ask_for_a_setting(path: Path) -> None:
    """By its name, beside its default and what said it."""
    with Ledger.open(path) as ledger:
        await ledger.begin_run(1.0, "run", TOLD)
    with closing(sqlite3.connect(path)) as db:
        rate = "$.settings.rate"
        sql = f"SELECT command, json_extract(settings, '{rate}.value'), json_extract(settings, '{rate}') FROM run"
        command, value, whole = db.execute(sql).fetchone()
    assert (command, value) == ("run", 16.0)
    assert json.loads(whole) == {"value": 16.0, "default": "auto", "from": "--rate"}


@in_loop
async def test_a_run_that_says_nothing_is_not_known(path: Path) -> None:
    """As are the runs of a ledger that was brought up to this format."""
    with Ledger.open(path) as ledger:
        await ledger.begin_run(1.0)
    with LedgerReader(path) as reader:
        run = reader.last_run()
    assert run is not None
    assert (run.command, run.settings) == (None, None)


@in_loop
async def test_an_older_ledger_has_no_room_for_it(path: Path) -> None:
    """It is read as it is, though its table lacks the columns."""
    with Ledger.open(path) as ledger:
        await ledger.begin_run(1.0, "run", TOLD)
        with closing(sqlite3.connect(path)) as db:
            for change in (
                "DROP TABLE errand", "ALTER TABLE run DROP COLUMN command", "ALTER TABLE run DROP COLUMN settings",
            ):  # fmt: skip
                db.execute(change)
        with History(path) as history:
            run, (other,) = history.last_run(), history.runs(9)
    assert run is not None
    assert run == other
    assert (run.id, run.command, run.settings) == (1, None, None)


def test_what_was_written_is_read_back() -> None:
    """Every part of it, and nothing else is taken for it."""
    assert decode(encode(TOLD)) == TOLD
    for text in ("{", "7", "null", "{}", encode(TOLD).replace('"settings"', '"setting"')):
        with pytest.raises(ValueError, match="no run has written this"):
            decode(text)


def test_what_json_cannot_hold_is_written_all_the_same() -> None:
    """A file's name of bytes that are no text, a number beyond all numbers, a text without end: a run begins anyhow."""
    told = InForce(inputs=["\udcff.jsonl", "x" * 10_000], settings={"limit": Setting(10**30), "off": Setting(True)})
    found = decode(encode(told))
    assert found.inputs == ("\\udcff.jsonl", "x" * LONGEST)
    assert found.settings["limit"].value == 2**63 - 1
    assert found.settings["off"].value is True
