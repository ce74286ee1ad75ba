"""A command's figures as Prometheus text, for whoever asks for it over HTTP on this machine.

What is answered is made in threads of the server's own, out of values that nobody changes (`metering`). This module
must never wait for the event loop, open the ledger, or tell of records, by name or key.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from bulkstreams.commands.metering import Figures
from bulkstreams.core.waiting import WaitKind
from bulkstreams.errors import UsageError
from bulkstreams.model import State

HOST: Final = "127.0.0.1"
"""The only address that is served: who may not read the ledger need not know how a run stands."""

SETTLED: Final = (State.CREATED, State.EXISTS, State.CONFLICT, State.REFUSED, State.EXHAUSTED)
"""States that are told from the beginning, with a zero: a rate needs something to begin at."""


class FiguresCollector(Collector):
    """Turns figures into families of metrics, whenever somebody asks."""

    def __init__(self, figures: Callable[[], Figures]) -> None:
        self._figures = figures

    def collect(self) -> Iterator[Metric]:
        """Yield every family, each from the same figures."""
        now = self._figures()
        yield from _counts(now)
        yield from _effort(now)
        yield from _standing(now)
        yield from _waits(now)
        yield HistogramMetricFamily(
            "bulkstreams_create_service_seconds",
            "Time from sending a create to its reply, of the last one of each settled record.",
            buckets=[("+Inf" if math.isinf(bound) else str(bound), float(count)) for bound, count in now.took],
            sum_value=now.took_s,
        )


def _counts(now: Figures) -> Iterator[Metric]:
    yield CounterMetricFamily("bulkstreams_lines", "Lines of the inputs that were read.", value=now.lines)
    records = CounterMetricFamily("bulkstreams_records", "Records settled by this run, durably.", labels=["state"])
    for state, count in {**dict.fromkeys(map(str, SETTLED), 0), **now.records}.items():
        records.add_metric([state], count)
    yield records
    errands = CounterMetricFamily(
        "bulkstreams_errands",
        "What became of streams that were to be deleted, switched or tested, durably.",
        labels=["kind", "state"],
    )
    for kind_and_fate, count in now.errands.items():
        errands.add_metric(kind_and_fate, count)
    yield errands


def _effort(now: Figures) -> Iterator[Metric]:
    yield CounterMetricFamily("bulkstreams_requests", "Requests that create or change something.", value=now.requests)
    yield CounterMetricFamily(
        "bulkstreams_retries", "Those of them that were sent again, and not only after a 429.", value=now.retries
    )
    yield CounterMetricFamily("bulkstreams_lookups", "Requests that only read.", value=now.lookups)
    yield CounterMetricFamily("bulkstreams_throttled", "Replies with the status 429.", value=now.throttled)


def _standing(now: Figures) -> Iterator[Metric]:
    """Yield how far it is; what nobody knows is left out."""
    progress = now.progress
    yield GaugeMetricFamily("bulkstreams_elapsed_seconds", "Time since the command began.", value=now.elapsed_s)
    yield GaugeMetricFamily("bulkstreams_in_flight", "Requests that wait for their reply.", value=now.in_flight)
    if progress is None:
        return
    yield GaugeMetricFamily("bulkstreams_records_left", "Records still to be settled by this run.", value=now.left)
    if now.left_s is not None:
        yield GaugeMetricFamily("bulkstreams_left_seconds", "Time that it may still take.", value=now.left_s)
    if progress.allowed is not None:
        yield GaugeMetricFamily(
            "bulkstreams_allowed_requests_per_second",
            "What all lanes together may send, as far as it is known.",
            value=progress.allowed,
        )


def _waits(now: Figures) -> Iterator[Metric]:
    """Yield what the lanes wait for: all of them counted, of those that are paused some by name."""
    if now.progress is None:
        return
    yield GaugeMetricFamily("bulkstreams_lanes", "Tenants that are worked on.", value=now.progress.lanes)
    yield GaugeMetricFamily(
        "bulkstreams_lanes_unseated", "Tenants that wait for their turn.", value=now.progress.unseated
    )
    waiting = GaugeMetricFamily("bulkstreams_lanes_waiting", "Lanes by what they wait for.", labels=["kind"])
    for kind in WaitKind:
        waiting.add_metric([kind], now.progress.counts.get(kind, 0))
    yield waiting
    pauses = GaugeMetricFamily(
        "bulkstreams_lane_pause_seconds",
        "How long nothing goes to a tenant still; NaN: nobody knows. Only some tenants are named.",
        labels=["tenant", "kind"],
    )
    for pause in now.pauses:
        pauses.add_metric([pause.tenant, pause.kind], math.nan if pause.seconds is None else pause.seconds)
    yield pauses


@contextmanager
def serve(port: int, figures: Callable[[], Figures]) -> Iterator[str]:
    """Serve figures while the context lasts, and give the address; raise UsageError where the port cannot be had."""
    registry = CollectorRegistry()
    registry.register(FiguresCollector(figures))
    try:
        server, thread = start_http_server(port, HOST, registry)
    except OSError as error:
        raise UsageError(
            f"metrics cannot be served at {HOST}:{port}: {error.strerror}; nothing was sent.",
            hint="Give --metrics-port another port, or 0 for any that is free.",
        ) from None
    try:
        yield f"http://{HOST}:{server.server_port}/metrics"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
