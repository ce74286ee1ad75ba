"""The work of a lane that does something with streams after their creation: undo, switch, test.

One request a step, each through the lane's gate; what a step leads to is `core.steps`' to say. An intent is durable
before an act is sent. This module must never act on a stream that it has not looked at, test events apart, nor decide
what an answer means.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from heapq import heappop, heappush
from typing import TYPE_CHECKING, Any, Final

import orjson

from bulkstreams.core import steps
from bulkstreams.core.errands import SCOPES, STATUS, Answered, End, Errand, Kind, Step, Wait
from bulkstreams.core.matching import CLOCK_MARGIN_S
from bulkstreams.core.retry import broken
from bulkstreams.engine.gate import passage
from bulkstreams.engine.listing import Listing
from bulkstreams.engine.work import NO_DOUBTS
from bulkstreams.ledger import ErrandBook
from bulkstreams.model import Failure, Reply
from bulkstreams.schema import is_absent, read_deliveries, read_delivery, read_error, read_shown

if TYPE_CHECKING:
    from bulkstreams.engine.lane import Lane

PATIENCE_S: Final = 60.0
"""Seconds that a test event's delivery is waited for, unless something else is said."""

_LOOKS: Final = frozenset({Step.LOOK, Step.SEARCH, Step.POLL})


@dataclass(frozen=True, slots=True, kw_only=True)
class Manner:
    """How errands are done: `force`: also to streams that were changed; `dry`: only to say what would be done."""

    force: bool = False
    dry: bool = False
    patience_s: float = PATIENCE_S


class Errands:
    """The errands of one kind at one tenant."""

    doubts = NO_DOUBTS
    is_over = False
    requests_each = 2.0  # a look, or an answer to wait for, and an act
    first_look = "looking up what is there already"

    def __init__(self, lane: Lane, book: ErrandBook, manner: Manner) -> None:
        self._lane = lane
        self._book = book
        self._manner = manner
        self._recorder = lane.tools.recorder
        self._clock = lane.tools.clock
        self._after = 0
        self._at_gate: list[tuple[int, float, int, Errand]] = []  # a heap, the most urgent first
        self._turns = itertools.count()
        self.scopes = "the scopes " + ", ".join(SCOPES[book.kind])
        self.looks_first = True

    # -- what a lane asks of its work ---------------------------------------------------------------------------------

    async def look_first(self) -> bool:
        """See that the tenant's streams are where we look for them: else every one of them would seem to be gone."""
        lane = self._lane
        if await Listing(lane, "nothing was done").reach():
            self.looks_first = False
            return lane.going
        if lane.going:
            lane.cannot_be_reached(lane.breaker.story())
        return False

    async def claim(self, count: int, server_now: float | None) -> list[Errand]:
        """Take the next errands; the ledger keeps them pending whatever becomes of us."""
        found = await self._book.claim(self._lane.tenant, self._after, count)
        if found:
            self._after = found[-1].id
        return [steps.resumed(one) for one in found]

    def prepare(self, claim: Errand) -> Errand | None:
        """Return an errand that may take its next step; one that has to wait for it first is put aside."""
        if claim.wait is Wait.NOTHING:
            return claim
        lane = self._lane
        pause = steps.delay(claim, lane.settings.settle_s, lane.tools.draw())
        lane.later(claim._replace(wait=Wait.NOTHING), pause)
        return None

    def release(self, claim: Errand) -> None:
        """Give an errand back; what is claimed next begins with the first that is pending."""
        self._recorder.put(steps.returned(claim))
        self._after = 0

    def give_up(self, claim: Errand, reason: str) -> None:
        """Give an errand back: it can be taken up again when the tenant answers."""
        self.release(claim)

    # -- one step -----------------------------------------------------------------------------------------------------

    async def send(self, claim: Errand, prepared: Errand) -> None:
        """Take an errand's next step, or another's that must not wait: there is one at the gate for each who does."""
        lane, ours = self._lane, await self._intend(prepared)
        if not lane.going:
            lane.put_back(ours)
            return
        heappush(self._at_gate, (*steps.urgency(ours), next(self._turns), ours))
        let = await passage(lane, lambda: self._at_gate[0][-1].id)
        errand = heappop(self._at_gate)[-1]  # what is most urgent by now, be it in whose hands it may
        if let is None:
            lane.put_back(errand)
            return
        if steps.is_stale(errand, self._clock.monotonic()):
            errand = errand._replace(step=Step.LOOK)
        answer = await self._ask(errand, let.token)
        if isinstance(answer, Reply):
            lane.heard(let.ticket, answer)
            if not (lane.breaker.calm or broken(answer.status)):
                lane.breaker.heard()
        else:
            lane.limiter.lost(let.ticket)
        await self._take(errand, answer, let.token)

    async def _intend(self, errand: Errand) -> Errand:
        """Have the intent to act on disk before anything is sent."""
        if errand.step is not Step.ACT or errand.intent_at is not None:
            return errand
        now = self._clock.wall()
        self._recorder.put(steps.intended(errand, now))
        await self._recorder.flush()
        return errand._replace(intent_at=now)

    async def _ask(self, errand: Errand, token: str) -> Reply | Failure:
        lane, tally = self._lane, self._recorder.tally
        if errand.step in _LOOKS:
            tally.lookups += 1
        else:
            tally.requests += 1
            tally.retries += errand.acted
        lane.sent += 1
        lane.in_flight += 1
        lane.under_way.add(errand.id)
        try:
            return await self._request(errand, token)
        finally:
            lane.in_flight -= 1
            lane.under_way.discard(errand.id)

    def _request(self, errand: Errand, token: str) -> Awaitable[Reply | Failure]:
        client, stream_id = self._lane.client, errand.remote_id
        match errand.step:
            case Step.LOOK:
                return client.stream(stream_id, token)
            case Step.SEARCH:
                return client.deliveries(stream_id, errand.event or "", self._since(errand), token)
            case Step.POLL:
                return client.delivery(stream_id, errand.delivery or "", token)
            case Step.ACT:
                return self._act(errand, token)

    def _act(self, errand: Errand, token: str) -> Awaitable[Reply | Failure]:
        client, stream_id = self._lane.client, errand.remote_id
        if errand.kind is Kind.UNDO:
            return client.delete(stream_id, token)
        if errand.kind is Kind.SMOKE:
            return client.test(stream_id, orjson.dumps({"event_type": errand.event}), token)
        return client.change(stream_id, orjson.dumps({"status": STATUS[errand.kind]}), token)

    def _since(self, errand: Errand) -> str:
        """Return the instant of an errand's intent by the server's clock, in whole seconds, a little early."""
        server_now = self._lane.server_clock.at(self._clock.monotonic())
        ahead = 0.0 if server_now is None else server_now - self._clock.wall()
        at = math.floor((errand.intent_at or 0.0) + ahead - CLOCK_MARGIN_S)
        return datetime.fromtimestamp(max(0, at), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

    # -- what came back -----------------------------------------------------------------------------------------------

    async def _take(self, errand: Errand, answer: Reply | Failure, token: str) -> None:
        lane = self._lane
        read = _read(errand, answer)
        absent = isinstance(answer, Reply) and answer.status == 404 and is_absent(answer.body)
        match steps.answered(answer, usable=read is not None, absent=absent):
            case Answered.DONE:
                self._go_on(errand, self._done(errand, read, token), answer)
            case Answered.ABSENT:
                self._go_on(errand, steps.absent(errand, **self._waited(errand)), answer)
            case Answered.LOST:
                self._lost(errand, answer)
            case Answered.NOT_SENT:
                self._not_sent(errand, answer)
            case Answered.THROTTLED:
                lane.put_back(errand)
            case Answered.UNAUTHORIZED:
                lane.put_back(errand)
                await lane.tokens.renew(token)
            case Answered.REFUSED:
                code, message = self._explain(answer, token)
                self._go_on(errand, steps.refused(message), answer, code)
            case Answered.FORBIDDEN:
                lane.put_back(errand)
                lane.forbidden(answer, self._explain(answer, token)[1])

    def _done(self, errand: Errand, read: Any, token: str) -> Errand | End:
        """Say what follows from a usable answer to an errand's step."""
        now, retries = self._clock.monotonic(), self._lane.settings.retries
        match errand.step:
            case Step.LOOK:
                found = steps.looked(errand, read, retries=retries, now=now, force=self._manner.force)
                if self._manner.dry and isinstance(found, Errand):
                    return steps.done(found, now=now)  # that is what would be
                return found
            case Step.ACT:
                return steps.done(errand, now=now, **read)
            case Step.SEARCH:
                return steps.searched(errand, read[-1] if read else None, retries=retries, now=now)
            case Step.POLL:
                read = read._replace(error=read.error and self._lane.tools.mask(read.error, (token,)))
                return steps.polled(errand, read, **self._waited(errand))

    def _waited(self, errand: Errand) -> dict[str, float]:
        """Return how long a delivery has been waited for, and how long it may be."""
        now = self._clock.monotonic()
        since = errand.since if errand.since is not None else now
        return {"waited_s": now - since, "patience_s": self._manner.patience_s}

    def _lost(self, errand: Errand, answer: Reply | Failure) -> None:
        lane, what = self._lane, _what_was_lost(answer)
        free = lane.breaker.is_open
        self._go_on(errand, steps.lost(errand, what, retries=lane.settings.retries, free=free), answer)
        is_broken = isinstance(answer, Failure) or broken(answer.status)
        if is_broken and lane.breaker.lost(errand.id, what) == math.inf:
            lane.cannot_be_reached(lane.breaker.story())

    def _not_sent(self, errand: Errand, answer: Reply | Failure) -> None:
        """Try again when the tenant can be reached; that it cannot costs an errand nothing."""
        lane = self._lane
        pause = lane.breaker.unsent(errand.id, answer.reason if isinstance(answer, Failure) else "")
        if pause == math.inf:
            lane.put_back(errand)
            lane.cannot_be_reached(lane.breaker.story())
        else:
            lane.later(errand, pause or 0.0)

    def _explain(self, answer: Reply | Failure, token: str) -> tuple[str | None, str]:
        if isinstance(answer, Failure):
            return None, answer.reason
        code, message = read_error(answer.body, lambda text: self._lane.tools.mask(text, (token,)))
        return code, message or f"the server answered {answer.status}"

    def _go_on(
        self, errand: Errand, found: Errand | End, answer: Reply | Failure, error_code: str | None = None
    ) -> None:
        """Settle an errand that has met its fate; have any other take its next step when that is due."""
        if isinstance(found, End):
            now = self._clock.wall()
            self._recorder.put(steps.ended(errand, found, now=now, answer=answer, error_code=error_code))
            return
        if found.delivery != errand.delivery:
            self._recorder.put(steps.accepted(found))  # so that nobody sends the event once more
        if found.step is Step.POLL and found.since is None:
            found = found._replace(since=self._clock.monotonic())
        if self.prepare(found) is not None:
            self._lane.put_back(found)


def _read(errand: Errand, answer: Reply | Failure) -> Any:
    """Return what a 2xx has in it that an errand's step was for; None: it is of no use."""
    if isinstance(answer, Failure) or not 200 <= answer.status < 300:
        return None
    match errand.step:
        case Step.LOOK:
            return read_shown(answer.body, errand.remote_id)
        case Step.SEARCH:
            return read_deliveries(answer.body)
        case Step.POLL:
            return read_delivery(answer.body)
        case Step.ACT:
            return _ACTED[errand.kind](answer.body, errand)


def _deleted(_body: bytes, _errand: Errand) -> Mapping[str, Any]:
    return {}


def _switched(body: bytes, errand: Errand) -> Mapping[str, Any] | None:
    shown = read_shown(body, errand.remote_id)
    return None if shown is None or shown.status != STATUS[errand.kind] else {"updated_at": shown.updated_at}


def _tested(body: bytes, _errand: Errand) -> Mapping[str, Any] | None:
    found = read_delivery(body)
    return None if found is None else {"delivery": found.id}


_ACTED: Final[Mapping[Kind, Callable[[bytes, Errand], Mapping[str, Any] | None]]] = {
    Kind.UNDO: _deleted,
    Kind.ENABLE: _switched,
    Kind.DISABLE: _switched,
    Kind.SMOKE: _tested,
}
"""What the answer to an act has in it, by kind."""


def _what_was_lost(answer: Reply | Failure) -> str:
    if isinstance(answer, Failure):
        return answer.reason
    return "an answer that cannot be read" if answer.status < 300 else f"the server answered {answer.status}"
