"""The stop rules at work: what is settled is counted, deadlines are watched, runs and tenants are stopped.

This module must never say when a rule trips or what is told of it (`core.stopping`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from heapq import heappop, heappush
from itertools import count
from typing import Any, Final, Protocol

import anyio

from bulkstreams.core.errands import Fate
from bulkstreams.core.lifecycle import FAILED
from bulkstreams.core.stopping import Count, Stop, StopRules, deadline_passed
from bulkstreams.engine.tools import Outcomes
from bulkstreams.model import State, TenantName

_OPEN: Final = frozenset({State.PENDING.value, State.IN_DOUBT.value})
_FAILED: Final = frozenset({*(state.value for state in FAILED), Fate.FAILED.value})


class Settled(Protocol):
    """What became of something, as far as the rules are concerned."""

    @property
    def state(self) -> str:
        """Return the value of the state that it is in from now on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits(StopRules):
    """When a run ends before its work does; None: no such limit. `limit`: the records that it may take."""

    limit: int | None = None


class Stops:
    """The rules of one run and of its tenants.

    `clock` gives monotonic seconds, `began` is when the run did: all deadlines are counted from there. `stop` is called
    once for each rule that trips, with the tenant, or None for the run as a whole.
    """

    def __init__(
        self,
        rules: StopRules,
        *,
        began: float,
        clock: Callable[[], float],
        stop: Callable[[TenantName | None, Stop], None],
    ) -> None:
        self._run = Count(rules)
        self._tenants: dict[TenantName, Count] = {}
        self._numbers = count()  # what is due at the same instant goes in the order in which it came
        self._began, self._clock, self._stop = began, clock, stop
        self._due: list[tuple[float, int, TenantName | None, StopRules]] = []
        self._added = asyncio.Event()
        self._watch_for(None, rules)

    def expect(self, tenant: TenantName, rules: StopRules, recorder: Outcomes[Any]) -> Outcomes[Any]:
        """Take in a tenant's own rules, if it has any; return where its lane is to put its outcomes."""
        self._watch_for(tenant, rules)
        if not (rules.counts or self._run.rules.counts):
            return recorder
        own = self._tenants.setdefault(tenant, Count(rules, tenant))
        return _Counted(recorder, partial(self.settle, own))

    # -- failures -----------------------------------------------------------------------------------------------------

    def settle(self, own: Count, settlement: Settled) -> None:
        """Count what becomes of a record, for its tenant and for the run; stop what has had enough.

        It is counted before it is on disk, so that nothing is sent on the way there; a run that ends tells it after.
        """
        if settlement.state not in _OPEN:
            failed = settlement.state in _FAILED
            for counted in (self._run, own):
                stop = counted.settle(failed=failed)
                if stop is not None:
                    self._stop(counted.tenant, stop)

    def told(self, tenant: str, reason: str) -> str:
        """Return why a tenant's lane was stopped, with what has failed since, where it was one of these rules."""
        for one in (self._run, self._tenants.get(TenantName(tenant))):
            if one is not None and one.stop is not None and reason.startswith(one.stop.reason):
                return reason + one.story()
        return reason

    # -- deadlines ----------------------------------------------------------------------------------------------------

    def _watch_for(self, tenant: TenantName | None, rules: StopRules) -> None:
        if rules.deadline_s is not None:
            heappush(self._due, (self._began + rules.deadline_s, next(self._numbers), tenant, rules))
            self._added.set()

    async def watch(self) -> None:
        """Stop whatever has run out of time, until cancelled; reading the input is part of it."""
        while True:
            self._added.clear()
            wait = self._due[0][0] - self._clock() if self._due else None
            if wait is not None and wait <= 0:
                _, _, tenant, rules = heappop(self._due)
                self._stop(tenant, deadline_passed(rules, tenant))
                continue
            with anyio.move_on_after(wait):
                await self._added.wait()


class _Counted:
    """A recorder whose outcomes are counted for their tenant: settlements themselves do not tell whose they are."""

    def __init__(self, recorder: Outcomes[Any], settle: Callable[[Settled], None]) -> None:
        self._recorder, self._settle = recorder, settle
        self.tally = recorder.tally
        self.flush = recorder.flush

    @property
    def backlog(self) -> int:
        """Return how many settlements wait to be written and told."""
        return self._recorder.backlog

    @property
    def behind(self) -> int:
        """Return how many settlements are not durable and told yet."""
        return self._recorder.behind

    def put(self, settlement: Settled) -> None:
        """Take a settlement to be written with the next commit."""
        self._recorder.put(settlement)
        self._settle(settlement)
