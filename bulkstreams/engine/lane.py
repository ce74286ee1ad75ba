"""One tenant's share of a run: claims from the ledger, at most `concurrency` attempts at once, verdicts back to it.

A lane holds a bounded window of claims. Workers take from its front; a retry waits in a heap, never in a worker; what
is in doubt waits for a look-up (`reconcile`). A lane that stops touches no other.
This module must never classify an answer or choose a delay itself (`core.retry`, `core.pacing`), nor write a state
that `core.lifecycle` does not allow.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from heapq import heappop, heappush
from typing import Final, Protocol

import anyio
from anyio.abc import TaskGroup

from bulkstreams.client import Client
from bulkstreams.core.lifecycle import step
from bulkstreams.core.matching import Stream
from bulkstreams.core.pacing import Window, pause_after_429
from bulkstreams.core.retry import Verdict, backoff, classify, used_up
from bulkstreams.engine.reconcile import Reconciler
from bulkstreams.engine.recorder import Recorder
from bulkstreams.errors import CredentialsError, SecretError
from bulkstreams.ledger import Ledger
from bulkstreams.limiter import Limiter
from bulkstreams.model import Claim, Doubt, Event, Failure, Reply, Settlement, State, TenantName
from bulkstreams.schema import created_id, read_error, secrets_in

MAX_WINDOW: Final = 4096
"""The most records that one lane holds in flight or about to be: what a crash leaves in doubt at the worst."""

WINDOW_S: Final = 1.0
"""Seconds' worth of sending that a lane claims ahead of its limiter."""

UNREACHABLE_AFTER: Final = 100
"""Records in a row that could not be sent at all, with no answer between, after which a tenant is given up."""


_CREATED: Final = step(State.IN_FLIGHT, Event.ACCEPTED).value


class Clock(Protocol):
    """The time, both kinds: monotonic seconds to wait by, epoch seconds to write down."""

    def monotonic(self) -> float:
        """Return monotonic seconds."""

    def wall(self) -> float:
        """Return seconds since 1970, UTC."""


class Credential(Protocol):
    """Where a lane gets its token."""

    def current(self) -> str | None:
        """Return the token if there is a fresh one."""

    async def token(self) -> str:
        """Return a fresh token, fetched if need be; raise CredentialsError where none is to be had."""

    async def refresh(self, stale: str) -> str:
        """Return another token than `stale`, which the server refused; raise CredentialsError where there is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LaneSettings:
    """What a lane is allowed: attempts at once, retries of a record, seconds after which absence proves something."""

    concurrency: int
    retries: int
    settle_s: float = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Tools:
    """What every lane of a run shares: the ledger, the way to it, the line behind a claim, the time, and chance."""

    ledger: Ledger
    recorder: Recorder
    prepare: Callable[[Claim], bytes]
    mask: Callable[[str, tuple[str, ...]], str]
    allow: Callable[[int], int]
    clock: Clock
    draw: Callable[[], float]


class Lane:
    """Provisions the pending records of one tenant."""

    def __init__(
        self,
        tenant: TenantName,
        client: Client,
        credential: Credential,
        limiter: Limiter,
        window: Window | None,
        settings: LaneSettings,
        tools: Tools,
    ) -> None:
        self.tenant = tenant
        self.settings = settings
        self.tools = tools
        self.client = client
        self.credential = credential
        self.limiter = limiter
        self.stopped: str | None = None
        self.stop_hint = ""
        self.in_flight = 0
        self.under_way: set[int] = set()
        self._fetching: set[anyio.CancelScope] = set()
        self.finished = False
        self.throttled_in_a_row = 0
        self._budget = window
        self._window = min(2 * settings.concurrency, MAX_WINDOW)
        self._ready: deque[Claim] = deque()
        self._waiting: list[tuple[float, int, Claim]] = []
        self._waiter_runs = False
        self._workers = 0
        self._sent = 0
        self._sized_at, self._sized_sent = tools.clock.monotonic(), 0
        self._unreachable = 0
        self._returned = False
        self._changed = asyncio.Event()
        self._stopping = anyio.Event()
        self._group: TaskGroup
        self.reconciler = Reconciler(self)

    # -- the life of a lane -------------------------------------------------------------------------------------------

    async def run(self, *, in_doubt: bool) -> None:
        """Work until nothing of the tenant is pending or in doubt, or until the lane is stopped.

        `in_doubt`: the ledger holds doubts of earlier runs. Raises InputChangedError and the ledger's errors.
        """
        try:
            async with anyio.create_task_group() as self._group:
                if in_doubt:
                    self.reconciler.resume()
                await self._feed()
        finally:
            # Cut off or not: what is still here was never sent.
            self._release()
        self.finished = True

    def stop(self, reason: str, hint: str = "") -> None:
        """Send nothing more: attempts under way end in order, what was claimed and not sent becomes pending again."""
        if self.stopped is None:
            self.stopped, self.stop_hint = reason, hint
            self.limiter.close()
            self._stopping.set()
            self._changed.set()
            for scope in self._fetching:
                scope.cancel()

    async def sleep(self, seconds: float) -> bool:
        """Wait, but no longer than until the lane is stopped; return whether it goes on."""
        with anyio.move_on_after(seconds):
            await self._stopping.wait()
        return self.stopped is None

    def start(self, work: Callable[[], object]) -> None:
        """Start a task that ends before the lane does."""
        self._group.start_soon(work)  # type: ignore[arg-type]

    def wake(self) -> None:
        """Look again whether there is more to claim, or nothing left at all."""
        self._changed.set()

    def _release(self) -> None:
        for claim in [*self._ready, *(claim for _, _, claim in self._waiting)]:
            self._settle(claim, Event.NOT_APPLIED, attempts=claim.attempts)
        self._ready.clear()
        self._waiting.clear()

    # -- claims -------------------------------------------------------------------------------------------------------

    @property
    def _held(self) -> int:
        return len(self._ready) + len(self._waiting) + self._workers

    async def _feed(self) -> None:
        """Keep the window filled, ahead of the limiter, so that no worker waits for the disk."""
        dry = False
        while self.stopped is None:
            if self._returned:
                self._returned, dry = False, False
                await self.tools.recorder.flush()  # what was put back can be claimed once it is on disk
            room = self._window - self._held
            if not dry and room * 2 >= self._window and self.reconciler.has_room:
                dry = await self._claim(room)
                continue
            if dry and self._held == 0 and not self.reconciler.busy:
                # What was put back may still be on its way to the ledger.
                await self.tools.recorder.flush()
                if not self._returned and self._held == 0 and not self.reconciler.busy:
                    return
                continue
            self._changed.clear()
            await self._changed.wait()

    async def _claim(self, room: int) -> bool:
        """Claim up to `room` records; return whether there are no more for now."""
        if self.tools.recorder.backlog > MAX_WINDOW:
            await self.tools.recorder.flush()  # whoever is told of outcomes cannot keep up: send no faster than they
        count = self.tools.allow(room)
        claims = await self.tools.ledger.claim(self.tenant, count, self.tools.clock.wall()) if count else []
        self.tools.allow(len(claims) - count)
        if claims:
            self._size_window()
            self._ready.extend(claims)
            self._staff()
        return len(claims) < room

    def _size_window(self) -> None:
        """Hold what the lane sends in `WINDOW_S`, as it went since the last claim; it may double at most."""
        now = self.tools.clock.monotonic()
        passed, sent = now - self._sized_at, self._sent - self._sized_sent
        self._sized_at, self._sized_sent = now, self._sent
        wanted = min(2 * self._window, round(WINDOW_S * sent / passed)) if passed > 0 and sent else 0
        self._window = max(2 * self.settings.concurrency, min(MAX_WINDOW, wanted))

    def _staff(self) -> None:
        wanted = min(self.settings.concurrency - self._workers, len(self._ready))
        for _ in range(wanted):
            self._workers += 1
            self._group.start_soon(self._work)

    # -- attempts -----------------------------------------------------------------------------------------------------

    async def _work(self) -> None:
        """Send one record after the other, until none is ready."""
        ready = self._ready
        try:
            while ready and self.stopped is None:
                claim = ready.popleft()
                body = self._prepare(claim)
                if body is not None:
                    await self._send(claim, body)
                if len(ready) * 2 <= self._window:
                    self._changed.set()
        finally:
            self._workers -= 1
            self._changed.set()

    def _prepare(self, claim: Claim) -> bytes | None:
        try:
            return self.tools.prepare(claim)
        except SecretError as error:
            self._settle(claim, Event.NOT_APPLIED, Event.LINE_INVALID, attempts=claim.attempts, message=error.message)
            return None

    async def _send(self, claim: Claim, body: bytes) -> None:
        token = self.credential.current() or await self.token()
        if token is None:
            self._ready.appendleft(claim)
            return
        if not self.limiter.passes(self.in_flight) and not await self.limiter.acquire(lambda: self.in_flight):
            self._ready.appendleft(claim)
            return
        tally = self.tools.recorder.tally
        tally.requests += 1
        self._sent += 1
        if claim.attempts:
            tally.retries += 1
        sent_at = self.tools.clock.wall()
        self.in_flight += 1
        self.under_way.add(claim.id)
        try:
            answer = await self.client.create(body, token)
        finally:
            self.in_flight -= 1
            self.under_way.discard(claim.id)
        if claim.first_sent_at is None and (isinstance(answer, Reply) or answer.sent):
            claim = claim._replace(first_sent_at=sent_at)
        remote_id = created_id(answer.body) if isinstance(answer, Reply) and answer.status == 201 else None
        if remote_id is not None and isinstance(answer, Reply):
            self.heard(answer, throttled=False)
            self._created(claim, answer, remote_id)
        else:
            await self._take(claim, answer, body, token)

    async def _take(self, claim: Claim, answer: Reply | Failure, body: bytes, token: str) -> None:
        """Act on what an attempt brought back."""
        remote_id = created_id(answer.body) if isinstance(answer, Reply) and 200 <= answer.status < 300 else None
        verdict = classify(answer, usable=remote_id is not None)
        if isinstance(answer, Reply):
            self.heard(answer, throttled=verdict is Verdict.THROTTLED)
        else:
            self.limiter.changed()
        if verdict is Verdict.CREATED and isinstance(answer, Reply) and remote_id is not None:
            self._created(claim, answer, remote_id)
        elif verdict is Verdict.THROTTLED:
            self._ready.appendleft(claim)
        elif verdict is Verdict.NOT_SENT:
            self._not_sent(claim, answer)
        elif verdict is Verdict.LOST:
            self._doubt(claim, answer, Event.LOST, _what_was_lost(answer))
        elif verdict is Verdict.NAME_TAKEN:
            self._doubt(claim, answer, Event.NAME_TAKEN, "the name is taken, or the quota is used up")
        elif verdict is Verdict.UNAUTHORIZED:
            self._ready.appendleft(claim)
            await self.reauthorize(token)
        else:
            code, message = self._explain(answer, body)
            if verdict is Verdict.REFUSED:
                self._settle(claim, Event.REFUSED, answer=answer, error_code=code, message=message)
            else:
                self._ready.appendleft(claim)
                self.forbidden(answer, message)

    def heard(self, reply: Reply, *, throttled: bool) -> None:
        """Take from a reply what it says of the tenant's budget; after a 429 the whole lane pauses."""
        self._unreachable = 0
        if throttled:
            now = self.tools.clock.monotonic()
            # One pause for all that were refused together: those already under way when it began say nothing new.
            self.tools.recorder.tally.throttled += 1
            if self.limiter.resume_at <= now:
                self.throttled_in_a_row += 1
            pause = pause_after_429(reply.headers, in_a_row=self.throttled_in_a_row, draw=self.tools.draw())
            self.limiter.pause(pause, "429: the server said to wait")
            if self._budget is not None:
                self._budget.throttled()
        else:
            if reply.status < 400:
                self.throttled_in_a_row = 0
            if self._budget is not None:
                self._budget.replied(reply.headers, self.in_flight, self.tools.clock.monotonic())
        self.limiter.changed()

    async def reauthorize(self, token: str) -> bool:
        """Get another token than the one that was refused; stop the lane where there is none."""
        await self._fetched(lambda: self.credential.refresh(token))
        return self.stopped is None

    async def token(self) -> str | None:
        """Fetch a token; None where none is to be had and the lane stops, or the lane was stopped meanwhile."""
        return await self._fetched(self.credential.token)

    async def _fetched(self, fetch: Callable[[], Awaitable[str]]) -> str | None:
        with anyio.CancelScope() as scope:
            self._fetching.add(scope)
            try:
                return await fetch()
            except CredentialsError as error:
                self.stop(error.message, error.hint)
            finally:
                self._fetching.discard(scope)
        return None

    def forbidden(self, answer: Reply | Failure, message: str) -> None:
        """Stop the lane: no record of this tenant can succeed."""
        status = answer.status if isinstance(answer, Reply) else 0
        hint = (
            "Give the client the scopes create:event_streams and read:event_streams, and check that the plan has "
            "event streams; then run the same command again."
            if status == 403
            else "Check the tenant's address (domain or base_url); then run the same command again."
        )
        self.stop(f"{self.tenant} answered {status}: {message}", hint)

    def _explain(self, answer: Reply | Failure, body: bytes) -> tuple[str | None, str]:
        if isinstance(answer, Failure):
            return None, answer.reason
        code, message = read_error(answer.body, lambda text: self.tools.mask(text, secrets_in(body)))
        return code, message or f"the server answered {answer.status}"

    def _not_sent(self, claim: Claim, answer: Reply | Failure) -> None:
        attempts = claim.attempts + 1
        reason = answer.reason if isinstance(answer, Failure) else ""
        if not used_up(attempts, self.settings.retries):
            self._later(claim._replace(attempts=attempts), backoff(attempts, self.tools.draw()))
            return
        self._settle(claim, Event.NOT_APPLIED, Event.GAVE_UP, answer=answer, message=f"never sent: {reason}")
        self._unreachable += 1
        if self._unreachable >= UNREACHABLE_AFTER:
            self.stop(
                f"{self.tenant} cannot be reached: {reason}; {self._unreachable} records in a row could not be sent",
                "Check the network and the tenant's address; then run the same command again: it resumes.",
            )

    # -- waiting for a retry ------------------------------------------------------------------------------------------

    def _later(self, claim: Claim, delay: float) -> None:
        heappush(self._waiting, (self.tools.clock.monotonic() + delay, claim.id, claim))
        if not self._waiter_runs:
            self._waiter_runs = True
            self._group.start_soon(self._bring_back)

    async def _bring_back(self) -> None:
        while self._waiting and self.stopped is None:
            due = self._waiting[0][0] - self.tools.clock.monotonic()
            if due > 0:
                # A shorter delay may be added meanwhile; no retry is worse off than by this step for it.
                await self.sleep(min(due, 0.25))
                continue
            self._ready.append(heappop(self._waiting)[2])
            self._staff()
        self._waiter_runs = False

    # -- verdicts -----------------------------------------------------------------------------------------------------

    def _created(self, claim: Claim, answer: Reply, remote_id: str) -> None:
        """Settle a record that was created: what nearly every attempt ends in."""
        self.tools.recorder.put(
            Settlement(
                claim.id,
                _CREATED,
                claim.attempts + 1,
                remote_id,
                answer.status,
                None,
                None,
                claim.first_sent_at,
                self.tools.clock.wall(),
                round(answer.elapsed_s * 1000, 3),
                False,
                _CREATED,
            )
        )

    def _settle(
        self,
        claim: Claim,
        *events: Event,
        answer: Reply | Failure | None = None,
        attempts: int | None = None,
        error_code: str | None = None,
        message: str | None = None,
    ) -> None:
        state = State.IN_FLIGHT
        for event in events:
            state = step(state, event)
        self.tools.recorder.put(
            Settlement(
                claim.id,
                state.value,
                claim.attempts + 1 if attempts is None else attempts,
                None,
                answer.status if isinstance(answer, Reply) else None,
                error_code,
                message,
                claim.first_sent_at,
                self.tools.clock.wall(),
                None if answer is None else round(answer.elapsed_s * 1000, 3),
            )
        )

    def _doubt(self, claim: Claim, answer: Reply | Failure, event: Event, message: str) -> None:
        self._settle(claim, event, answer=answer, message=message)
        now = self.tools.clock.wall()
        self.reconciler.add(
            Doubt(
                claim.id,
                claim.tenant,
                claim.key,
                claim.name,
                claim.input,
                claim.line,
                claim.digest,
                claim.digest,
                claim.attempts + 1,
                claim.first_sent_at,
                claim.first_sent_at or now,
                now,
                event is Event.NAME_TAKEN,
            )
        )

    def resolve(self, doubt: Doubt, event: Event, stream: Stream | None, message: str | None) -> None:
        """Write what a look-up found out about a doubt."""
        state = step(State.IN_DOUBT, event)
        anchor = state if state in {State.CREATED, State.EXISTS} else None
        if doubt.invalid is not None:
            state = step(state, Event.LINE_INVALID)
            message = doubt.invalid
        elif anchor is not None and doubt.current != doubt.digest:
            state = step(state, Event.LINE_DIFFERS)
            message = "the line changed after its stream was sent; nothing more was sent"
        elif state is State.PENDING and used_up(doubt.attempts, self.settings.retries):
            state = step(state, Event.GAVE_UP)
            message = "no answer to any attempt; a look-up shows that the tenant does not have it"
        if state is State.PENDING:
            self._returned = True
            self.tools.allow(-1)  # it will be claimed again
        self.tools.recorder.put(
            Settlement(
                doubt.id,
                state.value,
                doubt.attempts,
                None if stream is None else stream.id,
                409 if doubt.name_taken else None,
                None,
                message,
                doubt.first_sent_at,
                self.tools.clock.wall(),
                None,
                event is Event.FOUND_OURS,
                None if anchor is None else anchor.value,
            )
        )


def _what_was_lost(answer: Reply | Failure) -> str:
    if isinstance(answer, Failure):
        return answer.reason
    if answer.status < 300:
        return f"a {answer.status} whose body names no stream"
    return f"the server answered {answer.status}"
