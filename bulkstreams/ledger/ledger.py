"""The ledger as its one writing process sees it: the lease, the readings, and `ingest`, `claim`, `settle`.

`claim` and `settle` are all that a sender needs. Every method that writes returns only when what it wrote is on disk.
This module must never hold a record in memory for longer than a call, nor learn a secret.
"""

from __future__ import annotations

import os
import socket
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Final, Self
from uuid import uuid4

import orjson
from filelock import FileLock, Timeout

from bulkstreams.core.errands import Kind
from bulkstreams.core.lifecycle import step
from bulkstreams.core.metrics import Tally
from bulkstreams.core.waiting import Progress
from bulkstreams.errors import ExitCode, LedgerAddressError, LedgerHeldError, LedgerWriteError
from bulkstreams.ledger import course, notes, statements
from bulkstreams.ledger import format as ledger_format
from bulkstreams.ledger.course import Asked, Paused
from bulkstreams.ledger.damage import examine
from bulkstreams.ledger.errands import ErrandBook
from bulkstreams.ledger.format import DEFAULT_TENANT
from bulkstreams.ledger.in_force import InForce, encode
from bulkstreams.ledger.statements import Duplicate, Row
from bulkstreams.ledger.writer import Writer
from bulkstreams.model import Claim, Doubt, Event, Pending, Settlement, State, TenantName

_SETTLED_ALL: Final = frozenset({ExitCode.OK, ExitCode.FAILURES, ExitCode.IN_DOUBT})
"""Exit codes after which nothing can be in flight; a run that was cut off has another, or none."""

MOST_UNSENT: Final = 10_000
"""Records that one page of a tenant's streams can decide: as many as may stand for a single nameless stream."""

MOST_SCANS: Final = 3
"""Times that a process looks at every record for the streams of some, before an index is worth its making."""


class Ledger:
    """The ledger at `path`, held by this process until `close`. Open it inside a running event loop."""

    def __init__(self, path: Path, lease: FileLock, writer: Writer, *, closed_in_order: bool = True) -> None:
        self.path = path
        self._lease = lease
        self._writer = writer
        self._closed_in_order = closed_in_order
        self._tenants: dict[str, int] = {}
        self._scans = 0
        self.run_id = 0
        self.run_name = ""
        self.reading_id = 0

    @classmethod
    def open(cls, path: Path) -> Self:
        """Open or create the ledger at `path` and take its lease.

        Raises LedgerHeldError (a live process has it), LedgerFormatError (damaged, foreign, newer), LedgerWriteError.
        """
        lease = _take_lease(path)
        try:
            ledger_format.ensure(path)
            in_order = examine(path)
            return cls(path, lease, Writer(path), closed_in_order=in_order)
        except BaseException:
            lease.release()
            raise

    def close(self) -> None:
        """Finish what is queued, close the file, give the lease back."""
        self._writer.close()
        self._lease.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    # -- tenants and inputs -------------------------------------------------------------------------------------------

    async def bind(self, default: str) -> None:
        """Note `default`, the address of the tenant of lines that name none.

        Raises LedgerAddressError where this ledger was made for other addresses: its records would be taken for done
        at a tenant that never saw them.
        """
        await self._writer.do(lambda db: _check_address(db, self.path, default))

    async def tenant(self, name: str, address: str) -> int:
        """Return the ledger's id of a tenant; the first call of a name notes its address, later ones check it."""
        return (await self.tenants([(name, address)]))[name]

    async def tenants(self, located: Iterable[tuple[str, str]]) -> Mapping[str, int]:
        """Return the ids of all tenants met so far, those of `located` (names with addresses) among them.

        As `tenant` of each, with one commit for them all.
        """
        new = {name: address for name, address in located if name not in self._tenants}
        if new:
            ids = await self._writer.do(lambda db: {name: _tenant(db, self.path, name, new[name]) for name in new})
            self._tenants.update(ids)
        return self._tenants

    async def known_tenants(self) -> list[TenantName]:
        """Return the tenants that the ledger has met."""
        rows = await self._writer.do(lambda db: db.execute("SELECT name FROM tenant ORDER BY id").fetchall())
        return [name for (name,) in rows]

    async def named(self) -> list[TenantName]:
        """Return the tenants that records of this reading are for."""
        sql = """SELECT name FROM tenant WHERE EXISTS (SELECT 1 FROM record WHERE record.tenant = tenant.id
                                                          AND record.reading = ? LIMIT 1) ORDER BY id"""
        rows = await self._writer.do(lambda db: db.execute(sql, (self.reading_id,)).fetchall())
        return [name for (name,) in rows]

    async def input(self, path: str) -> int:
        """Return the ledger's id of an input."""

        def operation(db: sqlite3.Connection) -> int:
            db.execute("INSERT INTO input (path) VALUES (?) ON CONFLICT DO NOTHING", (path,))
            return int(db.execute("SELECT id FROM input WHERE path = ?", (path,)).fetchone()[0])

        return await self._writer.do(operation)

    # -- runs and readings --------------------------------------------------------------------------------------------

    async def begin_run(self, now: float, command: str | None = None, settings: InForce | None = None) -> None:
        """Begin a run: what a process that died left in flight is in doubt from here on.

        `command` is what begins it, as people call it, and `settings` what is in force in it.

        After a death nobody can tell whether the last commits of its log are still there (a disk may have lied, a copy
        may be short), so each tenant is looked at again before anything is sent there.
        """

        def operation(db: sqlite3.Connection) -> int:
            db.execute(notes.REMOVE, (notes.NAME,))
            if not self._closed_in_order:
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
            return int(
                db.execute(
                    """INSERT INTO run (name, pid, host, command, settings, started_at)
                       VALUES (?, ?, ?, ?, ?, ?) RETURNING id""",
                    (name, os.getpid(), socket.gethostname(), command, told, now),
                ).fetchone()[0]
            )

        name, told = uuid4().hex[:12], None if settings is None else encode(settings)
        self.run_id = await self._writer.do(operation)
        self.run_name = name

    async def note(self, progress: Progress, now: float) -> None:
        """Note how this run stands, for whoever asks while it goes on; its instants are epoch seconds."""
        text = notes.encode(notes.Note(self.run_id, now, progress))
        await self._writer.do(lambda db: db.execute(notes.WRITE, (notes.NAME, text)).rowcount)

    async def note_course(self, asked: Sequence[Asked], paused: Sequence[Paused]) -> None:
        """Note how this run went of late, for whoever draws it later."""
        await self._writer.do(lambda db: course.note(db, self.run_id, asked, paused))

    async def end_run(self, now: float, exit_code: int, stopped: Mapping[str, str]) -> None:
        """Note that the run ended in order: whatever was claimed has been settled or released."""
        text = orjson.dumps(dict(stopped)).decode() if stopped else None

        def operation(db: sqlite3.Connection) -> None:
            db.execute(notes.REMOVE, (notes.NAME,))
            db.execute(
                "UPDATE run SET ended_at = ?, exit_code = ?, stopped = ? WHERE id = ?",
                (now, exit_code, text, self.run_id),
            )

        await self._writer.do(operation)

    def errands(self, kind: Kind) -> ErrandBook:
        """Return the errands of one kind, as a run does them; `begin_run` comes before anything is asked of them."""
        return ErrandBook(self._writer, kind, lambda: self.run_id)

    async def same_source(self, source: str) -> bool:
        """Return whether the newest reading is whole and was of this very source; if so, it is this run's reading.

        A reading that met an invalid line never counts as the same: such lines are checked again.
        """

        def operation(db: sqlite3.Connection) -> int | None:
            row = db.execute("SELECT id, source, completed_at FROM reading ORDER BY id DESC LIMIT 1").fetchone()
            if row is None or row[1] != source or row[2] is None:
                return None
            invalid = "SELECT 1 FROM record WHERE reading = ? AND (state = 'invalid' OR error_code = 'invalid') LIMIT 1"
            return None if db.execute(invalid, (row[0],)).fetchone() else int(row[0])

        found = await self._writer.do(operation)
        if found is not None:
            await self._adopt_reading(found)
        return found is not None

    async def begin_reading(self, source: str, now: float) -> int:
        """Begin a reading of the inputs and return its number, which each `Row` of it carries."""

        def operation(db: sqlite3.Connection) -> int:
            # What is in doubt was sent with the actions that its line named then.
            db.execute(
                """UPDATE tenant SET refers = 0 WHERE refers AND NOT EXISTS (
                       SELECT 1 FROM record INDEXED BY record_doubt WHERE tenant = tenant.id AND state = 'in_doubt')"""
            )
            sql = "INSERT INTO reading (source, started_at) VALUES (?, ?) RETURNING id"
            return int(db.execute(sql, (source, now)).fetchone()[0])

        await self._adopt_reading(await self._writer.do(operation))
        return self.reading_id

    async def _adopt_reading(self, reading: int) -> None:
        self.reading_id = reading
        await self._writer.do(
            lambda db: db.execute("UPDATE run SET reading = ? WHERE id = ?", (reading, self.run_id)).rowcount
        )

    async def ingest(self, rows: Sequence[Row]) -> list[Duplicate]:
        """Add lines of the current reading (at most `BATCH`); doing so twice changes nothing. Return the duplicates."""
        return await self._writer.do(lambda db: statements.ingest(db, rows)) if rows else []

    async def note_references(self, tenants: Sequence[int]) -> None:
        """Note that lines of the current reading name actions of these tenants (ids)."""
        sql = "UPDATE tenant SET refers = 1 WHERE id IN (SELECT value FROM json_each(?))"
        await self._writer.do(lambda db: db.execute(sql, (orjson.dumps(tenants).decode(),)).rowcount)

    async def referring(self) -> frozenset[TenantName]:
        """Return the tenants whose lines name actions, so that these have to be looked up."""
        rows = await self._writer.do(lambda db: db.execute("SELECT name FROM tenant WHERE refers").fetchall())
        return frozenset(name for (name,) in rows)

    async def end_reading(self, now: float, inputs: Sequence[int]) -> None:
        """Note that the inputs were read to their ends, and forget keyless lines of earlier readings of them."""

        def operation(db: sqlite3.Connection) -> None:
            db.execute(
                """DELETE FROM record WHERE key IS NULL AND reading < ?
                      AND input IN (SELECT value FROM json_each(?))""",
                (self.reading_id, orjson.dumps(list(inputs)).decode()),
            )
            # Ids of what was forgotten may come again, for other lines.
            db.execute("UPDATE tenant SET surveyed = min(surveyed, (SELECT coalesce(max(id), 0) FROM record))")
            db.execute("UPDATE reading SET completed_at = ? WHERE id = ?", (now, self.reading_id))

        await self._writer.do(operation)

    async def reopen(self, *, retry_failed: bool) -> dict[TenantName, tuple[int, int]]:
        """Take the records of this reading back into play, and return (pending, in doubt) by tenant.

        Exhausted and undone records always; refused ones and conflicts only if `retry_failed`, and never one for which
        this ledger created a stream.
        """
        wanted = [State.EXHAUSTED, State.UNDONE, *([State.REFUSED, State.CONFLICT] if retry_failed else [])]

        def operation(db: sqlite3.Connection) -> dict[TenantName, tuple[int, int]]:
            for state in _present(db, self.reading_id, wanted):
                asked = state in {State.REFUSED, State.CONFLICT}
                after = step(state, Event.RETRY_ASKED if asked else Event.RESUMED)
                if state is not State.EXHAUSTED:
                    # These stood at the tenant, or were never let in: what is there now has to be seen anew.
                    db.execute("UPDATE tenant SET surveyed = NULL")
                db.execute(
                    f"""UPDATE record SET state = ?, attempts = 0 {", ours_since = NULL" if asked else ""}
                         WHERE reading = ? AND state = ? AND anchor IS NULL""",  # noqa: S608
                    (after.value, self.reading_id, state.value),
                )
            self._tenants.update(db.execute("SELECT name, id FROM tenant"))
            return _todo(db, self.reading_id)

        return await self._writer.do(operation)

    # -- the hot path -------------------------------------------------------------------------------------------------

    async def claim(
        self,
        tenant: TenantName,
        count: int,
        now: float,
        *,
        server_now: float | None = None,
        digests: bool = True,
        status: str | None = None,
    ) -> list[Claim]:
        """Mark the next `count` pending records of a tenant as in flight and return them, once that is durable.

        `now` is by our clock, `server_now` by the tenant's; where that is not known yet, ours has to do. Their digests
        come with them unless nobody compares them. `status`: what their streams will be given in place of their lines'.
        """
        id_, reading, run = self._tenants[tenant], self.reading_id, self.run_id
        since = now if server_now is None else server_now
        return await self._writer.do(
            lambda db: statements.claim(
                db,
                id_,
                tenant,
                count,
                reading_id=reading,
                run=run,
                now=now,
                server_now=since,
                digests=digests,
                status=status,
            )
        )

    async def settle(self, settlements: Sequence[Settlement], tally: Tally) -> None:
        """Write what became of records, and what it took, durably."""

        def operation(db: sqlite3.Connection) -> None:
            statements.settle(db, settlements, self.run_id)
            statements.add_to_run(db, self.run_id, tally)

        await self._writer.do(operation)

    async def owned(self, tenant: TenantName, ids: Sequence[str]) -> set[str]:
        """Return those of these stream ids that a record of the tenant stands for.

        It looks at every record; who asks so for page after page of a long list is given an index, lest the time grow
        with the square of it.
        """
        values = (self._tenants[tenant], orjson.dumps(list(ids)).decode())
        sql = """SELECT remote_id FROM record WHERE tenant = ? AND anchor IS NOT NULL
                    AND remote_id IN (SELECT value FROM json_each(?))"""
        self._scans += 1
        if self._scans == MOST_SCANS:
            await self._writer.do(lambda db: db.execute(ledger_format.STANDING).rowcount)
        rows = await self._writer.do(lambda db: db.execute(sql, values).fetchall())
        return {id_ for (id_,) in rows}

    async def doubts(self, tenant: TenantName, count: int) -> list[Doubt]:
        """Return up to `count` records of the tenant that are in doubt."""
        id_, reading = self._tenants[tenant], self.reading_id
        return await self._writer.do(lambda db: statements.doubts(db, id_, reading, count))

    # -- the survey: what stands at a tenant before anything is sent there ---------------------------------------------

    async def needs_survey(self, tenant: TenantName) -> bool:
        """Return whether records of the tenant are to be sent that were never looked for there."""
        id_, reading = self._tenants[tenant], self.reading_id
        sql = """SELECT EXISTS (SELECT 1 FROM record INDEXED BY record_pending
                                 WHERE tenant = :tenant AND state = 'pending' AND reading = :reading
                                   AND id > (SELECT coalesce(surveyed, 0) FROM tenant WHERE id = :tenant))"""
        values = {"tenant": id_, "reading": reading}
        return bool(await self._writer.do(lambda db: db.execute(sql, values).fetchone()[0]))

    async def pending(self, tenant: TenantName, after: int, count: int) -> list[Pending]:
        """Return the next `count` pending records of the tenant whose ids are greater than `after`."""
        id_, reading = self._tenants[tenant], self.reading_id
        return await self._writer.do(lambda db: statements.pending(db, id_, reading, after, count))

    async def unsent(
        self, tenant: TenantName, names: Sequence[str], digests: Sequence[bytes], status: str | None = None
    ) -> list[Doubt]:
        """Return pending records of the tenant (at most `MOST_UNSENT`) under these names, or nameless ones so made.

        `status` is what they are to be given in place of their lines' own.
        """
        id_, reading = self._tenants[tenant], self.reading_id
        return await self._writer.do(
            lambda db: statements.unsent(db, id_, reading, names, digests, MOST_UNSENT, status)
        )

    async def surveyed(self, tenant: TenantName) -> None:
        """Note that every record of the tenant and of this reading was looked for there.

        Records that other inputs left pending were not: what comes from the first of them on is to be looked for again.
        """
        values = {"tenant": self._tenants[tenant], "reading": self.reading_id}
        sql = """UPDATE tenant SET surveyed = coalesce(
                     CASE WHEN (SELECT count(*) FROM reading) > 1 THEN
                         (SELECT min(id) - 1 FROM record INDEXED BY record_pending
                           WHERE tenant = :tenant AND state = 'pending' AND reading <> :reading) END,
                     (SELECT max(id) FROM record)) WHERE id = :tenant"""
        await self._writer.do(lambda db: db.execute(sql, values).rowcount)


def _take_lease(path: Path) -> FileLock:
    # Who only asks whether it is held holds it for an instant, too.
    lease = FileLock(f"{os.path.realpath(path)}.lock", timeout=0.2, poll_interval=0.02, mode=0o600)
    try:
        lease.acquire()
    except Timeout:
        raise LedgerHeldError(
            f"the ledger {path} is held by a live process{_holder(path)}.",
            hint="Wait for it to end, or stop it; then run the same command again. To look at it: "
            f"bulkstreams status {path}",
        ) from None
    except OSError as error:
        raise LedgerWriteError(
            f"the ledger {path} cannot be used: {error.strerror or error}.",
            hint="Check that its folder exists and can be written, or choose another with --ledger FILE.",
        ) from None
    return lease


def _holder(path: Path) -> str:
    with suppress(Exception):
        db = ledger_format.connect(path, read_only=True)
        try:
            pid, host = db.execute("SELECT pid, host FROM run ORDER BY id DESC LIMIT 1").fetchone()
        finally:
            db.close()
        return f" (process {pid} on {host})"
    return ""


def _check_address(db: sqlite3.Connection, path: Path, address: str) -> None:
    db.execute("INSERT INTO meta VALUES (?, ?) ON CONFLICT DO NOTHING", (DEFAULT_TENANT, address))
    known = db.execute("SELECT value FROM meta WHERE name = ?", (DEFAULT_TENANT,)).fetchone()[0]
    if known != address:
        raise _other_address(path, "the default tenant", known, address)


def _tenant(db: sqlite3.Connection, path: Path, name: str, address: str) -> int:
    db.execute("INSERT INTO tenant (name, address) VALUES (?, ?) ON CONFLICT DO NOTHING", (name, address))
    id_, known = db.execute("SELECT id, address FROM tenant WHERE name = ?", (name,)).fetchone()
    if known != address:
        raise _other_address(path, f"tenant {name}", known, address)
    return int(id_)


def _other_address(path: Path, who: str, known: str, address: str) -> LedgerAddressError:
    return LedgerAddressError(
        f"the ledger {path} was made for {who} at {known}, not at {address}.",
        hint=f"Use another ledger for the other address (--ledger FILE), or go back to {known}.",
    )


def _present(db: sqlite3.Connection, reading: int, states: Sequence[State]) -> list[State]:
    """Return which of these states records of a reading are in: one pass, without a sort."""
    found = db.execute(
        "SELECT DISTINCT state FROM record WHERE reading = ? AND state IN (SELECT value FROM json_each(?))",
        (reading, orjson.dumps([state.value for state in states]).decode()),
    )
    return [State(state) for (state,) in found.fetchall()]


def _todo(db: sqlite3.Connection, reading: int) -> dict[TenantName, tuple[int, int]]:
    """Count what is pending and in doubt by tenant, in the order in which they were met.

    Each by the partial index that has nothing else in it.
    """
    todo: dict[TenantName, tuple[int, int]] = {}
    for name, pending, in_doubt in db.execute(
        """SELECT name, sum(pending), sum(in_doubt) FROM (
               SELECT tenant, count(*) AS pending, 0 AS in_doubt FROM record
                WHERE state = 'pending' AND reading = :reading GROUP BY tenant
               UNION ALL
               SELECT tenant, 0, count(*) FROM record
                WHERE state = 'in_doubt' AND reading = :reading GROUP BY tenant
           ) AS counts JOIN tenant ON tenant.id = counts.tenant GROUP BY tenant.id ORDER BY tenant.id""",
        {"reading": reading},
    ):
        todo[TenantName(name)] = (pending, in_doubt)
    return todo
