"""What the ledger tells of records that were never sent, and whether their tenant was looked at."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from bulkstreams.core.matching import digest
from bulkstreams.core.metrics import Tally
from bulkstreams.ledger import Ledger, Row
from bulkstreams.ledger.ledger import MOST_SCANS
from bulkstreams.model import State, TenantName
from tests.ledger import ACME, FILE, bad, bring, column, good, in_loop, mark, read, settled, start

LOCAL = TenantName("local")


async def add(ledger: Ledger, *records: tuple[str, str | None, bytes]) -> None:
    """Read lines of which each has a key, a name (None: none) and a digest."""
    await ledger.begin_reading("source", 10.0)
    tenant, input_ = await ledger.tenant(ACME, "https://acme.test"), await ledger.input(FILE)
    await ledger.ingest(
        [
            Row(tenant, key, name, input_, line, line * 100, 99, ledger.reading_id, State.PENDING, its)
            for line, (key, name, its) in enumerate(records, 1)
        ]
    )
    await ledger.end_reading(11.0, [input_])


@in_loop
async def test_pending_records_are_found_by_name_whatever_their_key_is(path: Path) -> None:
    """A record whose key is its name, and one with a key of its own, are both found; others are not."""
    with await start(path) as ledger:
        await add(ledger, ("a", "a", mark("a")), ("k1", "b", mark("b")), ("c", "c", mark("c")), ("b2", "x", mark("x")))
        found = await ledger.unsent(ACME, ["a", "b", "nobody"], [])
        assert [(one.id, one.name) for one in found] == [(1, "a"), (2, "b")]
        assert found[0].digest == found[0].current == mark("a")
        assert (found[0].attempts, found[0].ours_since, found[0].name_taken, found[0].invalid) == (0, None, False, None)


@in_loop
async def test_a_key_that_is_the_name_of_another_does_not_mislead(path: Path) -> None:
    """What counts is the name that is sent, not a key that reads like it."""
    with await start(path) as ledger:
        await add(ledger, ("audit", "other", mark("other")), ("digest:1", None, mark("n")))
        assert await ledger.unsent(ACME, ["audit", "digest:1"], []) == []


@in_loop
async def test_nameless_records_are_found_by_what_shows_of_them(path: Path) -> None:
    """With and without a key of their own; a named record of the same digest is not one of them."""
    one, other = digest({"status": "disabled"}), digest({"status": "enabled"})
    with await start(path) as ledger:
        await add(ledger, ("digest:1", None, one), ("mine", None, one), ("digest:2", None, other), ("n", "n", one))
        assert [found.id for found in await ledger.unsent(ACME, [], [one])] == [1, 2]
        assert [found.id for found in await ledger.unsent(ACME, ["n"], [one, other])] == [1, 2, 3, 4]


@in_loop
async def test_what_is_unsent_tells_the_status_that_its_stream_is_given(path: Path) -> None:
    """The run's, however a record is found; else that of an earlier attempt, where one may have been applied."""
    one = digest({"status": "disabled"})
    with await start(path) as ledger:
        await add(ledger, ("a", "a", mark("a")), ("k1", "b", mark("b")), ("mine", None, one), ("d", "d", mark("d")))
        names = ["a", "b", "d"]
        assert {found.status for found in await ledger.unsent(ACME, names, [one])} == {None}
        assert [found.status for found in await ledger.unsent(ACME, names, [one], "enabled")] == ["enabled"] * 4
        lost, refused, *_ = claims = await ledger.claim(ACME, 3, 20.0, status="disabled")
        back = [settled(claim, State.PENDING, ours_since=None if claim is refused else 20.0) for claim in claims]
        await ledger.settle(back, Tally())
        found = await ledger.unsent(ACME, names, [one])
        assert [one.status for one in found] == ["disabled", None, "disabled", None]
        assert [one.status for one in await ledger.unsent(ACME, names, [one], "enabled")] == ["enabled"] * 4
        assert lost.id == found[0].id


@in_loop
async def test_only_what_is_pending_in_this_reading_is_found(path: Path) -> None:
    """Records in another state, of another tenant, or no longer in the input are passed over."""
    with await start(path) as ledger:
        await read(ledger, [good("gone"), good("sent"), good("a"), good("b", tenant="local"), bad("c")])
        await read(ledger, [good("sent"), good("a"), good("b", tenant="local"), bad("c")])
        (sent,) = await ledger.claim(ACME, 1, 20.0)
        await ledger.settle([settled(sent, State.CREATED)], Tally())
        names = ["gone", "sent", "a", "b", "c"]
        assert [one.name for one in await ledger.unsent(ACME, names, [])] == ["a"]
        assert [one.name for one in await ledger.unsent(LOCAL, names, [])] == ["b"]


@in_loop
async def test_a_survey_holds_for_the_records_and_the_tenant_of_its_time(path: Path) -> None:
    """Done once, it is not asked for again by a rerun; a line that is new, or another than it was, asks anew."""
    ledger = await start(path)
    await read(ledger, [good("a"), good("b", tenant="local")])
    await ledger.reopen(retry_failed=False)
    assert await ledger.needs_survey(ACME)
    await ledger.surveyed(ACME)
    assert not await ledger.needs_survey(ACME)
    assert await ledger.needs_survey(LOCAL)
    ledger.close()
    with await start(path) as ledger:
        assert await ledger.same_source("source")
        await ledger.reopen(retry_failed=False)
        assert not await ledger.needs_survey(ACME)
        await read(ledger, [good("a"), bad()], source="another")
        assert not await ledger.needs_survey(ACME)
        await read(ledger, [good("a"), good("new")], source="a third")
        assert await ledger.needs_survey(ACME)
        await ledger.surveyed(ACME)
        await read(ledger, [good("a"), good("new")], source="a fourth")
        assert not await ledger.needs_survey(ACME)
        (claim,) = await ledger.claim(ACME, 1, 20.0)
        await ledger.settle([settled(claim, State.REFUSED)], Tally())
        await read(ledger, [good("a", "disabled"), good("new")], source="a fifth")
        assert await ledger.needs_survey(ACME)


@in_loop
async def test_a_survey_of_one_input_says_nothing_of_another_that_waits(path: Path) -> None:
    """Records that an earlier run left pending, and that are not in this one's input, are looked for in their turn."""
    with await start(path) as ledger:
        await read(ledger, {"one.jsonl": [good("a"), good("b")]}, source="one")
        await read(ledger, {"two.jsonl": [good("c")]}, source="two")
        assert await ledger.needs_survey(ACME)
        await ledger.surveyed(ACME)
        await read(ledger, {"one.jsonl": [good("a"), good("b")]}, source="one")
        assert await ledger.needs_survey(ACME)
        await ledger.surveyed(ACME)
        assert not await ledger.needs_survey(ACME)


@pytest.mark.parametrize(
    ("state", "asks"),
    [(State.EXHAUSTED, False), (State.UNDONE, True), (State.REFUSED, True), (State.CONFLICT, True)],
)
@in_loop
async def test_what_is_taken_back_into_play_is_looked_for_again(path: Path, state: State, asks: bool) -> None:
    """A stream that was in the way may be gone or another; one that is known absent needs no second look."""
    with await start(path) as ledger:
        await bring(ledger, state)
        await ledger.surveyed(ACME)
        assert await ledger.reopen(retry_failed=True) == {ACME: (1, 0)}
        assert await ledger.needs_survey(ACME) is asks


@in_loop
async def test_an_intent_says_since_when_a_stream_may_be_ours(path: Path) -> None:
    """By the server's clock where it is known, else by ours; the first intent stands until its attempt is answered."""
    with await start(path) as ledger:
        await read(ledger, [good("a"), good("b")])
        (first,) = await ledger.claim(ACME, 1, 20.0, server_now=5_000.0)
        (second,) = await ledger.claim(ACME, 1, 21.0)
        assert (first.server_intent_at, second.server_intent_at) == (5_000.0, 21.0)
        assert (column(path, "ours_since", "a"), column(path, "ours_since", "b")) == (5_000.0, 21.0)
        lost = settled(first, State.PENDING, ours_since=5_000.0)
        answered = settled(second, State.PENDING, ours_since=None)
        await ledger.settle([lost, answered], Tally())
        again = await ledger.claim(ACME, 2, 30.0, server_now=6_000.0)
        assert [claim.ours_since for claim in again] == [5_000.0, None]
        assert (column(path, "ours_since", "a"), column(path, "ours_since", "b")) == (5_000.0, 6_000.0)


@pytest.mark.parametrize("state", [State.REFUSED, State.CONFLICT])
@in_loop
async def test_what_is_asked_for_again_begins_with_no_attempt_of_ours(path: Path, state: State) -> None:
    """A stream that another made while the record lay there cannot be the work of an attempt of long ago."""
    with await start(path) as ledger:
        await bring(ledger, State.PENDING)
        (claim,) = await ledger.claim(ACME, 1, 20.0)
        await ledger.settle([settled(claim, state, ours_since=20.0)], Tally())
        await ledger.reopen(retry_failed=True)
        (again,) = await ledger.claim(ACME, 1, 30.0)
        assert again.ours_since is None


@in_loop
async def test_ids_that_come_again_are_looked_for(path: Path) -> None:
    """Lines that were forgotten give their numbers back; the new lines that get them were never looked for."""
    with await start(path) as ledger:
        await read(ledger, [good("a"), good("b"), bad(), bad()])
        await ledger.surveyed(ACME)
        await read(ledger, [good("a"), good("b")], source="without the broken lines")
        await read(ledger, [good("a"), good("b"), good("c"), good("d")], source="with new ones")
        assert await ledger.needs_survey(ACME)


@in_loop
async def test_a_pending_record_that_is_another_stream_now_is_looked_for(path: Path) -> None:
    """Under its own key a line may name another stream, which may be there already."""
    with await start(path) as ledger:
        await add(ledger, ("k1", "a", mark("a")))
        await ledger.surveyed(ACME)
        await add(ledger, ("k1", "b", mark("b")))
        assert await ledger.needs_survey(ACME)


@in_loop
async def test_after_a_death_every_tenant_is_looked_at_again(path: Path) -> None:
    """Nobody can tell whether the end of the log is still there; after an orderly end there is nothing to tell."""
    for dies in (False, True):
        with await start(path) as ledger:
            await read(ledger, [good("a")])
            await ledger.surveyed(ACME)
            await ledger.end_run(20.0, 130, {})
        if dies:
            with closing(sqlite3.connect(path, isolation_level=None)) as db:
                db.execute("UPDATE seal SET sum = NULL")  # as the file of a process that died has it
        with await start(path) as ledger:
            assert await ledger.same_source("source")
            await ledger.reopen(retry_failed=False)
            assert await ledger.needs_survey(ACME) is dies


@in_loop
async def test_a_stream_is_owned_within_its_tenant_alone(path: Path) -> None:
    """The same id at another tenant is another stream; and a stream that is in the way is nobody's of ours."""
    with await start(path) as ledger:
        await read(ledger, [good("a"), good("b"), good("a", tenant="local")])
        one, two = await ledger.claim(ACME, 2, 20.0)
        created = settled(one, State.CREATED, remote_id="est_1")
        await ledger.settle([created, settled(two, State.CONFLICT, remote_id="est_2")], Tally())
        assert await ledger.owned(ACME, ["est_1", "est_2"]) == {"est_1"}
        assert await ledger.owned(LOCAL, ["est_1", "est_2"]) == set()


@in_loop
async def test_who_asks_often_whose_streams_are_makes_nobody_look_at_every_record(path: Path) -> None:
    """The answers are the same before there is an index, with it, and for what is settled once it is there."""
    with await start(path) as ledger:
        await add(ledger, *[(f"k{i}", None, mark(f"n{i}")) for i in range(4)])
        claims = await ledger.claim(ACME, 4, 20.0)
        for n, claim in enumerate(claims):
            for _ in range(n * MOST_SCANS):
                assert await ledger.owned(ACME, ["est_0", "est_3", "est_9"]) == ({"est_0"} if n else set())
            await ledger.settle([settled(claim, State.CREATED, remote_id=f"est_{n}", first_sent_at=21.0)], Tally())
        assert await ledger.owned(ACME, ["est_0", "est_3", "est_9"]) == {"est_0", "est_3"}
    with closing(sqlite3.connect(path)) as db:
        asked = "SELECT id FROM record WHERE tenant = 1 AND anchor IS NOT NULL AND remote_id IN ('est_0')"
        (plan,) = db.execute(f"EXPLAIN QUERY PLAN {asked}").fetchall()
        assert "record_standing" in plan[-1]
    with await start(path) as ledger:
        await ledger.tenant(ACME, "https://acme.test")
        assert await ledger.owned(ACME, ["est_2"]) == {"est_2"}
