"""All numbers of a report, as one JSON object: what the pictures show, the tables beside them, `--json` and `--csv`.

They come from the ledger alone, in one pass over its records and a few questions that SQLite counts. What the ledger
does not know is said in `unknown`, never estimated. This module must never know how a number is shown.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from bulkstreams.core.errands import Kind
from bulkstreams.core.soundness import few
from bulkstreams.histogram import Histogram
from bulkstreams.ledger import Failure, History, Run
from bulkstreams.model import State
from bulkstreams.report import configuration, hashes
from bulkstreams.report.remedies import remedy
from bulkstreams.report.text import errand_counts
from bulkstreams.report.throttling import throttling
from bulkstreams.report.timeline import Span, Timeline

MOST_RUNS: Final = 100
"""Runs that are told one by one, the newest ones; the others are in the sums alone."""

MOST_CAUSES: Final = 50
"""Causes of failure that are told, the most frequent ones."""

_NO_BUDGET: Final = (
    "The budget over time: nothing limited its runs, or their tenants never said what they allow (an older bulkstreams "
    "noted none either while any one of several had not said it); none is drawn here."
)
_LAST_ONLY: Final = (
    "What became of a record before it was last settled: each counts once, at the instant when that was{retried}. So "
    "what past runs created and recovered, their rates and service times, are of streams as they stand now: what was "
    "undone since, or settled anew, is no longer in them."
)
_RETRIED: Final = ", and{of} its attempts before the last one count as retries there"
_NO_COURSE: Final = (
    "What was asked when, the budget over time, when each 429 came, and how long each pause took{of}: {why}."
)
_AN_OLDER: Final = "a run of an older bulkstreams noted its sums alone"
_NO_END: Final = "What was asked in the last moment of {runs} with no end noted: it may be in no count here."
_NO_RESPONSE: Final = (
    "Response time: requests of a run have no intended start, so only the service time is known, "
    "from the sending of a record's last attempt to its reply."
)
_CONFIGURATION: Final = (
    "The configuration of some runs: an older bulkstreams began them, which kept no more than the tenants' addresses."
)


def figures(
    history: History, now: float, *, ledger: Mapping[str, Any], response: Histogram | None = None
) -> dict[str, Any]:
    """Return the numbers of a ledger as it is `now` (epoch seconds); `ledger` is what `hashes.of_ledger` told of it.

    `response`: times from intended starts, by whoever kept a schedule; a run keeps none.
    """
    with history.one_instant():
        spans = _spans(history, runs := history.runs(MOST_RUNS), now)
        timeline = Timeline(spans)
        service = timeline.add(history.settled())
        timeline.ask(history.asked())
        totals, note = history.totals(), history.note()
        requests, _, _, lookups = history.efforts()
        allowed = None if note is None else note.progress.allowed
        return {
            "made_at": now,
            "ledger": {"path": str(history.path), "format": history.version(), **ledger},
            "records": {
                "total": totals.total,
                **{state.value: totals.records.get(state, 0) for state in State},
            },
            "runs": _runs(history, runs, spans),
            "effort": _effort(history, spans, timeline),
            "timeline": {
                "stretch_s": timeline.width,
                "allowed_per_s": allowed,
                "settled_elsewhere": timeline.elsewhere,
                "unplaced_requests": timeline.unplaced("requests", requests),
                "unplaced_lookups": timeline.unplaced("lookups", lookups),
                "stretches": [one.figures() for one in timeline.stretches()],
            },
            "throttling": throttling(history, spans, timeline),
            "latency": {
                "service_time_ms": service.figures(),
                "service_time_unsound": _unsound(service),
                "service_time_curve": service.curve(),
                "response_time_ms": None if response is None else response.figures(),
                "response_time_unsound": _unsound(response),
                "response_time_curve": [] if response is None else response.curve(),
            },
            "tenants": _tenants(history),
            "failures": {
                "causes": history.causes(),
                "told": [_failure(one) for one in history.failures(MOST_CAUSES)],
            },
            "afterwards": _afterwards(history),
            "inputs": hashes.of_inputs(history),
            "configuration": configuration.figures(runs),
            "unknown": _unknown(timeline, allowed, response, runs),
        }


def _spans(history: History, runs: Sequence[Run], now: float) -> list[Span]:
    """Return each run as time; one that died ends with the last that is known of it."""
    open_ = [run for run in runs if run.ended_at is None]
    signs = [ask([run.id for run in open_]) for ask in (history.last_settled, history.last_sign)] if open_ else []
    last = {run.id: max([run.started_at, *(its[run.id] for its in signs if run.id in its)]) for run in open_}
    # Whoever holds the ledger is at its newest run, be it the very process that began one which it cut off.
    ends = last | {run.id: now for run in open_ if run is runs[-1] and history.goes_on(run)}
    return [
        Span(run.id, run.name, run.started_at, ends.get(run.id, run.ended_at or 0.0), run.requests, run.lookups)
        for run in runs
    ]


def _runs(history: History, runs: Sequence[Run], spans: Sequence[Span]) -> dict[str, Any]:
    return {
        "total": history.run_count(),
        "told": [
            {
                "name": run.name,
                "command": run.command,
                "started_at": run.started_at,
                "ended_at": run.ended_at,
                "elapsed_s": round(span.seconds, 3),
                "exit_code": run.exit_code,
                "requests": run.requests,
                "retries": run.retries,
                "throttled": run.throttled,
                "lookups": run.lookups,
                "stopped": dict(run.stopped),
            }
            for run, span in zip(runs, spans, strict=True)
        ],
    }


def _effort(history: History, spans: Sequence[Span], timeline: Timeline) -> dict[str, Any]:
    """Return what it took: sums of all runs; time and rates are of the runs that are told.

    Runs that created nothing (a rerun, an `undo`) make no rate lower.
    """
    requests, retries, throttled, lookups = history.efforts()
    elapsed = sum(span.seconds for span in spans)
    stretches = timeline.stretches()
    created, creating_s = timeline.created()
    return {
        "requests": requests,
        "retries": retries,
        "throttled": throttled,
        "lookups": lookups,
        "recovered": sum(one.recovered for one in stretches),
        "elapsed_s": round(elapsed, 3),
        "created_per_s": round(created / creating_s, 3) if creating_s else 0.0,
        "most_created_per_s": timeline.most_created_per_s(),
        "most_created_over_s": timeline.window_s,
    }


def _unsound(times: Histogram | None) -> list[str]:
    """Return the measures that may be an accident, since too few times lie beyond them; as a bench has it."""
    return few(times.count) if times is not None and times.count else []


def _tenants(history: History) -> list[dict[str, Any]]:
    addresses = history.addresses()
    return [
        {
            "name": name or None,
            "address": addresses.get(name),
            "records": {"total": sum(counts.values()), **{state.value: counts.get(state, 0) for state in State}},
        }
        for name, counts in history.by_tenant().items()
    ]


def _failure(one: Failure) -> dict[str, Any]:
    return {
        "records": one.records,
        "state": one.state,
        "http_status": one.http_status,
        "error_code": one.error_code,
        "message": one.message,
        "example": {"file": one.file, "line": one.line, "key": one.key},
        "remedy": remedy(one.state, one.http_status),
    }


def _afterwards(history: History) -> dict[str, Any]:
    """Return what the newest command of each kind did with streams after they were created, and what it could not."""
    counts = errand_counts(history)
    return {
        "commands": [{"kind": kind, "records": its} for kind, its in counts.items()],
        "undone_in_all": history.undone(),
        "failures": [
            {"kind": kind, **_failure(one)}
            for kind in counts
            for one in history.errand_failures(Kind(kind), MOST_CAUSES)
        ],
    }


def _unknown(timeline: Timeline, allowed: float | None, response: Histogram | None, runs: Sequence[Run]) -> list[str]:
    """Say what a reader may look for here and the ledger does not know."""
    blanks = timeline.without_course()
    blank = len(blanks)
    of = f" in {blank:,} of {timeline.runs:,} runs" if blank < timeline.runs else ""
    said = [_LAST_ONLY.format(retried=_RETRIED.format(of=of) if blank else "")]
    if any(run.settings is None for run in runs):
        said.append(_CONFIGURATION)
    if blank:
        said.insert(0, _NO_COURSE.format(of=of, why=_why_blank([run for run in runs if run.id in blanks])))
    elif allowed is None and not timeline.has_budget:
        said.insert(0, _NO_BUDGET)
    if count := sum(run.ended_at is None for run in runs):
        said.append(_NO_END.format(runs="a run" if count == 1 else f"{count:,} runs"))
    if response is None:
        said.append(_NO_RESPONSE)
    return said


def _why_blank(runs: Sequence[Run]) -> str:
    """Say why runs did not note what they asked when: one that kept its settings did, unless it was cut off."""
    cut_off = sum(run.ended_at is None and run.settings is not None for run in runs)
    older = len(runs) - cut_off
    said = []
    if older:
        said.append(f"{older:,} runs of an older bulkstreams noted their sums alone" if older > 1 else _AN_OLDER)
    if cut_off:
        who = f"{cut_off:,} runs" if cut_off > 1 else "a run"
        said.append(f"{who} with no end noted died, or goes on, in its first second, and had noted no more")
    return "; ".join(said)
