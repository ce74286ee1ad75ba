"""The note of how a run stands: read by others while the run goes on, and never after."""

from __future__ import annotations

import json
import multiprocessing
import os
import sqlite3
from collections import Counter
from contextlib import closing
from pathlib import Path

import pytest

from bulkstreams.core.waiting import Progress, Wait, WaitKind
from bulkstreams.errors import LedgerFormatError
from bulkstreams.ledger import LedgerReader, Note
from bulkstreams.ledger.notes import NAME, decode, encode
from bulkstreams.report import status, status_lines
from tests.ledger import good, in_loop, read, start

STANDING = Progress(
    lanes=40,
    unseated=7,
    waits=(
        ("acme", Wait(WaitKind.THROTTLED, "429: the server said to wait", 1_800_000_030.5)),
        ("beta", Wait(WaitKind.PACED, "paced at 5/s by its own ceiling")),
    ),
    counts=Counter({WaitKind.THROTTLED: 1, WaitKind.PACED: 30}),
    allowed=12.5,
    ends_at=1_800_000_100.0,
    at_least=True,
    stops_at=1_800_000_090.0,
)
"""How a run may stand."""

UNKNOWN = STANDING._replace(waits=(), counts=Counter(), allowed=None, ends_at=None, at_least=False, stops_at=None)


def told(path: Path) -> Note | None:
    """Return what a reader is told."""
    with LedgerReader(path) as reader:
        return reader.note()


def status_says(path: Path, words: str) -> bool:
    """Return whether `status` says this of the newest run, to a person and to a machine."""
    with LedgerReader(path) as reader:
        (line,) = [line for line in status_lines(reader, 8.0) if line.startswith("last run")]
        return f": {words} (" in line and status(reader, 8.0)["last_run"]["running"] is (words == "running")


@pytest.mark.parametrize("progress", [STANDING, UNKNOWN])
def test_a_note_is_read_as_it_was_written(progress: Progress) -> None:
    """Nothing is lost on the way, and nothing that is not known becomes something."""
    note = Note(3, 1_800_000_000.0, progress)
    assert decode(encode(note)) == note


@pytest.mark.parametrize("text", ["", "[]", "{}", "null", encode(Note(1, 1.0, STANDING)).replace("paced", "odd"), "{"])
def test_what_no_run_has_written_is_no_note(text: str) -> None:
    """It raises ValueError, whatever is wrong with it."""
    with pytest.raises(ValueError, match="no run has written this"):
        decode(text)


@in_loop
async def test_a_run_that_goes_on_is_told_by_its_note(path: Path) -> None:
    """The newest note counts, and an SQLite tool can read it, too."""
    with await start(path) as ledger:
        assert told(path) is None
        await ledger.note(UNKNOWN, 5.0)
        await ledger.note(STANDING, 7.0)
        assert told(path) == Note(ledger.run_id, 7.0, STANDING)
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as db:
            ((until,),) = db.execute("SELECT value ->> '$.waits[0].until' FROM meta WHERE name = 'progress'").fetchall()
        assert until == 1_800_000_030.5


@in_loop
async def test_a_run_that_has_ended_leaves_no_note(path: Path) -> None:
    """Neither for a reader nor in the file, whether the ledger is closed yet or not."""
    with await start(path) as ledger:
        await ledger.note(STANDING, 7.0)
        await ledger.end_run(9.0, 0, {})
        assert told(path) is None
    assert told(path) is None
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("SELECT count(*) FROM meta WHERE name = ?", (NAME,)).fetchone() == (0,)


@in_loop
async def test_a_run_that_died_is_not_told_as_present(path: Path) -> None:
    """Its note stays in the file, and is nobody's present: not without a run, nor in the next one."""
    with await start(path) as ledger:
        await read(ledger, [good("a")])
        await ledger.note(STANDING, 7.0)
    assert told(path) is None
    with await start(path) as ledger:
        assert told(path) is None
        await ledger.note(UNKNOWN, 8.0)
        assert told(path) == Note(ledger.run_id, 8.0, UNKNOWN)


@in_loop
async def test_a_dead_run_is_not_told_as_present_while_another_process_examines_its_ledger(path: Path) -> None:
    """The ledger is held, but by one that has not begun its run yet: neither a note nor `status` take it for the other.

    Of a process on another machine nobody here can say that it is dead.
    """
    child = multiprocessing.get_context("spawn").Process(target=os.getpid)
    child.start()
    child.join()
    with await start(path) as ledger:
        await ledger.note(STANDING, 7.0)
        assert told(path) is not None
        assert status_says(path, "running")
        await ledger._writer.do(lambda db: db.execute("UPDATE run SET pid = ?", (child.pid,)).rowcount)
        assert told(path) is None
        assert status_says(path, "died or was cut off")
        await ledger._writer.do(lambda db: db.execute("UPDATE run SET host = 'elsewhere'").rowcount)
        assert told(path) is not None
        assert status_says(path, "running")


@in_loop
async def test_a_note_of_another_run_is_not_told(path: Path) -> None:
    """A note says whose it is."""
    with await start(path) as ledger:
        await ledger.note(STANDING, 7.0)
        other = encode(Note(ledger.run_id + 1, 7.0, STANDING))
        await ledger._writer.do(lambda db: db.execute("UPDATE meta SET value = ?", (other,)).rowcount)
        assert told(path) is None


@in_loop
async def test_a_note_that_cannot_be_one_is_damage(path: Path) -> None:
    """It is not passed over: where it is wrong, other rows may be."""
    with await start(path) as ledger:
        await ledger.note(STANDING, 7.0)
        text = json.dumps({"run": ledger.run_id})
        await ledger._writer.do(lambda db: db.execute("UPDATE meta SET value = ?", (text,)).rowcount)
        with pytest.raises(LedgerFormatError, match="is damaged"):
            told(path)
