"""Stop rules of a run and of a tenant: when they stop what, what is said, and how the next run goes on."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from tests.scenarios.rig import TOKEN, Desk, Server, once_each, webhook, webhooks

BAD = {"subscriptions": [{"event_type": "no.such"}]}


def _configure(desk: Desk, server: Server, rules: Mapping[str, str]) -> None:
    tables = [
        f'[tenants.{name}]\nbase_url = "{server.url_of(name)}"\ntoken = "{TOKEN}"\n{own}\n'
        for name, own in rules.items()
    ]
    desk.write("bulkstreams.toml", "".join(tables).encode())


def test_a_tenants_rule_stops_that_tenant_and_the_run_goes_on(desk: Desk, serve: Callable[..., Server]) -> None:
    """Too many failures at one, time over at another: both are told with their reason, the third creates all."""
    server = serve(latency=(0.005, 0.01))
    rules = {"bad": "max_failures = 3\nconcurrency = 2", "slow": 'deadline = "400ms"\nrate = 20', "well": ""}
    _configure(desk, server, rules)
    good = webhooks(60)
    refused = [webhook(f"x{i}", **BAD) for i in range(60)]
    rows = [
        {"tenant": tenant, "stream": row}
        for tenant, some in (("bad", refused), ("slow", good), ("well", good))
        for row in some
    ]
    ended = desk.run("run", desk.write("in.jsonl", rows), "--allow-unknown-events", "--json")
    assert ended.code == 4, ended
    stopped = ended.json["stopped"]
    assert set(stopped) == {"bad", "slow"}
    assert stopped["bad"].startswith("3 of 3 records of bad that this run settled have failed (max_failures of ")
    assert stopped["slow"] == "the deadline of 0.4 s for slow has passed (deadline of [tenants.slow])"
    assert 3 <= ended.records["refused"] <= 4
    assert server.accepted("well") == once_each(good)
    assert 0 < server.accepted("slow").total() < 60
    desk.write("bulkstreams.toml", b"")
    _configure(desk, server, dict.fromkeys(rules, ""))
    again = desk.run("run", "in.jsonl", "--allow-unknown-events", "--json")
    assert (again.code, again.records) == (1, {"total": 180, "created": 120, "refused": 60}), again
    assert server.accepted("slow") == server.accepted("well") == once_each(good)


def test_failures_of_earlier_runs_trip_nothing_and_the_message_says_what_to_do(desk: Desk, server: Server) -> None:
    """Each run counts anew, from nothing: with the records that are left it goes on where the last one stopped."""
    rows = [webhook(f"x{i}", **BAD) for i in range(30)]
    flags = ("--allow-unknown-events", "--max-failures", "10", "--concurrency", "1", "--base-url", server.url)
    desk.write("in.jsonl", rows)
    for run in (1, 2, 3):
        ended = desk.run("run", "in.jsonl", *flags)
        assert ended.code == (4 if run < 3 else 1), ended
        assert "10 of 10 records that this run settled have failed (--max-failures: 10)" in ended.err
        assert "raise or drop --max-failures" in ended.err
        assert desk.states().get("refused") == 10 * run
    last = desk.run("run", "in.jsonl", *flags, "--json")
    assert (last.code, last.json["this_run"]["requests"], last.json["stopped"]) == (1, 0, {}), last


def test_a_failure_rate_waits_for_its_sample(desk: Desk, server: Server) -> None:
    """The first nineteen may all fail; from the twentieth on more than the share stops the run."""
    rows = [webhook(f"x{i}", **BAD) for i in range(60)]
    flags = ("--allow-unknown-events", "--max-failure-rate", "50%", "--concurrency", "1")
    ended = desk.provision(server, desk.write("in.jsonl", rows), *flags)
    assert (ended.code, ended.records) == (4, {"total": 60, "refused": 20, "pending": 40}), ended
    (reason,) = ended.json["stopped"].values()
    assert reason == "20 of 20 records that this run settled have failed (--max-failure-rate: 50%)"
