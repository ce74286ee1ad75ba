"""What a load's meter makes of what it is told, with a clock that is set by hand."""

from __future__ import annotations

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
