"""The runs of a ledger: one begins, notes how it stands while it goes on, and ends in order or leaves doubts behind.

These are plain functions of a connection, run by `writer` in its thread, inside its transaction. This module must
never take a run that left no exit code for one that ended.
"""

from __future__ import annotations

import os
import socket
import sqlite3
from collections.abc import Mapping
from typing import Final

import orjson

from bulkstreams.core.lifecycle import step
from bulkstreams.errors import ExitCode
from bulkstreams.ledger import notes
from bulkstreams.ledger.in_force import InForce, encode
from bulkstreams.model import Event, State

_SETTLED_ALL: Final = frozenset({ExitCode.OK, ExitCode.FAILURES, ExitCode.IN_DOUBT})
"""Exit codes after which nothing can be in flight; a run that was cut off has another, or none."""


def begin(
    db: sqlite3.Connection,
    name: str,
    now: float,
    command: str | None = None,
    settings: InForce | None = None,
    *,
    closed_in_order: bool,
) -> int:
    """Begin a run and return its id: what a process that died left in flight is in doubt from here on.

    After a death nobody can tell whether the last commits of its log are still there (a disk may have lied, a copy
    may be short), so each tenant is looked at again before anything is sent there.
    """
    db.execute(notes.REMOVE, (notes.NAME,))
    if not closed_in_order:
        db.execute("UPDATE tenant SET surveyed = NULL")
    row = db.execute("SELECT exit_code FROM run ORDER BY id DESC LIMIT 1").fetchone()
    if row is not None and row[0] not in _SETTLED_ALL:
        doubtful = step(State.IN_FLIGHT, Event.RESUMED)
        db.execute(
            """UPDATE record SET state = ?, attempts = attempts + 1, settled_at = ?,
                      first_sent_at = coalesce(first_sent_at, intent_at)
                WHERE state = 'in_flight'""",
            (doubtful, now),
        )
    told = None if settings is None else encode(settings)
    return int(
        db.execute(
            """INSERT INTO run (name, pid, host, command, settings, started_at)
               VALUES (?, ?, ?, ?, ?, ?) RETURNING id""",
            (name, os.getpid(), socket.gethostname(), command, told, now),
        ).fetchone()[0]
    )


def end(db: sqlite3.Connection, run: int, now: float, exit_code: int, stopped: Mapping[str, str]) -> None:
    """Note that a run ended in order, with the tenants that it stopped and why."""
    db.execute(notes.REMOVE, (notes.NAME,))
    db.execute(
        "UPDATE run SET ended_at = ?, exit_code = ?, stopped = ? WHERE id = ?",
        (now, exit_code, orjson.dumps(dict(stopped)).decode() if stopped else None, run),
    )
