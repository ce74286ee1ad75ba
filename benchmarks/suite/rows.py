"""What the suite measures, each by the functions of the benchmark that owns it, and the rows that it becomes."""

from __future__ import annotations

import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Final

from benchmarks import ingest, memory, rerun, tenants
from benchmarks.machine import CONCURRENCY, sink, write_input
from benchmarks.suite.senders import JOB, LOOP, Sender, Sent, Target, senders
from benchmarks.suite.table import Row, spread

MEBI: Final = 2**20
UNTOLD: Final = "too little beside the noise of the process's start"
"""In place of a figure from which a start was taken off that took as long as the whole."""


def say(text: str) -> None:
    """Tell on standard error how far the suite is: standard output may be the table's."""
    print(text, file=sys.stderr, flush=True)


def sending(records: int, rounds: int) -> Iterator[Row]:
    """Let all who can send the same body to one sink, in turn, round after round; each round another begins."""
    everyone = senders()
    present = [sender for sender in everyone if not sender.missing]
    sent: dict[str, list[Sent]] = defaultdict(list)
    with tempfile.TemporaryDirectory() as name, sink() as url:
        target = Target(url, Path(name))
        starts = {one.name: one.send(target, CONCURRENCY) for one in present if one.starts}
        for number in range(rounds):
            first = number % len(present)
            for one in (*present[first:], *present[:first]):
                sent[one.name].append(one.send(target, one.requests(records)))
                say(f"round {number + 1} of {rounds}: {one.name} {sent[one.name][-1].per_s:,.0f}/s")
    job = sent[JOB]
    for one in everyone:
        yield sender_row(one, job, sent[one.name], starts)


def sender_row(who: Sender, job: Sequence[Sent], found: Sequence[Sent], starts: Mapping[str, Sent]) -> Row:
    """Return the row of one sender: the job's rate to its own in each round; the processor without its start."""
    if who.missing:
        return Row(what=f"`POST`: {who.name}", figure=f"skipped: {who.missing}")
    ours, theirs = _processor(job, starts.get(JOB)), _processor(found, starts.get(who.name))
    ratios = [one.per_s / other.per_s for one, other in zip(job, found, strict=True)]
    itself, told = who.name == JOB, min(ours, theirs) > 0
    return Row(
        what=f"`POST`: {who.name}",
        size=f"{median(one.requests for one in found):,.0f} requests",
        figure=spread([one.per_s for one in found], ",.0f") + " /s",
        processor=f"{1e6 * theirs:,.0f} µs a request" if theirs > 0 else UNTOLD,
        ratio="1.00" if itself else spread(ratios, ".2f"),
        by_processor="1.00" if itself else f"{theirs / ours:.2f}" if told else UNTOLD,
        to="" if itself else "the job's rate to this",
        goal="at least 0.70" if who.name == LOOP else "",
    )


def _processor(found: Sequence[Sent], start: Sent | None) -> float:
    """Return the processor's seconds of a request beyond the start's."""
    none = start or Sent(0, 0, 0)
    return median((one.cpu_s - none.cpu_s) / (one.requests - none.requests) for one in found)


def ingesting(records: int, rounds: int) -> Iterator[Row]:
    """Read an input into a ledger, in turn with a loop that only decodes it."""
    with tempfile.TemporaryDirectory() as name:
        path, one = write_input(Path(name) / "input.jsonl", records), write_input(Path(name) / "one.jsonl", 1)
        found = []
        for number in range(rounds):
            found.append(ingest.compare(path, one, records))
            say(f"round {number + 1} of {rounds}: ingest {found[-1].rate:,.0f}/s")
    yield ingest_row(records, found)


def ingest_row(records: int, found: Sequence[ingest.Ingested]) -> Row:
    """Return the row of ingest, or one without a figure where the input was too small for it."""
    what, size = "ingest: validate, key, ledger", f"{records:,} records"
    if min(each.rate for each in found) <= 0:
        return Row(what=what, size=size, figure=UNTOLD)
    return Row(
        what=what,
        size=size,
        figure=spread([each.rate for each in found], ",.0f") + " /s",
        processor=f"{1e6 * median(each.cpu_s for each in found):,.0f} µs a record",
        ratio=spread([each.rate / each.loop_rate for each in found], ".2f"),
        to="its rate to that of `json.loads` alone",
        goal="at least 25,000 /s",
    )


def remembering(sizes: Sequence[int]) -> Iterator[Row]:
    """Run inputs of growing size; hold each one's peak of memory against the smallest's."""
    smallest = 0.0
    for records in sizes:
        with sink() as url:
            found = memory.run(records, url)
        say(f"memory of {records:,} records: {found.job.peak_mib:.0f} MiB")
        first, smallest = not smallest, smallest or found.job.peak_mib
        yield Row(
            what="memory: the peak of a whole run",
            size=f"{records:,} records",
            figure=f"{found.job.peak_mib:.0f} MiB, the ledger {found.ledger / MEBI:,.1f} MiB",
            ratio=f"{found.job.peak_mib / smallest:.2f}",
            to="" if first else f"its peak to that of {sizes[0]:,}",
            goal="" if first else "at most 1.20",
        )


def resuming(sizes: Sequence[int], rounds: int) -> Iterator[Row]:
    """Settle inputs of growing size, then run each again with nothing left to do, in turn."""
    found: dict[int, list[rerun.Rerun]] = {records: [] for records in sizes}
    with tempfile.TemporaryDirectory() as name, sink() as url:
        paths = {records: _settled(Path(name) / str(records), url, records) for records in sizes}
        ledgers = {records: (path.parent / rerun.LEDGER).stat().st_size for records, path in paths.items()}
        for number in range(rounds):
            for records, path in paths.items():
                found[records].append(rerun.compare(path, url, records))
                again = found[records][-1].again.wall_s
                say(f"round {number + 1} of {rounds}: a rerun of {records:,} records {again:.2f} s")
    for records in sizes:
        yield _resume_row(records, ledgers[records], found[records], found[sizes[0]], sizes[0])


def _settled(folder: Path, url: str, records: int) -> Path:
    folder.mkdir()
    path = write_input(folder / "input.jsonl", records)
    rerun.settle(path, url, records)
    return path


def _resume_row(
    records: int, ledger: int, found: Sequence[rerun.Rerun], small: Sequence[rerun.Rerun], smallest: int
) -> Row:
    pairs = list(zip(found, small, strict=True))
    itself = records == smallest
    return Row(
        what="resume: nothing left to do",
        size=f"{records:,} records, a ledger of {ledger / MEBI:,.1f} MiB",
        figure=f"{spread([one.again.wall_s for one in found], '.2f')} s, {max(one.requests for one in found)} requests",
        processor=f"{median(one.again.cpu_s for one in found):.2f} s",
        ratio="1.00" if itself else spread([one.again.wall_s / other.again.wall_s for one, other in pairs], ".2f"),
        by_processor=f"{median(one.again.cpu_s / other.again.cpu_s for one, other in pairs):.2f}",
        to="" if itself else f"its time to that of {smallest:,}",
        goal=f"at most {3 * median(one.hash_s for one in found) + 1:.2f} s, 0 requests",
    )


def crowding(records: int, most: int) -> Iterator[Row]:
    """Run the same records for one tenant, for a tenth of the most, and for the most."""
    with sink() as url:
        found = []
        for number in (1, max(most // 10, 2), most):
            found.append(tenants.cost(records, number, url))
            say(f"lanes, tenants {number:,}: {found[-1].job.wall_s:.1f} s")
    for one in found:
        yield _lanes_row(records, one, found[0])


def _lanes_row(records: int, found: tenants.Cost, single: tenants.Cost) -> Row:
    job, itself = found.job, found is single
    return Row(
        what="lanes: a whole run of so many tenants",
        size=f"{found.tenants:,} {'tenant' if itself else 'tenants'}, {records:,} records",
        figure=f"{job.peak_mib:.0f} MiB, {job.wall_s:.1f} s, {found.files or 'unknown'} files open",
        processor=f"{job.cpu_s:.1f} s",
        ratio=f"{job.peak_mib / single.job.peak_mib:.2f}",
        by_processor=f"{job.cpu_s / single.job.cpu_s:.2f}",
        to="" if itself else "its peak of memory, and its processor, to that of one",
        goal="" if itself else "memory at most 2.50",
    )
