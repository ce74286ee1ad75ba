"""Inputs of every kind, and inputs that change: between runs, and while a run goes on."""

from __future__ import annotations

import gzip
from collections.abc import Callable

from tests.scenarios.rig import Desk, Server, as_lines, configuration, once_each, until, webhook, webhooks


def test_standard_input_gzip_and_several_files(desk: Desk, server: Server) -> None:
    """Standard input, gzip (from a pipe, too) and two files at once are read alike, and a rerun sends nothing."""
    rows = webhooks(12)
    desk.write("a.jsonl", rows[:4])
    desk.write("b.jsonl.gz", gzip.compress(as_lines(rows[4:8])))
    at = ("--base-url", server.url, "--json")
    for _ in range(2):
        files = desk.start("run", "a.jsonl", "b.jsonl.gz", *at)
        piped = desk.start("run", "-", *at, stdin=gzip.compress(as_lines(rows[8:])))
        first, second = files.wait(), piped.wait()
        assert (first.code, first.records) == (0, {"total": 8, "created": 8}), first
        assert (second.code, second.records) == (0, {"total": 4, "created": 4}), second
        assert first.json["ledger"] == "a.ledger.db"
        assert second.json["ledger"] == "stdin.ledger.db"
    assert server.accepted() == once_each(rows)
    assert server.requests() == 12


def test_a_byte_order_mark_crlf_blank_lines_and_no_last_line_end(desk: Desk, server: Server) -> None:
    """Files as Windows and editors leave them are input like any other."""
    data = b"\xef\xbb\xbf" + as_lines([webhook("a"), b"", webhook("b"), b"  "]).replace(b"\n", b"\r\n")
    ended = desk.provision(server, desk.write("in.jsonl", data + as_lines([webhook("c")]).rstrip()))
    assert (ended.code, ended.records) == (0, {"total": 3, "created": 3}), ended
    assert [row["line"] for row in desk.results()] == [1, 3, 5]


def test_several_files_share_keys_and_one_ledger(desk: Desk, server: Server) -> None:
    """A key that an earlier file has is a duplicate of that file's line; a file left out is no longer counted."""
    desk.write("a.jsonl", webhooks(2))
    desk.write("b.jsonl", [webhook("s1"), webhook("t")])
    both = desk.provision(server, "a.jsonl", "b.jsonl")
    assert (both.code, both.records) == (0, {"total": 4, "created": 3, "duplicate": 1}), both
    assert "b.jsonl:1: duplicate of a.jsonl:2" in both.err
    one = desk.provision(server, "a.jsonl")
    assert (one.code, one.records) == (0, {"total": 2, "created": 2}), one


def test_tenants_of_one_file_each_get_their_own(desk: Desk, server: Server) -> None:
    """Lines go where they say, by name; the same name at two tenants is two streams; a typo names the right one."""
    desk.write("bulkstreams.toml", configuration({"acme": server, "globex": server}))
    rows = [
        {"tenant": "acme", "stream": webhook("audit")},
        {"tenant": "globex", "stream": webhook("audit")},
        {"tenant": "globx", "stream": webhook("x")},
        {"tenant": "acme", "key": "own", "stream": webhook("audit2")},
    ]
    ended = desk.run("run", desk.write("in.jsonl", rows), "--json")
    assert (ended.code, ended.records) == (1, {"total": 4, "created": 3, "invalid": 1}), ended
    assert 'did you mean "globex"' in ended.err
    assert server.accepted("acme") == {"audit": 1, "audit2": 1}
    assert server.accepted("globex") == {"audit": 1}
    assert {row["key"] for row in desk.results("--state", "created")} == {"audit", "own"}


def test_mended_lines_are_taken_up_again(desk: Desk, server: Server) -> None:
    """Fix and rerun: what was invalid, refused or a conflict is sent once its line is another; nothing else is."""
    server.seed(webhook("c", status="disabled"))
    unknown = webhook("r", subscriptions=[{"event_type": "no.such"}])
    flag = "--allow-unknown-events"
    desk.write("in.jsonl", [webhook("ok"), webhook("i", status="on"), unknown, webhook("c")])
    first = desk.provision(server, "in.jsonl", flag)
    expected = {"total": 4, "created": 1, "invalid": 1, "refused": 1, "conflict": 1}
    assert (first.code, first.records) == (1, expected), first
    asked = server.requests()
    same = desk.provision(server, "in.jsonl", flag)
    assert (same.code, same.records, server.requests()) == (1, expected, asked), same
    desk.write("in.jsonl", [webhook("ok"), webhook("i"), webhook("r"), webhook("c", status="disabled")])
    mended = desk.provision(server, "in.jsonl", flag)
    assert (mended.code, mended.records) == (0, {"total": 4, "created": 3, "exists": 1}), mended
    assert server.accepted() == {"c": 1, "ok": 1, "i": 1, "r": 1}


def test_a_line_that_changed_after_its_stream_was_created_is_a_conflict_until_it_is_as_before(
    desk: Desk, server: Server
) -> None:
    """`run` never updates: a changed line is reported with what differs, sends nothing, and back again is created."""
    server.seed(webhook("there"))
    before, after = [webhook("mine"), webhook("there")], [webhook(n, status="disabled") for n in ("mine", "there")]
    desk.write("in.jsonl", before)
    assert desk.provision(server, "in.jsonl").records == {"total": 2, "created": 1, "exists": 1}
    asked = server.requests()
    ids = {row["name"]: row["remote_id"] for row in desk.settled()}
    desk.write("in.jsonl", after)
    for flags in ([], ["--retry-failed"]):
        changed = desk.provision(server, "in.jsonl", *flags)
        assert (changed.code, changed.records) == (1, {"total": 2, "conflict": 2}), changed
        rows = desk.settled()
        assert all("status differ" in row["message"] for row in rows), rows
        assert {row["name"]: row["remote_id"] for row in rows} == ids
    desk.write("in.jsonl", before)
    back = desk.provision(server, "in.jsonl")
    assert (back.code, back.records) == (0, {"total": 2, "created": 1, "exists": 1}), back
    assert server.requests() == asked


def test_an_input_that_changes_while_a_run_goes_on_stops_it_and_a_rerun_completes(
    desk: Desk, serve: Callable[..., Server]
) -> None:
    """No line is sent that was not validated: exit 4 with the file named; the rerun reads anew and creates the rest."""
    server = serve(latency=(0.01, 0.01))
    bulk = webhook()["destination"]
    bulk["configuration"]["webhook_endpoint"] += "/" + "x" * 1800  # more than is read ahead at once
    rows = [webhook(f"s{i}", destination=bulk) for i in range(500)]
    desk.write("in.jsonl", rows)
    running = desk.start_provision(server, "in.jsonl", "--concurrency", "2")
    until(lambda: server.requests() >= 3)
    changed = [*rows[:20], *webhooks(20, "late")]
    desk.write("in.jsonl", changed)
    ended = running.wait()
    assert ended.code == 4, ended
    assert "in.jsonl" in ended.err
    assert "Run the same command again" in ended.err
    assert set(server.accepted()) <= {row["name"] for row in rows}
    again = desk.provision(server, "in.jsonl")
    assert (again.code, again.records) == (0, {"total": 40, "created": 40}), again
    accepted = server.accepted()
    assert set(accepted.values()) == {1}
    assert set(accepted) >= {row["name"] for row in changed}
