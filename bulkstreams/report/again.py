"""The exact command that goes on with what was done to streams and left unfinished, as its run was told to do it.

An advice is often followed unread, and with `--yes`. This module must never give a command that reaches further than
the one it goes on with: where the ledger does not know what was asked, it gives none.
"""

from __future__ import annotations

import shlex
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Final

from bulkstreams.core.errands import ASKED, Kind
from bulkstreams.errors import LedgerError
from bulkstreams.ledger import InForce, LedgerReader, Setting, Value

_FLAGS: Final = {
    "state": "--state",
    "tenant": "--tenant",
    "force": "--force",
    "limit": "--limit",
    "patience_s": "--patience",
    "allow_unknown_events": "--allow-unknown-events",
    "rate": "--rate",
    "burst": "--burst",
    "reserve": "--reserve",
    "concurrency": "--concurrency",
    "retries": "--retries",
    "timeout_s": "--timeout",
    "deadline_s": "--deadline",
    "max_failures": "--max-failures",
    "config": "--config",
}
"""What is said again where a flag said it; what a variable or a file said, those say again."""

_OF_TESTS: Final = frozenset({"patience_s", "allow_unknown_events"})
_OF_RUNS: Final = frozenset({"limit", "retries", "timeout_s", "max_failures"})
"""What a run was told of its creates, and means none of its test events."""


def to_go_on(reader: LedgerReader, kind: Kind) -> str:
    """Return the command that goes on with the newest one of a kind, or words where it is not known what that was."""
    run = reader.newest_of(kind)
    if run is None or run.settings is None:
        return _same(kind)
    told, first = run.settings, ASKED[kind]
    tests = [_event(told)] if kind is Kind.SMOKE else []
    if None in tests:
        return _same(kind)
    events = [part for event in tests for part in ("--event", str(event))]
    without = _OF_RUNS if run.command == "run" else ()
    return _command(first, reader.path, [*events, *_said(told, without)])


def to_end_undo(ledger: str) -> str:
    """Return the command that goes on with the newest undo of a ledger, as `to_go_on`."""
    try:
        with LedgerReader(Path(ledger)) as reader:
            return to_go_on(reader, Kind.UNDO)
    except LedgerError:  # how a command ended is told whatever has become of its ledger since
        return _same(Kind.UNDO)


def to_switch_on(ledger: str) -> str:
    """Return the command that switches on what the newest test of a ledger was for, and no stream beside that."""
    try:
        with LedgerReader(Path(ledger)) as reader:
            run = reader.newest_of(Kind.SMOKE)
    except LedgerError:
        run = None
    if run is None or run.settings is None:
        return "switch them on"
    without = _OF_TESTS | (_OF_RUNS if run.command == "run" else frozenset())
    return _command(ASKED[Kind.ENABLE], Path(ledger), list(_said(run.settings, without)))


def _same(kind: Kind) -> str:
    return f"give the same {' '.join(ASKED[kind])} command again"


def _command(asked: tuple[str, ...], ledger: Path, flags: list[str]) -> str:
    first, *own = asked
    return shlex.join(["bulkstreams", first, str(ledger), *own, *flags])


def _event(told: InForce) -> Value:
    """Return the type of the test event: what `smoke` calls `event`, a run calls `smoke`."""
    found = told.settings.get("event") or told.settings.get("smoke")
    return None if found is None else found.value


def _said(told: InForce, without: Collection[str] = ()) -> Iterator[str]:
    """Yield the flags that were given, and what they were given."""
    for name, flag in _FLAGS.items():
        one = told.settings.get(name)
        if one is not None and name not in without and one.origin.startswith("--"):
            yield from _given(name, flag, one)


def _given(name: str, flag: str, one: Setting) -> list[str]:
    if isinstance(one.value, bool):
        return [flag] if one.value else []
    if isinstance(one.value, float):
        return [flag, f"{one.value * 100:.10g}%" if name == "reserve" else f"{one.value:.10g}"]
    return [flag, str(one.value).replace(", ", ",") if name == "state" else str(one.value)]
