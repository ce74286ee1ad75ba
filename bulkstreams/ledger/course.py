"""How a run went over time: what it asked of its tenants, and when nothing went to one of them.

No total comes from it, since the last second of a run that died is not there.
This module must never write a row for each request.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from typing import Final

import orjson

from bulkstreams.core.course import Asked, Paused

_ASKED: Final = """
    INSERT INTO course SELECT ?, json_extract(value, '$[0]'), json_extract(value, '$[1]'), json_extract(value, '$[2]'),
                              json_extract(value, '$[3]'), json_extract(value, '$[4]'), json_extract(value, '$[5]'),
                              json_extract(value, '$[6]') FROM json_each(?) WHERE true
        ON CONFLICT DO UPDATE SET seconds = max(seconds, excluded.seconds),
                                  allowed = coalesce(excluded.allowed, allowed),
                                  requests = requests + excluded.requests, retries = retries + excluded.retries,
                                  throttled = throttled + excluded.throttled, lookups = lookups + excluded.lookups"""

_PAUSED: Final = """
    INSERT INTO pause SELECT ?, tenant.id, json_extract(value, '$[1]'), json_extract(value, '$[2]'),
                             json_extract(value, '$[3]'), json_extract(value, '$[4]'), json_extract(value, '$[5]'),
                             json_extract(value, '$[6]')
                        FROM json_each(?) JOIN tenant ON tenant.name = json_extract(value, '$[0]')
        ON CONFLICT DO UPDATE SET ended_at = excluded.ended_at, seconds = excluded.seconds, pauses = excluded.pauses,
                                  reason = excluded.reason"""


def note(db: sqlite3.Connection, run: int, asked: Sequence[Asked], paused: Sequence[Paused]) -> None:
    """Write how a run went; pauses that began as one that is there already take its place.

    What was asked since a stretch that is there already began is added to it.
    """
    for sql, rows in ((_ASKED, asked), (_PAUSED, paused)):
        if rows:
            db.execute(sql, (run, _json(rows)))


def _json(rows: Iterable[tuple[object, ...]]) -> str:
    return orjson.dumps([tuple(row) for row in rows]).decode()
