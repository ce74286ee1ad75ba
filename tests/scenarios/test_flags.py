"""A flag that is not known is refused, by every command, before anything is read, sent or written.

A slip near `--dry-run` must never turn a preview into the real thing.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from bulkstreams.cli.app import app
from bulkstreams.errors import UsageError
from tests.scenarios.rig import Desk, Server, as_lines, webhooks


def commands(group: Any, path: tuple[str, ...] = ()) -> dict[str, Sequence[Any]]:
    """Return the parameters of every command, by what is typed for it."""
    found: dict[str, Sequence[Any]] = {}
    for name, command in group.commands.items():
        inner = (*path, name)
        found |= commands(command, inner) if hasattr(command, "commands") else {" ".join(inner): command.params}
    return found


PARAMETERS = commands(typer.main.get_command(app))
SLIPS = [
    "--dry_run", "--dryrun", "--dry-runs", "--dry-ru", "--dry", "--d", "--DRY-RUN", "--Dry-Run", "--dry-run=yes",
    "--dry-run=false", "--no-dry-run", "--dry–run", "--dry-run ", "-dry-run", "-n", "--plan", "--preview",
]  # fmt: skip
"""What people type, and what word processors make of it."""


def arguments_of(command: str) -> list[str]:
    """Return what a command wants beside flags: nothing of it is there."""
    return ["missing" for one in PARAMETERS[command] if one.param_type_name == "argument" and one.required]


@pytest.fixture
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Work in an empty folder."""
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("flag", ["--unheard-of", "--jso", "-x", "--json=1", *SLIPS])
@pytest.mark.parametrize("command", list(PARAMETERS))
def test_every_command_refuses_a_flag_that_it_does_not_know(command: str, flag: str, nowhere: Path) -> None:
    """Usage error 2 and not a file: also for the beginning of a flag that there is."""
    ended = CliRunner().invoke(app, [*command.split(), *arguments_of(command), flag])
    assert ended.exit_code == 2, ended.output
    assert "No such option" in ended.output or "does not take a value" in ended.output, ended.output


@pytest.mark.parametrize("command", list(PARAMETERS))
def test_the_help_shows_every_word_of_itself(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A default in brackets is no markup, to be swallowed: what is written for a flag is what people read."""
    monkeypatch.setenv("COLUMNS", "400")
    shown = " ".join(CliRunner().invoke(app, [*command.split(), "--help"]).output.split())
    for one in PARAMETERS[command]:
        assert " ".join((one.help or "").replace("\\[", "[").split()) in shown


def long_flags() -> list[tuple[str, str]]:
    """Return every long flag of every command."""
    return [
        (command, flag)
        for command in PARAMETERS
        for one in PARAMETERS[command]
        if one.param_type_name == "option"
        for flag in one.opts
        if flag.startswith("--")
    ]


@pytest.mark.parametrize(("command", "flag"), long_flags())
def test_no_flag_may_be_abbreviated(command: str, flag: str, nowhere: Path) -> None:
    """`--dry-ru` is not `--dry-run`: what is short today would mean something else once there is another flag."""
    known = {other for name, other in long_flags() if name == command}
    if flag[:-1] in known:
        pytest.skip("the shorter one is a flag of its own")
    for text in (flag[:-1], flag.upper(), flag + "s"):
        ended = CliRunner().invoke(app, [*command.split(), *arguments_of(command), text])
        assert ended.exit_code == 2
        assert "No such option" in ended.output, ended.output


@pytest.mark.parametrize("slip", [*SLIPS, "—dry-run"])
def test_a_slip_near_dry_run_sends_nothing(desk: Desk, server: Server, slip: str) -> None:
    """The real command against a real sandbox: whatever is typed, wherever it stands, its books stay empty."""
    desk.write("in.jsonl", webhooks(3))
    ended = desk.provision(server, "in.jsonl", slip)
    assert ended.code == 2, ended
    assert not server.books()["tenants"]
    assert {path.name for path in desk.folder.iterdir()} == {"in.jsonl"}


@pytest.mark.parametrize("order", [["--dry-run", "run", "in.jsonl"], ["run", "--", "in.jsonl", "--dry-run"]])
def test_a_flag_in_the_wrong_place_sends_nothing(desk: Desk, server: Server, order: list[str]) -> None:
    """Before the command, or behind a `--` that makes an input of it: refused as well."""
    desk.write("in.jsonl", webhooks(3))
    ended = desk.run(*order, env={"AUTH0_DOMAIN": "acme.example"})
    assert ended.code == 2, ended
    assert {path.name for path in desk.folder.iterdir()} == {"in.jsonl"}


def test_the_real_flag_sends_nothing_either(desk: Desk, server: Server) -> None:
    """`--dry-run`, wherever it stands among the arguments: requests that read, and no other."""
    desk.write("in.jsonl", webhooks(3))
    for order in (["--dry-run", "in.jsonl"], ["in.jsonl", "--dry-run"]):
        assert desk.run("run", *order, "--base-url", server.url, "--json").code == 0
    assert set(server.books()["tenants"]["sandbox"]["requests"]) == {"list"}
    assert {path.name for path in desk.folder.iterdir()} == {"in.jsonl"}


def takers() -> list[tuple[str, str]]:
    """Return every flag that takes a value, by its command."""
    return [
        (command, next(flag for flag in one.opts if flag.startswith("--")))
        for command in PARAMETERS
        for one in PARAMETERS[command]
        if one.param_type_name == "option" and not one.is_flag
    ]


@pytest.mark.parametrize("command", list(PARAMETERS))
def test_an_empty_value_is_no_default(command: str, nowhere: Path) -> None:
    """A variable of the shell that is not set: refused for each flag, and in two ways of writing it."""
    for flag in (flag for name, flag in takers() if name == command):
        for words in ([flag, ""], [f"{flag}="], [flag, " "]):
            ended = CliRunner().invoke(app, [*command.split(), *arguments_of(command), *words])
            assert isinstance(ended.exception, UsageError), (words, ended.output)
            assert ended.exception.message == f"{flag} is empty."


@pytest.mark.parametrize("command", [one for one in PARAMETERS if arguments_of(one) or one == "bench"])
def test_an_empty_argument_is_no_folder(command: str, nowhere: Path) -> None:
    """It is told by the name that the help has for it."""
    ended = CliRunner().invoke(app, [*command.split(), ""])
    assert isinstance(ended.exception, UsageError), ended.output
    assert ended.exception.message in {"INPUT is empty.", "LEDGER is empty.", "PATH is empty."}


def test_an_empty_flag_of_a_bench_loads_nothing(desk: Desk, server: Server) -> None:
    """The real command: a usage error, and no request of the load that would be the default."""
    ended = desk.run("bench", "--base-url", server.url, "--rate", "", "--duration", "")
    assert (ended.code, server.requests()) == (2, 0), ended
    assert "--rate is empty" in ended.err


@pytest.mark.parametrize("command", list(PARAMETERS))
def test_a_value_that_is_no_text_is_told_by_its_flag(command: str, nowhere: Path) -> None:
    """A name in another encoding, as old disks have them: before it can reach a ledger or JSON. No credential shows."""
    for flag in (flag for name, flag in takers() if name == command):
        for value, told in (("caf\udce9", r"no UTF-8: caf\xe9."), ("http://u:p@h/\udce9", "no UTF-8.")):
            ended = CliRunner().invoke(app, [*command.split(), *arguments_of(command), flag, value])
            assert isinstance(ended.exception, UsageError), ended.output
            assert ended.exception.message == f"{flag} holds bytes that are {told}"


def test_an_input_in_another_encoding_is_no_defect(desk: Desk, server: Server) -> None:
    """The real command: a usage error that names the file, and nothing sent or made."""
    name = b"caf\xe9.jsonl"
    Path(desk.folder, os.fsdecode(name)).write_bytes(as_lines(webhooks(1)))
    desk._inputs.add(os.fsdecode(name))
    ended = desk.provision(server, os.fsdecode(name))
    assert ended.code == 2, ended
    assert r"INPUT holds bytes that are no UTF-8: caf\xe9.jsonl" in ended.err
    assert [one.name for one in desk.folder.iterdir()] == [os.fsdecode(name)]


def test_a_folder_in_another_encoding_is_worked_in(desk: Desk, server: Server) -> None:
    """What is named from within it has names that are text: the ledger is made, read and looked at there."""
    desk._inputs.add(os.fsdecode(b"caf\xe9/in.jsonl"))
    desk.folder /= os.fsdecode(b"caf\xe9")
    desk.folder.mkdir()
    (desk.folder / "in.jsonl").write_bytes(as_lines(webhooks(2)))
    assert desk.provision(server, "in.jsonl").records["created"] == 2
    assert desk.run("status", "in.ledger.db").code == desk.run("results", "in.ledger.db").code == 0
    assert desk.run("plan", "in.jsonl", "--base-url", server.url, "--json").json["records"]["exists"] == 2
    assert desk.run("report", "in.ledger.db").code == 0
    assert desk.run("undo", "in.ledger.db", "--yes", "--base-url", server.url).code == 0
    assert server.streams() == []
    desk.folder = desk.folder.parent
