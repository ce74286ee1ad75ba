"""Whether a ledger is whole: asked before anything in it is believed.

A file that was sealed must be as it was sealed. One that was not, since its run died, must have the write-ahead log
that it needs, and that of no other file; then SQLite's own check and ours of each record must find nothing.
What damage can hide here, where the last run died: a value in a row that is as plausible as the right one; and the
last commits of its log, where that was cut short. So after a death a run looks at its tenants again before it sends.
This module must never write, and never repair.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing, suppress
from pathlib import Path
from typing import Final

from bulkstreams.core.errands import Fate, Kind
from bulkstreams.core.waiting import PAUSES
from bulkstreams.ledger import format as ledger_format
from bulkstreams.ledger import tables
from bulkstreams.ledger.in_force import decode
from bulkstreams.ledger.seal import Seal, intact, read_seal
from bulkstreams.ledger.wal import Log, read_log
from bulkstreams.model import State

_LOG: Final = "its write-ahead log (the file beside it that ends in -wal)"

_STATES: Final = ", ".join(f"'{state.value}'" for state in State)

_ODD: Final = f"""
    SELECT 1 FROM record
     WHERE state NOT IN ({_STATES}) OR anchor NOT IN ('created', 'exists')
        OR reading NOT IN (SELECT id FROM reading) OR run NOT IN (SELECT id FROM run)
        OR input NOT IN (SELECT id FROM input) OR tenant NOT IN (SELECT id FROM tenant)
        OR typeof(line) <> 'integer' OR typeof(offset) <> 'integer' OR typeof(length) <> 'integer'
        OR typeof(attempts) <> 'integer' OR recovered NOT IN (0, 1)
        OR typeof(digest) NOT IN ('blob', 'null') OR typeof(anchor_digest) NOT IN ('blob', 'null')
        OR typeof(http_status) NOT IN ('integer', 'null')
        OR NOT coalesce(first_sent_at, 0.0) BETWEEN 0 AND 1e11 OR NOT coalesce(intent_at, 0.0) BETWEEN 0 AND 1e11
        OR NOT coalesce(settled_at, 0.0) BETWEEN 0 AND 1e11 OR NOT coalesce(latency_ms, 0.0) BETWEEN 0 AND 1e11
        OR (key IS NULL) <> (state = 'duplicate' OR tenant IS NULL OR duplicate_of IS NOT NULL)
    UNION ALL
    SELECT 1 FROM run WHERE stopped IS NOT NULL AND NOT json_valid(stopped)
    LIMIT 1"""  # noqa: S608
"""What no run has ever written, in one pass over the records."""

_ODD_ERRAND: Final = f"""
    SELECT 1 FROM errand
     WHERE kind NOT IN ({", ".join(f"'{kind}'" for kind in Kind)})
        OR state NOT IN ({", ".join(f"'{fate}'" for fate in Fate)})
        OR record NOT IN (SELECT id FROM record) OR tenant NOT IN (SELECT id FROM tenant)
        OR run NOT IN (SELECT id FROM run) OR typeof(attempts) <> 'integer' OR typeof(remote_id) <> 'text'
        OR typeof(http_status) NOT IN ('integer', 'null')
        OR NOT coalesce(created_at, 0.0) BETWEEN 0 AND 1e11 OR NOT coalesce(intent_at, 0.0) BETWEEN 0 AND 1e11
        OR NOT coalesce(settled_at, 0.0) BETWEEN 0 AND 1e11 OR NOT coalesce(latency_ms, 0.0) BETWEEN 0 AND 1e11
     LIMIT 1"""  # noqa: S608
"""The same of errands, which ledgers of older formats do not have."""

_ODD_COURSE: Final = f"""
    SELECT 1 FROM course
     WHERE run NOT IN (SELECT id FROM run) OR NOT began_at BETWEEN 0 AND 1e11 OR NOT seconds BETWEEN 0 AND 1e11
        OR NOT coalesce(allowed, 0.0) BETWEEN 0 AND 1e11
        OR typeof(requests) <> 'integer' OR typeof(retries) <> 'integer'
        OR typeof(throttled) <> 'integer' OR typeof(lookups) <> 'integer'
    UNION ALL
    SELECT 1 FROM pause
     WHERE run NOT IN (SELECT id FROM run) OR tenant NOT IN (SELECT id FROM tenant)
        OR kind NOT IN ({", ".join(f"'{kind}'" for kind in PAUSES)}) OR typeof(pauses) <> 'integer'
        OR typeof(reason) <> 'text'
        OR NOT began_at BETWEEN 0 AND 1e11 OR NOT ended_at BETWEEN 0 AND 1e11 OR NOT seconds BETWEEN 0 AND 1e11
     LIMIT 1"""  # noqa: S608
"""The same of how runs went, which came with errands."""

_ODD_IN_FORCE: Final = """
    SELECT 1 FROM run WHERE typeof(command) NOT IN ('text', 'null') OR typeof(settings) NOT IN ('text', 'null')
     LIMIT 1"""
"""The same of what runs were told; that it says what it should, `decode` sees."""


def examine(path: Path) -> bool:
    """Return whether the ledger at `path` was closed in order.

    Raises LedgerFormatError where it is not whole, or not ours. No connection of this process may be open on it (see
    `format.check_header`), and nobody may write it meanwhile.
    """
    ledger_format.check_header(path)
    with ledger_format.told(path):
        alone = _alone(path)
        log = read_log(path.with_name(f"{path.name}-wal"))
        if log is not None and log.damaged:
            raise ledger_format.refusal(path, f"is damaged: {_LOG} does not add up in its middle")
        with closing(ledger_format.connect(path, read_only=True)) as db:
            db.execute("BEGIN")
            seal = read_seal(db)
            if seal is not None:
                _check_log(path, log, alone, seal)
            if seal is not None and seal.sum is not None:
                _check_sealed(db, path, log, seal)
                return True
            _check_unsealed(db, path)
            return False


def _alone(path: Path) -> Seal | None:
    """Return what the file says by itself; None where that cannot be told, as after a death in the midst of a fold."""
    with suppress(sqlite3.Error), closing(ledger_format.open_file(path, "ro&immutable=1")) as db:
        return read_seal(db)
    return None


def _check_log(path: Path, log: Log | None, alone: Seal | None, seal: Seal) -> None:
    if log is None and seal.needs_log:
        raise ledger_format.refusal(path, f"is not whole: {_LOG} is missing or was overwritten, and commits with it")
    # A program that folds the log while a run goes on has the run begin another, without the seal's page: then the file
    # itself says that it does without a log.
    foreign = log is not None and log.pages and seal.page not in log.pages and (alone is None or alone.needs_log)
    if foreign or (alone is not None and (seal.ledger != alone.ledger or seal.turn < alone.turn)):
        raise ledger_format.refusal(path, f"is not whole: {_LOG} belongs to another file, or to an older one")


def _check_sealed(db: sqlite3.Connection, path: Path, log: Log | None, seal: Seal) -> None:
    if (log is not None and log.pages - {seal.page}) or not intact(db, path, seal):
        raise ledger_format.refusal(path, "was changed by another program or is damaged: it is not as its run left it")


def _check_unsealed(db: sqlite3.Connection, path: Path) -> None:
    found = db.execute("PRAGMA integrity_check(1)").fetchone()[0]
    if found != "ok":
        raise ledger_format.refusal(path, f"is damaged ({found})")
    if db.execute(_ODD).fetchone() is not None:
        raise ledger_format.refusal(path, "is damaged: a record in it is none that a run has written")
    if not db.execute(tables.HAS_ERRANDS).fetchone():
        return
    if db.execute(_ODD_ERRAND).fetchone() is not None:
        raise ledger_format.refusal(path, "is damaged: an errand in it is none that a run has written")
    if db.execute(_ODD_COURSE).fetchone() is not None:
        raise ledger_format.refusal(path, "is damaged: the course of a run in it is none that a run has written")
    if not _in_force_is_whole(db):
        raise ledger_format.refusal(path, "is damaged: what was in force in a run in it is none that a run has written")


def _in_force_is_whole(db: sqlite3.Connection) -> bool:
    if db.execute(_ODD_IN_FORCE).fetchone() is not None:
        return False
    try:
        for (text,) in db.execute("SELECT settings FROM run WHERE settings IS NOT NULL"):
            decode(text)
    except ValueError:
        return False
    return True
