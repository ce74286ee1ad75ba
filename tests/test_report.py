"""What is told of a ledger, and of how a run ended: bounded, however many tenants there are, and with every remedy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from bulkstreams import report
from bulkstreams.core.errands import Kind
from bulkstreams.ledger import LedgerReader
from tests.ledger import bad, good, in_loop, read, start

COUNTED = ("created", "exists", "conflict", "refused", "exhausted", "invalid", "duplicate", "in_doubt", "pending")


def figures(exit_code: int, **records: int) -> dict[str, Any]:
    """Return a run's figures with so many records."""
    counts = {**dict.fromkeys(COUNTED, 0), **records}
    effort = dict.fromkeys(("created", "recovered", "requests", "retries", "throttled", "lookups"), 0)
    total = {"total": sum(records.values()), **counts}
    return {"ledger": "in.ledger.db", "exit_code": exit_code, "elapsed_s": 3.0, "records": total, "this_run": effort}


def told(reasons: Mapping[str, str]) -> list[str]:
    """Return what a run's end says of stopped tenants."""
    return [line for line in report.summary(figures(4, pending=9), reasons) if line.startswith("stopped")]


def names(count: int, first: str = "t") -> list[str]:
    """Return the names of so many tenants."""
    return [f"{first}{number:05}" for number in range(count)]


def test_each_stopped_tenant_is_told_with_its_reason() -> None:
    """Where there are few and each has a reason of its own, none is left out."""
    assert told({"acme": "no token", "beta": "no scope"}) == ["stopped acme: no token", "stopped beta: no scope"]


def test_many_tenants_with_one_reason_take_one_line() -> None:
    """Ten thousand that ran out of time hide none that stopped for a reason of its own."""
    late = dict.fromkeys(names(10_000), "time is over")
    assert told({"acme": "no token", **late, "beta": "no scope"}) == [
        "stopped t00000, t00001, t00002 and 9,997 more: time is over",
        "stopped acme: no token",
        "stopped beta: no scope",
    ]


def test_of_many_reasons_the_most_frequent_are_told() -> None:
    """The rest is counted, in tenants."""
    lines = told({**{name: f"{name} said no" for name in names(1234)}, "x": "both", "y": "both"})
    assert lines[0] == "stopped x, y: both"
    assert lines[-1] == "stopped 1,225 more tenants; `bulkstreams status --json` names them all"
    assert len(lines) == report.MOST_STOPPED + 1


@pytest.mark.parametrize(
    ("hints", "shown"),
    [([], []), (["Get a token."], ["Get a token."]), (["a", "b", "c", "d"], ["a", "b", "c"])],
)
def test_the_next_step_is_every_remedy_and_the_command(hints: Sequence[str], shown: Sequence[str]) -> None:
    """One tenant's remedy hides neither another's nor how to resume."""
    step = report.next_step(figures(4, pending=1), hints, "bulkstreams run in.jsonl")
    assert step.splitlines() == [*shown, "To resume, run the same command again: bulkstreams run in.jsonl"]


def test_of_two_causes_neither_remedy_hides_the_other() -> None:
    """Who mends the invalid lines also learns what the refused ones need."""
    steps = report.next_step(figures(0, invalid=1, refused=1), [], "CMD").splitlines()
    assert [step.partition(" ")[0] for step in steps] == ["Mend", "See"]
    assert steps[1].endswith("after mending the cause: CMD --retry-failed")


def test_where_nothing_is_left_to_do_no_step_is_told() -> None:
    """Neither a command nor an empty line."""
    assert report.next_step(figures(0, created=1), [], "bulkstreams run in.jsonl") == ""


@pytest.mark.parametrize("count", [report.MOST_TENANTS, 200])
@in_loop
async def test_status_tells_the_tenants_with_most_to_do_and_counts_the_rest(tmp_path: Path, count: int) -> None:
    """Up to a page of them all are told, in the order of their names; the machine's form always has them all."""
    path = tmp_path / "in.ledger.db"
    tenants = names(count)
    lines = [good(f"{name}-{i}", tenant=name) for name in tenants for i in range(3 if name == tenants[-1] else 1)]
    with await start(path) as ledger:
        await read(ledger, [*lines, bad()])
    with LedgerReader(path) as reader:
        text, found = report.status_lines(reader, 0.0), report.status(reader, 0.0)
    assert len(found["tenants"]) == count + 1
    its = [line for line in text if line.endswith((" pending", " invalid", "all)"))]
    assert len(its) == report.MOST_TENANTS + 1
    assert its[0] == f"  {tenants[-1]}: 3 pending"
    assert its[-1].startswith("  … and ")
    assert f"{count + 1 - report.MOST_TENANTS:,} more tenant" in its[-1]


def test_one_is_not_told_as_many() -> None:
    """A run's effort reads as people say it."""
    effort = {"created": 1, "recovered": 0, "requests": 1, "retries": 1, "throttled": 1, "lookups": 1}
    records = {"total": 1, "created": 1, "pending": 0, "in_doubt": 0}
    one = {"records": records, "this_run": effort, "ledger": "x.ledger.db", "elapsed_s": 1.0, "exit_code": 0}
    assert "1 request, 1 retry, 1 throttled, 1 look-up)" in report.summary(one, {})[1]
    many = {**one, "this_run": dict.fromkeys(effort, 2)}
    assert "2 requests, 2 retries, 2 throttled, 2 look-ups)" in report.summary(many, {})[1]


# -- what is done to streams after their creation ---------------------------------------------------------------------


def errand_figures(exit_code: int, **records: int) -> dict[str, Any]:
    """Return the figures of an undo."""
    counts = dict.fromkeys(("deleted", "gone", "changed", "failed"), 0) | records
    effort = dict.fromkeys(("requests", "retries", "throttled", "lookups"), 1)
    return {
        "ledger": "in.ledger.db", "exit_code": exit_code, "elapsed_s": 3.0,
        "records": {"total": sum(records.values()), **counts}, "this_run": effort,
    }  # fmt: skip


def test_the_end_of_an_undo_is_told_in_two_lines() -> None:
    """What became of the streams, and what it took; what is in doubt, and tenants that stopped, where there are any."""
    told = report.errand_summary(Kind.UNDO, errand_figures(4, deleted=2, pending=1), {"acme": "no token"})
    assert told == [
        "undo: 3 streams: 2 deleted, 1 pending   (ledger: in.ledger.db)",
        "this run: 1 request, 1 retry, 1 throttled, 1 look-up in 3.00 s",
        "stopped acme: no token",
    ]
    doubtful = {**errand_figures(5, deleted=2), "in_doubt": 1}
    assert "1 record is in doubt" in report.errand_summary(Kind.UNDO, doubtful, {})[-1]
    nothing = report.errand_summary(Kind.DISABLE, errand_figures(0), {})
    assert nothing == ["activate --off: nothing to do   (ledger: in.ledger.db)"]
    there = report.errand_summary(Kind.UNDO, {**errand_figures(0), "there_before": 12}, {})
    assert there == ["undo: nothing to do: this ledger created no stream; 12 were there before it, and are left alone"]
    assert report.errand_summary(Kind.UNDO, errand_figures(0, deleted=1), {})[0].startswith("undo: 1 stream: 1 deleted")


def test_a_dry_run_says_what_would_be() -> None:
    """One is not told as many, and what would be left is told as that."""
    dry = {**errand_figures(1, deleted=11, changed=1), "dry_run": True}
    assert report.errand_summary(Kind.UNDO, dry, {}) == [
        "Dry run, nothing was sent: of 12 streams 11 would be deleted, 1 was changed and would be left"
    ]
    dry = {**errand_figures(0, switched=1, already=2), "dry_run": True}
    assert report.errand_summary(Kind.DISABLE, dry, {}) == [
        "Dry run, nothing was sent: of 3 streams 1 would be switched off, 2 are off already"
    ]


def test_what_waits_for_a_stream_that_is_off_is_not_to_be_sent_again() -> None:
    """It is switched on first."""
    found = {**errand_figures(5, unconfirmed=2), "switched_off": 1}
    assert report.errand_next(Kind.SMOKE, found, (), "CMD") == (
        "1 of these streams is switched off, and a test event may wait until it is on: switch them on, then again: CMD"
    )
    tested = {**figures(5, created=2), "smoke": {"total": 2, "unconfirmed": 2}}
    assert report.next_step(tested, (), "CMD") == "To send those a test event again: CMD"
    assert "switched off" in report.next_step({**tested, "switched_off": 2}, (), "CMD")


@pytest.mark.parametrize(
    ("records", "words"),
    [
        ({"deleted": 1}, ""),
        ({"deleted": 1, "pending": 1}, "To go on, run the same command again: CMD"),
        ({"failed": 1}, "See why: bulkstreams status in.ledger.db; to try those again: CMD"),
        ({"changed": 1}, "Look at what was changed; to do it all the same: CMD --force"),
        ({"unconfirmed": 1}, "To send those a test event again: CMD"),
        ({"gone": 1}, ""),
    ],
)
def test_the_next_step_after_an_undo_is_the_one_that_is_left(records: dict[str, int], words: str) -> None:
    """Often the exact command."""
    assert report.errand_next(Kind.UNDO, errand_figures(0, **records), (), "CMD") == words


def test_after_doubts_the_run_comes_first() -> None:
    """Hints of what stopped come before; a dry run has no next step of its own."""
    doubtful = {**errand_figures(5, deleted=2), "in_doubt": 1}
    assert report.errand_next(Kind.UNDO, doubtful, ["Mend it."], "CMD") == (
        "Mend it.\nRun the input again, which looks up what is in doubt, then: CMD"
    )
    assert report.errand_next(Kind.UNDO, {**errand_figures(1, failed=1), "dry_run": True}, (), "CMD") == ""


def test_a_run_that_tested_tells_of_it() -> None:
    """How the deliveries stand, and where to see why one failed."""
    found = {**figures(1, created=2), "smoke": {"total": 2, "delivered": 1, "failed": 1}}
    assert report.summary(found, {})[-1] == "smoke: 2 streams: 1 delivered, 1 failed"
    assert "See why deliveries failed: bulkstreams status" in report.next_step(found, (), "CMD")
