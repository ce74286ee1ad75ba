"""The ledger as everybody else sees it: read-only, while a run goes on or after it.

Every total that anyone is shown is computed here, from the file. This module must never write, and never hold more
than a page of rows.
"""

from __future__ import annotations

import os
import re
import socket
import sqlite3
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final, NamedTuple, Self

import orjson
from filelock import FileLock, Timeout

from bulkstreams.core.errands import Fate, Kind
from bulkstreams.core.matching import part_of
from bulkstreams.errors import LedgerFormatError, LedgerWriteError
from bulkstreams.ledger import format as ledger_format
from bulkstreams.ledger import notes
from bulkstreams.ledger.damage import examine
from bulkstreams.ledger.errands import AT_TENANTS, MARK, UNDOABLE, Site, as_list
from bulkstreams.ledger.format import DEFAULT_TENANT
from bulkstreams.ledger.in_force import InForce, decode
from bulkstreams.ledger.notes import Note
from bulkstreams.ledger.seal import free_of_log
from bulkstreams.model import State, Status

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


class Failure(NamedTuple):
    """Failures with one cause: how many, and the first of them."""

    state: str
    http_status: int | None
    error_code: str | None
    message: str | None
    records: int
    file: str
    line: int
    key: str | None


class Totals(NamedTuple):
    """Counts of the newest reading's records, by state, and of those that the newest run created and recovered."""

    records: Mapping[State, int]
    created: int
    recovered: int

    @property
    def total(self) -> int:
        """Return the number of records of the input."""
        return sum(self.records.values())


class ErrandTotals(NamedTuple):
    """Counts of the errands of the newest command of a kind, by fate, and of those that the newest run settled."""

    fates: Mapping[Fate, int]
    this_run: Mapping[Fate, int]
    event: str | None = None
    last: tuple[int, float] = (0, 0.0)
    """The run that was last at work on them, and the instant (epoch seconds) of the last thing that it noted."""

    @property
    def total(self) -> int:
        """Return the number of errands."""
        return sum(self.fates.values())


class LedgerReader:
    """Read-only questions to the ledger at `path`; a context manager.

    Raises LedgerFormatError where there is no ledger at `path`, or one that cannot be read.
    """

    def __init__(self, path: Path) -> None:
        if not path.exists():
            raise LedgerFormatError(
                f"there is no ledger {path}.",
                hint="Name the file that `bulkstreams run` wrote: INPUT's stem + .ledger.db, in the folder it ran in.",
            )
        self.path = path
        self._examine()
        self._db = ledger_format.connect(path, read_only=True)

    def _examine(self) -> None:
        """See whether the ledger is whole, unless a live process holds it, which sees to that as it begins.

        That process may be this very one, and then `examine` would take its locks away.
        """
        if self.held():
            return
        try:
            examine(self.path)
        except LedgerFormatError:
            if not self.held():  # else a run has begun meanwhile, and what we saw was its work
                raise
        except OSError as error:
            raise LedgerWriteError(
                f"the ledger {self.path} cannot be read: {error.strerror or error}.",
                hint=f"Check who owns {self.path} and its folder.",
            ) from None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._db.close()

    def _ask(self, sql: str, values: Sequence[Any] | Mapping[str, Any] = ()) -> list[tuple[Any, ...]]:
        with ledger_format.told(self.path):
            return self._db.execute(sql, values).fetchall()

    def last_run(self) -> Run | None:
        """Return the newest run, or None before the first."""
        return next(iter(self._newest_runs(1)), None)

    def _newest_runs(self, most: int) -> list[Run]:
        """Return the newest runs, at most so many, the newest of them first."""
        told = "command, settings" if self._has_errands() else "NULL, NULL"
        rows = self._ask(
            f"""SELECT id, name, reading, pid, host, started_at, ended_at, exit_code, requests, retries, throttled,
                      lookups, stopped, {told} FROM run ORDER BY id DESC LIMIT ?""",  # noqa: S608
            (most,),
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

    def held(self) -> bool:
        """Return whether a live process writes this ledger."""
        lock = Path(f"{os.path.realpath(self.path)}.lock")
        if not lock.exists():
            return False
        try:
            with FileLock(lock, timeout=0, mode=0o600):
                return False
        except Timeout:
            return True
        except OSError:
            return False

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
        """Count the records, of any reading, of which a stream of our making stands or may stand at a tenant."""
        return int(
            self._ask(
                """SELECT count(*) FROM record WHERE state IN ('in_flight', 'in_doubt')
                      OR (anchor = 'created' AND remote_id IS NOT NULL)"""
            )[0][0]
        )

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

    # -- errands ------------------------------------------------------------------------------------------------------

    def errands(self, kind: Kind) -> ErrandTotals:
        """Count the errands of the newest command of a kind, the parts of it that were cut short included.

        Of smoke tests those that were delivered before count, too, and none whose stream is no longer there.
        """
        if not self._has_errands():
            return ErrandTotals({}, {})
        rows = self._ask(
            """SELECT state, count(*), sum(state <> 'pending' AND run = :run), max(event), max(run),
                      max(coalesce(settled_at, intent_at, 0)) FROM errand
                WHERE kind = :kind AND (run >= :since OR (kind = 'smoke' AND state = 'delivered'))
                  AND (kind <> 'smoke' OR EXISTS (
                          SELECT 1 FROM record WHERE record.id = errand.record AND anchor = 'created'
                             AND record.remote_id = errand.remote_id))
                GROUP BY state ORDER BY state""",
            {"kind": kind.value, "run": self._newest_run(), "since": self._since(kind)},
        )
        return ErrandTotals(
            fates={self._fate(state): count for state, count, *_ in rows},
            this_run={self._fate(state): now for state, _, now, *_ in rows if now},
            event=max((row[3] for row in rows if row[3] is not None), default=None),
            last=max(((run or 0, at) for *_, run, at in rows), default=(0, 0.0)),
        )

    def created(self, states: Collection[State] = UNDOABLE, tenants: Collection[str] | None = None) -> dict[str, Site]:
        """Count by tenant, of some or all, the streams that this ledger created and that, as far as it knows, stand.

        Records of every reading count: what is no longer in the input was created all the same.
        """
        rows = self._ask(
            f"""SELECT tenant.name, address, count(*) FROM record JOIN tenant ON tenant.id = record.tenant
                WHERE anchor = 'created' AND remote_id IS NOT NULL AND state IN (SELECT value FROM json_each(:states))
                  AND {AT_TENANTS} GROUP BY tenant.id ORDER BY tenant.id""",  # noqa: S608
            {"states": as_list(states), "tenants": None if tenants is None else as_list(tenants)},
        )
        return {str(name): Site(str(address), count) for name, address, count in rows}

    def undoing(self) -> int:
        """Count the records of the newest reading whose streams an undo that was cut short may have deleted."""
        if not self._has_errands():
            return 0
        rows = self._ask(
            """SELECT count(*) FROM errand JOIN record ON record.id = errand.record
                WHERE kind = 'undo' AND errand.intent_at IS NOT NULL AND errand.settled_at IS NULL
                  AND record.reading >= ? AND errand.remote_id = record.remote_id AND record.anchor = 'created'""",
            (self._whole_reading(),),
        )
        return int(rows[0][0])

    def doubtful(self) -> int:
        """Count the records, of every reading, of which nobody knows yet whether they were created."""
        return int(self._ask("SELECT count(*) FROM record WHERE state IN ('in_doubt', 'in_flight')")[0][0])

    def errand_failures(self, kind: Kind, most: int = 20) -> list[Failure]:
        """Group what the newest command of a kind could not do by cause, as `failures` does.

        Deliveries that failed alike at several endpoints have one cause.
        """
        if not self._has_errands():
            return []
        self._db.create_function("cause", 1, _without_urls, deterministic=True)
        rows = self._ask(
            """SELECT e.state, e.http_status, e.error_code, cause(e.message), count(*), file, min(line), key
                 FROM errand AS e JOIN results ON results.id = e.record
                WHERE e.kind = ? AND e.run >= ? AND e.state IN ('changed', 'failed', 'unconfirmed', 'gone')
                  AND e.remote_id = results.remote_id AND results.state <> 'undone'
                GROUP BY e.state, e.http_status, e.error_code, cause(e.message)
                ORDER BY count(*) DESC, min(line) LIMIT ?""",
            (kind.value, self._since(kind), most),
        )
        return [Failure(*row) for row in rows]

    def switched_off(self) -> int:
        """Count the streams that are off, as far as this ledger knows, of those whose test events nobody heard of."""
        if not self._has_errands():
            return 0
        rows = self._ask(
            """SELECT count(*) FROM errand AS e JOIN record ON record.id = e.record
                WHERE e.kind = 'smoke' AND e.state IN ('unconfirmed', 'pending') AND e.run >= :since
                  AND record.anchor = 'created' AND e.remote_id = record.remote_id
                  AND coalesce(record.status = 'disabled',
                               substr(coalesce(record.anchor_digest, record.digest), -length(:off)) = :off)""",
            {"since": self._since(Kind.SMOKE), "off": part_of(Status.DISABLED)},
        )
        return int(rows[0][0])

    def deliveries(self, ids: Sequence[int]) -> dict[int, tuple[str, str | None]]:
        """Return what became of the test events for the streams of these records, as the newest test of each has it.

        That is its fate, and what was said about it.
        """
        rows = self._ask(
            """SELECT record, errand.state, errand.message FROM errand JOIN record ON record.id = errand.record
                WHERE kind = 'smoke' AND errand.remote_id = record.remote_id
                  AND record IN (SELECT value FROM json_each(?))""",
            (orjson.dumps(list(ids)).decode(),),
        )
        return {record: (self._fate(state).value, message) for record, state, message in rows}

    def has_deliveries(self) -> bool:
        """Return whether test events were ever to be sent."""
        return self._has_errands() and bool(self._ask("SELECT 1 FROM errand WHERE kind = 'smoke' LIMIT 1"))

    def _has_errands(self) -> bool:
        """Return whether the ledger is of a format that knows of errands, and of what was in force in a run."""
        return bool(self._ask(ledger_format.HAS_ERRANDS))

    def _since(self, kind: Kind) -> int:
        rows = self._ask("SELECT value FROM meta WHERE name = ?", (MARK + kind,))
        try:
            return int(rows[0][0]) if rows else 0
        except ValueError:
            raise ledger_format.refusal(self.path, "is damaged: no command can have begun as it says") from None

    def _fate(self, text: str) -> Fate:
        try:
            return Fate(text)
        except ValueError:
            raise ledger_format.refusal(self.path, f"is damaged: no errand can be {text!r}") from None

    def copy_to(self, target: sqlite3.Connection) -> None:
        """Copy the whole ledger, as it is now, into another database; the copy needs no write-ahead log."""
        with ledger_format.told(self.path):
            self._db.backup(target)
            free_of_log(target)

    def _state(self, text: str) -> State:
        try:
            return State(text)
        except ValueError:
            raise ledger_format.refusal(self.path, f"is damaged: there is no state {text!r}") from None

    def _newest_run(self) -> int:
        return int(self._ask("SELECT coalesce(max(id), 0) FROM run")[0][0])

    def _whole_reading(self) -> int:
        """Return the newest reading that came to its end: one that was cut off has not met all there is."""
        return int(self._ask("SELECT coalesce(max(id), 0) FROM reading WHERE completed_at IS NOT NULL")[0][0])


_URL: Final = re.compile(r"""https?://[^\s"']+""")


def _without_urls(text: str | None) -> str | None:
    return None if text is None else _URL.sub("…", text)


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
