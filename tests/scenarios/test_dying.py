"""Runs whose terminal closes, whose readers leave or whose time runs out: they drain, and a rerun completes them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.scenarios.rig import INT, TERM, Desk, Running, Server, once_each, until, webhooks
from tests.scenarios.terminal import CONTROLLING, Terminal, launch, process_of

ROWS = webhooks(60)
HUP, PIPE = signal.SIGHUP, signal.SIGPIPE


def command(server: Server, *flags: str) -> list[str]:
    """Return what runs over in.jsonl against a server, a few attempts at once."""
    return ["run", "in.jsonl", "--base-url", server.url, "--concurrency", "4", *flags]


def running(desk: Desk, words: Sequence[str]) -> Running:
    """Start a process at a desk with readers for all that it writes."""
    streams: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return desk.watch(subprocess.Popen(words, cwd=desk.folder, env=desk.environment, **streams))


def in_the_middle(server: Server) -> None:
    """Wait until some creates took effect."""
    until(lambda: len(server.accepted()) >= 8)


def drained(desk: Desk, server: Server) -> None:
    """Assert that nothing was cut off, that something was left to do, and that the same input completes."""
    assert set(desk.states()) == {"created", "pending"}
    assert desk.states()["created"] == len(server.accepted())
    again = completes(desk, server)
    assert again["lookups"] == 0


def completes(desk: Desk, server: Server, *flags: str) -> dict[str, Any]:
    """Assert that a rerun creates what is left, each once; return what it did."""
    again = desk.provision(server, "in.jsonl", *flags)
    assert (again.code, again.records) == (0, {"total": 60, "created": 60}), again
    assert server.accepted() == once_each(ROWS)
    found: dict[str, Any] = again.json["this_run"]
    return found


@contextmanager
def at_a_terminal(desk: Desk, server: Server, hangup: str) -> Iterator[tuple[subprocess.Popen[bytes], Terminal]]:
    """Start a run that leads the session of a terminal, in whose window the live view is drawn."""
    words = launch(command(server), hangup=hangup, first=CONTROLLING)
    with Terminal() as terminal:
        streams = dict.fromkeys(("stdin", "stdout", "stderr"), terminal.theirs)
        with process_of(desk, words, start_new_session=True, **streams) as process:
            os.close(terminal.theirs)
            terminal.theirs = -1
            yield process, terminal


def test_a_closed_terminal_drains(desk: Desk, serve: Callable[..., Server]) -> None:
    """The window is closed under the live view: attempts under way are settled, the rest is pending again."""
    server = serve(latency=(0.05, 0.1))
    desk.write("in.jsonl", ROWS)
    with at_a_terminal(desk, server, "SIG_DFL") as (process, terminal):
        until(lambda: "/60" in terminal.shown() and len(server.accepted()) >= 8)
        terminal.close()
        assert process.wait(60) == 143
    drained(desk, server)


def test_a_closed_terminal_does_not_end_a_run_that_ignores_hangups(desk: Desk, serve: Callable[..., Server]) -> None:
    """Where SIGHUP was ignored from the start, the run goes on to its end, with nothing left to draw on."""
    server = serve(latency=(0.05, 0.1))
    desk.write("in.jsonl", ROWS)
    with at_a_terminal(desk, server, "SIG_IGN") as (process, terminal):
        until(lambda: "/60" in terminal.shown() and len(server.accepted()) >= 8)
        terminal.close()
        assert process.wait(60) == 0
    assert desk.states() == {"created": 60}
    assert server.accepted() == once_each(ROWS)


def test_nohup_keeps_its_promise(desk: Desk, serve: Callable[..., Server]) -> None:
    """A run under `nohup` takes no notice of a SIGHUP; SIGTERM drains it all the same."""
    server = serve(latency=(0.05, 0.1))
    desk.write("in.jsonl", ROWS)
    run = running(desk, ["nohup", sys.executable, "-m", "bulkstreams", *command(server)])
    in_the_middle(server)
    run.signal(HUP)
    seen = len(server.accepted())
    until(lambda: len(server.accepted()) >= seen + 12)  # more than could have been under way
    run.signal(TERM)
    ended = run.wait()
    assert ended.code == 143, ended
    drained(desk, server)


def test_a_hangup_that_is_told_twice_still_drains(desk: Desk, serve: Callable[..., Server]) -> None:
    """A closing terminal tells SIGHUP through the shell and through the kernel: that is no second request to leave."""
    server = serve(latency=(0.3, 0.4))
    desk.write("in.jsonl", ROWS)
    run = running(desk, launch(command(server)))
    in_the_middle(server)
    run.signal(HUP)
    run.says("draining")
    run.signal(HUP)
    ended = run.wait()
    assert ended.code == 143, ended
    drained(desk, server)


def test_after_a_hangup_a_signal_of_another_kind_leaves_at_once(desk: Desk, serve: Callable[..., Server]) -> None:
    """SIGHUP and then SIGINT cuts hung attempts off; what they did is found out by the rerun."""
    server = serve(faults={"hang-after": 0.2})
    desk.write("in.jsonl", ROWS)
    run = running(desk, launch(command(server)))
    until(lambda: server.faults() >= 4)
    run.signal(HUP)
    run.says("draining")
    run.signal(INT)
    ended = run.wait()
    assert ended.code == 143, ended
    assert desk.states()["in_flight"] == 4
    assert completes(desk, server, "--timeout", "1")["recovered"] >= 4


def test_attempts_that_outlast_the_grace_are_cleared_by_the_next_run(desk: Desk, serve: Callable[..., Server]) -> None:
    """Where no answer comes within the grace period the run ends all the same, and says what it does not know."""
    server = serve(faults={"hang-after": 0.2})
    desk.write("in.jsonl", ROWS)
    run = running(desk, launch(command(server, "--timeout", "600", "--json")))
    until(lambda: server.faults() >= 4)
    run.signal(TERM)
    ended = run.wait()
    assert ended.code == ended.json["exit_code"] == 143, ended
    assert desk.states()["in_flight"] == ended.records["in_doubt"] == 4
    assert completes(desk, server, "--timeout", "1")["recovered"] >= 4


def test_a_reader_of_the_results_who_leaves_drains_the_run(desk: Desk, serve: Callable[..., Server]) -> None:
    """`--results -` into a pipe that closes: the run stops in order and says why."""
    server = serve(latency=(0.05, 0.1))
    desk.write("in.jsonl", ROWS)
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with process_of(desk, launch(command(server, "--results", "-")), **streams) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert b'"state":"created"' in process.stdout.readline()
        process.stdout.close()
        said = process.stderr.read().decode()
        assert process.wait(60) == 4
    assert "the results could not be written (Broken pipe)" in said
    assert "Traceback" not in said
    assert "To resume" in said.splitlines()[-1]
    drained(desk, server)


def test_a_reader_of_the_progress_who_leaves_drains_the_run(desk: Desk, serve: Callable[..., Server]) -> None:
    """`bulkstreams run … 2>&1 | head -1`: once nobody reads what it tells, it stops in order."""
    server = serve(latency=(0.4, 0.5))
    desk.write("in.jsonl", [{**ROWS[0], "id": "est_" + "1" * 22}, *ROWS[1:]])
    pipeline = ["sh", "-c", '{ "$@"; echo $? >code; } 2>&1 | head -1', "sh", *launch(command(server))]
    with process_of(desk, pipeline, stdout=subprocess.PIPE) as process:
        out, _ = process.communicate(timeout=60)
    assert out.startswith(b"note: in.jsonl:1: id")
    assert out.count(b"\n") == 1
    assert (desk.folder / "code").read_text() == "4\n"
    drained(desk, server)


def test_nobody_reads_anything_any_more(desk: Desk, serve: Callable[..., Server]) -> None:
    """With both outputs closed under it the run drains, and its exit code is what is left to tell so."""
    server = serve(latency=(0.05, 0.1))
    desk.write("in.jsonl", ROWS)
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with process_of(desk, launch(command(server, "--results", "-")), **streams) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stderr.close()
        process.stdout.close()
        assert process.wait(60) == 4
    drained(desk, server)


@pytest.mark.parametrize("number", [INT, TERM, HUP])
def test_a_signal_drains_where_nobody_is_told(desk: Desk, serve: Callable[..., Server], number: int) -> None:
    """With both outputs closed a signal is heeded as ever, and the exit code is its own."""
    server = serve(latency=(0.05, 0.1))
    desk.write("in.jsonl", ROWS)
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with process_of(desk, launch(command(server, "--json")), **streams) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stderr.close()
        process.stdout.close()
        in_the_middle(server)
        process.send_signal(number)
        assert process.wait(60) == (130 if number == INT else 143)
    drained(desk, server)


def test_a_reader_who_leaves_while_the_input_is_read_stops_before_anything_is_sent(desk: Desk, server: Server) -> None:
    """What is told of a line finds nobody: the run ends with nothing sent, and a rerun does it all."""
    desk.write("in.jsonl", [{**ROWS[0], "id": "est_" + "1" * 22}, *ROWS[1:]])
    with process_of(desk, launch(command(server)), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        assert process.stderr is not None
        process.stderr.close()
        assert process.wait(60) == 4
    assert server.requests() == 0
    assert completes(desk, server)["created"] == 60


def test_a_broken_pipe_signal_kills_nothing(desk: Desk, serve: Callable[..., Server]) -> None:
    """SIGPIPE, whoever sends it, is no reason to die: a pipe that broke is noticed where it is written to."""
    server = serve(latency=(0.02, 0.03))
    desk.write("in.jsonl", ROWS)
    run = running(desk, launch(command(server, "--json")))
    in_the_middle(server)
    run.signal(PIPE)
    ended = run.wait()
    assert (ended.code, ended.records) == (0, {"total": 60, "created": 60}), ended
    assert server.accepted() == once_each(ROWS)


def closed(redirections: str, words: Sequence[str]) -> list[str]:
    """Return what runs a command under redirections of the shell."""
    return ["sh", "-c", f'exec "$@" {redirections}', "sh", *words]


def test_without_a_standard_error_data_stays_data(desk: Desk, server: Server) -> None:
    """`2>&-`: nothing that was meant for people strays into standard output, or into the ledger."""
    desk.write("in.jsonl", [{**ROWS[0], "id": "est_" + "1" * 22}, *ROWS[1:]])
    ended = running(desk, closed("2>&-", launch(command(server, "--json")))).wait()
    assert (ended.code, ended.records) == (0, {"total": 60, "created": 60}), ended
    assert desk.ask("PRAGMA integrity_check") == [("ok",)]
    again = running(desk, closed("2>&- <&-", launch(command(server, "--json")))).wait()
    assert again.json["this_run"]["requests"] == 0


def test_without_a_standard_output_the_run_is_done_and_the_loss_is_told(desk: Desk, server: Server) -> None:
    """`>&-`: the streams are created; that the object could not be printed is an error that names its cause."""
    desk.write("in.jsonl", ROWS)
    ended = running(desk, closed(">&-", launch(command(server, "--json")))).wait()
    assert ended.code == 1, ended
    assert ended.err.startswith("error: standard output cannot be written: Bad file descriptor")
    assert server.accepted() == once_each(ROWS)
    assert desk.ask("PRAGMA integrity_check") == [("ok",)]
    assert completes(desk, server)["requests"] == 0


def test_without_any_outlet_a_run_is_still_in_order(desk: Desk, serve: Callable[..., Server]) -> None:
    """`>&- 2>&- <&-`: results that nobody can have drain the run, and nothing is written where it does not belong."""
    server = serve(latency=(0.05, 0.1))
    desk.write("in.jsonl", ROWS)
    ended = running(desk, closed("<&- >&- 2>&-", launch(command(server, "--results", "-")))).wait()
    assert (ended.code, ended.out, ended.err) == (4, "", "")
    assert desk.ask("PRAGMA integrity_check") == [("ok",)]
    completes(desk, server)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
def test_results_that_were_lost_at_the_very_end_are_no_success(desk: Desk, server: Server) -> None:
    """Where every stream is created by the time that the results find no room, the exit code tells of the loss."""
    desk.write("in.jsonl", webhooks(1))
    ended = desk.provision(server, "in.jsonl", "--results", "/dev/full")
    assert (ended.code, ended.records) == (1, {"total": 1, "created": 1}), ended
    assert ended.err.splitlines()[-2:] == [
        "error: the results could not be written (No space left on device).",
        "The ledger holds them all: bulkstreams results in.ledger.db",
    ]
