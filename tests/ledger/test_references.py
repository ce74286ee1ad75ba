"""Which tenants' lines name actions, as the ledger keeps it; and its pending records, a page at a time."""

from __future__ import annotations

from pathlib import Path

import pytest

from bulkstreams.core import outcome
from bulkstreams.core.metrics import Tally
from bulkstreams.ledger import Ledger
from bulkstreams.model import State
from tests.ledger import ACME, bad, good, in_loop, read, results, settled, start


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return where a ledger may be made."""
    return tmp_path / "in.ledger.db"


async def note(ledger: Ledger, *tenants: str) -> None:
    """Note references, as a reading does that meets them."""
    await ledger.note_references([await ledger.tenant(name, f"https://{name}.test") for name in tenants])


@in_loop
async def test_what_a_reading_found_is_known_to_a_run_that_reads_nothing(path: Path) -> None:
    """It is durable with the reading: a rerun of an unchanged input asks the same tenants."""
    with await start(path) as ledger:
        await read(ledger, [good("a"), good("b", tenant="local"), good("c", tenant="third")])
        assert await ledger.referring() == frozenset()
        await note(ledger, ACME, "third")
        assert await ledger.referring() == {ACME, "third"}
    with await start(path) as ledger:
        assert await ledger.same_source("source")
        assert await ledger.referring() == {ACME, "third"}


@in_loop
async def test_another_reading_may_find_none(path: Path) -> None:
    """Whoever wrote the ids out needs the look-up no more."""
    with await start(path) as ledger:
        await read(ledger, [good("a")])
        await note(ledger, ACME)
        await read(ledger, [good("a")], source="another")
        assert await ledger.referring() == frozenset()


@pytest.mark.parametrize("died", [False, True])
@in_loop
async def test_what_is_in_doubt_was_sent_with_the_names_of_its_time(path: Path, died: bool) -> None:
    """Its stream is known by the name of its action, also where no line names one any more."""
    ledger = await start(path)
    await read(ledger, [good("a")])
    await note(ledger, ACME)
    (claim,) = await ledger.claim(ACME, 1, 20.0)
    if not died:
        await ledger.settle([settled(claim, State.IN_DOUBT)], Tally())
    ledger.close()
    with await start(path) as ledger:
        await read(ledger, [good("a")], source="another")
        assert await ledger.referring() == {ACME}
        await ledger.settle([settled(claim, State.CREATED)], Tally())
        await read(ledger, [good("a")], source="a third")
        assert await ledger.referring() == frozenset()


@in_loop
async def test_pending_records_come_a_page_at_a_time(path: Path) -> None:
    """Those of the tenant and of this reading, in order, with the place of their lines."""
    with await start(path) as ledger:
        await read(ledger, [good("gone"), good("a")])
        await read(ledger, [good("a"), good("b"), bad("c"), good("d", tenant="local"), good("e")])
        (sent,) = await ledger.claim(ACME, 1, 20.0)
        first = await ledger.pending(ACME, 0, 1)
        assert [(one.line, one.offset, one.length) for one in first] == [(2, 200, 99)]
        rest = await ledger.pending(ACME, first[-1].id, 10)
        assert [one.line for one in rest] == [5]
        assert await ledger.pending(ACME, rest[-1].id, 10) == []
        assert sent.key == "a"


@in_loop
async def test_a_record_whose_action_is_unknown_is_checked_again(path: Path) -> None:
    """An unchanged input is read anew, and the record is pending until it is looked at."""
    with await start(path) as ledger:
        await read(ledger, [good("a"), good("b")])
        (first, _) = await ledger.pending(ACME, 0, 10)
        await ledger.settle([outcome.unusable(first, "there is no such action", now=21.0)], Tally())
    assert (results(path)["a"].state, results(path)["a"].message) == ("invalid", "there is no such action")
    with await start(path) as ledger:
        assert not await ledger.same_source("source")
        await read(ledger, [good("a"), good("b")])
        assert [one.id for one in await ledger.pending(ACME, 0, 10)] == [1, 2]
    again = results(path)["a"]
    assert (again.state, again.message, again.error_code) == ("pending", None, None)
