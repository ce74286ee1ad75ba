"""What a sender needs of the ledger: claim, settle, doubts."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from itertools import cycle, islice
from pathlib import Path

import pytest

from bulkstreams.core.metrics import Tally
from bulkstreams.ledger import Ledger, LedgerReader, Row
from bulkstreams.model import Claim, Settlement, State, TenantName
from tests.ledger import ACME, bad, bring, column, good, in_loop, mark, read, results, settled, start, states

OUTCOMES = (State.CREATED, State.EXISTS, State.CONFLICT, State.REFUSED, State.EXHAUSTED, State.IN_DOUBT, State.PENDING)


async def claimed(ledger: Ledger, count: int) -> list[Claim]:
    """Read that many lines and claim them all."""
    await read(ledger, [good(f"k{n:05}") for n in range(count)])
    claims = await ledger.claim(ACME, count, 20.0)
    assert len(claims) == count
    return claims


# -- claim ------------------------------------------------------------------------------------------------------------


@in_loop
async def test_a_claim_is_durable_before_it_is_returned(path: Path) -> None:
    """Another process sees the intent, with its instant and run, as soon as the claim is there."""
    with await start(path) as ledger:
        await read(ledger, [good("a"), good("b")])
        (claim,) = await ledger.claim(ACME, 1, 20.25)
        assert states(path) == {"a": "in_flight", "b": "pending"}
        assert (column(path, "intent_at"), column(path, "run")) == (20.25, ledger.run_id)
        assert claim == Claim(claim.id, ACME, claim.key, "a", 1, 1, 100, 99, mark("a"), 0, None, 20.25, None)
        assert await ledger._writer.do(lambda db: db.execute("PRAGMA synchronous").fetchone()[0]) == 2


@in_loop
async def test_claims_follow_the_input_and_never_overlap(path: Path) -> None:
    """Each pending record is handed out once, in order, until there are no more."""
    with await start(path) as ledger:
        await read(ledger, [good(f"k{n}") for n in range(7)])
        taken = [[claim.line for claim in await ledger.claim(ACME, 3, 1.0)] for _ in range(4)]
        assert taken == [[1, 2, 3], [4, 5, 6], [7], []]


@in_loop
async def test_a_claim_takes_only_its_tenants_pending_records(path: Path) -> None:
    """Records of another tenant, or in another state, that lie between those claimed are not touched."""
    lines = [good("a"), good("b", tenant="local"), bad("c"), good("d"), good("e", tenant="local"), good("f")]
    with await start(path) as ledger:
        await read(ledger, lines)
        assert [claim.key for claim in await ledger.claim(ACME, 2, 1.0)] == ["a", "d"]
        assert states(path) == {
            "a": "in_flight", "b": "pending", "c": "invalid", "d": "in_flight", "e": "pending", "f": "pending",
        }  # fmt: skip
        assert [claim.key for claim in await ledger.claim(TenantName("local"), 9, 1.0)] == ["b", "e"]


@in_loop
async def test_a_claim_takes_only_records_of_this_reading(path: Path) -> None:
    """What left the input between two claimed records stays pending in the ledger."""
    with await start(path) as ledger:
        await read(ledger, [good("a"), good("b"), good("c")])
        await read(ledger, [good("a"), good("c")])
        assert [claim.key for claim in await ledger.claim(ACME, 9, 1.0)] == ["a", "c"]
        assert column(path, "state", "b") == "pending"


@in_loop
async def test_a_key_may_hold_any_character(path: Path) -> None:
    """Quotes, line ends, NUL and signs beyond ASCII survive the way through the ledger."""
    keys = ['"', "\\", "a\nb", "a\x00b", "é", "🦆", "", "' OR 1=1 --"]
    with await start(path) as ledger:
        await read(ledger, [good(key) for key in keys])
        assert [claim.key for claim in await ledger.claim(ACME, 99, 1.0)] == keys


# -- settle -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 5, 300, 1500])
@in_loop
async def test_settling_writes_each_record_its_own_outcome(path: Path, count: int) -> None:
    """However large a batch is and however it is cut into statements, no outcome is lost or mixed up."""
    with await start(path) as ledger:
        claims = await claimed(ledger, count)
        outcomes = [
            Settlement(
                claim.id,
                state,
                claim.line % 4 + 1,
                f"est_{claim.line}" if state is State.CREATED else None,
                400 + claim.line % 50,
                f"code{claim.line}",
                f"message {claim.line}",
                20.0 + claim.line,
                30.0 + claim.line,
                claim.line / 8,
                claim.line % 2 == 0,
                state if state in {State.CREATED, State.EXISTS} else None,
            )
            for claim, state in zip(claims, islice(cycle(OUTCOMES), count), strict=True)
        ]
        await ledger.settle(outcomes[::-1], Tally(requests=count))
        found = {one.id: one for one in results(path).values()}
        assert len(found) == count
        for outcome in outcomes:
            one = found[outcome.id]
            assert outcome[:-2] == (
                one.id, one.state, one.attempts, one.remote_id, one.http_status, one.error_code, one.message,
                one.first_sent_at, one.settled_at, one.latency_ms, bool(one.recovered),
            )  # fmt: skip
            assert column(path, "anchor", str(one.key)) == outcome.anchor


@in_loop
async def test_settling_leaves_other_records_alone(path: Path) -> None:
    """A record that is not in the batch keeps its state."""
    with await start(path) as ledger:
        first, *_ = await claimed(ledger, 3)
        await ledger.settle([settled(first, State.REFUSED)], Tally())
        assert list(states(path).values()) == ["refused", "in_flight", "in_flight"]


@pytest.mark.parametrize("order", [(State.IN_DOUBT, State.CREATED), (State.PENDING, State.IN_DOUBT)])
@pytest.mark.parametrize("count", [1, 2, 5, 40, 300])
@in_loop
async def test_of_two_outcomes_in_one_batch_the_later_stands(
    path: Path, order: tuple[State, State], count: int
) -> None:
    """A doubt that is cleared before its own outcome is written ends as it was cleared."""
    with await start(path) as ledger:
        claims = await claimed(ledger, count)
        await ledger.settle([settled(claim, state) for claim in claims for state in order], Tally())
        assert set(states(path).values()) == {order[1].value}


@in_loop
async def test_an_id_and_a_first_instant_once_known_are_kept(path: Path) -> None:
    """A later outcome without them does not erase the stream's id nor when the record was first sent."""
    with await start(path) as ledger:
        (claim,) = await claimed(ledger, 1)
        await ledger.settle([settled(claim, State.CREATED, remote_id="est_1", first_sent_at=20.0)], Tally())
        await ledger.settle([settled(claim, State.UNDONE, remote_id=None, first_sent_at=99.0)], Tally())
        (found,) = results(path).values()
        assert (found.state, found.remote_id, found.first_sent_at) == ("undone", "est_1", 20.0)


def unlike(claim: Claim) -> Settlement:
    """Return an outcome as most are, but one in fifty differs from all others in every column."""
    n = claim.line
    if n % 50:
        return settled(claim, State.CREATED)
    state = [State.REFUSED, State.PENDING, State.IN_DOUBT][n // 50 % 3]
    told = {"http_status": 400 + n, "error_code": f"e{n}", "message": f"m{n}", "remote_id": f"est_{n}"}
    instants = {"first_sent_at": n / 2, "settled_at": n / 4, "latency_ms": n / 8, "ours_since": n / 16}
    return settled(claim, state, attempts=n, recovered=n == 50, **told, **instants)


@in_loop
async def test_settled_together_or_each_alone_is_the_same(path: Path) -> None:
    """Whatever outcomes share a commit, alike or not in any column, each record has what its own outcome says."""
    kept = []
    for size in (350, 40, 1):
        one = path.with_name(f"{size}.ledger.db")
        with await start(one) as ledger:
            outcomes = [unlike(claim) for claim in await claimed(ledger, 350)]
            for first in range(0, 350, size):
                await ledger.settle(outcomes[first : first + size], Tally())
        with closing(sqlite3.connect(one)) as db:
            kept.append(db.execute("SELECT * FROM record ORDER BY id").fetchall())
            columns = ", ".join(Settlement._fields)
            assert db.execute(f"SELECT {columns} FROM record ORDER BY id").fetchall() == outcomes
    assert len({outcome.state for outcome in outcomes}) == 4
    assert kept[0] == kept[1] == kept[2]


@in_loop
async def test_a_released_record_can_be_claimed_again(path: Path) -> None:
    """A record that was settled as pending comes back with its attempts and its first instant."""
    with await start(path) as ledger:
        (claim,) = await claimed(ledger, 1)
        await ledger.settle([settled(claim, State.PENDING, attempts=2, first_sent_at=1750000000.25)], Tally())
        (again,) = await ledger.claim(ACME, 9, 30.0)
        assert again == claim._replace(attempts=2, first_sent_at=1750000000.25, server_intent_at=30.0)


@in_loop
async def test_what_a_run_asked_of_the_servers_adds_up(path: Path) -> None:
    """The tallies handed in with the outcomes are summed in the run's own row, outcomes or none."""
    with await start(path) as ledger:
        await ledger.settle([], Tally(requests=1, retries=2, throttled=3, lookups=4))
        await ledger.settle([], Tally(requests=10, retries=20, throttled=30, lookups=40))
        with LedgerReader(path) as reader:
            run = reader.last_run()
        assert run is not None
        assert (run.requests, run.retries, run.throttled, run.lookups) == (11, 22, 33, 44)


# -- doubts -----------------------------------------------------------------------------------------------------------


@in_loop
async def test_a_doubt_tells_what_a_look_up_needs(path: Path) -> None:
    """Instants, attempts and whether the name was taken come back as they were settled."""
    with await start(path) as ledger:
        one, two = await claimed(ledger, 2)
        lost = settled(one, State.IN_DOUBT, first_sent_at=20.5, ours_since=20.25)
        taken = settled(two, State.IN_DOUBT, http_status=409, attempts=3)
        await ledger.settle([lost, taken], Tally())
        first, second = await ledger.doubts(ACME, 9)
        assert (first.id, first.name, first.first_sent_at, first.ours_since) == (one.id, one.name, 20.5, 20.25)
        assert (first.attempts, first.name_taken) == (1, False)
        assert (second.attempts, second.name_taken, second.ours_since) == (3, True, None)
        assert len(await ledger.doubts(ACME, 1)) == 1


@in_loop
async def test_an_earlier_409_says_nothing_of_a_later_lost_attempt(path: Path) -> None:
    """A record put back after a 409 and then caught by a crash is an ordinary doubt, with a settle time of its own."""
    # Fails while neither `claim` nor `begin_run` clears `http_status`, from which `doubts` tells that a name was taken.
    ledger = await start(path)
    (claim,) = await claimed(ledger, 1)
    await ledger.settle([settled(claim, State.IN_DOUBT, http_status=409)], Tally())
    await ledger.settle([settled(claim, State.PENDING, http_status=409, attempts=0)], Tally())
    await ledger.claim(ACME, 1, 40.0)
    ledger.close()
    with await start(path, 50.0) as ledger:
        await read(ledger, [good("k00000")])
        (doubt,) = await ledger.doubts(ACME, 9)
        assert not doubt.name_taken


@pytest.mark.parametrize("between", [State.EXHAUSTED, State.CONFLICT])
@in_loop
async def test_a_doubt_is_judged_by_what_was_sent_last(path: Path, between: State) -> None:
    """After a doubt under a changed line ended without a stream of ours, the next attempt sends the new line."""
    # Fails while `claim` leaves the `anchor_digest` of the earlier attempt, which `doubts` takes for what was sent.
    ledger = await start(path)
    await bring(ledger, State.IN_DOUBT)
    await read(ledger, [good("a", "disabled")])
    (doubt,) = await ledger.doubts(ACME, 9)
    await ledger.settle([Settlement(doubt.id, between, 1)], Tally())
    await ledger.reopen(retry_failed=True)
    assert [claim.digest for claim in await ledger.claim(ACME, 9, 40.0)] == [mark("a", "disabled")]
    ledger.close()
    with await start(path, 50.0) as ledger:
        await read(ledger, [good("a", "disabled")])
        (doubt,) = await ledger.doubts(ACME, 9)
        assert doubt.digest == doubt.current == mark("a", "disabled")


@in_loop
async def test_a_doubt_is_looked_up_under_the_name_that_was_sent(path: Path) -> None:
    """A line that names another stream meanwhile, or none that is valid, does not make us look for the wrong one."""
    with await start(path) as ledger:
        for name, digest_ in (("a", mark("a")), ("b", mark("b")), ("c", None), ("d", mark("d"))):
            await ledger.begin_reading("source", 10.0)
            tenant, input_ = await ledger.tenant(ACME, "https://acme.test"), await ledger.input("in.jsonl")
            state = State.INVALID if digest_ is None else State.PENDING
            await ledger.ingest([Row(tenant, "k1", name, input_, 1, 0, 9, ledger.reading_id, state, digest_)])
            if name == "a":
                (claim,) = await ledger.claim(ACME, 1, 20.0)
                await ledger.settle([settled(claim, State.IN_DOUBT, ours_since=20.0)], Tally())
            (doubt,) = await ledger.doubts(ACME, 9)
            assert (doubt.name, doubt.digest) == ("a", mark("a"))
        await ledger.settle([Settlement(doubt.id, State.PENDING, 1)], Tally())
        (again,) = await ledger.claim(ACME, 1, 30.0)
        assert (again.name, again.digest) == ("d", mark("d"))


@in_loop
async def test_a_line_that_is_valid_again_leaves_no_trace_on_its_doubt(path: Path) -> None:
    """While the record is in doubt its line breaks and is mended: nothing calls it invalid any more."""
    with await start(path) as ledger:
        await bring(ledger, State.IN_DOUBT)
        await read(ledger, [bad("a")])
        (doubt,) = await ledger.doubts(ACME, 9)
        assert doubt.invalid == "name: is wrong"
        assert not await ledger.same_source("source")
        await read(ledger, [good("a")])
        (doubt,) = await ledger.doubts(ACME, 9)
        assert (doubt.invalid, column(path, "error_code")) == (None, None)


# -- a status in place of the line's -----------------------------------------------------------------------------------


@in_loop
async def test_a_given_status_is_durable_with_the_intent_and_the_digest_stays_the_lines_own(path: Path) -> None:
    """Another process sees it as soon as the claim is there; a rerun calls no line changed for it."""
    with await start(path) as ledger:
        await read(ledger, [good("a"), good("b")])
        (claim,) = await ledger.claim(ACME, 1, 20.0, status="disabled")
        assert (column(path, "status"), column(path, "status", "b")) == ("disabled", None)
        assert claim.digest == mark("a")
        await ledger.settle([settled(claim, State.CREATED)], Tally())
        await read(ledger, [good("a"), good("b")], source="another")
        assert (states(path)["a"], column(path, "status")) == ("created", "disabled")
        await read(ledger, [good("a", "disabled"), good("b")], source="a third")
        assert states(path)["a"] == "conflict"


@in_loop
async def test_a_record_that_is_sent_again_without_a_status_has_none(path: Path) -> None:
    """In doubt it keeps what its lost attempt gave, also when found absent; the next intent says what counts then."""
    with await start(path) as ledger:
        await read(ledger, [good("a")])
        (claim,) = await ledger.claim(ACME, 1, 20.0, status="disabled")
        await ledger.settle([settled(claim, State.IN_DOUBT, ours_since=20.0)], Tally())
        (doubt,) = await ledger.doubts(ACME, 9)
        assert doubt.status == "disabled"
        await ledger.settle([settled(claim, State.PENDING, ours_since=20.0)], Tally())
        assert column(path, "status") == "disabled"
        await ledger.claim(ACME, 1, 30.0)
        assert column(path, "status") is None


@in_loop
async def test_a_process_that_dies_leaves_the_status_of_its_intents(path: Path) -> None:
    """What was in flight is in doubt, with the status that its attempt would have given."""
    ledger = await start(path)
    await read(ledger, [good("a"), good("b")])
    await ledger.claim(ACME, 1, 20.0, status="disabled")
    await ledger.claim(ACME, 1, 20.0)
    ledger.close()  # as a process that dies, without `end_run`
    with await start(path, 50.0) as ledger:
        await read(ledger, [good("a"), good("b")])
        assert [doubt.status for doubt in await ledger.doubts(ACME, 9)] == ["disabled", None]


@in_loop
async def test_an_undone_record_that_is_created_anew_has_the_status_of_its_line(path: Path) -> None:
    """What it was given once counts no more."""
    with await start(path) as ledger:
        await read(ledger, [good("a")])
        (claim,) = await ledger.claim(ACME, 1, 20.0, status="disabled")
        await ledger.settle([settled(claim, State.CREATED)], Tally())
        await ledger.settle([settled(claim, State.UNDONE)], Tally())
        await ledger.reopen(retry_failed=False)
        assert [one.status for one in await ledger.unsent(ACME, ["a"], [])] == [None]
        await ledger.claim(ACME, 1, 30.0)
        assert column(path, "status") is None
