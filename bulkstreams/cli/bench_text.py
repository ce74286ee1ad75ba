"""How a bench ended, in words. This module must never say a percentile without saying whether it can be trusted."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from bulkstreams.commands.bench.options import Searching
from bulkstreams.core.searching import ENOUGH, LONGEST_S, MOST_ERRORS, MOST_PROBES, Breach, probe_seconds, rate_words
from bulkstreams.core.soundness import BEYOND, SWAY, Doubt
from bulkstreams.histogram import MEASURES

MOST_PERIODS: Final = 3

_TIMES: Final = (("service, from sending", "service_time_ms"), ("start delay", "start_delay_ms"))
_DOUBTS: Final = {
    Doubt.LATE: "may not be what the server does, by those that began late, or never",
    Doubt.DELAY: f"may not be what the server does: the client's own start delay is more than {SWAY:.0%} as long",
    Doubt.FEW: f"may be mere accident: fewer than {BEYOND} of these requests lie beyond",
}


def summary(figures: Mapping[str, Any], stopped: str | None, examples: Mapping[str, str]) -> Iterator[str]:
    """Yield the lines that tell a bench's figures to a person."""
    if stopped is not None:
        yield f"stopped early: {stopped}"
    if "search" in figures:
        yield f"{of_which(figures)}:"
    yield _rates(figures)
    yield from _latencies(figures)
    yield from (f"  {text}" for text in timed(figures))
    yield f"answers: {_answers(figures)}"
    yield from (f"  {status}: {text}" for status, text in examples.items() if status in figures["status"])
    yield from late(figures)
    yield from _client(figures)
    if "search" in figures:
        yield from _search(figures["search"])


def _rates(figures: Mapping[str, Any]) -> str:
    offered = figures["offered_rate"]
    of = "" if offered is None else f" of {offered:,.1f}/s offered"
    return (
        f"{_counted(figures['requests'], 'request')} in {figures['duration_s']:,.1f} s: "
        f"{figures['achieved_rate']:,.1f}/s sent{of}, {figures['completed_rate']:,.1f}/s answered, "
        f"{_counted(figures['errors'], 'error')}"
    )


def _counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def _latencies(figures: Mapping[str, Any]) -> Iterator[str]:
    doubtful = figures["unsound"]
    mark = " (UNSOUND: see below)" if figures["client_saturated"] else ""
    yield _row("ms" + mark, (name + ("?" if name in doubtful else "") for name in MEASURES))
    response = "response, from schedule" if figures["loop"] == "open" else "response, from its turn"
    for title, key in ((response, "response_time_ms"), *_TIMES):
        yield _row(title, (_number(figures[key][name]) for name in MEASURES))


def _row(title: str, cells: Iterable[str]) -> str:
    """Return a row of the table, which fits into 80 columns."""
    return f"{title:<23}" + "".join(f"{text:>8}" for text in cells)


def timed(figures: Mapping[str, Any]) -> Iterator[str]:
    """Yield of which requests the times are, where that is not all of them."""
    whole, known, unreached = (figures[name] for name in ("requests", "timed_requests", "unreached"))
    if known < whole:
        waited = whole - known - unreached
        others = [(unreached, f"{unreached:,} did not reach the server"), (waited, f"{waited:,} had not ended")]
        yield f"times are of {known:,} of {whole:,} requests: {', '.join(text for count, text in others if count)}"


def _number(value: float | None) -> str:
    """Return milliseconds in seven letters, up to a quarter of an hour."""
    if value is None:
        return "–"
    return f"{value:,.2f}" if value < 1000 else f"{value:,.1f}" if value < 10_000 else f"{value:,.0f}"


def _answers(figures: Mapping[str, Any]) -> str:
    parts = [f"{count:,} × {kind}" for kind, count in (*figures["status"].items(), *figures["failures"].items())]
    return ", ".join(parts) or "none"


def late(figures: Mapping[str, Any]) -> Iterator[str]:
    """Yield what there is to say of requests that began late, or never."""
    by = figures["late"]
    if figures["unsent"]:
        yield (
            f"{_counted(figures['unsent'], 'request')} that the schedule asked for "
            f"{'was' if figures['unsent'] == 1 else 'were'} never sent; "
            "the longest response times may be missing for that reason"
        )
    if by["ceiling"]:
        yield (
            f"{by['ceiling']:,} began late since every connection waited for an answer: "
            "their wait is part of the response time; --concurrency N allows more"
        )
    if by["ledger"]:
        yield f"{by['ledger']:,} began late since their intents were not on disk yet"
    if by["loop"]:
        yield f"{by['loop']:,} began late since the client's event loop came late"


def itself(figures: Mapping[str, Any]) -> str:
    """Return what the client noticed of itself."""
    client = figures["client"]
    lag = client["loop_lag_ms"]
    return (
        f"event loop {lag['mean']:.1f} ms late ({lag['worst_second']:.1f} in its worst second), "
        f"{client['loop_share']:.0%} of a core (process: {client['cpu_share']:.0%}), "
        f"{client['most_under_way']:,} under way and {client['most_sockets']:,} sockets at the most, "
        f"{client['waited_for_connection_s']:.2f} s waited for a free connection"
    )


def _client(figures: Mapping[str, Any]) -> Iterator[str]:
    client = figures["client"]
    yield f"client: {itself(figures)}"
    if figures["client_saturated"]:
        yield (
            f"THE CLIENT WAS THE BOTTLENECK for {client['spoiled_share']:.1%} of the requests: "
            "the percentiles say more of it than of the server"
        )
    yield from (f"  {text}" for text in doubted(figures))
    periods = client["saturated_periods"]
    for one in periods[:MOST_PERIODS]:
        yield f"  from {one['begins']:.1f} s to {one['ends']:.1f} s: {one['why']}"
    if len(periods) > MOST_PERIODS:
        yield f"  … and {len(periods) - MOST_PERIODS:,} more such periods"


def doubted(figures: Mapping[str, Any]) -> Iterator[str]:
    """Yield which measures are doubtful though the client was not the bottleneck, by why."""
    for doubt, words in _DOUBTS.items():
        if names := [name for name, why in figures["unsound_why"].items() if why == doubt]:
            yield f"{', '.join(names)} (marked ?) {words}"


_ENDS: Final = {
    "found": "higher rates break it",
    "never_kept": "no rate keeps it",
    "client": "above it the client is the bottleneck: the server may take more",
    "full": "a probe filled the tenant's quota (409): a shorter --duration, or a --rate near this one, needs less",
    "probes": f"the search tries no more than {MOST_PROBES} rates: a higher one may keep it",
    "stopped": "the search was cut short: a higher one may keep it",
}


_BREACHES: Final = {
    Breach.FULL: "unknown, the tenant was full",
    Breach.CLIENT: "unknown, the client was the bottleneck",
    Breach.LATENCY: "the latency",
    Breach.ERRORS: f"errors (more than {MOST_ERRORS:.0%})",
    Breach.UNSENT: f"requests that were not sent (more than {1 - ENOUGH:.0%})",
}


def of_which(figures: Mapping[str, Any]) -> str:
    """Return which of a search's probes the figures are of."""
    search = figures["search"]
    which = "the last one" if search["rate"] is None else f"the highest rate that kept {search['goal']}"
    return f"of the probe of {rate_words(figures['offered_rate'])}, {which}"


def answer(search: Mapping[str, Any]) -> str:
    """Return what a search found; that no rate keeps the goal only where that was seen."""
    rate, ended = search["rate"], search["ended"]
    if rate is None and ended == "stopped":
        found = f"not known, since {_unfinished(search)}"
    elif rate is None:
        found = f"{'none' if ended == 'never_kept' else 'not known'} ({_ENDS[ended]})"
    else:
        found = f"{rate_words(rate)} ({_ENDS[ended]})"
    return f"highest rate with {search['goal']}: {found}"


def _unfinished(search: Mapping[str, Any]) -> str:
    """Return why a search that was cut short knows no rate that keeps its goal."""
    if not search["probes"]:
        return "no probe ended"
    return "the search was cut short before a rate kept it, and lower ones may"


def _search(search: Mapping[str, Any]) -> Iterator[str]:
    for one in search["probes"]:
        measured = "–" if one["measured_ms"] is None else f"{one['measured_ms']:,.1f} ms"
        failed = f"{one['errors']:,} of {one['requests']:,} failed"
        yield f"  {rate_words(one['rate']):>10}: {measured}, {failed}: {judged(one)}"
    yield answer(search)


def judged(probe: Mapping[str, Any]) -> str:
    """Return whether a probe kept its goal, and what broke it."""
    if probe["passed"]:
        return "kept"
    words = " and ".join(_BREACHES[breach] for breach in probe["broken_by"])
    return words if {"full", "client"} & {*probe["broken_by"]} else f"broken by {words}"


def lengthened(plan: Searching) -> str | None:
    """Return why a search's first probe is longer than was asked for; None: it is not."""
    seconds = probe_seconds(plan.goal, plan.first, plan.seconds)
    if seconds <= plan.seconds:
        return None
    wanted = f"{plan.goal.least_requests():,} requests for a {plan.goal.measure}"
    takes = f"at least {wanted}" if seconds < LONGEST_S else f"{wanted}, or {LONGEST_S:g} s at the most"
    return f"a probe takes {takes}: {seconds:.3g} s at {rate_words(plan.first)}, not {plan.seconds:g} s"
