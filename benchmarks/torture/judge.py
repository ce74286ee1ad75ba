"""The judge: the sandbox's books and listings, the ledger's rows, and what had been told, each held against the input.

A plain function of what was found. This module must never ask the engine what it thinks, nor forgive anything.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from benchmarks.torture.feed import Line, mark_of

KINDS: Final = ("twice", "lost", "strangers", "wrong ids", "wrong states", "told otherwise", "wrong ends")
"""What can be wrong: a record with two streams; with none; a stream that no record stands for; a ledger that names
another stream, or another state, than there is; an outcome that was told and is not so; a process that ended as none
should."""

FINAL: Final = frozenset({"created", "exists", "conflict", "invalid", "duplicate"})
"""States that, once told, stay; the others are taken up again by a later run."""

UNSETTLED: Final = frozenset({"pending", "in_flight", "in_doubt"})

Row = Mapping[str, Any]


class Complaint(NamedTuple):
    """One thing that is wrong, with the evidence."""

    kind: str
    what: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.what}"


class Findings(NamedTuple):
    """What was found at the end: rows of the ledger, accepted creates, streams by tenant, rows told on the way."""

    rows: Sequence[Row]
    accepted: Sequence[Row]
    streams: Mapping[str, Sequence[Row]]
    told: Sequence[Row] = ()


def judge(lines: Sequence[Line], found: Findings) -> list[Complaint]:
    """Return all that is wrong."""
    standing = _standing(found)
    rows: dict[int, list[Row]] = defaultdict(list)
    for row in found.rows:
        rows[row["line"]].append(row)
    complaints: list[Complaint] = []
    for (tenant, mark), group in _groups(lines).items():
        streams = standing.pop((tenant, mark), []) if mark else []
        complaints += _judge_group(group, [rows.pop(line.number, []) for line in group], streams)
    complaints += [Complaint("strangers", f"no record stands for {one}") for rest in standing.values() for one in rest]
    complaints += [Complaint("wrong states", f"no line stands behind {rest}") for rest in rows.values()]
    return complaints + list(_judge_told(found))


def _groups(lines: Sequence[Line]) -> dict[tuple[str, str], list[Line]]:
    """Return the lines by the mark of their streams: one each, but for those that only their keys tell apart."""
    groups: dict[tuple[str, str], list[Line]] = defaultdict(list)
    for line in lines:
        groups[line.tenant, line.mark].append(line)
    return groups


def _standing(found: Findings) -> dict[tuple[str, str], list[Row]]:
    """Return the accepted creates by what they are known by; what the API does not list is known by nothing."""
    listed = {stream["id"]: mark_of(stream) for streams in found.streams.values() for stream in streams}
    standing: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for one in found.accepted:
        standing[one["tenant"], listed.get(one["id"], f"unlisted {one['id']}")].append(one)
    return standing


def _judge_group(lines: Sequence[Line], rows: Sequence[Sequence[Row]], streams: Sequence[Row]) -> Iterator[Complaint]:
    """Complain of records that one mark stands for: as many streams as records, and each its own."""
    wanted = sum(bool(line.mark) for line in lines)
    evidence = f"{len(lines)} lines, books {streams}"
    for _ in range(wanted - len(streams)):
        yield Complaint("lost", f"{_place(lines[0])}: {evidence}, ledger {rows}")
    for _ in range(len(streams) - wanted):
        yield Complaint("twice", f"{_place(lines[0])}: {evidence}, ledger {rows}")
    free = {stream["id"] for stream in streams}
    for line, mine in zip(lines, rows, strict=True):
        if len(mine) != 1 or mine[0]["state"] != line.expected:
            yield Complaint("wrong states", f"{_place(line)} is not {line.expected}: ledger {mine}, {evidence}")
        for row in mine:
            if not _names_its_own(row["remote_id"], line, free):
                yield Complaint("wrong ids", f"{_place(line)}: ledger {row}, {evidence}")
            free.discard(row["remote_id"])


def _names_its_own(remote_id: str | None, line: Line, free: Collection[str]) -> bool:
    """Return whether an id is that of a stream of the line's; where no stream is the line's, none need be named."""
    return remote_id in free or (remote_id is None and line.expected not in {"created", "exists"})


def _place(line: Line) -> str:
    return f"line {line.number} ({line.tenant}, {line.mark or 'no stream'})"


def _judge_told(found: Findings) -> Iterator[Complaint]:
    """Complain of what was told before it was settled, and of outcomes that the ledger does not hold to."""
    held = {row["line"]: (row["state"], row["remote_id"]) for row in found.rows}
    for row in found.told:
        if row["state"] in UNSETTLED:
            yield Complaint("told otherwise", f"{row} was told although it was not settled")
        elif row["state"] in FINAL and held.get(row["line"]) != (row["state"], row["remote_id"]):
            yield Complaint("told otherwise", f"{row}, but the ledger holds {held.get(row['line'])}")


def count(complaints: Iterable[Complaint]) -> dict[str, int]:
    """Return how many complaints of each kind there are, the kinds without any included."""
    counts = dict.fromkeys(KINDS, 0)
    for one in complaints:
        counts[one.kind] += 1
    return counts
