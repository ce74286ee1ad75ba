"""Points at which a process kills itself: all of them are reached, one is armed by name, and none costs when off."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from bulkstreams.client import Client
from bulkstreams.errors import UsageError
from bulkstreams.failpoints import POINTS, POINTS_AFTERWARDS, VARIABLE, arm, parse
from bulkstreams.ledger import Ledger
from bulkstreams.ledger import format as ledger_format
from bulkstreams.ledger.writer import Writer
from tests.scenarios.rig import Desk, Server, once_each, webhooks

ROWS = webhooks(30)
FAULTS = {"reset-after": 0.2, "error-before": 0.2}

WATCHED = """
import sys
from bulkstreams import cli, failpoints
reached = set()
failpoints.watch(reached.add)
try:
    cli.main()
finally:
    print("reached:", *sorted(reached), file=sys.stderr)
"""


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    """Return a desk; what it starts ends with its test."""
    return Desk(tmp_path / "desk")


def test_every_point_is_reached_where_a_faulty_run_resumes(desk: Desk) -> None:
    """No name stands for a place that the code never comes to: what dies at a create and is run again meets all."""
    with closing(desk), Server(faults=FAULTS) as server:
        arguments = ["run", desk.write("in.jsonl", ROWS), "--base-url", server.url]
        assert desk.run(*arguments, env={VARIABLE: "create.after:3"}).code == -signal.SIGKILL
        desk.write("in.jsonl", [*ROWS, *webhooks(1, "late")])
        ended = subprocess.run(
            [sys.executable, "-c", WATCHED, *arguments],
            cwd=desk.folder,
            env=desk.environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert ended.returncode == 0, ended.stderr
        reached = ended.stderr.splitlines()[-1].removeprefix("reached:").split()
        assert set(reached) == set(POINTS)
        assert server.accepted() == once_each([*ROWS, *webhooks(1, "late")])


def test_every_point_of_what_comes_after_a_run_is_reached(desk: Desk) -> None:
    """By a switch, tests whose answers are lost, and an undo."""
    with closing(desk), Server(faults={"reset-after": 0.5}, faults_on=["test"]) as server:
        where = ["in.ledger.db", "--base-url", server.url]
        desk.write("in.jsonl", webhooks(6))
        assert desk.provision(server, "in.jsonl").code == 0
        reached: set[str] = set()
        for arguments in (["activate", *where, "--off", "--yes"], ["smoke", *where], ["undo", *where, "--yes"]):
            ended = subprocess.run(
                [sys.executable, "-c", WATCHED, *arguments, "--retries", "9", *more(arguments)],
                cwd=desk.folder,
                env=desk.environment,
                capture_output=True,
                text=True,
                timeout=60,
                check=False,
            )
            reached |= set(ended.stderr.splitlines()[-1].removeprefix("reached:").split())
        assert set(POINTS_AFTERWARDS) <= reached
        assert server.streams() == []


def more(arguments: list[str]) -> list[str]:
    """Return what a command is given beside the ledger: streams that are off hold their events back."""
    return ["--patience", "0.5"] if arguments[0] == "smoke" else []


@pytest.mark.parametrize(
    ("point", "states"),
    [
        ("begin_run.before", set()),
        ("ingest.after", {"pending"}),
        ("claim.after", {"in_flight", "pending"}),
        ("create.before:9", {"in_flight", "pending", "created"}),
        ("settle.after", {"in_flight", "pending", "created"}),
    ],
)
def test_an_armed_point_kills_the_process_there(desk: Desk, point: str, states: set[str]) -> None:
    """The process dies of SIGKILL at the point; the ledger holds what was durable, and a rerun completes it."""
    with closing(desk), Server(latency=(0.001, 0.005)) as server:
        rows = webhooks(60)
        arguments = ["run", desk.write("in.jsonl", rows), "--base-url", server.url, "--concurrency", "2"]
        assert desk.run(*arguments, env={VARIABLE: point}).code == -signal.SIGKILL
        assert set(desk.states()) <= states
        assert bool(desk.states()) is bool(states)
        assert desk.run(*arguments).code == 0
        assert server.accepted() == once_each(rows)


@pytest.mark.parametrize(
    ("point", "there"), [("commit.before", 0), ("commit.written", 0), ("commit.durable", 1), ("commit.after", 1)]
)
def test_the_commit_has_a_point_on_either_side(desk: Desk, point: str, there: int) -> None:
    """What a transaction wrote is gone where the process dies before its COMMIT, and there where it dies after it."""
    with closing(desk), Server() as server:
        arguments = ["run", desk.write("in.jsonl", ROWS), "--base-url", server.url]
        assert desk.run(*arguments, env={VARIABLE: point}).code == -signal.SIGKILL
        with closing(sqlite3.connect(desk.folder / "in.ledger.db")) as db:
            assert db.execute("SELECT count(*) FROM run").fetchone() == (there,)  # the first that a run writes


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("settle.afer", "Did you mean settle.after? The points are: "),
        ("nowhere", "The points are: begin_run.before, begin_run.after, "),
        ("settle.after:0", "Write settle.after:3 for its third time."),
        ("settle.after:", "Write settle.after:3 for its third time."),
        ("settle.after:-1", "Write settle.after:3 for its third time."),
    ],
)
def test_an_unknown_point_or_count_is_a_usage_error(text: str, said: str) -> None:
    """Nothing is armed by a name that is not there: the error lists the names, or says how to write the count."""
    with pytest.raises(UsageError) as raised:
        parse(text)
    assert said in raised.value.hint


def test_the_command_refuses_an_unknown_point(desk: Desk) -> None:
    """Exit 2, with all points on standard error."""
    with closing(desk):
        ended = desk.run("--version", env={VARIABLE: "nowhere:1"})
        assert ended.code == 2, ended
        assert all(point in ended.err for point in POINTS)


def hooks() -> list[Callable[..., object]]:
    """Return everything that `watch` would replace, as it is now."""
    owners = (Ledger, Client, Writer)
    return [ledger_format.connect, *(found for owner in owners for found in vars(owner).values() if callable(found))]


@pytest.mark.parametrize("environment", [{}, {VARIABLE: ""}])
def test_unarmed_nothing_is_wrapped(environment: dict[str, str]) -> None:
    """Without the variable every method is the one that its class was written with."""
    before = hooks()
    arm(environment)
    assert hooks() == before
    assert not any(hasattr(one, "__wrapped__") for one in hooks())
