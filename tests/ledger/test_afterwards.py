"""What the ledger tells of what was done to its streams afterwards."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from bulkstreams.core.errands import Fate, Kind
from bulkstreams.errors import LedgerFormatError
from bulkstreams.ledger import LedgerReader, Plan, Site
from bulkstreams.model import State
from tests.ledger import ACME, ADDRESS, in_loop, start
from tests.ledger.errands import claimed, create, do, outcome, settle


@in_loop
async def test_failures_are_told_by_cause_with_an_example(path: Path) -> None:
    """As those of a run."""
    with await start(path) as ledger:
        await create(ledger, "a", "b")
        await do(ledger, Kind.UNDO, Fate.FAILED, http_status=400, error_code="x", message="no")
        with LedgerReader(path) as reader:
            (found,) = reader.errand_failures(Kind.UNDO)
            assert reader.errand_failures(Kind.ENABLE) == []
        assert (found.state, found.http_status, found.message, found.records, found.line, found.key) == (
            "failed", 400, "no", 2, 1, "a",
        )  # fmt: skip


@in_loop
async def test_what_stands_is_told_by_tenant(path: Path) -> None:
    """What a command would be about."""
    with await start(path) as ledger:
        await create(ledger, "a", "b")
        with LedgerReader(path) as reader:
            assert reader.created() == {ACME: Site(ADDRESS, 2)}
            assert reader.created([State.CONFLICT]) == {}
            assert reader.created(tenants=[ACME]) == {ACME: Site(ADDRESS, 2)}
            assert reader.created(tenants=["another"]) == {}
            assert reader.doubtful() == 0
        await ledger.errands(Kind.UNDO).begin(Plan())
        one, _ = await claimed(ledger, Kind.UNDO)
        await settle(ledger, Kind.UNDO, outcome(one, Fate.DELETED))
        with LedgerReader(path) as reader:
            assert reader.created() == {ACME: Site(ADDRESS, 1)}


@in_loop
async def test_a_ledger_of_an_older_format_has_no_errands_to_tell_of(path: Path) -> None:
    """It is only read, so it stays as it is: every question about errands has an empty answer."""
    with await start(path) as ledger:
        await create(ledger, "a")
    with closing(sqlite3.connect(path)) as db:
        db.executescript("DROP TABLE errand; PRAGMA user_version = 2;")
        db.execute("UPDATE seal SET bytes = NULL, sum = NULL, turn = turn | 1")
        db.commit()
    with LedgerReader(path) as reader:
        assert reader.errands(Kind.UNDO).total == 0
        assert reader.errand_failures(Kind.UNDO) == []
        assert reader.undoing() == 0
        assert not reader.has_deliveries()
        assert reader.created() == {ACME: Site(ADDRESS, 1)}
        assert [one.delivery for one in reader.results()] == [None]


@pytest.mark.parametrize(
    ("sql", "asked"),
    [
        ("UPDATE errand SET state = 'odd'", "errands"),
        ("UPDATE meta SET value = 'x' WHERE name = 'errand:undo'", "errands"),
    ],
)
@in_loop
async def test_what_no_run_has_written_is_called_damage(path: Path, sql: str, asked: str) -> None:
    """A reader beside a live run is not taken in by it either."""
    with await start(path) as ledger:
        await create(ledger, "a")
        await do(ledger, Kind.UNDO, Fate.CHANGED)
        with closing(sqlite3.connect(path)) as db:
            db.execute(sql)
            db.commit()
        with LedgerReader(path) as reader, pytest.raises(LedgerFormatError, match="is damaged"):
            getattr(reader, asked)(Kind.UNDO)
