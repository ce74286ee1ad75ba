"""A ledger that is gone, or was never there: what the tenant has is found before anything is sent."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing

import pytest

from tests.scenarios.rig import Desk, Server, configuration, for_each, nameless, until, webhook, webhooks


@pytest.mark.parametrize("unique", [True, False])
def test_with_the_ledger_gone_nothing_is_created_twice(desk: Desk, serve: Callable[..., Server], unique: bool) -> None:
    """The same command, without its ledger, costs a page for each fifty streams and finds every record there."""
    rows = [*webhooks(70), *nameless(40), {"stream": webhook("aliased"), "key": "k1"}]
    server = serve(unique_names=unique)
    desk.write("in.jsonl", rows)
    first = desk.provision(server, "in.jsonl")
    assert (first.code, first.records) == (0, {"total": 111, "created": 111}), first
    (desk.folder / "in.ledger.db").unlink()
    again = desk.provision(server, "in.jsonl")
    assert (again.code, again.records) == (0, {"total": 111, "exists": 111}), again
    assert (again.json["this_run"]["requests"], again.json["this_run"]["lookups"]) == (0, 3)
    assert server.requests() == 111
    live = {one["id"] for one in server.streams()}
    assert {row["remote_id"] for row in desk.results()} == live


def test_only_what_is_missing_is_created(desk: Desk, server: Server) -> None:
    """A tenant that others have filled in part: equal ones exist, a different one is a conflict, the rest is made."""
    server.seed(*webhooks(5), webhook("s5", status="disabled"), webhook("unrelated"))
    ended = desk.provision(server, desk.write("in.jsonl", webhooks(9)))
    assert (ended.code, ended.records) == (1, {"total": 9, "exists": 5, "conflict": 1, "created": 3}), ended
    assert ended.json["this_run"]["requests"] == 3


def test_a_rerun_does_not_look_again_at_what_it_has_seen(desk: Desk, server: Server) -> None:
    """A resumed run of the same input sends its creates at once; a changed input is looked for first."""
    desk.write("in.jsonl", webhooks(6))
    first = desk.provision(server, "in.jsonl", "--limit", "2")
    assert (first.code, first.json["this_run"]["lookups"]) == (4, 1), first
    second = desk.provision(server, "in.jsonl")
    assert (second.code, second.json["this_run"]["lookups"]) == (0, 0), second
    server.seed(webhook("s7"))
    desk.write("in.jsonl", webhooks(8))
    third = desk.provision(server, "in.jsonl")
    assert (third.code, third.records) == (0, {"total": 8, "created": 7, "exists": 1}), third


def test_no_preflight_sends_without_looking(desk: Desk, server: Server) -> None:
    """Whoever knows that the tenant is empty saves the look-up; where it is not, the 409s still tell."""
    server.seed(webhook("s1"))
    ended = desk.provision(server, desk.write("in.jsonl", webhooks(3)), "--no-preflight")
    assert (ended.code, ended.records) == (0, {"total": 3, "created": 2, "exists": 1}), ended
    assert ended.json["this_run"]["requests"] == 3
    assert server.accepted() == {f"s{i}": 1 for i in range(3)}


def test_a_log_that_was_cut_short_costs_a_look_and_no_second_stream(desk: Desk, serve: Callable[..., Server]) -> None:
    """Commits that vanished from the end of the log after a kill cannot be missed, but what they created is found."""
    server = serve(latency=(0.01, 0.02))
    running = desk.start_provision(server, desk.write("in.jsonl", nameless(150)), "--concurrency", "4")
    until(lambda: len(server.streams()) > 60)
    running.kill()
    log = desk.folder / "in.ledger.db-wal"
    log.write_bytes(log.read_bytes()[: log.stat().st_size // 2])
    again = desk.provision(server, "in.jsonl")
    assert again.code == 0, again
    assert len(server.streams()) == 150
    assert {row["remote_id"] for row in desk.results()} == {one["id"] for one in server.streams()}


def test_a_limit_is_shared_by_the_tenants_that_have_something_to_send(desk: Desk, server: Server) -> None:
    """A tenant with two records does not keep the rest of the allowance from one with fifty."""
    desk.write("bulkstreams.toml", configuration({"few": server, "many": server}))
    desk.write("in.jsonl", [*for_each(["few"], webhooks(2)), *for_each(["many"], webhooks(50))])
    ended = desk.run("run", "in.jsonl", "--limit", "10", "--json")
    assert (ended.code, ended.records) == (4, {"total": 52, "created": 10, "pending": 42}), ended


def test_a_reader_that_never_ends_is_named_and_nothing_is_sent(desk: Desk, server: Server) -> None:
    """With a transaction open on it the ledger cannot say that its log counts: the run says what is in the way."""
    assert desk.provision(server, desk.write("in.jsonl", webhooks(6)), "--limit", "2").code == 4
    with closing(sqlite3.connect(desk.folder / "in.ledger.db", isolation_level=None)) as db:
        db.execute("BEGIN")
        db.execute("SELECT count(*) FROM record").fetchone()
        ended = desk.provision(server, "in.jsonl")
        assert ended.code == 3, ended
        assert "Close the tool that holds a transaction open on it" in ended.err
    assert server.requests() == 2
    assert desk.provision(server, "in.jsonl").code == 0
