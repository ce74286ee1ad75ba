"""The ledger as everybody else sees it: read-only, while a run goes on or after it.

Every total that anyone is shown is computed here, from the file. This module must never write, and never hold more
than a page of rows.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

import orjson

from bulkstreams.core.errands import ASKED, OPPOSITE, Kind
from bulkstreams.ledger import format as ledger_format
from bulkstreams.ledger import notes
from bulkstreams.ledger.afterwards import ErrandReader, Failure
from bulkstreams.ledger.in_force import InForce, decode
from bulkstreams.ledger.notes import Note
from bulkstreams.ledger.tenants import DEFAULT_TENANT
from bulkstreams.model import State

RESULT_COLUMNS: Final = (
    "file", "line", "key", "tenant", "name", "state", "remote_id", "attempts", "http_status", "error_code",
    "message", "first_sent_at", "settled_at", "latency_ms", "recovered",
)  # fmt: skip


FAILURES: Final = (State.CONFLICT, State.REFUSED, State.EXHAUSTED, State.INVALID, State.IN_DOUBT)
"""What somebody has to look at."""


class Result(NamedTuple):
    """One record as the ledger holds it; instants are epoch seconds, `offset` and `length` are bytes of the input."""

    file: str
    line: int
    key: str | None
    tenant: str | None
    name: str | None
    state: str
    remote_id: str | None
    attempts: int
    http_status: int | None
    error_code: str | None
    message: str | None
    first_sent_at: float | None
    settled_at: float | None
    latency_ms: float | None
    recovered: int
    id: int
    offset: int
    length: int
    digest: bytes | None
    delivery: str | None = None
    """What became of its stream's test event; empty: it was sent none; None: the ledger knows of no such events."""
    delivery_message: str | None = None


_OWN: Final = Result._fields[:-2]
"""What a result has of its record."""


class Run(NamedTuple):
    """One run as the ledger holds it; `ended_at` is None where it goes on or its process died.

    `command` and `settings`, what was in force, are None in ledgers, or of runs, that knew nothing of them yet.
    """

    id: int
    name: str
    reading: int | None
    pid: int
    host: str
    started_at: float
    ended_at: float | None
    exit_code: int | None
    requests: int
    retries: int
    throttled: int
    lookups: int
    stopped: Mapping[str, str]
    command: str | None = None
    settings: InForce | None = None


class Totals(NamedTuple):
    """Counts of the newest reading's records, by state, and of those that the newest run created and recovered."""

    records: Mapping[State, int]
    created: int
    recovered: int

    @property
    def total(self) -> int:
        """Return the number of records of the input."""
        return sum(self.records.values())


class LedgerReader(ErrandReader):
    """Read-only questions to the ledger at `path`, those of errands among them; a context manager.

    Raises LedgerFormatError where there is no ledger at `path`, or one that cannot be read.
    """

    def last_run(self) -> Run | None:
        """Return the newest run, or None before the first."""
        return next(iter(self._newest_runs(1)), None)

    def newest_of(self, kind: Kind) -> Run | None:
        """Return the newest run that was asked for errands of a kind, if any was; a run may have test events beside."""
        if not self._has_errands():
            return None
        which = "command = :command"
        if kind in OPPOSITE:
            which += " AND json_extract(settings, '$.settings.off.value') = :off"
        if kind is Kind.SMOKE:
            which += " OR (command = 'run' AND json_extract(settings, '$.settings.smoke.value') IS NOT NULL)"
        values = {"command": ASKED[kind][0], "off": kind is Kind.DISABLE}
        return next(iter(self._newest_runs(1, which, values)), None)

    def _newest_runs(self, most: int, which: str = "1", values: Mapping[str, Any] | None = None) -> list[Run]:
        """Return the newest runs, of `which` (SQL, of these values), at most so many, the newest of them first."""
        told = "command, settings" if self._has_errands() else "NULL, NULL"
        rows = self._ask(
            f"""SELECT id, name, reading, pid, host, started_at, ended_at, exit_code, requests, retries, throttled,
                      lookups, stopped, {told} FROM run WHERE {which} ORDER BY id DESC LIMIT :most""",  # noqa: S608
            {**(values or {}), "most": most},
        )
        try:
            return [
                Run._make((*own, orjson.loads(stopped or "{}"), command, None if text is None else decode(text)))
                for *own, stopped, command, text in rows
            ]
        except ValueError:
            raise ledger_format.refusal(self.path, "is damaged: a run in it is none that was written") from None

    def note(self) -> Note | None:
        """Return how the run that goes on stands, as it noted last; None where none does, or it noted nothing yet."""
        rows, run = self._ask("SELECT value FROM meta WHERE name = ?", (notes.NAME,)), self.last_run()
        if not rows or run is None or not self.goes_on(run):
            return None
        try:
            note = notes.decode(rows[0][0])
        except ValueError:
            raise ledger_format.refusal(self.path, "is damaged: its run cannot have noted what stands there") from None
        return note if note.run == run.id else None

    def goes_on(self, run: Run) -> bool:
        """Return whether the newest run goes on: whoever holds the ledger may have another's death to look at first."""
        return run.ended_at is None and self.held() and not _is_dead(run)

    def totals(self) -> Totals:
        """Count the records of the newest whole reading, and what a later one has met so far."""
        rows = self._ask(
            """SELECT state, count(*), sum(state = 'created' AND run = :run),
                      sum(state = 'created' AND run = :run AND recovered)
                 FROM record WHERE reading >= :reading GROUP BY state""",
            {"run": self._newest_run(), "reading": self._whole_reading()},
        )
        return Totals(
            records={self._state(state): count for state, count, *_ in rows},
            created=sum(created or 0 for _, _, created, _ in rows),
            recovered=sum(recovered or 0 for *_, recovered in rows),
        )

    def by_tenant(self) -> dict[str, dict[State, int]]:
        """Count the same records by tenant and state; lines without a tenant stand under ''."""
        counts: dict[str, dict[State, int]] = {}
        for tenant, state, count in self._ask(
            """SELECT coalesce(name, ''), state, n FROM (SELECT tenant, state, count(*) AS n FROM record
                WHERE reading >= ? GROUP BY tenant, state) AS c LEFT JOIN tenant ON tenant.id = c.tenant
                ORDER BY name, state""",
            (self._whole_reading(),),
        ):
            counts.setdefault(tenant, {})[self._state(state)] = count
        return counts

    def addresses(self) -> dict[str, str]:
        """Return where each tenant of this ledger is."""
        rows = self._ask("SELECT name, address FROM tenant ORDER BY name")
        return {str(name): str(address) for name, address in rows}

    def sources(self) -> list[str]:
        """Return what each reading was of, in order: a description that only the one who began it understands."""
        return [str(source) for (source,) in self._ask("SELECT source FROM reading ORDER BY id")]

    def unsettled_at_tenants(self) -> int:
        """Count the records, of any reading, of which a stream of our making stands or may stand at a tenant.

        Those do not count of whose streams an undo found that somebody has changed them: they are his by now.
        """
        return (
            int(
                self._ask(
                    """SELECT count(*) FROM record WHERE state IN ('in_flight', 'in_doubt')
                      OR (anchor = 'created' AND remote_id IS NOT NULL)"""
                )[0][0]
            )
            - self.changed_since()
        )

    def newest_reading(self) -> int:
        """Return the id of the newest reading that came to its end."""
        return self._whole_reading()

    def default_address(self) -> str | None:
        """Return where the tenant of lines that name none is; None where there were no such lines."""
        rows = self._ask("SELECT value FROM meta WHERE name = ?", (DEFAULT_TENANT,))
        return str(rows[0][0]) if rows else None

    def failures(self, most: int = 20, states: Iterable[State] = FAILURES) -> list[Failure]:
        """Group what failed or is in doubt by cause, most frequent first, each with its first record as an example."""
        rows = self._ask(
            """SELECT state, http_status, error_code, message, count(*), file, min(line), key FROM results
                WHERE reading >= ? AND state IN (SELECT value FROM json_each(?))
                GROUP BY state, http_status, error_code, message ORDER BY count(*) DESC, min(line) LIMIT ?""",
            (self._whole_reading(), orjson.dumps([state.value for state in states]).decode(), most),
        )
        return [Failure(*row) for row in rows]

    def results(self, states: Iterable[State] = (), *, page: int = 1000) -> Iterator[Result]:
        """Yield the same records as they were first met, those in `states` if any are named."""
        wanted = orjson.dumps([str(state) for state in states]).decode()
        columns, tested = ", ".join(_OWN), self.has_deliveries()
        after = 0
        reading = self._whole_reading()
        while rows := self._ask(
            f"""SELECT {columns} FROM results WHERE reading >= ? AND id > ?
                  AND (? = '[]' OR state IN (SELECT value FROM json_each(?))) ORDER BY id LIMIT ?""",  # noqa: S608
            (reading, after, wanted, wanted, page),
        ):
            found = [Result(*row) for row in rows]
            after = found[-1].id
            known = self.deliveries([one.id for one in found]) if tested else {}
            for one in found:
                delivery, message = known.get(one.id, ("", None))
                yield one._replace(delivery=delivery, delivery_message=message) if tested else one

    def standing(self, *, page: int = 1000) -> Iterator[Result]:
        """Yield those of the same records for which a stream stands at the tenant, in the same order.

        In conflict, that is the stream which differs; of a record whose line went bad, the one that was made of it.
        """
        columns = ", ".join(_OWN)
        after = 0
        reading = self._whole_reading()
        while rows := self._ask(
            f"""SELECT {columns} FROM results WHERE reading >= ? AND id > ? AND remote_id IS NOT NULL
                  AND (state IN ('created', 'exists', 'conflict')
                       OR (SELECT anchor FROM record WHERE record.id = results.id) IS NOT NULL)
                ORDER BY id LIMIT ?""",  # noqa: S608
            (reading, after, page),
        ):
            yield from (Result(*row) for row in rows)
            after = rows[-1][_OWN.index("id")]

    def by_id(self, ids: Sequence[int]) -> list[Result]:
        """Return the records of these ids."""
        columns = ", ".join(_OWN)
        return [
            Result(*row)
            for row in self._ask(
                f"SELECT {columns} FROM results WHERE id IN (SELECT value FROM json_each(?)) ORDER BY id",  # noqa: S608
                (orjson.dumps(ids).decode(),),
            )
        ]

    def _state(self, text: str) -> State:
        try:
            return State(text)
        except ValueError:
            raise ledger_format.refusal(self.path, f"is damaged: there is no state {text!r}") from None


def _is_dead(run: Run) -> bool:
    """Return whether a run's process is gone for certain: another may hold the ledger by now and not have begun yet."""
    if run.host != socket.gethostname():
        return False
    try:
        os.kill(run.pid, 0)
    except ProcessLookupError:
        return True
    except OSError:
        pass  # it is there, and somebody else's
    return False
