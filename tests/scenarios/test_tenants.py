"""A thousand tenants in one input, sorted by tenant, where there are file descriptors for a few dozen."""

from __future__ import annotations

from pathlib import Path

from tests.scenarios.rig import TERM, Desk, Server, configuration, until, webhooks

TENANTS = [f"t{i:04d}" for i in range(1000)]
LINES = [{"tenant": tenant, "stream": one} for tenant in TENANTS for one in webhooks(2)]
FEW_FILES = ["sh", "-c", 'ulimit -n 256; exec "$@"', "sh"]


def desk_of(folder: Path, server: Server) -> Desk:
    """Return a desk with the input and a configuration of all tenants, whose commands may open 256 files."""
    desk = Desk(folder)
    desk.write("in.jsonl", LINES)
    desk.write("bulkstreams.toml", configuration(dict.fromkeys(TENANTS, server)))
    desk.prefix = FEW_FILES
    return desk


def test_a_thousand_tenants_need_no_more_files_than_there_are(tmp_path: Path) -> None:
    """Every record is created exactly once, without a single connection that could not be opened."""
    with Server() as server:
        desk = desk_of(tmp_path, server)
        ended = desk.run("run", "in.jsonl", "--json")
        books = server.books()
    assert ended.code == 0, ended
    assert ended.records == {"total": 2000, "created": 2000}
    assert (ended.json["this_run"]["requests"], ended.json["this_run"]["retries"]) == (2000, 0)
    assert len(books["accepted"]) == len({(one["tenant"], one["name"]) for one in books["accepted"]}) == 2000
    desk.close()


def test_the_sandbox_inside_takes_its_share_of_the_files(tmp_path: Path) -> None:
    """With both ends of each connection in one process, half as many are opened, and none fails."""
    desk = Desk(tmp_path)
    desk.write("in.jsonl", LINES[:600])
    desk.prefix = FEW_FILES
    ended = desk.run("run", "in.jsonl", "--sandbox", "--json")
    assert ended.code == 0, ended
    assert ended.records == {"total": 600, "created": 600}
    assert (ended.json["this_run"]["requests"], ended.json["this_run"]["retries"]) == (600, 0)
    desk.close()


def test_a_run_that_is_ended_while_most_tenants_wait_resumes(tmp_path: Path) -> None:
    """Tenants that had no seat yet are as pending as before, and the next run creates what is missing, once."""
    with Server(latency=(0.02, 0.02)) as server:
        desk = desk_of(tmp_path, server)
        running = desk.start("run", "in.jsonl", "--json")
        until(lambda: server.requests() >= 200)
        running.signal(TERM)
        first = running.wait()
        assert first.code == 143, first
        assert set(first.records) == {"total", "created", "pending"}
        assert len(first.json["stopped"]) >= first.records["pending"] / 2
        second = desk.run("run", "in.jsonl", "--json")
        books = server.books()
    assert second.code == 0, second
    assert second.json["this_run"]["requests"] == first.records["pending"]
    assert len(books["accepted"]) == len({(one["tenant"], one["name"]) for one in books["accepted"]}) == 2000
    desk.close()
