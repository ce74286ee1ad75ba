"""Doubts: what a look-up settles, what it must not settle yet, and what happens when it cannot be done."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import anyio
import pytest

from bulkstreams.engine.lane import Lane
from bulkstreams.model import Failure
from tests.engine.fakes import LOST, NOON, After, FakeClock, Rig, ScriptedClient, webhook, webhooks

SETTLE_S = 2.0


def stamp(at: float) -> str:
    """Return an instant as the API writes it."""
    return datetime.fromtimestamp(at, UTC).isoformat()


def test_a_lost_answer_to_a_create_that_took_effect_is_recovered() -> None:
    """The stream is found, so nothing is sent again, and the record counts as recovered."""
    rig = Rig(webhooks(6), ScriptedClient(lambda name, n: After(LOST) if name in {"s1", "s4"} else "ok"))
    rig.run()
    assert rig.ledger.counts() == {"created": 6}
    assert [id_ for id_, one in rig.ledger.settlements.items() if one.recovered] == [2, 5]
    assert rig.ledger.settlements[2].remote_id == rig.client.streams[1]["id"]
    assert rig.names() == [f"s{i}" for i in range(6)]
    assert len(rig.client.creates) == 6


def test_nothing_is_sent_again_before_absence_is_proven() -> None:
    """A lost create is sent again only after a look-up that began a settle time after the loss."""
    rig = Rig(webhooks(1), ScriptedClient(lambda name, n: LOST if n == 1 else "ok"))
    rig.run()
    (first, _), (second, _) = rig.client.creates
    looked = [at for at, _ in rig.client.pages]
    lost_at = first + rig.client.took_s
    assert any(lost_at + SETTLE_S <= at < second for at in looked)
    assert rig.ledger.counts() == {"created": 1}
    assert rig.ledger.settlements[1].attempts == 2
    assert not rig.ledger.settlements[1].recovered


def test_a_create_that_takes_effect_late_is_found_by_the_409_of_its_second_attempt() -> None:
    """Even where absence lied, the name that we sent before and that is taken now is ours: created, recovered."""
    client = ScriptedClient()
    definition = webhook("s0")

    def script(name: str, n: int) -> object:
        if n == 1:
            return LOST
        client.add(definition)  # the first attempt comes through, just before the second
        return "ok"

    client.script = script
    rig = Rig([definition], client)
    rig.run()
    assert rig.ledger.counts() == {"created": 1}
    settled = rig.ledger.settlements[1]
    assert (settled.recovered, settled.remote_id, settled.attempts) == (True, "est_1", 2)
    assert len(client.streams) == 1


def test_a_409_to_the_first_attempt_is_never_taken_for_ours() -> None:
    """An equal stream exists, even where it was made in the very same second; a different one is a conflict."""
    client = ScriptedClient()
    rig = Rig([webhook("equal"), webhook("other", status="disabled")], client)
    client.streams += [
        {**webhook("equal"), "id": "est_a", "created_at": "2027-01-15T08:00:00Z"},
        {**webhook("other"), "id": "est_b", "created_at": "2027-01-15T08:00:00Z"},
    ]
    rig.run()
    assert rig.ledger.counts() == {"exists": 1, "conflict": 1}
    assert rig.ledger.settlements[1].remote_id == "est_a"
    assert "status" in str(rig.ledger.settlements[2].message)
    assert not any(one.recovered for one in rig.ledger.settlements.values())


def test_a_409_after_an_attempt_that_never_left_is_not_ours() -> None:
    """A connection that was refused cannot have created what somebody else made in the very same second."""
    client = ScriptedClient()
    refused = Failure("no connection to example.com:443 (refused)", False, 0.01)

    def script(name: str, n: int) -> object:
        if n == 1:
            return refused
        client.add(webhook("s0"))
        return 409

    client.script = script
    rig = Rig([webhook("s0")], client)
    rig.run()
    assert rig.ledger.counts() == {"exists": 1}
    assert rig.ledger.settlements[1].attempts == 2


def test_a_full_quota_leaves_no_doubt_behind() -> None:
    """The 409s that were under way when the quota showed are looked up as well, so the next run only has to send."""
    client = ScriptedClient()
    client.script = lambda name, n: "ok" if len(client.streams) < 10 else 409
    rig = Rig(webhooks(60), client, concurrency=16)
    lane = rig.run()
    assert "quota" in str(lane.stopped)
    assert rig.ledger.counts() == {"created": 10, "pending": 50}
    assert {rig.ledger.attempts[id_] for id_, state in rig.ledger.state.items() if state == "pending"} == {0}


def test_a_409_with_a_free_name_is_a_full_quota_and_costs_no_attempt() -> None:
    """The lane stops, says so, and leaves its records for later: unsent, or in doubt until the next look-up."""
    client = ScriptedClient()
    client.script = lambda name, n: "ok" if len(client.streams) < 3 else 409
    rig = Rig(webhooks(8), client, concurrency=1)
    lane = rig.run()
    assert "quota" in str(lane.stopped)
    counts = rig.ledger.counts()
    assert counts["created"] == 3
    assert counts["pending"] + counts.get("in_doubt", 0) == 5
    assert {rig.ledger.attempts[id_] for id_, state in rig.ledger.state.items() if state == "pending"} == {0}


def test_doubts_of_a_process_that_died_are_looked_up_before_anything_of_theirs_is_sent() -> None:
    """What it had created is recovered without a request; what it had not is sent."""
    client = ScriptedClient()
    rig = Rig(webhooks(4), client)
    client.streams.append({**webhook("s0"), "id": "est_old", "created_at": "2027-01-15T07:59:59Z"})
    rig.ledger.leave_in_doubt(1, sent_at=NOON - 1)
    rig.ledger.leave_in_doubt(2, sent_at=NOON - 1)
    rig.run()
    assert rig.ledger.counts() == {"created": 4}
    assert rig.ledger.settlements[1].remote_id == "est_old"
    assert rig.client.times("s0") == 0
    assert rig.client.times("s1") == 1
    assert min(at for at, name in client.creates if name == "s1") >= SETTLE_S - 1


def test_look_ups_that_fail_again_and_again_stop_the_lane_with_the_doubts_kept() -> None:
    """Without evidence a doubt stays one: nothing is sent again, and the lane says what to do."""
    client = ScriptedClient(lambda name, n: LOST)
    client.page_script = lambda n: Failure("no answer within 30 s", True, 30.0)
    rig = Rig(webhooks(3), client)
    lane = rig.run()
    assert "could not be looked up (no answer within 30 s)" in str(lane.stopped)
    assert lane.stop_hint
    assert rig.ledger.counts() == {"in_doubt": 3}
    assert len(client.creates) == 3
    assert len(client.pages) == 6


def test_a_look_up_survives_errors_429s_a_401_and_pages_that_are_none() -> None:
    """Each is tried again, on its own page; a 429 or a 401 counts as no failure at all."""
    client = ScriptedClient(lambda name, n: After(LOST))
    told = {1: 500, 2: 429, 3: 401, 4: 502, 5: 429, 6: 429, 7: 429}
    client.page_script = lambda n: client.reply(200, {"nothing": 1}) if n == 8 else told.get(n)
    rig = Rig(webhooks(3), client)
    lane = rig.run()
    assert lane.stopped is None
    assert rig.ledger.counts() == {"created": 3}
    assert rig.credential.refreshed == 1
    assert len(client.creates) == len(client.streams) == 3


@pytest.mark.parametrize("status", [403, 404])
def test_a_forbidden_look_up_stops_the_lane_with_the_doubts_kept(status: int) -> None:
    """A token that may create but not read cannot clear a doubt."""
    client = ScriptedClient(lambda name, n: LOST)
    client.page_script = lambda n: status
    rig = Rig(webhooks(2), client)
    lane = rig.run()
    assert str(status) in str(lane.stopped)
    assert rig.ledger.counts() == {"in_doubt": 2}
    assert len(client.pages) == 1


def test_a_cursor_that_comes_twice_ends_the_listing() -> None:
    """A list that goes in circles was not seen whole: it proves no absence, and cannot hold a look-up for ever."""
    client = ScriptedClient(lambda name, n: LOST)
    client.page_script = lambda n: client.reply(200, {"eventStreams": client.streams, "next": "again"})
    rig = Rig(webhooks(2), client)
    lane = rig.run()
    assert "circles" in str(lane.stopped)
    assert rig.ledger.counts() == {"in_doubt": 2}
    assert len(client.creates) == 2
    assert len(client.pages) <= 4


def test_one_listing_of_many_pages_serves_all_doubts() -> None:
    """A hundred doubts at a tenant of three hundred streams cost one listing, not a hundred."""
    client = ScriptedClient(lambda name, n: After(LOST))
    client.page_size = 50
    rig = Rig(webhooks(100), client, concurrency=100)
    for i in range(200):
        client.streams.append({**webhook(f"old{i}"), "id": f"est_old{i}", "created_at": "2020-01-01T00:00:00Z"})
    rig.run()
    assert rig.ledger.counts() == {"created": 100}
    assert len(client.creates) == 100
    assert len(client.pages) <= 2 * 6


def test_twins_in_doubt_each_take_the_stream_that_may_be_theirs() -> None:
    """An older doubt must not take the younger one's stream: that one could then only find what is too old for it."""
    one = webhook(None, "https://e.com/a")
    client = ScriptedClient()
    client.streams += [
        {**one, "id": "est_first", "created_at": stamp(NOON - 10)},
        {**one, "id": "est_second", "created_at": stamp(NOON - 1)},
    ]
    rig = Rig([one, one], client)
    rig.ledger.leave_in_doubt(1, sent_at=NOON - 10)
    rig.ledger.leave_in_doubt(2, sent_at=NOON - 1)
    rig.run()
    assert {id_: (s.state, s.remote_id) for id_, s in rig.ledger.settlements.items()} == {
        1: ("created", "est_first"),
        2: ("created", "est_second"),
    }


def test_one_stream_that_is_too_old_for_them_is_not_taken_by_every_twin() -> None:
    """Three records, one stream, which can only be the third's: the other two are sent."""
    one = webhook(None, "https://e.com/a")
    client = ScriptedClient()
    client.streams.append({**one, "id": "est_third", "created_at": stamp(NOON - 10)})
    rig = Rig([one] * 3, client)
    for id_, ago in ((1, 1), (2, 1), (3, 10)):
        rig.ledger.leave_in_doubt(id_, sent_at=NOON - ago)
    rig.run()
    assert rig.ledger.counts() == {"created": 3}
    assert len(client.streams) == 3
    assert len({settled.remote_id for settled in rig.ledger.settlements.values()}) == 3


def test_streams_without_a_name_are_judged_by_what_shows_and_when_it_was_made() -> None:
    """An old twin of a nameless stream is not ours; one made after our intent is."""
    client = ScriptedClient(lambda name, n: After(LOST) if name.endswith("/a") and n == 1 else "ok")
    client.streams.append({**webhook(None, "https://e.com/a"), "id": "est_twin", "created_at": "2020-01-01T00:00:00Z"})
    rig = Rig([webhook(None, "https://e.com/a"), webhook(None, "https://e.com/b")], client)
    rig.run()
    assert rig.ledger.counts() == {"created": 2}
    assert rig.ledger.settlements[1].recovered
    assert rig.ledger.settlements[1].remote_id != "est_twin"
    assert len(client.streams) == 3


@pytest.mark.parametrize("ahead", [-86_400.0, -30.0, 0.0, 30.0, 86_400.0])
def test_clocks_that_differ_do_not_change_the_verdict(ahead: float) -> None:
    """A server a day fast or slow: what we made is ours, what stood there before is not."""
    client = ScriptedClient(lambda name, n: After(LOST) if name == "mine" else LOST)
    client.ahead = ahead
    rig = Rig([webhook("mine"), webhook("theirs")], client)
    client.streams.append({**webhook("theirs"), "id": "est_t", "created_at": stamp(NOON + ahead - 60)})
    rig.run()
    assert rig.ledger.counts() == {"created": 1, "exists": 1}
    assert rig.ledger.settlements[1].recovered
    assert not rig.ledger.settlements[2].recovered


@pytest.mark.parametrize("jump", [-86_400.0, -60.0, 60.0, 86_400.0])
@pytest.mark.parametrize("survey", [False, True])
def test_a_clock_that_is_set_while_a_run_goes_on_changes_no_verdict(jump: float, survey: bool) -> None:
    """Between the send and the look-up our clock is set by a day or a minute: still ours is ours, and theirs is not."""
    clock = FakeClock()
    client = ScriptedClient()

    def script(name: str, n: int) -> object:
        clock.ahead = jump
        if name == "theirs" and n == 1:
            client.streams.append({**webhook("theirs"), "id": "est_t", "created_at": stamp(NOON - 60)})
            return LOST
        return After(LOST) if name == "mine" and n == 1 else "ok"

    client.script = script
    rig = Rig([webhook("mine"), webhook("theirs"), webhook("plain")], client, clock=clock)
    rig.run(survey=survey)
    assert rig.ledger.counts() == {"created": 2, "exists": 1}
    assert {name: client.times(name) for name in ("mine", "theirs", "plain")} == {"mine": 1, "theirs": 1, "plain": 1}
    assert rig.ledger.settlements[1].recovered


def test_the_next_run_judges_by_the_servers_clock_whatever_ours_says() -> None:
    """A process that died left the server's instant of its intent; that our clock was set since does not matter."""
    client = ScriptedClient()
    client.ahead = 5_000.0
    rig = Rig([webhook("mine"), webhook("theirs")], client, clock=FakeClock(ahead=-86_400.0))
    client.streams += [
        {**webhook("mine"), "id": "est_m", "created_at": stamp(NOON + 4_990)},
        {**webhook("theirs"), "id": "est_t", "created_at": stamp(NOON + 4_900)},
    ]
    rig.ledger.leave_in_doubt(1, sent_at=NOON + 4_989)
    rig.ledger.leave_in_doubt(2, sent_at=NOON + 4_989)
    rig.run()
    assert rig.ledger.counts() == {"created": 1, "exists": 1}


def test_a_thousand_doubts_at_a_tenant_of_five_thousand_cost_one_listing() -> None:
    """A hundred pages serve them all, however many doubts they are."""
    client = ScriptedClient()
    for i in range(5_000):
        client.streams.append({**webhook(f"old{i}"), "id": f"est_old{i}", "created_at": "2020-01-01T00:00:00Z"})
    rig = Rig(webhooks(1_000), client)
    for id_ in range(1, 1_001):
        rig.ledger.leave_in_doubt(id_, sent_at=NOON - 1)
        if id_ % 2:
            client.streams.insert(id_ * 5, {**webhook(f"s{id_ - 1}"), "id": f"est_{id_}", "created_at": stamp(NOON)})
    rig.run()
    assert rig.ledger.counts() == {"created": 1_000}
    assert len(client.pages) == 110
    assert len(client.creates) == 500


def test_look_ups_take_a_fifth_of_the_requests_while_there_is_more_to_send() -> None:
    """Every tenth answer is lost at a tenant of twenty pages: its doubts wait for one another, not the records."""
    client = ScriptedClient(lambda name, n: After(LOST) if name.endswith("7") and n == 1 else "ok")
    client.took_s = 0.5
    client.page_took_s = 0.001
    for i in range(1_000):
        client.streams.append({**webhook(f"old{i}"), "id": f"est_old{i}", "created_at": "2020-01-01T00:00:00Z"})
    rig = Rig(webhooks(1_000), client)
    rig.run()
    assert rig.ledger.counts() == {"created": 1_000}
    assert len(client.creates) == 1_000
    last_create = client.creates[-1][0]
    meanwhile = sum(at < last_create for at, _ in client.pages)
    assert 0 < meanwhile <= 300  # 1,000 / 4, and the listing that is under way at the end


def test_a_clock_that_was_set_back_delays_a_look_up_by_a_settle_time_at_most() -> None:
    """A loss that seems to lie in the future, after a correction of our clock, does not park its record."""
    rig = Rig(webhooks(1), clock=FakeClock(ahead=-3600.0))
    rig.ledger.leave_in_doubt(1, sent_at=NOON)
    rig.run()
    assert rig.ledger.counts() == {"created": 1}
    assert rig.client.creates[0][0] <= 3 * SETTLE_S


def test_attempts_are_used_up_by_losses_and_only_proven_absence_exhausts() -> None:
    """After the last retry the look-up has the last word: absent, so exhausted."""
    rig = Rig(webhooks(1), ScriptedClient(lambda name, n: LOST), retries=2)
    rig.run()
    assert rig.ledger.counts() == {"exhausted": 1}
    assert rig.client.times("s0") == rig.ledger.settlements[1].attempts == 3
    assert rig.client.pages[-1][0] >= rig.client.creates[-1][0] + SETTLE_S


def test_a_409_of_an_earlier_run_does_not_stop_a_lane_that_has_room_again() -> None:
    """A quota that was full then and is not now: the doubts it left are sent, and the lane goes on."""
    rig = Rig(webhooks(5))
    rig.ledger.leave_in_doubt(1, sent_at=NOON - 60, name_taken=True)
    rig.ledger.leave_in_doubt(2, sent_at=NOON - 60, name_taken=True)
    lane = rig.run()
    assert lane.stopped is None
    assert rig.ledger.counts() == {"created": 5}
    assert {one.attempts for one in rig.ledger.settlements.values()} == {1}


def test_a_quota_that_is_still_full_stops_the_lane_again() -> None:
    """The inherited doubt is sent once more, and its fresh 409 with a free name tells."""
    rig = Rig(webhooks(3), ScriptedClient(lambda name, n: 409))
    rig.ledger.leave_in_doubt(1, sent_at=NOON - 60, name_taken=True)
    lane = rig.run()
    assert "quota" in str(lane.stopped)
    assert set(rig.ledger.counts()) <= {"pending", "in_doubt"}


def test_one_stream_proves_one_record_at_most() -> None:
    """Two nameless records with one definition, of which one create was lost for good, end as two streams."""
    client = ScriptedClient(lambda name, n: LOST if n == 1 else "ok")
    rig = Rig([webhook(None, "https://e.com/a")] * 2, client)
    rig.run()
    assert rig.ledger.counts() == {"created": 2}
    assert len(client.streams) == 2
    assert len({one.remote_id for one in rig.ledger.settlements.values()}) == 2


def test_attempts_of_a_run_that_died_are_not_this_runs() -> None:
    """A record that a dead process may have sent, and that is absent, is sent, however few retries there are."""
    client = ScriptedClient()
    rig = Rig(webhooks(1), client, retries=0)
    rig.ledger.leave_in_doubt(1, sent_at=NOON - 1, attempts=3)
    rig.run()
    assert rig.ledger.counts() == {"created": 1}
    assert len(client.creates) == 1


@pytest.mark.parametrize("stop_at", [1.0, 2.03, 4.0, 6.0])
def test_a_lane_that_stops_while_an_answer_is_awaited_takes_nobodys_stream(stop_at: float) -> None:
    """A twin's create is applied and its answer on its way when the run is interrupted: the stream stays the twin's."""
    twin = webhook(None, "https://e.com/a")
    client = ScriptedClient()
    asked: list[str] = []

    async def create(body: bytes, token: str) -> object:
        asked.append(token)
        if len(asked) == 2:
            await anyio.sleep(0.01)
            return LOST
        reply = client.take_effect(json.loads(body))
        await anyio.sleep(8.0 if len(asked) == 3 else 0.01)
        return reply

    async def meanwhile(lane: Lane) -> None:
        await anyio.sleep(stop_at)
        lane.stop("interrupted")

    client.create = create  # type: ignore[assignment]
    rig = Rig([webhook("first"), twin, twin], client, concurrency=1)
    rig.run(meanwhile=meanwhile)
    assert rig.ledger.counts() == {"created": 2, "in_doubt": 1}
    assert rig.ledger.state[2] == "in_doubt"


def test_a_doubt_of_an_earlier_run_gives_back_nothing_of_what_this_run_may_take() -> None:
    """`--limit` counts what this run takes; only one that it took itself, and puts back, leaves room for another."""
    client = ScriptedClient(lambda name, n: LOST if name == "s9" and n == 1 else "ok")
    rig = Rig(webhooks(10), client)
    rig.allowance = 3
    for id_ in range(1, 8):
        rig.ledger.leave_in_doubt(id_, sent_at=NOON - 1)
    rig.run()
    assert len(client.creates) == 4


def test_before_the_server_has_answered_requests_go_one_at_a_time() -> None:
    """What a process that dies left then is judged as of old: whatever is there may be its work."""
    client = ScriptedClient()
    client.took_s = 1.0
    rig = Rig(webhooks(9), client, concurrency=4)
    rig.run()
    assert rig.ledger.intents[0] == 0.0
    assert min(rig.ledger.intents[1:]) >= NOON - 1
    (first, _), (second, _), (third, _), *_ = client.creates
    assert second >= first + client.took_s
    assert third < second + client.took_s


@pytest.mark.parametrize("survey", [False, True])
def test_a_server_that_never_tells_the_time_is_no_slower_for_it(survey: bool) -> None:
    """After its first reply the requests go side by side, dated by our clock for want of a better one."""
    client = ScriptedClient()
    client.dated = False
    rig = Rig(webhooks(40), client, concurrency=4)
    rig.run(survey=survey)
    assert rig.ledger.counts() == {"created": 40}
    assert client.most_at_once == 4
    assert min(rig.ledger.intents[1:]) >= NOON


# -- a status in place of the lines' -----------------------------------------------------------------------------------


@pytest.mark.parametrize("set_status", [None, "enabled", "disabled"])
def test_what_an_earlier_run_gave_a_status_is_ours_whatever_this_run_gives(set_status: str | None) -> None:
    """Found with it or switched since, it was created; absent, it is sent with what this run says, and has that."""
    client = ScriptedClient()
    client.add(webhook("s0", status="disabled"), at=NOON - 1)
    client.add(webhook("s1"), at=NOON - 1)
    rig = Rig(webhooks(3), client, set_status=set_status)
    for id_ in rig.ledger.definitions:
        rig.ledger.leave_in_doubt(id_, sent_at=NOON - 1)
        rig.ledger.given[id_] = "disabled"
    rig.run()
    assert rig.ledger.counts() == {"created": 3}
    assert [rig.ledger.settlements[id_].recovered for id_ in (1, 2, 3)] == [True, True, False]
    assert [name for _, name in client.creates] == ["s2"]
    assert client.streams[-1].get("status") == set_status
    assert rig.ledger.given == {1: "disabled", 2: "disabled", 3: set_status}


def test_doubts_of_runs_with_and_without_a_given_status_each_find_their_own() -> None:
    """Of three nameless twins one was given a status and switched off since: it leaves the others theirs."""
    client = ScriptedClient(unique=False)
    one = webhook(None, "https://e.com/a")
    for status in ("enabled", "enabled", "disabled"):
        client.add({**one, "status": status}, at=NOON - 1)
    rig = Rig([one] * 3, client)
    for id_ in rig.ledger.definitions:
        rig.ledger.leave_in_doubt(id_, sent_at=NOON - 1)
    rig.ledger.given[1] = "enabled"
    rig.run()
    assert rig.ledger.counts() == {"created": 3}
    assert client.creates == []
    assert rig.ledger.settlements[1].remote_id == "est_3"


@pytest.mark.parametrize("name", ["s0", None])
def test_a_lost_create_under_a_given_status_is_recovered(name: str | None) -> None:
    """The stream shows that status and not its line's; it is the record's own all the same."""
    client = ScriptedClient(lambda _name, n: After(LOST) if n == 1 else "ok")
    rig = Rig([webhook(name)], client, set_status="disabled")
    rig.run()
    assert rig.ledger.counts() == {"created": 1}
    assert rig.ledger.settlements[1].recovered
    assert [one["status"] for one in client.streams] == ["disabled"]
