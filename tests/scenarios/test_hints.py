"""What a command says that was given the wrong thing, or no answer: the remedy is one that the command has."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import sys

import pytest

from tests.scenarios.rig import INT, Desk, Server, configuration, for_each, webhooks


@pytest.mark.parametrize("command", ["status", "results", "report", "undo", "activate", "smoke"])
def test_a_file_that_is_no_ledger_is_told_by_what_one_is(desk: Desk, command: str) -> None:
    """These commands have no flag that would name another."""
    ended = desk.run(command, desk.write("in.jsonl", webhooks(1)))
    assert ended.code != 0
    assert "LEDGER is the file that `run` wrote, e.g. in.ledger.db" in ended.err
    assert "--ledger" not in ended.err


def test_original_lines_are_asked_for_where_the_run_was(desk: Desk, server: Server) -> None:
    """The ledger knows its inputs by the names that they were given."""
    desk.write("in.jsonl", webhooks(1))
    assert desk.provision(server, "in.jsonl").code == 0
    desk.folder = desk.folder / "elsewhere"
    desk.folder.mkdir()
    ended = desk.run("results", "../in.ledger.db", "--as-input")
    desk.folder = desk.folder.parent
    assert ended.code == 2
    assert "from the folder in which it was run: go there" in ended.err


def test_an_undo_of_a_run_at_an_address_names_the_flag(desk: Desk, server: Server) -> None:
    """Whoever gave the address to `run` has no configuration to put it into."""
    desk.write("in.jsonl", webhooks(1))
    assert desk.provision(server, "in.jsonl").code == 0
    ended = desk.run("undo", "in.ledger.db", "--yes")
    assert ended.code == 2, ended
    assert f"or give --base-url {server.url}; nothing was sent" in ended.err


def test_several_tenants_are_asked_about_by_their_names(desk: Desk, server: Server) -> None:
    """Their addresses would say less."""
    tenants = dict.fromkeys(("acme", "beta"), server)
    (desk.folder / "bulkstreams.toml").write_bytes(configuration(tenants))
    desk._inputs.add("bulkstreams.toml")
    assert desk.run("run", desk.write("in.jsonl", for_each(tenants, webhooks(1)))).code == 0
    assert "to delete 2 event streams at acme, beta;" in desk.run("undo", "in.ledger.db").err


HEEDING = """
import runpy, signal
signal.signal(signal.SIGINT, signal.default_int_handler)
runpy.run_module("bulkstreams", run_name="__main__", alter_sys=True)
"""
"""The command as a terminal starts it: whoever runs the tests in the background has it start deaf to interrupts."""


def test_whoever_interrupts_the_question_has_sent_nothing(desk: Desk, server: Server) -> None:
    """The cursor waits behind the question, and the end of the command says what was done."""
    desk.write("in.jsonl", webhooks(1))
    assert desk.provision(server, "in.jsonl").code == 0
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", HEEDING, "undo", "in.ledger.db", "--base-url", server.url],
        cwd=desk.folder, env=desk.environment, stdin=theirs, stdout=subprocess.PIPE, stderr=theirs,
    )  # fmt: skip
    os.close(theirs)
    said = b""
    try:
        while not said.endswith(b"? Type yes to do so: "):
            said += os.read(ours, 1000)
        while b"interrupted; nothing was sent" not in said:
            process.send_signal(INT)  # again: one that comes just before the read begins wakes nobody
            if select.select([ours], [], [], 0.5)[0]:
                said += os.read(ours, 1000)
        assert process.wait(60) == 130
    finally:
        process.kill()
        process.communicate()
        os.close(ours)
    assert server.requests("delete") == 0


@pytest.mark.parametrize(
    "command", [["run", "in.jsonl", "--ledger"], ["status"], ["undo"], ["run", "in.jsonl", "--results"]]
)
def test_a_link_that_leads_in_circles_is_told_as_what_it_is(desk: Desk, server: Server, command: list[str]) -> None:
    """Whatever file it was to be, it is the user's to mend, and no defect of ours."""
    desk.write("in.jsonl", webhooks(1))
    (desk.folder / "a.link").symlink_to("b.link")
    (desk.folder / "b.link").symlink_to("a.link")
    where = ["--base-url", server.url] if command[0] == "run" else []
    ended = desk.run(*command, "a.link", *where)
    assert ended.code in {2, 3}, ended
    assert "a.link" in ended.err
    assert server.requests() == 0
