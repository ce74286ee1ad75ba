"""The writing thread: many operations to a commit, and what a failing one does to its neighbours."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from threading import Event

import pytest

from bulkstreams.errors import ExitCode, LedgerAddressError, LedgerError, LedgerWriteError
from bulkstreams.ledger import format as ledger_format
from bulkstreams.ledger.writer import Writer
from tests.ledger import in_loop


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return a fresh ledger."""
    made = tmp_path / "in.ledger.db"
    ledger_format.ensure(made)
    return made


@contextmanager
def writer(path: Path) -> Iterator[Writer]:
    """Open a writer and close it at the end."""
    made = Writer(path)
    try:
        yield made
    finally:
        made.close()


def note(name: str) -> Callable[[sqlite3.Connection], int]:
    """Return an operation that writes one row, which any connection can look for."""
    return lambda db: db.execute("INSERT INTO input (path) VALUES (?)", (name,)).rowcount


def noted(path: Path) -> set[str]:
    """Return the rows that are durable."""
    with closing(sqlite3.connect(path)) as db:
        return {name for (name,) in db.execute("SELECT path FROM input")}


def hold(started: Event, release: Event) -> Callable[[sqlite3.Connection], None]:
    """Return an operation that keeps the writer busy until it is released."""

    def busy(_: sqlite3.Connection) -> None:
        started.set()
        release.wait(60)

    return busy


async def together(made: Writer, operations: list[Callable[[sqlite3.Connection], object]]) -> list[object]:
    """Hand in operations while the writer is busy with another, so that they make one batch; return their outcomes."""
    started, release = Event(), Event()

    first = asyncio.ensure_future(made.do(hold(started, release)))
    await asyncio.to_thread(started.wait, 60)
    waiting: list[Awaitable[object]] = [asyncio.ensure_future(made.do(operation)) for operation in operations]
    await asyncio.sleep(0)  # each has now put its operation into the queue
    release.set()
    await first
    return await asyncio.gather(*waiting, return_exceptions=True)


def half(db: sqlite3.Connection) -> None:
    """Write something, then fail as an operation does that finds something wrong."""
    note("half")(db)
    raise LedgerAddressError("made for another address.")


@in_loop
async def test_operations_that_wait_together_share_a_commit(path: Path) -> None:
    """Two hundred concurrent operations behind a busy writer cost one commit."""
    statements: list[str] = []
    with writer(path) as made:
        await made.do(lambda db: db.set_trace_callback(statements.append))
        statements.clear()
        outcomes = await together(made, [note(f"f{n}") for n in range(200)])
        assert outcomes == [1] * 200
        await made.do(lambda db: db.set_trace_callback(None))
    assert statements.count("COMMIT") == 2  # the busy one's, and one for all that waited
    assert len(noted(path)) == 200


@in_loop
async def test_each_operation_gets_its_own_answer_in_order(path: Path) -> None:
    """Operations of one batch run in the order in which they came, and results are not mixed up."""
    with writer(path) as made:
        operations = [lambda db, n=n: (n, db.execute("SELECT ?", (n,)).fetchone()[0]) for n in range(50)]
        assert await together(made, operations) == [(n, n) for n in range(50)]  # type: ignore[arg-type]


@in_loop
async def test_an_answer_comes_only_when_it_is_durable(path: Path) -> None:
    """What `do` returned is seen by another connection at once."""
    with writer(path) as made:
        for n in range(20):
            await made.do(note(f"f{n}"))
            assert f"f{n}" in noted(path)


@in_loop
async def test_a_failing_operation_does_not_fail_its_neighbours(path: Path) -> None:
    """The one that raises gets its own exception and leaves nothing; those before and after it are written."""
    with writer(path) as made:
        outcomes = await together(made, [note("a"), note("b"), half, note("c")])
        assert outcomes[:2] == [1, 1]
        assert isinstance(outcomes[2], LedgerAddressError)
        assert outcomes[3] == 1
        assert noted(path) == {"a", "b", "c"}
        assert await made.do(note("d")) == 1


@in_loop
async def test_an_operation_that_fails_alone_leaves_nothing(path: Path) -> None:
    """Its transaction is rolled back and the writer goes on."""
    with writer(path) as made:
        with pytest.raises(LedgerAddressError):
            await made.do(half)
        assert noted(path) == set()
        await made.do(note("b"))
        assert noted(path) == {"b"}


@in_loop
async def test_after_an_error_of_sqlite_nothing_is_written_any_more(path: Path) -> None:
    """A batch that cannot be made durable fails as a whole, and so does all that follows, instead of half a ledger."""
    with writer(path) as made:
        outcomes = await together(
            made, [note("a"), lambda db: db.execute("INSERT INTO input VALUES (1, NULL)"), note("b")]
        )
        assert [type(outcome) for outcome in outcomes] == [LedgerWriteError] * 3
        with pytest.raises(LedgerWriteError) as caught:
            await made.do(note("c"))
        assert caught.value.exit_code is ExitCode.LEDGER
        assert caught.value.hint
        assert noted(path) == set()


@in_loop
async def test_a_full_disk_is_told_as_such(path: Path) -> None:
    """Where there is no room the error says so, and what was durable before stays."""
    with writer(path) as made:
        await made.do(note("before"))
        await made.do(lambda db: db.execute("PRAGMA max_page_count = 1").fetchone())
        with pytest.raises(LedgerWriteError, match="full") as caught:
            await made.do(note("x" * 100_000))
        assert "Make room" in caught.value.hint
    assert noted(path) == {"before"}


@in_loop
async def test_a_ledger_that_another_program_locks_is_told_as_such(path: Path) -> None:
    """A tool that holds a transaction open is named as the cause."""
    with writer(path) as made, closing(sqlite3.connect(path, isolation_level=None)) as tool:
        await made.do(lambda db: db.execute("PRAGMA busy_timeout = 1").fetchone())
        tool.execute("BEGIN IMMEDIATE")
        with pytest.raises(LedgerWriteError, match="locked by another program"):
            await made.do(note("a"))
        tool.execute("ROLLBACK")


@in_loop
async def test_a_caller_that_gave_up_does_not_disturb_the_others(path: Path) -> None:
    """A cancelled operation that is already queued is still written, and its neighbours get their answers."""
    started, release = Event(), Event()
    with writer(path) as made:
        busy = asyncio.ensure_future(made.do(hold(started, release)))
        await asyncio.to_thread(started.wait, 60)
        gone, stays = asyncio.ensure_future(made.do(note("gone"))), asyncio.ensure_future(made.do(note("stays")))
        await asyncio.sleep(0)
        gone.cancel()
        release.set()
        await busy
        assert await stays == 1
        assert gone.cancelled()
    assert noted(path) == {"gone", "stays"}


@in_loop
async def test_closing_finishes_what_is_queued(path: Path) -> None:
    """Operations that were handed in before `close` are written and answered; closing twice does no harm."""
    made = Writer(path)
    waiting = [asyncio.ensure_future(made.do(note(f"f{n}"))) for n in range(30)]
    await asyncio.sleep(0)
    made.close()
    made.close()
    assert await asyncio.gather(*waiting) == [1] * 30
    assert len(noted(path)) == 30


@in_loop
async def test_a_closed_writer_refuses(path: Path) -> None:
    """An operation after `close` fails at once instead of waiting for ever."""
    # Fails while `do` puts its operation into a queue that no thread reads any more.
    made = Writer(path)
    made.close()
    late = asyncio.ensure_future(made.do(note("late")))
    for _ in range(3):
        await asyncio.sleep(0)
    try:
        assert late.done()
        assert isinstance(late.exception(), LedgerError)
    finally:
        late.cancel()
    assert noted(path) == set()
