"""One attempt of a lane: a claim is sent, and what came back is acted on.

This module must never classify an answer or choose a delay itself (`core.retry`), nor say what is to be remembered
(`core.outcome`); and it must never send a claim twice while nobody knows what became of it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

from bulkstreams.core import outcome
from bulkstreams.core.retry import Verdict, broken, classify, used_up
from bulkstreams.engine.listing import Listing
from bulkstreams.errors import ActionError, SecretError
from bulkstreams.model import Claim, Event, Failure, Reply
from bulkstreams.schema import created_id, read_error, secrets_in

if TYPE_CHECKING:
    from bulkstreams.engine.lane import Lane
    from bulkstreams.engine.reconcile import Reconciler


class Attempts:
    """Sends the claims of one lane, for as many workers as the lane has."""

    def __init__(self, lane: Lane, doubts: Reconciler, prepare: Callable[[Claim], bytes]) -> None:
        self._lane = lane
        self._doubts = doubts
        self._prepare = prepare
        self._recorder = lane.tools.recorder
        self._wall = lane.tools.clock.wall

    def prepare(self, claim: Claim) -> bytes | None:
        """Return the body to send; None where a secret, or an action, is not to be had: then the record is invalid."""
        try:
            return self._prepare(claim)
        except (SecretError, ActionError) as error:
            self.settle(claim, Event.NOT_APPLIED, Event.LINE_INVALID, attempts=claim.attempts, message=error.message)
            return None

    async def send(self, claim: Claim, body: bytes) -> None:
        """Send a claim once the tenant's limits let it go, and act on what comes back."""
        lane = self._lane
        if not lane.breaker.calm and lane.breaker.is_open and self._is_spared(claim):
            lane.put_back(claim)
            await self._look()
            return
        token = lane.tokens.current() or await lane.tokens.fetch()
        if token is None:
            lane.put_back(claim)
            return
        ticket = lane.limiter.passes(lane.in_flight)
        if ticket is None:
            ticket = await lane.limiter.acquire(lambda: lane.in_flight)
        if ticket is None or lane.holding or not (lane.breaker.calm or lane.breaker.go(claim.id)):
            if ticket is not None:
                lane.limiter.lost(ticket)
            lane.put_back(claim)
            return
        tally = self._recorder.tally
        tally.requests += 1
        if claim.attempts:
            tally.retries += 1
        sent_at = self._wall()
        lane.sent += 1
        lane.in_flight += 1
        lane.under_way.add(claim.id)
        try:
            answer = await lane.client.create(body, token)
        finally:
            lane.in_flight -= 1
            lane.under_way.discard(claim.id)
        if type(answer) is Reply and answer.status == 201 and (remote_id := created_id(answer.body)) is not None:
            lane.heard(ticket, answer)
            if not lane.breaker.calm:
                lane.breaker.heard()
            self._recorder.put(outcome.created(claim, answer, remote_id, sent_at=sent_at, now=self._wall()))
            return
        if claim.first_sent_at is None and (isinstance(answer, Reply) or answer.sent):
            claim = claim._replace(first_sent_at=sent_at)
        await self._take(claim, ticket, answer, body, token)

    def _is_spared(self, claim: Claim) -> bool:
        """Return whether a record's last attempt is too good for a probe: its tenant may come back."""
        return self._lane.breaker.outage.answered and used_up(claim.attempts + 1, self._lane.settings.retries)

    async def _look(self) -> None:
        """Probe with a look-up instead of a create, until the tenant answers or is given up."""
        listing = Listing(self._lane, "nothing more was sent")
        await listing.reach()
        if listing.unreached is not None:
            await self._lane.give_up(listing.unreached)

    async def _take(self, claim: Claim, ticket: int, answer: Reply | Failure, body: bytes, token: str) -> None:
        """Act on an answer that is not the usual 201."""
        lane = self._lane
        remote_id = created_id(answer.body) if isinstance(answer, Reply) and 200 <= answer.status < 300 else None
        verdict = classify(answer, usable=remote_id is not None)
        if isinstance(answer, Reply):
            lane.heard(ticket, answer)
            if not (lane.breaker.calm or broken(answer.status)):
                lane.breaker.heard()
        else:
            lane.limiter.lost(ticket)
        match verdict:
            case Verdict.CREATED:
                self.settle(claim, Event.ACCEPTED, answer=answer, remote_id=remote_id)
            case Verdict.THROTTLED:
                lane.put_back(claim)
            case Verdict.NOT_SENT:
                await self._not_sent(claim, answer)
            case Verdict.LOST:
                self._lost(claim, answer)
            case Verdict.NAME_TAKEN:
                self._doubt(claim, answer, Event.NAME_TAKEN, "the name is taken, or the quota is used up")
            case Verdict.UNAUTHORIZED:
                lane.put_back(claim)
                await lane.tokens.renew(token)
            case _:
                self._refused(claim, answer, (token, *secrets_in(body)), verdict)

    def _refused(self, claim: Claim, answer: Reply | Failure, secrets: tuple[str, ...], verdict: Verdict) -> None:
        code, message = self._explain(answer, secrets)
        if verdict is Verdict.REFUSED:
            self.settle(claim, Event.REFUSED, answer=answer, error_code=code, message=message)
        else:
            self._lane.put_back(claim)
            self._lane.forbidden(answer, message)

    def _explain(self, answer: Reply | Failure, secrets: tuple[str, ...]) -> tuple[str | None, str]:
        if isinstance(answer, Failure):
            return None, answer.reason
        code, message = read_error(answer.body, lambda text: self._lane.tools.mask(text, secrets))
        return code, message or f"the server answered {answer.status}"

    async def _not_sent(self, claim: Claim, answer: Reply | Failure) -> None:
        lane = self._lane
        reason = answer.reason if isinstance(answer, Failure) else ""
        pause = lane.breaker.unsent(claim.id, reason)
        if pause is None:
            lane.later(claim, 0.0)
            return
        attempts, retries = claim.attempts + 1, lane.settings.retries
        if pause < math.inf and not used_up(attempts, retries):
            lane.later(claim._replace(attempts=attempts), pause)
            return
        self.give_up(claim._replace(attempts=max(claim.attempts, retries)), reason, answer)
        lane.unsent()
        if pause == math.inf:
            await lane.give_up(reason)

    def _lost(self, claim: Claim, answer: Reply | Failure) -> None:
        lane, what = self._lane, _what_was_lost(answer)
        self._doubt(claim, answer, Event.LOST, what)
        if isinstance(answer, Reply) and not broken(answer.status):
            return
        if lane.breaker.lost(claim.id, what) == math.inf:
            lane.cannot_be_reached(lane.breaker.story())

    def give_up(self, claim: Claim, reason: str, answer: Reply | Failure | None = None) -> None:
        """Settle a record that the tenant is known not to have, and that is tried no more."""
        message = f"never sent: {reason}" if claim.first_sent_at is None else f"not sent again: {reason}"
        self.settle(claim, Event.NOT_APPLIED, Event.GAVE_UP, answer=answer, message=message)

    def _doubt(self, claim: Claim, answer: Reply | Failure, event: Event, message: str) -> None:
        self.settle(claim, event, answer=answer, message=message)
        first_loss = event is Event.LOST and claim.ours_since is None
        sent_at = self._lane.tools.clock.monotonic() - answer.elapsed_s
        self._doubts.add(claim.id, answered=event is Event.NAME_TAKEN, lost_since=sent_at if first_loss else None)

    def settle(
        self,
        claim: Claim,
        *events: Event,
        answer: Reply | Failure | None = None,
        attempts: int | None = None,
        remote_id: str | None = None,
        error_code: str | None = None,
        message: str | None = None,
    ) -> None:
        """Have it remembered that a claim went through `events`."""
        self._recorder.put(
            outcome.ended(
                claim,
                *events,
                now=self._wall(),
                answer=answer,
                attempts=attempts,
                remote_id=remote_id,
                error_code=error_code,
                message=message,
            )
        )


def _what_was_lost(answer: Reply | Failure) -> str:
    if isinstance(answer, Failure):
        return answer.reason
    if answer.status < 300:
        return f"a {answer.status} whose body names no stream"
    return f"the server answered {answer.status}"
