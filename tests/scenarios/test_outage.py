"""Tenants that are down for a while, or for good: what a real run does meanwhile, and what it says."""

from __future__ import annotations

import re
from collections.abc import Callable

from tests.scenarios.relay import Relay
from tests.scenarios.rig import TOKEN, Desk, Server, for_each, once_each, until, webhooks


def _tenant(name: str, url: str) -> str:
    return f'[tenants.{name}]\nbase_url = "{url}"\ntoken = "{TOKEN}"\n'


def test_an_outage_in_the_middle_of_a_run_ends_with_everything_created_once(
    desk: Desk, serve: Callable[..., Server]
) -> None:
    """One tenant's server dies with requests under way, and is back some ten seconds later; the other never notices."""
    server, rows = serve(latency=(0.005, 0.03)), webhooks(400)
    with Relay(server.port) as relay:
        url = f"http://127.0.0.1:{relay.port}/t/shaky"
        desk.write("bulkstreams.toml", (_tenant("shaky", url) + _tenant("well", server.url_of("well"))).encode())
        desk.write("in.jsonl", for_each(("shaky", "well"), rows))
        running = desk.start("run", "in.jsonl", "--concurrency", "8", "--json")
        until(lambda: server.accepted("shaky").total() >= 100)
        relay.kill()
        until(lambda: server.accepted("well").total() == 400)
        until(lambda: re.search(r"no connection to .*; then a probe, ([5-9]) failed so far", running.err))
        assert server.accepted("shaky").total() < 400
        relay.start()
        ended = running.wait()
    assert (ended.code, ended.records) == (0, {"total": 800, "created": 800}), ended
    assert server.accepted("shaky") == server.accepted("well") == once_each(rows)
    assert max(row["attempts"] for row in desk.settled()) <= 3


def test_a_tenant_that_is_down_is_tried_until_the_deadline(desk: Desk, serve: Callable[..., Server]) -> None:
    """The run ends by then with the rest pending, says how often it was tried, and the next run creates all."""
    server, rows = serve(latency=(0.005, 0.03)), webhooks(300)
    with Relay(server.port) as relay:
        desk.write("in.jsonl", rows)
        url = f"http://127.0.0.1:{relay.port}"
        running = desk.start("run", "in.jsonl", "--base-url", url, "--deadline", "6", "--concurrency", "4", "--json")
        until(lambda: server.accepted().total() >= 50)
        relay.kill()
        ended = running.wait()
        relay.start()
        again = desk.run("run", "in.jsonl", "--base-url", url, "--json")
    assert ended.code == 4, ended
    assert ended.records["created"] < 300
    assert "exhausted" not in ended.records
    (reason,) = ended.json["stopped"].values()
    assert re.search(r"the deadline of 6 s has passed.*no connection to .*; tried \d+ times within \d+ s", reason)
    assert ended.json["elapsed_s"] < 16
    assert (again.code, again.records) == (0, {"total": 300, "created": 300}), again
    assert server.accepted() == once_each(rows)


def test_a_tenant_that_refuses_everything_with_429_ends_by_the_deadline(
    desk: Desk, serve: Callable[..., Server]
) -> None:
    """No hot loop: a handful of requests in all, exit 4, and every record pending as it was."""
    server = serve(faults={"throttle": 1.0})
    ended = desk.provision(server, desk.write("in.jsonl", webhooks(200)), "--deadline", "4")
    assert (ended.code, ended.records) == (4, {"total": 200, "pending": 200}), ended
    assert "the deadline of 4 s has passed" in str(ended.json["stopped"])
    asked = sum(sum(one["requests"].values()) for one in server.books()["tenants"].values())
    assert 1 <= asked <= 20
