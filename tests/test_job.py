"""The Python API: outcomes as they become durable, errors as exceptions, a loop that may be left."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Awaitable, Callable
from contextlib import closing
from pathlib import Path

import anyio
import pytest

import bulkstreams


def write(path: Path, names: list[str], **more: str) -> Path:
    """Write an input of webhook streams."""
    lines = [
        {
            "name": name,
            "subscriptions": [{"event_type": "user.created"}],
            "destination": {
                "type": "webhook",
                "configuration": {
                    "webhook_endpoint": "https://hooks.example.com/",
                    "webhook_authorization": {"method": "bearer", "token": "dummy"},
                },
            },
            **more,
        }
        for name in names
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return path


def run(work: Callable[[], Awaitable[None]]) -> None:
    """Run a test's coroutine."""
    anyio.run(work)


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_outcomes_are_told_and_a_second_run_sends_nothing(tmp_path: Path) -> None:
    """Every record is told once; what is settled is not told again."""
    path = write(tmp_path / "in.jsonl", ["a", "b", "c"])

    async def work() -> None:
        async with bulkstreams.open(sandbox=True) as job:
            first = [outcome async for outcome in job.run(path)]
            assert [(one.key, one.state, one.line) for one in first] == [
                ("a", "created", 1),
                ("b", "created", 2),
                ("c", "created", 3),
            ]
            assert all(one.remote_id for one in first)
            assert job.report is not None
            assert job.report.exit_code == 0
            assert [outcome async for outcome in job.run(path)] == []
            assert job.report.figures["this_run"]["requests"] == 0

    run(work)


def test_lines_that_cannot_be_sent_are_told_too(tmp_path: Path) -> None:
    """An invalid line and a duplicate have their outcomes, with file, line and reason."""
    path = write(tmp_path / "in.jsonl", ["a", "a"])
    path.write_text(path.read_text(encoding="utf-8") + '{"name": "x"}\n', encoding="utf-8")

    async def work() -> None:
        async with bulkstreams.open(sandbox=True) as job:
            states = {one.line: one.state async for one in job.run(path)}
            assert states == {1: "created", 2: "duplicate", 3: "invalid"}
            assert job.report is not None
            assert job.report.exit_code == 1

    run(work)


def test_what_the_command_would_end_with_is_raised(tmp_path: Path) -> None:
    """A missing file is a UsageError with a hint and an exit code; the job can be used again after it."""
    path = write(tmp_path / "in.jsonl", ["a"])

    async def work() -> None:
        async with bulkstreams.open(sandbox=True) as job:
            with pytest.raises(bulkstreams.UsageError) as caught:
                _ = [outcome async for outcome in job.run("nope.jsonl")]
            assert caught.value.exit_code == 2
            assert caught.value.hint
            assert len([outcome async for outcome in job.run(path)]) == 1

    run(work)


def test_leaving_the_loop_drains_and_a_later_run_resumes(tmp_path: Path) -> None:
    """Whoever breaks out of the loop loses nothing: the rest is created by the next run, none twice."""
    names = [f"n{number:03}" for number in range(60)]
    path = write(tmp_path / "in.jsonl", names)

    async def work() -> None:
        async with bulkstreams.open(sandbox=True, concurrency=1) as job:
            outcomes = job.run(path)
            first = await anext(outcomes)
            await outcomes.aclose()
            rest = [outcome.key async for outcome in job.run(path)]
            assert job.report is not None
            assert job.report.figures["records"]["created"] == 60
            assert first.key not in rest

    run(work)


def test_nothing_is_loaded_before_it_is_asked_for() -> None:
    """An unknown name is an AttributeError, as of any module."""
    with pytest.raises(AttributeError):
        _ = bulkstreams.nothing
    assert set(bulkstreams.__all__) >= {"open", "Job", "Outcome"}
    assert bulkstreams.Job.__name__ == "Job"


def test_an_error_keeps_its_type_outside_of_the_job() -> None:
    """Whoever wraps the whole job in `try` catches the error itself, not a group of one."""

    async def work() -> None:
        async with bulkstreams.open(sandbox=True) as job:
            _ = [outcome async for outcome in job.run("nope.jsonl")]

    with pytest.raises(bulkstreams.UsageError):
        run(work)


def test_leaving_the_job_with_a_loop_half_way_drains_it(tmp_path: Path) -> None:
    """A loop that was broken out of, its iterator still around, does not go on behind one's back."""
    path = write(tmp_path / "in.jsonl", [f"n{number:03}" for number in range(300)])

    async def work() -> None:
        async with bulkstreams.open(sandbox=True, concurrency=1) as job:
            outcomes = job.run(path)
            async for _ in outcomes:
                break
        assert job.report is not None
        assert job.report.figures["records"]["created"] < 300
        assert job.report.exit_code == 130

    run(work)


@pytest.mark.parametrize("rule", [{"max_failures": 2}, {"max_failure_rate": 50}])
def test_failures_stop_a_job_as_they_stop_a_run(tmp_path: Path, rule: dict[str, int]) -> None:
    """The stop rules have the names of their flags, and the rate is a percentage as there."""
    path = write(tmp_path / "in.jsonl", [f"n{number:03}" for number in range(60)])
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace("user.created", "no.such"), encoding="utf-8")

    async def work() -> None:
        async with bulkstreams.open(sandbox=True, concurrency=1, allow_unknown_events=True, **rule) as job:
            states = {one.state async for one in job.run(path)}
        assert states == {"refused"}
        assert job.report is not None
        assert job.report.exit_code == 4
        assert job.report.figures["records"]["pending"] > 0
        (flag,) = rule
        assert f"--{flag.replace('_', '-')}: " in job.report.reasons["sandbox"]

    run(work)


def test_every_stream_can_be_given_one_status_and_no_other_text_is_one(tmp_path: Path) -> None:
    """As the flag of the same name does; another word is refused before anything is read."""
    path = write(tmp_path / "in.jsonl", ["a", "b"])

    async def work() -> None:
        async with bulkstreams.open(sandbox=True, ledger="in.ledger.db") as job:
            with pytest.raises(bulkstreams.UsageError, match="enabled or disabled"):
                await anext(job.run(path, set_status="off"))
            assert [one.state async for one in job.run(path, set_status="disabled")] == ["created", "created"]
        with closing(sqlite3.connect("in.ledger.db")) as db:
            assert db.execute("SELECT DISTINCT status FROM record").fetchall() == [("disabled",)]

    run(work)
