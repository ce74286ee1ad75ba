"""Lines that name actions: what is looked up and when, what is sent, what is told invalid, and what is recognised."""

from __future__ import annotations

from typing import Any

import anyio
import pytest

from bulkstreams.engine import referring
from bulkstreams.engine.lane import Lane
from bulkstreams.model import Failure
from tests.engine.fakes import LOST, NOON, After, Rig, ScriptedClient, action, in_told_time, webhook

LONG_AGO = NOON - 1e8
REFUSED = Failure("no connection to example.com:443 (refused)", False, 0.01)
UNKNOWN = 'destination.configuration.action_id: acme has no action named "audti" (did you mean "audit"?)'


def server(*, unique: bool = True, script: Any = None) -> ScriptedClient:
    """Return a server that has an action of one name, and two of another."""
    client = ScriptedClient(script, unique=unique)
    client.known_actions = [
        {"id": "act_1", "name": "audit"}, {"id": "act_2", "name": "twice"}, {"id": "act_3", "name": "twice"},
    ]  # fmt: skip
    return client


def lines() -> list[dict[str, Any]]:
    """Return records that name an action, an unknown one, one of two, and none."""
    return [
        action("a", "${action:audit}"), action("b", "${action:audti}"), action("c", "${action:twice}"),
        action("d", "act_9"), webhook("e"),
    ]  # fmt: skip


def handled_by(client: ScriptedClient) -> dict[str | None, str]:
    """Return the action of each stream that is there, by the stream's name."""
    return {
        one.get("name"): one["destination"]["configuration"]["action_id"]
        for one in client.streams
        if one["destination"]["type"] == "action"
    }


@pytest.mark.parametrize("survey", [True, False])
def test_the_id_is_sent_and_a_name_that_stands_for_none_is_invalid(survey: bool) -> None:
    """One look-up comes before anything else; the invalid records are told before the first create, the others go."""
    rig = Rig(lines(), server(), refers=True)
    rig.run(survey=survey)
    assert rig.ledger.counts() == {"created": 3, "invalid": 2}
    assert handled_by(rig.client) == {"a": "act_1", "d": "act_9"}
    assert rig.ledger.settlements[2].message == UNKNOWN
    assert '2 actions named "twice" ("act_2", "act_3")' in str(rig.ledger.settlements[3].message)
    assert [rig.ledger.settlements[id_].error_code for id_ in (2, 3)] == ["invalid"] * 2
    assert [one.id for one in rig.told][:2] == [2, 3]
    (asked,) = rig.client.asked_actions
    assert all(asked[0] < at for at, _ in [*rig.client.pages, *rig.client.creates])
    assert rig.ledger.tally.lookups == (2 if survey else 1)
    assert rig.lane.stopped is None


def test_what_is_invalid_is_not_counted_as_left() -> None:
    """Who asks how much there is to do is told of what can be sent."""
    rig = Rig(lines(), server(), concurrency=1, refers=True)
    left: list[int] = []
    rig.client.script = lambda _name, _n: (left.append(rig.lane.left()), "ok")[1]
    rig.run(survey=True)
    assert left == [3, 2, 1]


def test_a_tenant_without_references_is_not_asked() -> None:
    """Whoever names no action needs no scope for them, and pays no request."""
    rig = Rig([action("d", "act_9"), webhook("e")], server())
    rig.run(survey=True)
    assert rig.ledger.counts() == {"created": 2}
    assert rig.client.asked_actions == []


def test_many_records_are_looked_through_a_page_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """None is missed where a page ends, and none is claimed before it was looked at."""
    monkeypatch.setattr(referring, "PAGE", 3)
    rig = Rig(
        [action(f"s{i}", "${action:audti}" if i % 2 else "${action:audit}") for i in range(20)], server(), refers=True
    )
    rig.run(survey=True)
    assert rig.ledger.counts() == {"created": 10, "invalid": 10}
    assert len(rig.client.creates) == 10
    assert {one.state for one in rig.told[:10]} == {"invalid"}


def test_a_name_that_is_known_no_more_as_its_record_is_sent_makes_it_invalid() -> None:
    """A line that was looked through in vain is not sent with the name in place of an id; the next one is."""
    rig = Rig([action(name, "${action:audit}") for name in "abc"], server(), concurrency=1, refers=True)

    def script(name: str, _n: int) -> str:
        rig.ledger.definitions[2] = action("b", "${action:audti}")
        return "ok"

    rig.client.script = script
    rig.run(survey=True)
    assert rig.ledger.counts() == {"created": 2, "invalid": 1}
    assert rig.ledger.settlements[2].message == UNKNOWN
    assert handled_by(rig.client) == {"a": "act_1", "c": "act_1"}


@pytest.mark.parametrize("allowance", [0, 1])
def test_what_is_invalid_costs_nothing_of_what_a_run_may_take(allowance: int) -> None:
    """A limit counts what is sent."""
    rig = Rig(lines()[:3], server(), refers=True)
    rig.allowance = allowance
    rig.run()
    assert rig.ledger.counts() == ({"created": 1, "invalid": 2} if allowance else {"pending": 1, "invalid": 2})


def test_a_403_stops_the_lane_before_anything_is_sent() -> None:
    """The remedy names the scope; the records stay pending, whatever they are."""
    rig = Rig(lines(), server(), refers=True)
    rig.client.actions_script = lambda _n: rig.client.reply(403, {"message": "Insufficient scope"})
    lane = rig.run(survey=True)
    assert lane.stopped == "acme answered 403 to the look-up of its actions: Insufficient scope"
    assert "read:actions" in lane.stop_hint
    assert rig.ledger.counts() == {"pending": 5}
    assert rig.client.creates == rig.client.pages == []


def test_a_look_up_that_is_throttled_is_waited_for() -> None:
    """Nothing is sent meanwhile, and the pause that the server asks for is kept."""
    client = server()
    client.actions_script = lambda n: client.reply(429, {}, retry_after="7") if n <= 2 else None
    rig = Rig(lines(), client, refers=True)
    rig.run(survey=True)
    assert rig.ledger.counts() == {"created": 3, "invalid": 2}
    first, second, third = (at for at, _ in client.asked_actions)
    assert second - first >= 7
    assert third - second >= 7
    assert client.creates[0][0] > third


def test_a_tenant_that_cannot_be_reached_exhausts_what_was_never_sent() -> None:
    """As it is where a survey cannot be done."""
    rig = Rig(lines(), server(), retries=2, refers=True)
    rig.client.actions_script = lambda _n: REFUSED
    lane = rig.run(survey=True)
    assert lane.stopped is None
    assert lane.finished
    assert rig.ledger.counts() == {"exhausted": 5}
    assert {one.message for one in rig.ledger.settlements.values()} == {f"never sent: {REFUSED.reason}"}


def test_a_tenant_that_cannot_be_reached_keeps_its_doubts() -> None:
    """They are nobody's to clear without a look-up, and the lane does not wait for them."""
    rig = Rig([*lines(), action("f", "${action:audit}")], server(), refers=True)
    rig.ledger.leave_in_doubt(6, sent_at=NOON - 5)
    rig.client.actions_script = lambda _n: REFUSED
    lane = rig.run(survey=True)
    assert "cannot be reached" in str(lane.stopped)
    assert rig.ledger.counts() == {"exhausted": 5, "in_doubt": 1}


def test_a_lane_that_leaves_its_seat_looks_up_once() -> None:
    """In its next turn it goes on where it was: with the page that comes next, and then with its records."""
    client = server()
    client.page_size = 1
    rig = Rig(lines(), client, refers=True)

    async def scene() -> None:
        rig.lane = lane = rig._lane()
        async with anyio.create_task_group() as group:
            group.start_soon(rig.recorder.run)
            group.start_soon(shoo, lane)
            lane.expect(5)
            lane.work.expect(survey=True)  # type: ignore[attr-defined]
            while not lane.finished:
                await lane.run()
            await rig.recorder.flush()
            rig.recorder.close()

    async def shoo(lane: Lane) -> None:
        for _ in range(8):
            await anyio.sleep(0.007)
            lane.leave()

    in_told_time(scene)
    assert rig.ledger.counts() == {"created": 3, "invalid": 2}
    assert [page for _, page in client.asked_actions] == [0, 1, 2]


# -- what stands at the tenant ----------------------------------------------------------------------------------------


def test_a_stream_is_recognised_by_the_name_of_its_action() -> None:
    """With the ledger lost, nothing is created twice; another action, or another status, is a conflict."""
    client = server()
    client.page_size = 2
    for name, by, status in (("a", "act_1", "enabled"), ("b", "act_2", "enabled"), ("c", "act_1", "disabled")):
        client.add(action(name, by, status=status), at=LONG_AGO)
    rig = Rig([action(name, "${action:audit}") for name in "abcd"], client, refers=True)
    rig.run(survey=True)
    assert rig.ledger.counts() == {"exists": 1, "conflict": 2, "created": 1}
    assert rig.ledger.settlements[1].remote_id == "est_1"
    assert str(rig.ledger.settlements[2].message).endswith("differs in: destination")
    assert str(rig.ledger.settlements[3].message).endswith("differs in: status")


def test_a_name_that_is_taken_is_held_against_the_name_of_the_action() -> None:
    """Where nothing is looked for first, the 409 leads to the same."""
    client = server()
    client.add(action("a", "act_1"), at=LONG_AGO)
    client.add(action("b", "act_2"), at=LONG_AGO)
    rig = Rig([action("a", "${action:audit}"), action("b", "${action:audit}")], client, refers=True)
    rig.run()
    assert rig.ledger.counts() == {"exists": 1, "conflict": 1}
    assert len(client.creates) == 2


def test_one_record_names_the_action_of_a_stream_and_another_has_its_id() -> None:
    """Both are right, whichever way it is written."""
    client = server()
    client.add(action("a", "act_1"), at=LONG_AGO)
    client.add(action("b", "act_1"), at=LONG_AGO)
    rig = Rig([action("a", "${action:audit}"), action("b", "act_1")], client, refers=True)
    rig.run(survey=True)
    assert rig.ledger.counts() == {"exists": 2}


def test_a_name_that_several_actions_have_is_no_name_of_a_stream() -> None:
    """A record that has the id is equal all the same."""
    client = server()
    client.add(action("a", "act_2"), at=LONG_AGO)
    rig = Rig([action("a", "act_2"), action("b", "${action:twice}")], client, refers=True)
    rig.run(survey=True)
    assert rig.ledger.counts() == {"exists": 1, "invalid": 1}


@pytest.mark.parametrize("page_size", [1, 50])
def test_a_nameless_stream_is_known_by_both_of_its_definitions(page_size: int) -> None:
    """It stands for one record: the one that names the action, or the one that has its id, never for both."""
    client = server(unique=False)
    client.page_size = page_size
    for _ in range(2):
        client.add(action(None, "act_1"), at=LONG_AGO)
    rig = Rig(
        [action(None, "${action:audit}"), action(None, "act_1"), action(None, "${action:audit}")], client, refers=True
    )
    rig.run(survey=True)
    assert rig.ledger.counts() == {"exists": 2, "created": 1}
    assert len({one.remote_id for one in rig.ledger.settlements.values()}) == 3
    assert len(client.streams) == 3


@pytest.mark.parametrize("survey", [True, False])
def test_a_given_status_and_a_named_action_go_together(survey: bool) -> None:
    """Both are put in place as it is sent, and neither is a difference to a stream that is there already."""
    client = server()
    client.add(action("a", "act_1"), at=LONG_AGO)
    rig = Rig([action(name, "${action:audit}") for name in "ab"], client, set_status="disabled", refers=True)
    rig.run(survey=survey)
    assert rig.ledger.counts() == {"exists": 1, "created": 1}
    assert handled_by(client) == {"a": "act_1", "b": "act_1"}
    assert [one.get("status") for one in client.streams] == [None, "disabled"]


@pytest.mark.parametrize("name", ["a", None])
def test_a_lost_answer_is_found_by_the_name_of_the_action(name: str | None) -> None:
    """The stream that the attempt made is ours, and no second one is sent."""
    client = server(unique=False, script=lambda _name, _n: After(LOST))
    rig = Rig([action(name, "${action:audit}")], client, refers=True)
    rig.run(survey=True)
    assert rig.ledger.counts() == {"created": 1}
    assert rig.ledger.settlements[1].recovered
    assert len(client.streams) == len(client.creates) == 1


@pytest.mark.parametrize("name", ["a", None])
def test_what_a_process_that_died_left_in_doubt_waits_for_the_names(name: str | None) -> None:
    """The look-up of actions comes first, also where it takes longer than the doubt has to settle."""
    client = server(unique=False)
    client.actions_script = lambda n: client.reply(429, {}, retry_after="30") if n == 1 else None
    client.add(action(name, "act_1"), at=NOON - 1)
    rig = Rig([action(name, "${action:audit}"), action("b", "${action:audti}")], client, refers=True)
    rig.ledger.leave_in_doubt(1, sent_at=NOON - 1)
    rig.run(survey=True)
    assert rig.ledger.counts() == {"created": 1, "invalid": 1}
    assert (rig.ledger.settlements[1].remote_id, rig.ledger.settlements[1].recovered) == ("est_1", True)
    assert client.creates == []
    assert client.pages[0][0] > client.asked_actions[1][0] > 30


def test_doubts_alone_are_enough_to_look_the_names_up() -> None:
    """A stream that is not there is sent after all; a name that is known no more makes its record invalid then."""
    client = server()
    rig = Rig([action("a", "${action:audit}"), action("b", "${action:audti}")], client, refers=True)
    for id_ in (1, 2):
        rig.ledger.leave_in_doubt(id_, sent_at=NOON - 1)
    rig.run()
    assert rig.ledger.counts() == {"created": 1, "invalid": 1}
    assert rig.ledger.settlements[2].message == UNKNOWN
    assert handled_by(client) == {"a": "act_1"}
