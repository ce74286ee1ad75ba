"""Fakes for the engine: a loop whose time is told, not lived; a server that follows a script; a ledger in memory."""

from __future__ import annotations

import asyncio
import json
import selectors
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import formatdate
from typing import Any

import anyio

from bulkstreams.core.lifecycle import TABLE
from bulkstreams.core.matching import digest
from bulkstreams.core.metrics import Tally
from bulkstreams.core.outage import PATIENCE_S
from bulkstreams.core.pacing import Ceiling, Pacer
from bulkstreams.engine.creating import Creating
from bulkstreams.engine.lane import Lane
from bulkstreams.engine.recorder import Recorder
from bulkstreams.engine.referring import Referring
from bulkstreams.engine.tools import LaneSettings, Outcomes, Tools
from bulkstreams.errors import CredentialsError
from bulkstreams.limiter import Limiter
from bulkstreams.model import Claim, Doubt, Failure, Key, Pending, Reply, Settlement, State, TenantName
from bulkstreams.schema import action_in, prepare
from bulkstreams.secrets import mask

NOON = 1_800_000_000.0
"""Epoch seconds at which every fake run begins."""

MOST_TURNS = 50_000
"""Turns of a loop in which some time must pass."""

LOST = Failure("the connection was lost before an answer came", True, 0.01)
NOT_SENT = Failure("no connection", False, 0.01)


class _Told(selectors.DefaultSelector):
    """Lets no time pass: where a loop would sleep, its clock is moved on instead."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self._turns, self._seen_at = 0, 0.0

    def select(self, timeout: float | None = None) -> Any:
        """Return what is ready; move the clock where nothing is."""
        ready = super().select(0)
        if not ready:
            assert timeout is not None, "everybody waits, and nothing will ever happen"
            self.now += max(1e-7, timeout)  # each turn takes some time, as in life: what is due just now is past then
        self._see_that_time_passes()
        return ready

    def _see_that_time_passes(self) -> None:
        self._turns += 1
        if self._turns % MOST_TURNS == 0:
            assert self.now - self._seen_at > 0.05, "somebody goes round and round, and never waits"
            self._seen_at = self.now


class _ToldLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._told = _Told()
        super().__init__(self._told)

    def time(self) -> float:
        """Return the time that was told."""
        return self._told.now


def in_told_time(scene: Callable[[], Awaitable[Any]]) -> Any:
    """Run a scene on a loop in which waiting costs nothing."""
    return anyio.run(scene, backend_options={"loop_factory": _ToldLoop})


class FakeClock:
    """Both clocks, from the loop's own time; `ahead` is how much the wall clock is fast."""

    def __init__(self, ahead: float = 0.0) -> None:
        self.ahead = ahead

    def monotonic(self) -> float:
        """Return monotonic seconds."""
        return asyncio.get_running_loop().time()

    def wall(self) -> float:
        """Return epoch seconds."""
        return NOON + self.monotonic() + self.ahead


class FakeLedger:
    """Records in memory, with the ledger's promises: steps of the table alone, nothing durable before its commit."""

    def __init__(self, definitions: Iterable[Mapping[str, Any]], *, commit_s: float = 0.001) -> None:
        self.definitions = dict(enumerate(definitions, 1))
        self.state = dict.fromkeys(self.definitions, State.PENDING)
        self.attempts = dict.fromkeys(self.definitions, 0)
        self.first_sent: dict[int, float | None] = dict.fromkeys(self.definitions)
        self.settlements: dict[int, Settlement] = {}
        self.ours_since: dict[int, float | None] = dict.fromkeys(self.definitions)
        self.status: dict[int, int | None] = dict.fromkeys(self.definitions)
        self.given: dict[int, str | None] = dict.fromkeys(self.definitions)
        self.surveys = 0
        self.intents: list[float] = []
        self.tally = Tally()
        self.claims: list[int] = []
        self.most_held = 0
        self.commit_s = commit_s
        self.broken: Exception | None = None

    async def claim(
        self,
        tenant: TenantName,
        count: int,
        now: float,
        *,
        server_now: float | None = None,
        digests: bool = True,
        status: str | None = None,
    ) -> list[Claim]:
        """Mark the next pending records as in flight."""
        await self._commit()
        ids = [id_ for id_, state in self.state.items() if state is State.PENDING][:count]
        for id_ in ids:
            self.state[id_], self.given[id_] = State.IN_FLIGHT, status
        self.claims.append(len(ids))
        self.intents += [now if server_now is None else server_now] * len(ids)
        self.most_held = max(self.most_held, sum(state is State.IN_FLIGHT for state in self.state.values()))
        return [self._claim(tenant, id_, now if server_now is None else server_now) for id_ in ids]

    def _claim(self, tenant: TenantName, id_: int, now: float) -> Claim:
        one = self.definitions[id_]
        name = one.get("name")
        key = Key(str(name or f"digest:{id_}"))
        return Claim(
            id_, tenant, key, name, 1, id_, 0, 0, digest(one), self.attempts[id_], self.first_sent[id_], now,
            self.ours_since[id_],
        )  # fmt: skip

    async def settle(self, settlements: Sequence[Settlement], tally: Tally) -> None:
        """Write verdicts; every one must be reachable in the table of states."""
        await self._commit()
        for one in settlements:
            before, after = self.state[one.id], State(one.state)
            assert _reachable(before, after), f"{one.id}: {before} → {after}"
            self.state[one.id], self.attempts[one.id] = after, one.attempts
            self.first_sent[one.id] = self.first_sent[one.id] or one.first_sent_at
            self.ours_since[one.id], self.status[one.id] = one.ours_since, one.http_status
            self.settlements[one.id] = one
        self.tally.add(tally)

    async def doubts(self, tenant: TenantName, count: int) -> list[Doubt]:
        """Return what is in doubt."""
        await self._commit()
        return [self._doubt(id_) for id_, state in self.state.items() if state is State.IN_DOUBT][:count]

    def _doubt(self, id_: int) -> Doubt:
        one = self.definitions[id_]
        mark = digest(one)
        return Doubt(
            id_, one.get("name"), mark, mark, self.attempts[id_], self.first_sent[id_], self.ours_since[id_],
            self.status[id_] == 409, None, self.given[id_],
        )  # fmt: skip

    async def unsent(
        self, tenant: TenantName, names: Sequence[str], digests: Sequence[bytes], status: str | None = None
    ) -> list[Doubt]:
        """Return the pending records that bear one of the names, or none and one of the digests."""
        await self._commit()
        pending = [self._doubt(id_) for id_, state in self.state.items() if state is State.PENDING]
        found = [one for one in pending if (one.digest in digests if one.name is None else one.name in names)]
        sent = [one if one.ours_since is not None else one._replace(status=None) for one in found]
        return sent if status is None else [one._replace(status=status) for one in found]

    async def pending(self, tenant: TenantName, after: int, count: int) -> list[Pending]:
        """Return the next pending records."""
        await self._commit()
        ids = [id_ for id_, state in self.state.items() if state is State.PENDING and id_ > after][:count]
        return [
            Pending(id_, 1, id_, 0, 0, self.attempts[id_], self.first_sent[id_], self.ours_since[id_]) for id_ in ids
        ]

    async def surveyed(self, tenant: TenantName) -> None:
        """Count the surveys that were brought to their end."""
        await self._commit()
        self.surveys += 1

    async def owned(self, tenant: TenantName, ids: Sequence[str]) -> set[str]:
        """Return the ids that records stand for."""
        await self._commit()
        return {one.remote_id for one in self.settlements.values() if one.remote_id is not None} & set(ids)

    def leave_in_doubt(self, id_: int, *, sent_at: float, attempts: int = 1, name_taken: bool = False) -> None:
        """Put a record in doubt, as a process that died left it."""
        self.state[id_], self.attempts[id_], self.first_sent[id_] = State.IN_DOUBT, attempts, sent_at
        self.ours_since[id_] = None if name_taken else sent_at
        self.status[id_] = 409 if name_taken else None

    async def _commit(self) -> None:
        await anyio.sleep(self.commit_s)
        if self.broken is not None:
            raise self.broken

    def counts(self) -> dict[str, int]:
        """Return how many records are in each state."""
        return dict(Counter(state.value for state in self.state.values()))


def _reachable(before: State, after: State) -> bool:
    """Return whether one step, or two as in gave-up and changed-line verdicts, lead from one state to another."""
    steps: dict[State, set[State]] = {}
    for (from_, _), to in TABLE.items():
        steps.setdefault(from_, set()).add(to)
    near = steps.get(before, set())
    return after in near or any(after in steps.get(one, ()) for one in near)


Answer = Reply | Failure


@dataclass(frozen=True)
class After:
    """An answer in place of the one to a create that took effect."""

    answer: Any


class ScriptedClient:
    """A server: streams that exist, and a script that says how each create ends. It is both server and client.

    `script(name, n)` is asked for the n-th create of a name (1-based), and returns what to answer: `"ok"`, a status,
    a Failure, or `After(answer)` where the create takes effect although the answer is another.
    """

    def __init__(self, script: Callable[[str, int], Any] | None = None, *, unique: bool = True) -> None:
        self.script = script or (lambda _name, _n: "ok")
        self.unique = unique
        self.streams: list[dict[str, Any]] = []
        self.creates: list[tuple[float, str]] = []
        self.pages: list[tuple[float, str | None]] = []
        self.tokens: list[str] = []
        self.page_script: Callable[[int], Any] = lambda _n: None
        self.known_actions: list[dict[str, Any]] = []
        self.asked_actions: list[tuple[float, int]] = []
        self.actions_script: Callable[[int], Any] = lambda _n: None
        self.page_size = 50
        self.ahead = 0.0
        self.dated = True
        self.took_s = self.page_took_s = 0.01
        self.at_once = self.most_at_once = 0
        self._made = 0

    @property
    def now(self) -> float:
        """Return epoch seconds on the server's clock."""
        return NOON + asyncio.get_running_loop().time() + self.ahead

    def add(self, definition: Mapping[str, Any], *, at: float | None = None) -> dict[str, Any]:
        """Put a stream there."""
        self._made += 1
        stamp = datetime.fromtimestamp(self.now if at is None else at, UTC).isoformat()
        stream = {**definition, "id": f"est_{self._made}", "created_at": stamp, "updated_at": stamp}
        self.streams.append(stream)
        return stream

    def reply(self, status: int, body: Any, **headers: str) -> Reply:
        """Return an answer with the headers that every one has."""
        found = {k.replace("_", "-"): v for k, v in headers.items()}
        if self.dated:
            found["date"] = formatdate(self.now, usegmt=True)
        return Reply(status, found, json.dumps(body).encode(), self.took_s)

    async def create(self, body: bytes, token: str) -> Answer:
        """Take a create."""
        definition = json.loads(body)
        where = definition["destination"]["configuration"]
        name = str(definition.get("name") or where.get("webhook_endpoint") or where["action_id"])
        self.creates.append((asyncio.get_running_loop().time(), name))
        self.tokens.append(token)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            await anyio.sleep(self.took_s)
        finally:
            self.at_once -= 1
        told = self.script(name, sum(one == name for _, one in self.creates))
        if isinstance(told, After):
            self.take_effect(definition)
            told = told.answer
        return self.take_effect(definition) if told == "ok" else self._answer(told)

    def take_effect(self, definition: Mapping[str, Any]) -> Reply:
        """Create a stream as the API would."""
        name = definition.get("name")
        if self.unique and name is not None and any(one.get("name") == name for one in self.streams):
            return self.reply(409, {"message": "Event stream name already in use."})
        return self.reply(201, self.add(definition))

    def _answer(self, told: Any) -> Answer:
        return told if isinstance(told, Reply | Failure) else self.reply(told, {"message": f"says {told}"})

    async def page(self, cursor: str | None, token: str) -> Answer:
        """Take a request for a page of the list."""
        self.pages.append((asyncio.get_running_loop().time(), cursor))
        self.tokens.append(token)
        await anyio.sleep(self.page_took_s)
        told = self.page_script(len(self.pages))
        if told is not None:
            return self._answer(told)
        start = int(cursor or 0)
        found: dict[str, Any] = {"eventStreams": self.streams[start : start + self.page_size]}
        if start + self.page_size < len(self.streams):
            found["next"] = str(start + self.page_size)
        return self.reply(200, found)

    async def actions(self, page: int, token: str) -> Answer:
        """Take a request for a page of the tenant's actions; `actions_script(n)` says how the n-th one ends."""
        self.asked_actions.append((asyncio.get_running_loop().time(), page))
        self.tokens.append(token)
        await anyio.sleep(self.page_took_s)
        told = self.actions_script(len(self.asked_actions))
        if told is not None:
            return self._answer(told)
        start = page * self.page_size
        found = self.known_actions[start : start + self.page_size]
        return self.reply(200, {"actions": found, "total": len(self.known_actions)})

    def times(self, name: str) -> int:
        """Return how often a create of a name was sent."""
        return sum(one == name for _, one in self.creates)


class FakeCredential:
    """Tokens `t1`, `t2`, …: `refresh` gives the next, as often as `refreshes` says, and refuses after that."""

    def __init__(self, refreshes: int = 1) -> None:
        self.left, self.number, self.refreshed = refreshes, 1, 0
        self.resume_at = 0.0
        self.scopes = None

    def current(self) -> str | None:
        """Return the token."""
        return f"t{self.number}"

    async def token(self) -> str:
        """Return the token."""
        return f"t{self.number}"

    async def refresh(self, stale: str) -> str:
        """Return another token than the stale one."""
        await anyio.sleep(0.01)
        if stale == self.current():
            if not self.left:
                raise CredentialsError("the token was refused.", hint="Check it.")
            self.left, self.number, self.refreshed = self.left - 1, self.number + 1, self.refreshed + 1
        return f"t{self.number}"


TENANT = TenantName("acme")
NO_CEILING = Ceiling(rate=None, burst=1)


class Rig:
    """One lane with everything around it faked."""

    def __init__(
        self,
        definitions: Iterable[Mapping[str, Any]],
        client: ScriptedClient | None = None,
        *,
        concurrency: int = 4,
        retries: int = 5,
        ceiling: Ceiling = NO_CEILING,
        credential: FakeCredential | None = None,
        clock: FakeClock | None = None,
        patience_s: float = PATIENCE_S,
        set_status: str | None = None,
        refers: bool = False,
    ) -> None:
        self.set_status, self.refers = set_status, refers
        self.ledger = FakeLedger(definitions)
        self.client = client or ScriptedClient()
        self.credential = credential or FakeCredential()
        self.clock = clock or FakeClock()
        self.told: list[Settlement] = []
        self.recorder = Recorder(self.ledger, self._tell)  # type: ignore[arg-type]
        self._settings = LaneSettings(
            concurrency=concurrency, retries=retries, ceiling=ceiling.rate, patience_s=patience_s
        )
        self._ceiling = ceiling
        self.outcomes: Outcomes = self.recorder
        self.allowance: int | None = None
        self.ended_at = 0.0

    async def _tell(self, batch: Sequence[Settlement]) -> None:
        durable = {one.id: one.state for one in batch}  # of several about one record, the last counts
        assert all(self.ledger.state[id_] == state for id_, state in durable.items()), "told before it was durable"
        self.told += batch

    def _allow(self, wanted: int) -> int:
        if self.allowance is None:
            return wanted
        granted = min(wanted, self.allowance)
        self.allowance -= granted
        return granted

    def _lane(self) -> Lane:
        pacer = Pacer(concurrency=self._settings.concurrency)
        return Lane(
            TENANT,
            self.client,  # type: ignore[arg-type]
            self.credential,
            Limiter(self._ceiling, pacer, self.clock.monotonic),
            self._settings,
            Tools(recorder=self.outcomes, mask=mask, allow=self._allow, clock=self.clock, draw=lambda: 0.5),
            self._creating,
        )  # fmt: skip

    def _creating(self, lane: Lane) -> Creating:
        referring = Referring(lane, self.ledger, lambda one: action_in(self._line(one.id))) if self.refers else None  # type: ignore[arg-type]

        def body(claim: Claim) -> bytes:
            line = self._line(claim.id)
            return line if referring is None else prepare(line, str, find_action=referring.find) or b""

        return Creating(
            lane,
            self.ledger,  # type: ignore[arg-type]
            body,
            compares=False,
            set_status=self.set_status,
            referring=referring,
        )

    def _line(self, id_: int) -> bytes:
        return json.dumps(given(self.ledger.definitions[id_], self.set_status)).encode()

    def run(self, *, survey: bool = False, meanwhile: Callable[[Lane], Awaitable[None]] | None = None) -> Lane:
        """Run the lane to its end, and `meanwhile` beside it."""
        lane: Lane = in_told_time(lambda: self.scene(survey=survey, meanwhile=meanwhile))
        return lane

    async def scene(self, *, survey: bool = False, meanwhile: Callable[[Lane], Awaitable[None]] | None = None) -> Lane:
        """Run the lane to its end, on the loop that is there."""
        self.lane = self._lane()
        async with anyio.create_task_group() as group:
            group.start_soon(self.recorder.run)
            if meanwhile is not None:
                group.start_soon(meanwhile, self.lane)
            counts = self.ledger.counts()
            self.lane.expect(counts.get("pending", 0))
            self.lane.work.expect(in_doubt=counts.get("in_doubt", 0), survey=survey)  # type: ignore[attr-defined]
            await self.lane.run()
            self.ended_at = self.clock.monotonic()
            await self.recorder.flush()
            self.recorder.close()
        return self.lane

    def names(self) -> list[str]:
        """Return the names of the streams that are at the tenant, in order."""
        return sorted(str(one.get("name")) for one in self.client.streams)


def given(definition: Mapping[str, Any], status: str | None) -> dict[str, Any]:
    """Return a definition with another status, if there is one to give."""
    return {**definition} if status is None else {**definition, "status": status}


def webhook(name: str | None, endpoint: str = "https://example.com/hook", **more: Any) -> dict[str, Any]:
    """Return a definition."""
    body: dict[str, Any] = {
        "subscriptions": [{"event_type": "user.created"}],
        "destination": {
            "type": "webhook",
            "configuration": {
                "webhook_endpoint": endpoint,
                "webhook_authorization": {"method": "bearer", "token": "dummy"},
            },
        },
    }
    return ({} if name is None else {"name": name}) | body | more


def action(name: str | None, by: str, **more: Any) -> dict[str, Any]:
    """Return a definition whose events go to an action, given by its id or by a reference."""
    body = {
        "subscriptions": [{"event_type": "user.created"}],
        "destination": {"type": "action", "configuration": {"action_id": by}},
    }
    return ({} if name is None else {"name": name}) | body | more


def webhooks(count: int) -> list[dict[str, Any]]:
    """Return definitions with names of their own."""
    return [webhook(f"s{i}") for i in range(count)]
