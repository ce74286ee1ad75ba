"""From the inputs' lines to the ledger's records: read, validate, key, ingest, in constant memory.

This module must never send anything, nor keep a line longer than its batch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

import anyio
import anyio.lowlevel
import orjson

from bulkstreams.core.references import Reference
from bulkstreams.ledger import Duplicate, Ledger, Row
from bulkstreams.model import Invalid, Line, Problem, Record, State
from bulkstreams.schema import RULES_VERSION, Rules, read_line
from bulkstreams.source import MAX_LINE, Input

BATCH_LINES: Final = 1000
_PENDING: Final = State.PENDING.value


class Tenants(Protocol):
    """What a line's `tenant` means."""

    def locate(self, tenant: str | None) -> tuple[str, str] | Problem:
        """Return the tenant's name and address, or what is wrong with the text."""

    def address(self, tenant: str | None) -> str | None:
        """Return where a tenant is, without asking whether it can be used; None where that is not known."""


class Watcher(Protocol):
    """Who wants to know what a reading finds, as it finds it."""

    def lines_read(self, count: int) -> None:
        """`count` more lines were read and are in the ledger."""

    def invalid(self, file: str, line: int, problems: Sequence[Problem]) -> None:
        """A line cannot be used."""

    def duplicate(self, file: str, line: int, key: str | None, first_file: str, first_line: int) -> None:
        """A line has the key of an earlier one."""

    def noted(self, file: str, line: int, notes: Sequence[Problem]) -> None:
        """A line can be used, but something in it was passed over."""


@dataclass(slots=True, kw_only=True)
class Reading:
    """One pass over the inputs. `files` tells, afterwards, which ledger id stands for which input."""

    inputs: Sequence[Input]
    ledger: Ledger
    rules: Rules
    tenants: Tenants
    unresolvable: Callable[[Reference], str | None]
    watcher: Watcher
    clock: Callable[[], float]
    files: dict[int, Input] = field(default_factory=dict)
    _ids: dict[str | None, int | Problem] = field(default_factory=dict)
    _referring: set[int] = field(default_factory=set)
    _noted: set[int] = field(default_factory=set)

    async def run(self) -> bool:
        """Bring the ledger up to date with the inputs; return whether they had to be read (False: nothing changed)."""
        for one in self.inputs:
            self.files[await self.ledger.input(one.name)] = one
        source = self._source()
        if source is not None and await self.ledger.same_source(source):
            known = [(name, self.tenants.address(name)) for name in await self.ledger.known_tenants()]
            await self.ledger.tenants((name, address) for name, address in known if address is not None)
            return False
        await self.ledger.begin_reading(source or "", self.clock())
        for id_, one in self.files.items():
            await self._read(id_, one)
        await self.ledger.end_reading(self.clock(), list(self.files))
        return True

    def _source(self) -> str | None:
        """Describe all that a reading depends on; None where an input has nothing to tell a change by."""
        prints = [(one.name, one.fingerprint(self.clock())) for one in self.inputs]
        if any(mark is None for _, mark in prints):
            return None
        rules = [RULES_VERSION, self.rules.allow_unknown_events]
        return orjson.dumps({"inputs": prints, "rules": rules, "default": self.tenants.address(None)}).decode()

    async def _read(self, id_: int, one: Input) -> None:
        rows: list[Row] = []
        batches = one.batches()
        while (lines := await _next(one, batches)) is not None:
            read = [
                _TOO_LONG if line.data is None else read_line(line.data, self.rules, self.unresolvable)
                for line in lines
            ]
            await self._meet(dict.fromkeys(one.tenant for one in read if type(one) is Record or one.key is not None))
            for line, found in zip(lines, read, strict=True):
                tenant = self._ids.get(found.tenant)
                if type(found) is Record and type(tenant) is int:
                    rows.append(self._usable(id_, one, line, found, tenant))
                else:
                    rows.append(self._unusable(id_, one, line, found, tenant))
                if len(rows) == BATCH_LINES:
                    await self._ingest(rows)
                    rows = []
            # Reading is work without a pause: let the progress view and the signals have their turn.
            await anyio.lowlevel.checkpoint()
        await self._ingest(rows)

    def _usable(self, id_: int, one: Input, line: Line, found: Record, tenant: int) -> Row:
        number, offset, length, _ = line
        _, key, name, digest, notes, action = found
        if action is not None:
            self._referring.add(tenant)
        if notes:
            self.watcher.noted(one.name, number, notes)
        return Row(tenant, key, name, id_, number, offset, length, self.ledger.reading_id, _PENDING, digest)

    def _unusable(self, id_: int, one: Input, line: Line, found: Record | Invalid, tenant: int | Problem | None) -> Row:
        problems = found.problems if isinstance(found, Invalid) else ()
        if isinstance(tenant, Problem):
            problems = (tenant, *problems)
        self.watcher.invalid(one.name, line.number, problems)
        known = tenant if isinstance(tenant, int) and found.key is not None else None
        return Row(
            tenant=known,
            key=None if known is None else found.key,
            name=found.name,
            input=id_,
            line=line.number,
            offset=line.offset,
            length=line.length,
            reading=self.ledger.reading_id,
            state=State.INVALID.value,
            digest=None,
            error_code="invalid",
            message="; ".join(map(str, problems)),
        )

    async def _meet(self, tenants: Iterable[str | None]) -> None:
        """Find out which tenants are meant by the texts that are new: with one commit for them all."""
        new = [text for text in tenants if text not in self._ids]
        if not new:
            return
        found = {text: self.tenants.locate(text) for text in new}
        usable = {text: located for text, located in found.items() if not isinstance(located, Problem)}
        if None in usable:
            await self.ledger.bind(usable[None][1])
        ids = await self.ledger.tenants(usable.values()) if usable else {}
        for text, located in found.items():
            self._ids[text] = located if isinstance(located, Problem) else ids[located[0]]

    async def _ingest(self, rows: list[Row]) -> None:
        new = self._referring - self._noted
        if new:
            await self.ledger.note_references(sorted(new))
            self._noted |= new
        for duplicate in await self.ledger.ingest(rows):
            self._tell(duplicate)
        self.watcher.lines_read(len(rows))

    def _tell(self, duplicate: Duplicate) -> None:
        row, (first_input, first_line) = duplicate
        self.watcher.duplicate(self.files[row.input].name, row.line, row.key, self.files[first_input].name, first_line)


async def _next(one: Input, batches: Iterator[list[Line]]) -> list[Line] | None:
    """Return the next batch, or None at the end; what may keep us waiting is read in a thread that can be left."""
    if one.may_wait:
        return await anyio.to_thread.run_sync(next, batches, None, abandon_on_cancel=True)
    return next(batches, None)


_TOO_LONG: Final = Invalid(
    problems=(Problem(path="", message=f"the line is longer than {MAX_LINE:,} bytes, the most that the API takes"),)
)
