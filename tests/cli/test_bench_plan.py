"""The flags of `bench` that say what load is asked for: read as people mean them, or refused with the reason."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bulkstreams.cli.bench_plan import plan_of, span_of
from bulkstreams.commands.bench.options import ClosedLoop, Plan, Searching
from bulkstreams.core.schedule import Schedule
from bulkstreams.errors import UsageError


def plan(**flags: Any) -> Plan:
    """Return the plan of some flags."""
    given = {"rate": None, "stages": None, "duration": None, "search": None, "concurrency": None, "closed_loop": False}
    return plan_of(**{**given, **flags})


def shape(found: Plan) -> list[tuple[float, float, float]]:
    """Return a schedule's stages."""
    assert isinstance(found, Schedule)
    return [(float(one.first), float(one.last), float(one.seconds)) for one in found.stages]


def test_without_flags_a_steady_load_of_half_a_minute() -> None:
    """50/s for 30 s."""
    assert shape(plan()) == [(50, 50, 30)]


def test_a_rate_has_a_duration_and_a_ramp_its_own() -> None:
    """A ramp's own time counts unless another is said; a longer one holds its last rate."""
    assert shape(plan(rate="200/s", duration="5s")) == [(200, 200, 5)]
    assert shape(plan(rate="50:500/60s")) == [(50, 500, 60)]
    assert shape(plan(rate="50:500/60s", duration="90s")) == [(50, 500, 60), (500, 500, 30)]
    assert shape(plan(rate="50:500/60s", duration="10s")) == [(50, 125, 10)]


def test_stages_come_from_a_file(tmp_path: Path) -> None:
    """Line by line."""
    path = tmp_path / "stages"
    path.write_text("# up, and on\n10/s 2s\n10:20/1s  # its own time\n\n10:20/1s 3s\n10:20/1s 500ms\n")
    assert shape(plan(stages=path)) == [(10, 10, 2), (10, 20, 1), (10, 20, 1), (20, 20, 2), (10, 15, 0.5)]


def test_a_closed_loop_has_clients() -> None:
    """As many as the concurrency says, 32 where it says nothing."""
    assert plan(closed_loop=True, concurrency=8, duration="5s") == ClosedLoop(clients=8, seconds=5.0)
    assert plan(closed_loop=True) == ClosedLoop(clients=32, seconds=30.0)


def test_a_search_begins_with_the_rate() -> None:
    """And probes for ten seconds at least."""
    found = plan(search="p99<250ms", rate="40/s")
    assert isinstance(found, Searching)
    assert (str(found.goal), found.first, found.seconds) == ("p99<250ms", 40.0, 10.0)


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        ({"search": "p99<1s", "closed_loop": True}, "two kinds of load"),
        ({"stages": Path("x"), "rate": "5/s"}, "says rates and durations itself"),
        ({"closed_loop": True, "rate": "5/s"}, "has no --rate"),
        ({"rate": "fast"}, "--rate: 'fast' is no rate"),
        ({"rate": "0/s"}, "--rate: '0/s' asks for nothing"),
        ({"search": "p99<1s", "rate": "0"}, "--rate: '0' asks for nothing"),
        ({"search": "p99<1s", "rate": "5:50/2s"}, "^a search begins at one rate"),
        ({"search": "quick"}, "--search: 'quick' is no goal"),
        ({"duration": "0s"}, "--duration: a load takes some time"),
        ({"rate": ""}, "--rate: '' is no rate"),
        ({"duration": ""}, "--duration: '' is no length of time"),
        ({"search": "p99<1s", "duration": ""}, "--duration: '' is no length of time"),
        ({"closed_loop": True, "duration": ""}, "--duration: '' is no length of time"),
        ({"duration": "long"}, "--duration: 'long' is no length of time"),
        ({"stages": Path("/nowhere/stages")}, "cannot be read"),
    ],
)
def test_what_cannot_be_meant_is_refused(flags: dict[str, Any], told: str) -> None:
    """Each with its flag and the reason."""
    with pytest.raises(UsageError, match=told.replace("(", r"\(")):
        plan(**flags)


def test_a_bad_stage_is_named_with_its_file_and_line(tmp_path: Path) -> None:
    """Whoever wrote it finds it."""
    path = tmp_path / "stages"
    path.write_text("10/s 2s\nfast 3s\n")
    with pytest.raises(UsageError, match=r"stages: line 2: 'fast' is no rate"):
        plan(stages=path)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(UsageError, match="not UTF-8"):
        plan(stages=path)


def test_a_span_is_read_for_any_flag() -> None:
    """An error names the flag."""
    assert span_of("1m", "--warmup") == 60
    with pytest.raises(UsageError, match="--warmup: 'x'"):
        span_of("x", "--warmup")
