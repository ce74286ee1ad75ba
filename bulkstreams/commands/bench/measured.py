"""What loads measured, as plain data: the figures that `--json` prints, and the series that pictures are drawn from.

This module must never round a problem away: what was due and not sent, and what the client spoiled, stand beside the
percentiles.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from bulkstreams.core.saturation import OWN, Cause
from bulkstreams.core.soundness import Doubt, doubts
from bulkstreams.engine.metering import Meter


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """One load. `planned_s` is the length of its schedule; `offered_rate`: None in a closed loop."""

    meter: Meter
    planned_s: float
    offered_rate: float | None

    @property
    def seconds(self) -> float:
        """Return how long it went on: as planned, or until it was stopped."""
        return min(self.planned_s, max(0.0, self.meter.cut_at - self.meter.begins))

    @property
    def unsent(self) -> int:
        """Return how many requests the schedule asked for and did not get sent."""
        return max(0, self.meter.offered - self.meter.requests)

    @property
    def achieved_rate(self) -> float:
        """Return the requests a second that were sent."""
        return self.meter.achieved(self.seconds)


def figures(load: Measured) -> dict[str, Any]:
    """Return a load's figures: those of the contract first, then what it takes to judge them."""
    meter, verdict, doubtful = load.meter, load.meter.verdict, _doubts(load)
    return {
        "requests": meter.requests,
        "errors": meter.errors,
        "offered_rate": None if load.offered_rate is None else round(load.offered_rate, 3),
        "achieved_rate": round(load.achieved_rate, 3),
        "response_time_ms": meter.response.ms(),
        "service_time_ms": meter.service.ms(),
        "status": {str(status): count for status, count in sorted(meter.status.items())},
        "client_saturated": verdict.saturated,
        "unsound": list(doubtful),
        "unsound_why": {measure: why.value for measure, why in doubtful.items()},
        "completed_rate": round(meter.completed(load.seconds), 3),
        "duration_s": round(load.seconds, 3),
        "failures": dict(meter.failures.most_common()),
        "unsent": load.unsent,
        "timed_requests": meter.response.count,
        "unreached": meter.unreached,
        "late": {cause.value: meter.late[cause] for cause in Cause},
        "loop": "closed" if load.offered_rate is None else "open",
        "start_delay_ms": meter.delay.ms(),
        "own_delay_ms": meter.own_delay.ms(),
        "warmup_requests": meter.warmup,
        "client": _client(meter, verdict.share, [asdict(one) for one in verdict.periods]),
    }


def _doubts(load: Measured) -> dict[str, Doubt]:
    """Return the measures that may not be what the server does, each with the reason."""
    meter = load.meter
    missed = load.unsent + sum(meter.late[cause] for cause in OWN)
    share = missed / max(1, meter.requests + load.unsent)
    return doubts(meter.verdict, share, meter.response.count, meter.response.ms(), meter.own_delay.ms())


def _client(meter: Meter, share: float, periods: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    points = [one for one in meter.points if one.at >= 0]
    seconds = sum(one.seconds for one in points) or 1.0
    return {
        "spoiled_share": round(share, 4),
        "saturated_periods": [
            {**one, "begins": round(one["begins"], 3), "ends": round(one["ends"], 3)} for one in periods
        ],
        "waited_for_connection_s": round(meter.waited_s, 3),
        "loop_lag_ms": {
            "mean": round(sum(one.lag_ms * one.seconds for one in points) / seconds, 3),
            "worst_second": max((one.lag_ms for one in points), default=0.0),
        },
        "loop_share": round(sum(one.busy * one.seconds for one in points) / seconds, 4),
        "cpu_share": round(sum(one.cpu * one.seconds for one in points) / seconds, 4),
        "most_under_way": max((one.most_under_way for one in points), default=0),
        "most_sockets": max((one.most_sockets for one in points), default=0),
    }


def everything(load: Measured) -> dict[str, Any]:
    """Return all of a load that can be drawn or set beside another: its figures, series and percentile curves."""
    return {
        "figures": figures(load),
        "series": [asdict(point) for point in load.meter.points],
        "percentiles": {
            "response_time_ms": load.meter.response.curve(),
            "service_time_ms": load.meter.service.curve(),
            "start_delay_ms": load.meter.delay.curve(),
        },
    }
