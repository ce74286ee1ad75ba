"""`verify`: the input, the ledger and the tenants held against each other, every sign, and nothing sent."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.scenarios.rig import (
    SECRET,
    TERM,
    TOKEN,
    Desk,
    Ended,
    Server,
    configuration,
    for_each,
    nameless,
    until,
    webhook,
    webhooks,
)

QUIET = ("equal", "different", "missing", "extra", "duplicate", "in_doubt", "invalid", "unknown")


def verify(desk: Desk, server: Server, *arguments: str, env: dict[str, str | None] | None = None) -> Ended:
    """Run `verify` against a server to its end."""
    before = [one["accepted"] for one in (server.books(),)], server.streams()
    ended = desk.run("verify", *arguments, "--base-url", server.url, env=env or {})
    assert ([one["accepted"] for one in (server.books(),)], server.streams()) == before
    return ended


def signs(ended: Ended, server: Server) -> list[str]:
    """Return what stands on standard output, the tenant's name left out."""
    return ended.out.replace(f"{server.url.removeprefix('http://')}/", "").splitlines()


def counts(desk: Desk, server: Server, *arguments: str) -> dict[str, int]:
    """Return the counts of `--json`, those that are zero left out; what is beside the records is no part of them."""
    found: dict[str, int] = verify(desk, server, *arguments, "--json").json["records"]
    parts = {part: found[part] for part in QUIET}
    assert sum(parts.values()) - found["extra"] - found["duplicate"] == found["total"]
    return {"total": found["total"]} | {part: count for part, count in parts.items() if count}


def edited(server: Server, known: str, **changes: Any) -> None:
    """Change a stream behind our back, as somebody in the dashboard would."""
    (stream,) = [one for one in server.streams() if one["name"] == known]
    server._ask("PATCH", "sandbox", f"/{stream['id']}", json.dumps(changes).encode(), 200)


def test_what_a_run_created_is_equal(desk: Desk, server: Server) -> None:
    """A line each in the order of the input, exit 0, and plain words about secrets."""
    desk.write("in.jsonl", [*webhooks(3), *nameless(1), {"key": "k", "stream": nameless(2)[1]}])
    assert desk.provision(server, "in.jsonl").code == 0
    ended = verify(desk, server, "in.jsonl")
    assert ended.code == 0, ended
    assert [line[:4] for line in signs(ended, server)] == ["= s0", "= s1", "= s2", "= di", "= k"]
    assert "verified 5 records: 5 equal" in ended.err
    assert "Secrets cannot be compared" in ended.err
    assert counts(desk, server, "in.jsonl") == {"total": 5, "equal": 5}


def test_every_sign_has_its_line(desk: Desk, serve: Callable[..., Server]) -> None:
    """Equal, different, missing, extra, a duplicate and an invalid line: each told with what is needed to act on it."""
    server = serve(unique_names=False)
    desk.write("in.jsonl", [*webhooks(3), webhook("bad", status="on"), webhook("s0")])
    assert desk.provision(server, "in.jsonl").code == 1
    server.remove("s1")
    edited(server, "s2", status="disabled", subscriptions=[{"event_type": "user.deleted"}])
    server.seed(webhook("legacy"), webhook("s0"))
    extra = {one["name"]: one["id"] for one in server.streams()}
    ended = verify(desk, server, "in.jsonl")
    assert ended.code == 1, ended
    assert signs(ended, server) == [
        "= s0",
        "+ s1 (in.jsonl:2)",
        "* s2",
        '    subscriptions: "user.created" only here; "user.deleted" only at the tenant',
        '    status: "enabled" here, "disabled" at the tenant',
        '! bad (in.jsonl:4): status: must be "enabled" or "disabled" (got "on")',
        f"- legacy ({extra['legacy']})",
        f"! s0: one stream too many of this name: {extra['s0']}",
    ]
    assert "verified 4 records: 1 equal, 1 different, 1 missing, 1 duplicate, 1 invalid; 1 extra" in ended.err
    assert ended.err.rstrip().endswith(f"bulkstreams run in.jsonl --base-url {server.url}")
    assert counts(desk, server, "in.jsonl") == {
        "total": 4, "equal": 1, "different": 1, "missing": 1, "extra": 1, "duplicate": 1, "invalid": 1,
    }  # fmt: skip


def test_a_stream_that_was_renamed_is_different_by_its_name(desk: Desk, server: Server) -> None:
    """The ledger knows it by its id, so it is neither missing nor extra."""
    assert desk.provision(server, desk.write("in.jsonl", webhooks(2))).code == 0
    edited(server, "s1", name="renamed")
    ended = verify(desk, server, "in.jsonl")
    assert ended.code == 1, ended
    assert signs(ended, server) == ["= s0", "* s1", '    name: "s1" here, "renamed" at the tenant']


def test_without_a_ledger_the_input_and_the_tenant_are_enough(desk: Desk, server: Server) -> None:
    """Names find their streams, definitions those without; no ledger is made."""
    server.seed(*webhooks(2), *nameless(2))
    desk.write("in.jsonl", [*webhooks(3), *nameless(1)])
    ended = verify(desk, server, "in.jsonl", "--json")
    assert ended.code == 1, ended
    assert counts(desk, server, "in.jsonl") == {"total": 4, "equal": 3, "missing": 1, "extra": 1}
    assert ended.json["ledger"] is None
    assert not (desk.folder / "in.ledger.db").exists()


def test_extra_streams_alone_are_no_failure(desk: Desk, server: Server) -> None:
    """What the input does not name is none of its business: told, and exit 0."""
    server.seed(*webhooks(1), webhook("legacy"))
    ended = verify(desk, server, desk.write("in.jsonl", webhooks(1)))
    assert ended.code == 0, ended
    assert [line[0] for line in signs(ended, server)] == ["=", "-"]


def test_secrets_are_neither_needed_nor_compared(desk: Desk, server: Server) -> None:
    """A reference that does not resolve here, or another secret than the stream has: equal, and no secret is shown."""
    server.seed(webhook("s0", secret=SECRET), webhook("s1", secret=SECRET))
    desk.write("in.jsonl", [webhook("s0", secret="${env:NOT_SET}"), webhook("s1", secret="another")])
    ended = verify(desk, server, "in.jsonl")
    assert ended.code == 0, ended
    assert [line[0] for line in signs(ended, server)] == ["=", "="]
    there = webhook("s2")
    there["destination"]["configuration"]["webhook_endpoint"] = f"https://me:{SECRET}@example.com/there"
    server.seed(there)
    here = webhook("s2")
    here["destination"]["configuration"]["webhook_endpoint"] = f"https://me:{TOKEN}@example.com/here"
    desk.write("in.jsonl", [here])
    told = verify(desk, server, "in.jsonl")
    assert (
        'webhook_endpoint: "https://***@example.com/here" here, "https://example.com/there" at the tenant' in told.out
    )


@pytest.mark.parametrize("fault", ["reset-after", "hang-after"])
def test_doubts_that_are_left_are_told(desk: Desk, serve: Callable[..., Server], fault: str) -> None:
    """A run that was killed leaves doubts: `!`, whether their streams are there or not, until a run clears them."""
    server = serve(faults={fault: 0.5}, latency=(0.02, 0.02))
    desk.write("in.jsonl", webhooks(20))
    running = desk.start_provision(server, "in.jsonl", "--concurrency", "4")
    until(lambda: server.requests() > 8)
    running.kill()
    doubts = desk.states().get("in_doubt", 0) + desk.states().get("in_flight", 0)
    assert doubts
    ended = desk.run("verify", "in.jsonl", "--base-url", server.url, "--timeout", "2")
    assert ended.code == 1, ended
    told = [line for line in ended.out.splitlines() if line.startswith("!")]
    assert len(told) == doubts
    assert all("in doubt" in line for line in told)
    assert f"{doubts} in doubt" in ended.err
    assert desk.states().get("in_doubt", 0) + desk.states().get("in_flight", 0) == doubts
    assert desk.provision(server, "in.jsonl", "--retries", "50", "--timeout", "2").code == 0
    assert desk.run("verify", "in.jsonl", "--base-url", server.url, "--timeout", "2").code == 0


def test_a_line_that_changed_is_held_against_what_is_there(desk: Desk, server: Server) -> None:
    """What the line says now counts, not what it said when its stream was created."""
    assert desk.provision(server, desk.write("in.jsonl", webhooks(1))).code == 0
    desk.write("in.jsonl", [webhook("s0", status="disabled")])
    assert signs(verify(desk, server, "in.jsonl"), server) == [
        "* s0",
        '    status: "disabled" here, "enabled" at the tenant',
    ]
    edited(server, "s0", status="disabled")
    assert verify(desk, server, "in.jsonl").code == 0


def test_each_tenant_is_verified_and_one_that_cannot_be_read_stops_no_other(
    desk: Desk, serve: Callable[..., Server]
) -> None:
    """The records of a tenant that is away are unknown: exit 4, and the others are told all the same."""
    server, strict = serve(), serve(refusing=["gone"])
    for tenant in ("acme", "beta"):
        server.seed(*webhooks(2), tenant=tenant)
    desk.write("bulkstreams.toml", configuration({"acme": server, "beta": server, "gone": strict}))
    desk.write("in.jsonl", for_each(["acme", "beta", "gone"], webhooks(2)))
    ended = desk.run("verify", "in.jsonl")
    assert ended.code == 4, ended
    assert ended.out.splitlines() == ["= acme/s0", "= beta/s0", "= acme/s1", "= beta/s1"]
    assert "6 records: 4 equal, 2 unknown" in ended.err
    assert "stopped gone" in ended.err
    found = desk.run("verify", "in.jsonl", "--json").json
    assert found["tenants"]["gone"]["unknown"] == 2
    assert found["tenants"]["acme"] == {**dict.fromkeys(QUIET, 0), "total": 2, "equal": 2}


def test_a_verification_that_is_interrupted_claims_nothing(desk: Desk, serve: Callable[..., Server]) -> None:
    """SIGTERM before the list was seen to its end: nothing is missing, all is unknown."""
    server = serve(rate=0.01, burst=61)
    server.seed(*webhooks(60, "t"))
    running = desk.start("verify", desk.write("in.jsonl", webhooks(3)), "--base-url", server.url, "--json")
    until(lambda: server.requests("list"))
    running.signal(TERM)
    running.says("draining")
    ended = running.wait()
    assert ended.code == 143, ended
    assert (ended.json["records"]["unknown"], ended.json["records"]["missing"]) == (3, 0)


def test_a_tenant_that_throttles_and_fails_is_seen_whole(desk: Desk, serve: Callable[..., Server]) -> None:
    """Pages that were refused or lost are asked for again, so nothing passes for missing."""
    faults = dict.fromkeys(("error-before", "reset-before", "throttle", "html-502", "truncate"), 0.1)
    server = serve(faults=faults, faults_on=("list",))
    server.seed(*webhooks(420))
    desk.write("in.jsonl", webhooks(420))
    ended = verify(desk, server, "in.jsonl", "--json")
    assert (ended.code, ended.json["records"]["equal"]) == (0, 420), ended
    assert server.faults()


def test_actions_are_compared_by_name(desk: Desk, serve: Callable[..., Server]) -> None:
    """A line that names an action is equal to a stream that has its id; another one's is told by its name."""
    server = serve(actions=("audit=act_1", "notify=act_2"))

    def handled(name: str | None, by: str) -> dict[str, Any]:
        return webhook(name, destination={"type": "action", "configuration": {"action_id": by}})

    desk.write("in.jsonl", [handled("a", "${action:audit}"), handled("b", "act_1"), handled(None, "${action:audit}")])
    assert desk.provision(server, "in.jsonl").code == 0
    assert verify(desk, server, "in.jsonl").code == 0
    assert verify(desk, server, "in.jsonl", "--ledger", "none.db").code == 0
    for name in "ab":
        server.remove(name)
    server.seed(handled("a", "act_2"), handled("b", "act_2"))
    ended = verify(desk, server, "in.jsonl")
    assert ended.code == 1, ended
    path = "destination.configuration.action_id"
    assert signs(ended, server)[:4] == [
        "* a", f'    {path}: "${{action:audit}}" here, "${{action:notify}}" at the tenant',
        "* b", f'    {path}: "act_1" here, "act_2" at the tenant',
    ]  # fmt: skip


def test_an_action_that_the_tenant_lacks_is_no_stream_that_is_missing(desk: Desk, serve: Callable[..., Server]) -> None:
    """A run would not create it, and neither is it told to: `!` and the near names, with a ledger or without one."""
    server = serve(actions=("audit=act_1",))
    desk.write(
        "in.jsonl", [webhook("a", destination={"type": "action", "configuration": {"action_id": "${action:adit}"}})]
    )
    for run in (False, True):
        assert not run or desk.provision(server, "in.jsonl").code == 1
        ended = verify(desk, server, "in.jsonl")
        assert ended.code == 1, ended
        (told,) = signs(ended, server)
        assert told.startswith("! a (in.jsonl:1): destination.configuration.action_id: ")
        assert 'no action named "adit" (did you mean "audit"?)' in told
        assert "To create what is missing" not in ended.err
        assert counts(desk, server, "in.jsonl") == {"total": 1, "invalid": 1}


def test_json_has_the_first_hundred_findings(desk: Desk, server: Server) -> None:
    """All counts, and of what is not equal as much as somebody may want to look at."""
    server.seed(*webhooks(5))
    desk.write("in.jsonl", webhooks(130))
    found = verify(desk, server, "in.jsonl", "--json").json
    assert (len(found["findings"]), found["more_findings"]) == (100, 25)
    assert found["findings"][0] == {
        "finding": "missing", "tenant": server.url.removeprefix("http://"), "name": "s5", "key": "s5",
        "file": "in.jsonl", "line": 6, "remote_id": None, "message": None, "differences": [],
    }  # fmt: skip
    assert found["secrets_compared"] is False


def test_a_status_that_was_given_is_expected(desk: Desk, server: Server) -> None:
    """What `run --set-status` created is to have that status; what was there before is held against its line."""
    server.seed(webhook("s0"))
    desk.write("in.jsonl", webhooks(3))
    assert desk.provision(server, "in.jsonl", "--set-status", "disabled").code == 0
    assert verify(desk, server, "in.jsonl").code == 0
    edited(server, "s1", status="enabled")
    ended = verify(desk, server, "in.jsonl")
    assert ended.code == 1, ended
    assert signs(ended, server) == ["= s0", "* s1", '    status: "disabled" here, "enabled" at the tenant', "= s2"]


def test_what_is_missing_and_was_in_conflict_needs_a_run_that_takes_it_again(desk: Desk, server: Server) -> None:
    """A plain run would leave it as it is, so the advised one has the flag."""
    server.seed(webhook("s0", subscriptions=[{"event_type": "user.deleted"}]))
    desk.write("in.jsonl", webhooks(2))
    assert desk.provision(server, "in.jsonl").records["conflict"] == 1
    server.remove("s0")
    ended = verify(desk, server, "in.jsonl")
    assert ended.err.splitlines()[-1].endswith(" --retry-failed"), ended
    _, _, advised = ended.err.splitlines()[-1].partition(": bulkstreams ")
    assert desk.run(*advised.split()).code == 0
    assert verify(desk, server, "in.jsonl").code == 0
