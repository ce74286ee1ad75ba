"""The note in which a run says how it stands: one row of `meta`, JSON, there only while the run goes on.

Instants in it are epoch seconds. It is for people and their tools: nothing is decided by it.
This module must never tell a note as the present of a run that has ended or died.
"""

from __future__ import annotations

from collections import Counter
from typing import Final, NamedTuple

import orjson

from bulkstreams.core.waiting import Progress, Wait, WaitKind

NAME: Final = "progress"
"""Under which it stands in `meta`."""

WRITE: Final = "INSERT INTO meta VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value"
REMOVE: Final = "DELETE FROM meta WHERE name = ?"


class Note(NamedTuple):
    """How a run stood, by the epoch's clock, and when it said so."""

    run: int
    noted_at: float
    progress: Progress


def encode(note: Note) -> str:
    """Return a note as it is written."""
    progress = note.progress
    return orjson.dumps(
        {
            "run": note.run,
            "noted_at": note.noted_at,
            "ends_at": progress.ends_at,
            "at_least": progress.at_least,
            "stops_at": progress.stops_at,
            "allowed": progress.allowed,
            "lanes": progress.lanes,
            "unseated": progress.unseated,
            "counts": {kind.value: count for kind, count in progress.counts.items()},
            "waits": [
                {"tenant": name, "kind": wait.kind, "reason": wait.reason, "until": wait.until}
                for name, wait in progress.waits
            ],
        }
    ).decode()


def decode(text: str) -> Note:
    """Return what was written; raise ValueError where no run has written that."""
    try:
        found = orjson.loads(text)
        waits = tuple(
            (str(one["tenant"]), Wait(WaitKind(one["kind"]), str(one["reason"]), _instant(one["until"])))
            for one in found["waits"]
        )
        progress = Progress(
            lanes=int(found["lanes"]),
            unseated=int(found["unseated"]),
            waits=waits,
            counts=Counter({WaitKind(kind): int(count) for kind, count in found["counts"].items()}),
            allowed=_instant(found["allowed"]),
            ends_at=_instant(found["ends_at"]),
            at_least=bool(found["at_least"]),
            stops_at=_instant(found["stops_at"]),
        )
        return Note(int(found["run"]), float(found["noted_at"]), progress)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ValueError("no run has written this") from error


def _instant(value: float | None) -> float | None:
    return None if value is None else float(value)
