"""The ledger as its one writing process sees it: the lease, the readings, and `ingest`, `claim`, `settle`.

`claim` and `settle` are all that a sender needs. Every method that writes returns only when what it wrote is on disk.
This module must never hold a record in memory for longer than a call, nor learn a secret.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Self
from uuid import uuid4

import orjson
from filelock import FileLock

from bulkstreams.core.course import Asked, Paused
from bulkstreams.core.errands import Kind
from bulkstreams.core.metrics import Tally
from bulkstreams.core.waiting import Progress
from bulkstreams.ledger import course, ingesting, lease, notes, readings, runs, statements, tables, tenants
from bulkstreams.ledger import format as ledger_format
from bulkstreams.ledger.damage import examine
from bulkstreams.ledger.errands import ErrandBook
from bulkstreams.ledger.in_force import InForce
from bulkstreams.ledger.ingesting import Duplicate, Row
from bulkstreams.ledger.writer import Writer
from bulkstreams.model import Claim, Doubt, Pending, Settlement, TenantName

MOST_UNSENT: Final = 10_000
"""Records that one page of a tenant's streams can decide: as many as may stand for a single nameless stream."""

MOST_SCANS: Final = 3
"""Times that a process looks at every record for the streams of some, before an index is worth its making."""


class Ledger:
    """The ledger at `path`, held by this process until `close`. Open it inside a running event loop."""

    def __init__(self, path: Path, held: FileLock, writer: Writer, *, closed_in_order: bool = True) -> None:
        self.path = path
        self._lease = held
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
        held = lease.take(path)
        try:
            ledger_format.ensure(path)
            in_order = examine(path)
            return cls(path, held, Writer(path), closed_in_order=in_order)
        except BaseException:
            held.release()
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
        await self._writer.do(lambda db: tenants.bind(db, self.path, default))

    async def tenant(self, name: str, address: str) -> int:
        """Return the ledger's id of a tenant; the first call of a name notes its address, later ones check it."""
        return (await self.tenants([(name, address)]))[name]

    async def tenants(self, located: Iterable[tuple[str, str]]) -> Mapping[str, int]:
        """Return the ids of all tenants met so far, those of `located` (names with addresses) among them.

        As `tenant` of each, with one commit for them all.
        """
        new = {name: address for name, address in located if name not in self._tenants}
        if new:
            ids = await self._writer.do(lambda db: tenants.meet(db, self.path, new))
            self._tenants.update(ids)
        return self._tenants

    async def known_tenants(self) -> list[TenantName]:
        """Return the tenants that the ledger has met."""
        return await self._writer.do(tenants.known)

    async def named(self) -> list[TenantName]:
        """Return the tenants that records of this reading are for."""
        return await self._writer.do(lambda db: tenants.named(db, self.reading_id))

    async def input(self, path: str) -> int:
        """Return the ledger's id of an input."""
        return await self._writer.do(lambda db: readings.input_id(db, path))

    # -- runs and readings --------------------------------------------------------------------------------------------

    async def begin_run(self, now: float, command: str | None = None, settings: InForce | None = None) -> None:
        """Begin a run: what a process that died left in flight is in doubt from here on.

        `command` is what begins it, as people call it, and `settings` what is in force in it.
        """
        name, in_order = uuid4().hex[:12], self._closed_in_order
        self.run_id = await self._writer.do(
            lambda db: runs.begin(db, name, now, command, settings, closed_in_order=in_order)
        )
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
        await self._writer.do(lambda db: runs.end(db, self.run_id, now, exit_code, stopped))

    def errands(self, kind: Kind) -> ErrandBook:
        """Return the errands of one kind, as a run does them; `begin_run` comes before anything is asked of them."""
        return ErrandBook(self._writer, kind, lambda: self.run_id)

    async def same_source(self, source: str) -> bool:
        """Return whether the newest reading is whole and was of this very source; if so, it is this run's reading.

        A reading that met an invalid line never counts as the same: such lines are checked again.
        """
        found = await self._writer.do(lambda db: readings.same(db, source))
        if found is not None:
            await self._adopt_reading(found)
        return found is not None

    async def begin_reading(self, source: str, now: float) -> int:
        """Begin a reading of the inputs and return its number, which each `Row` of it carries."""
        await self._adopt_reading(await self._writer.do(lambda db: readings.begin(db, source, now)))
        return self.reading_id

    async def _adopt_reading(self, reading: int) -> None:
        self.reading_id = reading
        await self._writer.do(lambda db: readings.adopt(db, reading, self.run_id))

    async def ingest(self, rows: Sequence[Row]) -> list[Duplicate]:
        """Add lines of the current reading (at most `BATCH`); doing so twice changes nothing. Return the duplicates."""
        return await self._writer.do(lambda db: ingesting.ingest(db, rows)) if rows else []

    async def note_references(self, tenants: Sequence[int]) -> None:
        """Note that lines of the current reading name actions of these tenants (ids)."""
        await self._writer.do(lambda db: readings.note_references(db, tenants))

    async def referring(self) -> frozenset[TenantName]:
        """Return the tenants whose lines name actions, so that these have to be looked up."""
        return await self._writer.do(readings.referring)

    async def end_reading(self, now: float, inputs: Sequence[int]) -> None:
        """Note that the inputs were read to their ends, and forget keyless lines of earlier readings of them."""
        await self._writer.do(lambda db: readings.end(db, self.reading_id, now, inputs))

    async def reopen(self, *, retry_failed: bool) -> dict[TenantName, tuple[int, int]]:
        """Take the records of this reading back into play, and return (pending, in doubt) by tenant.

        Exhausted and undone records always; refused ones and conflicts only if `retry_failed`, and never one for which
        this ledger created a stream.
        """

        def operation(db: sqlite3.Connection) -> dict[TenantName, tuple[int, int]]:
            todo = readings.reopen(db, self.reading_id, retry_failed=retry_failed)
            self._tenants.update(db.execute("SELECT name, id FROM tenant"))
            return todo

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
            await self._writer.do(lambda db: db.execute(tables.STANDING).rowcount)
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
