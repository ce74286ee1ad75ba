"""What a load's meter makes of what it is told, with a clock that is set by hand."""

from __future__ import annotations

import pytest

from bulkstreams.commands.bench.measured import Measured, figures
from bulkstreams.core.saturation import Cause
from bulkstreams.core.schedule import Schedule, steady
from bulkstreams.engine.metering import Meter
from bulkstreams.model import Failure, Reply


class Told:
    """A clock, and a processor of which the client takes half."""

    now = 0.0

    def monotonic(self) -> float:
        """Return the time."""
        return self.now

    def wall(self) -> float:
        """Return the time."""
        return self.now

    def used(self) -> float:
        """Return the processor seconds that were taken."""
        return self.now / 2


def meter_of(clock: Told, *, rate: float = 10, seconds: float = 2, warmup_s: float = 0.0) -> Meter:
    """Return the meter of a load that begins at once."""
    schedule = Schedule([steady(rate, seconds)]).after(warmup_s)
    return Meter(0.0, warmup_s, schedule, clock, lambda: 3, clock.used, clock.used)


def send(meter: Meter, clock: Told, at: float, answer: Reply | Failure | None = None, took_s: float = 0.02) -> None:
    """Begin a request on time, and end it."""
    clock.now = at
    meter.began(at, at, Cause.LOOP)
    clock.now = at + took_s
    meter.ended(at, clock.now, answer or Reply(201, {}, b"", took_s))


def test_a_warm_up_that_ended_unnoticed_gets_its_share_of_what_was_used() -> None:
    """Nothing looked for half a second: what the processor did in it belongs to both sides, by time."""
    clock = Told()
    meter = meter_of(clock, warmup_s=1.0)
    send(meter, clock, 0.5)
    send(meter, clock, 1.5)
    clock.now = 2.0
    meter.finish()
    assert [(point.at, point.seconds, point.done) for point in meter.points] == [(-1.0, 1.0, 1), (0.0, 1.0, 1)]
    assert [(point.busy, point.cpu) for point in meter.points] == [(0.5, 0.5), (0.5, 0.5)]


def test_the_most_that_was_under_way_is_counted_with_each_that_begins() -> None:
    """Three at once within an interval at whose end there is none: three; an interval inherits what goes on."""
    clock = Told()
    meter = meter_of(clock)
    for at in (0.1, 0.2, 0.3):
        meter.began(at, at, Cause.LOOP)
    for at in (0.1, 0.2):
        meter.ended(at, 0.4, Reply(201, {}, b"", 0.1))
    clock.now = 1.0
    meter._close(1.0)
    meter.ended(0.3, 1.1, Reply(201, {}, b"", 0.8))
    clock.now = 2.0
    meter.finish()
    assert [(point.most_under_way, point.under_way) for point in meter.points] == [(3, 1), (1, 0)]
    client = figures(Measured(meter=meter, planned_s=2.0, offered_rate=10.0))["client"]
    assert (client["most_under_way"], client["most_sockets"]) == (3, 3)


def test_what_was_under_way_in_the_warm_up_alone_is_no_figure_of_the_load() -> None:
    """A server that takes long for its first requests only."""
    clock = Told()
    meter = meter_of(clock, warmup_s=1.0)
    for at in (0.1, 0.2, 0.3):
        meter.began(at, at, Cause.LOOP)
    for at in (0.1, 0.2, 0.3):
        meter.ended(at, 0.9, Reply(201, {}, b"", 0.6))
    send(meter, clock, 1.5)
    meter.finish()
    client = figures(Measured(meter=meter, planned_s=2.0, offered_rate=10.0))["client"]
    assert client["most_under_way"] == 1


def test_only_replies_count_as_answers() -> None:
    """Connections that are refused, or never answered, are no answers, however long the last of them takes."""
    clock = Told()
    meter = meter_of(clock)
    for k in range(20):
        answer = None if k % 2 else Failure("no connection", sent=False, elapsed_s=0.001)
        send(meter, clock, k / 10, answer)
    send(meter, clock, 1.99, Failure("no answer in 30 s", sent=True, elapsed_s=30.0), 30.0)
    assert meter.completed(2.0) == 5.0
    assert meter.errors == 11


def test_answers_a_second_are_of_the_whole_schedule() -> None:
    """One reply in three seconds is a third a second, though it came at once; what comes later takes longer."""
    clock = Told()
    meter = meter_of(clock, rate=1 / 3, seconds=3)
    assert meter.completed(3.0) == 0.0
    send(meter, clock, 0.0, took_s=0.007)
    assert meter.completed(3.0) == pytest.approx(1 / 3)
    send(meter, clock, 2.0, Reply(500, {}, b"", 2.0), took_s=2.0)
    assert meter.completed(3.0) == pytest.approx(2 / 4)


def test_a_wait_for_a_connection_is_no_delay_of_the_clients() -> None:
    """It is in the start delay, as all that lies between schedule and sending; the client answers for the rest."""
    clock = Told()
    meter = meter_of(clock)
    for k in range(20):
        at, late = k / 10, 0.05 if k < 15 else 0.004
        meter.began(at, at + late, Cause.CEILING if k < 15 else Cause.LOOP)
        meter.ended(at, at + late + 0.006, Reply(201, {}, b"", 0.006))
    clock.now = 2.0
    meter.finish()
    assert (meter.delay.count, meter.own_delay.count) == (20, 20)
    assert meter.delay.ms()["p50"] == 50.0
    assert meter.own_delay.ms()["p50"] == pytest.approx(0.0, abs=0.0011)
    assert meter.own_delay.ms()["p90"] == pytest.approx(4.0, rel=0.001)
    assert meter.own_delay.ms()["mean"] == pytest.approx(1.0)
    found = figures(Measured(meter=meter, planned_s=2.0, offered_rate=10.0))
    assert found["unsound_why"] == {"p90": "few", "p95": "few", "p99": "few", "p999": "few"}


def test_a_quick_server_behind_a_slow_start_is_doubted() -> None:
    """Answers after 6 ms to requests that began 4 ms late: the middle time is not the server's."""
    clock = Told()
    meter = meter_of(clock)
    for k in range(20):
        meter.began(k / 10, k / 10 + 0.004, Cause.LOOP)
        meter.ended(k / 10, k / 10 + 0.01, Reply(201, {}, b"", 0.006))
    clock.now = 2.0
    meter.finish()
    found = figures(Measured(meter=meter, planned_s=2.0, offered_rate=10.0))
    assert (found["client_saturated"], found["late"]["loop"]) == (False, 0)
    assert set(found["unsound_why"].values()) == {"delay"}
    assert found["unsound"] == ["p50", "p90", "p95", "p99", "p999", "max", "mean"]
