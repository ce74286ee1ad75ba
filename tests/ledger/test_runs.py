"""Runs: one that ended tells how, and one that did not leaves doubts behind."""

from __future__ import annotations

from pathlib import Path

from bulkstreams.ledger import LedgerReader
from bulkstreams.model import State
from tests.ledger import ACME, bring, column, good, in_loop, mark, read, start, states


@in_loop
async def test_a_run_that_ended_tells_how(path: Path) -> None:
    """The exit code, the instant and the stopped tenants with their reasons are kept."""
    with await start(path) as ledger:
        await ledger.end_run(9.0, 4, {"acme": "credentials refused"})
        name = ledger.run_name
    with LedgerReader(path) as reader:
        run = reader.last_run()
    assert run is not None
    assert (run.name, run.ended_at, run.exit_code, run.stopped) == (name, 9.0, 4, {"acme": "credentials refused"})


@in_loop
async def test_runs_have_names_of_their_own(path: Path) -> None:
    """No two runs share a name."""
    names = set()
    for _ in range(3):
        with await start(path) as ledger:
            names.add(ledger.run_name)
    assert len(names) == 3


@in_loop
async def test_what_a_dead_process_left_in_flight_is_in_doubt(path: Path) -> None:
    """A run without an end leaves intents that the next one cannot trust: an attempt more, sent at its intent."""
    ledger = await start(path)
    await bring(ledger, State.IN_FLIGHT)
    ledger.close()  # as a process that dies, without `end_run`
    with await start(path, 50.0) as ledger:
        await read(ledger, [good("a")])
        assert states(path) == {"a": "in_doubt"}
        assert await ledger.reopen(retry_failed=True) == {ACME: (0, 1)}
        assert await ledger.claim(ACME, 9, 60.0) == []
        (doubt,) = await ledger.doubts(ACME, 9)
        assert (doubt.attempts, doubt.first_sent_at, doubt.ours_since) == (1, 20.0, 20.0)
        assert doubt.digest == doubt.current == mark("a")
        assert not doubt.name_taken


@in_loop
async def test_a_record_in_flight_at_the_end_of_a_run_is_in_doubt_in_the_next(path: Path) -> None:
    """A run that was cut off, and noted its end, may leave attempts without a verdict; none may be lost."""
    # Fails while `begin_run` looks for records in flight only where the last run noted no end at all.
    with await start(path) as ledger:
        await bring(ledger, State.IN_FLIGHT)
        await ledger.end_run(30.0, 130, {})
    with await start(path, 50.0) as ledger:
        await read(ledger, [good("a")])
        assert await ledger.reopen(retry_failed=False) == {ACME: (0, 1)}
        assert states(path) == {"a": "in_doubt"}


@in_loop
async def test_an_orphaned_intent_is_in_doubt_however_many_runs_follow(path: Path) -> None:
    """A run that sends nothing, after one that died, does not hide what that one left."""
    for _ in range(3):
        ledger = await start(path)
        if ledger.run_id == 1:
            await bring(ledger, State.IN_FLIGHT)
        ledger.close()
    assert states(path) == {"a": "in_doubt"}
    assert column(path, "attempts") == 1
