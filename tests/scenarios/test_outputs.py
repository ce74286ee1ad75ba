"""What the commands print: fixed shapes for machines, remedies for people, and never a secret."""

from __future__ import annotations

import base64
import csv
import gzip
import hashlib
import io
import json
from collections.abc import Callable

import pytest

from tests.scenarios.rig import (
    ENV_SECRET,
    FILE_SECRET,
    SECRET,
    TOKEN,
    Desk,
    Server,
    as_lines,
    leaks,
    nameless,
    until,
    webhook,
    webhooks,
)

ROW = [
    "file", "line", "key", "tenant", "name", "state", "remote_id", "attempts", "http_status", "error_code", "message",
    "first_sent_at", "settled_at", "latency_ms", "recovered",
]  # fmt: skip

MIXED = [
    webhook("a"),
    webhook("e"),
    webhook("bad", status="on"),
    webhook("a"),
    webhook("u", subscriptions=[{"event_type": "n.s"}]),
]


@pytest.fixture
def mixed(desk: Desk, server: Server) -> Desk:
    """Return a desk whose ledger holds created, exists, invalid, duplicate and refused."""
    server.seed(webhook("e"))
    desk.write("in.jsonl", MIXED)
    ended = desk.provision(server, "in.jsonl", "--allow-unknown-events", "--results", "settled.jsonl")
    assert ended.code == 1, ended
    assert ended.out == json.dumps(ended.json, separators=(",", ":")) + "\n"
    assert list(ended.json["records"].items()) == [
        ("total", 5), ("created", 1), ("exists", 1), ("conflict", 0), ("refused", 1), ("exhausted", 0), ("invalid", 1),
        ("duplicate", 1), ("in_doubt", 0), ("pending", 0),
    ]  # fmt: skip
    assert {"created": 1, "recovered": 0, "requests": 2, "retries": 0, "throttled": 0}.items() <= ended.json[
        "this_run"
    ].items()
    assert (ended.json["ledger"], ended.json["exit_code"]) == ("in.ledger.db", 1)
    assert ended.json["run_id"]
    assert ended.json["elapsed_s"] > 0
    return desk


def test_results_in_every_form(mixed: Desk) -> None:
    """JSON Lines and CSV hold the same rows and columns; `--state` picks; `--as-input` gives the lines back."""
    rows = sorted(mixed.results(), key=lambda row: row["line"])
    assert [list(row) for row in rows] == [ROW] * 5
    assert [row["state"] for row in rows] == ["created", "exists", "invalid", "duplicate", "refused"]
    assert [row["line"] for row in rows] == [1, 2, 3, 4, 5]
    created, refused = rows[0], rows[4]
    assert created["http_status"] == 201
    assert created["remote_id"].startswith("est_")
    assert created["first_sent_at"] <= created["settled_at"]
    assert (refused["http_status"], refused["error_code"]) == (400, "invalid_body")
    assert "n.s" in refused["message"]
    table = mixed.run("results", "in.ledger.db", "--format", "csv")
    found = list(csv.DictReader(io.StringIO(table.out, newline="")))
    assert [list(row) for row in found] == [ROW] * 5
    assert sorted((row["line"], row["state"]) for row in found) == [(str(row["line"]), row["state"]) for row in rows]
    assert [row["state"] for row in mixed.results("--state", "invalid,refused")] == ["invalid", "refused"]
    settled = [json.loads(line) for line in (mixed.folder / "settled.jsonl").read_text().splitlines()]
    assert {row["name"]: row for row in settled if row["state"] in {"created", "exists", "refused"}} == {
        row["name"]: row for row in rows if row["state"] in {"created", "exists", "refused"}
    }


def test_results_as_input_are_the_original_lines(desk: Desk, server: Server) -> None:
    """What failed can be cut out, mended and run again: byte for byte the lines of the input."""
    rows = [webhook("a", secret="${env:HOOK_SECRET}"), webhook("b", status="on", secret="${env:HOOK_SECRET}")]
    desk.write("in.jsonl", rows)
    assert desk.provision(server, "in.jsonl").code == 1
    ended = desk.run("results", "in.ledger.db", "--state", "invalid", "--as-input")
    assert ended.out == json.dumps(rows[1]) + "\n"


def test_results_to_standard_output_as_it_happens(desk: Desk, server: Server) -> None:
    """`--results -` prints a row for each settled record, and all else goes to standard error."""
    ended = desk.run("run", desk.write("in.jsonl", webhooks(5)), "--base-url", server.url, "--results", "-")
    assert ended.code == 0, ended
    assert [list(row) for row in ended.rows] == [ROW] * 5
    assert {(row["name"], row["state"]) for row in ended.rows} == {(f"s{i}", "created") for i in range(5)}
    assert "5 records: 5 created" in ended.err


def test_status_counts_and_groups_the_failures(mixed: Desk) -> None:
    """`status` tells states by tenant and each cause once with an example; `--json` tells a machine the same."""
    found = json.loads(mixed.run("status", "in.ledger.db", "--json").out)
    assert found["records"] == {"total": 5, "created": 1, "duplicate": 1, "exists": 1, "invalid": 1, "refused": 1}
    causes = {one["state"]: one for one in found["failures"]}
    assert causes["refused"]["http_status"] == 400
    assert causes["invalid"]["example"] == {"file": "in.jsonl", "line": 3, "key": "bad"}
    assert found["last_run"]["exit_code"] == 1
    text = mixed.run("status", "in.ledger.db").out
    assert "5 records" in text
    assert "1 invalid: " in text
    assert "in.jsonl:3" in text


def test_validate_says_what_run_would_and_sends_nothing(desk: Desk, server: Server) -> None:
    """`validate` finds the same problems offline, needs no credentials, and leaves nothing behind."""
    desk.write("in.jsonl", [*MIXED[:4], b"[]"])
    ended = desk.run("validate", "in.jsonl", "--json", env={"AUTH0_API_TOKEN": None})
    assert ended.code == 1, ended
    assert ended.json["records"] == {"total": 5, "valid": 2, "invalid": 2, "duplicate": 1}
    assert "in.jsonl:3: status" in ended.err
    assert desk.run("validate", desk.write("good.jsonl", webhooks(3)), env={"AUTH0_API_TOKEN": None}).code == 0
    assert {path.name for path in desk.folder.iterdir()} == {"in.jsonl", "good.jsonl"}
    assert not server.books()["tenants"]


def test_a_dry_run_writes_and_sends_nothing(mixed: Desk, server: Server) -> None:
    """`--dry-run` counts what a run would do, from a copy of the ledger."""
    before, books = (mixed.folder / "in.ledger.db").read_bytes(), server.books()
    mixed.write("in.jsonl", [*MIXED, webhook("new")])
    ended = mixed.provision(server, "in.jsonl", "--allow-unknown-events", "--dry-run")
    assert ended.code == 1, ended
    assert ended.records["create"] == 1
    assert ended.records["exists"] == 2
    assert ended.json["dry_run"] is True
    assert (mixed.folder / "in.ledger.db").read_bytes() == before
    assert server.books()["accepted"] == books["accepted"]
    assert server.requests("create") == books["tenants"]["sandbox"]["requests"]["create"]


def test_secrets_leave_no_trace(desk: Desk, server: Server) -> None:
    """Literal, by variable and by file: all three arrive at the API, and nowhere else, in no encoding and no hash."""
    desk.write("hook.secret", FILE_SECRET.encode())
    desk.write("token", TOKEN.encode())
    rows = [
        webhook("literal"),
        webhook("env", secret="${env:HOOK_SECRET}"),
        webhook("file", secret="${file:hook.secret}"),
        webhook("invalid", status="on"),
        webhook("unset", secret="${env:NOT_SET}"),
        {**webhook("extra"), "password": SECRET},
        b'{"name": "broken", "token": "%s", }' % SECRET.encode(),
    ]
    desk.write("in.jsonl", rows)
    ended = desk.run(
        "run", "in.jsonl", "--base-url", server.url, "--token-file", "token", "--results", "out.jsonl",
        env={"AUTH0_API_TOKEN": None, "BULKSTREAMS_DEBUG": "1"},
    )  # fmt: skip
    assert ended.code == 1, ended
    assert desk.states() == {"created": 3, "invalid": 4}
    assert "NOT_SET" in ended.err
    for command in (["status", "in.ledger.db"], ["results", "in.ledger.db"], ["validate", "in.jsonl"]):
        desk.run(*command)
    # `Running.wait` searched each output, and `Desk.close` searches each file that is no input.


def test_the_search_for_secrets_finds_them() -> None:
    """The rig knows a secret in the clear, in base64 and in the usual hashes, so that its silence means something."""
    for secret in (SECRET, ENV_SECRET, FILE_SECRET, TOKEN):
        data = secret.encode()
        for shown in (
            data,
            base64.b64encode(data),
            hashlib.sha256(data).hexdigest().encode(),
            hashlib.md5(data).digest(),
        ):
            assert leaks(b"before" + shown + b"after")
    assert not leaks(b"nothing to see")


def test_rows_go_on_after_one_that_a_kill_cut_short(desk: Desk, server: Server) -> None:
    """What a killed run left half written stays a line of its own, and no new row is lost in it."""
    half = '{"file":"in.jsonl","line":1,"ke'
    (desk.folder / "rows.jsonl").write_text(half)
    ended = desk.provision(server, desk.write("in.jsonl", webhooks(3)), "--results", "rows.jsonl")
    assert ended.code == 0, ended
    first, *rows = (desk.folder / "rows.jsonl").read_text().splitlines()
    assert first == half
    assert sorted(json.loads(row)["name"] for row in rows) == ["s0", "s1", "s2"]
    again = desk.provision(server, desk.write("in.jsonl", webhooks(4)), "--results", "rows.jsonl")
    assert again.code == 0, again
    assert len((desk.folder / "rows.jsonl").read_text().splitlines()) == 5


@pytest.mark.parametrize("target", ["in.jsonl", "./in.jsonl", "in.ledger.db"])
def test_rows_are_never_written_into_an_input_or_the_ledger(desk: Desk, server: Server, target: str) -> None:
    """A slip of the pen costs nobody his input: exit 2, nothing sent, nothing made."""
    before = (desk.folder / desk.write("in.jsonl", webhooks(3))).read_bytes()
    ended = desk.provision(server, "in.jsonl", "--results", target)
    assert ended.code == 2, ended
    assert "would write over" in ended.err
    assert (desk.folder / "in.jsonl").read_bytes() == before
    assert not (desk.folder / "in.ledger.db").exists()
    assert server.requests() == 0


def test_a_run_that_is_refused_leaves_what_the_ledger_tells(desk: Desk, serve: Callable[..., Server]) -> None:
    """Another address, or an input that breaks off: status and results still know all of the last whole run."""
    one, other = serve(), serve()
    assert desk.provision(one, desk.write("in.jsonl", webhooks(5))).code == 0
    before = desk.run("status", "in.ledger.db", "--json").json["records"]
    assert desk.provision(other, "in.jsonl").code == 3
    desk.write("in.jsonl.gz", gzip.compress(as_lines(webhooks(40)))[:60])
    assert desk.provision(one, "in.jsonl.gz", "--ledger", "in.ledger.db").code == 2
    after = desk.run("status", "in.ledger.db", "--json").json
    assert after["records"] == before
    assert (after["last_run"]["ended"], after["last_run"]["exit_code"]) == (True, 2)
    assert len(desk.results()) == 5


def test_json_says_why_a_run_stopped(desk: Desk, serve: Callable[..., Server]) -> None:
    """Who reads only standard output learns the reason, too."""
    ended = desk.provision(serve(quota=2), desk.write("in.jsonl", webhooks(5)))
    assert ended.code == 4, ended
    (reason,) = ended.json["stopped"].values()
    assert "quota" in reason


def test_a_dry_run_says_how_many_it_would_send(desk: Desk, server: Server) -> None:
    """Not what there is, but what would go: less what is done, invalid or beyond the limit."""
    assert desk.provision(server, desk.write("in.jsonl", webhooks(5)), "--limit", "2").code == 4
    desk.write("in.jsonl", [*webhooks(5), b"{"])
    for flags, count in (((), 3), (("--limit", "1"), 1)):
        told = desk.run("run", "in.jsonl", "--base-url", server.url, "--dry-run", *flags)
        assert "6 records: 3 to create, 2 already there, 1 invalid" in told.out
        assert (f"this run would take {count} of them" in told.out) == bool(flags)
        assert desk.provision(server, "in.jsonl", "--dry-run", *flags).json["would_send"] == count


def test_a_ledger_that_is_removed_in_the_midst_of_a_run_is_missed(desk: Desk, serve: Callable[..., Server]) -> None:
    """The run says so at its end, and the next one, which finds a log of nobody's, creates nothing twice."""
    server = serve(latency=(0.02, 0.02))
    running = desk.start_provision(server, desk.write("in.jsonl", nameless(60)), "--concurrency", "2")
    until(lambda: server.requests() > 3)
    (desk.folder / "in.ledger.db").unlink()
    ended = running.wait()
    assert ended.code == 3, ended
    assert "was removed while the run went on" in ended.err
    again = desk.provision(server, "in.jsonl")
    assert (again.code, again.records) == (0, {"total": 60, "exists": 60}), again


def test_a_ledger_that_is_lost_without_its_log_is_made_anew(desk: Desk, serve: Callable[..., Server]) -> None:
    """The log of a run that was killed, left behind by who removed the ledger, is kept and in nobody's way."""
    server = serve(latency=(0.01, 0.01))
    running = desk.start_provision(server, desk.write("in.jsonl", nameless(60)), "--concurrency", "2")
    until(lambda: server.requests() > 10)
    running.kill()
    (desk.folder / "in.ledger.db").unlink()
    again = desk.provision(server, "in.jsonl")
    assert again.code == 0, again
    assert len(server.streams()) == 60
    assert (desk.folder / "in.ledger.db-wal.orphan").exists()
