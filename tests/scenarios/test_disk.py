"""A disk that is full, read-only or failing: the run ends before it can lose an outcome, and a rerun completes."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from tests.scenarios import power, volume
from tests.scenarios.rig import Desk, Ended, Server, once_each, until, webhooks

ROWS = webhooks(300)
LEDGER = "small/in.ledger.db"

needs_mount = pytest.mark.skipif(bool(volume.why_not()), reason=volume.why_not() or "never")
needs_strace = pytest.mark.skipif(bool(power.why_not()), reason=power.why_not() or "never")


def states(ledger: Path, to: Path) -> dict[str, str]:
    """Return the state of each record by its name, from a copy of a ledger's files, so that nothing of it changes."""
    to.mkdir()
    for path in ledger.parent.glob(f"{ledger.name}*"):
        if not path.name.endswith(("-shm", ".lock")):
            shutil.copy(path, to)
    if not (to / ledger.name).exists():
        return {}
    with closing(sqlite3.connect(to / ledger.name)) as db:
        return dict(db.execute("SELECT name, state FROM record").fetchall())


def check_failed(ended: Ended, server: Server, ledger: Path, to: Path, *words: str) -> None:
    """See how a run ended that could not write: in our words, and with nothing sent that its ledger does not know of.

    Each stream that was created stands in the ledger as created, or as what the next run will look up.
    """
    assert ended.code == 3, ended
    assert ended.err.count("error:") == 1
    assert all(word in ended.err for word in words), ended
    assert "run the same command again" in ended.err
    until(lambda: server.requests() == len(server.accepted()))  # what was under way has taken effect
    found = states(ledger, to)
    created = server.accepted()
    assert {found[str(name)] for name in created} <= {"created", "in_flight", "in_doubt"}
    assert {name for name, state in found.items() if state == "created"} <= set(created)


def check_completed(ended: Ended, server: Server) -> None:
    """See that a rerun completed what was begun, each stream once."""
    assert ended.code == 0, ended
    assert ended.records["total"] == len(ROWS) == ended.records["created"]
    assert server.accepted() == once_each(ROWS)


@needs_mount
def test_a_disk_that_is_full_from_the_start(desk: Desk, server: Server) -> None:
    """No ledger can be made: exit 3, nothing is sent, nothing is left behind; with room the same command completes."""
    desk.write("in.jsonl", ROWS)
    with volume.Volume(desk, "1m") as disk:
        disk.fill()
        ended = desk.provision(server, "in.jsonl", "--ledger", LEDGER)
        assert ended.code == 3, ended
        assert "room" in ended.err
        assert server.requests() == 0
        disk.empty()
        assert {path.name for path in disk.folder.iterdir()} <= {"in.ledger.db.lock"}
        check_completed(desk.provision(server, "in.jsonl", "--ledger", LEDGER), server)


@needs_mount
@pytest.mark.parametrize("size", ["80k", "160k", "200k", "240k", "280k", "320k"])
def test_a_disk_that_is_too_small(desk: Desk, server: Server, size: str) -> None:
    """Wherever it is full, at the making of the ledger or at the last outcome: exit 3, and with room a rerun completes.

    A ledger that is there by then is whole.
    """
    desk.write("in.jsonl", ROWS)
    with volume.Volume(desk, size) as disk:
        ended = desk.provision(server, "in.jsonl", "--ledger", LEDGER)
        check_failed(ended, server, disk.folder / "in.ledger.db", desk.folder / "copy", "is full", "Make room")
        disk.remount("size=4m")
        check_completed(desk.provision(server, "in.jsonl", "--ledger", LEDGER), server)


@needs_mount
@pytest.mark.parametrize("seen", [10, 60, 150])
def test_a_disk_that_fills_up_in_the_midst_of_sending(desk: Desk, serve: Callable[..., Server], seen: int) -> None:
    """Nothing is sent without a durable intent; outcomes that could not be written are looked up by the rerun."""
    server = serve(latency=(0.005, 0.03))
    desk.write("in.jsonl", ROWS)
    with volume.Volume(desk, "4m") as disk:
        running = desk.start_provision(server, "in.jsonl", "--ledger", LEDGER, "--concurrency", "8")
        until(lambda: len(server.accepted()) >= seen)
        disk.fill()
        ended = running.wait()
        check_failed(ended, server, disk.folder / "in.ledger.db", desk.folder / "copy", "is full", "Make room")
        sent = server.requests()
        again = desk.provision(server, "in.jsonl", "--ledger", LEDGER)  # still full
        assert again.code == 3, again
        assert server.requests() == sent
        assert desk.run("status", LEDGER).code == 0
        disk.empty()
        check_completed(desk.provision(server, "in.jsonl", "--ledger", LEDGER), server)


@needs_mount
def test_a_disk_that_is_read_only(desk: Desk, server: Server) -> None:
    """A ledger there can be read, but neither made nor written: exit 3, nothing sent; writable again, all is well."""
    desk.write("in.jsonl", ROWS)
    with volume.Volume(desk, "4m") as disk:
        disk.remount("ro")
        ended = desk.provision(server, "in.jsonl", "--ledger", LEDGER)
        assert ended.code == 3, ended
        assert "--ledger FILE" in ended.err
        disk.remount("rw")
        assert desk.provision(server, "in.jsonl", "--ledger", LEDGER, "--limit", "100").code == 4
        sent = server.requests()
        disk.remount("ro")
        ended = desk.provision(server, "in.jsonl", "--ledger", LEDGER)
        assert ended.code == 3, ended
        assert "Read-only file system" in ended.err
        assert server.requests() == sent
        status = desk.run("status", LEDGER, "--json")
        assert status.code == 0, status
        assert status.json["records"]["created"] == 100
        disk.remount("rw")
        check_completed(desk.provision(server, "in.jsonl", "--ledger", LEDGER), server)


@pytest.mark.skipif(shutil.which("prlimit") is None, reason="prlimit is not installed")
@pytest.mark.parametrize("limit", [40_000, 120_000, 150_000, 200_000])
def test_a_file_that_may_not_grow(desk: Desk, server: Server, limit: int) -> None:
    """Where the system lets no file grow beyond a size, no signal kills the run: it ends in our words, and resumes."""
    desk.write("in.jsonl", ROWS)
    desk.prefix = ["prlimit", f"--fsize={limit}"]
    ended = desk.provision(server, "in.jsonl")
    desk.prefix = []
    check_failed(ended, server, desk.folder / "in.ledger.db", desk.folder / "copy", "cannot be used")
    check_completed(desk.provision(server, "in.jsonl"), server)


@needs_strace
@pytest.mark.parametrize("call", ["fdatasync", "pwrite64"])
@pytest.mark.parametrize("first", [30, 45])
def test_a_disk_that_fails(desk: Desk, serve: Callable[..., Server], call: str, first: int) -> None:
    """From some sync or write on the disk answers with an I/O error: nothing more is sent, and a rerun completes."""
    server = serve(latency=(0.005, 0.03))
    desk.write("in.jsonl", ROWS)
    when = first * 8 if call == "pwrite64" else first
    inject = f"inject={call}:error=EIO:when={when}+"
    desk.prefix = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", f"trace={call}", "-e", inject]
    ended = desk.provision(server, "in.jsonl", "--concurrency", "4")
    desk.prefix = []
    check_failed(ended, server, desk.folder / "in.ledger.db", desk.folder / "copy", "disk I/O error")
    assert 0 < server.requests() < len(ROWS)
    check_completed(desk.provision(server, "in.jsonl"), server)


@needs_mount
@pytest.mark.parametrize("command", ["plan", "verify"])
@pytest.mark.parametrize("size", ["64k", "512k"])
def test_a_full_temporary_folder_is_not_taken_for_the_ledgers_disk(
    desk: Desk, server: Server, command: str, size: str
) -> None:
    """What a look writes is kept there: the remedy names TMPDIR, be it the ledger's copy or a list that has no room."""
    desk.write("in.jsonl", webhooks(1000))
    assert desk.provision(server, "in.jsonl").code == 0
    with volume.Volume(desk, size):
        ended = desk.run(command, "in.jsonl", "--base-url", server.url, env={"TMPDIR": str(desk.folder / "small")})
    assert (ended.code, ended.out) == (3, ""), ended
    assert f"temporary folder ({desk.folder / 'small'}): its disk is full" in ended.err
    assert "TMPDIR" in ended.err
    assert "the ledger" not in ended.err
