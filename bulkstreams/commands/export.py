"""`export`: the streams of tenants as lines that `run` takes.

One tenant's lines are written as its pages come. Of several, each one's lines are kept on disk until all of its streams
were read, and then written in the order in which the tenants were asked for. This module must never let what is not
whole pass for it: a file is put in its place only once nothing is missing.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Protocol

import anyio
import orjson

from bulkstreams.client import Client
from bulkstreams.commands.filling import Filling
from bulkstreams.commands.gathering import NO_NAMES, Gathering, Shown
from bulkstreams.commands.lines import Lines, Notes, TenantLines
from bulkstreams.commands.live import Reads
from bulkstreams.commands.replacing import Replacement
from bulkstreams.commands.room import connections
from bulkstreams.commands.session import Session
from bulkstreams.commands.spool import Piece, Spool
from bulkstreams.commands.wiring import Wiring
from bulkstreams.config import TOKEN_VARIABLES, Settings
from bulkstreams.core.exporting import EVERYTHING, Wanted
from bulkstreams.core.references import Reference, parse_reference
from bulkstreams.engine import Credential, Fleet, LanePlan, Limits, Terms
from bulkstreams.engine.fleet import GRACE_S
from bulkstreams.engine.lane import Lane
from bulkstreams.engine.looking import Looking
from bulkstreams.engine.recorder import Unrecorded
from bulkstreams.errors import ExitCode, UsageError
from bulkstreams.model import Problem, TenantName
from bulkstreams.secrets import SecretResolver, mask


class Outlet(Protocol):
    """Where lines go while they come."""

    async def write(self, lines: Iterable[bytes]) -> None:
        """Write whole lines; raise what ends the command where they cannot be written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportOptions:
    """What is asked of one export, beside the settings. No `tenants`: the default one; no `output`: standard output."""

    tenants: Sequence[str] = ()
    all_tenants: bool = False
    output: Path | None = None
    env_template: Path | None = None
    wanted: Wanted = EVERYTHING

    @property
    def several(self) -> bool:
        """Return whether each line is to name its tenant."""
        return self.all_tenants or len(self.tenants) > 1


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportReport:
    """How an export ended: its figures, and what to tell a person. `written`: by tenant, the lines that went out.

    `met`: how many streams there are, those included that were not asked for.
    """

    figures: Mapping[str, Any]
    exit_code: ExitCode
    reasons: Mapping[str, str]
    hints: Sequence[str]
    written: Mapping[str, int]
    met: int = 0


class ExportSession(Session):
    """An export that goes on. `execute` brings it to its end."""

    def __init__(
        self, options: ExportOptions, tenants: Sequence[TenantName], terms: Terms, lines: Lines, live: Reads
    ) -> None:
        self.fleet = Fleet(terms, Unrecorded())
        super().__init__(self.fleet)
        self._options = options
        self._lines = lines
        self._live = live
        self._stack = ExitStack()
        self._filling: Filling | None = None
        self._file: Replacement | None = None
        self._spool: Spool | None = None
        self._kept: dict[TenantName, list[Piece]] = {}
        self._writing = anyio.CancelScope()
        self._written = dict.fromkeys(tenants, 0)
        self._gatherings = {tenant: Gathering(tenant, options.wanted, self._take) for tenant in tenants}

    def open(self, outlet: Outlet) -> None:
        """Open everything that is to be written, so that what cannot be is known before anything is asked."""
        options = self._options
        if options.env_template is not None:
            self._filling = self._stack.enter_context(Filling(options.env_template))
        if options.output is not None:
            self._file = self._stack.enter_context(Replacement(options.output, "--output"))
        self._outlet = outlet if self._file is None else _Filed(self._file)
        if options.several:
            self._spool = self._stack.enter_context(Spool())

    def close(self) -> None:
        """Let go of what was opened: of a file that was not put in its place nothing is left."""
        self._stack.close()

    def interrupt(self, code: ExitCode) -> None:
        """Drain, and the second time leave at once; a reader that reads nothing is not waited for any longer."""
        if self.interrupted is None:
            self._writing.deadline = anyio.current_time() + GRACE_S
        else:
            self._writing.cancel()
        super().interrupt(code)

    async def execute(self) -> ExportReport:
        """Read the tenants, write their lines, and put the files in their places if nothing is missing."""
        self._live.engine = self.fleet
        if not self._options.several:
            (self._direct,) = (self._lines.of(tenant) for tenant in self._gatherings)
        await self.fleet.run(dict.fromkeys(self._gatherings, (0, 1)), self._open)
        if self._spool is not None:
            with self._writing:
                await self._write_kept(self._spool)
        is_whole = self._is_whole and sum(self._written.values()) == self._streams
        if is_whole:
            self._put()
        return self._report(is_whole)

    async def _open(self, tenant: TenantName, plan: LanePlan, client: Client) -> Lane:
        return self.fleet.lane(tenant, plan, client, lambda lane: Looking(lane, self._gatherings[tenant].look))

    # -- lines --------------------------------------------------------------------------------------------------------

    async def _take(self, gathering: Gathering, streams: Sequence[Shown]) -> None:
        """Write the streams of a page of the only tenant, or keep those of one of several."""
        self._live.read(len(streams))
        if self._spool is not None:
            self._kept.setdefault(gathering.tenant, []).append(self._spool.put(orjson.dumps(streams)))
        else:
            await self._write(gathering, streams, self._direct)

    async def _write(self, gathering: Gathering, streams: Sequence[Shown], lines: TenantLines) -> None:
        await self._outlet.write(list(lines.make(streams, gathering.actions or NO_NAMES)))
        self._written[gathering.tenant] += len(streams)

    async def _write_kept(self, spool: Spool) -> None:
        """Write the lines of all tenants that were read to their ends, unless a file is wanted that cannot be whole."""
        if self._file is not None and not self._is_whole:
            return
        for tenant, gathering in self._gatherings.items():
            lines = self._lines.of(tenant)
            for piece in self._kept.get(tenant, ()) if gathering.is_whole else ():
                if self.interrupted is not None:
                    return
                await self._write(gathering, orjson.loads(spool.take(piece)), lines)

    # -- the end ------------------------------------------------------------------------------------------------------

    @property
    def _is_whole(self) -> bool:
        return all(one.is_whole for one in self._gatherings.values())

    @property
    def _streams(self) -> int:
        return sum(one.streams for one in self._gatherings.values())

    def _put(self) -> None:
        """Put the files in their places: the one to fill in first, so that no export stands there without it."""
        if self._filling is not None:
            self._filling.seal(self._lines.secrets)
        if self._file is not None:
            self._file.seal()
        for one in (self._filling, self._file):
            if one is not None:
                one.put()

    def _report(self, is_whole: bool) -> ExportReport:
        code = ExitCode.OK if is_whole else self.interrupted or ExitCode.STOPPED
        output = self._options.output if is_whole else None
        figures = {
            "exit_code": int(code),
            "elapsed_s": round(self._live.elapsed_s, 3),
            "streams": self._streams,
            "tenants": {name: {"streams": one.streams, "pages": one.pages} for name, one in self._gatherings.items()},
            "secrets": self._lines.secrets if is_whole else [],
            "output": None if output is None else str(output),
            "stopped": self.fleet.reasons,
        }
        return ExportReport(
            figures=figures,
            exit_code=code,
            reasons=self.fleet.reasons,
            hints=tuple(self.fleet.hints),
            written={str(name): count for name, count in self._written.items()},
            met=sum(one.met for one in self._gatherings.values()),
        )


class _Filed:
    """An outlet into a file that is put in its place later."""

    def __init__(self, file: Replacement) -> None:
        self._file = file

    async def write(self, lines: Iterable[bytes]) -> None:
        """Write lines."""
        self._file.write(b"".join(lines))


class _OneAtATime:
    """A connector for lanes that make one request after another, so that a seat takes no more connections than that."""

    def __init__(self, wiring: Wiring) -> None:
        self._wiring = wiring
        self.credential: Callable[[TenantName, Any], Credential] = wiring.credential

    def plan(self, tenant: TenantName) -> LanePlan:
        """Return how to treat a tenant."""
        return replace(self._wiring.plan(tenant), concurrency=1)


@asynccontextmanager
async def open_export(
    options: ExportOptions, settings: Settings, environment: Mapping[str, str], live: Reads, outlet: Outlet
) -> AsyncIterator[ExportSession]:
    """Open an export: its tenants are known and its files can be written, or UsageError is raised."""
    wiring = Wiring(settings, SecretResolver(environment, settings.folder))
    tenants = list(_located(options, settings, wiring))
    terms = Terms(
        connector=_OneAtATime(wiring), watcher=live, mask=mask, limits=Limits(deadline_s=settings.deadline_s),
        retries=settings.retries, timeout_s=settings.timeout_s, connections=connections(),
    )  # fmt: skip
    notes = Notes(live.say)
    references = list(_references(settings))
    _spare(options, [settings.folder / one.target for one in references if one.scheme == "file"])
    variables = [one.target for one in references if one.scheme == "env"]
    lines = Lines(notes, several=options.several, taken=[*TOKEN_VARIABLES, *variables])
    session = ExportSession(options, tenants, terms, lines, live)
    try:
        session.open(outlet)
        yield session
    finally:
        session.close()
        notes.close()


def _located(options: ExportOptions, settings: Settings, wiring: Wiring) -> Iterator[TenantName]:
    """Yield the tenants in the order asked for; raise UsageError at the first that cannot be used."""
    if options.all_tenants and not settings.tenants:
        raise UsageError("the configuration has no tenants.", hint="Name them in bulkstreams.toml: [tenants.NAME]")
    asked: Sequence[str | None] = list(settings.tenants) if options.all_tenants else options.tenants
    seen: set[str] = set()
    for one in asked if options.several else [None]:
        found = wiring.locate(one)
        if isinstance(found, Problem):
            raise UsageError(f"{found.message}.", hint="Check --tenant, and the tenant's table in bulkstreams.toml.")
        if found[0] in seen:
            raise UsageError(f"the tenant {found[0]} is asked for twice.", hint="Name each once.")
        seen.add(found[0])
        yield TenantName(found[0])


def _references(settings: Settings) -> Iterator[Reference]:
    """Yield where the configuration's own credentials are kept."""
    for tenant in (settings.default, *settings.tenants.values()):
        credentials = None if tenant is None else tenant.credentials
        for one in () if credentials is None else fields(credentials):
            text = getattr(credentials, one.name)
            reference = parse_reference(text) if isinstance(text, str) else None
            if reference is not None:
                yield reference


def _spare(options: ExportOptions, kept: Iterable[Path]) -> None:
    """Raise UsageError where the export would replace a file that holds one of the configuration's credentials."""
    places = {os.path.realpath(one) for one in kept}
    for path in (options.output, options.env_template):
        if path is not None and os.path.realpath(path) in places:
            raise UsageError(f"{path} holds a credential of the configuration.", hint="Name another file.")
