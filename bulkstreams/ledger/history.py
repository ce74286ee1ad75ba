"""What the ledger knows of how its records came to be what they are: runs, when each record was settled, the inputs.

The questions of a report. All of them are about one instant, whatever a run writes meanwhile, and each is answered in
constant memory. This module must never write.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final, NamedTuple

import orjson

from bulkstreams.core.course import Asked, Paused
from bulkstreams.core.waiting import PAUSES, WaitKind
from bulkstreams.ledger import format as ledger_format
from bulkstreams.ledger.reader import FAILURES, LedgerReader, Run

_BLOCK: Final = 5000

_PAUSES: Final = """
    FROM (SELECT tenant, kind, began_at, max(began_at, min(ended_at, :until)) AS ended_at,
                 max(0.0, min(seconds, seconds + :until - ended_at)) AS seconds, pauses, reason
            FROM pause WHERE run = :run) AS p JOIN tenant ON tenant.id = p.tenant"""
"""The pauses of one run, as far as it went on: one that it died in was to last longer."""

_PAUSE: Final = "tenant.name, kind, began_at, ended_at, seconds, pauses, reason"


class Settled(NamedTuple):
    """When and how a record was last settled; the instant is epoch seconds, the latency that of its last attempt."""

    run: int
    state: str
    settled_at: float
    latency_ms: float | None
    attempts: int
    recovered: int


class PauseSum(NamedTuple):
    """All pauses of one tenant in one run that are of a kind: how many, how long, and of the noted ones the longest."""

    pauses: int
    seconds: float
    longest: Paused


class ReadInput(NamedTuple):
    """An input of the newest whole reading; `fingerprint` tells the file, unchanged, from any other (see `source`)."""

    id: int
    path: str
    fingerprint: str | None
    records: int
    invalid: int


class History(LedgerReader):
    """A reader that also answers the questions of a report; a context manager, like any reader."""

    @contextmanager
    def one_instant(self) -> Iterator[None]:
        """Answer from the ledger as it is now, whatever is written while the context lasts."""
        with ledger_format.told(self.path):
            self._db.execute("BEGIN")
        try:
            yield
        finally:
            self._db.execute("ROLLBACK")

    def version(self) -> int:
        """Return the ledger's format."""
        return int(self._ask("PRAGMA user_version")[0][0])

    def run_count(self) -> int:
        """Return how many runs there were."""
        return int(self._ask("SELECT count(*) FROM run")[0][0])

    def runs(self, most: int) -> list[Run]:
        """Return the newest runs, at most so many, the oldest of them first."""
        return self._newest_runs(most)[::-1]

    def efforts(self) -> tuple[int, int, int, int]:
        """Return the requests, retries, 429s and look-ups of all runs together."""
        rows = self._ask(
            """SELECT coalesce(sum(requests), 0), coalesce(sum(retries), 0), coalesce(sum(throttled), 0),
                      coalesce(sum(lookups), 0) FROM run"""
        )
        return tuple(map(int, rows[0]))  # type: ignore[return-value]

    def last_settled(self, runs: Sequence[int]) -> dict[int, float]:
        """Return when each of these runs settled its last record, as far as no later one settled that again."""
        rows = self._ask(
            """SELECT run, max(settled_at) FROM record WHERE run IN (SELECT value FROM json_each(?))
                  AND settled_at IS NOT NULL GROUP BY run""",
            (orjson.dumps(list(runs)).decode(),),
        )
        return {int(run): float(at) for run, at in rows}

    def settled(self) -> Iterator[Settled]:
        """Yield the records of the newest reading that a run settled; those that are to be sent again are left out."""
        yield from map(
            Settled._make,
            self._stream(
                """SELECT run, state, settled_at, latency_ms, attempts, recovered FROM record
                    WHERE reading >= ? AND run IS NOT NULL AND settled_at IS NOT NULL
                      AND state NOT IN ('pending', 'in_flight')""",
                (self._whole_reading(),),
            ),
        )

    def asked(self) -> Iterator[tuple[int, Asked]]:
        """Yield what runs (by id) asked of their tenants over time; a ledger of an older format knows nothing of it."""
        if not self._has_errands():
            return iter(())
        sql = """SELECT run, began_at, seconds, requests, retries, throttled, lookups, allowed FROM course
                  ORDER BY run, began_at"""
        return ((row[0], Asked._make(row[1:])) for row in self._stream(sql, ()))

    def paused(self) -> Iterator[tuple[int, Paused]]:
        """Yield when nothing went to a tenant, by the run (its id) and the instant at which that began."""
        if not self._has_errands():
            return iter(())
        sql = """SELECT run, tenant.name, kind, began_at, ended_at, seconds, pauses, reason
                   FROM pause JOIN tenant ON tenant.id = pause.tenant ORDER BY run, began_at, pause.tenant, kind"""
        return ((row[0], self._pause(row[1:])) for row in self._stream(sql, ()))

    def last_sign(self, runs: Sequence[int]) -> dict[int, float]:
        """Return when each of these runs last asked anything or began to pause, as far as it noted that."""
        if not self._has_errands():
            return {}
        rows = self._ask(
            """SELECT run, max(at) FROM (
                   SELECT run, began_at + seconds AS at FROM course WHERE run IN (SELECT value FROM json_each(:runs))
                   UNION ALL SELECT run, began_at FROM pause WHERE run IN (SELECT value FROM json_each(:runs)))
                GROUP BY run""",
            {"runs": orjson.dumps(list(runs)).decode()},
        )
        return {int(run): float(at) for run, at in rows}

    def pause_sums(self, run: int, until: float) -> Iterator[PauseSum]:
        """Yield the sums of a run's pauses by tenant and kind; the run went on `until` then."""
        sql = f"""SELECT sum(pauses), sum(seconds), tenant.name, kind, began_at, ended_at, max(seconds), pauses, reason
                  {_PAUSES} GROUP BY p.tenant, kind ORDER BY p.tenant, kind"""
        yield from (PauseSum(row[0], row[1], self._pause(row[2:])) for row in self._pauses(sql, run, until))

    def longest_pauses(self, run: int, until: float, most: int) -> Iterator[Paused]:
        """Yield the longest pauses of a run, the longest first."""
        sql = f"SELECT {_PAUSE} {_PAUSES} ORDER BY seconds DESC, began_at, p.tenant LIMIT :most"
        yield from map(self._pause, self._pauses(sql, run, until, most=most))

    def pauses_of(self, run: int, until: float, tenants: Sequence[str]) -> Iterator[Paused]:
        """Yield the pauses of these tenants in a run: by tenant and kind, in order of time."""
        sql = f"""SELECT {_PAUSE} {_PAUSES}
                   WHERE p.tenant IN (SELECT id FROM tenant WHERE name IN (SELECT value FROM json_each(:tenants)))
                   ORDER BY p.tenant, kind, began_at"""  # noqa: S608
        yield from map(self._pause, self._pauses(sql, run, until, tenants=orjson.dumps(list(tenants)).decode()))

    def pauses_before(self, run: int) -> int:
        """Count the pauses of the runs before this one."""
        if not self._has_errands():
            return 0
        return int(self._ask("SELECT coalesce(sum(pauses), 0) FROM pause WHERE run < ?", (run,))[0][0])

    def _pauses(self, sql: str, run: int, until: float, **more: Any) -> Iterator[Any]:
        if not self._has_errands():
            return iter(())
        return self._stream(sql, {"run": run, "until": until, **more})

    def causes(self) -> int:
        """Return how many causes of failure there are, of which `failures` returns the most frequent."""
        rows = self._ask(
            """SELECT count(*) FROM (SELECT 1 FROM record WHERE reading >= ?
                  AND state IN (SELECT value FROM json_each(?)) GROUP BY state, http_status, error_code, message)""",
            (self._whole_reading(), orjson.dumps([state.value for state in FAILURES]).decode()),
        )
        return int(rows[0][0])

    def inputs(self) -> list[ReadInput]:
        """Return the inputs of the newest whole reading, in the order in which they were met."""
        reading = self._whole_reading()
        source = self._ask("SELECT source FROM reading WHERE id = ?", (reading,))
        try:
            prints = dict((self._json(source[0][0]) or {"inputs": []})["inputs"]) if source else {}
        except (KeyError, TypeError, ValueError):
            raise ledger_format.refusal(self.path, "is damaged: its reading is none that was written") from None
        rows = self._ask(
            """SELECT input.id, path, count(*), sum(state = 'invalid' OR error_code IS 'invalid')
                 FROM record JOIN input ON input.id = record.input
                WHERE record.reading >= ? GROUP BY input.id ORDER BY input.id""",
            (reading,),
        )
        return [ReadInput(id_, path, prints.get(path), count, invalid) for id_, path, count, invalid in rows]

    def definitions(self) -> Iterator[tuple[int, int, bytes | None]]:
        """Yield input, line and the digest of the definition (without its secrets), in the order of the inputs."""
        return self._stream(
            "SELECT input, line, digest FROM record WHERE reading >= ? ORDER BY input, line", (self._whole_reading(),)
        )

    def _stream(self, sql: str, values: Sequence[Any] | Mapping[str, Any]) -> Iterator[Any]:
        with ledger_format.told(self.path):
            cursor: sqlite3.Cursor = self._db.execute(sql, values)
            while block := cursor.fetchmany(_BLOCK):
                yield from block

    def _pause(self, row: Sequence[Any]) -> Paused:
        tenant, kind, *rest = row
        if kind not in PAUSES:
            raise ledger_format.refusal(self.path, f"is damaged: no pause can be {kind!r}")
        return Paused(tenant, WaitKind(kind), *rest)

    def _json(self, text: str | None) -> Any:
        try:
            return orjson.loads(text) if text else None
        except orjson.JSONDecodeError:
            raise ledger_format.refusal(self.path, "is damaged: a row in it is none that was written") from None
