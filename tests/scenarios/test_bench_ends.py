"""Benches whose outputs are deserted, closed or full, and whose terminals close: all that they created is deleted.

The sandbox's list of streams is the judge of what is left.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bulkstreams.sandbox.settings import scopes_without
from tests.scenarios.rig import INT, Desk, Server, until
from tests.scenarios.terminal import CONTROLLING, Terminal, launch, process_of

HUP = signal.SIGHUP


def command(server: Server, *flags: str) -> list[str]:
    """Return a bench of fifty requests a second against a server."""
    return ["bench", "--base-url", server.url, "--rate", "50/s", *flags]


@pytest.mark.parametrize("progress", ["plain", "none"])
def test_standard_output_that_nobody_reads_keeps_nothing_there(desk: Desk, server: Server, progress: str) -> None:
    """`bench … | true`: the summary is lost, and says so by the exit code; every stream is deleted."""
    ours, theirs = os.pipe()
    os.close(ours)
    words = launch(command(server, "--duration", "1s", "--progress", progress))
    with process_of(desk, words, stdout=theirs, stderr=subprocess.PIPE) as process:
        os.close(theirs)
        _, told = process.communicate()
    assert process.returncode == 1
    assert b"cleaned: 50 deleted" in told
    assert server.requests() == 50
    assert server.streams() == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
@pytest.mark.parametrize("flags", [[], ["--json"]], ids=["text", "json"])
@pytest.mark.parametrize("closed", [False, True], ids=["full", "closed"])
def test_standard_output_that_takes_nothing_keeps_nothing_there(
    desk: Desk, server: Server, flags: list[str], closed: bool
) -> None:
    """`bench … >/dev/full` and `>&-`: the error is told and is the exit code's; every stream is deleted."""
    first = "import os; os.close(1); " if closed else ""
    words = launch(command(server, "--duration", "1s", *flags), first=first)
    with Path("/dev/full").open("wb") as full, process_of(desk, words, stdout=full, stderr=subprocess.PIPE) as process:
        _, told = process.communicate()
    assert process.returncode == 1
    assert b"error: standard output cannot be written: " in told
    assert b"cleaned: 50 deleted" in told
    assert server.streams() == []


def test_standard_error_that_nobody_reads_ends_the_load_and_not_the_cleaning(desk: Desk, server: Server) -> None:
    """`bench … 2>&1 >out | head -1`: no more requests begin, it is told so, and every stream is deleted."""
    ours, theirs = os.pipe()
    words = launch(command(server, "--duration", "60s", "--progress", "plain"))
    with (desk.folder / "out").open("wb") as out, process_of(desk, words, stdout=out, stderr=theirs) as process:
        os.close(theirs)
        until(lambda: server.requests() > 20)
        os.close(ours)
        assert process.wait(60) == 4
    assert "stopped early: nobody reads standard error any more" in (desk.folder / "out").read_text()
    assert 20 < server.requests() < 3000
    assert server.streams() == []


def test_a_closed_terminal_ends_the_load_and_not_the_cleaning(desk: Desk, server: Server) -> None:
    """The window closes under the live view, which says so twice: what was created is deleted all the same."""
    words = launch(command(server, "--duration", "60s"), first=CONTROLLING)
    with Terminal() as terminal:
        streams = dict.fromkeys(("stdin", "stdout", "stderr"), terminal.theirs)
        with process_of(desk, words, start_new_session=True, **streams) as process:
            os.close(terminal.theirs)
            terminal.theirs = -1
            until(lambda: "offered" in terminal.shown() and server.requests() > 20)
            terminal.close()
            process.send_signal(HUP)
            assert process.wait(60) == 143
    assert server.requests() < 3000
    assert server.streams() == []


@pytest.mark.parametrize("again", [False, True], ids=["at its end", "--clean"])
def test_a_terminal_that_closes_while_it_cleans_keeps_nothing_there(
    desk: Desk, serve: Callable[..., Server], again: bool
) -> None:
    """Neither a hangup nor a reader of standard error who leaves ends a cleaning."""
    server = serve(latency=(0.1, 0.1))
    flags = ["--duration", "2s", *(["--keep"] if again else [])]
    if again:
        assert desk.run(*command(server, *flags)).code == 0
        flags = ["--clean", "bench.ledger.db"]
    ours, theirs = os.pipe()
    words = launch(["bench", *flags] if again else command(server, *flags))
    with (desk.folder / "out").open("wb") as out, process_of(desk, words, stdout=out, stderr=theirs) as process:
        os.close(theirs)
        until(lambda: server.requests("delete") > 2)
        os.close(ours)
        process.send_signal(HUP)
        assert process.wait(60) == 0
    assert server.requests("delete") == 100
    assert server.streams() == []


def test_who_leaves_at_once_is_told_of_what_was_sent_alone(desk: Desk, serve: Callable[..., Server]) -> None:
    """Ctrl-C twice: what was claimed ahead and never sent is pending again, and counts for nothing."""
    server = serve(faults={"hang-after": 1.0})
    running = desk.start(*command(server, "--duration", "60s"))
    until(lambda: server.requests() > 20)
    running.signal(INT)
    running.says("draining")
    running.signal(INT)
    ended = running.wait()
    assert ended.code == 130, ended
    (left,) = re.findall(r"(\d+) streams are left at the tenant, or may be", ended.err)
    assert 20 <= len(server.streams()) <= int(left) < 200
    assert desk.states("bench.ledger.db").keys() == {"in_flight", "pending"}
    assert desk.run("bench", "--clean", "bench.ledger.db").code == 0
    assert server.streams() == []


@pytest.mark.skipif(shutil.which("prlimit") is None, reason="prlimit is not installed")
def test_a_ledger_that_takes_no_more_ends_a_bench_with_the_way_to_clean(desk: Desk, server: Server) -> None:
    """It is no run that resumes: the error and `status` say how what it created is deleted, once that is mended."""
    desk.prefix = ["prlimit", "--fsize=300000"]
    ended = desk.run("bench", "--base-url", server.url, "--closed-loop", "--duration", "60s")
    desk.prefix = []
    made = len(server.streams())
    assert (ended.code, made > 0) == (3, True), ended
    assert "resume" not in ended.err
    (left,) = re.findall(r"Mend that; up to (\d+) streams are left at the tenant; to delete: (.*)", ended.err)
    assert int(left[0]) >= made
    status = desk.run("status", "bench.ledger.db")
    assert (status.code, "resume" in status.out) == (0, False), status
    assert f"To delete what it left at the tenant: {left[1]}" in status.out
    assert desk.run(*left[1].split()[1:]).code == 0
    assert server.streams() == []
    assert "To delete" not in desk.run("status", "bench.ledger.db").out


# -- exit codes --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "status", "code"),
    [({"scopes": scopes_without(["create:event_streams"])}, "403", 4), ({"quota": 0}, "409", 1), ({}, "201", 0)],
    ids=["forbidden", "full", "fine"],
)
def test_a_bench_that_created_nothing_is_no_success(
    desk: Desk, serve: Callable[..., Server], settings: dict[str, Any], status: str, code: int
) -> None:
    """4 where the tenant lets no create in, and what it takes is told; 1 where none came of it for other reasons."""
    server = serve(**settings)
    ended = desk.run(*command(server, "--duration", "1s", "--json"))
    assert (ended.code, ended.json["exit_code"], ended.json["status"]) == (code, code, {status: 50}), ended
    assert ("create:event_streams" in ended.err) == (code == 4)
    assert server.streams() == []


# -- what a cleaning says ----------------------------------------------------------------------------------------------


def test_a_cleaning_that_is_refused_says_why_and_what_it_takes(desk: Desk, serve: Callable[..., Server]) -> None:
    """A token without the scope: the answer, the remedy and the command to go on with, in words and in JSON."""
    server = serve(scopes=scopes_without(["delete:event_streams"]))
    ended = desk.run(*command(server, "--duration", "1s", "--json"))
    again = desk.run("bench", "--clean", "bench.ledger.db", "--json")
    for one, told in ((ended, ended.json["cleaning"]), (again, again.json)):
        assert one.code == told["exit_code"] == 4, one
        assert "50 pending" in one.err
        assert "answered 403: Insufficient scope" in one.err
        assert "Give the client the scopes read:event_streams, delete:event_streams" in one.err
        assert "to go on with it: bulkstreams bench --clean bench.ledger.db" in one.err
        assert "403" in "".join(told["stopped"].values())
    assert len(server.streams()) == 50


def test_deletes_that_fail_are_told_by_cause(desk: Desk, serve: Callable[..., Server]) -> None:
    """A stream that the server will not delete: how many, and what it said."""
    server = serve(faults={"error-before": 1.0}, fault_on=["delete"])
    ended = desk.run(*command(server, "--duration", "0.1s", "--json"))
    assert ended.code == 1, ended
    assert "5 failed: 5" in ended.err
    (failure,) = ended.json["cleaning"]["failures"]
    assert (failure["state"], failure["records"]) == ("failed", 5)
    assert "no answer to 6 attempts" in failure["message"]


def test_a_second_cleaning_says_that_nothing_was_left(desk: Desk, server: Server) -> None:
    """What an earlier one deleted is not told as its work."""
    assert desk.run(*command(server, "--duration", "0.2s", "--keep")).code == 0
    first, second = (desk.run("bench", "--clean", "bench.ledger.db") for _ in range(2))
    assert "cleaned: 10 deleted" in first.err
    assert (second.code, "cleaned: nothing was left to be deleted" in second.err) == (0, True), second


def test_a_stream_that_somebody_changed_is_no_dead_end(desk: Desk, server: Server) -> None:
    """It is left, with the command that deletes it; it blocks no bench after, and is none of its failures."""
    assert desk.run(*command(server, "--duration", "0.2s", "--keep")).code == 0
    changed = server.streams()[0]["id"]
    server.edit(changed, status="enabled")
    force = f"bulkstreams undo bench.ledger.db --force --base-url {server.url}"
    cleaned = desk.run("bench", "--clean", "bench.ledger.db")
    assert cleaned.code == 1, cleaned
    assert "cleaned: 9 deleted, 1 changed" in cleaned.err
    assert force in cleaned.err
    assert "to go on with it" not in cleaned.err
    again = desk.run(*command(server, "--duration", "0.2s"))
    assert again.code == 0, again
    assert force in again.err
    assert "cleaned: 10 deleted\n" in again.err
    assert [one["id"] for one in server.streams()] == [changed]
    assert desk.run(*force.split()[1:], "--yes").code == 0
    assert server.streams() == []
    assert force not in desk.run(*command(server, "--duration", "0.2s")).err


@pytest.mark.parametrize(
    "flags",
    [["in.jsonl"], ["--keep"], ["--rate", "9/s"], ["--warmup", "1s"], ["--ledger", "b.db"], ["--html", "b.html"]],
    ids=lambda flags: flags[0],
)
def test_clean_takes_nothing_that_it_would_pass_over(desk: Desk, server: Server, flags: list[str]) -> None:
    """What contradicts it, or says what load to put on, is refused before anything is deleted."""
    assert desk.run(*command(server, "--duration", "0.1s", "--keep")).code == 0
    ended = desk.run("bench", "--clean", "bench.ledger.db", *flags)
    assert ended.code == 2, ended
    assert f"{'INPUT' if flags[0] == 'in.jsonl' else flags[0]} means nothing there" in ended.err
    assert len(server.streams()) == 5


def test_clean_of_no_file_names_the_ledger_of_a_bench(desk: Desk) -> None:
    """The remedy is about what a bench writes, not what a run does."""
    ended = desk.run("bench", "--clean", "nofile.db")
    assert ended.code == 3, ended
    assert "LEDGER is the file that `bulkstreams bench` wrote: bench.ledger.db" in ended.err


@pytest.mark.parametrize("flags", [["--template", "bad.json"], ["--template", "none.json"], ["bad.json"]], ids=" ".join)
def test_what_cannot_be_sent_is_refused_before_there_is_a_ledger(desk: Desk, server: Server, flags: list[str]) -> None:
    """Nobody is told how to clean after what never began, and no file is made."""
    desk.write("bad.json", b"{")
    ended = desk.run(*command(server, *flags))
    assert ended.code == 2, ended
    assert "should this be killed" not in ended.err
    assert not (desk.folder / "bench.ledger.db").exists()


def test_what_a_full_tenant_refuses_is_not_called_lost(desk: Desk, serve: Callable[..., Server]) -> None:
    """A 409 is an answer; whether such a name stands there is looked up all the same."""
    ended = desk.run(*command(serve(quota=5), "--duration", "0.2s"))
    assert "looking up 5 that may have been created" in ended.err, ended
