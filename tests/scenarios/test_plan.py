"""`plan`, which is `run --dry-run`: it says what a run would do, a run does just that, and nothing is sent before."""

from __future__ import annotations

import json
import socket
from base64 import urlsafe_b64encode
from collections.abc import Callable
from contextlib import closing
from random import Random
from typing import Any

import pytest

from bulkstreams.sandbox.settings import SCOPES
from tests.scenarios.rig import (
    TERM,
    TOKEN,
    Desk,
    Ended,
    Server,
    as_lines,
    configuration,
    for_each,
    nameless,
    until,
    webhook,
    webhooks,
)

ENDPOINT = "destination.configuration.webhook_endpoint"
HOOK, OTHER = '"https://example.com/hook"', '"https://example.com/other"'
BECOMES = {
    "created": "create",
    "exists": "exists",
    "conflict": "conflict",
    "invalid": "invalid",
    "duplicate": "duplicate",
}


def plan(desk: Desk, server: Server, *arguments: str, env: dict[str, str | None] | None = None) -> Ended:
    """Run `plan … --json` against a server to its end; its tenants get no request but such as read."""
    before = wrote(server)
    ended = desk.run("plan", *arguments, "--base-url", server.url, "--json", env=env or {})
    assert wrote(server) == before
    return ended


def wrote(server: Server) -> int:
    """Return how many requests arrived, at all tenants, that were no reading."""
    tenants = server.books()["tenants"].values()
    return sum(
        count
        for one in tenants
        for kind, count in one["requests"].items()
        if kind not in {"list", "read", "token", "actions"}
    )


def closed_port() -> int:
    """Return a port on which nobody listens."""
    with closing(socket.socket()) as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


MIXES: dict[str, tuple[list[Any], list[Any]]] = {
    "fresh": ([], [*webhooks(5), *nameless(3)]),
    "there": (webhooks(5), webhooks(5)),
    "other": ([webhook("s1", status="disabled"), webhook("legacy")], webhooks(3)),
    "twins": ([*nameless(2), *nameless(1)], [{"key": f"k{i}", "stream": nameless(1)[0]} for i in range(3)]),
    "broken": ([webhook("s0")], [*webhooks(2), webhook("s1"), webhook("bad", status="on"), b"{"]),
    "bad": ([], [webhook("bad", secret="${env:NOT_SET}")]),
    "empty": ([webhook("legacy")], []),
    "alias": ([webhook("a")], [{"key": "x", "stream": webhook("a")}, {"key": "y", "stream": webhook("b")}]),
}


@pytest.mark.parametrize("mix", MIXES)
def test_a_run_does_what_was_planned(desk: Desk, server: Server, mix: str) -> None:
    """The plan's counts are the run's, its exit code is 0 exactly where the run's is; then none is left."""
    there, lines = MIXES[mix]
    server.seed(*there)
    desk.write("in.jsonl", lines)
    planned = plan(desk, server, "in.jsonl")
    assert not (desk.folder / "in.ledger.db").exists()
    ran = desk.provision(server, "in.jsonl")
    assert planned.records == {BECOMES.get(state, state): count for state, count in ran.records.items()}
    assert planned.code == ran.code
    after = plan(desk, server, "in.jsonl")
    assert "create" not in after.records
    assert after.code == ran.code


@pytest.mark.parametrize("mix", ["there", "other", "twins"])
def test_a_run_that_does_not_look_first_is_planned_as_such(desk: Desk, server: Server, mix: str) -> None:
    """What its creates would be refused over is foreseen; a nameless twin that they would make is told."""
    there, lines = MIXES[mix]
    server.seed(*there)
    desk.write("in.jsonl", lines)
    planned = plan(desk, server, "in.jsonl", "--no-preflight")
    ran = desk.provision(server, "in.jsonl", "--no-preflight")
    assert planned.records == {BECOMES[state]: count for state, count in ran.records.items() if state != "total"} | {
        "total": len(lines)
    }
    assert planned.code == ran.code


def test_a_dry_run_is_a_plan(desk: Desk, server: Server) -> None:
    """`run --dry-run` prints what `plan` does, and exits as it does; the next step is the run itself."""
    server.seed(*MIXES["other"][0])
    desk.write("in.jsonl", MIXES["other"][1])
    told = desk.run("plan", "in.jsonl", "--base-url", server.url)
    same = desk.run("run", "in.jsonl", "--dry-run", "--base-url", server.url)
    assert (same.code, same.out, same.err) == (told.code, told.out, told.err)
    assert set(desk.provision(server, "in.jsonl", "--dry-run").json) == set(plan(desk, server, "in.jsonl").json)
    assert wrote(server) == len(MIXES["other"][0])


@pytest.mark.parametrize("fault", ["reset-after", "reset-before", "hang-after"])
def test_doubts_of_a_run_that_was_killed_are_looked_up(desk: Desk, serve: Callable[..., Server], fault: str) -> None:
    """What a dead run left in doubt is planned as the next run finds it, and the ledger itself stays as it was."""
    server = serve(faults={fault: 0.5}, latency=(0.02, 0.02))
    desk.write("in.jsonl", [*webhooks(20), *nameless(20)])
    running = desk.start_provision(server, "in.jsonl", "--concurrency", "4")
    until(lambda: server.requests() > 8)
    running.kill()
    kept = ledger_of(desk)
    planned = desk.run("plan", "in.jsonl", "--base-url", server.url, "--timeout", "2", "--json")
    assert ledger_of(desk) == kept
    assert planned.code == 0, planned
    stood = len(server.streams())
    assert planned.records == {"total": 40, "create": 40 - stood, "exists": stood}
    assert planned.json["extra"] == 0
    ran = desk.provision(server, "in.jsonl", "--retries", "50", "--timeout", "2")
    assert (ran.code, len(server.streams())) == (0, 40), ran


def ledger_of(desk: Desk) -> dict[str, bytes]:
    """Return the ledger and its write-ahead log, without what SQLite keeps there of who reads."""
    return {path.name: path.read_bytes() for path in desk.folder.glob("in.ledger.db*") if path.suffix != ".db-shm"}


def test_conflicts_are_told_field_by_field_and_without_secrets(desk: Desk, server: Server) -> None:
    """Each property has its path and both values; the line's secret and an endpoint's password stand nowhere."""
    there = webhook("audit", status="disabled", subscriptions=[{"event_type": "user.deleted"}])
    there["destination"]["configuration"]["webhook_endpoint"] = f"https://me:{TOKEN}@example.com/other"
    server.seed(there, webhook("legacy"), webhook("older"))
    desk.write("in.jsonl", [webhook("audit", status="enabled"), webhook("new")])
    told = desk.run("plan", "in.jsonl", "--base-url", server.url)
    assert told.code == 1, told
    assert told.out.splitlines()[1:] == [
        f"  * {server.url.removeprefix('http://')}/audit (in.jsonl:1)",
        '      subscriptions: "user.created" only here; "user.deleted" only at the tenant',
        f"      {ENDPOINT}: {HOOK} here, {OTHER} at the tenant",
        '      status: "enabled" here, "disabled" at the tenant',
        "Plan: 2 records: 1 to create, 1 in conflict; a moment",
    ]
    assert "2 streams are there that the input does not name: legacy, older" in told.out
    assert told.err.endswith(f"To create it: bulkstreams run in.jsonl --base-url {server.url}\n")
    (conflict,) = plan(desk, server, "in.jsonl").json["conflicts"]
    assert conflict["differences"][2] == {"path": "status", "wanted": "enabled", "found": "disabled"}
    assert (conflict["key"], conflict["file"], conflict["line"]) == ("audit", "in.jsonl", 1)


def test_a_line_that_changed_after_its_stream_was_created_is_a_conflict(desk: Desk, server: Server) -> None:
    """The ledger knows the stream: it is compared by its id, though the line has another name now."""
    desk.write("in.jsonl", [{"key": "k", "stream": webhook("audit")}])
    assert desk.provision(server, "in.jsonl").code == 0
    desk.write("in.jsonl", [{"key": "k", "stream": webhook("renamed", status="disabled")}])
    planned = plan(desk, server, "in.jsonl")
    assert (planned.code, planned.records) == (1, {"total": 1, "conflict": 1})
    (conflict,) = planned.json["conflicts"]
    assert [one["path"] for one in conflict["differences"]] == ["name", "status"]
    assert planned.json["extra"] == 0


def test_a_conflict_that_is_over_is_told_as_such(desk: Desk, server: Server) -> None:
    """What a run once found different stays a conflict until --retry-failed, and the plan says that it would help."""
    server.seed(webhook("s0", status="disabled"))
    assert desk.provision(server, desk.write("in.jsonl", webhooks(1))).code == 1
    server.remove("s0")
    told = desk.run("plan", "in.jsonl", "--base-url", server.url)
    assert (told.code, "--retry-failed takes it again" in told.out) == (1, True), told
    server.seed(*webhooks(1))
    assert "it is equal by now; --retry-failed" in desk.run("plan", "in.jsonl", "--base-url", server.url).out
    again = plan(desk, server, "in.jsonl", "--retry-failed")
    assert (again.code, again.records) == (0, {"total": 1, "exists": 1})


def test_what_was_refused_is_told_apart(desk: Desk, server: Server) -> None:
    """A run leaves it out, and ends with 1, unless it is told to take it again; so does the plan."""
    desk.write("in.jsonl", [webhook("s0", subscriptions=[{"event_type": "user.unheard"}]), webhook("s1")])
    assert desk.provision(server, "in.jsonl", "--allow-unknown-events").code == 1
    planned = plan(desk, server, "in.jsonl", "--allow-unknown-events")
    assert (planned.code, planned.records) == (1, {"total": 2, "exists": 1, "refused": 1})
    again = plan(desk, server, "in.jsonl", "--allow-unknown-events", "--retry-failed")
    assert (again.code, again.records) == (0, {"total": 2, "exists": 1, "create": 1})


def test_a_limit_that_leaves_records_over_is_no_success(desk: Desk, server: Server) -> None:
    """A run that takes fewer than there are ends with 4, so its plan does not end with 0."""
    desk.write("in.jsonl", webhooks(5))
    planned = plan(desk, server, "in.jsonl", "--limit", "2")
    assert (planned.code, planned.json["would_send"], planned.records["create"]) == (1, 2, 5)
    assert plan(desk, server, "in.jsonl", "--limit", "5").code == 0


def test_a_create_that_will_be_refused_counts_for_the_limit(desk: Desk, server: Server) -> None:
    """A run takes it like any other, so it is left over where the limit is one short of it."""
    desk.write("in.jsonl", [{"key": key, "stream": webhook("a")} for key in ("k1", "k2")])
    planned = plan(desk, server, "in.jsonl", "--limit", "1")
    assert (planned.code, planned.records) == (1, {"total": 2, "create": 1, "exists": 1})
    assert plan(desk, server, "in.jsonl", "--limit", "2").code == 0
    ran = desk.provision(server, "in.jsonl", "--limit", "1")
    assert (ran.code, ran.records) == (4, {"total": 2, "created": 1, "pending": 1})
    ran = desk.provision(server, "in.jsonl", "--limit", "2")
    assert (ran.code, ran.records) == (0, {"total": 2, "created": 1, "exists": 1})


def test_each_tenant_is_told_and_one_that_cannot_be_read_stops_no_other(
    desk: Desk, serve: Callable[..., Server]
) -> None:
    """What is known is told; the records of the tenant that is away are unknown, and the exit code is 4."""
    server, strict = serve(), serve(refusing=["gone"])
    server.seed(webhook("s0"), webhook("legacy"), tenant="acme")
    toml = configuration({"acme": server, "beta": server, "gone": strict})
    (desk.folder / "bulkstreams.toml").write_bytes(toml)
    desk._inputs.add("bulkstreams.toml")
    desk.write("in.jsonl", for_each(["acme", "beta", "gone"], webhooks(3)))
    ended = desk.run("plan", "in.jsonl", "--json")
    assert ended.code == 4, ended
    assert ended.records == {"total": 9, "create": 5, "exists": 1, "unknown": 3}
    tenants = ended.json["tenants"]
    assert {name: one["records"]["unknown"] for name, one in tenants.items()} == {"acme": 0, "beta": 0, "gone": 3}
    assert (tenants["acme"]["extra"], tenants["acme"]["extra_names"]) == (1, ["legacy"])
    assert list(ended.json["stopped"]) == ["gone"]
    told = desk.run("plan", "in.jsonl")
    assert "beta: 3 records: 3 to create" in told.out
    assert "gone: 3 records: 0 to create, 3 unknown, since the tenant could not be read" in told.out
    assert "To plan again: bulkstreams plan in.jsonl" in told.err


def test_a_tenant_that_cannot_be_reached_is_told(desk: Desk) -> None:
    """Nobody listens there: nothing is known of its records, whether they would be created or not."""
    desk.write("in.jsonl", webhooks(2))
    url = f"http://127.0.0.1:{closed_port()}"
    ended = desk.run("plan", "in.jsonl", "--base-url", url, "--deadline", "2", "--json")
    assert ended.code == 4, ended
    assert ended.records == {"total": 2, "unknown": 2}
    assert "cannot be reached" in next(iter(ended.json["stopped"].values())) or "deadline" in ended.out


def test_a_list_that_fails_now_and_then_is_read_to_its_end(desk: Desk, serve: Callable[..., Server]) -> None:
    """Lost pages are asked for again; what is told is the whole."""
    faults = dict.fromkeys(("error-before", "reset-before", "throttle", "html-502", "truncate"), 0.1)
    server = serve(faults=faults, faults_on=("list",))
    server.seed(*webhooks(420))
    ended = plan(desk, server, desk.write("in.jsonl", webhooks(430)))
    assert (ended.code, ended.records) == (0, {"total": 430, "create": 10, "exists": 420})
    assert server.faults()


def handled(name: str, by: str, **more: Any) -> dict[str, Any]:
    """Return a definition whose events go to an action."""
    return webhook(name, destination={"type": "action", "configuration": {"action_id": by}}, **more)


@pytest.mark.parametrize("looks", [[], ["--no-preflight"]], ids=["preflight", "no-preflight"])
def test_actions_are_looked_up_and_compared_by_name(desk: Desk, serve: Callable[..., Server], looks: list[str]) -> None:
    """A name that stands for no action is invalid before anything is sent; a stream of another action differs by it."""
    server = serve(actions=("audit=act_1", "notify=act_2"), scopes=SCOPES)
    server.seed(handled("a", "act_1"), handled("b", "act_2"), handled("x", "act_2"))
    rows = [handled(name, "${action:audit}") for name in "abc"] + [handled("d", "${action:audti}")]
    desk.write("in.jsonl", rows)
    told = desk.run("plan", "in.jsonl", "--base-url", server.url, *looks)
    assert told.code == 1, told
    assert 'action_id: "${action:audit}" here, "${action:notify}" at the tenant' in told.out
    assert 'no action named "audti" (did you mean "audit"?) (e.g. in.jsonl:4, d)' in told.out
    planned = plan(desk, server, "in.jsonl", *looks)
    assert planned.records == {"total": 4, "create": 1, "exists": 1, "conflict": 1, "invalid": 1}
    (tenant,) = planned.json["tenants"].values()
    assert tenant["scopes_needed"] == ["read:event_streams", "read:actions", "create:event_streams"]
    assert tenant["extra_names"] == ["x"]
    ran = desk.provision(server, "in.jsonl", *looks)
    assert ran.records == {"total": 4, "created": 1, "exists": 1, "conflict": 1, "invalid": 1}


def test_actions_that_may_not_be_read_leave_a_tenant_unknown(desk: Desk, serve: Callable[..., Server]) -> None:
    """As a run would stop there before it sends anything: exit 4, with the scope that is missing."""
    server = serve(actions=("audit=act_1",), scopes=[one for one in SCOPES if one != "read:actions"])
    told = plan(desk, server, desk.write("in.jsonl", [handled("a", "${action:audit}")]))
    assert (told.code, told.records) == (4, {"total": 1, "unknown": 1})
    assert "read:actions" in next(iter(told.json["stopped"].values()))


def test_the_time_is_foreseen_by_the_narrowest_limit(desk: Desk, serve: Callable[..., Server]) -> None:
    """By our own rate where there is one; else by what is published for a tenant with that bucket, told as a guess."""
    server = serve(rate=16.0, burst=50)
    name = server.url.removeprefix("http://")
    desk.write("in.jsonl", webhooks(130))
    planned = plan(desk, server, "in.jsonl", "--rate", "10").json
    assert (planned["estimated_s"], planned["tenants"][name]["rate_basis"]) == (13.0, "ceiling")
    planned = plan(desk, server, "in.jsonl").json
    assert 4.9 <= planned["estimated_s"] <= 5.3
    assert (planned["tenants"][name]["rate"], planned["tenants"][name]["rate_basis"]) == (16.0, "published")
    told = desk.run("plan", "in.jsonl", "--base-url", server.url)
    assert "s at 16/s, which is published for its plan and was not seen" in told.out
    assert plan(desk, server, "in.jsonl", "--limit", "20").json["estimated_s"] < 1.0


def test_a_bucket_that_no_published_plan_has_is_sounded(desk: Desk, serve: Callable[..., Server]) -> None:
    """Where neither the list nor its size tells how fast it refills, a few more requests that only read find out."""
    server = serve(rate=10.0, burst=7)
    desk.write("in.jsonl", webhooks(60))
    planned = plan(desk, server, "in.jsonl").json
    (tenant,) = planned["tenants"].values()
    assert tenant["rate_basis"] == "observed"
    assert 5.0 <= tenant["rate"] <= 20.0
    assert 2.5 <= planned["estimated_s"] <= 12.0
    assert 3 <= server.requests("list") <= 11
    assert server.requests("create") == 0


def test_a_bucket_that_holds_all_that_is_to_be_created_is_not_sounded(desk: Desk, serve: Callable[..., Server]) -> None:
    """What goes at once needs no estimate, and costs no request for one."""
    server = serve(rate=10.0, burst=7)
    desk.write("in.jsonl", webhooks(4))
    plan(desk, server, "in.jsonl")
    assert server.requests("list") == 1


def test_a_plan_that_is_interrupted_tells_what_it_knows(desk: Desk, serve: Callable[..., Server]) -> None:
    """SIGTERM ends it in order, with the code of a signal; nothing was sent and no ledger is there."""
    server = serve(rate=0.01, burst=61)
    server.seed(*webhooks(60, "t"))
    desk.write("in.jsonl", webhooks(3))
    running = desk.start("plan", "in.jsonl", "--base-url", server.url, "--json")
    until(lambda: server.requests("list"))
    running.signal(TERM)
    running.says("draining")
    ended = running.wait()
    assert ended.code == 143, ended
    assert ended.records == {"total": 3, "unknown": 3}
    assert not (desk.folder / "in.ledger.db").exists()


def jwt(scope: str) -> str:
    """Return a web token with a scope claim; nobody checks its signature here."""
    return f"e30.{urlsafe_b64encode(json.dumps({'scope': scope}).encode()).decode().rstrip('=')}.sig"


def test_scopes_that_the_token_lacks_are_told_before_the_run_fails_over_them(desk: Desk, server: Server) -> None:
    """A token that says what it may do is taken at its word, and is shown nowhere; of any other nothing is said."""
    desk.write("in.jsonl", webhooks(1))
    reader = jwt("read:event_streams read:actions")
    told = desk.run("plan", "in.jsonl", "--base-url", server.url, env={"AUTH0_API_TOKEN": reader})
    assert told.code == 1, told
    assert "the token lacks create:event_streams, which a run will need" in told.out
    assert reader not in told.out + told.err
    both = plan(desk, server, "in.jsonl", env={"AUTH0_API_TOKEN": jwt("read:event_streams create:event_streams")})
    (tenant,) = both.json["tenants"].values()
    assert (both.code, tenant["scopes_lacking"]) == (0, [])
    assert tenant["scopes_needed"] == ["read:event_streams", "create:event_streams"]
    assert plan(desk, server, "in.jsonl").json["tenants"].popitem()[1]["scopes_lacking"] is None
    server.seed(*webhooks(1))
    assert plan(desk, server, "in.jsonl", env={"AUTH0_API_TOKEN": reader}).code == 0


def test_scopes_that_a_test_of_each_stream_needs_are_told_too(desk: Desk, server: Server) -> None:
    """`run --smoke` goes on after the creates, so its preview names what that takes."""
    desk.write("in.jsonl", webhooks(1))
    maker = {"AUTH0_API_TOKEN": jwt("read:event_streams create:event_streams")}
    dry = ("run", "in.jsonl", "--dry-run", "--json", "--base-url", server.url)
    assert desk.run(*dry, env=maker).code == 0
    planned = desk.run(*dry, "--smoke", "user.created", env=maker)
    (tenant,) = planned.json["tenants"].values()
    assert (planned.code, tenant["scopes_lacking"]) == (1, ["update:event_streams", "read:event_deliveries"])
    assert server.requests("test") == 0


def test_scopes_come_with_a_fetched_token(desk: Desk, serve: Callable[..., Server]) -> None:
    """The answer to a token request says what was granted."""
    server = serve(clients={"me": "secret"}, strict_tokens=True, scopes=("read:event_streams",))
    desk.write("in.jsonl", webhooks(1))
    client = {"AUTH0_API_TOKEN": None, "AUTH0_CLIENT_ID": "me", "AUTH0_CLIENT_SECRET": "secret"}
    planned = plan(desk, server, "in.jsonl", env=client)
    (tenant,) = planned.json["tenants"].values()
    assert (planned.code, tenant["scopes_lacking"]) == (1, ["create:event_streams"])


def test_many_conflicts_are_counted_not_listed(desk: Desk, server: Server) -> None:
    """A person sees the first twenty, a machine the first hundred, and both how many more there are."""
    server.seed(*(webhook(f"s{i}", status="disabled") for i in range(120)))
    desk.write("in.jsonl", webhooks(120))
    told = desk.run("plan", "in.jsonl", "--base-url", server.url)
    assert told.out.count("  * ") == 20
    assert "… and 100 more in conflict" in told.out
    found = plan(desk, server, "in.jsonl").json
    assert (len(found["conflicts"]), found["more_conflicts"]) == (100, 20)


def test_standard_input_and_several_files_are_planned(desk: Desk, server: Server) -> None:
    """What a run takes, a plan takes, and conflicts in a pipe are compared as well."""
    server.seed(webhook("s0", status="disabled"))
    desk.write("more.jsonl", webhooks(3, "m"))
    ended = desk.run(
        "plan", "-", "more.jsonl", "--base-url", server.url, "--json", "--ledger", "x.db", stdin=as_lines(webhooks(2))
    )
    assert (ended.code, ended.records) == (1, {"total": 5, "create": 4, "conflict": 1})
    assert ended.json["conflicts"][0]["file"] == "<stdin>"


def test_a_ledger_that_a_run_would_refuse_is_refused(desk: Desk, serve: Callable[..., Server]) -> None:
    """Made for another address: exit 3, and the ledger is told by the name that people know."""
    assert desk.provision(serve(), desk.write("in.jsonl", webhooks(1))).code == 0
    other = serve()
    ended = plan(desk, other, "in.jsonl")
    assert ended.code == 3, ended
    assert "the ledger in.ledger.db was made for" in ended.err
    (desk.folder / "in.ledger.db").write_bytes(b"no ledger")
    assert plan(desk, other, "in.jsonl").code == 3


def test_a_sandbox_of_its_own_can_be_planned_for(desk: Desk) -> None:
    """`--sandbox` plans against an empty tenant inside the process."""
    ended = desk.run("plan", desk.write("in.jsonl", webhooks(3)), "--sandbox", "--json")
    assert (ended.code, ended.records) == (0, {"total": 3, "create": 3})


def test_names_that_others_gave_cannot_steer_a_terminal(desk: Desk, server: Server) -> None:
    """A stream's name is somebody else's text: what would move the cursor is written out."""
    server.seed(webhook("evil\u001b[2J\u202e"))
    told = desk.run("plan", desk.write("in.jsonl", webhooks(1)), "--base-url", server.url)
    assert "\u001b" not in told.out
    assert "\\u001b[2J\\u202e" in told.out


@pytest.mark.parametrize("looks", [[], ["--no-preflight"]], ids=["preflight", "no-preflight"])
def test_a_status_that_is_set_is_no_conflict(desk: Desk, server: Server, looks: list[str]) -> None:
    """Where every stream is to be given a status, that of what is there is not compared, nor told."""
    server.seed(webhook("s0", status="disabled"), webhook("s1", subscriptions=[{"event_type": "user.deleted"}]))
    desk.write("in.jsonl", webhooks(3))
    flags = ("--set-status", "enabled", *looks)
    planned = plan(desk, server, "in.jsonl", *flags)
    assert planned.records == {"total": 3, "create": 1, "exists": 1, "conflict": 1}
    assert [one["path"] for one in planned.json["conflicts"][0]["differences"]] == ["subscriptions"]
    ran = desk.provision(server, "in.jsonl", *flags)
    assert (ran.code, ran.records) == (1, {"total": 3, "created": 1, "exists": 1, "conflict": 1})


def test_doubts_are_cleared_also_where_a_run_would_not_look_first(desk: Desk, serve: Callable[..., Server]) -> None:
    """`--no-preflight` saves the look before the first create, not the one that doubt needs."""
    server = serve(faults={"reset-after": 1.0}, latency=(0.02, 0.02))
    desk.write("in.jsonl", webhooks(2))
    running = desk.start_provision(server, "in.jsonl")
    until(lambda: server.faults())
    running.kill()
    stood = len(server.streams())
    planned = desk.run("plan", "in.jsonl", "--base-url", server.url, "--no-preflight", "--retries", "50", "--json")
    assert (planned.code, planned.records) == (
        0,
        {"total": 2, "create": 2 - stood, "exists": stood} if stood < 2 else {"total": 2, "exists": 2},
    )


def world(seed: int) -> tuple[list[dict[str, Any]], list[Any]]:
    """Return what stands at a tenant and what an input has, drawn from so few names that they meet in every way."""
    chance = Random(seed)

    def stream() -> dict[str, Any]:
        events = chance.sample(["user.created", "user.deleted", "user.updated"], chance.randint(1, 2))
        more: dict[str, Any] = {"subscriptions": [{"event_type": one} for one in events]}
        if chance.random() < 0.3:
            more["status"] = "disabled"
        return webhook(None if chance.random() < 0.4 else f"n{chance.randrange(8)}", **more)

    def line() -> Any:
        if chance.random() < 0.1:
            return chance.choice([b"{", webhook("bad", status="on"), {"stream": 1}])
        return {"key": f"k{chance.randrange(20)}", "stream": stream()} if chance.random() < 0.5 else stream()

    there = {one.get("name", str(i)): one for i, one in enumerate(stream() for _ in range(8))}
    return list(there.values()), [line() for _ in range(20)]


@pytest.mark.parametrize("seed", range(6))
def test_plan_run_and_verify_agree_in_any_world(desk: Desk, server: Server, seed: int) -> None:
    """A run does what was planned; a verification finds equal what the run made or found, and nothing else."""
    there, lines = world(seed)
    server.seed(*there)
    desk.write("in.jsonl", lines)
    planned = plan(desk, server, "in.jsonl")
    ran = desk.provision(server, "in.jsonl", "--concurrency", "1")  # of two lines of a name, the first goes first
    assert planned.records == {BECOMES.get(state, state): count for state, count in ran.records.items()}
    assert planned.code == ran.code
    verified = desk.run("verify", "in.jsonl", "--base-url", server.url, "--json").json
    found, records = verified["records"], ran.json["records"]
    assert found["equal"] == records["created"] + records["exists"]
    assert found["different"] == records["conflict"]
    assert (found["missing"], found["in_doubt"], found["invalid"]) == (0, 0, records["invalid"])
    assert found["total"] == records["total"] - records["duplicate"]
    again = plan(desk, server, "in.jsonl").json
    assert again["extra"] == found["extra"]
    assert again["records"]["create"] == 0


def test_a_plan_is_in_nobodys_way(desk: Desk, serve: Callable[..., Server]) -> None:
    """While a run holds the ledger another process plans: it sees how things stand, and the run goes on."""
    server = serve(latency=(0.05, 0.05))
    running = desk.start_provision(server, desk.write("in.jsonl", webhooks(200)), "--concurrency", "2")
    until(lambda: server.requests() > 5)
    planned = desk.run("plan", "in.jsonl", "--base-url", server.url, "--json")
    assert (planned.code, planned.json["records"]["total"]) == (0, 200), planned
    assert planned.records["exists"] > 5
    ran = running.wait()
    assert (ran.code, ran.records) == (0, {"total": 200, "created": 200})


def test_of_two_lines_of_a_name_the_second_is_foreseen_to_be_refused(desk: Desk, server: Server) -> None:
    """A tenant takes a name once: what an earlier line creates, a later one of another key finds there."""
    rows = [
        {"key": "k1", "stream": webhook("a")},
        {"key": "k2", "stream": webhook("a")},
        {"key": "k3", "stream": webhook("a", status="disabled")},
    ]
    told = desk.run("plan", desk.write("in.jsonl", rows), "--base-url", server.url)
    first = "in.jsonl:1 has the same name, and goes first, if the tenant keeps names unique"
    assert told.out.splitlines() == [
        f"  * {server.url.removeprefix('http://')}/a (in.jsonl:3): {first}",
        '      status: "disabled" here, "enabled" in in.jsonl:1',
        "Plan: 3 records: 1 to create, 1 already there, 1 in conflict; a moment",
    ]
    ran = desk.provision(server, "in.jsonl", "--concurrency", "1")
    assert ran.records == {"total": 3, "created": 1, "exists": 1, "conflict": 1}


def test_two_lines_of_a_name_may_mean_one_action(desk: Desk, serve: Callable[..., Server]) -> None:
    """What the first creates is shown with the id of its action, so one line has the name of it and one the id."""
    server = serve(actions=("audit=act_1", "other=act_2"))
    texts = ["${action:audit}", "act_1", "${action:audit}", "act_2"]
    rows = [
        {"key": f"k{i}", "stream": webhook("a", destination={"type": "action", "configuration": {"action_id": text}})}
        for i, text in enumerate(texts)
    ]
    for turn in (rows, [rows[1], rows[0], rows[3]]):
        planned = plan(desk, server, desk.write("in.jsonl", turn))
        assert planned.records == {"total": len(turn), "create": 1, "exists": len(turn) - 2, "conflict": 1}
        (difference,) = planned.json["conflicts"][0]["differences"]
        assert difference["wanted"] == "act_2"
        assert difference["found"] == "act_1"
    ran = desk.provision(server, desk.write("in.jsonl", rows), "--concurrency", "1")
    assert ran.records == {"total": 4, "created": 1, "exists": 2, "conflict": 1}
