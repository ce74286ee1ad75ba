"""Lines into records: those that are new, those that are known, those that read differently now, and duplicates.

As in `statements`, these are plain functions of a connection, and a batch is one step of SQLite wherever the table of
`core.lifecycle` calls its lines "nothing new"; only what that leaves goes through the table, line by line. This module
must never choose a state itself.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from functools import lru_cache
from typing import Final, NamedTuple

from bulkstreams.core.lifecycle import Anchor, reading, step
from bulkstreams.core.matching import differing
from bulkstreams.ledger.statements import MAX_VARIABLES, as_values, tell_apart
from bulkstreams.model import Event, State


class Row(NamedTuple):
    """One line of the input as `ingest` takes it: the columns of `record` that it brings.

    `tenant` is the id that `Ledger.tenant` gave; a line too broken to have a key has neither.
    """

    tenant: int | None
    key: str | None
    name: str | None
    input: int
    line: int
    offset: int
    length: int
    reading: int
    state: str
    digest: bytes | None
    error_code: str | None = None
    message: str | None = None
    duplicate_of: int | None = None


class Duplicate(NamedTuple):
    """A second line with the same key: where it stands, and where the first does (input id, line)."""

    row: Row
    first: tuple[int, int]


BATCH: Final = MAX_VARIABLES // len(Row._fields)
"""The most rows that one `ingest` takes."""


@lru_cache(maxsize=16)
def _ingest_sql(rows: int, own: tuple[str, ...]) -> str:
    """Return the statement that takes the `own` values of so many rows, then those that they share."""
    fields = ", ".join(Row._fields)
    values = ", ".join(f"v.{field}" if field in own else "?" for field in Row._fields)
    # The same line, read again: only where it stands can have changed. All else goes the slow way, through the table.
    return f"""
        INSERT INTO record ({fields}) {as_values(rows, own)} SELECT {values} FROM v WHERE true
        ON CONFLICT (tenant, key) DO UPDATE SET
            input = excluded.input, line = excluded.line, offset = excluded.offset, length = excluded.length,
            reading = excluded.reading
        WHERE record.reading < excluded.reading AND record.digest IS excluded.digest
          AND record.state NOT IN ('invalid', 'conflict') AND record.error_code IS NOT 'invalid'
          AND excluded.state = 'pending'"""  # noqa: S608


def ingest(db: sqlite3.Connection, rows: Sequence[Row]) -> list[Duplicate]:
    """Add the records that are new, note where the known ones stand now, and return the lines that are duplicates."""
    own, values, shared = tell_apart(rows, always="line")
    done = db.execute(_ingest_sql(len(rows), own), [*values, *shared.values()]).rowcount
    if done == len(rows):
        return []
    return [duplicate for row in rows if row.key is not None and (duplicate := _reconsider(db, row))]


_KNOWN: Final = """
    SELECT id, input, line, reading, state, digest, anchor, coalesce(anchor_digest, digest)
      FROM record WHERE tenant = ? AND key = ?"""


def _reconsider(db: sqlite3.Connection, row: Row) -> Duplicate | None:
    """Settle one line that the fast path passed over: a duplicate, or a known record whose line changed."""
    id_, input_, line, read, *known = db.execute(_KNOWN, (row.tenant, row.key)).fetchone()
    if read == row.reading:
        if (input_, line) == (row.input, row.line):
            return None
        return _add_duplicate(db, row, id_, (input_, line))
    _move(db, row, id_, *known)
    return None


def _add_duplicate(db: sqlite3.Connection, row: Row, first: int, at: tuple[int, int]) -> Duplicate | None:
    columns = ", ".join(Row._fields)
    marks = ", ".join("?" * len(Row._fields))
    path = db.execute("SELECT path FROM input WHERE id = ?", (at[0],)).fetchone()[0]
    invalid = row.state == State.INVALID
    again = row._replace(
        key=None,
        state=row.state if invalid else State.DUPLICATE.value,
        message=row.message if invalid else f"the same key as {path}:{at[1]}",
        duplicate_of=first,
    )
    db.execute(f"INSERT INTO record ({columns}) VALUES ({marks})", again)  # noqa: S608
    return None if invalid else Duplicate(row, at)


def _move(
    db: sqlite3.Connection, row: Row, id_: int, state: str, digest: bytes, anchor: str | None, anchored: bytes
) -> None:
    """Take a known record through the table: its line reads differently from the last time, or may again be valid."""
    valid = row.state != State.INVALID
    now = State(state)
    event = reading(
        now,
        _anchor(anchor),
        valid=valid,
        same_as_anchor=row.digest == anchored,
        same=row.digest == digest,
    )
    after = now if event is None else step(now, event)
    message = _difference(anchored, row.digest, anchor) if after is State.CONFLICT and anchor else row.message
    fresh = after is State.PENDING and now is not State.PENDING
    # What is in doubt keeps its state, but if its line is no longer valid, that is told once the doubt is cleared.
    keeps = (
        after is now
        and not (after is State.IN_DOUBT and not valid)
        and after is not State.INVALID
        and not (after is State.CONFLICT and anchor)
    )
    told = ", error_code = :error_code, message = :message"
    if keeps:
        told = _NO_LONGER_INVALID if valid and now is State.IN_DOUBT else ""
    if event is Event.LINE_CHANGED and after is State.PENDING:
        db.execute("UPDATE tenant SET surveyed = NULL WHERE id = ?", (row.tenant,))  # it is another stream now
    db.execute(  # what is put into the text below is fixed text, never a value
        f"""UPDATE record SET input = :input, line = :line, offset = :offset, length = :length, reading = :reading,
              state = :after, digest = coalesce(:digest, digest),
              name = CASE WHEN :digest IS NULL THEN coalesce(:name, name) ELSE :name END,
              anchor_name = CASE WHEN anchor_digest IS NULL THEN name ELSE anchor_name END,
              anchor_digest = CASE WHEN anchor IS NULL AND state <> 'in_doubt' THEN NULL
                                   ELSE coalesce(anchor_digest, digest) END
              {told}
              {", attempts = 0, http_status = NULL, ours_since = NULL" if fresh else ""}
            WHERE id = :id""",  # noqa: S608
        {**row._asdict(), "after": after.value, "id": id_, "message": message},
    )


_NO_LONGER_INVALID: Final = """
              , message = CASE WHEN error_code IS 'invalid' THEN NULL ELSE message END
              , error_code = nullif(error_code, 'invalid')"""


def _anchor(text: str | None) -> Anchor:
    if text == State.CREATED:
        return State.CREATED
    return State.EXISTS if text == State.EXISTS else None


def _difference(anchored: bytes, digest: bytes | None, anchor: str) -> str:
    parts = differing(anchored, digest or b"")
    stands = "was created" if anchor == State.CREATED else "was found at the tenant"
    return f"the line changed after its stream {stands}: {', '.join(parts)} differ; nothing was sent"
