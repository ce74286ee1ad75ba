"""What a run does where somebody else does not do his part: a reader that leaves, a writer that never writes."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from bulkstreams.sandbox.settings import scopes_without
from tests.scenarios.rig import INT, Desk, Running, Server, once_each, until, webhooks

ROWS = webhooks(60)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
def test_results_that_cannot_be_written_drain_the_run(desk: Desk, serve: Callable[..., Server]) -> None:
    """A full disk under --results stops the run in order: nothing is cut off, and the same input completes later."""
    server = serve(latency=(0.02, 0.03))
    where = ["--base-url", server.url, "--concurrency", "4", "--results", "/dev/full"]
    ended = desk.run("run", desk.write("in.jsonl", ROWS), *where)
    assert ended.code == 4, ended
    assert "the results could not be written (No space left on device)" in ended.err
    assert set(desk.states()) == {"created", "pending"}
    again = desk.provision(server, "in.jsonl")
    assert (again.code, again.records) == (0, {"total": 60, "created": 60}), again
    assert server.accepted() == once_each(ROWS)
    assert again.json["this_run"]["lookups"] == 0


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
def test_standard_output_that_takes_nothing_is_no_defect(desk: Desk, server: Server) -> None:
    """The sentence names the cause, and the exit code is not success."""
    assert desk.provision(server, desk.write("in.jsonl", ROWS)).code == 0
    for command in (["status"], ["results"], ["results", "--as-input"]):
        with Path("/dev/full").open("wb") as full:
            ended = subprocess.run(
                [sys.executable, "-m", "bulkstreams", command[0], "in.ledger.db", *command[1:]],
                cwd=desk.folder, env=desk.environment, stdout=full, stderr=subprocess.PIPE, text=True, timeout=60,
            )  # fmt: skip
        assert ended.returncode == 1
        assert ended.stderr.startswith("error: standard output cannot be written: No space left on device")
        assert "Traceback" not in ended.stderr


def test_an_idle_pipe_is_left_when_a_signal_comes(desk: Desk, server: Server) -> None:
    """`run -` ends at once with 130 although nobody closed its input."""
    ours, theirs = os.pipe()
    process = subprocess.Popen(
        [sys.executable, "-m", "bulkstreams", "run", "-", "--base-url", server.url, "--json"],
        cwd=desk.folder, env=desk.environment, stdin=ours, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    running = Running(process)
    try:
        until(lambda: (desk.folder / "stdin.ledger.db").exists())
        until(lambda: desk.ask("SELECT 1 FROM reading", "stdin.ledger.db"))
        running.signal(INT)
        ended = running.wait()
    finally:
        os.close(ours)
        os.close(theirs)
    assert ended.code == ended.json["exit_code"] == 130, ended
    assert server.requests() == 0


@pytest.mark.parametrize(("flags", "waits_in"), [((), "pending"), (("--no-preflight",), "in_flight")])
def test_a_token_server_that_never_answers_does_not_hold_up_an_interrupted_run(
    desk: Desk, flags: tuple[str, ...], waits_in: str
) -> None:
    """Whether it waits to look or to send: nothing was sent, so everything is pending, and no record is in doubt."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        who = {"AUTH0_API_TOKEN": None, "AUTH0_CLIENT_ID": "id", "AUTH0_CLIENT_SECRET": "dummy-client-word"}
        running = desk.start("run", desk.write("in.jsonl", ROWS), "--base-url", url, *flags, env=who)
        connection, _ = listener.accept()
        with connection:
            until(lambda: waits_in in desk.states())
            running.signal(INT)
            ended = running.wait()
    assert ended.code == 130, ended
    assert desk.states() == {"pending": 60}


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
def test_figures_that_cannot_be_printed_hide_neither_the_end_of_a_command_nor_what_it_tells(
    desk: Desk, serve: Callable[..., Server]
) -> None:
    """`undo --json` that was refused still exits with 4; `export --json` still lists the secrets to be filled in."""
    server = serve(scopes=scopes_without(["delete:event_streams"]))
    assert desk.provision(server, desk.write("in.jsonl", webhooks(2))).code == 0
    where = ["--base-url", server.url, "--json"]
    for command, code, told in (
        (["undo", "in.ledger.db", "--yes"], 4, "No space left on device"),
        (["export", "--output", "out.jsonl"], 1, "S0_TOKEN"),
    ):
        with Path("/dev/full").open("wb") as full:
            ended = subprocess.run(
                [sys.executable, "-m", "bulkstreams", *command, *where],
                cwd=desk.folder, env=desk.environment, stdout=full, stderr=subprocess.PIPE, text=True, timeout=60,
            )  # fmt: skip
        assert (ended.returncode, told in ended.stderr) == (code, True), ended
