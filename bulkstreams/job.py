"""The Python API: the same run as the command's, as something to iterate over.

It must never do what the command does not, nor hold more outcomes than its reader is behind.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Final

import anyio
from anyio.abc import TaskGroup
from anyio.streams.memory import MemoryObjectSendStream

from bulkstreams.commands.live import Live
from bulkstreams.commands.run import RunOptions, RunReport, check_inputs, open_session
from bulkstreams.commands.session import Session
from bulkstreams.config import Flags, Settings, load
from bulkstreams.errors import BulkstreamsError, ExitCode, UsageError, first_cause
from bulkstreams.ledger import Result
from bulkstreams.model import Status
from bulkstreams.sandbox import Sandbox, SandboxSettings

Outcome = Result
"""What became of one record, as the ledger holds it: `key`, `state`, `remote_id`, `message`, `file`, `line`, …"""

BEHIND: Final = 16
"""Batches of outcomes that wait for a slow reader; then the run waits for it too."""


class Job:
    """Provisions inputs; `report` tells, after a run, how it ended. Made by `open_job`."""

    def __init__(self, settings: Settings, ledger: Path | None, group: TaskGroup) -> None:
        self.report: RunReport | None = None
        self._settings = settings
        self._ledger = ledger
        self._group = group
        self._trouble: BulkstreamsError | None = None
        self._leave: list[Callable[[], None]] = []

    def close(self) -> None:
        """Drain what still runs: its reader is gone."""
        for leave in self._leave:
            leave()

    async def run(
        self,
        *inputs: str | os.PathLike[str],
        limit: int | None = None,
        retry_failed: bool = False,
        set_status: str | None = None,
        preflight: bool = True,
    ) -> AsyncIterator[Outcome]:
        """Yield the outcome of each record once it is durable; lines that cannot be sent come first.

        Raises what the command would end with: UsageError, LedgerError, StoppedError. Leaving the loop early drains the
        run; running the same inputs again resumes.
        """
        names = [os.fspath(one) for one in inputs]
        check_inputs(names)
        options = RunOptions(
            inputs=names, ledger=self._ledger, limit=limit, retry_failed=retry_failed, preflight=preflight,
            set_status=None if set_status is None else _status(set_status),
        )  # fmt: skip
        self.report = self._trouble = None
        send, receive = anyio.create_memory_object_stream[Sequence[Outcome]](BEHIND)
        left, ended = anyio.Event(), anyio.Event()
        self._leave = [left.set, receive.close]
        self._group.start_soon(self._execute, options, send, left, ended)
        try:
            async with receive:
                async for batch in receive:
                    for outcome in batch:
                        yield outcome
        finally:
            left.set()
            await ended.wait()
        if self._trouble is not None:
            raise self._trouble

    async def _execute(
        self,
        options: RunOptions,
        send: MemoryObjectSendStream[Sequence[Outcome]],
        left: anyio.Event,
        ended: anyio.Event,
    ) -> None:
        live = Live(lambda _: None)

        async def tell(outcomes: Sequence[Outcome]) -> None:
            try:
                await send.send(list(outcomes))
            except anyio.BrokenResourceError:
                left.set()

        live.outcomes = tell
        async with send:
            try:
                async with (
                    open_session(options, self._settings, os.environ, live) as session,
                    anyio.create_task_group() as group,
                ):
                    group.start_soon(_drain_when, left, session)
                    self.report = await session.execute()
                    group.cancel_scope.cancel()
            except BulkstreamsError as error:
                self._trouble = error
            except BaseExceptionGroup as group_:
                cause = first_cause(group_)
                if not isinstance(cause, BulkstreamsError):
                    raise
                self._trouble = cause
            finally:
                ended.set()


def _status(text: str) -> Status:
    try:
        return Status(text)
    except ValueError:
        raise UsageError(
            f"set_status must be enabled or disabled (got {text!r}).",
            hint="Leave it out to create each stream with the status of its line.",
        ) from None


async def _drain_when(left: anyio.Event, session: Session) -> None:
    await left.wait()
    session.interrupt(ExitCode.INTERRUPTED)


@asynccontextmanager
async def open_job(
    *,
    ledger: str | os.PathLike[str] | None = None,
    base_url: str | None = None,
    tenant: str | None = None,
    token: str | None = None,
    config: str | os.PathLike[str] | None = None,
    rate: float | str | None = None,
    burst: int | None = None,
    reserve: float | None = None,
    concurrency: int | None = None,
    retries: int | None = None,
    timeout_s: float | None = None,
    deadline_s: float | None = None,
    max_failures: int | None = None,
    max_failure_rate: float | None = None,
    allow_unknown_events: bool | None = None,
    sandbox: bool = False,
) -> AsyncIterator[Job]:
    """Open a job as `bulkstreams run` would with the flags of these names; what is left out comes from elsewhere.

    `token` is kept in memory alone; `reserve` and `max_failure_rate` are percentages; `sandbox` starts a local Auth0
    that ends with the job.
    """
    flags = Flags(
        tenant=tenant,
        config=None if config is None else Path(config),
        base_url=base_url,
        token=token,
        rate=None if rate is None else str(rate),
        burst=burst,
        reserve=None if reserve is None else str(reserve),
        concurrency=concurrency,
        retries=retries,
        timeout=None if timeout_s is None else str(timeout_s),
        deadline=None if deadline_s is None else str(deadline_s),
        max_failures=max_failures,
        max_failure_rate=None if max_failure_rate is None else str(max_failure_rate),
        allow_unknown_events=allow_unknown_events,
    )
    settings = load(flags, {} if sandbox else os.environ, Path.cwd())
    async with AsyncExitStack() as stack:
        if sandbox:
            server = await stack.enter_async_context(Sandbox(SandboxSettings()))
            settings = settings.with_sandbox(server.url)
        try:
            async with anyio.create_task_group() as group:
                job = Job(settings, None if ledger is None else Path(ledger), group)
                try:
                    yield job
                finally:
                    job.close()
        except BaseExceptionGroup as trouble:
            raise first_cause(trouble) from None
