"""Ledgers that were damaged, or looked at by other tools: what the commands say, and what the remedy leads to."""

from __future__ import annotations

import random
import shlex
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from tests.scenarios.rig import Desk, Server, once_each, until, webhooks

ROWS = webhooks(60)
PAGE = 4096


def look(ledger: Path) -> None:
    """Look at a ledger as SQLite's shell does: a process of its own that could write, and leaves in order."""
    code = "import sqlite3, sys; db = sqlite3.connect(sys.argv[1]); db.execute('SELECT * FROM results').fetchall()"
    subprocess.run([sys.executable, "-c", f"{code}; db.close()", str(ledger)], check=True)


def test_a_ledger_may_be_looked_at_with_any_tool_while_a_run_goes_on(desk: Desk, serve: Callable[..., Server]) -> None:
    """A tool that opens the ledger and leaves takes nothing away from it: after a SIGKILL the rerun knows it all."""
    server = serve(latency=(0.01, 0.02))
    running = desk.start_provision(server, desk.write("in.jsonl", ROWS), "--concurrency", "2")
    for seen in (5, 15, 25):
        until(lambda seen=seen: len(server.accepted()) >= seen)
        look(desk.folder / "in.ledger.db")
        assert (desk.folder / "in.ledger.db-wal").exists()
    until(lambda: desk.states().get("created", 0) >= 35)
    running.kill()
    assert desk.states()["created"] >= 35
    look(desk.folder / "in.ledger.db")
    again = desk.provision(server, "in.jsonl")
    assert (again.code, again.records) == (0, {"total": 60, "created": 60}), again
    assert again.json["this_run"]["requests"] <= 60 - 35
    assert server.accepted() == once_each(ROWS)


def flip(path: Path) -> None:
    """Flip one bit in the middle."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 4
    path.write_bytes(data)


def cut(path: Path) -> None:
    """Cut the last page off."""
    path.write_bytes(path.read_bytes()[:-PAGE])


def overwrite(path: Path) -> None:
    """Write noise over a page."""
    data = path.read_bytes()
    path.write_bytes(data[: 3 * PAGE] + random.Random(7).randbytes(PAGE) + data[4 * PAGE :])


def rename_a_state(path: Path) -> None:
    """Give records a state that is none, and say that nobody sealed it."""
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("UPDATE record SET state = 'creatpd'")
        db.execute("UPDATE seal SET sum = NULL")


@pytest.mark.parametrize("damage", [flip, cut, overwrite, rename_a_state])
def test_a_damaged_ledger_is_refused_by_every_command(
    desk: Desk, server: Server, damage: Callable[[Path], None]
) -> None:
    """Exit 3, what is wrong, how to look, and how to go on, which then finds each stream in place and creates none."""
    ledger = desk.folder / "in.ledger.db"
    assert desk.provision(server, desk.write("in.jsonl", ROWS)).code == 0
    before = server.books()
    damage(ledger)
    left = ledger.read_bytes()
    commands = [["run", "in.jsonl", "--base-url", server.url], ["status", "in.ledger.db"], ["results", "in.ledger.db"]]
    for command in commands:
        ended = desk.run(*command)
        assert ended.code == 3, ended
        assert "error: the ledger in.ledger.db" in ended.err
        assert "damaged" in ended.err
        assert "sqlite3 -readonly in.ledger.db 'PRAGMA integrity_check'" in ended.err
        assert not ended.out
    assert ledger.read_bytes() == left
    assert server.books() == before
    fresh = shlex.split(ended.err.partition("as in ")[2].partition(":")[0])
    again = desk.provision(server, "in.jsonl", *fresh)
    assert (again.code, again.records) == (0, {"total": 60, "exists": 60}), again
    assert server.accepted() == once_each(ROWS)


def test_commits_that_vanished_with_their_log_are_missed(desk: Desk, serve: Callable[..., Server]) -> None:
    """After a SIGKILL the write-ahead log is gone: nothing is sent from what is left, until the log is back."""
    server = serve(latency=(0.01, 0.02))
    running = desk.start_provision(server, desk.write("in.jsonl", ROWS), "--concurrency", "2")
    until(lambda: len(server.accepted()) >= 20)
    running.kill()
    log = desk.folder / "in.ledger.db-wal"
    kept = log.read_bytes()
    log.unlink()
    until(lambda: server.requests() == len(server.accepted()))  # what was under way has taken effect
    before = server.books()
    refused = desk.provision(server, "in.jsonl")
    assert refused.code == desk.run("status", "in.ledger.db").code == 3, refused
    assert "its write-ahead log" in refused.err
    assert "is missing" in refused.err
    assert server.books() == before
    log.write_bytes(kept)
    again = desk.provision(server, "in.jsonl")
    assert (again.code, again.records) == (0, {"total": 60, "created": 60}), again
    assert server.accepted() == once_each(ROWS)
