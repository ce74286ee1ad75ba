"""A bench from its first request to its last delete, as one thing that a signal, or a reader who leaves, can end early.

This module must never let an output that nobody reads, or that takes nothing, keep it from deleting what was created.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from bulkstreams import report
from bulkstreams.cli.attending import attend_with, with_beside
from bulkstreams.cli.bench_page import Writing
from bulkstreams.cli.bench_text import lengthened, summary
from bulkstreams.cli.bench_view import BenchView
from bulkstreams.cli.progress import ProgressKind, console, show
from bulkstreams.cli.telling import fail, finish_with, print_json, print_text, say
from bulkstreams.commands.bench.in_force import CLEANING
from bulkstreams.commands.bench.options import BenchOptions, BenchReport, Searching
from bulkstreams.commands.bench.session import BenchSession, ClearingSession, open_bench, open_clearing
from bulkstreams.commands.errands import ErrandReport, open_errands
from bulkstreams.commands.live import Live
from bulkstreams.commands.prospect import ErrandOptions
from bulkstreams.commands.session import Session
from bulkstreams.config import Settings
from bulkstreams.core.errands import COUNTED, Fate, Kind
from bulkstreams.errors import BulkstreamsError, ExitCode, LedgerFullError, LedgerWriteError
from bulkstreams.ledger import LedgerReader


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What every bench is told beside its load; `flags` name its tenant to another command, as they named it here."""

    settings: Settings
    kind: ProgressKind
    flags: Sequence[str] = ()


class Phases:
    """Sessions one after the other; who interrupts means the one that is at work just then.

    `held` is what the first of them holds: it is let go before the next begins, for that needs the ledger, too.
    """

    def __init__(self, first: Session, held: AsyncExitStack, asked: Asked) -> None:
        self._at_work, self._held = first, held
        self._asked, self._settings, self._kind = asked, asked.settings, asked.kind

    @property
    def interrupted(self) -> ExitCode | None:
        """Return the exit code of the signal that asked what is at work to drain; None: none did."""
        return self._at_work.interrupted

    def interrupt(self, code: ExitCode) -> None:
        """Drain what is at work, and the second time leave at once."""
        self._at_work.interrupt(code)

    def stop(self, reason: str) -> None:
        """Drain what is at work."""
        self._at_work.stop(reason)

    async def _delete(self, path: Path, *, interrupted: ExitCode | None = None, newest: bool = False) -> ErrandReport:
        """Delete what a bench's ledger knows to have been created; `interrupted`: only tell what is left."""
        live, options = Live(say), ErrandOptions(kind=Kind.UNDO, ledger=path, command=CLEANING, newest=newest)
        live.reads_lines = False
        async with open_errands(options, self._settings, os.environ, live) as session:
            if interrupted is not None:
                session.interrupt(interrupted)
            self._at_work = session
            ended = await with_beside(session.execute, lambda: show(live, self._kind, console()))
        self._tell_cleaned(ended, path)
        failures = [report.failure_figures(one) for one in ended.failures]
        return replace(ended, figures={**ended.figures, "failures": failures})

    def _tell_cleaned(self, ended: ErrandReport, path: Path) -> None:
        """Tell what was deleted just now, why not all of it, and what to do."""
        records, this_run = ended.figures["records"], ended.figures["this_run"]
        parts = [f"{this_run[fate]:,} {fate}" for fate in COUNTED[Kind.UNDO] if this_run[fate]]
        parts += [f"{records[Fate.PENDING]:,} pending"] if records[Fate.PENDING] else []
        say(f"cleaned: {', '.join(parts) or 'nothing was left to be deleted'}")
        for text in (*map(report.failure_line, ended.failures), *report.stopped_lines(ended.reasons), *ended.hints):
            say(text)
        if records[Fate.PENDING] or records[Fate.FAILED] or ended.figures.get("in_doubt"):
            say(f"to go on with it: {to_clean(path)}")
        if records[Fate.CHANGED]:
            say(f"Look at what was changed; to delete it all the same: {to_force(path, self._asked.flags)}")


class Whole(Phases):
    """The loads of a bench, what is told of them, and the cleaning."""

    def __init__(
        self, session: BenchSession, held: AsyncExitStack, options: BenchOptions, asked: Asked, view: BenchView,
        write: Writing, *, as_json: bool,
    ) -> None:  # fmt: skip
        super().__init__(session, held, asked)
        self._session, self._options = session, options
        self._view, self._write, self._as_json = view, write, as_json

    @property
    def begins_more(self) -> bool:
        """Return whether requests are still to begin; once they are not, what is left to do is to delete."""
        return self._at_work is self._session and self._session.begins_more

    async def execute(self) -> int:
        """Do it all, and return the exit code."""
        ended = await self._loads()
        code = int(ended.exit_code)
        try:
            code = self._tell(ended, code)
        finally:  # whatever became of that
            code = await self._clean(ended, code)
        code = code or int(self._session.interrupted or ExitCode.OK)  # a signal that came while it was told
        ended.figures["exit_code"] = code
        return finish_with(code, lambda: print_json(ended.figures)) if self._as_json else code

    async def _loads(self) -> BenchReport:
        """Put the loads on; where that fails, say with the error what is to be done about what they created."""
        ledger = self._options.ledger
        try:
            async with self._held:
                return await with_beside(self._session.execute, lambda: self._view.show(self._kind, console()))
        except LedgerWriteError as error:
            first = "Make room" if isinstance(error, LedgerFullError) else "Mend that"
            raise type(error)(error.message, hint=f"{first}; {_then(ledger)}") from None
        except Exception:
            if _left(ledger) != 0:
                say(f"error: the bench broke off; {_then(ledger)}")
            raise

    def _tell(self, ended: BenchReport, code: int) -> int:
        """Tell what was measured; return the exit code, or that of an output that took nothing."""
        if self._kind is ProgressKind.BAR:
            console().print(self._view.picture(console().width))
        if not self._as_json:
            lines = summary(ended.figures, ended.stopped, ended.examples)
            code = finish_with(code, lambda: print_text("\n".join(lines)))
        if ended.stopped is None and ended.exit_code is ExitCode.STOPPED:
            say("no create was let in: the client needs the scope create:event_streams, and a plan with event streams")
        try:
            self._write(ended)
        except BulkstreamsError as error:
            code = fail(error)
        return code

    async def _clean(self, ended: BenchReport, code: int) -> int:
        """Delete what was created, unless it is to be left; return the exit code."""
        left, ledger = ended.created + ended.in_doubt, self._options.ledger
        if not left:
            return code
        if self._options.keep or ended.cut_off:
            say(f"{left:,} streams are left at the tenant, or may be; to delete them: {to_clean(ledger)}")
            return code
        try:
            cleaned = await self._delete(ledger, newest=True)
        except BulkstreamsError as error:  # what was measured is told whatever becomes of the cleaning
            failed = fail(error)
            say(f"to delete what is left: {to_clean(ledger)}")
            return failed
        ended.figures["cleaned"] = cleaned.figures["records"]
        ended.figures["cleaning"] = {name: cleaned.figures[name] for name in ("exit_code", "stopped", "failures")}
        return code or int(cleaned.exit_code)


class Cleaning(Phases):
    """The cleaning after a bench that died: what it may have created is looked up, and all that it did is deleted."""

    def __init__(self, session: ClearingSession, held: AsyncExitStack, path: Path, asked: Asked) -> None:
        super().__init__(session, held, asked)
        self._session, self._path = session, path

    async def execute(self) -> ErrandReport:
        """Do it all, and report."""
        live = Live(say)
        live.reads_lines = False
        async with self._held:
            reasons = await with_beside(self._session.execute, lambda: show(live, self._kind, console()))
        for tenant, reason in reasons.items():
            say(f"stopped {tenant}: {reason}")
        return await self._delete(self._path, interrupted=self._session.interrupted)


async def bench_it(options: BenchOptions, asked: Asked, write: Writing, *, as_json: bool) -> int:
    """Put the loads on, tell what they measured, and delete what they created; return the exit code.

    Where nobody reads standard error any more, or the terminal closes, no more requests begin; the rest is done.
    """
    view = BenchView(say)
    _tell_changed(options.ledger, asked.flags)
    async with AsyncExitStack() as stack:
        session = await stack.enter_async_context(open_bench(options, asked.settings, os.environ, view))
        say(f"what is created is noted in {options.ledger}; should this be killed: {to_clean(options.ledger)}")
        if isinstance(options.plan, Searching) and (longer := lengthened(options.plan)):
            say(longer)
        whole = Whole(session, stack.pop_all(), options, asked, view, write, as_json=as_json)
    return await attend_with(whole, minds=lambda: whole.begins_more)


async def clean(path: Path, mark: str, asked: Asked) -> ErrandReport:
    """Look up what a bench that died may have created, and delete all that it did create, whoever reads of it."""
    async with AsyncExitStack() as stack:
        session = await stack.enter_async_context(open_clearing(path, mark, asked.settings, os.environ))
        cleaning = Cleaning(session, stack.pop_all(), path, asked)
    return await attend_with(cleaning, minds=lambda: False)


def to_clean(ledger: Path) -> str:
    """Return the command that deletes what is left of a bench."""
    return shlex.join(["bulkstreams", "bench", "--clean", str(ledger)])


def to_force(ledger: Path, flags: Sequence[str]) -> str:
    """Return the command that deletes what is left of a bench though somebody has changed it."""
    return shlex.join(["bulkstreams", "undo", str(ledger), "--force", *flags])


def _tell_changed(ledger: Path, flags: Sequence[str]) -> None:
    """Tell of streams of earlier benches that are left to who has changed them."""
    if not ledger.exists():
        return
    with LedgerReader(ledger) as reader:
        changed = reader.changed_since()
    if changed:
        were = "stream of an earlier bench was" if changed == 1 else "streams of earlier benches were"
        say(f"{changed:,} {were} changed by somebody and left; to delete: {to_force(ledger, flags)}")


def _then(ledger: Path) -> str:
    """Say what is to be done after a bench that broke off."""
    left = _left(ledger)
    if left == 0:
        return "nothing is left at the tenant."
    streams = "what it created is" if left is None else f"up to {left:,} stream{' is' if left == 1 else 's are'}"
    return f"{streams} left at the tenant; to delete: {to_clean(ledger)}"


def _left(ledger: Path) -> int | None:
    """Return how many streams a bench may have left; None: its ledger cannot be asked."""
    try:
        with LedgerReader(ledger) as reader:
            return reader.unsettled_at_tenants()
    except BulkstreamsError:
        return None
