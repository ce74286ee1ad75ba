"""What a bench was told, as its ledger keeps it. This module must never guess which of two flags gave a value."""

from __future__ import annotations

from typing import Final

from bulkstreams.commands.bench.options import (
    CEILING,
    CLIENTS,
    DURATION,
    FIRST_PROBE,
    PROBE,
    RATE,
    BenchOptions,
    ClosedLoop,
    Plan,
    Searching,
)
from bulkstreams.commands.in_force import in_force, said
from bulkstreams.config import Settings
from bulkstreams.core.schedule import Schedule, read_rate, read_span, steady
from bulkstreams.ledger import InForce, Setting

MOST_STAGES: Final = 10
"""Stages of a schedule that are told, the first ones; the rest is counted."""

CLEANING: Final = "bench --clean"
"""What deletes what a bench created, at its end or later, is called."""

_SETTINGS: Final = ("timeout_s", "allow_unknown_events")


def of_bench(options: BenchOptions, settings: Settings) -> InForce:
    """Return what is in force in a bench: its load, and the one tenant that it is put on."""
    template = None if options.template is None else str(options.template)
    usual = CLIENTS if isinstance(options.plan, ClosedLoop) else CEILING
    own = {
        **_load(options.plan),
        "warmup_s": said(options.warmup_s, 0.0, "--warmup"),
        "concurrency": said(options.ceiling, usual, "--concurrency"),
        "template": said(template, None, "--template"),
        "keep": said(options.keep, False, "--keep"),
    }
    return in_force(settings, _SETTINGS, own, inputs=options.inputs, tenants=[settings.require_default().name])


def of_clearing(settings: Settings, tenant: str) -> InForce:
    """Return what is in force where only that is looked up which a bench left behind."""
    return in_force(settings, _SETTINGS, {}, tenants=[tenant])


def _load(plan: Plan) -> dict[str, Setting]:
    closed = isinstance(plan, ClosedLoop)
    loop = {"loop": said("closed" if closed else "open", "open", "--closed-loop")}
    if isinstance(plan, Schedule):
        usual = Schedule([steady(read_rate(RATE), read_span(DURATION))])
        return {**loop, "schedule": said(_words(plan), _words(usual), "--rate, --duration or --stages")}
    if isinstance(plan, Searching):
        loop["search"] = said(str(plan.goal), None, "--search")
        loop["first_rate"] = said(plan.first, float(read_rate(FIRST_PROBE)), "--rate")
    usual_s = float(read_span(DURATION if closed else PROBE))
    return {**loop, "duration_s": said(plan.seconds, usual_s, "--duration")}


def _words(schedule: Schedule) -> str:
    told, rest = schedule.stages[:MOST_STAGES], len(schedule.stages) - MOST_STAGES
    return ", ".join(map(str, told)) + (f" and {rest:,} more stages" if rest > 0 else "")
