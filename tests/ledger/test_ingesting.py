"""Lines into records: new lines, the same lines again, duplicates, changed lines."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from bulkstreams.core.metrics import Tally
from bulkstreams.ledger import BATCH, LedgerReader, Row
from bulkstreams.model import Settlement, State
from tests.ledger import (
    ACME,
    FILE,
    bad,
    bring,
    column,
    good,
    in_loop,
    mark,
    read,
    results,
    rows,
    start,
    states,
)

# -- new and known lines ----------------------------------------------------------------------------------------------


@in_loop
async def test_a_new_line_is_pending_and_an_invalid_one_invalid(path: Path) -> None:
    """Each line is one record with its place; an invalid one keeps its message and needs no key."""
    with await start(path) as ledger:
        assert await read(ledger, [good("a"), bad("b"), bad()]) == []
    found = results(path)
    assert {key: (one.state, one.line, one.offset) for key, one in found.items()} == {
        "a": ("pending", 1, 100),
        "b": ("invalid", 2, 200),
        "None@3": ("invalid", 3, 300),
    }
    assert found["b"].message == found["None@3"].message == "name: is wrong"
    assert found["a"].file == FILE


@in_loop
async def test_reading_the_same_input_again_adds_nothing(path: Path) -> None:
    """A second reading leaves as many records, in the states they were in."""
    lines = [good("a"), bad("b"), bad(), good("c"), good("a")]
    with await start(path) as ledger:
        first = await read(ledger, lines)
        before = states(path)
        second = await read(ledger, lines)
        assert states(path) == before
        assert [d.first for d in first] == [d.first for d in second] == [(1, 1)]


@in_loop
async def test_ingesting_a_batch_twice_changes_nothing(path: Path) -> None:
    """The rows of one reading may be handed in again, as after a commit whose answer was lost."""
    with await start(path) as ledger:
        await ledger.begin_reading("source", 1.0)
        made = await rows(ledger, FILE, [good("a"), bad("b"), good("c")])
        for _ in range(2):
            assert await ledger.ingest(made) == []
        await ledger.end_reading(2.0, [1])
        assert states(path) == {"a": "pending", "b": "invalid", "c": "pending"}


@in_loop
async def test_ingested_together_or_each_alone_is_the_same(path: Path) -> None:
    """Whatever lines share a batch, alike or not in any column, each record has what its own line says, in order."""
    odd = [bad("k3"), bad(), good("k1"), good("z", tenant="b")]
    lines = [good(f"k{n}") if n % 9 else odd[n // 9 % 4] for n in range(99)]
    kept = []
    for size in (99, 10, 1):
        one = path.with_name(f"{size}.ledger.db")
        with await start(one) as ledger:
            for reading in (lines, lines[::2]):
                await read(ledger, reading, batch=size)
        with closing(sqlite3.connect(one)) as db:
            columns = ", ".join(Row._fields[:-1])
            kept.append(db.execute(f"SELECT {columns} FROM record ORDER BY reading, line").fetchall())
    assert len({row[Row._fields.index("state")] for row in kept[0]}) == 3
    assert kept[0] == kept[1] == kept[2]


@in_loop
async def test_a_batch_of_new_or_unchanged_lines_is_one_statement(path: Path) -> None:
    """SQLite gives up the interpreter for each statement, so none may be needed for each line."""
    statements: list[str] = []
    with await start(path) as ledger:
        for _ in range(2):
            await ledger.begin_reading("source", 1.0)
            made = await rows(ledger, FILE, [good(f"k{n}") for n in range(50)])
            await ledger._writer.do(lambda db: db.set_trace_callback(statements.append))
            await ledger.ingest(made)
            await ledger._writer.do(lambda db: db.set_trace_callback(None))
    assert sum(text.lstrip().startswith("INSERT INTO record") for text in statements) == 2
    assert not [text for text in statements if text.lstrip().startswith(("SELECT", "UPDATE"))]


@in_loop
async def test_ingesting_nothing_is_nothing(path: Path) -> None:
    """An empty batch is no statement at all."""
    with await start(path) as ledger:
        await ledger.begin_reading("source", 1.0)
        assert await ledger.ingest([]) == []


@in_loop
async def test_a_batch_may_be_as_large_as_promised(path: Path) -> None:
    """`BATCH` rows go into one call."""
    with await start(path) as ledger:
        await read(ledger, [good(f"k{n}") for n in range(BATCH)], batch=BATCH)
        assert len(await ledger.claim(ACME, BATCH + 1, 1.0)) == BATCH


@in_loop
async def test_the_same_line_keeps_its_state_and_learns_its_new_place(path: Path) -> None:
    """A settled record whose line moved is not touched but for where it stands."""
    with await start(path) as ledger:
        await bring(ledger, State.CREATED)
        await read(ledger, {"other.jsonl": [good("z"), good("a")]})
    found = results(path)["a"]
    assert (found.state, found.remote_id, found.file, found.line, found.offset) == (
        "created", "est_a", "other.jsonl", 2, 200,
    )  # fmt: skip


@in_loop
async def test_the_same_key_in_two_tenants_is_two_records(path: Path) -> None:
    """A key is unique within its tenant only."""
    with await start(path) as ledger:
        assert await read(ledger, [good("a"), good("a", tenant="local")]) == []
        assert len(await ledger.claim(ACME, 9, 1.0)) == 1


@in_loop
async def test_a_record_that_left_the_input_is_left_alone_and_not_counted(path: Path) -> None:
    """Its row stays as it was; the newest reading does not see it, nor does a claim."""
    with await start(path) as ledger:
        await read(ledger, [good("a"), good("b")])
        await read(ledger, [good("b")])
        assert states(path) == {"b": "pending"}
        assert column(path, "state", "a") == "pending"
        assert [claim.key for claim in await ledger.claim(ACME, 9, 1.0)] == ["b"]


# -- duplicates -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("batch", [1, 2, 1000])
@in_loop
async def test_a_duplicate_is_reported_with_both_places(path: Path, batch: int) -> None:
    """In one batch and across batches a second line of a key names its own place and the first's, and is not sent."""
    with await start(path) as ledger:
        found = await read(ledger, [good("a"), good("b"), good("a"), good("a", "disabled")], batch=batch)
        assert [(d.row.input, d.row.line, d.first) for d in found] == [(1, 3, (1, 1)), (1, 4, (1, 1))]
        assert len(await ledger.claim(ACME, 9, 1.0)) == 2
    found_again = results(path)
    assert found_again["a@3"].state == found_again["a@4"].state == "duplicate"
    assert found_again["a@3"].message == f"the same key as {FILE}:1"
    assert found_again["a"].state == "in_flight"


@in_loop
async def test_a_duplicate_across_inputs_names_the_other_file(path: Path) -> None:
    """A key that an earlier input has is a duplicate in the later one, reported with both files."""
    with await start(path) as ledger:
        (found,) = await read(ledger, {"one.jsonl": [good("a")], "two.jsonl": [good("b"), good("a")]})
        first, second = await ledger.input("one.jsonl"), await ledger.input("two.jsonl")
        assert (found.row.input, found.row.line, found.first) == (second, 2, (first, 1))
    assert results(path)["a@2"].message == "the same key as one.jsonl:1"


@in_loop
async def test_a_duplicate_of_a_created_record_stays_a_duplicate(path: Path) -> None:
    """In a later reading a second line that differs does not turn its first, which was created, into a conflict."""
    with await start(path) as ledger:
        await bring(ledger, State.CREATED)
        (found,) = await read(ledger, [good("a"), good("a", "disabled")])
        assert found.first == (1, 1)
    assert states(path) == {"a": "created", "a@2": "duplicate"}


@in_loop
async def test_inputs_in_another_order_change_which_line_is_the_first(path: Path) -> None:
    """The record moves to the line that is met first; the other one is the duplicate now."""
    one, two = [good("a")], [good("a")]
    with await start(path) as ledger:
        await read(ledger, {"one.jsonl": one, "two.jsonl": two})
        (found,) = await read(ledger, {"two.jsonl": two, "one.jsonl": one})
        assert found.first == (await ledger.input("two.jsonl"), 1)
    assert results(path)["a"].file == "two.jsonl"


@in_loop
async def test_an_invalid_line_of_a_known_key_stays_invalid(path: Path) -> None:
    """A broken second line is reported for what is wrong with it, and does not harm the first."""
    with await start(path) as ledger:
        assert await read(ledger, [good("a"), bad("a")]) == []
    with LedgerReader(path) as reader:
        assert [(one.line, one.key, one.state) for one in reader.results()] == [
            (1, "a", "pending"),
            (2, "a", "invalid"),
        ]


# -- a line that changed ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "state", [State.PENDING, State.INVALID, State.REFUSED, State.EXHAUSTED, State.CONFLICT, State.UNDONE]
)
@in_loop
async def test_a_changed_line_is_pending_again_where_nothing_stands(path: Path, state: State) -> None:
    """Fix-and-rerun works: attempts begin anew, and the old error is gone."""
    with await start(path) as ledger:
        await bring(ledger, state)
        await read(ledger, [good("a", "disabled")])
        found = results(path)["a"]
        assert (found.state, found.attempts, found.message, found.error_code, found.http_status) == (
            "pending", 0, None, None, None,
        )  # fmt: skip
        (claim,) = await ledger.claim(ACME, 9, 1.0)
        assert claim.digest == mark("a", "disabled")


@pytest.mark.parametrize("state", [State.REFUSED, State.EXHAUSTED, State.CONFLICT, State.UNDONE])
@in_loop
async def test_the_same_line_changes_no_verdict(path: Path, state: State) -> None:
    """Without a change of the line a reading alone brings nothing back into play."""
    with await start(path) as ledger:
        await bring(ledger, state)
        await read(ledger, [good("a")])
    assert states(path) == {"a": state.value}


@in_loop
async def test_an_invalid_line_that_passes_now_is_pending(path: Path) -> None:
    """What was missing outside the line (a variable of the environment) may have been mended."""
    with await start(path) as ledger:
        await read(ledger, [good("a")])
        await read(ledger, [bad("a")])
        assert states(path) == {"a": "invalid"}
        await read(ledger, [good("a")])
    assert states(path) == {"a": "pending"}


@pytest.mark.parametrize(
    ("state", "words"), [(State.CREATED, "after its stream was created"), (State.EXISTS, "was found at the tenant")]
)
@in_loop
async def test_a_changed_line_of_a_standing_stream_is_a_conflict(path: Path, state: State, words: str) -> None:
    """Nothing is sent, the message names what differs, the stream's id is kept, and reverting the line heals it."""
    with await start(path) as ledger:
        await bring(ledger, state)
        for _ in range(2):
            await read(ledger, [good("a", "disabled")])
            found = results(path)["a"]
            assert (found.state, found.remote_id) == ("conflict", "est_a")
            assert found.message is not None
            assert words in found.message
            assert ": status differ;" in found.message
            assert column(path, "anchor") == state.value
        assert await ledger.claim(ACME, 9, 1.0) == []
        await read(ledger, [good("a")])
        found = results(path)["a"]
        assert (found.state, found.remote_id, found.message) == (state.value, "est_a", None)


@in_loop
async def test_a_conflict_names_the_difference_from_what_was_sent(path: Path) -> None:
    """After several edits the message compares with the stream, not with the line of the last reading."""
    with await start(path) as ledger:
        await bring(ledger, State.CREATED)
        await read(ledger, [good("a", "disabled")])
        await read(ledger, [good("a")._replace(mark=mark("a", event="user.deleted"))])
    assert ": subscriptions differ;" in (results(path)["a"].message or "")


@pytest.mark.parametrize("state", [State.CREATED, State.EXISTS])
@in_loop
async def test_a_standing_streams_line_may_break_and_heal(path: Path, state: State) -> None:
    """An invalid line over a stream is invalid; as it was, it is settled again; otherwise it is a conflict."""
    with await start(path) as ledger:
        await bring(ledger, state)
        await read(ledger, [bad("a")])
        found = results(path)["a"]
        assert (found.state, found.remote_id, found.message) == ("invalid", "est_a", "name: is wrong")
        await read(ledger, [good("a")])
        assert states(path) == {"a": state.value}
        assert results(path)["a"].error_code is None
        await read(ledger, [bad("a")])
        await read(ledger, [good("a", "disabled")])
        assert states(path) == {"a": "conflict"}


@in_loop
async def test_a_changed_line_in_doubt_remembers_what_was_sent(path: Path) -> None:
    """A doubt is judged by what was sent, however often its line changes; what it says now is known beside it."""
    with await start(path) as ledger:
        await bring(ledger, State.IN_DOUBT)
        for status in ("disabled", "other"):
            await read(ledger, [good("a", status)])
            (doubt,) = await ledger.doubts(ACME, 9)
            assert (doubt.digest, doubt.current) == (mark("a"), mark("a", status))
        await read(ledger, [bad("a")])
        assert states(path) == {"a": "in_doubt"}
        (doubt,) = await ledger.doubts(ACME, 9)
        assert doubt.digest == mark("a")


@in_loop
async def test_a_stream_found_for_a_changed_line_heals_when_the_line_reverts(path: Path) -> None:
    """A doubt found ours under a changed line is a conflict that remembers its anchor and what was sent."""
    with await start(path) as ledger:
        await bring(ledger, State.IN_DOUBT)
        await read(ledger, [good("a", "disabled")])
        (doubt,) = await ledger.doubts(ACME, 9)
        outcome = Settlement(doubt.id, State.CONFLICT, 1, remote_id="est_a", recovered=True, anchor=State.CREATED)
        await ledger.settle([outcome], Tally())
        await read(ledger, [good("a")])
    assert states(path) == {"a": "created"}
