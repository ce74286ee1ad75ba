"""What `plan` and `verify` share: a copy of the ledger, the tenants listed beside it, lines held against streams.

Everything that is written goes into a folder that is gone at the end. This module must never open the ledger itself to
write, nor show a secret.
"""

from __future__ import annotations

import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar, cast

import orjson

from bulkstreams.commands.copying import copy_ledger
from bulkstreams.commands.live import Live
from bulkstreams.commands.run import RunOptions, open_session
from bulkstreams.commands.session import Session
from bulkstreams.config import Settings, default_ledger
from bulkstreams.core.difference import Difference, by_id, by_name, differences, kept
from bulkstreams.engine import Job, Onlooker
from bulkstreams.errors import InputChangedError, LedgerError, LedgerFullError, LedgerWriteError
from bulkstreams.ledger import InForce, Inventory, Ledger, LedgerReader, Pair
from bulkstreams.ledger import Live as LiveStream
from bulkstreams.model import TenantName
from bulkstreams.schema import Page, definition_in, line_digest

R = TypeVar("R")


@dataclass(frozen=True, slots=True, kw_only=True)
class Grounds:
    """What a comparison rests on: `path` is the ledger that people know, `ledger` the copy of it that is held."""

    path: Path
    options: RunOptions
    told: InForce
    ledger: Ledger
    engine: Onlooker
    inventory: Inventory
    live: Live


class Comparison(Session, ABC, Generic[R]):
    """The inputs, a copy of the ledger and the tenants' streams, held against each other."""

    command: ClassVar[str]

    def __init__(self, grounds: Grounds) -> None:
        super().__init__(grounds.engine)
        self.grounds = grounds
        self.engine, self.inventory = grounds.engine, grounds.inventory
        self.listed: set[str] = set()

    @abstractmethod
    async def execute(self) -> R:
        """Compare, and report."""

    async def look(self) -> None:
        """Read the inputs, look at the tenants, and find each record its stream."""
        grounds, engine = self.grounds, self.engine
        await grounds.ledger.begin_run(time.time(), self.command, grounds.told)
        await engine.read()
        with LedgerReader(grounds.ledger.path) as reader:
            grounds.live.engine, grounds.live.reader = engine, reader
            if engine.stopped is None:
                engine.keeper = _Keeper(self.inventory, self.listed)
                await engine.provision()
        self.inventory.pair(grounds.ledger.reading_id)

    def file(self, pair: Pair) -> str:
        """Return the name of the input in which a record stands."""
        return self.engine.files[pair.input].name

    def differences(self, pair: Pair, first: Pair | None = None) -> tuple[Difference, ...]:
        """Return in what a record's line and its stream differ; or, of the latter, the stream that `first` will have.

        Where streams are given a status in place of their lines', they may have been switched: it takes no part.
        """
        wanted = self._line(pair)
        names = self.engine.actions.get(TenantName(pair.tenant or ""), {})
        shown = orjson.loads(pair.shown or b"{}") if first is None else by_id(self._line(first), names)
        differing = differences(wanted, by_name(wanted, shown, names))
        return tuple(one for one in differing if one.path != "status" or self.grounds.options.set_status is None)

    def _line(self, pair: Pair) -> dict[str, Any]:
        """Read the definition in a record's line again, with the status that its stream was given, if it was another.

        It is the line that was read before, or InputChangedError is raised.
        """
        one = self.engine.files[pair.input]
        data = one.read_at(pair.offset, pair.length)
        definition = definition_in(data)
        if definition is None or (not one.trusted and line_digest(data) != pair.digest):
            raise InputChangedError(
                f"{one.name}:{pair.line} is no longer the line that was read.",
                hint="Run the same command again: it reads the input anew.",
            )
        return definition if pair.status is None else {**definition, "status": pair.status}


class _Keeper:
    """Keeps what listings show in an inventory."""

    def __init__(self, inventory: Inventory, listed: set[str]) -> None:
        self._inventory = inventory
        self._listed = listed

    async def keep(self, tenant: TenantName, page: Page) -> None:
        """Keep of each stream what takes part in comparing."""
        self._inventory.add(
            tenant,
            [
                LiveStream(stream.id, stream.name, stream.digest, stream.by_name, orjson.dumps(kept(shown)))
                for stream, shown in zip(page.streams, page.shown, strict=True)
            ],
        )

    def listed(self, tenant: TenantName) -> None:
        """Note that a tenant was seen whole."""
        self._inventory.listed(tenant)
        self._listed.add(tenant)


def told(difference: Difference) -> dict[str, Any]:
    """Return a difference as JSON has it."""
    return {"path": difference.path, "wanted": difference.wanted, "found": difference.found}


@asynccontextmanager
async def open_comparison(
    options: RunOptions,
    settings: Settings,
    environment: Mapping[str, str],
    live: Live,
    make: Callable[[Ledger, Job], Onlooker],
    kind: Callable[[Grounds], Comparison[R]],
) -> AsyncIterator[Comparison[R]]:
    """Open the inputs, and a copy of the ledger if there is one; `make` says who looks, `kind` what comes of it."""
    path = options.ledger or default_ledger(options.inputs)
    with tempfile.TemporaryDirectory(prefix="bulkstreams-") as folder:
        copy = Path(folder) / path.name
        with _named(copy, path):
            if path.exists():
                copy_ledger(path, copy)
            draft = replace(options, ledger=copy)
            async with open_session(draft, settings, environment, live, make) as run:
                with Inventory(copy.with_name(f"{copy.name}.inventory"), copy) as inventory:
                    yield kind(
                        Grounds(
                            path=path, options=options, told=run.told, ledger=run.ledger,
                            engine=cast("Onlooker", run.engine), inventory=inventory, live=live,
                        )
                    )  # fmt: skip


@contextmanager
def _named(copy: Path, path: Path) -> Iterator[None]:
    """Tell what is wrong with the copy of a ledger as what is wrong with the ledger: people know no copy.

    But the disk that is full is never the ledger's, for nothing is written there.
    """
    try:
        yield
    except LedgerFullError:
        raise LedgerWriteError(
            f"what is compared cannot be kept in a temporary folder ({copy.parent.parent}): its disk is full.",
            hint="Make room, or name another folder in TMPDIR, then run the same command again.",
        ) from None
    except LedgerError as error:
        texts = (text.replace(str(copy), str(path)) for text in (error.message, error.hint))
        message, hint = texts
        raise type(error)(message, hint=hint) from None
