"""A plan and a verification, told to a person: calmly, the totals last, and never thousands of lines without need.

This module must never count anything itself: what it tells is in the figures.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from bulkstreams import report
from bulkstreams.commands.plan import COUNTED, PlanReport
from bulkstreams.commands.verify import Finding, Part, VerifyReport
from bulkstreams.core.difference import Difference
from bulkstreams.core.waiting import duration

MOST_CONFLICTS: Final = 20
"""Conflicts that are told one by one; the rest is counted."""

MOST_TENANTS: Final = 20
"""Tenants that are told one by one."""

_SAID: Final = {
    "create": "to create",
    "exists": "already there",
    "conflict": "in conflict",
    "duplicate": "duplicate",
    "invalid": "invalid",
    "refused": "refused by an earlier run",
    "in_doubt": "in doubt",
    "unknown": "unknown, since the tenant could not be read",
}
SIGNS: Final = {
    Part.EQUAL: "=",
    Part.DIFFERENT: "*",
    Part.MISSING: "+",
    Part.EXTRA: "-",
    Part.DUPLICATE: "!",
    Part.IN_DOUBT: "!",
    Part.INVALID: "!",
}
"""The signs of `rclone check`. What is unknown has none: it is told by tenant."""

SECRETS: Final = (
    "Secrets cannot be compared, since the API never shows them: a stream that is equal may still have another one."
)


# -- a plan -----------------------------------------------------------------------------------------------------------


def plan_lines(planned: PlanReport) -> list[str]:
    """Tell a plan: tenant by tenant, then the conflicts, then the totals."""
    figures = planned.figures
    tenants = figures["tenants"]
    told = _tenant if len(tenants) > 1 else _extra_of
    lines = [text for name, one in list(tenants.items())[:MOST_TENANTS] if (text := told(name, one))]
    if len(tenants) > MOST_TENANTS:
        lines.append(f"… and {len(tenants) - MOST_TENANTS:,} more tenants (--json has them all)")
    lines += _conflicts(figures)
    lines += [_clean(report.failure_line(one)) for one in planned.failures]
    lines += _scopes(tenants)
    fewer = figures["would_send"] < figures["records"]["create"]
    limited = f"; this run would take {figures['would_send']:,} of them (--limit)" if fewer else ""
    lines.append(_clean(f"Plan: {_records(figures['records'])}{limited}{_time(planned)}"))
    return lines


def _tenant(name: str, one: Mapping[str, Any]) -> str:
    extra = _extra(one)
    return _clean(f"{name}: {_records(one['records'])}{f'; {extra}' if extra else ''}")


def _extra_of(name: str, one: Mapping[str, Any]) -> str:
    """Say of the only tenant what the totals do not."""
    extra = _extra(one)
    return _clean(f"{name}: {extra}") if extra else ""


def _records(counts: Mapping[str, int]) -> str:
    parts = [f"{counts[part]:,} {_SAID[part]}" for part in COUNTED if counts[part] or part == "create"]
    return f"{counts['total']:,} record{'' if counts['total'] == 1 else 's'}: {', '.join(parts)}"


def _extra(one: Mapping[str, Any]) -> str:
    count, names = one["extra"], one["extra_names"]
    if not count:
        return ""
    more = f" and {count - len(names):,} more" if count > len(names) else ""
    streams = "stream is" if count == 1 else "streams are"
    return f"{count:,} {streams} there that the input does not name: {', '.join(names)}{more}"


def _conflicts(figures: Mapping[str, Any]) -> Iterator[str]:
    shown = figures["conflicts"][:MOST_CONFLICTS]
    for one in shown:
        yield _clean(f"  * {_label(one)} ({one['file']}:{one['line']}){_why(one)}")
        where = "at the tenant" if one["first"] is None else f"in {one['first']['file']}:{one['first']['line']}"
        yield from (_clean(f"      {Difference(**found).words(where)}") for found in one["differences"])
    more = len(figures["conflicts"]) - len(shown) + figures["more_conflicts"]
    if more:
        yield f"  … and {more:,} more in conflict"


def _why(one: Mapping[str, Any]) -> str:
    if one["first"] is not None:
        first = f"{one['first']['file']}:{one['first']['line']}"
        return f": {first} has the same name, and goes first, if the tenant keeps names unique"
    if one["differences"]:
        return ""
    if one["is_there"] is None:
        return ""
    if not one["is_there"]:
        return ": its stream is there no more; --retry-failed takes it again"
    return ": it is equal by now; --retry-failed takes it again"


def _scopes(tenants: Mapping[str, Any]) -> Iterator[str]:
    lacking = [(name, one["scopes_lacking"]) for name, one in tenants.items() if one["scopes_lacking"]]
    for name, scopes in lacking[:MOST_TENANTS]:
        yield _clean(f"{name}: the token lacks {' and '.join(scopes)}, which a run will need")
    if len(lacking) > MOST_TENANTS:
        yield f"… and {len(lacking) - MOST_TENANTS:,} more tenants whose tokens lack scopes"


def _time(planned: PlanReport) -> str:
    """Say how long the creates may take: of one tenant with its rate, of several the slowest."""
    busy = {
        name: one for name, one in planned.foresights.items() if planned.figures["tenants"][name]["records"]["create"]
    }
    if not busy or planned.figures["records"]["unknown"]:
        return ""
    if len(busy) == 1:
        return f"; {next(iter(busy.values()))}"
    seconds = planned.figures["estimated_s"]
    if seconds is None:
        return "; nobody can tell yet how long"
    slowest = max(busy, key=lambda name: busy[name].seconds or 0.0)
    return f"; about {duration(seconds)}, as long as {slowest} takes"


def plan_steps(planned: PlanReport, again: str, run: str) -> list[str]:
    """Say what to do next; `run` is the command that does what was planned, `again` the one that plans it once more."""
    figures = planned.figures
    records = figures["records"]
    if planned.reasons or records["unknown"]:
        return [*planned.hints[: report.MOST_HINTS], f"To plan again: {again}"]
    steps = []
    if records["invalid"]:
        steps.append("Mend the invalid lines; a run leaves them out.")
    if records["conflict"]:
        steps.append("A run leaves conflicts as they are: change the line, or the stream at the tenant.")
    if records["refused"]:
        steps.append(
            f"See why some were refused: bulkstreams status {figures['ledger']}; --retry-failed takes them again."
        )
    if records["create"]:
        steps.append(f"To create {'it' if records['create'] == 1 else 'them'}: {run}")
    else:
        steps.append("Nothing is to be created.")
    return steps


# -- a verification ---------------------------------------------------------------------------------------------------


def finding_lines(finding: Finding) -> list[str]:
    """Tell a finding by its sign, and in what a line and its stream differ."""
    if finding.part is Part.UNKNOWN:
        return []
    parts = [_known_as(finding), *_place(finding)]
    head = f"{SIGNS[finding.part]} {' '.join(part for part in parts if part)}"
    return [
        _clean(f"{head}: {finding.note}" if finding.note else head),
        *(f"    {difference}" for difference in finding.differences),
    ]


def _known_as(finding: Finding) -> str:
    return _label({"tenant": finding.tenant, "name": finding.name, "key": finding.key, "remote_id": finding.remote_id})


def _place(finding: Finding) -> Iterator[str]:
    """Say where to look: for a line that something is wrong with, or a stream that no line names."""
    if finding.part in {Part.MISSING, Part.IN_DOUBT, Part.INVALID}:
        yield f"({finding.file}:{finding.line})"
    elif finding.part is Part.EXTRA and finding.name is not None:
        yield f"({finding.remote_id})"


def verify_lines(verified: VerifyReport) -> list[str]:
    """Tell how a verification came out."""
    counts = verified.figures["records"]
    parts = [f"{counts[part]:,} {part.replace('_', ' ')}" for part in Part if counts[part] and part is not Part.EXTRA]
    extra = f"; {counts['extra']:,} extra at the tenants" if counts["extra"] else ""
    total = counts["total"]
    summary = f"verified {total:,} record{'' if total == 1 else 's'}: {', '.join(parts) or 'none'}{extra}"
    return [summary, SECRETS, *report.stopped_lines(verified.reasons)]


def verify_steps(verified: VerifyReport, again: str, run: str) -> list[str]:
    """Say what to do next about what is not equal."""
    counts = verified.figures["records"]
    if verified.reasons or counts["unknown"]:
        return [*verified.hints[: report.MOST_HINTS], f"To verify again: {again}"]
    steps = []
    if counts["different"] or counts["duplicate"]:
        steps.append("What differs, or stands there twice, a run leaves as it is: change the line, or the tenant.")
    if counts["missing"] or counts["in_doubt"]:
        again = f"{run} --retry-failed" if verified.refused else run
        steps.append(f"To create what is missing, and to clear what is in doubt: {again}")
    return steps


def _label(one: Mapping[str, Any]) -> str:
    """Return what a record or a stream is known by to people: its tenant, and its name if it has one."""
    known = one["name"] or one["key"] or one["remote_id"]
    return "/".join(part for part in (one["tenant"], known) if part)


def _clean(text: str) -> str:
    """Return a text on one line, without signs that steer a terminal."""
    return "".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in text)


def run_of(arguments: Sequence[str], command: str) -> list[str]:
    """Return the arguments of the `run` that goes with a command that only looks."""
    rest = [one for one in arguments if one not in {"--dry-run", "--json"}]
    at = rest.index(command) if command in rest else 0
    return [*rest[:at], "run", *rest[at + 1 :]]
