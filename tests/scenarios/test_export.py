"""`export`: what a tenant has, as lines that make it anew at another."""

from __future__ import annotations

import json
import stat
from collections.abc import Callable
from typing import Any

import pytest

from tests.scenarios.rig import ENV_SECRET, SECRET, Desk, Ended, Server, configuration, webhook, webhooks

Serve = Callable[..., Server]

NOTIFY = "Notify the desk"


def authorized(name: str, **authorization: str) -> dict[str, Any]:
    """Return a webhook that says who it is in one way or another."""
    one = webhook(name)
    one["destination"]["configuration"]["webhook_authorization"] = authorization
    return one


def bridge(name: str) -> dict[str, Any]:
    """Return a stream to Amazon EventBridge."""
    configuration = {"aws_account_id": "123456789012", "aws_region": "eu-west-1"}
    return webhook(name, destination={"type": "eventbridge", "configuration": configuration})


def action(name: str, action_id: str = "a1") -> dict[str, Any]:
    """Return a stream to an action."""
    return webhook(name, destination={"type": "action", "configuration": {"action_id": action_id}})


EVERY_KIND = [
    authorized("basic", method="basic", username="ada", password=SECRET),
    webhook("Bearer für alle", status="disabled"),
    authorized("header", method="custom_header", header_key="X-Key", header_value=SECRET),
    bridge("bridge"),
    action("action"),
    {part: value for part, value in webhook("nothing").items() if part != "subscriptions"},
]
SECRET_NAMES = ["BASIC_PASSWORD", "BEARER_FUR_ALLE_TOKEN", "HEADER_HEADER_VALUE", "NOTHING_TOKEN"]


def names(ended: Ended) -> list[str]:
    """Return the names of secrets that stand at the end of what an export told."""
    lines = ended.err.splitlines()
    intro = next((i for i, line in enumerate(lines) if "to fill in before" in line), len(lines))
    return lines[intro + 1 :]


def filled(names: list[str]) -> dict[str, str]:
    """Return the variables of an export as somebody fills them in."""
    return dict.fromkeys(names, ENV_SECRET)


def test_the_streams_of_a_tenant_come_as_lines_in_its_order(desk: Desk, serve: Serve) -> None:
    """Response-only fields are left out, each secret is a reference of its own, and the names of them come last."""
    server = serve(actions=[f"{NOTIFY}=a1"])
    server.seed(*EVERY_KIND)
    ended = desk.run("export", "--base-url", server.url)
    assert ended.code == 0, ended
    assert [row["name"] for row in ended.rows] == [one["name"] for one in EVERY_KIND]
    whole = ["name", "subscriptions", "destination", "status"]
    assert [list(row) for row in ended.rows] == [whole] * 5 + [["name", "destination", "status"]]
    assert [row["status"] for row in ended.rows] == ["enabled", "disabled", *["enabled"] * 4]
    parts = [row["destination"]["configuration"] for row in ended.rows]
    assert parts[0]["webhook_authorization"] == {
        "method": "basic", "username": "ada", "password": "${env:BASIC_PASSWORD}",
    }  # fmt: skip
    assert parts[3] == {"aws_account_id": "123456789012", "aws_region": "eu-west-1"}
    assert parts[4] == {"action_id": f"${{action:{NOTIFY}}}"}
    assert names(ended) == SECRET_NAMES


def test_what_was_exported_is_the_same_once_it_was_moved(desk: Desk, serve: Serve) -> None:
    """Export, fill in, validate, run at another tenant, export there: the same bytes, and every action by its name."""
    here, there = serve(actions=[f"{NOTIFY}=a1"]), serve(actions=["other=a1", f"{NOTIFY}=b2"])
    here.seed(*EVERY_KIND, *webhooks(60))
    first = desk.run("export", "--base-url", here.url, "--output", "a.jsonl", "--env-template", "secrets.env", "--json")
    assert first.code == 0, first
    template = (desk.folder / "secrets.env").read_text()
    assert template == "".join(f"{name}=\n" for name in first.json["secrets"])
    assert stat.S_IMODE((desk.folder / "secrets.env").stat().st_mode) == 0o600
    assert names(first) == first.json["secrets"]
    env = filled(first.json["secrets"])
    assert desk.run("validate", "a.jsonl").code == 1  # nothing is filled in yet
    checked = desk.run("validate", "a.jsonl", env=env)
    assert checked.code == 0, checked
    moved = desk.provision(there, "a.jsonl", "--concurrency", "1", env=env)
    assert (moved.code, moved.records) == (0, {"total": 66, "created": 66}), moved
    assert there.streams()[4]["destination"]["configuration"] == {"action_id": "b2"}
    again = desk.run("export", "--base-url", there.url, "--output", "b.jsonl", "--json")
    assert again.json["secrets"] == first.json["secrets"]
    assert (desk.folder / "a.jsonl").read_bytes() == (desk.folder / "b.jsonl").read_bytes()


def test_streams_that_only_look_alike_stay_apart(desk: Desk, serve: Serve) -> None:
    """Two of one name, and several without any, have keys of their own, are told, and all are made at the other end."""
    here, there = serve(unique_names=False), serve(unique_names=False)
    rows = [webhook("twin"), webhook(None), webhook("twin", status="disabled"), webhook(None), webhook("twin (2)")]
    here.seed(*rows)
    first = desk.run("export", "--base-url", here.url, "--output", "a.jsonl", "--json")
    assert first.code == 0, first
    lines = [json.loads(line) for line in (desk.folder / "a.jsonl").read_bytes().splitlines()]
    assert [line.get("key") for line in lines][:3] == [None, None, "twin (2)"]
    assert lines[3]["key"].startswith("digest:")
    assert lines[4]["key"] == "twin (2) (2)"
    assert first.err.count("is not the first of its kind") == 3
    env = filled(first.json["secrets"])
    moved = desk.provision(there, "a.jsonl", "--concurrency", "1", env=env)
    assert (moved.code, moved.records) == (0, {"total": 5, "created": 5}), moved
    assert desk.run("export", "--base-url", there.url, "--output", "b.jsonl").code == 0
    assert (desk.folder / "a.jsonl").read_bytes() == (desk.folder / "b.jsonl").read_bytes()


def test_several_tenants_come_in_the_order_asked_with_names_of_their_own(desk: Desk, serve: Serve) -> None:
    """Each line names its tenant, lines of one stand together, and no secret of one is called like another's."""
    slow, fast = serve(latency=(0.05, 0.05)), serve()
    slow.seed(*webhooks(3), tenant="acme")
    fast.seed(*webhooks(120), tenant="beta")
    desk.write("bulkstreams.toml", configuration({"beta": fast, "acme": slow}))
    ended = desk.run("export", "--tenant", "acme", "--tenant", "beta")
    assert ended.code == 0, ended
    expected = [("acme", f"s{i}") for i in range(3)] + [("beta", f"s{i}") for i in range(120)]
    assert [(row["tenant"], row["stream"]["name"]) for row in ended.rows] == expected
    assert names(ended) == [f"{tenant.upper()}_{name.upper()}_TOKEN" for tenant, name in expected]
    all_of_them = desk.run("export", "--all-tenants", "--output", "all.jsonl", "--json")
    assert all_of_them.json["tenants"] == {"beta": {"streams": 120, "pages": 3}, "acme": {"streams": 3, "pages": 1}}
    assert all_of_them.json["streams"] == 123
    assert sorted((desk.folder / "all.jsonl").read_text().splitlines()) == sorted(ended.out.splitlines())
    checked = desk.run("validate", "all.jsonl", "--json", env=filled(all_of_them.json["secrets"]))
    assert checked.records == {"total": 123, "valid": 123}


def test_a_hundred_tenants_need_few_files(desk: Desk, server: Server) -> None:
    """What must wait for its turn is kept in one file, however many tenants there are."""
    tenants = [f"t{i:03d}" for i in range(100)]
    for tenant in tenants:
        server.seed(webhook(), tenant=tenant)
    desk.write("bulkstreams.toml", configuration(dict.fromkeys(tenants, server)))
    desk.prefix = ["sh", "-c", 'ulimit -n 64; exec "$@"', "sh"]
    ended = desk.run("export", "--all-tenants")
    assert ended.code == 0, ended
    assert [row["tenant"] for row in ended.rows] == tenants


@pytest.mark.parametrize(
    ("flags", "found"),
    [
        (["--name", "a*"], ["audit", "action"]),
        (["--name", "A*", "--name", "b?idge"], ["bridge"]),
        (["--name", "*"], ["audit", None, "bridge", "action"]),
        (["--type", "webhook"], ["audit", None]),
        (["--type", "eventbridge,action"], ["bridge", "action"]),
        (["--type", "eventbridge", "--type", "webhook", "--status", "disabled"], [None]),
        (["--status", "enabled", "--name", "b*"], ["bridge"]),
        (["--name", "nobody"], []),
    ],
)
def test_filters(desk: Desk, server: Server, flags: list[str], found: list[str | None]) -> None:
    """Names match case and all; of one kind of filter any may match, of several kinds all must."""
    server.seed(webhook("audit"), webhook(None, status="disabled"), bridge("bridge"), action("action"))
    ended = desk.run("export", "--base-url", server.url, *flags)
    assert ended.code == 0, ended
    assert [row.get("name") for row in ended.rows] == found


def test_an_export_of_nothing_says_how_many_streams_there_are(desk: Desk, server: Server) -> None:
    """A filter that nothing matches is no empty tenant."""
    assert "exported 0 streams" in (empty := desk.run("export", "--base-url", server.url)).err
    assert "there" not in empty.err
    server.seed(webhook("a"), webhook("b"))
    ended = desk.run("export", "--base-url", server.url, "--name", "x*")
    assert ended.err.rstrip().endswith("; 2 are there, and none is asked for"), ended


def test_actions_that_are_not_told_stay_ids(desk: Desk, serve: Serve) -> None:
    """Without the scope, or where two have one name, the id is written, and told: once why, and for each stream."""
    actions = ["twin=a1", "twin=a2", "own=a3"]
    rows = [action("one", "a1"), action("two", "a2"), action("three", "a3"), webhook("hook")]
    server, shy = serve(actions=actions), serve(actions=actions, scopes=["read:event_streams", "create:event_streams"])
    found = []
    for one in (server, shy):
        one.seed(*rows)
        ended = desk.run("export", "--base-url", one.url)
        assert ended.code == 0, ended
        found.append([row["destination"]["configuration"].get("action_id") for row in ended.rows])
        assert ended.err.count("its action stays an id") == (3 if one is shy else 2)
        assert ended.err.count("read:actions") == (1 if one is shy else 0)
        assert one.requests("list") == 1
    assert found == [["a1", "a2", "${action:own}", None], ["a1", "a2", "a3", None]]


def test_no_action_is_looked_up_where_none_is_wanted(desk: Desk, serve: Serve) -> None:
    """The look-up costs a request and a scope: it is made only for streams that go out."""
    server = serve(scopes=["read:event_streams", "create:event_streams"])
    server.seed(action("one"), webhook("hook"))
    ended = desk.run("export", "--base-url", server.url, "--type", "webhook")
    assert (ended.code, "read:actions" in ended.err) == (0, False), ended
    assert server.requests("actions") == 0


def test_a_variable_that_is_ours_is_nobody_elses(desk: Desk, serve: Serve) -> None:
    """A stream called like our own token's variable gets another name, lest its receiver is sent our token."""
    server = serve()
    server.seed(webhook("auth0 api"), webhook("acme"))
    desk.write(
        "bulkstreams.toml", f'[tenants.acme]\nbase_url = "{server.url}"\ntoken = "${{env:ACME_TOKEN}}"\n'.encode()
    )
    ended = desk.run("export", env={"ACME_TOKEN": "Any-token-will-do"})
    assert ended.code == 0, ended
    assert names(ended) == ["AUTH0_API_TOKEN_2", "ACME_TOKEN_2"]


def test_a_stream_that_run_would_refuse_is_exported_and_told(desk: Desk, server: Server) -> None:
    """The tenant has it, so the export has it: the note says what `run` will say."""
    server.seed(webhook("##LEFT##"), webhook("audit"))
    ended = desk.run("export", "--base-url", server.url)
    assert ended.code == 0, ended
    assert len(ended.rows) == 2
    assert 'note: the stream "##LEFT##": `run` would refuse it: name: holds a placeholder' in ended.err


def test_an_endpoint_with_a_password_is_told(desk: Desk, server: Server) -> None:
    """It cannot be a reference, so it stands in the export as it stands at the tenant; the note does not repeat it."""
    one = webhook("inline")
    one["destination"]["configuration"]["webhook_endpoint"] = "https://ada:inline-word@example.com/"
    server.seed(one)
    ended = desk.run("export", "--base-url", server.url)
    assert "its endpoint holds a user or a password" in ended.err
    assert "inline-word" not in ended.err


@pytest.mark.parametrize(
    ("flags", "word"),
    [
        (["--json"], "--output FILE"),
        (["--json", "--output", "-"], "--output FILE"),
        (["--type", "webhok"], 'did you mean "webhook"?'),
        (["--status", "on"], "enabled, disabled"),
        (["--all-tenants", "--tenant", "acme"], "--all-tenants and --tenant"),
        (["--tenant", "acme", "--tenant", "acme"], "twice"),
        (["--tenant", "acme", "--tenant", "acne"], 'did you mean "acme"?'),
        (["--tenant", "acne"], "acme"),
        (["--tenant", "acme", "--tenant", "poor", "--base-url", "http://127.0.0.1:9"], "for one tenant"),
        (["--tenant", "acme", "--tenant", "poor"], "POOR_TOKEN"),
        (["--all-tenants"], "POOR_TOKEN"),
        (["--tenant", "acme", "--output", "nowhere/x.jsonl"], "No such file"),
        (["--tenant", "acme", "--output", "folder"], "not a file"),
        (["--tenant", "acme", "--output", "/dev/null"], "not a file"),
        (["--tenant", "acme", "--output", "bulkstreams.toml"], "a file of its own"),
        (["--tenant", "acme", "--output", "x", "--env-template", "x"], "a file of its own"),
        (["--tenant", "acme", "--env-template", "-"], "needs a file"),
        (["--tenant", "acme", "--output", "circle"], "Too many levels of symbolic links"),
        (["--tenant", "acme", "--output", "the.token"], "holds a credential"),
        (["--tenant", "acme", "--env-template", "the.token"], "holds a credential"),
        (["--tenant", "acme", "--env-template", "filled.env"], "holds more than names"),
        (["--tenant", "acme", "--outptu", "x"], "--output"),
    ],
)
def test_wrong_usage_is_told_before_anything_is_asked(desk: Desk, server: Server, flags: list[str], word: str) -> None:
    """Exit code 2, a remedy, no request, and no file that was not there before."""
    tables = configuration({"acme": server}).decode()
    tables += f'[tenants.poor]\nbase_url = "{server.url_of("poor")}"\ntoken = "${{env:POOR_TOKEN}}"\n'
    tables += f'[tenants.kept]\nbase_url = "{server.url_of("kept")}"\ntoken = "${{file:the.token}}"\n'
    desk.write("bulkstreams.toml", tables.encode())
    desk.write("the.token", b"")
    (desk.folder / "circle").symlink_to("circle")
    desk.write("filled.env", b"AUDIT_TOKEN=mine\n")
    (desk.folder / "folder").mkdir()
    before = sorted(path.name for path in desk.folder.iterdir())
    ended = desk.run("export", *flags, env={"AUTH0_API_TOKEN": None})
    assert ended.code == 2, ended
    assert word in ended.err, ended
    assert server.requests("list") == 0
    assert sorted(path.name for path in desk.folder.iterdir()) == before
    assert (desk.folder / "filled.env").read_bytes() == b"AUDIT_TOKEN=mine\n"
