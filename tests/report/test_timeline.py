"""Stretches of runs: each record stands in one, runs are laid end to end, and clocks that go wrong lose none."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bulkstreams.ledger import Settled
from bulkstreams.model import State
from bulkstreams.report.timeline import MOST_STRETCHES, Span, Timeline, timed


def record(at: float, run: int = 1, **more: object) -> Settled:
    """Return a record that was created at that instant."""
    return Settled(run, "created", at, 12.0, 1, 0)._replace(**more)  # type: ignore[arg-type]


def spans(*seconds: float) -> list[Span]:
    """Return runs of these lengths, an hour apart."""
    return [Span(n, f"run{n}", 10_000.0 * n, 10_000.0 * n + its) for n, its in enumerate(seconds, 1)]


@given(st.lists(st.floats(0, 5000), min_size=1, max_size=20))
def test_stretches_fill_the_runs_and_are_not_too_many(lengths: list[float]) -> None:
    """Without a gap or an overlap, each within one run, and no run without one."""
    timeline = Timeline(spans(*lengths))
    stretches = timeline.stretches()
    assert {one.run for one in stretches} == {span.name for span in spans(*lengths)}
    assert len(stretches) <= MOST_STRETCHES + 1.5 * len(lengths)
    offset = 0.0
    for one in stretches:
        assert one.offset_s == pytest.approx(offset, abs=1e-6)
        offset += one.seconds
    assert offset == pytest.approx(sum(span.seconds for span in spans(*lengths)))


@given(st.lists(st.floats(-1e6, 1e6), max_size=100))
def test_no_record_is_lost_whenever_it_was_settled(instants: list[float]) -> None:
    """A clock that was set back or ahead puts a record into the first or the last stretch of its run."""
    timeline = Timeline(spans(60.0))
    whole = timeline.add(record(at) for at in instants)
    assert sum(one.states["created"] for one in timeline.stretches()) == len(instants) == whole.count


def test_a_record_stands_where_it_was_settled() -> None:
    """In its own run, and counted with its retries, its recovery and its time."""
    timeline = Timeline(spans(10.0, 20.0))
    timeline.add([record(20_005.0, run=2, attempts=3, recovered=1, latency_ms=40.0)])
    (found,) = [one for one in timeline.stretches() if one.states]
    assert (found.run, found.at, found.offset_s) == ("run2", 20_005.0, 15.0)
    told = found.figures()
    assert told["records"] == {"created": 1}
    assert (told["retries"], told["recovered"]) == (2, 1)
    assert told["service_time_ms"]["max"] == 40.0
    assert told["created_per_s"] == pytest.approx(1 / found.seconds)


def test_a_short_rest_makes_no_stretch_of_its_own() -> None:
    """Else one record in a hundredth of a second would look like a hundred a second."""
    stretches = Timeline(spans(24.03)).stretches()
    assert stretches[-1].seconds == pytest.approx(stretches[0].seconds + 0.03)


def test_records_of_runs_that_are_not_drawn_are_counted() -> None:
    """They stand in no stretch, and their times in the whole."""
    timeline = Timeline(spans(10.0))
    assert timeline.add([record(1.0, run=9), record(10_001.0)]).count == 2
    assert timeline.elsewhere == 1


def test_the_time_of_a_delete_is_no_create_s() -> None:
    """A record that was undone has the latency of its DELETE; one that was looked up has none."""
    assert timed(record(1.0))
    assert not timed(record(1.0, state=State.UNDONE))
    assert not timed(record(1.0, latency_ms=None))
