"""The numbers of a report: they are the ledger's, they add up, and what the ledger does not know is said."""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from contextlib import closing
from pathlib import Path

import pytest

from bulkstreams.core.course import Asked
from bulkstreams.core.metrics import Tally
from bulkstreams.core.waiting import Progress
from bulkstreams.histogram import Histogram
from bulkstreams.ledger import History, Ledger, LedgerReader
from bulkstreams.ledger.reader import FAILURES
from bulkstreams.model import State
from bulkstreams.report import figures, status
from bulkstreams.report.remedies import remedy
from tests.ledger import ACME, good, in_loop, read, settled, start
from tests.report import HOSTILE, IN_FORCE, MOST, NOW, SOURCE, asked, first_run, noted_run, some, three_runs, two_runs


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return where the ledger is to be."""
    return tmp_path / "in.ledger.db"


@in_loop
async def test_states_and_tenants_are_those_of_status(path: Path) -> None:
    """Every total is counted the same way, whoever asks."""
    found = await two_runs(path)
    with LedgerReader(path) as reader:
        told = status(reader, NOW)
    assert some(found["records"]) == told["records"]
    assert found["records"]["total"] == 10 == sum(found["records"].values()) - 10
    (tenant,) = found["tenants"]
    assert (tenant["name"], tenant["address"]) == (ACME, "https://acme.test")
    assert some(tenant["records"]) == told["records"]


@in_loop
async def test_stretches_hold_each_record_where_it_was_settled(path: Path) -> None:
    """Their sums are the records that runs settled, with their retries; the hour between runs is no time."""
    found = await two_runs(path)
    stretches = found["timeline"]["stretches"]
    counts: Counter[str] = Counter()
    for one in stretches:
        counts.update(one["records"])
    assert counts == {"created": 4, "refused": 3, "exists": 1}
    assert sum(one["seconds"] for one in stretches) == pytest.approx(15.0)
    assert sum(one["retries"] for one in stretches) == 1
    (at,) = [one["at"] for one in stretches if "exists" in one["records"]]
    assert at == pytest.approx(4601.0, abs=found["timeline"]["stretch_s"])
    assert found["timeline"]["settled_elsewhere"] == 0


@in_loop
async def test_efforts_are_sums_and_runs_are_told(path: Path) -> None:
    """Time in runs is the sum of what each took; why a tenant stopped stands with its run."""
    found = await two_runs(path)
    assert {name: found["effort"][name] for name in ("requests", "retries", "throttled", "lookups", "elapsed_s")} == {
        "requests": 10, "retries": 1, "throttled": 1, "lookups": 2, "elapsed_s": 15.0,
    }  # fmt: skip
    assert found["effort"]["created_per_s"] == pytest.approx(4 / 10)  # the second run created none
    first, second = found["runs"]["told"]
    assert (first["exit_code"], first["elapsed_s"], first["stopped"]) == (4, 10.0, {"acme": "its deadline came"})
    assert (second["exit_code"], second["elapsed_s"], second["stopped"]) == (1, 5.0, {})
    assert {first["command"], second["command"]} == {"run"}


@in_loop
async def test_times_are_those_of_answered_attempts(path: Path) -> None:
    """Refusals were answered too; what was found by a look-up has no time, and no response time is made up."""
    found = await two_runs(path)
    latency = found["latency"]
    assert {name: latency["service_time_ms"][name] for name in ("count", "min", "max")} == {
        "count": 6, "min": 5.0, "max": 40.0,
    }  # fmt: skip
    assert (latency["response_time_ms"], latency["response_time_curve"]) == (None, [])
    assert any("Response time" in said for said in found["unknown"])


@in_loop
async def test_who_kept_a_schedule_hands_its_times_in(path: Path) -> None:
    """Then both kinds of time are told, and none is missed."""
    await first_run(path)
    response = Histogram()
    response.add(0.07)
    found = asked(path, response=response)
    assert found["latency"]["response_time_ms"]["max"] == 70.0
    assert found["latency"]["response_time_curve"]
    assert not any("Response time" in said for said in found["unknown"])


@in_loop
async def test_failures_have_a_count_an_example_and_a_remedy(path: Path) -> None:
    """The most frequent cause comes first; of many causes the number is told."""
    found = (await two_runs(path))["failures"]
    assert found["causes"] == 3 == len(found["told"])
    first = found["told"][0]
    assert (first["records"], first["state"], first["http_status"], first["message"]) == (2, "refused", 400, MOST)
    assert first["example"] == {"file": "in.jsonl", "line": 5, "key": "e"}
    assert HOSTILE in [one["message"] for one in found["told"]]
    assert all(one["remedy"] for one in found["told"])


@pytest.mark.parametrize("state", [*map(str, FAILURES), "changed", "failed", "unconfirmed"])
@pytest.mark.parametrize("status_", [None, 301, 400, 409, 413, 418, 422])
def test_every_failure_has_a_remedy(state: str, status_: int | None) -> None:
    """A sentence, whatever the state and the answer; what is refused for good needs a flag or another line."""
    assert remedy(state, status_).endswith(".")
    if state == "refused":
        assert any(word in remedy(state, status_) for word in ("--retry-failed", "definition", "tenant"))


@in_loop
async def test_while_a_run_goes_on_it_is_told_to_now_with_its_budget(path: Path) -> None:
    """Its time ends now, what its tenants allow is known, and the file has no hash while it is written."""
    with await start(path, 1000.0) as ledger:
        await read(ledger, [good("a"), good("b")], source=SOURCE)
        (claim,) = await ledger.claim(ACME, 1, 1000.5)
        await ledger.settle([settled(claim, State.CREATED, settled_at=1002.0)], Tally(requests=1))
        await ledger.note(Progress(1, 0, (), {}, allowed=12.5), 1001.0)
        found = asked(path, 1004.0)
    assert found["effort"]["elapsed_s"] == 4.0
    assert found["timeline"]["allowed_per_s"] == 12.5
    assert (found["ledger"]["sha256"], found["records"]["pending"]) == (None, 1)
    assert "write-ahead log" in found["ledger"]["why_not"]
    assert any("the budget over time" in said for said in found["unknown"])  # only that of this instant is known


@in_loop
async def test_a_run_that_was_cut_off_does_not_go_on_with_the_next_of_its_process(path: Path) -> None:
    """It ends with the last that is known of it, though its process lives and holds the ledger again."""
    with await start(path, 1000.0) as ledger:
        await ledger.note_course([Asked(1000.0, 2.0, 3, 0, 0, 0, None)], [])
    with await start(path, 3000.0):
        found = asked(path, 3004.0)
    assert [one["elapsed_s"] for one in found["runs"]["told"]] == [2.0, 4.0]


@in_loop
async def test_of_a_run_that_noted_its_course_nothing_of_it_is_unknown(path: Path) -> None:
    """What was asked stands where it was, and no record's attempts count as retries in its place."""
    await noted_run(path)
    found = asked(path, 7000.0)
    told = found["timeline"]["stretches"]
    assert {name: sum(one[name] for one in told) for name in ("requests", "retries", "throttled", "lookups")} == {
        "requests": 40, "retries": 5, "throttled": 4, "lookups": 1,
    }  # fmt: skip
    assert {one["allowed_per_s"] for one in told} == {4.0}
    assert found["timeline"]["unplaced_requests"] == 2
    said = " ".join(found["unknown"])
    assert not any(word in said for word in ("budget", "429", "retries", "was asked"))
    assert "each counts once, at the instant when that was." in said


@in_loop
async def test_what_some_runs_noted_and_others_did_not_is_said(path: Path) -> None:
    """With their number; what is known of the others is told."""
    found = await three_runs(path)
    said = " ".join(found["unknown"])
    assert "how long each pause took in 2 of 3 runs" in said
    assert "and in 2 of 3 runs its attempts before the last one count as retries there." in said
    assert found["timeline"]["unplaced_requests"] == 10 + 2
    assert sum(one["retries"] for one in found["timeline"]["stretches"]) == 1 + 5


@in_loop
async def test_where_no_tenant_said_what_it_allows_that_is_unknown(path: Path) -> None:
    """Though it is known what was asked when; while a run goes on, it may be known of now."""
    with await start(path, 1000.0) as ledger:
        await ledger.note_course([Asked(1000.0, 1.0, 5, 0, 0, 0, None)], [])
        assert any("never said what they allow" in said for said in asked(path, 1002.0)["unknown"])
        await ledger.note(Progress(1, 0, (), {}, allowed=12.5), 1001.0)
        assert not any("budget" in said for said in asked(path, 1002.0)["unknown"])


@in_loop
async def test_a_run_that_died_ends_with_its_last_record(path: Path) -> None:
    """Nobody knows when it died; it went on until then at least."""
    with await start(path, 1000.0) as ledger:
        await read(ledger, [good("a")], source=SOURCE)
        (claim,) = await ledger.claim(ACME, 1, 1000.5)
        await ledger.settle([settled(claim, State.CREATED, settled_at=1003.0)], Tally())
    assert asked(path)["effort"]["elapsed_s"] == 3.0


@pytest.mark.parametrize("at", [1001.0, 1004.0])
@in_loop
async def test_a_run_that_died_went_on_as_long_as_it_asked(path: Path, at: float) -> None:
    """What it settled last may have come before or after that."""
    with await start(path, 1000.0) as ledger:
        await read(ledger, [good("a")], source=SOURCE)
        (claim,) = await ledger.claim(ACME, 1, 1000.5)
        await ledger.settle([settled(claim, State.CREATED, settled_at=1003.0)], Tally())
        await ledger.note_course([Asked(at, 1.5, 1, 0, 0, 0, None)], [])
    assert asked(path)["effort"]["elapsed_s"] == max(3.0, at + 1.5 - 1000.0)


@in_loop
async def test_a_ledger_without_records_is_told_too(path: Path) -> None:
    """Nothing is divided by nothing."""
    with await start(path):
        pass
    found = asked(path)
    assert (found["records"]["total"], found["inputs"], found["tenants"]) == (0, [], [])
    assert found["effort"]["created_per_s"] == 0.0


@in_loop
async def test_all_runs_count_and_the_newest_are_told(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Records of older runs stand in the totals, and it is said how many are not drawn."""
    monkeypatch.setattr(figures, "MOST_RUNS", 1)
    found = await two_runs(path)
    assert (found["runs"]["total"], len(found["runs"]["told"])) == (2, 1)
    assert found["effort"]["requests"] == 10
    assert found["timeline"]["settled_elsewhere"] == 6


@in_loop
async def test_all_numbers_are_of_one_instant(path: Path) -> None:
    """What is written while a report is made shows in none of them, or in all."""
    with await start(path) as ledger:
        await read(ledger, [good("a")], source=SOURCE)
        with History(path) as history, history.one_instant():
            assert history.totals().total == 1
            await read(ledger, [good("a"), good("b")], source="")
            assert history.totals().total == 1
            assert len(list(history.definitions())) == 1
        with History(path) as history:
            assert history.totals().total == 2


@in_loop
async def test_a_ledger_of_an_older_format_is_read_as_it_is(path: Path) -> None:
    """It knows nothing of what was done with streams afterwards, and is not changed by being read."""
    await first_run(path)
    with closing(sqlite3.connect(path)) as db:
        db.executescript("DROP TABLE errand; PRAGMA user_version = 2; UPDATE seal SET turn = turn | 1, sum = NULL;")
    found = asked(path)
    assert (found["ledger"]["format"], found["afterwards"]["commands"]) == (2, [])
    assert found["throttling"]["pauses"] is None
    assert all(one["requests"] is None for one in found["timeline"]["stretches"])
    assert "a run of an older bulkstreams noted its sums alone" in " ".join(found["unknown"])
    assert found["configuration"] == {"newest": {}, "changed": []}
    assert [one["command"] for one in found["runs"]["told"]] == [None]
    assert any("configuration" in said for said in found["unknown"])


@in_loop
async def test_a_configuration_that_is_known_is_not_missed(path: Path) -> None:
    """It is told, so nothing says that it is not."""
    found = await two_runs(path)
    assert list(found["configuration"]["newest"]) == ["run"]
    assert not any("configuration" in said for said in found["unknown"])


@in_loop
async def test_figures_are_json(path: Path) -> None:
    """They survive the way there and back."""
    found = await two_runs(path)
    assert json.loads(json.dumps(found)) == found


@in_loop
async def test_that_rates_and_times_are_of_streams_as_they_stand_now_is_said(path: Path) -> None:
    """For an undo takes what it deletes out of what past runs created; the ledger does not keep how that was before."""
    said = (await two_runs(path))["unknown"]
    assert any("their rates and service times, are of streams as they stand now" in one for one in said)


@in_loop
async def test_a_run_that_noted_nothing_of_its_course_is_told_to_be_older_or_cut_off(path: Path) -> None:
    """Each with its number; what is neither is not named."""
    await first_run(path)
    (older,) = [said for said in asked(path)["unknown"] if "What was asked when" in said]
    assert older.endswith(": a run of an older bulkstreams noted its sums alone.")
    for _ in range(2):
        with Ledger.open(path) as ledger:
            await ledger.begin_run(3000.0, "run", IN_FORCE)
            await ledger.settle([], Tally(requests=3, lookups=2))
    found = asked(path)
    (mixed,) = [said for said in found["unknown"] if "What was asked when" in said]
    assert ": a run of an older bulkstreams noted its sums alone; 2 runs with no end noted died, or" in mixed
    assert (found["timeline"]["unplaced_requests"], found["timeline"]["unplaced_lookups"]) == (8 + 6, 2 + 4)


@in_loop
async def test_of_runs_with_no_end_noted_it_is_said_what_no_count_may_hold(path: Path) -> None:
    """What they asked in their last moment; of those that ended, all is counted."""
    await two_runs(path)
    assert not any("no end noted" in said for said in asked(path)["unknown"])
    for runs in ("a run", "2 runs"):
        with Ledger.open(path) as ledger:
            await ledger.begin_run(3000.0)
        assert any(f"in the last moment of {runs} with no end noted" in said for said in asked(path)["unknown"])


@in_loop
async def test_percentiles_of_few_creates_are_marked_as_those_of_a_bench(path: Path) -> None:
    """Where fewer than ten lie beyond one it may be an accident; the longest time is none, nor is what nobody timed."""
    latency = (await two_runs(path))["latency"]
    assert latency["service_time_unsound"] == ["p50", "p90", "p95", "p99", "p999", "mean"]
    assert latency["response_time_unsound"] == []
    response = Histogram()
    for _ in range(1000):
        response.add(0.07)
    assert asked(path, response=response)["latency"]["response_time_unsound"] == ["p999"]
