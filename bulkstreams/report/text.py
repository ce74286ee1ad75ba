"""A ledger in lines of text: how a run ended, how things stand, and what `status --json` prints."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from bulkstreams.core.errands import ASKED, COUNTED, Fate, Kind
from bulkstreams.core.waiting import duration
from bulkstreams.errors import ExitCode
from bulkstreams.ledger import ErrandTotals, Failure, LedgerReader, Note, Run
from bulkstreams.model import State
from bulkstreams.report.again import to_end_undo, to_go_on, to_switch_on

_EFFORT: Final = (
    ("recovered", "recovered by look-up", "recovered by look-up"),
    ("requests", "request", "requests"),
    ("retries", "retry", "retries"),
    ("throttled", "throttled", "throttled"),
    ("lookups", "look-up", "look-ups"),
)

MOST_WAITS: Final = 10
"""Waits of lanes that `status` tells one by one; the rest is counted."""

MOST_TENANTS: Final = 50
"""Tenants that `status` tells one by one, those with most work left or failed first; the rest is counted."""

MOST_STOPPED: Final = 10
"""Reasons for which tenants were stopped that are told; of the tenants with the same reason, `NAMED` are named."""

NAMED: Final = 3

MOST_HINTS: Final = 3
"""Remedies that are told at the end of a run."""

_SETTLED: Final = frozenset({State.CREATED, State.EXISTS, State.DUPLICATE, State.UNDONE})
_ANSWERLESS: Final = frozenset({Fate.UNCONFIRMED, Fate.GONE})
"""Fates whose cause is told by their message alone: a 404 to a question is what they are made of."""

_UNKNOWN: Final = "the run ended before an answer was noted"


def summary(figures: Mapping[str, Any], reasons: Mapping[str, str], failures: Sequence[Failure] = ()) -> list[str]:
    """Say how a run ended, in a few lines; `failures` are the most frequent causes."""
    records, this_run = figures["records"], figures["this_run"]
    parts = _counted({name: count for name, count in records.items() if name != "total" and count})
    effort = ", ".join(f"{this_run[name]:,} {one if this_run[name] == 1 else many}" for name, one, many in _EFFORT)
    lines = [
        f"{records['total']:,} records: {parts or 'none'}   (ledger: {figures['ledger']})",
        f"this run: {this_run['created']:,} created ({effort}) in {duration(figures['elapsed_s'])}",
    ]
    if "smoke" in figures:
        tested = _counted({name: count for name, count in figures["smoke"].items() if name != "total" and count})
        lines.append(f"smoke: {_streams(figures['smoke']['total'])}: {tested or 'none'}")
    lines += [failure_line(one) for one in failures]
    return lines + stopped_lines(reasons)


def stopped_lines(reasons: Mapping[str, str]) -> list[str]:
    """Say which tenants were stopped, and why: a line for each reason, the most frequent ones first."""
    groups: dict[str, list[str]] = {}
    for tenant, reason in reasons.items():
        groups.setdefault(reason, []).append(tenant)
    order = sorted(groups, key=lambda reason: -len(groups[reason]))
    lines = [f"stopped {_named(groups[reason])}: {reason}" for reason in order[:MOST_STOPPED]]
    if rest := sum(len(groups[reason]) for reason in order[MOST_STOPPED:]):
        lines.append(f"stopped {_more(rest)}; `bulkstreams status --json` names them all")
    return lines


def _named(tenants: Sequence[str]) -> str:
    named, rest = ", ".join(tenants[:NAMED]), len(tenants) - NAMED
    return f"{named} and {rest:,} more" if rest > 0 else named


def _more(tenants: int) -> str:
    return f"{tenants:,} more tenant{'' if tenants == 1 else 's'}"


def _counted(counts: Mapping[str, int] | Mapping[State, int]) -> str:
    return ", ".join(f"{count:,} {state.replace('_', ' ')}" for state, count in counts.items())


def next_step(figures: Mapping[str, Any], hints: Sequence[str], command: str) -> str:
    """Say what to do next, a line for each remedy and often the exact command; empty where nothing is left to do."""
    return "\n".join([*hints[:MOST_HINTS], *_steps(figures, command)])


def _steps(figures: Mapping[str, Any], command: str) -> Iterator[str]:
    records, ledger = figures["records"], figures["ledger"]
    interrupted = figures["exit_code"] in {ExitCode.STOPPED, ExitCode.INTERRUPTED, ExitCode.TERMINATED}
    if records["pending"] or records["in_doubt"] or interrupted:
        yield f"To resume, run the same command again: {command}"
        return
    if records["invalid"]:
        yield f"Mend the invalid lines and run the same command again; see: bulkstreams status {ledger}"
    elif records["exhausted"]:
        yield f"To try the exhausted records again: {command}"
    if records["refused"] or records["conflict"]:
        again = command if "--retry-failed" in command.split() else f"{command} --retry-failed"
        yield f"See why: bulkstreams status {ledger}; after mending the cause: {again}"
    if figures.get("smoke", {}).get("failed"):
        yield f"See why deliveries failed: bulkstreams status {ledger}; to try those again: {command}"
    if undoing := figures.get("undoing"):
        counted = "1 stream counts" if undoing == 1 else f"{undoing:,} streams count"
        yield (
            f"{counted} as created, though an undo that was cut short may have deleted some of them. To end it: "
            f"{to_end_undo(ledger)}; then, to create them anew: {command}"
        )
    yield from _unconfirmed(figures.get("smoke", {}), figures, command)


def errand_summary(
    kind: Kind, figures: Mapping[str, Any], reasons: Mapping[str, str], failures: Sequence[Failure] = ()
) -> list[str]:
    """Say how a command ended that did something with streams after their creation, in a few lines."""
    records = figures["records"]
    if not records["total"]:
        lines = [_nothing(kind, figures)]
    elif figures.get("dry_run"):
        lines = [_foreseen(kind, records)]
    else:
        lines = _done(kind, figures)
    lines += [failure_line(one) for one in failures]
    if doubtful := figures.get("in_doubt"):
        lines.append(
            f"{doubtful:,} {'record is' if doubtful == 1 else 'records are'} in doubt: whether their streams were "
            "created is not known yet, so they were left"
        )
    return lines + stopped_lines(reasons)


def _done(kind: Kind, figures: Mapping[str, Any]) -> list[str]:
    records, this_run = figures["records"], figures["this_run"]
    parts = _counted({name: count for name, count in records.items() if name != "total" and count})
    effort = ", ".join(f"{this_run[name]:,} {one if this_run[name] == 1 else many}" for name, one, many in _EFFORT[1:])
    return [
        f"{' '.join(ASKED[kind])}: {_streams(records['total'])}: {parts}   (ledger: {figures['ledger']})",
        f"this run: {effort} in {duration(figures['elapsed_s'])}",
    ]


def _nothing(kind: Kind, figures: Mapping[str, Any]) -> str:
    """Say why there is nothing to do, as far as that is known."""
    head = f"{' '.join(ASKED[kind])}: nothing to do"
    there = figures.get("there_before")
    if there is None:
        return f"{head}   (ledger: {figures['ledger']})"
    left = "was there before it, and is left alone" if there == 1 else "were there before it, and are left alone"
    return f"{head}: this ledger created no stream{f'; {there:,} {left}' if there else ''}"


_FORESEEN: Final = {
    Fate.DELETED: ("would be deleted", "would be deleted"),
    Fate.SWITCHED: ("would be switched {}", "would be switched {}"),
    Fate.ALREADY: ("is {} already", "are {} already"),
    Fate.GONE: ("is gone", "are gone"),
    Fate.CHANGED: ("was changed and would be left", "were changed and would be left"),
    Fate.FAILED: ("could not be looked at", "could not be looked at"),
    Fate.PENDING: ("was not looked at", "were not looked at"),
}
"""What a dry run says of one stream, and of several; {}: `on` or `off`."""


def _foreseen(kind: Kind, records: Mapping[str, int]) -> str:
    order = [fate for fate in (*COUNTED[kind], Fate.PENDING) if records.get(fate)]
    way = "off" if kind is Kind.DISABLE else "on"
    parts = ", ".join(f"{records[fate]:,} {_FORESEEN[fate][records[fate] != 1].format(way)}" for fate in order)
    return f"Dry run, nothing was sent: of {_streams(records['total'])} {parts}"


def _streams(count: int) -> str:
    return f"{count:,} stream{'' if count == 1 else 's'}"


def errand_next(kind: Kind, figures: Mapping[str, Any], hints: Sequence[str], command: str) -> str:
    """Say what to do next after such a command, as `next_step`."""
    return "\n".join([*hints[:MOST_HINTS], *_errand_steps(kind, figures, command)])


def _errand_steps(kind: Kind, figures: Mapping[str, Any], command: str) -> Iterator[str]:
    records = figures["records"]
    if figures.get("dry_run"):
        return
    if records.get(Fate.PENDING):
        yield f"To go on, run the same command again: {command}"
    elif records[Fate.FAILED]:
        yield f"See why: bulkstreams status {figures['ledger']}; to try those again: {command}"
    if records.get(Fate.CHANGED):
        yield f"Look at what was changed; to do it all the same: {command} --force"
    if records.get(Fate.GONE) and kind is not Kind.UNDO:
        yield "What is gone was deleted by somebody else; a run of the input with a new --ledger FILE creates it again."
    yield from _unconfirmed(records, figures, command)
    if figures.get("in_doubt"):
        yield f"Run the input again, which looks up what is in doubt, then: {command}"


def _unconfirmed(records: Mapping[str, int], figures: Mapping[str, Any], command: str) -> Iterator[str]:
    """Say what to do about test events of which nobody knows what became; `records` counts them."""
    if off := figures.get("switched_off"):
        yield (
            f"{off:,} of these streams {'is' if off == 1 else 'are'} switched off, and a test event may wait until "
            f"{'it is' if off == 1 else 'they are'} on: {to_switch_on(figures['ledger'])}, then again: {command}"
        )
    elif records.get(Fate.UNCONFIRMED):
        yield f"To send those a test event again: {command}"


def errand_counts(reader: LedgerReader) -> dict[str, Any]:
    """Return how the newest command of each kind stands, by kind; kinds that were never asked for are left out."""
    found: dict[str, Any] = {}
    for kind in Kind:
        totals = reader.errands(kind)
        if totals.total:
            found[kind.value] = {"total": totals.total, **{fate.value: n for fate, n in totals.fates.items()}}
    return found


def _errand_lines(reader: LedgerReader) -> Iterator[str]:
    """Say what was done with streams after their creation, in the order of time, and what was left unfinished.

    What a later command made history of is told as such, and no longer with what went wrong.
    """
    going, bench = reader.held(), _is_bench(reader.last_run())
    found = {kind: totals for kind in Kind if (totals := reader.errands(kind)).total}
    for kind, totals in sorted(found.items(), key=lambda item: item[1].last):
        order = [fate for fate in (*COUNTED[kind], Fate.PENDING) if totals.fates.get(fate)]
        head = f"{' '.join(ASKED[kind])}: {_counted({fate.value: totals.fates[fate] for fate in order})}"
        over = reader.overtaken(kind)
        yield f"{head}{_at(totals)}{_beside(kind, totals, reader)}{_overtaken(over, totals.total)}"
        if sum(over.values()) == totals.total:
            continue
        yield from map(failure_line, reader.errand_failures(kind))
        if totals.fates.get(Fate.PENDING) and not going:
            again = _to_clean(reader) if bench else to_go_on(reader, kind)
            yield f"  left unfinished; to go on: {again}"


def _overtaken(over: Mapping[Kind, int], total: int) -> str:
    """Say how much of what a command did is no longer so; of one that touched other streams, nothing."""
    if not over:
        return ""
    if len(over) == 1 and sum(over.values()) == total:
        return f"; overtaken by a later {' '.join(ASKED[next(iter(over))])}"
    parts = [f"{count:,} overtaken by a later {' '.join(ASKED[kind])}" for kind, count in over.items()]
    return f"; of these {total:,}, {', '.join(parts)}"


def _beside(kind: Kind, totals: ErrandTotals, reader: LedgerReader) -> str:
    """Say how many streams were undone in all, where the counts, of the newest command alone, do not."""
    if kind is not Kind.UNDO:
        return ""
    own, undone = totals.fates.get(Fate.DELETED, 0) + totals.fates.get(Fate.GONE, 0), reader.undone()
    return f"; that is the newest undo alone, in all {_streams(undone)} were undone" if undone > own else ""


def _at(totals: ErrandTotals) -> str:
    at = totals.last[1]
    return f", last at {datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M:%S} UTC" if at else ""


def status(reader: LedgerReader, now: float) -> dict[str, Any]:
    """Return how the newest reading's records stand: by state, by tenant, and the failures by cause.

    Where a run goes on, also what it waits for `now` (epoch seconds), and the time left.
    """
    totals, run = reader.totals(), reader.last_run()
    return {
        "ledger": str(reader.path),
        "records": {"total": totals.total, **{str(state): count for state, count in sorted(totals.records.items())}},
        "tenants": {tenant or "(none)": counts for tenant, counts in reader.by_tenant().items()},
        "failures": [failure_figures(one) for one in reader.failures()],
        "last_run": None
        if run is None
        else {
            "run_id": run.name,
            "command": run.command,
            "process": run.pid,
            "ended": run.ended_at is not None,
            "running": reader.goes_on(run),
            "exit_code": run.exit_code,
            "stopped": dict(run.stopped),
        },
        "progress": _progress(reader.note(), now),
        "errands": errand_counts(reader),
        "undone_in_all": reader.undone(),
        "errand_failures": {
            kind.value: [failure_figures(one) for one in found]
            for kind in Kind
            if (found := reader.errand_failures(kind))
        },
    }


def failure_figures(one: Failure) -> dict[str, Any]:
    """Return what failed with one cause as plain data, as `failure_line` says it."""
    return {
        "state": one.state,
        "http_status": one.http_status,
        "error_code": one.error_code,
        "message": one.message,
        "records": one.records,
        "example": {"file": one.file, "line": one.line, "key": one.key},
    }


def _progress(note: Note | None, now: float) -> dict[str, Any] | None:
    if note is None:
        return None
    progress = note.progress.at(now)
    return {
        "noted_at": note.noted_at,
        "left_s": progress.left_s(now),
        "at_least": progress.at_least,
        "deadline_at": progress.stops_at,
        "allowed_per_s": progress.allowed,
        "lanes": progress.lanes,
        "unseated": progress.unseated,
        "waiting": dict(progress.counts),
        "waits": [
            {"tenant": name, "kind": one.kind, "reason": one.reason, "until": one.until, "left_s": one.seconds(now)}
            for name, one in progress.waits
        ],
    }


def status_lines(reader: LedgerReader, now: float) -> list[str]:
    """Tell a person what `status` holds."""
    totals, run, live = reader.totals(), reader.last_run(), reader.held()
    lines = [f"{reader.path}: {totals.total:,} records"]
    lines += _tenant_lines(reader.by_tenant())
    failures = reader.failures()
    if failures:
        lines.append("what failed or is in doubt, by cause:")
        lines += [failure_line(one) for one in failures]
    if run is not None:
        process = f"process {run.pid} on {run.host}"
        going = f"running ({process})" if reader.goes_on(run) else f"died or was cut off ({process})"
        ended = f"exit {run.exit_code}" if run.ended_at is not None else going
        command = "" if run.command is None else f", {run.command}"
        lines.append(f"last run {run.name}{command}: {ended}")
        lines += [f"  {text}" for text in stopped_lines(run.stopped)]
        lines += _progress_lines(reader.note(), now)
    lines += _errand_lines(reader)
    open_ = (State.PENDING, State.IN_DOUBT, State.IN_FLIGHT)
    if not live and _is_bench(run):
        if reader.unsettled_at_tenants():
            lines.append(f"To delete what it left at the tenant: {_to_clean(reader)}")
    elif not live and any(totals.records.get(state) for state in open_):
        lines.append("To resume, run the same command again.")
    return lines


def _is_bench(run: Run | None) -> bool:
    """Return whether a run put a load on, or cleaned up after one: what it left is deleted, and never resumed."""
    return run is not None and (run.command or "").split()[:1] == ["bench"]


def _to_clean(reader: LedgerReader) -> str:
    return shlex.join(["bulkstreams", "bench", "--clean", str(reader.path)])


def _tenant_lines(tenants: Mapping[str, Mapping[State, int]]) -> list[str]:
    """Say how each tenant's records stand; where there are many tenants, count those that have least to tell."""
    shown = list(tenants)
    if len(tenants) > MOST_TENANTS:
        shown = sorted(tenants, key=lambda name: -_unsettled(tenants[name]))[:MOST_TENANTS]
    lines = [f"  {name or '(no tenant)'}: {_counted(tenants[name])}" for name in shown]
    if rest := tenants.keys() - shown:
        counts: Counter[State] = Counter()
        for name in rest:
            counts.update(tenants[name])
        lines.append(f"  … and {_more(len(rest))}: {_counted(dict(sorted(counts.items())))} (--json has them all)")
    return lines


def _unsettled(counts: Mapping[State, int]) -> int:
    return sum(count for state, count in counts.items() if state not in _SETTLED)


def _progress_lines(note: Note | None, now: float) -> list[str]:
    if note is None:
        return []
    progress = note.progress.at(now)
    return [f"  {text}" for text in [progress.left(now), *progress.lines(now, MOST_WAITS)] if text]


def failure_line(one: Failure) -> str:
    """Say what failed with one cause, how often, and give an example."""
    says_nothing = one.http_status is None or one.http_status < 400 or one.state in _ANSWERLESS
    status = None if says_nothing else one.http_status
    code = None if one.error_code == one.state else one.error_code
    cause = " ".join(str(part) for part in (status, code) if part is not None)
    text = f"{cause}: {one.message}" if cause and one.message else cause or one.message or _UNKNOWN
    example = f"{one.file}:{one.line}" if one.key is None else f"{one.file}:{one.line}, {one.key}"
    return f"  {one.records:,} {one.state.replace('_', ' ')}: {text} (e.g. {example})"
