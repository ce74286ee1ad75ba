"""Readings of the inputs: which need not be repeated, what their end forgets, and what comes back into play."""

from __future__ import annotations

from pathlib import Path

import pytest

from bulkstreams.model import State
from tests.ledger import (
    ACME,
    Given,
    bad,
    bring,
    column,
    good,
    in_loop,
    read,
    start,
    states,
)


@in_loop
async def test_an_input_has_one_id(path: Path) -> None:
    """The same path has the same id, in this run and the next."""
    with await start(path) as ledger:
        one, two = await ledger.input("one"), await ledger.input("two")
        assert one != two
    with await start(path) as ledger:
        assert [await ledger.input("two"), await ledger.input("one")] == [two, one]


@in_loop
async def test_keyless_lines_of_earlier_readings_are_forgotten(path: Path) -> None:
    """A broken line and a duplicate do not pile up with each reading of their input."""
    with await start(path) as ledger:
        for _ in range(3):
            await read(ledger, [good("a"), good("a"), bad()])
        count = await ledger._writer.do(lambda db: db.execute("SELECT count(*) FROM record").fetchone()[0])
        assert count == 3


# -- the same source --------------------------------------------------------------------------------------------------


@in_loop
async def test_a_whole_reading_of_the_same_source_need_not_be_repeated(path: Path) -> None:
    """The earlier reading becomes this run's own, after the ledger was opened again too."""
    with await start(path) as ledger:
        await read(ledger, [good("a")])
        number = ledger.reading_id
    with await start(path) as ledger:
        assert await ledger.same_source("source")
        assert ledger.reading_id == number
        found = await ledger._writer.do(lambda db: db.execute("SELECT reading FROM run ORDER BY id DESC").fetchone()[0])
        assert found == number


@in_loop
async def test_records_of_a_reading_that_was_not_repeated_can_be_claimed(path: Path) -> None:
    """A resumed run whose input did not change sends what is pending, though no line of it was read."""
    with await start(path) as ledger:
        await read(ledger, [good("a")])
    with await start(path) as ledger:
        assert await ledger.same_source("source")
        assert await ledger.reopen(retry_failed=False) == {ACME: (1, 0)}
        assert await ledger.doubts(ACME, 9) == []
        assert [claim.key for claim in await ledger.claim(ACME, 9, 1.0)] == ["a"]


@in_loop
async def test_a_first_reading_is_never_the_same(path: Path) -> None:
    """An empty ledger has read nothing."""
    with await start(path) as ledger:
        assert not await ledger.same_source("source")


@in_loop
async def test_another_source_must_be_read(path: Path) -> None:
    """Other inputs, or other rules, are another source, even where an older reading was of it."""
    with await start(path) as ledger:
        await read(ledger, [good("a")], source="one")
        assert not await ledger.same_source("two")
        await read(ledger, [good("a")], source="two")
        assert not await ledger.same_source("one")
        assert await ledger.same_source("two")


@in_loop
async def test_a_reading_that_was_cut_short_must_be_repeated(path: Path) -> None:
    """A process that died while reading leaves a reading that counts for nothing."""
    with await start(path) as ledger:
        await read(ledger, [good("a")], whole=False)
        assert not await ledger.same_source("source")
        await read(ledger, [good("a"), good("b")])
        assert await ledger.same_source("source")
    assert states(path) == {"a": "pending", "b": "pending"}


@pytest.mark.parametrize("broken", [bad("b"), bad()])
@in_loop
async def test_a_reading_with_an_invalid_line_must_be_repeated(path: Path, broken: Given) -> None:
    """An invalid line is checked again at each run, whether it has a key or not."""
    with await start(path) as ledger:
        await read(ledger, [good("a"), broken])
        assert not await ledger.same_source("source")
        await read(ledger, [good("a")])
        assert await ledger.same_source("source")


# -- reopen -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("retry_failed", [False, True])
@pytest.mark.parametrize("state", sorted(set(State) - {State.IN_FLIGHT, State.DUPLICATE}))
@in_loop
async def test_reopening_takes_back_what_the_contract_says(path: Path, state: State, retry_failed: bool) -> None:
    """Exhausted and undone records always, refused and conflicts on demand, anything else never."""
    with await start(path) as ledger:
        await bring(ledger, state)
        todo = await ledger.reopen(retry_failed=retry_failed)
        back = {State.EXHAUSTED, State.UNDONE, State.PENDING} | (
            {State.REFUSED, State.CONFLICT} if retry_failed else set()
        )
        if state in back:
            assert todo == {ACME: (1, 0)}
            (claim,) = await ledger.claim(ACME, 9, 1.0)
            assert claim.attempts == 0
        else:
            assert todo == ({ACME: (0, 1)} if state is State.IN_DOUBT else {})
            assert states(path) == {"a": state.value}


@pytest.mark.parametrize("state", [State.CREATED, State.EXISTS])
@in_loop
async def test_reopening_never_takes_back_a_conflict_with_a_stream(path: Path, state: State) -> None:
    """A created stream whose line changed is not sent again, even when failures are to be retried."""
    with await start(path) as ledger:
        await bring(ledger, state)
        await read(ledger, [good("a", "disabled")])
        assert await ledger.reopen(retry_failed=True) == {}
        assert states(path) == {"a": "conflict"}


@in_loop
async def test_reopening_counts_by_tenant_and_only_this_reading(path: Path) -> None:
    """What is to do is told for each tenant; a failed record that left the input is not brought back."""
    with await start(path) as ledger:
        await bring(ledger, State.EXHAUSTED, "gone")
        await read(ledger, [good("a"), good("b"), good("c", tenant="local"), bad()])
        assert await ledger.reopen(retry_failed=True) == {ACME: (2, 0), "local": (1, 0)}
        assert column(path, "state", "gone") == "exhausted"
