"""A command's figures, and the text that is made of them."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import anyio
import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from bulkstreams.commands.live import Live
from bulkstreams.commands.metering import MOST_TENANTS, Figures, Metered
from bulkstreams.commands.metrics import FiguresCollector, serve
from bulkstreams.core.errands import Outcome
from bulkstreams.core.metrics import Tally
from bulkstreams.core.waiting import Progress, Wait, WaitKind
from bulkstreams.errors import UsageError
from bulkstreams.model import Settlement

NOW = 1000.0
Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


class Standing:
    """An engine that stands as it was told to."""

    def __init__(self, waits: Sequence[tuple[str, Wait]] = (), *, todo: int = 0, ends_at: float | None = None) -> None:
        self.outlook, self.todo, self.begun, self.now = self, todo, True, NOW
        self.waits, self.ends_at = tuple(waits), ends_at
        self.tally = Tally()
        self.lanes = {name: SimpleNamespace(in_flight=2) for name, _ in waits}

    def look(self) -> Progress:
        """Return how it stands."""
        return Progress(
            lanes=len(self.waits), unseated=7, waits=self.waits,
            counts=Counter(wait.kind for _, wait in self.waits), allowed=12.5, ends_at=self.ends_at,
        )  # fmt: skip


def metered(engine: Standing | None = None) -> Metered:
    """Return what watches an engine."""
    live = Metered(lambda _: None, lambda: 3.0)
    live.engine = engine  # type: ignore[assignment]
    return live


def settle(live: Live, *batches: Sequence[Settlement]) -> None:
    """Tell of batches that became durable."""

    async def all_of_them() -> None:
        for batch in batches:
            await live.settled(batch)

    anyio.run(all_of_them)


def samples(figures: Figures) -> Samples:
    """Return what the library's own parser finds in the text that is made of figures."""
    registry = CollectorRegistry()
    registry.register(FiguresCollector(lambda: figures))
    families = list(text_string_to_metric_families(generate_latest(registry).decode()))
    assert all(family.documentation for family in families)
    assert all(family.type in {"counter", "gauge", "histogram"} for family in families)
    return {
        (one.name, tuple(sorted(one.labels.items()))): one.value
        for family in families
        for one in family.samples
    }  # fmt: skip


def by(found: Samples, name: str, **labels: str) -> float:
    """Return one value."""
    return found[f"bulkstreams_{name}", tuple(sorted(labels.items()))]


def labels(found: Samples, name: str) -> list[Mapping[str, str]]:
    """Return the labels of a metric's values."""
    return [dict(one) for metric, one in found if metric == f"bulkstreams_{name}"]


def down(number: int) -> tuple[str, Wait]:
    """Return a tenant that is down for so many seconds still."""
    return f"t{number}", Wait(WaitKind.UNREACHABLE, "no connection", NOW + number)


def test_what_is_settled_is_counted_by_state_and_its_times_by_bucket() -> None:
    """Final states alone; states that nothing reached yet show a zero, and a time that is not known none."""
    live = metered(Standing(todo=10))
    first = [Settlement(1, "created", 1, latency_ms=4.0), Settlement(2, "refused", 1, latency_ms=300.0)]
    settle(live, first, [Settlement(3, "in_doubt", 1, latency_ms=9.0), Settlement(4, "exists", 0)])
    found = samples(live.now())
    assert by(found, "records_total", state="created") == 1
    assert by(found, "records_total", state="refused") == by(found, "records_total", state="exists") == 1
    assert by(found, "records_total", state="conflict") == by(found, "records_total", state="exhausted") == 0
    assert {"state": "in_doubt"} not in labels(found, "records_total")
    assert by(found, "records_left") == 7
    assert by(found, "create_service_seconds_count") == 2
    assert by(found, "create_service_seconds_sum") == pytest.approx(0.304)
    assert by(found, "create_service_seconds_bucket", le="0.005") == 1
    assert by(found, "create_service_seconds_bucket", le="0.25") == 1
    assert by(found, "create_service_seconds_bucket", le="0.5") == 2
    assert by(found, "create_service_seconds_bucket", le="+Inf") == 2


def test_how_it_stands_is_told_as_the_lanes_have_it() -> None:
    """Requests by what they are, those under way, the rate that is allowed, the time left, and lanes by their wait."""
    engine = Standing([down(30), ("slow", Wait(WaitKind.PACED, "paced"))], ends_at=NOW + 90)
    engine.tally.add(Tally(requests=9, retries=2, throttled=3, lookups=4))
    found = samples(metered(engine).now())
    asked = ("requests_total", "retries_total", "throttled_total", "lookups_total")
    assert [by(found, name) for name in asked] == [9, 2, 3, 4]
    assert (by(found, "in_flight"), by(found, "left_seconds")) == (4, 90)
    assert by(found, "allowed_requests_per_second") == 12.5
    assert (by(found, "lanes"), by(found, "lanes_unseated")) == (2, 7)
    assert by(found, "lanes_waiting", kind="unreachable") == by(found, "lanes_waiting", kind="paced") == 1
    assert by(found, "lanes_waiting", kind="throttled") == 0
    assert by(found, "lane_pause_seconds", tenant="t30", kind="unreachable") == 30
    assert len(labels(found, "lane_pause_seconds")) == 1, "who is only paced is not paused"


def test_the_help_says_what_is_no_retry() -> None:
    """So that requests, retries and 429s can be told to add up."""
    registry = CollectorRegistry()
    registry.register(FiguresCollector(metered().now))
    assert "sent again, and not only after a 429" in generate_latest(registry).decode()


def test_what_nobody_knows_is_left_out() -> None:
    """While the input is read there are no lanes; a time that cannot be told is none, and of a pause it is NaN."""
    reading = samples(metered().now())
    assert by(reading, "requests_total") == by(reading, "in_flight") == by(reading, "lines_total") == 0
    assert not {"bulkstreams_lanes", "bulkstreams_records_left"} & {name for name, _ in reading}
    found = samples(metered(Standing([("t", Wait(WaitKind.THROTTLED, "429"))])).now())
    assert math.isnan(by(found, "lane_pause_seconds", tenant="t", kind="throttled"))
    assert ("bulkstreams_left_seconds", ()) not in found


def test_only_so_many_tenants_are_ever_named() -> None:
    """Others come and go by the thousand: the first names are all that anyone gathers; the count is whole."""
    engine = Standing([down(number) for number in range(15)])
    live = metered(engine)
    seen = {one["tenant"] for one in labels(samples(live.now()), "lane_pause_seconds")}
    for first in range(10, 1000, 15):
        engine.waits = tuple(down(number) for number in range(first, first + 15))
        found = samples(live.now())
        seen |= {one["tenant"] for one in labels(found, "lane_pause_seconds")}
        assert by(found, "lanes_waiting", kind="unreachable") == 15
    assert seen == {f"t{number}" for number in range(MOST_TENANTS)}


def test_no_counter_falls_where_a_run_goes_over_to_its_tests() -> None:
    """What was settled and asked before stays counted, beside the errands of the fleet that comes after."""
    first, second = Standing(todo=1), Standing(todo=5)
    live = metered(first)
    first.tally.add(Tally(requests=1, lookups=3))
    settle(live, [Settlement(1, "created", 1, latency_ms=1.0)])
    live.turn_to(second)  # type: ignore[arg-type]
    second.tally.add(Tally(requests=2))
    anyio.run(live.errands_settled, [Outcome(1, 1, "smoke", "delivered", 1)])
    found = samples(live.now())
    assert (by(found, "requests_total"), by(found, "lookups_total"), by(found, "records_left")) == (3, 3, 4)
    assert (
        by(found, "records_total", state="created") == by(found, "errands_total", kind="smoke", state="delivered") == 1
    )


def test_figures_do_not_change_any_more() -> None:
    """Whoever reads them in another thread sees one instant, whatever goes on."""
    engine = Standing([down(1)], todo=9)
    live = metered(engine)
    settle(live, [Settlement(1, "created", 1, latency_ms=1.0)])
    figures = live.now()
    before: Any = samples(figures)
    settle(live, [Settlement(2, "created", 1, latency_ms=1.0), Settlement(3, "conflict", 1)])
    engine.tally.requests += 5
    engine.waits = ()
    assert samples(figures) == before != samples(live.now())


def test_a_port_that_is_taken_is_a_usage_error() -> None:
    """With the address, the reason and a remedy; the one that has it goes on."""
    with serve(0, Figures) as address:
        port = int(address.rpartition(":")[2].partition("/")[0])
        with (
            pytest.raises(UsageError, match=rf"127\.0\.0\.1:{port}: Address already in use") as refused,
            serve(port, Figures),
        ):
            raise AssertionError("served twice")
    assert "0 for any that is free" in refused.value.hint
    with serve(port, Figures):
        pass
