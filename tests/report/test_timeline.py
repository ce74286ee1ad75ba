"""Stretches of runs: each record stands in one, runs are laid end to end, and clocks that go wrong lose none."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bulkstreams.core.course import Asked
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


def asked(at: float, seconds: float = 0.1, allowed: float | None = None, count: int = 10) -> Asked:
    """Return what was asked from that instant on: of requests so many, a fifth of them retries."""
    return Asked(at, seconds, count, count // 5, 1, 2, allowed)


def course(*rows: Asked, run: int = 1) -> list[tuple[int, Asked]]:
    """Return what a run asked, as a ledger tells it."""
    return [(run, one) for one in rows]


@given(st.lists(st.tuples(st.floats(-1e6, 1e6), st.floats(0, 1e5), st.integers(0, 10**6)), max_size=30))
def test_no_request_is_lost_whenever_it_was_sent(rows: list[tuple[float, float, int]]) -> None:
    """Counts stay whole and add up, however long a row is and whatever its clock says."""
    timeline = Timeline(spans(60.0))
    timeline.ask(course(*(asked(at, seconds, count=count) for at, seconds, count in rows)))
    told = [one.figures() for one in timeline.stretches()]
    for name, wanted in (("requests", 2), ("retries", 3), ("throttled", 4), ("lookups", 5)):
        assert all(isinstance(one[name], int) and one[name] >= 0 for one in told)
        assert sum(one[name] for one in told) == sum(asked(*row[:2], count=row[2])[wanted] for row in rows)


def test_what_was_asked_stands_when_it_was() -> None:
    """In its own run; what lies across stretches is shared out by time, so that no rate is of two at once."""
    timeline = Timeline(spans(10.0, 230.0))
    assert timeline.width == 1
    timeline.ask(course(asked(20_002.1), asked(20_004.5, 2.0, count=40), run=2))
    found = {one.at - 20_000: one.figures() for one in timeline.stretches() if one.run == "run2"}
    assert {at: one["requests"] for at, one in found.items() if one["requests"]} == {2: 10, 4: 10, 5: 20, 6: 10}
    assert {at: one["retries"] for at, one in found.items() if one["retries"]} == {2: 2, 4: 2, 5: 4, 6: 2}
    assert (found[2]["throttled"], found[2]["lookups"]) == (1, 2)


def test_what_was_allowed_is_known_until_somebody_says_otherwise() -> None:
    """Within a run, also while nothing is asked; before the first word, and after one that nobody knows, it is not."""
    timeline = Timeline(spans(6.0, 5.0))
    rows = [
        asked(10_000.0),
        asked(10_001.0, 0.1, 16.0),
        asked(10_001.01, 0.05),
        asked(10_004.0),
        asked(10_005.0, 0.1, 8),
    ]
    timeline.ask(course(*rows) + course(asked(20_000.0), run=2))
    allowed = {round(one.offset_s, 1): one.figures()["allowed_per_s"] for one in timeline.stretches()}
    assert [allowed[at] for at in (0.0, 0.9, 1.0, 3.9, 4.0, 4.9, 5.0, 5.9, 6.0, 7.0)] == [
        None, None, 16.0, 16.0, None, None, 8.0, 8.0, None, None,
    ]  # fmt: skip
    assert timeline.has_budget


def test_a_run_that_noted_nothing_has_the_retries_of_its_records() -> None:
    """What it asked is not known, which is no zero; beside it stands a run that noted all, with its own retries."""
    old, new = (span._replace(requests=10) for span in spans(10.0, 10.0))
    timeline = Timeline([old, new])
    timeline.add([record(10_001.0, attempts=3), record(20_001.0, run=2, attempts=5)])
    timeline.ask(course(asked(20_001.0), run=2))
    told = [one.figures() for one in timeline.stretches()]
    olds, news = ([one for one in told if one["run"] == name] for name in ("run1", "run2"))
    assert all(one[name] is None for one in olds for name in ("requests", "throttled", "lookups", "allowed_per_s"))
    assert (sum(one["retries"] for one in olds), sum(one["retries"] for one in news)) == (2, 2)
    assert all(one["requests"] is not None for one in news)
    assert (timeline.runs, timeline.without_course(), timeline.has_course, timeline.has_budget) == (2, {1}, True, False)


def test_of_a_run_that_asked_nothing_it_is_known() -> None:
    """It asked nothing all the time."""
    timeline = Timeline(spans(10.0))
    timeline.ask([])
    assert [one.figures()["requests"] for one in timeline.stretches()] == [0] * len(timeline.stretches())
    assert (timeline.without_course(), timeline.has_course) == (set(), False)


def test_requests_that_stand_nowhere_are_counted() -> None:
    """Those of the last moments of a run that died, of one that noted none, and of runs that are not drawn."""
    died, old, ahead = (span._replace(requests=12) for span in spans(10.0, 10.0, 10.0))
    timeline = Timeline([died, old, ahead])
    timeline.ask([*course(asked(10_001.0)), *course(asked(30_001.0, count=15), run=3), *course(asked(1.0), run=9)])
    assert timeline.unplaced("requests", 12 * 3) == 2 + 12
    assert timeline.unplaced("requests", 12 * 3 + 100) == 2 + 12 + 100


def test_look_ups_that_stand_nowhere_are_counted_too() -> None:
    """By themselves: a run may have placed all its requests, and lost look-ups."""
    timeline = Timeline([span._replace(requests=10, lookups=5) for span in spans(10.0, 10.0)])
    timeline.ask(course(asked(10_001.0)))
    assert (timeline.unplaced("requests", 20), timeline.unplaced("lookups", 10 + 7)) == (10, 3 + 5 + 7)


def test_instants_lie_on_the_axis_of_the_runs() -> None:
    """One that is outside its run lies at its end, on whichever side."""
    timeline = Timeline(spans(10.0, 20.0))
    assert [timeline.offset(1, at) for at in (9_000.0, 10_004.0, 11_000.0)] == [0.0, 4.0, 10.0]
    assert [timeline.offset(2, at) for at in (9_000.0, 20_004.0, 21_000.0)] == [10.0, 14.0, 30.0]


@pytest.mark.parametrize("seconds", [0.4, 1.0, 2.34, 2.6, 7.45, 20.0])
def test_the_most_that_was_created_is_of_a_second_however_long_stretches_are(seconds: float) -> None:
    """A picture of a longer time has wider stretches, and the best second of a run is the same in it."""
    run = Span(1, "run1", 0.0, seconds)
    found = []
    for others in (0.0, 40.0, 100.0, 230.0 - seconds):  # of runs that created nothing, and make stretches wider
        timeline = Timeline([run, Span(2, "run2", 1000.0, 1000.0 + others)])
        timeline.add(record((one * one % 101 + 0.5) / 101 * seconds) for one in range(80))
        found.append((timeline.window_s, timeline.most_created_per_s()))
    assert len(set(found)) == 1


def test_where_stretches_are_longer_than_a_second_the_most_is_of_a_stretch() -> None:
    """It says so; without a run there is none."""
    timeline = Timeline(spans(400.0))
    timeline.add(record(10_000.5 + one / 100) for one in range(10))
    assert (timeline.window_s, timeline.most_created_per_s()) == (timeline.width, 5.0) == (2, 5.0)
    assert Timeline([]).most_created_per_s() == 0.0
