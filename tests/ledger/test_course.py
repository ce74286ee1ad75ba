"""What the ledger keeps of how runs went over time."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from bulkstreams.core.course import Asked, Paused
from bulkstreams.core.waiting import WaitKind
from bulkstreams.errors import LedgerFormatError
from bulkstreams.ledger import History
from bulkstreams.model import TenantName
from tests.ledger import ACME, ADDRESS, in_loop, start

FIRST = Asked(100.0, 0.5, 7, 1, 2, 3, 16.0)
PAUSE = Paused(ACME, WaitKind.THROTTLED, 101.0, 104.0, 2.5, 2, "429: the server said to wait")

GLOBEX = TenantName("globex")
SHORT = PAUSE._replace(began_at=110.0, ended_at=111.0, seconds=1.0, pauses=1, reason="429, 5 times in a row")
DOWN = PAUSE._replace(kind=WaitKind.UNREACHABLE, began_at=120.0, ended_at=140.0, seconds=15.0, pauses=3, reason="reset")
OTHERS = SHORT._replace(tenant=GLOBEX, began_at=105.0)


async def note(path: Path, *pauses: Paused) -> None:
    """Make a ledger of one run that has paused so."""
    with await start(path) as ledger:
        for name in (ACME, GLOBEX):
            await ledger.tenant(name, f"https://{name}.test")
        await ledger.note_course([], pauses)


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
async def test_a_stretch_that_goes_on_is_one_stretch(path: Path) -> None:
    """What came to it is added, it lasts as long as it did by then, and allowed is what was known last."""
    with await start(path) as ledger:
        await ledger.note_course([FIRST], [])
        await ledger.note_course([Asked(FIRST.began_at, 9.0, 5, 0, 1, 0, 3.5)], [])
        await ledger.note_course([Asked(FIRST.began_at, 10.0, 1, 0, 0, 0, None)], [])
        with History(path) as history:
            ((_, found),) = history.asked()
    assert (found.seconds, found.allowed) == (10.0, 3.5)
    assert (found.requests, found.throttled) == (FIRST.requests + 6, FIRST.throttled + 1)


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
            assert not list(history.pause_sums(1, 200.0))
            assert not list(history.longest_pauses(1, 200.0, 9))
            assert not list(history.pauses_of(1, 200.0, [ACME]))
            assert (history.pauses_before(2), history.last_sign([1])) == (0, {})


@in_loop
async def test_pauses_are_added_up_by_tenant_and_kind(path: Path) -> None:
    """With the longest of each; what was noted as several in one row counts as so many."""
    await note(path, PAUSE, SHORT, DOWN, OTHERS)
    with History(path) as history:
        found = {(one.longest.tenant, one.longest.kind): one for one in history.pause_sums(1, 200.0)}
        assert not list(history.pause_sums(2, 200.0))
    assert found == {
        (ACME, WaitKind.THROTTLED): (3, 3.5, PAUSE),
        (ACME, WaitKind.UNREACHABLE): (3, 15.0, DOWN),
        (GLOBEX, WaitKind.THROTTLED): (1, 1.0, OTHERS),
    }


@in_loop
async def test_a_pause_ends_with_its_run(path: Path) -> None:
    """What it was to last longer is no pause; one that was to begin later took no time, and nothing is negative."""
    await note(path, DOWN, SHORT)
    with History(path) as history:
        (cut, *_) = history.longest_pauses(1, 130.0, 9)
        assert cut == DOWN._replace(ended_at=130.0, seconds=5.0)
        assert {(one.began_at, one.ended_at, one.seconds) for one in history.pauses_of(1, 100.0, [ACME])} == {
            (110.0, 110.0, 0.0), (120.0, 120.0, 0.0),
        }  # fmt: skip
        assert sum(one.seconds for one in history.pause_sums(1, 130.0)) == 6.0


@in_loop
async def test_the_longest_pauses_are_picked(path: Path) -> None:
    """As many as are wanted, of all tenants, the longest first."""
    await note(path, SHORT, OTHERS, DOWN, PAUSE)
    with History(path) as history:
        assert list(history.longest_pauses(1, 200.0, 2)) == [DOWN, PAUSE]
        assert list(history.longest_pauses(1, 200.0, 9)) == [DOWN, PAUSE, OTHERS, SHORT]


@in_loop
async def test_pauses_of_some_tenants_are_told_in_order(path: Path) -> None:
    """Those of the others are not read."""
    await note(path, DOWN, OTHERS, SHORT, PAUSE)
    with History(path) as history:
        assert list(history.pauses_of(1, 200.0, [ACME, "unheard-of"])) == [PAUSE, SHORT, DOWN]
        assert list(history.pauses_of(1, 200.0, [GLOBEX])) == [OTHERS]


@in_loop
async def test_pauses_of_earlier_runs_are_counted(path: Path) -> None:
    """Of those runs that nobody asks about one by one."""
    await note(path, PAUSE, DOWN)
    await note(path, SHORT)
    with History(path) as history:
        assert [history.pauses_before(run) for run in (1, 2, 3)] == [0, 5, 6]


@in_loop
async def test_the_last_sign_of_a_run_is_what_it_asked_or_paused_for_last(path: Path) -> None:
    """When a pause was to end says nothing of how long its run went on."""
    with await start(path) as ledger:
        await ledger.tenant(ACME, ADDRESS)
        await ledger.note_course([FIRST], [])
        with History(path) as history:
            assert history.last_sign([1, 2]) == {1: 100.5}
        await ledger.note_course([], [PAUSE])
        with History(path) as history:
            assert history.last_sign([1]) == {1: 101.0}
            assert history.last_sign([]) == {}


@in_loop
async def test_a_pause_of_no_known_kind_is_damage(path: Path) -> None:
    """Whoever reads it is told so, as of any damage."""
    await note(path, PAUSE)
    with History(path) as history:
        with closing(sqlite3.connect(path, isolation_level=None)) as db:
            db.execute("UPDATE pause SET kind = 'token'")
        with pytest.raises(LedgerFormatError, match="no pause can be 'token'"):
            list(history.pause_sums(1, 200.0))
