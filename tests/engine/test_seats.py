"""Many tenants: who has a seat when, what is bounded, and what a lane keeps while it has none."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import anyio
import pytest

from bulkstreams.core.pacing import Ceiling
from bulkstreams.core.stopping import StopRules
from bulkstreams.engine import Engine, LanePlan
from bulkstreams.engine.seats import LEAST_POOL, TURN_S
from bulkstreams.model import TenantName
from tests.engine.fakes import LOST, NOON, NOT_SENT, After, webhook
from tests.engine.many import Many


def always_throttled(many: Many, *tenants: str, retry_after: str = "30") -> None:
    """Let tenants refuse every create with a 429."""
    for tenant in tenants:
        server = many.servers[tenant]
        server.script = lambda name, n, server=server: server.reply(429, {}, retry_after=retry_after)


def test_tenants_that_throttle_everything_hold_no_seat() -> None:
    """Two tenants that never let anything in leave both seats to the others, which end as if they were alone."""
    many = Many(dict.fromkeys("abcdef", 20), seats=2)
    always_throttled(many, "a", "b")
    engine = many.run(deadline_s=100.0)
    assert all(many.ledger.counts_of(tenant) == {"created": 20} for tenant in "cdef")
    assert max(at for tenant in "cdef" for at, _ in many.servers[tenant].creates) < 5.0
    assert many.ledger.counts_of("a") == many.ledger.counts_of("b") == {"pending": 20}
    assert engine.reasons == dict.fromkeys("ab", "the deadline of 100 s has passed (429, 4 times in a row)")
    assert all(len(many.servers[tenant].creates) <= 5 for tenant in "ab")


def test_tenants_whose_look_up_fails_hold_no_seat_while_they_wait_to_ask_again() -> None:
    """Two tenants that lose every page leave both seats to the others between two tries, and are tried as ever."""
    many = Many(dict.fromkeys("abcdef", 20), seats=2, surveyed=False)
    for tenant in "ab":
        many.servers[tenant].page_script = lambda _n: LOST
    seen: list[list[str]] = []

    async def look(engine: Engine) -> None:
        await anyio.sleep(20.0)
        for _ in range(20):
            await anyio.sleep(0.2)
            seen.append([wait.reason for _, wait in engine.outlook.look().waits])

    engine = many.run(look, deadline_s=100.0)
    assert all(many.ledger.counts_of(tenant) == {"created": 20} for tenant in "cdef")
    assert max(at for tenant in "cdef" for at, _ in many.servers[tenant].creates) < TURN_S
    # with a seat or without
    assert all(len(waits) == 2 and all(LOST.reason in one for one in waits) for waits in seen)
    assert many.ledger.counts_of("a") == many.ledger.counts_of("b") == {"pending": 20}
    assert set(engine.reasons) == {"a", "b"}
    assert all(many.turns(tenant) > 1 and 6 <= len(many.servers[tenant].pages) <= 30 for tenant in "ab")


def test_sessions_and_tasks_are_bounded_however_many_tenants_there_are() -> None:
    """Two hundred tenants on three seats never have more than three sessions open, nor tasks but those of three."""
    many = Many({f"t{i}": 3 for i in range(200)}, seats=3)
    many.run()
    assert many.ledger.counts() == {"created": 600}
    assert many.most_open == 3
    assert many.most_tasks <= 5 + 3 * (1 + 4)  # the run's own; each lane, and its workers
    assert many.engine.lanes == {}


def test_seats_are_given_in_the_order_of_the_ledger_and_each_lane_sits_once() -> None:
    """A start is fair: first come, first served; and who is done within a turn is not asked to change seats."""
    many = Many({f"t{i}": 3 for i in range(40)}, seats=4)
    many.run()
    assert [tenant for _, tenant in many.sat] == [f"t{i}" for i in range(40)]


def test_with_seats_for_all_every_lane_runs_from_the_start_until_it_is_done() -> None:
    """Fewer tenants than seats: all sit at once, once, with all the connections that they want."""
    many = Many(dict.fromkeys("abc", 300), seats=3)
    many.ceiling = Ceiling(rate=20.0, burst=1)
    always_throttled(many, "b", retry_after="60")
    many.run(deadline_s=200.0)
    assert many.sat == [(many.sat[0][0], tenant) for tenant in "abc"]
    assert many.pools == [4, 4, 4]


def test_long_lanes_take_turns() -> None:
    """Lanes that take long rotate, so that the last in the input begins within a turn of those before it."""
    many = Many(dict.fromkeys("abcd", 200), seats=2)
    many.ceiling = Ceiling(rate=10.0, burst=1)
    many.run()
    assert many.ledger.counts() == {"created": 800}
    order = [tenant for _, tenant in many.sat]
    assert order[:4] == list("abcd")
    assert sorted(order[4:8]) == list("abcd")
    assert min(at for at, tenant in many.sat if tenant == "d") <= TURN_S + 1.0
    assert all(many.servers[tenant].times("s0") == 1 for tenant in "abcd")


def test_a_lane_that_was_away_goes_on_with_what_it_had_learned() -> None:
    """Token, the server's clock, pause and counts are the lane's own, so that no seat begins from nothing."""
    many = Many(dict.fromkeys("abcd", 150), seats=2)
    many.ceiling = Ceiling(rate=10.0, burst=1)
    server = many.servers["a"]
    server.script = lambda name, n: 401 if server.tokens[-1] == "t1" else "ok"
    seen: list[tuple[int, int]] = []

    async def look(_: Engine) -> None:
        lane = None
        while "a" in many.engine.lanes or lane is None:
            await anyio.sleep(0.5)
            if "a" in many.engine.lanes:
                assert lane is None or lane is many.lane("a")
                lane = many.lane("a")
                seen.append((many.turns("a"), lane.sent))

    many.run(look)
    assert many.turns("a") > 2
    assert many.credentials["a"].refreshed == 1
    assert [sent for _, sent in seen] == sorted(sent for _, sent in seen)
    assert len({turn for turn, _ in seen}) > 2
    assert len(server.creates) == 151  # one of them refused its token, and none was sent twice


def test_a_pause_is_kept_while_the_lane_is_away() -> None:
    """A lane that is seated again after a 429 sends nothing before the instant that the server named."""
    many = Many(dict.fromkeys("abcdef", 30), seats=1)
    refused: list[float] = []

    def script(name: str, n: int) -> Any:
        if not refused:
            refused.append(many.servers["a"].creates[-1][0])
            return many.servers["a"].reply(429, {}, retry_after="7")
        return "ok"

    many.servers["a"].script = script
    many.run()
    assert many.ledger.counts() == {"created": 180}
    assert many.servers["a"].creates[1][0] >= refused[0] + 7.0
    assert many.turns("a") == 2
    assert [tenant for _, tenant in many.sat] == list("abcdefa")


def test_a_survey_is_made_once_and_goes_on_where_it_was() -> None:
    """A listing longer than a turn is not begun again in the next: each page is asked for once."""
    many = Many(dict.fromkeys("abc", 5), seats=1, surveyed=False)
    for server in many.servers.values():
        server.page_size, server.page_took_s = 1, 1.0
        for i in range(12):
            server.add(webhook(f"other {i}"), at=NOON - 60)
    many.run()
    assert many.ledger.counts() == {"created": 15}
    assert many.ledger.surveyed_at == dict.fromkeys("abc", 1)
    for tenant, server in many.servers.items():
        assert [cursor for _, cursor in server.pages] == [None, *map(str, range(1, 12))]
        assert many.turns(tenant) > 1


def test_doubts_survive_a_change_of_seats() -> None:
    """What a lane left in doubt is looked up when it sits again, no earlier than a settle time after the loss."""
    lost = {"s1": "there", "s2": "absent"}

    def script(name: str, n: int) -> Any:
        if n > 1 or name not in lost:
            return "ok"
        return After(LOST) if lost[name] == "there" else LOST

    many = Many(dict.fromkeys("abcd", 5), dict.fromkeys("abcd", script), seats=1)
    many.run()
    assert many.ledger.counts() == {"created": 20}
    for tenant, server in many.servers.items():
        assert many.turns(tenant) == (1 if tenant == "d" else 2)  # for the seat of the last nobody waits
        lost_at = max(at for at, name in server.creates if name == "s2" and at < server.pages[0][0]) + server.took_s
        assert server.pages[0][0] >= lost_at + 2.0
        assert (server.times("s1"), server.times("s2")) == (1, 2)
        assert len(server.streams) == 5


def test_a_look_up_that_is_cut_short_goes_on_in_the_next_turn() -> None:
    """A listing for doubts that takes longer than a turn is finished in a later one, and clears them."""
    many = Many(dict.fromkeys("ab", 3), dict.fromkeys("ab", lambda name, n: After(LOST)), seats=1)
    for server in many.servers.values():
        server.page_size, server.page_took_s = 1, 1.0
        for i in range(12):
            server.add(webhook(f"other {i}"), at=NOON - 60)
    many.run()
    assert many.ledger.counts() == {"created": 6}
    for tenant, server in many.servers.items():
        assert many.turns(tenant) > 2
        assert len(server.pages) == 15
        assert len(server.creates) == 3


def test_a_tenant_that_cannot_be_reached_waits_for_its_retries_outside() -> None:
    """While the only record that may go waits for its next try, others have the seat; no try comes early."""
    many = Many({"a": 1, **dict.fromkeys("bcde", 40)}, {"a": lambda name, n: NOT_SENT}, seats=1)
    many.run()
    assert many.ledger.counts_of("a") == {"exhausted": 1}
    assert all(many.ledger.counts_of(tenant) == {"created": 40} for tenant in "bcde")
    tries = [at for at, _ in many.servers["a"].creates]
    assert len(tries) == 6
    assert tries[-1] - tries[-2] >= 0.5 * 0.25 * 2**4
    assert many.turns("a") > 1


def test_a_token_that_does_not_come_holds_no_seat() -> None:
    """A lane whose tenant is to be asked for a token again only later leaves, and comes back then."""
    many = Many(dict.fromkeys("abc", 10), seats=1)
    credential = many.credentials["a"]
    asked: list[float] = []

    async def token() -> str:
        clock = asyncio.get_running_loop()
        while len(asked) < 3:
            await anyio.sleep(max(0.0, credential.resume_at - clock.time()))
            asked.append(clock.time())
            credential.resume_at = clock.time() + 10.0
        return "t1"

    credential.token = token  # type: ignore[method-assign]
    credential.current = lambda: "t1" if len(asked) == 3 else None  # type: ignore[method-assign,return-value]
    many.run()
    assert many.ledger.counts() == {"created": 30}
    assert [round(at) for at in asked] == [0, 10, 20]
    assert max(at for at, _ in many.servers["c"].creates) < 2.0


def test_a_stop_leaves_the_records_of_all_who_wait_pending() -> None:
    """Seated, away or never seated: what was not sent is pending, and each tenant is told of with the reason."""
    many = Many(dict.fromkeys("abcdef", 50), seats=2)
    always_throttled(many, "a", "b")
    for tenant in "cd":
        many.servers[tenant].took_s = 1.0

    async def stop(engine: Engine) -> None:
        await anyio.sleep(2.5)
        engine.stop("enough")

    engine = many.run(stop)
    for tenant in "abef":
        assert many.ledger.counts_of(tenant) == {"pending": 50}
    for tenant in "cd":
        made = len(many.servers[tenant].streams)
        assert 0 < made < 50
        assert many.ledger.counts_of(tenant) == {"created": made, "pending": 50 - made}
    assert engine.reasons == dict.fromkeys("abcdef", "enough")
    assert many.open == 0


def test_leaving_at_once_leaves_nothing_open() -> None:
    """Abandoned, attempts under way are cut off; whoever waits was never in flight."""
    many = Many(dict.fromkeys("abcd", 5), seats=2)
    for server in many.servers.values():
        server.took_s = 60.0

    async def leave(engine: Engine) -> None:
        await anyio.sleep(1.0)
        engine.abandon()

    many.run(leave)
    assert many.open == 0
    assert many.ledger.counts_of("a") == many.ledger.counts_of("b") == {"in_flight": 1, "pending": 4}
    assert many.ledger.counts_of("c") == many.ledger.counts_of("d") == {"pending": 5}


def test_a_limit_on_records_opens_no_more_lanes_than_it_needs() -> None:
    """Once the run may take no more records, tenants that wait are not even connected to."""
    many = Many({f"t{i}": 2 for i in range(100)}, seats=2, limits={"limit": 5})
    many.run()
    assert many.ledger.counts() == {"created": 5, "pending": 195}
    assert len(many.sat) <= 5


def test_what_a_lane_gives_back_counts_for_nothing_against_the_limit() -> None:
    """Records that were claimed and not sent as a lane left its seat may be taken again, by it or others."""
    many = Many(dict.fromkeys("abc", 40), seats=1, limits={"limit": 60})
    many.ceiling = Ceiling(rate=4.0, burst=1)
    many.run()
    assert many.ledger.counts() == {"created": 60, "pending": 60}
    assert many.turns("a") > 1


@pytest.mark.parametrize(("connections", "pools"), [(1000, {4}), (15, {4}), (12, {4, 1})])
def test_seats_share_the_connections_that_there_are(connections: int, pools: set[int]) -> None:
    """However few connections there are, no more are given out, and everybody gets some."""
    many = Many({f"t{i}": 6 for i in range(9)}, seats=5, connections=connections)
    many.run()
    assert many.ledger.counts() == {"created": 54}
    assert many.most_open <= max(1, connections // (1 + min(LEAST_POOL, max(many.pools))))


class InHaste(Many):
    """A run whose first tenant has a deadline of its own."""

    def plan(self, tenant: TenantName) -> LanePlan:
        """Return the plan of all, with that deadline."""
        own = StopRules(deadline_s=10.0) if tenant == "a" else StopRules()
        return replace(super().plan(tenant), stops=own)


def test_a_lane_that_is_stopped_while_it_is_away_does_not_keep_the_run_waiting() -> None:
    """Its tenant's deadline comes long before the pause ends for which it gave up its seat: then all is over."""
    many = InHaste({"a": 20, "b": 20}, seats=1)
    always_throttled(many, "a", retry_after="250")
    seen: list[float] = []

    async def watch(_: Engine) -> None:
        while True:
            seen.append(asyncio.get_running_loop().time())
            await anyio.sleep(0.5)

    engine = many.run(watch)
    assert engine.reasons["a"] == "the deadline of 10 s for a has passed (deadline of [tenants.a])"
    assert many.ledger.counts_of("a") == {"pending": 20}
    assert many.ledger.counts_of("b") == {"created": 20}
    assert seen[-1] < 15.0
