"""The stop rules at work: what is counted, whom a rule stops, and when a deadline is over."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import anyio
import pytest

from bulkstreams.core.pacing import Ceiling
from bulkstreams.core.stopping import Stop, StopRules
from bulkstreams.engine import Engine
from bulkstreams.engine.lane import Lane
from bulkstreams.engine.recorder import Recorder
from bulkstreams.engine.stops import Limits, Stops
from bulkstreams.engine.tools import Outcomes
from bulkstreams.model import Settlement, TenantName
from tests.engine.fakes import LOST, FakeLedger, Rig, ScriptedClient, in_told_time, webhooks
from tests.engine.many import Many

ACME, OTHER = TenantName("acme"), TenantName("other")


class Stopped:
    """Stop rules with a list of what they stopped, and when."""

    def __init__(self, rules: StopRules, began: float = 0.0) -> None:
        self.at: list[tuple[TenantName | None, float]] = []
        self.why: list[Stop] = []
        self.stops = Stops(rules, began=began, clock=lambda: asyncio.get_running_loop().time(), stop=self._stop)
        self.recorder = Recorder(FakeLedger([]), self._tell)  # type: ignore[arg-type]

    async def _tell(self, batch: object) -> None: ...

    def _stop(self, tenant: TenantName | None, why: Stop) -> None:
        self.at.append((tenant, asyncio.get_running_loop().time()))
        self.why.append(why)

    def scene(self, work: Callable[[], Awaitable[None]]) -> None:
        """Do some work while deadlines are watched."""

        async def both() -> None:
            async with anyio.create_task_group() as group:
                group.start_soon(self.stops.watch)
                await work()
                group.cancel_scope.cancel()

        in_told_time(both)


def settlements(states: str, first: int = 1) -> list[Settlement]:
    """Return settlements of records from `first` on: created, refused, exhausted, pending or in doubt."""
    names = {"c": "created", "r": "refused", "e": "exhausted", "p": "pending", "d": "in_doubt", "x": "conflict"}
    return [Settlement(id_, names[one], 1) for id_, one in enumerate(states, first)]


def put(outcomes: Outcomes, states: str, first: int = 1) -> None:
    """Put what became of some records."""
    for one in settlements(states, first):
        outcomes.put(one)


def test_only_what_came_to_its_end_is_counted() -> None:
    """A retry and a doubt are no failures, nor are they settled: 20 of them are no sample."""
    found = Stopped(Limits(max_failures=3, max_failure_rate=0.5))

    async def work() -> None:
        outcomes = found.stops.expect(ACME, StopRules(), found.recorder)
        put(outcomes, "pdpdpd" * 30)
        put(outcomes, "rxc")
        assert found.at == []
        put(outcomes, "e")
        assert outcomes.backlog == found.recorder.backlog == 184

    found.scene(work)
    assert [tenant for tenant, _ in found.at] == [None]
    assert found.why[0].reason.startswith("3 of 4 records that this run settled")


def test_a_tenants_rule_counts_its_own_records_and_stops_it_alone() -> None:
    """Failures of the others are not its own, and the others are not even counted where nobody asks."""
    found = Stopped(Limits())

    async def work() -> None:
        acme = found.stops.expect(ACME, StopRules(max_failures=2), found.recorder)
        other = found.stops.expect(OTHER, StopRules(), found.recorder)
        assert other is found.recorder
        put(other, "rrr")
        put(acme, "rpdc", 11)
        assert found.at == []
        put(acme, "xx", 15)

    found.scene(work)
    assert [tenant for tenant, _ in found.at] == [ACME]
    reason = found.why[0].reason
    assert reason.startswith("2 of 3 records of acme")
    assert found.stops.told(ACME, reason) == f"{reason}; 1 more failed among what was under way then"
    assert found.stops.told(ACME, "interrupted") == "interrupted"
    assert found.stops.told(OTHER, reason) == reason  # ten thousand tenants do not ask ten thousand each


def test_a_failure_counts_for_its_tenant_and_for_the_run() -> None:
    """Each has its own number: two tenants with two failures each are four of the run."""
    found = Stopped(Limits(max_failures=4))

    async def work() -> None:
        for first, tenant in ((1, ACME), (11, OTHER)):
            put(found.stops.expect(tenant, StopRules(max_failures=2), found.recorder), "crr", first)

    found.scene(work)
    assert [tenant for tenant, _ in found.at] == [ACME, None, OTHER]


def test_deadlines_are_counted_from_the_runs_beginning() -> None:
    """The run's and each tenant's, also that of a tenant whose turn comes late; each once, in order."""
    found = Stopped(StopRules(deadline_s=50.0), began=-10.0)

    async def work() -> None:
        found.stops.expect(ACME, StopRules(deadline_s=30.0), found.recorder)
        await anyio.sleep(25.0)
        found.stops.expect(OTHER, StopRules(deadline_s=12.0), found.recorder)
        found.stops.expect(TenantName("third"), StopRules(deadline_s=50.0), found.recorder)
        await anyio.sleep(100.0)

    found.scene(work)
    assert [(tenant, pytest.approx(at, abs=0.01)) for tenant, at in found.at] == [
        (ACME, 20.0), (OTHER, 25.0), (None, 40.0), (TenantName("third"), 40.0),
    ]  # fmt: skip


def test_without_deadlines_nothing_is_watched_for() -> None:
    """The watch costs no timer where there is nothing to watch."""
    found = Stopped(StopRules(max_failures=1))

    async def work() -> None:
        await anyio.sleep(3600.0)

    found.scene(work)
    assert found.at == []


def ruled(rig: Rig, rules: StopRules) -> Lane:
    """Run a lane under rules of the run."""
    stops = Stops(
        rules, began=0.0, clock=rig.clock.monotonic, stop=lambda _tenant, why: rig.lane.stop(why.reason, why.hint)
    )
    rig.outcomes = stops.expect(ACME, StopRules(), rig.recorder)

    async def scene() -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(stops.watch)
            await rig.scene(survey=True)
            group.cancel_scope.cancel()

    in_told_time(scene)
    if rig.lane.stopped is not None:
        rig.lane.stopped = stops.told(rig.lane.tenant, rig.lane.stopped)
    return rig.lane


@pytest.mark.parametrize("headers", [{}, {"retry_after": "0"}, {"retry_after": "2"}])
@pytest.mark.parametrize("listed", [False, True])
def test_a_tenant_that_always_answers_429_ends_by_the_deadline(headers: dict[str, str], listed: bool) -> None:
    """No hot loop, whatever the server says of when to come back: an hour costs few requests, and no attempt."""
    client = ScriptedClient()
    client.script = lambda name, n: client.reply(429, {"message": "no"}, **headers)
    if not listed:
        client.page_script = lambda n: client.reply(429, {"message": "no"}, **headers)
    rig = Rig(webhooks(500), client, concurrency=32)
    lane = ruled(rig, Limits(deadline_s=3600.0))
    assert str(lane.stopped).startswith("the deadline of 3600 s has passed (429, ")
    assert rig.ledger.counts() == {"pending": 500}
    assert 3600.0 <= rig.ended_at <= 3601.0
    assert 10 <= len(client.creates) + len(client.pages) <= 200
    assert all(one.attempts == 0 for one in rig.ledger.settlements.values())


def test_what_is_sent_after_a_rule_tripped_is_what_was_under_way() -> None:
    """A lane of eight may have a few more failures than were allowed, and says so."""
    rig = Rig(webhooks(500), ScriptedClient(lambda name, n: 400 if int(name[1:]) >= 100 else "ok"), concurrency=8)
    lane = ruled(rig, Limits(max_failures=5))
    counts = rig.ledger.counts()
    assert 5 < counts["refused"] < 5 + 8
    assert "5 of " in str(lane.stopped)
    assert f"{counts['refused'] - 5} more failed" in str(lane.stopped)
    assert counts["pending"] == 500 - 100 - counts["refused"]


def test_retries_trip_nothing() -> None:
    """Every first attempt is lost and found absent: nothing has failed, so nothing stops."""
    rig = Rig(webhooks(60), ScriptedClient(lambda name, n: LOST if n == 1 else "ok"), concurrency=8)
    lane = ruled(rig, Limits(max_failures=1, max_failure_rate=0.0))
    assert lane.stopped is None
    assert rig.ledger.counts() == {"created": 60}


@pytest.mark.parametrize(("limit", "todo"), [(None, 40), (12, 12), (40, 40), (1000, 40)])
def test_a_run_with_a_limit_has_no_more_to_do_than_that(limit: int | None, todo: int) -> None:
    """What people are told of is what this run may take, over all tenants."""
    many = Many({"acme": 30, "beta": 10}, seats=2, limits={"limit": limit})
    assert many.run().todo == todo
    assert sum(len(one.creates) for one in many.servers.values()) == todo


def test_tenants_that_a_limit_leaves_out_do_not_wait_for_their_turn() -> None:
    """While the records that were taken are sent, nobody is told to wait who will not come."""
    many = Many(dict.fromkeys("abcdefgh", 20), seats=2, limits={"limit": 20})
    many.ceiling = Ceiling(rate=2.0, burst=1)
    seen: list[tuple[int, int]] = []

    async def look(engine: Engine) -> None:
        await anyio.sleep(5.0)
        progress = engine.outlook.look()
        seen.append((progress.lanes, progress.unseated))

    many.run(look)
    assert seen == [(1, 0)]
    assert many.ledger.counts() == {"created": 20, "pending": 140}
