"""The ledger's file: how it is made, and what is refused instead of being touched."""

from __future__ import annotations

import os
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from bulkstreams.core.metrics import Tally
from bulkstreams.errors import ExitCode, LedgerError, LedgerFormatError, LedgerWriteError
from bulkstreams.ledger import Ledger, LedgerReader
from bulkstreams.ledger.tables import VERSION
from bulkstreams.model import State
from tests.ledger import ACME, bring, good, in_loop, read, settled, start, states


@pytest.fixture
def open_mask() -> Iterator[None]:
    """Let new files be as open as they ask to be."""
    before = os.umask(0)
    yield
    os.umask(before)


def put(path: Path, data: bytes) -> None:
    """Put these bytes in the ledger's place."""
    path.write_bytes(data)


def taken(path: Path) -> bytes:
    """Return the file's bytes."""
    return path.read_bytes()


def refused(path: Path) -> LedgerFormatError:
    """Return the error with which a writer and a reader refuse the file, and see that neither touches it."""
    before = path.read_bytes() if path.is_file() else b""
    with pytest.raises(LedgerFormatError) as caught:
        Ledger.open(path)
    with pytest.raises(LedgerFormatError):
        LedgerReader(path)
    assert (path.read_bytes() if path.is_file() else b"") == before
    assert caught.value.exit_code is ExitCode.LEDGER
    assert "--ledger FILE" in caught.value.hint
    assert str(path) in caught.value.message
    return caught.value


@pytest.mark.usefixtures("open_mask")
@in_loop
async def test_only_its_owner_can_read_a_ledger(path: Path) -> None:
    """The file, and those beside it while it is open, have mode 0600 whatever the mask; no draft stays behind."""
    with await start(path):
        modes = {one.name: stat.S_IMODE(one.stat().st_mode) for one in path.parent.iterdir()}
    assert set(modes.values()) == {0o600}
    assert {name.removeprefix(path.name) for name in modes} == {"", "-wal", "-shm", ".lock"}


@in_loop
async def test_a_ledger_is_a_write_ahead_database_with_our_mark(path: Path) -> None:
    """Its header says what it is, and readers do not block its writer."""
    (await start(path)).close()
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert db.execute("PRAGMA application_id").fetchone() == (int.from_bytes(b"bulk", "big"),)
        assert db.execute("PRAGMA user_version").fetchone() == (VERSION,)


@in_loop
async def test_a_path_may_hold_signs_that_mean_something_in_an_address(tmp_path: Path) -> None:
    """Question marks, percent signs and spaces are part of the file's name."""
    path = tmp_path / "a b%20c?mode=memory#d.db"
    with await start(path) as ledger:
        await read(ledger, [good("a")])
    assert path.is_file()
    assert states(path) == {"a": "pending"}


@in_loop
async def test_a_text_file_is_no_ledger(path: Path) -> None:
    """An input named by mistake is refused and left as it is."""
    put(path, b'{"name": "audit"}\n' * 50)
    assert "is not a bulkstreams ledger" in str(refused(path))


@in_loop
async def test_an_empty_file_is_no_ledger(path: Path) -> None:
    """A file of no bytes is refused, since a ledger is never moved into place before it is whole."""
    put(path, b"")
    assert "is empty" in str(refused(path))


@in_loop
async def test_a_folder_is_no_ledger(path: Path) -> None:
    """A folder is told as such."""
    assert "is a folder" in str(refused(path.parent))


@in_loop
async def test_a_header_cut_short_is_no_ledger(path: Path) -> None:
    """A file that begins as SQLite does and ends at once is refused."""
    put(path, b"SQLite format 3\x00" + bytes(40))
    refused(path)


@in_loop
async def test_a_header_full_of_junk_is_damage(path: Path) -> None:
    """A whole header with senseless fields is a damaged file."""
    put(path, b"SQLite format 3\x00" + b"\xff" * 8176)
    assert "damaged" in str(refused(path))


@in_loop
async def test_a_foreign_database_is_no_ledger(path: Path) -> None:
    """Somebody else's SQLite file is refused and left as it is."""
    with closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TABLE record (id INTEGER PRIMARY KEY)")
    assert "but not a bulkstreams ledger" in str(refused(path))


@in_loop
async def test_a_newer_format_is_refused(path: Path) -> None:
    """A ledger of a later version is not guessed at: the error names both formats and the remedy."""
    (await start(path)).close()
    with closing(sqlite3.connect(path)) as db:
        db.execute(f"PRAGMA user_version = {VERSION + 1}")
    error = refused(path)
    assert f"is of format {VERSION + 1}; this bulkstreams knows formats up to {VERSION}" in error.message
    assert "Install the newest bulkstreams" in error.hint


@in_loop
async def test_damaged_pages_are_told_as_damage(path: Path) -> None:
    """Where the pages behind a good header are junk, writing and reading are refused as damage, with a remedy."""
    with await start(path) as ledger:
        await read(ledger, [good(f"k{n}") for n in range(500)])
    whole = taken(path)
    put(path, whole[:8192] + b"\xa5" * (len(whole) - 8192))
    error = refused(path)
    assert "damaged" in error.message
    assert "run again with another --ledger FILE" in error.hint


@in_loop
async def test_a_ledger_cut_short_is_told_as_damage(path: Path) -> None:
    """Where the file's end is missing the error is ours, not SQLite's, and nothing of it is trusted."""
    with await start(path) as ledger:
        await read(ledger, [good(f"k{n}") for n in range(500)])
    put(path, taken(path)[:8192])
    with pytest.raises(LedgerFormatError, match="damaged"):
        await start(path)


@in_loop
async def test_a_refused_file_is_not_held(path: Path) -> None:
    """After a refusal the place can be used at once, when the file is gone."""
    put(path, b"")
    refused(path)
    os.unlink(path)  # noqa: PTH108 - nothing waits for it
    (await start(path)).close()


@in_loop
async def test_a_missing_ledger_is_not_made_by_a_reader(path: Path) -> None:
    """A reader of a ledger that is not there says so, and leaves nothing behind."""
    with pytest.raises(LedgerFormatError, match="there is no ledger"):
        LedgerReader(path)
    assert list(path.parent.iterdir()) == []


@in_loop
async def test_a_place_that_is_no_folder_cannot_hold_a_ledger(path: Path) -> None:
    """Where the parent is a file the error is ours and names the remedy."""
    put(path, b"")
    with pytest.raises(LedgerWriteError) as caught:
        Ledger.open(path / "in.ledger.db")
    assert "--ledger FILE" in caught.value.hint


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
@in_loop
async def test_a_read_only_folder_cannot_hold_a_ledger(path: Path) -> None:
    """Without the right to write the error is ours and names the remedy."""
    path.parent.chmod(0o500)
    try:
        with pytest.raises(LedgerWriteError) as caught:
            Ledger.open(path)
    finally:
        path.parent.chmod(0o700)
    assert "--ledger FILE" in caught.value.hint


@in_loop
async def test_a_left_over_draft_of_a_dead_process_is_no_ledger(path: Path) -> None:
    """A draft that another process left half made does not stand in the way and is not taken for the ledger."""
    path.with_name(f".{path.name}.new-1").write_bytes(b"half")
    (await start(path)).close()
    assert states(path) == {}


@in_loop
async def test_any_sqlite_tool_can_read_a_ledger_while_a_run_goes_on(path: Path) -> None:
    """The view `results` shows each record as of the last commit, and a reader's open transaction blocks no writer."""
    with await start(path) as ledger, closing(sqlite3.connect(path, isolation_level=None)) as tool:
        await bring(ledger, State.CREATED)
        tool.execute("BEGIN")
        query = "SELECT file, line, key, tenant, name, state, remote_id FROM results"
        row = ("in.jsonl", 1, "a", "acme", "a", "created", "est_a")
        assert tool.execute(query).fetchall() == [row]
        await read(ledger, [good("a"), good("b")])
        (claim,) = await ledger.claim(ACME, 9, 1.0)
        await ledger.settle([settled(claim, State.REFUSED)], Tally())
        assert tool.execute(query).fetchall() == [row]
        tool.execute("COMMIT")
        assert [found[5] for found in tool.execute(query)] == ["created", "refused"]


def test_every_error_of_a_ledger_has_its_exit_code() -> None:
    """Whatever makes a ledger unusable ends a command with the contract's code."""
    kinds: list[type[LedgerError]] = [LedgerError, *LedgerError.__subclasses__()]
    assert {kind.exit_code for kind in kinds} == {ExitCode.LEDGER}
