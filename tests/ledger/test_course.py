"""What the ledger keeps of how runs went over time."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from bulkstreams.core.course import Asked, Paused
from bulkstreams.core.waiting import WaitKind
from bulkstreams.ledger import History
from tests.ledger import ACME, ADDRESS, in_loop, start

FIRST = Asked(100.0, 0.5, 7, 1, 2, 3, 16.0)
PAUSE = Paused(ACME, WaitKind.THROTTLED, 101.0, 104.0, 2.5, 2, "429: the server said to wait")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return where the ledger is to be."""
    return tmp_path / "in.ledger.db"


@in_loop
async def test_how_a_run_went_is_read_back_in_its_order(path: Path) -> None:
    """Stretches and pauses are told with the run that they are of, the earliest first."""
    later = FIRST._replace(began_at=102.0, allowed=None)
    with await start(path) as ledger:
        await ledger.tenant(ACME, ADDRESS)
        await ledger.note_course([later, FIRST], [PAUSE])
        with History(path) as history:
            assert list(history.asked()) == [(1, FIRST), (1, later)]
            assert list(history.paused()) == [(1, PAUSE)]


@in_loop
async def test_a_pause_that_goes_on_is_one_pause(path: Path) -> None:
    """Noted anew, it takes the place of what was noted of it before; another kind of pause is another."""
    unreachable = PAUSE._replace(kind=WaitKind.UNREACHABLE, reason="connection refused")
    longer = PAUSE._replace(ended_at=120.0, seconds=12.0, pauses=5, reason="429, 5 times in a row")
    with await start(path) as ledger:
        await ledger.tenant(ACME, ADDRESS)
        await ledger.note_course([], [PAUSE])
        await ledger.note_course([], [unreachable, longer])
        with History(path) as history:
            assert {one for _, one in history.paused()} == {longer, unreachable}


@in_loop
async def test_stretches_that_begin_at_one_instant_add_up(path: Path) -> None:
    """A clock that was set back loses no request."""
    with await start(path) as ledger:
        await ledger.note_course([FIRST], [])
        await ledger.note_course([FIRST], [])
        with History(path) as history:
            assert list(history.asked()) == [(1, FIRST._replace(requests=14, retries=2, throttled=4, lookups=6))]


@in_loop
async def test_an_older_ledger_knows_nothing_of_it(path: Path) -> None:
    """It is read as it is."""
    with await start(path):
        with closing(sqlite3.connect(path)) as db:
            for table in ("errand", "course", "pause"):
                db.execute(f"DROP TABLE {table}")
        with History(path) as history:
            assert not list(history.asked())
            assert not list(history.paused())
