"""A lane: what is sent, when, and what becomes of it."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import anyio
import pytest

from bulkstreams.core.pacing import Ceiling
from bulkstreams.engine.lane import Lane
from tests.engine.fakes import LOST, NOT_SENT, After, FakeCredential, Rig, ScriptedClient, webhooks


def test_all_are_created_with_a_bounded_number_at_once() -> None:
    """Every record is sent once, never more than `concurrency` at a time, from a window that stays small."""
    rig = Rig(webhooks(200), concurrency=4)
    rig.run()
    assert rig.ledger.counts() == {"created": 200}
    assert len(rig.client.creates) == len(rig.client.streams) == 200
    assert rig.client.most_at_once == 4
    assert rig.ledger.most_held <= 2 * max(8, 4 / rig.client.took_s)


def test_a_401_is_answered_with_one_refresh_for_all_who_met_it() -> None:
    """Requests refused together share one new token, and being refused costs them no attempt."""
    client = ScriptedClient()
    client.script = lambda name, n: 401 if client.tokens[-1] == "t1" else "ok"
    rig = Rig(webhooks(12), client)
    rig.run()
    assert rig.credential.refreshed == 1
    assert rig.ledger.counts() == {"created": 12}
    assert {one.attempts for one in rig.ledger.settlements.values()} == {1}


def test_a_401_to_a_fresh_token_stops_the_lane_with_its_records_pending() -> None:
    """Where no token helps the lane says so and gives everything back unsent."""
    rig = Rig(webhooks(12), ScriptedClient(lambda name, n: 401), credential=FakeCredential(refreshes=1))
    lane = rig.run()
    assert lane.stopped == "the token was refused."
    assert lane.stop_hint == "Check it."
    assert rig.ledger.counts() == {"pending": 12}
    assert {one.attempts for one in rig.ledger.settlements.values()} == {0}


@pytest.mark.parametrize("status", [403, 404])
def test_a_403_or_404_stops_the_lane(status: int) -> None:
    """No record of this tenant can succeed, so nothing more is sent and all is pending again."""
    rig = Rig(webhooks(12), ScriptedClient(lambda name, n: status))
    lane = rig.run()
    assert f"acme answered {status}: says {status}" in str(lane.stopped)
    assert lane.stop_hint
    assert rig.ledger.counts() == {"pending": 12}
    assert len(rig.client.creates) <= 4


def test_a_storm_of_429s_pauses_the_whole_lane_and_costs_no_attempt() -> None:
    """Nobody sends while the pause that the server asked for goes on, and nobody's attempts are used up."""
    client = ScriptedClient()
    storm: list[float] = []

    def script(name: str, n: int) -> Any:
        if len(client.creates) <= 10:
            return "ok"
        if len(storm) < 8:
            storm.append(client.creates[-1][0])
            return client.reply(429, {"message": "Global limit has been reached"}, retry_after="7")
        return "ok"

    client.script = script
    rig = Rig(webhooks(40), client, retries=0)
    rig.run()
    assert rig.ledger.counts() == {"created": 40}
    assert {one.attempts for one in rig.ledger.settlements.values()} == {1}
    assert rig.ledger.tally.throttled == 8
    sent = [at for at, _ in client.creates]
    assert all(at <= storm[0] + 2 * client.took_s or at >= storm[0] + 7 for at in sent if at <= storm[0] + 7.5)
    gaps = [later - earlier for earlier, later in pairwise(sent)]
    assert max(gaps) >= 7


def test_what_was_never_sent_backs_off_and_is_exhausted_in_the_end() -> None:
    """A refused connection uses an attempt up, each after a longer pause; then the record is exhausted."""
    rig = Rig(webhooks(1), ScriptedClient(lambda name, n: NOT_SENT), retries=3)
    lane = rig.run()
    assert rig.ledger.counts() == {"exhausted": 1}
    assert rig.ledger.settlements[1].attempts == rig.client.times("s0") == 4
    assert rig.ledger.settlements[1].message == "never sent: no connection"
    at = [when for when, _ in rig.client.creates]
    gaps = [later - earlier for earlier, later in pairwise(at)]
    assert gaps == sorted(gaps)
    assert lane.stopped is None


def test_a_record_that_waits_for_its_retry_holds_up_nobody() -> None:
    """Those whose connection failed come back behind the others at hand, and the others go on at once."""
    rig = Rig(
        webhooks(60),
        ScriptedClient(lambda name, n: NOT_SENT if name in {"s1", "s2"} and n == 1 else "ok"),
        concurrency=2,
    )
    rig.run()
    assert rig.ledger.counts() == {"created": 60}
    order = [name for _, name in rig.client.creates]
    assert order[:3] == ["s0", "s1", "s2"]  # the first alone: it tells what there is
    assert order[3:5] == ["s3", "s4"]
    assert [rig.ledger.settlements[id_].attempts for id_ in (2, 3)] == [2, 1]  # one outage, one attempt


def test_an_unreachable_tenant_is_given_up_with_the_rest_still_pending() -> None:
    """After many records in a row that could not be sent, the lane stops instead of trying all the others."""
    rig = Rig(webhooks(400), ScriptedClient(lambda name, n: NOT_SENT), retries=0)
    lane = rig.run()
    assert "cannot be reached" in str(lane.stopped)
    counts = rig.ledger.counts()
    assert counts["exhausted"] + counts["pending"] == 400
    assert 100 <= counts["exhausted"] <= 104


def test_the_heap_of_retries_is_part_of_the_window() -> None:
    """Records that wait for a retry count as held, so however many fail, claims stay bounded."""
    client = ScriptedClient()
    client.script = lambda name, n: NOT_SENT if len(client.creates) % 3 == 0 else "ok"
    rig = Rig(webhooks(500), client, concurrency=4)
    rig.run()
    assert rig.ledger.counts() == {"created": 500}
    assert rig.ledger.most_held <= 500 / 2


def test_a_ceiling_is_kept_from_the_first_request_on() -> None:
    """At 10 a second with a burst of 3, no second sees more than 13 requests."""
    rig = Rig(webhooks(50), ceiling=Ceiling(rate=10.0, burst=3), concurrency=16)
    rig.run()
    at = [when for when, _ in rig.client.creates]
    assert max(sum(start <= one < start + 1 for one in at) for start in at) <= 13
    assert at[-1] >= (50 - 3) / 10 - 0.2


def test_a_refusal_is_final_and_tells_the_servers_own_words() -> None:
    """A 400 is settled at once with its message; the others go on."""
    rig = Rig(webhooks(5), ScriptedClient(lambda name, n: 400 if name == "s2" else "ok"))
    rig.run()
    assert rig.ledger.counts() == {"created": 4, "refused": 1}
    refused = rig.ledger.settlements[3]
    assert (refused.http_status, refused.message, refused.attempts) == (400, "says 400", 1)
    assert rig.client.times("s2") == 1


def test_a_stop_drains_what_is_under_way_and_gives_the_rest_back() -> None:
    """Attempts under way end in order; what was claimed and not sent is pending, with no attempt used."""
    client = ScriptedClient()
    client.took_s = 1.0
    rig = Rig(webhooks(30), client, concurrency=3)

    async def stop(lane: Lane) -> None:
        await anyio.sleep(2.5)
        lane.stop("enough")

    lane = rig.run(meanwhile=stop)
    assert lane.stopped == "enough"
    assert rig.ledger.counts() == {"created": len(client.creates), "pending": 30 - len(client.creates)}
    assert len(client.streams) == len(client.creates) < 30
    assert all(at < 2.5 for at, _ in client.creates)
    assert {rig.ledger.attempts[id_] for id_, state in rig.ledger.state.items() if state == "pending"} == {0}


def test_an_attempt_that_is_lost_when_the_lane_stops_stays_in_doubt() -> None:
    """A stop never turns a doubt into something else: the next run looks it up."""
    client = ScriptedClient(lambda name, n: After(LOST))
    rig = Rig(webhooks(3), client)

    async def stop(lane: Lane) -> None:
        await anyio.sleep(1.0)
        lane.stop("enough")

    rig.run(meanwhile=stop)
    assert rig.ledger.counts() == {"in_doubt": 3}
    assert not client.pages
