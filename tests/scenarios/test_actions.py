"""Lines that name actions: the real command against tenants whose actions have ids of their own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bulkstreams.sandbox import scopes_without
from tests.scenarios.rig import Desk, Server, configuration, for_each, once_each, until, webhook

ACTIONS = ("audit=act_1", "twice=act_2", "twice=act_3", "notify")


def handled(name: str | None, by: str, **more: Any) -> dict[str, Any]:
    """Return a definition whose events go to an action."""
    return webhook(name, destination={"type": "action", "configuration": {"action_id": by}}, **more)


def named(count: int) -> list[dict[str, Any]]:
    """Return definitions that name an action."""
    return [handled(f"s{i}", "${action:audit}") for i in range(count)]


def ids(server: Server, tenant: str = "sandbox") -> dict[str, str]:
    """Return the action of each stream of a tenant that has one, by the stream's name."""
    found = {one["name"]: one["destination"]["configuration"] for one in server.streams(tenant)}
    return {name: one["action_id"] for name, one in found.items() if "action_id" in one}


def test_a_name_becomes_an_id_or_makes_its_record_invalid(desk: Desk, serve: Callable[..., Server]) -> None:
    """What is wrong is told with near names, or with the ids; the rest goes; a later run checks it again."""
    server = serve(actions=ACTIONS)
    rows = [
        handled("a", "${action:audit}"),
        handled("b", "${action:audti}"),
        handled("c", "${action:twice}"),
        handled("d", "act_3"),
        webhook("e"),
    ]
    ended = desk.provision(server, desk.write("in.jsonl", rows))
    assert (ended.code, ended.records) == (1, {"total": 5, "created": 3, "invalid": 2}), ended
    assert ids(server) == {"a": "act_1", "d": "act_3"}
    assert (server.requests("actions"), ended.json["this_run"]["requests"]) == (1, 3)
    told = {row["name"]: row["message"] for row in desk.results("--state", "invalid")}
    assert told["b"].endswith(' has no action named "audti" (did you mean "audit"?)'), told
    assert '2 actions named "twice" ("act_2", "act_3")' in told["c"]
    again = desk.provision(server, "in.jsonl")
    assert (again.code, again.records) == (1, {"total": 5, "created": 3, "invalid": 2}), again
    assert (server.requests("actions"), server.requests()) == (2, 3)
    rows[1] = handled("b", "${action:audit}")
    rows[2] = handled("c", "act_2")
    fixed = desk.provision(server, desk.write("in.jsonl", rows))
    assert (fixed.code, fixed.records) == (0, {"total": 5, "created": 5}), fixed
    assert ids(server) == {"a": "act_1", "b": "act_1", "c": "act_2", "d": "act_3"}


def test_an_unchanged_input_is_checked_again_once_the_action_is_there(desk: Desk, serve: Callable[..., Server]) -> None:
    """Whoever made the action runs the same command: the record that was invalid is created."""
    rows = [handled("a", "${action:audit}"), handled("b", "${action:later}")]
    first = serve(actions=("audit=act_1",), any_action=True)
    ended = desk.provision(first, desk.write("in.jsonl", rows))
    assert (ended.code, ended.records) == (1, {"total": 2, "created": 1, "invalid": 1}), ended
    first.add_action("later", "act_9")
    again = desk.provision(first, "in.jsonl")
    assert (again.code, again.records) == (0, {"total": 2, "created": 2}), again
    assert ids(first) == {"a": "act_1", "b": "act_9"}


def test_each_tenant_has_an_id_of_its_own_for_a_name(desk: Desk, serve: Callable[..., Server]) -> None:
    """One look-up a tenant; one without references is not asked, and what is created is not looked up again."""
    server = serve(actions=ACTIONS)
    desk.write("bulkstreams.toml", configuration({"acme": server, "globex": server, "plain": server}))
    rows = for_each(["acme", "globex"], [handled(f"s{i}", "${action:notify}") for i in range(3)])
    desk.write("in.jsonl", [*rows, *for_each(["plain"], [webhook("w")])])
    for _ in range(2):
        ended = desk.run("run", "in.jsonl", "--json")
        assert (ended.code, ended.records) == (0, {"total": 7, "created": 7}), ended
        assert server.requests("actions") == 2
    (acme,), (globex,) = ({*ids(server, tenant).values()} for tenant in ("acme", "globex"))
    assert acme != globex


def test_a_resumed_run_that_reads_nothing_anew_still_knows(desk: Desk, serve: Callable[..., Server]) -> None:
    """That lines name actions is in the ledger: they are looked up again, since they may have changed."""
    server = serve(actions=ACTIONS)
    desk.write("in.jsonl", named(5))
    first = desk.provision(server, "in.jsonl", "--limit", "2")
    assert (first.code, first.records) == (4, {"total": 5, "created": 2, "pending": 3}), first
    second = desk.provision(server, "in.jsonl")
    assert (second.code, second.records) == (0, {"total": 5, "created": 5}), second
    assert (server.requests("actions"), server.requests("list")) == (2, 1)
    assert set(ids(server).values()) == {"act_1"}


def test_killed_half_way_it_ends_with_each_stream_once(desk: Desk, serve: Callable[..., Server]) -> None:
    """What was in flight is found by the name of its action, where names are unique or not."""
    server = serve(actions=ACTIONS, latency=(0.01, 0.02), unique_names=False)
    rows = [
        *named(100),
        *(handled(None, "${action:audit}", subscriptions=[{"event_type": "user.deleted"}]) for _ in [1]),
    ]
    running = desk.start_provision(server, desk.write("in.jsonl", rows), "--concurrency", "8")
    until(lambda: len(server.streams()) > 40)
    running.kill()
    again = desk.provision(server, "in.jsonl")
    assert (again.code, again.records) == (0, {"total": 101, "created": 101}), again
    assert server.accepted() == once_each(rows)


def test_lost_answers_and_a_lost_ledger_are_made_good_by_name(desk: Desk, serve: Callable[..., Server]) -> None:
    """Streams whose answers were lost are recovered; without the ledger, all are found there."""
    server = serve(actions=ACTIONS, faults={"error-after": 0.3, "reset-after": 0.2}, unique_names=False)
    desk.write("in.jsonl", named(30))
    first = desk.provision(server, "in.jsonl")
    assert (first.code, first.records) == (0, {"total": 30, "created": 30}), first
    assert first.json["this_run"]["recovered"] > 0
    (desk.folder / "in.ledger.db").unlink()
    again = desk.provision(server, "in.jsonl")
    assert (again.code, again.records) == (0, {"total": 30, "exists": 30}), again
    assert len(server.streams()) == 30


def test_trouble_with_the_look_up_is_borne(desk: Desk, serve: Callable[..., Server]) -> None:
    """Errors, resets and a page of HTML in place of the list cost a while, and nothing else."""
    faults = {"error-before": 0.3, "reset-before": 0.2, "html-502": 0.1, "throttle": 0.2}
    server = serve(
        actions=(*ACTIONS, *(f"action {i}" for i in range(120))), faults=faults, faults_on=("actions",), seed=3
    )
    ended = desk.provision(server, desk.write("in.jsonl", [*named(3), handled("z", "${action:action 119}")]))
    assert (ended.code, ended.records) == (0, {"total": 4, "created": 4}), ended
    assert server.faults() > 0
    assert server.requests("actions") > 3


def test_a_token_that_may_not_read_actions_stops_its_tenant_alone(desk: Desk, serve: Callable[..., Server]) -> None:
    """The scope is named; nothing was sent there; and whoever writes out the ids needs no such scope."""
    server = serve(actions=ACTIONS, scopes=scopes_without(("read:actions",)))
    desk.write("bulkstreams.toml", configuration({"acme": server, "globex": server}))
    desk.write("in.jsonl", [*for_each(["acme"], named(2)), *for_each(["globex"], [handled("x", "act_1")])])
    ended = desk.run("run", "in.jsonl")
    assert ended.code == 4, ended
    assert desk.states() == {"pending": 2, "created": 1}
    assert "Give the client the scope read:actions" in ended.out + ended.err
    assert "Insufficient scope, expected any of: read:actions" in ended.err
    desk.write("in.jsonl", for_each(["acme"], [handled("s0", "act_1"), handled("s1", "act_1")]))
    fixed = desk.run("run", "in.jsonl", "--json")
    assert (fixed.code, fixed.records) == (0, {"total": 2, "created": 2}), fixed


def test_validating_asks_no_tenant(desk: Desk, server: Server) -> None:
    """Offline, a reference that is well written is right; one in another place is told where it belongs."""
    desk.write("bulkstreams.toml", configuration({"acme": server}))
    rows = [*named(2), handled("x", "x-${action:audit}"), webhook("${action:audit}")]
    ended = desk.run("validate", desk.write("in.jsonl", for_each(["acme"], rows)), "--json")
    assert (ended.code, ended.json["records"]["valid"], ended.json["records"]["invalid"]) == (1, 2, 2), ended
    assert "allowed: an id, or ${action:NAME}" in ended.err
    assert "only destination.configuration.action_id may be ${action:NAME}" in ended.err
    assert server.requests("actions") == 0
