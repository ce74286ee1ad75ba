"""`validate`: the offline check of every line, by the same code that `run` uses. It sends nothing and keeps nothing."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from bulkstreams.config import Settings
from bulkstreams.engine import Reading, Watcher
from bulkstreams.errors import ExitCode
from bulkstreams.ledger import Ledger, LedgerReader
from bulkstreams.model import Problem, State
from bulkstreams.schema import Rules
from bulkstreams.secrets import SecretResolver
from bulkstreams.source import open_input


class _Anywhere:
    """Tenants as a line names them: checked against the configuration where there is one, else taken at their word."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def locate(self, tenant: str | None) -> tuple[str, str] | Problem:
        """Return a tenant's name and no address, or what is wrong with it."""
        if tenant is None or not self._settings.tenants:
            return tenant or "", ""
        found = self._settings.tenant(tenant)
        return found if isinstance(found, Problem) else (found.name, "")

    def address(self, tenant: str | None) -> str | None:
        """Return nothing: nothing is sent."""
        return None


async def validate(
    inputs: Sequence[str], settings: Settings, environment: Mapping[str, str], watcher: Watcher
) -> tuple[dict[str, Any], ExitCode]:
    """Check every line of the inputs; `watcher` is told of each problem. Return the figures and the exit code."""
    with tempfile.TemporaryDirectory(prefix="bulkstreams-") as folder, ExitStack() as stack:
        opened = []
        for name in inputs:
            one = open_input(name, Path(folder))
            stack.callback(one.close)
            opened.append(one)
        path = Path(folder) / "validate.ledger.db"
        ledger = stack.enter_context(Ledger.open(path))
        await ledger.begin_run(time.time(), "validate")
        await Reading(
            inputs=opened,
            ledger=ledger,
            rules=Rules(settings.allow_unknown_events),
            tenants=_Anywhere(settings),
            unresolvable=SecretResolver(environment, Path.cwd()).problem,
            watcher=watcher,
            clock=time.time,
        ).run()
        with LedgerReader(path) as reader:
            records = reader.totals().records
    invalid, duplicate = records.get(State.INVALID, 0), records.get(State.DUPLICATE, 0)
    code = ExitCode.FAILURES if invalid else ExitCode.OK
    total = sum(records.values())
    counts = {"total": total, "valid": total - invalid - duplicate, "invalid": invalid, "duplicate": duplicate}
    return {"exit_code": int(code), "records": counts}, code
