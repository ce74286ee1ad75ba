"""What a ledger tells: totals, counts by tenant, failures by cause, pages of results, runs."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from bulkstreams.core.metrics import Tally
from bulkstreams.ledger import RESULT_COLUMNS, Failure, Ledger, LedgerReader, Result
from bulkstreams.model import State, TenantName
from tests.ledger import ACME, ADDRESS, bad, good, in_loop, read, settled, start

LINES = [
    good("a"), good("b"), bad("c"), bad(), good("a"), good("d"), good("e"), good("f"), good("g", tenant="local"),
]  # fmt: skip


@pytest.fixture
def reader(path: Path) -> Iterator[LedgerReader]:
    """Return a reader of a ledger that two runs have written."""
    fill(path)
    with LedgerReader(path) as made:
        yield made


@in_loop
async def fill(path: Path) -> None:
    """Let one run create `a`, and the next one meet all other states."""
    with await start(path) as ledger:
        await read(ledger, [good("a"), good("gone")])
        created, _ = await ledger.claim(ACME, 9, 20.0)
        outcome = settled(created, State.CREATED, recovered=True, latency_ms=12.5)
        await ledger.settle([outcome], Tally(requests=2, retries=1))
        await ledger.end_run(25.0, 4, {"acme": "it said no"})
    with await start(path, 30.0) as ledger:
        await read(ledger, LINES)
        one, two, three, four = await ledger.claim(ACME, 9, 31.0)
        (five,) = await ledger.claim(TenantName("local"), 9, 31.0)
        denied = {"http_status": 400, "error_code": "invalid_body", "message": "no"}
        await ledger.settle(
            [
                settled(one, State.CREATED),
                settled(two, State.REFUSED, **denied),
                settled(three, State.REFUSED, **denied),
                settled(four, State.CREATED, recovered=True),
                settled(five, State.IN_DOUBT, message="timeout"),
            ],
            Tally(requests=5),
        )


def test_totals_count_the_newest_reading(reader: LedgerReader) -> None:
    """Each line of the input is counted once, under its state; what left the input is not counted."""
    totals = reader.totals()
    assert totals.records == {
        State.CREATED: 3, State.REFUSED: 2, State.INVALID: 2, State.DUPLICATE: 1, State.IN_DOUBT: 1,
    }  # fmt: skip
    assert totals.total == len(LINES)


def test_totals_tell_what_the_newest_run_created(reader: LedgerReader) -> None:
    """A record that an earlier run created is counted as created, but not as this run's."""
    totals = reader.totals()
    assert (totals.created, totals.recovered) == (2, 1)


@in_loop
async def test_a_run_that_created_nothing_says_so(path: Path) -> None:
    """After another run over the same input nothing is counted as its work."""
    with await start(path) as ledger:
        await read(ledger, [good("a")])
        (claim,) = await ledger.claim(ACME, 1, 1.0)
        await ledger.settle([settled(claim, State.CREATED)], Tally())
        await ledger.end_run(2.0, 0, {})
    with await start(path) as ledger, LedgerReader(path) as reader:
        await ledger.same_source("source")
        totals = reader.totals()
        assert (totals.records, totals.created, totals.recovered) == ({State.CREATED: 1}, 0, 0)


def test_counts_by_tenant_put_lines_without_one_under_no_name(reader: LedgerReader) -> None:
    """Each tenant has its own counts, and they add up to the totals."""
    counts = reader.by_tenant()
    assert counts == {
        "": {State.INVALID: 1},
        "acme": {State.CREATED: 3, State.DUPLICATE: 1, State.INVALID: 1, State.REFUSED: 2},
        "local": {State.IN_DOUBT: 1},
    }
    assert sum(sum(states.values()) for states in counts.values()) == reader.totals().total


def test_failures_are_grouped_by_cause_with_the_first_as_example(reader: LedgerReader) -> None:
    """The most frequent cause comes first, each with the earliest line that has it."""
    invalid = Failure("invalid", None, "invalid", "name: is wrong", 2, "in.jsonl", 3, "c")
    refused = Failure("refused", 400, "invalid_body", "no", 2, "in.jsonl", 6, "d")
    doubt = Failure("in_doubt", None, None, "timeout", 1, "in.jsonl", 9, "g")
    assert reader.failures() == [invalid, refused, doubt]
    assert reader.failures(1) == [invalid]


@pytest.mark.parametrize("page", [1, 2, 8, 9, 10, 1000])
def test_results_come_whole_whatever_the_page(reader: LedgerReader, page: int) -> None:
    """Paging neither skips nor repeats a record."""
    found = list(reader.results(page=page))
    assert len({one.id for one in found}) == len(found) == len(LINES)
    assert found == list(reader.results())


@in_loop
async def test_results_follow_the_input(path: Path) -> None:
    """The lines of a first reading come out as they went in."""
    with await start(path) as ledger:
        await read(ledger, {"one": LINES, "two": [good("z"), bad()]})
    with LedgerReader(path) as reader:
        lines = [(one.file, one.line) for one in reader.results(page=2)]
    assert sorted(lines) == [("one", n) for n in range(1, 10)] + [("two", 1), ("two", 2)]
    assert [file for file, _ in lines] == ["one"] * 9 + ["two"] * 2


def test_results_of_some_states_only(reader: LedgerReader) -> None:
    """A filter keeps the records of each state that it names, over the borders of pages."""
    wanted = [State.REFUSED, State.IN_DOUBT]
    found = [(one.key, one.state) for one in reader.results(wanted, page=1)]
    assert sorted(found) == [("d", "refused"), ("e", "refused"), ("g", "in_doubt")]
    assert list(reader.results([State.EXHAUSTED])) == []


def test_a_result_tells_all_that_the_contract_names(reader: LedgerReader) -> None:
    """The columns of a row are the contract's, and a created record has them all."""
    assert Result._fields[: len(RESULT_COLUMNS)] == RESULT_COLUMNS
    assert RESULT_COLUMNS == (
        "file", "line", "key", "tenant", "name", "state", "remote_id", "attempts", "http_status", "error_code",
        "message", "first_sent_at", "settled_at", "latency_ms", "recovered",
    )  # fmt: skip
    (first,) = [one for one in reader.results([State.CREATED]) if one.key == "a"]
    assert first[: len(RESULT_COLUMNS)] == (
        "in.jsonl", 1, "a", "acme", "a", "created", "est_a", 1, 201, None, None, 20.5, 21.0, 12.5, 1,
    )  # fmt: skip
    assert (first.offset, first.length) == (100, 99)


def test_a_duplicate_has_the_key_of_its_first(reader: LedgerReader) -> None:
    """A duplicate's row in the results says which key it repeats, and where the first is."""
    (found,) = reader.results([State.DUPLICATE])
    assert (found.key, found.line, found.tenant, found.message) == ("a", 5, "acme", "the same key as in.jsonl:1")


def test_records_are_found_by_their_ids(reader: LedgerReader) -> None:
    """The rows of some ids come back, in order, and unknown ids are passed over."""
    some = [one for one in reader.results() if one.state == "refused"]
    assert reader.by_id([*(one.id for one in reversed(some)), 999]) == some
    assert reader.by_id([]) == []


def test_the_newest_run_is_told_with_its_figures(reader: LedgerReader, path: Path) -> None:
    """A run that goes on has no end; its figures and its reading are there."""
    run = reader.last_run()
    assert run is not None
    assert (run.id, run.reading, run.started_at, run.ended_at, run.exit_code) == (2, 2, 30.0, None, None)
    assert (run.requests, run.retries, run.stopped) == (5, 0, {})


@in_loop
async def test_a_ledger_without_a_run_has_nothing_to_tell(path: Path) -> None:
    """All questions have an answer before the first run too."""
    Ledger.open(path).close()
    with LedgerReader(path) as reader:
        assert reader.last_run() is None
        assert (reader.totals().total, reader.totals().created) == (0, 0)
        assert (reader.by_tenant(), reader.failures(), list(reader.results()), reader.addresses()) == ({}, [], [], {})


def test_a_reader_cannot_write(reader: LedgerReader) -> None:
    """The connection of a reader is read-only."""
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        reader._db.execute("DELETE FROM record")


def test_a_ledger_is_copied_whole(reader: LedgerReader, tmp_path: Path) -> None:
    """A copy holds what the ledger holds, is one itself, and needs no neighbour files of the original."""
    copy = tmp_path / "copy.db"
    with closing(sqlite3.connect(copy)) as target:
        reader.copy_to(target)
    with LedgerReader(copy) as other:
        assert list(other.results()) == list(reader.results())
        assert other.addresses() == {"acme": ADDRESS, "local": "https://local.test"}


@in_loop
async def test_a_reader_follows_a_run_as_it_goes_on(path: Path) -> None:
    """Totals asked for again show what was committed meanwhile."""
    with await start(path) as ledger:
        await read(ledger, [good("a")])
        with LedgerReader(path) as reader:
            assert reader.totals().records == {State.PENDING: 1}
            await ledger.claim(ACME, 1, 1.0)
            assert reader.totals().records == {State.IN_FLIGHT: 1}
