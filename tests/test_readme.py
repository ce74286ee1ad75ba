"""The README is true: its commands exist, its example runs, its tables and its picture are those of the code."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer.main

from bulkstreams.cli.app import app
from bulkstreams.core.lifecycle import diagram
from bulkstreams.errors import ExitCode
from bulkstreams.model import State
from bulkstreams.sandbox import FAULTS

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
SHELL = re.findall(r"```sh\n(.*?)```", README, re.DOTALL)
COMMANDS = typer.main.get_command(app).commands  # type: ignore[attr-defined]


def flags(command: str) -> set[str]:
    """Return the long flags of a command, or of the one command of a group; `--no-…` forms and `--help` left out."""
    one = COMMANDS[command]
    found = {flag for part in [one, *getattr(one, "commands", {}).values()] for flag in long_flags(part)}
    return found - {"--help"}


def long_flags(command: Any) -> set[str]:
    """Return the long flags that a command itself has."""
    return {flag for one in command.params for flag in one.opts if flag.startswith("--")}


def section(heading: str) -> str:
    """Return a section of the README, to the next of its kind or above."""
    return re.split(r"\n##+ ", README.split(f"{heading}\n")[1])[0]


SHARED = {
    "--tenant", "--config", "--base-url", "--token-file", "--rate", "--burst", "--reserve", "--concurrency",
    "--retries", "--timeout", "--deadline", "--max-failures", "--limit", "--progress", "--json", "--metrics-port",
}  # fmt: skip
"""Flags of `run` that other commands have with the same meaning: the README tells them once."""

AFTERWARDS = "### undo, activate, smoke"
PLACES = {
    "export": "### export", "undo": AFTERWARDS, "activate": AFTERWARDS, "smoke": AFTERWARDS,
    "import": "## Coming from auth0-deploy-cli or Terraform", "results": "## Commands",
    "report": "### report", "bench": "### bench",
}  # fmt: skip


@pytest.mark.parametrize("command", PLACES)
def test_every_flag_of_its_own_is_told_where_its_command_is(command: str) -> None:
    """What a command has beside the flags of `run` stands in its section."""
    missing = {flag for flag in flags(command) - SHARED if flag not in section(PLACES[command])}
    assert not missing


@pytest.mark.parametrize("command", ["plan", "verify"])
def test_whatever_compares_has_only_flags_of_a_run(command: str) -> None:
    """So the README need not tell them again."""
    assert flags(command) <= flags("run")


def test_the_first_two_blocks_do_all_the_set_up() -> None:
    """One runs the main job against the sandbox, one the tests, each from nothing but Python."""
    assert SHELL[0].strip().endswith("bulkstreams run samples/streams.jsonl --sandbox")
    assert SHELL[1].strip().endswith("pytest")
    assert all(block.startswith("python3 -m venv .venv && ") for block in SHELL[:2])


@pytest.mark.parametrize("command", ["run", "sandbox"])
def test_every_flag_is_documented(command: str) -> None:
    """A flag that the README does not tell of does not exist for a user."""
    section = README.split(f"### `{command}`")[1].split("\n## ")[0]
    missing = {flag for flag in flags(command) if flag not in section and f"--no-{flag[2:]}" not in section}
    assert not missing


def test_every_command_is_documented() -> None:
    """The table of commands is the list of commands."""
    table = README.split("## Commands")[1].split("###")[0]
    assert {name for name in COMMANDS if f"| `{name}" in table} == set(COMMANDS)


def test_the_commands_of_the_tour_have_only_flags_that_exist() -> None:
    """Who types what stands in the README gets no usage error."""
    lines = [line for block in SHELL[2:] for line in block.splitlines() if "bulkstreams " in line]
    assert len(lines) >= 6
    for line in lines:
        words = shlex.split(line.split("bulkstreams ", 1)[1])
        assert words[0] in COMMANDS
        assert {word for word in words if word.startswith("--")} <= flags(words[0]), line


def test_every_exit_code_state_and_fault_is_documented() -> None:
    """The numbers and words that scripts rely on are all there."""
    table = README.split("### Exit codes")[1].split("### ")[0]
    assert all(re.search(rf"\b{int(code)}\b", table) for code in ExitCode)
    assert all(f"{state}" in README for state in State)
    assert all(f"`{fault}`" in README for fault in FAULTS)


def test_the_picture_of_the_states_is_drawn_from_the_table() -> None:
    """A new step of the table shows in the README, or this fails."""
    assert diagram() in README


def test_the_python_example_runs(tmp_path: Path) -> None:
    """The example, as it stands there, creates every stream of the sample."""
    code = re.search(r"```python\n(.*?)```", README, re.DOTALL)
    assert code is not None
    (tmp_path / "samples").symlink_to(ROOT / "samples")
    ended = subprocess.run(
        [sys.executable, "-W", "error", "-c", code[1]],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    lines = ended.stdout.splitlines()
    assert sum(" created est_" in line for line in lines) == len(lines) - 1 > 40


def test_the_toml_example_is_a_configuration(tmp_path: Path) -> None:
    """The configuration of the README is accepted as it stands."""
    from bulkstreams.config import Flags, load

    text = re.search(r"```toml\n(.*?)```", README, re.DOTALL)
    assert text is not None
    (tmp_path / "bulkstreams.toml").write_text(text[1], encoding="utf-8")
    settings = load(Flags(tenant="acme"), {}, tmp_path)
    assert settings.default is not None
    assert (settings.default.rate, settings.default.burst, len(settings.tenants)) == (16, 50, 2)
