"""The look-up before the first create: what it settles, what it leaves, and what happens when it cannot be done."""

from __future__ import annotations

from itertools import pairwise

import pytest

from bulkstreams.model import Failure
from tests.engine.fakes import NOON, Rig, ScriptedClient, webhook, webhooks

LONG_AGO = NOON - 1e8
REFUSED = Failure("no connection to example.com:443 (refused)", False, 0.01)


def test_what_is_there_is_found_by_one_listing_before_the_first_create() -> None:
    """Equal streams exist, a different one is a conflict, and only the rest is sent, after the last page was seen."""
    client = ScriptedClient()
    client.page_size = 3
    for i in range(7):
        client.add(webhook(f"s{i}"), at=LONG_AGO)
    client.add(webhook("s7", status="disabled"), at=LONG_AGO)
    rig = Rig(webhooks(10), client)
    rig.run(survey=True)
    assert rig.ledger.counts() == {"exists": 7, "conflict": 1, "created": 2}
    assert {name for _, name in client.creates} == {"s8", "s9"}
    assert len(client.pages) == 3
    assert client.pages[-1][0] < client.creates[0][0]
    assert rig.ledger.settlements[1].remote_id == "est_1"
    assert "status" in str(rig.ledger.settlements[8].message)
    assert rig.ledger.surveys == 1


def test_an_empty_tenant_costs_one_request() -> None:
    """Who starts with nothing there hardly notices."""
    rig = Rig(webhooks(20))
    rig.run(survey=True)
    assert rig.ledger.counts() == {"created": 20}
    assert len(rig.client.pages) == 1


def test_nothing_is_doubled_where_the_tenant_would_take_a_second_stream_of_a_name() -> None:
    """With the ledger lost and no unique names, the survey alone stands between a rerun and a second copy."""
    client = ScriptedClient(unique=False)
    for i in range(5):
        client.add(webhook(f"s{i}"), at=LONG_AGO)
    rig = Rig(webhooks(5), client)
    rig.run(survey=True)
    assert rig.ledger.counts() == {"exists": 5}
    assert client.creates == []


def test_an_equal_stream_on_a_later_page_counts_before_a_different_one() -> None:
    """Where names are not unique, a conflict is one only if no page has an equal stream."""
    client = ScriptedClient(unique=False)
    client.page_size = 1
    client.add(webhook("s0", status="disabled"), at=LONG_AGO)
    client.add(webhook("s0"), at=LONG_AGO)
    client.add(webhook("s0", status="disabled"), at=LONG_AGO)
    rig = Rig(webhooks(1), client)
    rig.run(survey=True)
    assert rig.ledger.counts() == {"exists": 1}
    assert rig.ledger.settlements[1].remote_id == "est_2"


@pytest.mark.parametrize("page_size", [1, 2, 50])
def test_a_nameless_stream_stands_for_one_record_at_most(page_size: int) -> None:
    """Of three nameless records with one definition, of which two are there, one is sent."""
    client = ScriptedClient(unique=False)
    client.page_size = page_size
    one = webhook(None, "https://e.com/a")
    client.add(one, at=LONG_AGO)
    client.add(one, at=LONG_AGO)
    rig = Rig([one, one, one], client)
    rig.run(survey=True)
    assert rig.ledger.counts() == {"exists": 2, "created": 1}
    assert len({settled.remote_id for settled in rig.ledger.settlements.values()}) == 3


def test_a_pending_record_whose_lost_attempt_came_through_late_is_ours() -> None:
    """What an earlier run lost, took for absent, and the tenant made afterwards, is recovered and not just found."""
    client = ScriptedClient()
    client.add(webhook("s0"), at=NOON - 5)
    client.add(webhook("s1"), at=NOON - 50)
    rig = Rig(webhooks(2), client)
    rig.ledger.ours_since |= {1: NOON - 6.0, 2: NOON - 6.0}
    rig.run(survey=True)
    assert rig.ledger.counts() == {"created": 1, "exists": 1}
    assert [rig.ledger.settlements[id_].recovered for id_ in (1, 2)] == [True, False]


def test_errors_429s_and_a_401_do_not_end_it() -> None:
    """Each page is asked for again; nothing is sent meanwhile."""
    client = ScriptedClient()
    for i in range(4):
        client.add(webhook(f"s{i}"), at=LONG_AGO)
    client.page_size = 2
    told = {1: 502, 2: 429, 3: 401, 5: Failure("the connection was lost before an answer came", True, 0.1)}
    client.page_script = told.get
    rig = Rig(webhooks(6), client)
    rig.run(survey=True)
    assert rig.ledger.counts() == {"exists": 4, "created": 2}
    assert rig.credential.refreshed == 1


@pytest.mark.parametrize("status", [403, 404])
def test_a_tenant_that_may_not_be_read_is_stopped_before_anything_is_sent(status: int) -> None:
    """A token that may create but not read could never clear a doubt: better told at once."""
    client = ScriptedClient()
    client.page_script = lambda _n: status
    rig = Rig(webhooks(3), client)
    lane = rig.run(survey=True)
    assert str(status) in str(lane.stopped)
    assert lane.stop_hint
    assert rig.ledger.counts() == {"pending": 3}
    assert client.creates == []
    assert rig.ledger.surveys == 0


@pytest.mark.parametrize("trouble", [500, Failure("no answer within 30 s", True, 30.0)])
def test_a_tenant_that_cannot_be_seen_is_sent_nothing(trouble: object) -> None:
    """After several failures of one page the lane stops, and everything stays pending."""
    client = ScriptedClient()
    client.page_script = lambda _n: trouble
    rig = Rig(webhooks(3), client)
    lane = rig.run(survey=True)
    assert "could not be looked up" in str(lane.stopped)
    assert "nothing was sent" in str(lane.stopped)
    assert rig.ledger.counts() == {"pending": 3}
    assert client.creates == []


def test_a_tenant_that_cannot_be_reached_exhausts_what_was_never_sent() -> None:
    """Backoff between the attempts, then each record is told why it was never sent; the reason is the connection's."""
    client = ScriptedClient()
    client.page_script = lambda _n: REFUSED
    rig = Rig(webhooks(3), client, retries=2)
    lane = rig.run(survey=True)
    assert lane.stopped is None
    assert rig.ledger.counts() == {"exhausted": 3}
    assert {one.message for one in rig.ledger.settlements.values()} == {f"never sent: {REFUSED.reason}"}
    assert {one.attempts for one in rig.ledger.settlements.values()} == {3}
    assert client.creates == []
    asked = [at for at, _ in client.pages]
    assert all(later > earlier for earlier, later in pairwise(asked))


def test_a_tenant_that_cannot_be_reached_is_given_up_after_a_hundred_records() -> None:
    """The rest of a large input stays pending, and the lane says so."""
    client = ScriptedClient()
    client.page_script = lambda _n: REFUSED
    rig = Rig(webhooks(150), client)
    lane = rig.run(survey=True)
    assert "cannot be reached" in str(lane.stopped)
    assert rig.ledger.counts() == {"exhausted": 100, "pending": 50}


def test_the_survey_and_old_doubts_do_not_get_in_each_others_way() -> None:
    """A stream that a record in doubt may have made is not taken for another record's."""
    client = ScriptedClient(unique=False)
    one = webhook(None, "https://e.com/a")
    client.streams.append({**one, "id": "est_mine", "created_at": "2027-01-15T08:00:00Z"})
    rig = Rig([one, webhook("s1")], client)
    rig.ledger.leave_in_doubt(1, sent_at=NOON)
    rig.run(survey=True)
    assert rig.ledger.counts() == {"created": 2}
    assert rig.ledger.settlements[1].remote_id == "est_mine"
    assert [name for _, name in client.creates] == ["s1"]


def test_a_doubtful_twins_stream_is_not_taken_by_a_record_that_was_never_sent() -> None:
    """The survey waits until the doubts are cleared: the stream is the first record's, and the second is sent."""
    client = ScriptedClient(unique=False)
    one = webhook(None, "https://e.com/a")
    client.add(one, at=NOON - 1)
    rig = Rig([one, one], client)
    rig.ledger.leave_in_doubt(1, sent_at=NOON - 1)
    rig.run(survey=True)
    assert rig.ledger.counts() == {"created": 2}
    assert (rig.ledger.settlements[1].remote_id, rig.ledger.settlements[1].recovered) == ("est_1", True)
    assert len(client.streams) == 2


def test_an_intent_after_the_survey_is_dated_by_the_servers_clock() -> None:
    """What a process that dies leaves in the ledger can be compared with the server's instants."""
    client = ScriptedClient()
    client.ahead = 5_000.0
    rig = Rig(webhooks(1), client)
    rig.run(survey=True)
    assert [at - NOON - 5_000.0 for at in rig.ledger.intents] == [pytest.approx(0.0, abs=1.1)]


def test_a_token_that_a_gateway_echoes_is_masked() -> None:
    """The reason why a lane stops reaches the ledger and the terminal; the token must not."""
    client = ScriptedClient()
    client.page_script = lambda _n: client.reply(403, {"message": "bad header: Authorization: Bearer t1"})
    rig = Rig(webhooks(1), client)
    lane = rig.run(survey=True)
    assert "Bearer ***" in str(lane.stopped)
    client.page_script = lambda _n: None
    client.script = lambda _name, _n: client.reply(403, {"message": "bad header: Authorization: Bearer t1"})
    rig = Rig(webhooks(1), client)
    lane = rig.run(survey=True)
    assert "Bearer ***" in str(lane.stopped)


# -- a status in place of the lines' -----------------------------------------------------------------------------------


def test_under_a_given_status_what_is_there_is_found_whatever_its_own_is() -> None:
    """Streams that an earlier run gave it, and those that were switched since, exist; what is missing is given it."""
    client = ScriptedClient()
    for i in range(4):
        client.add(webhook(f"s{i}", status=("enabled", "disabled")[i % 2]), at=LONG_AGO)
    client.add(webhook("s4", "https://e.com/other", status="disabled"), at=LONG_AGO)
    rig = Rig(webhooks(6), client, set_status="disabled")
    rig.run(survey=True)
    assert rig.ledger.counts() == {"exists": 4, "conflict": 1, "created": 1}
    assert str(rig.ledger.settlements[5].message).endswith("differs in: destination")
    assert (client.streams[-1]["name"], client.streams[-1]["status"]) == ("s5", "disabled")
    assert rig.ledger.given[6] == "disabled"


@pytest.mark.parametrize("page_size", [1, 2, 50])
@pytest.mark.parametrize("set_status", ["enabled", "disabled"])
def test_under_a_given_status_nameless_twins_are_counted_whatever_their_own_is(page_size: int, set_status: str) -> None:
    """Of four nameless records that differ in nothing but their status, three streams are there: one is made."""
    client = ScriptedClient(unique=False)
    client.page_size = page_size
    on, off = (webhook(None, "https://e.com/a", status=status) for status in ("enabled", "disabled"))
    for one in (off, off, on):
        client.add(one, at=LONG_AGO)
    rig = Rig([on, on, off, webhook(None, "https://e.com/a")], client, set_status=set_status)
    rig.run(survey=True)
    assert rig.ledger.counts() == {"exists": 3, "created": 1}
    assert len({settled.remote_id for settled in rig.ledger.settlements.values()}) == 4
    assert client.streams[-1]["status"] == set_status


def test_without_a_given_status_a_nameless_stream_of_another_is_no_records_own() -> None:
    """What the line asks for is not there: it is made."""
    client = ScriptedClient(unique=False)
    client.add(webhook(None, "https://e.com/a", status="disabled"), at=LONG_AGO)
    rig = Rig([webhook(None, "https://e.com/a")], client)
    rig.run(survey=True)
    assert rig.ledger.counts() == {"created": 1}
    assert len(client.streams) == 2


@pytest.mark.parametrize("name", ["s0", None])
def test_what_a_given_status_came_to_late_is_found_by_a_run_without_one(name: str | None) -> None:
    """A lost attempt that was taken for absent took effect after all, with the status that its run gave."""
    client = ScriptedClient(unique=False)
    client.add(webhook(name, status="disabled"), at=NOON - 5)
    rig = Rig([webhook(name)], client)
    rig.ledger.ours_since[1], rig.ledger.given[1] = NOON - 6.0, "disabled"
    rig.run(survey=True)
    assert rig.ledger.counts() == {"created": 1}
    assert rig.ledger.settlements[1].recovered
    assert client.creates == []
