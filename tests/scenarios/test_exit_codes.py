"""The exit codes of the contract, one by one: what was sent, what was said, and what a rerun does."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable

from tests.scenarios.rig import TOKEN, Desk, Server, once_each, until, webhook, webhooks


def test_0_where_all_is_created_and_a_rerun_sends_nothing(desk: Desk, server: Server) -> None:
    """The first run creates all; the second sends not a single request and ends with 0, too."""
    rows = webhooks(30)
    first = desk.provision(server, desk.write("in.jsonl", rows))
    assert (first.code, first.records) == (0, {"total": 30, "created": 30}), first
    assert first.json["this_run"]["requests"] == 30
    before = server.books()
    again = desk.provision(server, "in.jsonl")
    assert (again.code, again.records) == (0, {"total": 30, "created": 30}), again
    assert again.json["this_run"]["requests"] == again.json["this_run"]["created"] == 0
    assert server.books() == before
    assert server.accepted() == once_each(rows)


def test_1_where_lines_are_invalid_and_the_others_are_created(desk: Desk, server: Server) -> None:
    """Invalid and duplicate lines stop nobody: both are told with their lines, the rest is created, exit 1."""
    rows = [webhook("a"), b"{", webhook("a"), webhook("b", status="on"), webhook("c")]
    ended = desk.provision(server, desk.write("in.jsonl", rows))
    assert (ended.code, ended.records) == (1, {"total": 5, "created": 2, "invalid": 2, "duplicate": 1}), ended
    assert "in.jsonl:2:" in ended.err
    assert "in.jsonl:4: status" in ended.err
    assert "in.jsonl:3: duplicate of in.jsonl:1" in ended.err
    assert server.accepted() == {"a": 1, "c": 1}


def test_0_where_a_line_is_only_a_duplicate(desk: Desk, server: Server) -> None:
    """A duplicate alone is no failure."""
    ended = desk.provision(server, desk.write("in.jsonl", [webhook("a"), webhook("a")]))
    assert (ended.code, ended.records) == (0, {"total": 2, "created": 1, "duplicate": 1}), ended


USAGE = {
    "no credentials": (["run", "in.jsonl", "--base-url", "URL"], {"AUTH0_API_TOKEN": None}, "credentials"),
    "no tenant": (["run", "in.jsonl"], {}, "no tenant is named"),
    "unknown flag": (["run", "in.jsonl", "--base-url", "URL", "--concurency", "4"], {}, "--concurrency"),
    "missing file": (["run", "im.jsonl", "--base-url", "URL"], {}, "did you mean in.jsonl?"),
    "public http": (["run", "in.jsonl", "--base-url", "http://acme.eu.auth0.com"], {}, "in the clear"),
    "token file": (["run", "in.jsonl", "--base-url", "URL", "--token-file", "no.token"], {}, "no.token"),
    "bad rate": (["run", "in.jsonl", "--base-url", "URL", "--rate", "fast"], {}, "--rate"),
    "named twice": (["run", "in.jsonl", "in.jsonl", "--base-url", "URL"], {}, "named twice"),
    "a name of bytes": (["run", "in\udcff.jsonl", "--base-url", "URL"], {}, "no UTF-8"),
    "two to stdout": (["run", "in.jsonl", "--base-url", "URL", "--json", "--results", "-"], {}, "--results"),
    "a folder": (["run", ".", "--base-url", "URL"], {}, "is a folder"),
    "no such state": (["results", "in.ledger.db", "--state", "creatd"], {}, "creatd"),
}


def test_2_where_the_command_line_is_wrong(desk: Desk, server: Server) -> None:
    """Wrong usage names what is wrong and the remedy; nothing is sent, and no ledger is left behind."""
    desk.write("in.jsonl", webhooks(2))
    runs = {
        case: desk.start(*[server.url if one == "URL" else one for one in arguments], env=environment)
        for case, (arguments, environment, _) in USAGE.items()
    }
    for case, running in runs.items():
        ended = running.wait()
        assert ended.code == 2, (case, ended)
        assert USAGE[case][2] in ended.err, (case, ended)
        assert not ended.out, case
    assert not server.books()["tenants"]
    assert [path.name for path in desk.folder.iterdir()] == ["in.jsonl"]


def test_2_where_the_file_has_an_unknown_key(desk: Desk, server: Server) -> None:
    """A misspelt key of bulkstreams.toml is refused with the right one named."""
    desk.write("in.jsonl", webhooks(2))
    desk.write("bulkstreams.toml", b"[defaults]\nconcurency = 4\n")
    ended = desk.provision(server, "in.jsonl")
    assert ended.code == 2, ended
    assert "concurrency" in ended.err
    assert not server.books()["tenants"]


def test_3_where_a_live_process_holds_the_ledger(desk: Desk, serve: Callable[..., Server]) -> None:
    """The second process names the first by its id and sends nothing; the first goes on undisturbed."""
    server = serve(faults={"hang-after": 1.0})  # the first is busy for as long as its attempt may take
    rows = webhooks(1)
    first = desk.start_provision(server, desk.write("in.jsonl", rows), "--timeout", "5")
    until(lambda: server.requests() >= 1)
    second = desk.provision(server, "in.jsonl")
    assert second.code == 3, second
    assert f"process {first.process.pid}" in second.err
    assert "bulkstreams status in.ledger.db" in second.err
    ended = first.wait()
    assert (ended.code, ended.records) == (0, {"total": 1, "created": 1}), ended
    assert server.accepted() == once_each(rows)


def test_3_where_the_ledger_is_none_or_newer_or_of_another_address(desk: Desk, server: Server) -> None:
    """A foreign file, an SQLite file of another program, a newer format and another address: refused and untouched."""
    desk.write("in.jsonl", webhooks(2))
    (desk.folder / "text.db").write_text("dear diary")
    foreign = sqlite3.connect(desk.folder / "foreign.db")
    foreign.execute("CREATE TABLE t (x)")
    foreign.close()
    assert desk.provision(server, "in.jsonl", "--ledger", "newer.db").code == 0
    newer = sqlite3.connect(desk.folder / "newer.db")
    newer.execute("PRAGMA user_version = 99")
    newer.close()
    before = server.books()
    cases = {"text.db": "not a bulkstreams ledger", "foreign.db": "SQLite", "newer.db": "format 99"}
    runs = {name: desk.start_provision(server, "in.jsonl", "--ledger", name) for name in cases}
    for name, running in runs.items():
        ended = running.wait()
        assert ended.code == 3, ended
        assert cases[name] in ended.err
        assert "--ledger" in ended.err
    assert (desk.folder / "text.db").read_text() == "dear diary"
    assert server.books() == before
    assert desk.provision(server, "in.jsonl", "--ledger", "here.db").code == 0
    elsewhere = desk.run("run", "in.jsonl", "--ledger", "here.db", "--base-url", server.url_of("other"))
    assert elsewhere.code == 3, elsewhere
    assert server.url in elsewhere.err
    assert not server.accepted("other")


def test_4_where_credentials_are_refused_and_records_stay_pending(desk: Desk, serve: Callable[..., Server]) -> None:
    """A wrong secret and a wrong token stop the tenant; mended, the same command creates all."""
    server = serve(clients={"me": "right"}, strict_tokens=True)
    rows = webhooks(10)
    wrong = {"AUTH0_API_TOKEN": None, "AUTH0_CLIENT_ID": "me", "AUTH0_CLIENT_SECRET": TOKEN}
    ended = desk.provision(server, desk.write("in.jsonl", rows), env=wrong)
    assert (ended.code, ended.records) == (4, {"total": 10, "pending": 10}), ended
    refused = desk.run("run", "in.jsonl", "--base-url", server.url)
    assert refused.code == 4, refused
    assert "refused the token" in refused.err
    assert "Check the tenant's credentials" in refused.err
    assert desk.states() == {"pending": 10}
    assert not server.accepted()
    right = desk.provision(server, "in.jsonl", env={**wrong, "AUTH0_CLIENT_SECRET": "right"})
    assert (right.code, right.records) == (0, {"total": 10, "created": 10}), right
    assert server.accepted() == once_each(rows)
    assert server.requests("token") == 2


def test_4_where_the_scope_is_missing_or_the_address_is_wrong(desk: Desk, serve: Callable[..., Server]) -> None:
    """403 and 404 on the collection stop the tenant with nothing lost."""
    server = serve(scopes=("read:event_streams",))
    ended = desk.provision(server, desk.write("in.jsonl", webhooks(5)))
    assert (ended.code, ended.records) == (4, {"total": 5, "pending": 5}), ended
    lost = desk.run("run", "in.jsonl", "--ledger", "b.db", "--base-url", f"{server.url}/nowhere")
    assert lost.code == 4, lost
    assert "404" in lost.err
    assert desk.states("b.db") == {"pending": 5}
    assert server.requests() <= 6


def test_4_where_a_limit_a_deadline_or_failures_end_a_run_and_the_next_resumes(
    desk: Desk, serve: Callable[..., Server]
) -> None:
    """`--limit`, `--deadline` and `--max-failures` stop early with exit 4, each leaving the rest for the next run."""
    server = serve(latency=(0.05, 0.05))
    rows = [*webhooks(30), *[webhook(f"x{i}", subscriptions=[{"event_type": "no.such"}]) for i in range(40)]]
    desk.write("in.jsonl", rows)
    flags = ("--allow-unknown-events", "--concurrency", "2")
    limited = desk.provision(server, "in.jsonl", "--limit", "7", *flags)
    assert (limited.code, limited.records) == (4, {"total": 70, "created": 7, "pending": 63}), limited
    late = desk.provision(server, "in.jsonl", "--deadline", "0.2", *flags)
    assert late.code == 4, late
    assert late.records["created"] >= 7
    assert late.records["created"] + late.records["pending"] == 70
    failing = desk.provision(server, "in.jsonl", "--max-failures", "2", *flags)
    assert failing.code == 4, failing
    assert 2 <= failing.records["refused"] < 40
    assert failing.records["pending"] > 0
    rest = desk.provision(server, "in.jsonl", *flags)
    assert (rest.code, rest.records) == (1, {"total": 70, "created": 30, "refused": 40}), rest
    assert server.accepted() == once_each(rows[:30])
