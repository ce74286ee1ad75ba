"""What the ledger keeps of what is done to streams after their creation."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import pytest

from bulkstreams.core.errands import Fate, Kind
from bulkstreams.core.metrics import Tally
from bulkstreams.ledger import Ledger, LedgerReader, Plan, Site, tables
from bulkstreams.model import State, TenantName
from tests.ledger import ACME, ADDRESS, bad, column, good, in_loop, mark, read, results, settled, start, states
from tests.ledger.errands import EVENT, ask, claimed, create, do, fates, outcome, settle

# -- what is to be done -----------------------------------------------------------------------------------------------


@in_loop
async def test_only_what_this_ledger_created_is_to_be_undone(path: Path) -> None:
    """Neither what was there before, nor what was never created."""
    with await start(path) as ledger:
        await read(ledger, [good(key) for key in "abcd"])
        claims = await ledger.claim(ACME, 4, 20.0)
        wanted = (State.CREATED, State.EXISTS, State.REFUSED, State.CREATED)
        await ledger.settle([settled(c, s) for c, s in zip(claims, wanted, strict=True)], Tally())
        assert await ledger.errands(Kind.UNDO).begin(Plan()) == {ACME: Site(ADDRESS, 2)}
        assert [one.remote_id for one in await claimed(ledger, Kind.UNDO)] == ["est_a", "est_d"]
        assert states(path) == {"a": "created", "b": "exists", "c": "refused", "d": "created"}


@in_loop
async def test_a_record_that_is_created_stays_to_be_undone_whatever_its_line_has_become(path: Path) -> None:
    """Its line changed, is no longer valid, or is gone from the input: the stream stands all the same."""
    with await start(path) as ledger:
        await create(ledger, "a", "b", "c")
        await read(ledger, [good("a", "disabled"), bad("b")], source="another")
        assert states(path) == {"a": "conflict", "b": "invalid"}
        await ledger.errands(Kind.UNDO).begin(Plan())
        found = await claimed(ledger, Kind.UNDO)
        assert [one.remote_id for one in found] == ["est_a", "est_b", "est_c"]
        assert [one.digest for one in found] == [mark("a"), mark("b"), mark("c")], "as they were sent"


@in_loop
async def test_states_narrow_what_is_to_be_done(path: Path) -> None:
    """Only records in those; a later command without them takes the rest, and one with others drops what it leaves."""
    with await start(path) as ledger:
        await create(ledger, "a", "b")
        await read(ledger, [good("a", "disabled"), good("b")], source="another")
        book = ledger.errands(Kind.UNDO)
        assert await book.begin(Plan(states=[State.CONFLICT])) == {ACME: Site(ADDRESS, 1)}
        assert [one.remote_id for one in await claimed(ledger, Kind.UNDO)] == ["est_a"]
        assert await book.begin(Plan()) == {ACME: Site(ADDRESS, 2)}
        assert await book.begin(Plan(states=[State.CREATED])) == {ACME: Site(ADDRESS, 1)}
        assert [one.remote_id for one in await claimed(ledger, Kind.UNDO)] == ["est_b"]


@in_loop
async def test_what_was_begun_and_is_not_asked_for_any_more_is_left(path: Path) -> None:
    """Nothing is done to it; a delete that may be at work is not forgotten, and whoever asks for it again is told."""
    with await start(path) as ledger:
        await create(ledger, "a", "b")
        book = ledger.errands(Kind.UNDO)
        await book.begin(Plan())
        one, _ = await claimed(ledger, Kind.UNDO)
        await settle(ledger, Kind.UNDO, outcome(one, Fate.PENDING, settled_at=None))
        await ledger.begin_run(41.0)
        assert await book.begin(Plan(states=[State.CONFLICT])) == {}
        assert await claimed(ledger, Kind.UNDO) == []
        assert fates(path, Kind.UNDO) == {}
        assert await book.begin(Plan()) == {ACME: Site(ADDRESS, 2)}
        with LedgerReader(path) as reader:
            assert reader.undoing() == 1
        again, fresh = await claimed(ledger, Kind.UNDO)
        assert (again.id, again.intent_at) == (one.id, 30.0)
        assert fresh.intent_at is None


@in_loop
async def test_a_test_event_that_is_not_asked_for_any_more_is_left_unconfirmed(path: Path) -> None:
    """It was taken; nobody waits for its delivery now."""
    with await start(path) as ledger:
        await create(ledger, "a")
        await ledger.errands(Kind.SMOKE).begin(Plan(event=EVENT))
        (one,) = await claimed(ledger, Kind.SMOKE)
        await settle(ledger, Kind.SMOKE, outcome(one, Fate.PENDING, settled_at=None, delivery="evt_1"))
        assert await ledger.errands(Kind.SMOKE).begin(Plan(tenants=["another"], event=EVENT)) == {}
        assert ask(path, "SELECT state FROM errand") == [("unconfirmed",)]


@in_loop
async def test_a_narrower_command_counts_what_it_was_asked_for(path: Path) -> None:
    """What is left of the one before is its own; what that has done is not."""
    with await start(path) as ledger:
        await create(ledger, "a", "b", "c")
        book = ledger.errands(Kind.UNDO)
        await book.begin(Plan())
        first, *_ = await claimed(ledger, Kind.UNDO)
        await settle(ledger, Kind.UNDO, outcome(first, Fate.DELETED))
        await ledger.end_run(40.0, 4, {})
        await ledger.begin_run(41.0)
        await read(ledger, [good("a"), good("b", "disabled"), good("c")], source="another")
        await book.begin(Plan(states=[State.CONFLICT]))
        assert fates(path, Kind.UNDO) == {"pending": 1}


@in_loop
async def test_claims_go_on_from_an_id_and_stay_with_their_tenant(path: Path) -> None:
    """They write nothing: what is claimed is pending until it is settled."""
    with await start(path) as ledger:
        await create(ledger, "a", "b", "c")
        await create(ledger, "d", tenant="local")
        sites = await ledger.errands(Kind.UNDO).begin(Plan())
        assert sites == {ACME: Site(ADDRESS, 3), TenantName("local"): Site("https://local.test", 1)}
        first = await claimed(ledger, Kind.UNDO, 0, 2)
        rest = await claimed(ledger, Kind.UNDO, first[-1].id, 9)
        assert [one.remote_id for one in [*first, *rest]] == ["est_a", "est_b", "est_c"]
        assert fates(path, Kind.UNDO) == {"pending": 4}


# -- undone -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fate", [Fate.DELETED, Fate.GONE])
@in_loop
async def test_a_record_whose_stream_is_deleted_or_gone_is_undone(path: Path, fate: Fate) -> None:
    """It stands for no stream any more; which one it was is kept, in its row and in the errand's."""
    with await start(path) as ledger:
        await create(ledger, "a")
        await do(ledger, Kind.UNDO, fate)
        one = results(path)["a"]
        assert (one.state, one.remote_id, one.settled_at) == ("undone", "est_a", 31.0)
        assert "undo" in str(one.message)
        assert (column(path, "anchor"), column(path, "anchor_digest"), column(path, "ours_since")) == (None,) * 3
        assert await ledger.owned(ACME, ["est_a"]) == set(), "a dead id is no live stream's"
        assert ask(path, "SELECT kind, remote_id, state, created_at, settled_at FROM errand") == [
            ("undo", "est_a", fate, 21.0, 31.0)
        ]


@pytest.mark.parametrize("fate", [Fate.CHANGED, Fate.FAILED, Fate.PENDING])
@in_loop
async def test_a_record_whose_stream_was_left_stays_created(path: Path, fate: Fate) -> None:
    """Only evidence that the stream is gone undoes it."""
    with await start(path) as ledger:
        await create(ledger, "a")
        await do(ledger, Kind.UNDO, fate)
        assert states(path) == {"a": "created"}
        assert await ledger.owned(ACME, ["est_a"]) == {"est_a"}


@in_loop
async def test_an_undone_record_is_created_anew_by_a_later_run(path: Path) -> None:
    """With a life of its own: it is looked for first, and its next stream can be undone, too."""
    with await start(path) as ledger:
        await create(ledger, "a")
        await do(ledger, Kind.UNDO, Fate.DELETED)
        await ledger.begin_run(50.0)
        assert await ledger.reopen(retry_failed=False) == {ACME: (1, 0)}
        assert await ledger.needs_survey(ACME)
        (claim,) = await ledger.claim(ACME, 1, 60.0)
        assert (claim.attempts, claim.first_sent_at, claim.ours_since) == (0, None, None)
        await ledger.settle([settled(claim, State.CREATED, remote_id="est_new", first_sent_at=61.0)], Tally())
        assert results(path)["a"].first_sent_at == 61.0
        await do(ledger, Kind.UNDO, Fate.DELETED)
        assert ask(path, "SELECT remote_id, state FROM errand ORDER BY id") == [
            ("est_a", "deleted"),
            ("est_new", "deleted"),
        ]
        assert fates(path, Kind.UNDO) == {"deleted": 1}, "those of the newest undo"


@in_loop
async def test_an_invalid_record_that_is_undone_is_checked_again_before_it_is_sent(path: Path) -> None:
    """Its line must not be sent for being undone: the next run reads it anew."""
    with await start(path) as ledger:
        await create(ledger, "a")
        await read(ledger, [bad("a")], source="mended?")
        await do(ledger, Kind.UNDO, Fate.DELETED)
        assert states(path) == {"a": "undone"}
        assert results(path)["a"].message == "name: is wrong"
        assert not await ledger.same_source("mended?")
        await read(ledger, [bad("a")], source="mended?")
        assert states(path) == {"a": "invalid"}


@in_loop
async def test_what_else_was_to_be_done_with_a_deleted_stream_is_dropped(path: Path) -> None:
    """A switch that was cut short has nothing left to switch."""
    with await start(path) as ledger:
        await create(ledger, "a")
        await ledger.errands(Kind.ENABLE).begin(Plan())
        await do(ledger, Kind.UNDO, Fate.DELETED)
        assert fates(path, Kind.ENABLE) == {}


# -- commands that are given again ------------------------------------------------------------------------------------


@in_loop
async def test_a_command_that_was_cut_short_counts_as_one_with_its_rerun(path: Path) -> None:
    """Its counts are those of both, and what this run did is told apart."""
    with await start(path) as ledger:
        await create(ledger, "a", "b", "c")
        book = ledger.errands(Kind.UNDO)
        await book.begin(Plan())
        one, two, _ = await claimed(ledger, Kind.UNDO)
        await settle(ledger, Kind.UNDO, outcome(one, Fate.DELETED), outcome(two, Fate.CHANGED))
        await ledger.begin_run(50.0)
        assert await book.begin(Plan()) == {ACME: Site(ADDRESS, 2)}, "what was changed is looked at again"
        await settle(ledger, Kind.UNDO, *[outcome(one, Fate.DELETED) for one in await claimed(ledger, Kind.UNDO)])
        with LedgerReader(path) as reader:
            totals = reader.errands(Kind.UNDO)
        assert (totals.total, totals.fates, totals.this_run) == (3, {Fate.DELETED: 3}, {Fate.DELETED: 2})


@in_loop
async def test_a_command_that_is_given_again_when_all_is_done_tells_the_same(path: Path) -> None:
    """There is nothing to do, and the counts are still those of what was done."""
    with await start(path) as ledger:
        await create(ledger, "a", "b")
        await do(ledger, Kind.UNDO, Fate.DELETED)
        await ledger.begin_run(50.0)
        assert await ledger.errands(Kind.UNDO).begin(Plan()) == {}
        with LedgerReader(path) as reader:
            totals = reader.errands(Kind.UNDO)
        assert (totals.fates, totals.this_run) == ({Fate.DELETED: 2}, {})


@pytest.mark.parametrize("fate", [Fate.FAILED, Fate.CHANGED])
@in_loop
async def test_what_was_left_is_tried_again_with_new_attempts(path: Path, fate: Fate) -> None:
    """An intent of before is kept: its act may still take effect."""
    with await start(path) as ledger:
        await create(ledger, "a")
        await do(ledger, Kind.UNDO, fate, attempts=6, message="why", http_status=500)
        await ledger.errands(Kind.UNDO).begin(Plan())
        (one,) = await claimed(ledger, Kind.UNDO)
        assert (one.attempts, one.intent_at) == (0, 30.0)
        assert ask(path, "SELECT state, message, http_status, settled_at FROM errand") == [
            ("pending", None, None, None)
        ]


# -- switches ---------------------------------------------------------------------------------------------------------


@in_loop
async def test_a_switched_record_knows_its_status_and_what_was_left(path: Path) -> None:
    """So that a comparison expects the one, and an undo knows the other for ours."""
    with await start(path) as ledger:
        await create(ledger, "a")
        await do(ledger, Kind.DISABLE, Fate.SWITCHED)
        assert (column(path, "status"), column(path, "updated_at")) == ("disabled", "later")
        await ledger.errands(Kind.UNDO).begin(Plan())
        (one,) = await claimed(ledger, Kind.UNDO)
        assert (one.updated_at, one.touched) == ("later", False)
        await do(ledger, Kind.ENABLE, Fate.ALREADY, status="enabled")
        assert (column(path, "status"), column(path, "updated_at")) == ("enabled", "later")


@in_loop
async def test_streams_can_be_switched_on_and_off_and_on(path: Path) -> None:
    """Each command looks at all of them anew, and an act that was answered leaves no intent to the next."""
    with await start(path) as ledger:
        await create(ledger, "a", "b")
        for kind in (Kind.ENABLE, Kind.DISABLE, Kind.ENABLE, Kind.ENABLE):
            await ledger.begin_run(50.0)
            await ledger.errands(kind).begin(Plan())
            found = await claimed(ledger, kind)
            assert [(one.remote_id, one.intent_at, one.touched) for one in found] == [
                ("est_a", None, False),
                ("est_b", None, False),
            ]
            await settle(ledger, kind, *[outcome(one, Fate.SWITCHED) for one in found])
            assert fates(path, kind) == {"switched": 2}


@in_loop
async def test_a_switch_that_was_cut_short_goes_on_where_it_was(path: Path) -> None:
    """What is switched is not looked at again."""
    with await start(path) as ledger:
        await create(ledger, "a", "b")
        book = ledger.errands(Kind.ENABLE)
        await book.begin(Plan())
        one, _ = await claimed(ledger, Kind.ENABLE)
        await settle(ledger, Kind.ENABLE, outcome(one, Fate.SWITCHED))
        await ledger.begin_run(50.0)
        assert await book.begin(Plan()) == {ACME: Site(ADDRESS, 1)}
        assert fates(path, Kind.ENABLE) == {"pending": 1, "switched": 1}


@in_loop
async def test_a_switch_that_was_cut_short_is_overtaken_by_its_opposite(path: Path) -> None:
    """What was not begun is dropped; what may be at work is waited for, until something is known of it."""
    with await start(path) as ledger:
        await create(ledger, "a", "b")
        await ledger.errands(Kind.DISABLE).begin(Plan())
        one, _ = await claimed(ledger, Kind.DISABLE)
        await settle(ledger, Kind.DISABLE, outcome(one, Fate.PENDING, settled_at=None))
        await ledger.errands(Kind.ENABLE).begin(Plan())
        found = await claimed(ledger, Kind.ENABLE)
        assert [(each.remote_id, each.touched) for each in found] == [("est_a", True), ("est_b", False)]
        assert ask(path, "SELECT remote_id, state FROM errand WHERE kind = 'disable'") == [("est_a", "failed")]
        await ledger.errands(Kind.UNDO).begin(Plan())
        assert [each.touched for each in await claimed(ledger, Kind.UNDO)] == [True, False]
        await settle(ledger, Kind.ENABLE, *[outcome(each, Fate.SWITCHED) for each in found])
        assert [each.touched for each in await claimed(ledger, Kind.UNDO)] == [False, False]


# -- test events ------------------------------------------------------------------------------------------------------


@in_loop
async def test_what_was_delivered_is_not_tested_again_and_still_counts(path: Path) -> None:
    """What failed is, with another event, and so is what is new."""
    with await start(path) as ledger:
        await create(ledger, "a", "b")
        book = ledger.errands(Kind.SMOKE)
        await book.begin(Plan(event=EVENT))
        one, two = await claimed(ledger, Kind.SMOKE)
        delivered = outcome(one, Fate.DELIVERED, delivery="evt_1")
        await settle(ledger, Kind.SMOKE, delivered, outcome(two, Fate.FAILED, delivery="evt_2"))
        await ledger.begin_run(50.0)
        await create(ledger, "a", "b", "c")
        assert await book.begin(Plan(event=EVENT)) == {ACME: Site(ADDRESS, 2)}
        found = await claimed(ledger, Kind.SMOKE)
        assert [(each.remote_id, each.event, each.delivery, each.intent_at) for each in found] == [
            ("est_b", EVENT, None, None),
            ("est_c", EVENT, None, None),
        ]
        assert fates(path, Kind.SMOKE) == {"delivered": 1, "pending": 2}


@in_loop
async def test_another_event_is_tested_anew(path: Path) -> None:
    """That one was delivered says nothing of the other."""
    with await start(path) as ledger:
        await create(ledger, "a")
        await do(ledger, Kind.SMOKE, Fate.DELIVERED, delivery="evt_1")
        await ledger.errands(Kind.SMOKE).begin(Plan(event="user.deleted"))
        (one,) = await claimed(ledger, Kind.SMOKE)
        assert (one.event, one.delivery) == ("user.deleted", None)


@in_loop
async def test_the_delivery_of_an_accepted_event_is_known_to_the_next_process(path: Path) -> None:
    """It asks for that one, and sends no other."""
    with await start(path) as ledger:
        await create(ledger, "a")
        await do(ledger, Kind.SMOKE, Fate.PENDING, delivery="evt_1", settled_at=None)
        await ledger.errands(Kind.SMOKE).begin(Plan(event=EVENT))
        (one,) = await claimed(ledger, Kind.SMOKE)
        assert (one.delivery, one.intent_at) == ("evt_1", 30.0)


@in_loop
async def test_results_tell_of_deliveries_where_there_were_to_be_any(path: Path) -> None:
    """The newest of each stream; nothing where it was sent none; no such field where nobody ever asked."""
    with await start(path) as ledger:
        await create(ledger, "a")
        assert results(path)["a"].delivery is None
        await do(ledger, Kind.SMOKE, Fate.DELIVERED, delivery="evt_1")
        await create(ledger, "a", "b")
        assert {key: one.delivery for key, one in results(path).items()} == {"a": "delivered", "b": ""}
        await do(ledger, Kind.UNDO, Fate.DELETED)
        assert fates(path, Kind.SMOKE) == {}, "a stream that is deleted works no more"


# -- settling ---------------------------------------------------------------------------------------------------------


@in_loop
async def test_what_was_asked_is_added_to_the_run(path: Path) -> None:
    """Requests and look-ups, also where nothing was settled."""
    with await start(path) as ledger:
        await ledger.errands(Kind.UNDO).settle([], Tally(requests=2, retries=1, throttled=3, lookups=4))
        with LedgerReader(path) as reader:
            run = reader.last_run()
        assert run is not None
        assert (run.requests, run.retries, run.throttled, run.lookups) == (2, 1, 3, 4)


@in_loop
async def test_of_several_outcomes_of_one_errand_the_last_counts(path: Path) -> None:
    """An intent and a fate may share a commit."""
    with await start(path) as ledger:
        await create(ledger, "a")
        await ledger.errands(Kind.UNDO).begin(Plan())
        (one,) = await claimed(ledger, Kind.UNDO)
        await settle(ledger, Kind.UNDO, outcome(one, Fate.PENDING, settled_at=None), outcome(one, Fate.DELETED))
        assert (states(path), fates(path, Kind.UNDO)) == ({"a": "undone"}, {"deleted": 1})


@in_loop
async def test_a_large_batch_is_settled_at_once(path: Path) -> None:
    """More than a statement takes variables."""
    with await start(path) as ledger:
        keys = [f"k{n:05}" for n in range(4000)]
        await create_many(ledger, keys)
        await ledger.errands(Kind.UNDO).begin(Plan())
        found = await claimed(ledger, Kind.UNDO, 0, 5000)
        await settle(ledger, Kind.UNDO, *[outcome(one, Fate.DELETED) for one in found])
        assert fates(path, Kind.UNDO) == {"deleted": 4000}
        assert ask(path, "SELECT state, count(*) FROM record GROUP BY state") == [("undone", 4000)]


async def create_many(ledger: Ledger, keys: Sequence[str]) -> None:
    """Have many streams created."""
    await read(ledger, [good(key) for key in keys])
    claims = await ledger.claim(ACME, len(keys), 20.0)
    await ledger.settle([settled(claim, State.CREATED) for claim in claims], Tally())


def test_the_question_for_errands_is_one_that_any_ledger_can_answer() -> None:
    """It asks SQLite's own table."""
    with closing(sqlite3.connect(":memory:")) as db:
        assert db.execute(tables.HAS_ERRANDS).fetchone() is None
        db.executescript(tables.SCHEMA)
        assert db.execute(tables.HAS_ERRANDS).fetchone() == (1,)
