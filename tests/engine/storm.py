"""Everything at once: a tenant in foul weather, and a lane that is sent from seat to seat, stopped and killed in it."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import aiohttp
import anyio

from bulkstreams.auth import Authenticator, Identity
from bulkstreams.core.outage import PATIENCE_S
from bulkstreams.core.pacing import Ceiling, Pacer
from bulkstreams.engine.creating import Creating
from bulkstreams.engine.lane import Lane
from bulkstreams.engine.recorder import Recorder
from bulkstreams.engine.referring import Referring
from bulkstreams.engine.tools import LaneSettings, Tools
from bulkstreams.limiter import Limiter
from bulkstreams.model import Claim, Failure, Reply, Settlement, State, TenantName
from bulkstreams.schema import action_in, prepare
from bulkstreams.secrets import mask
from tests.engine.fakes import LOST, NOT_SENT, TENANT, FakeClock, FakeLedger, ScriptedClient, action, given, webhooks

SETTLE_S = 2.0
HANGS_S = 30.0
TROUBLES = ("no connection", "no connection", "503", "503", "lost", "hang", "429", "401", "page", "token")
FOUL_S = 400.0
"""Seconds of a life within which spells of foul weather begin."""

MOST_LEAVES = 30
"""How often a lane is sent from its seat in one life: one that is never left to work gets nothing done."""


def _now() -> float:
    return asyncio.get_running_loop().time()


@dataclass
class Weather:
    """What goes wrong when: (from, to, what, how likely)."""

    rng: random.Random
    spells: list[tuple[float, float, str, float]] = field(default_factory=list)
    blows: bool = True
    began: float = 0.0

    @classmethod
    def drawn(cls, rng: random.Random) -> Weather:
        """Draw some spells, short and long."""
        spells = []
        for _ in range(rng.randrange(6)):
            begins = rng.choice([0.0, rng.uniform(0.0, 5.0), rng.uniform(0.0, 60.0), rng.uniform(0.0, FOUL_S)])
            lasts = rng.choice([0.3, 3.0, 30.0, 150.0, 900.0]) * rng.random()
            spells.append((begins, begins + lasts, rng.choice(TROUBLES), rng.choice([0.1, 0.5, 1.0, 1.0])))
        return cls(rng, spells)

    def has(self, *whats: str) -> bool:
        """Return whether one of them strikes now."""
        return self.blows and any(
            begins <= _now() - self.began < ends and what in whats and self.rng.random() < likely
            for begins, ends, what, likely in self.spells
        )


class StormyServer(ScriptedClient):
    """A tenant with a bucket, shown or not, in foul weather. A create whose answer is lost may still take effect."""

    def __init__(self, weather: Weather, rng: random.Random) -> None:
        super().__init__(unique=rng.random() < 0.5)
        self.weather, self.rng = weather, rng
        self.size, self.refill = rng.choice([(1, 2.0), (3, 5.0), (10, 10.0), (20, 50.0), (1000, 1000.0)])
        self.shows = rng.random() < 0.6
        self.asks_to_wait = rng.choice([None, None, "1", "20", "0"])
        self.page_size = rng.choice([3, 50])
        self.took_s = self.page_took_s = rng.choice([0.005, 0.05, 0.5])
        self.refuses: set[str] = set()
        self._tokens, self._told_at = float(self.size), 0.0

    def _answers(self, token: str) -> Any:
        """Return what keeps a request from being looked at, if anything does."""
        weather = self.weather
        if weather.has("503"):
            return self.reply(503, {})
        if token in self.refuses or weather.has("401"):
            self.refuses.add(token)
            return self.reply(401, {"message": "expired"})
        now = _now()
        self._tokens = min(float(self.size), self._tokens + (now - self._told_at) * self.refill)
        self._told_at = now
        if self._tokens < 1.0 or weather.has("429"):
            wait = {} if self.asks_to_wait is None else {"retry_after": self.asks_to_wait}
            return self.reply(429, {}, **wait)
        self._tokens -= 1.0
        return None

    def reply(self, status: int, body: Any, **headers: str) -> Reply:
        """Return an answer, with what is left in the bucket where it shows."""
        if self.shows:
            headers |= {
                "x_ratelimit_limit": str(self.size),
                "x_ratelimit_remaining": str(int(self._tokens)),
                "x_ratelimit_reset": str(int(self.now + 1.0 / self.refill) + 1),
            }
        return super().reply(status, body, **headers)

    async def create(self, body: bytes, token: str) -> Reply | Failure:
        """Take a create."""
        weather, definition = self.weather, json.loads(body)
        self.creates.append((_now(), str(definition["name"])))
        assert "${" not in str(definition), "a reference was sent"
        if weather.has("no connection"):
            await anyio.sleep(self.rng.choice([0.001, 1.0]))
            return NOT_SENT
        await anyio.sleep(self.took_s * self.rng.uniform(0.5, 2.0))
        told = self._answers(token)
        if weather.has("hang"):
            if told is None and self.rng.random() < 0.5:
                self.take_effect(definition)
            await anyio.sleep(HANGS_S)
            return LOST._replace(elapsed_s=HANGS_S)
        if told is not None and told.status != 503:
            return told
        if told is not None or weather.has("lost"):
            if self.rng.random() < 0.5:
                late = self.rng.choice([0.0, 0.9 * SETTLE_S])
                asyncio.get_running_loop().call_later(late, self.take_effect, definition)
            return told if told is not None else LOST._replace(elapsed_s=self.took_s)
        return self.take_effect(definition)

    async def page(self, cursor: str | None, token: str) -> Reply | Failure:
        """Take a request for a page of the list."""
        self.pages.append((_now(), cursor))
        told = await self._looked_for(token)
        if told is not None:
            return told
        start = int(cursor or 0)
        found: dict[str, Any] = {"eventStreams": self.streams[start : start + self.page_size]}
        if start + self.page_size < len(self.streams):
            found["next"] = str(start + self.page_size)
        return self.reply(200, found)

    async def actions(self, page: int, token: str) -> Reply | Failure:
        """Take a request for a page of the actions: there are seven, three on a page."""
        self.asked_actions.append((_now(), page))
        told = await self._looked_for(token)
        if told is not None:
            return told
        actions = [{"id": f"act_{i}", "name": f"action {i}"} for i in range(7)]
        return self.reply(200, {"actions": actions[3 * page : 3 * page + 3]})

    async def _looked_for(self, token: str) -> Reply | Failure | None:
        """Take a request that only looks; return how it ends, where it is not answered."""
        weather = self.weather
        if weather.has("no connection"):
            await anyio.sleep(self.rng.choice([0.001, 1.0]))
            return NOT_SENT
        await anyio.sleep(self.page_took_s)
        if weather.has("hang"):
            await anyio.sleep(HANGS_S)
            return LOST
        told: Reply | None = self._answers(token)
        return LOST if told is None and weather.has("lost", "page") else told


class _Answer:
    def __init__(self, status: int, body: bytes) -> None:
        self.status, self._body = status, body
        self.headers: dict[str, str] = {}

    async def read(self) -> bytes:
        return self._body


class TokenEndpoint:
    """Where tokens come from, in place of an HTTP session."""

    def __init__(self, weather: Weather, rng: random.Random) -> None:
        self.weather, self.rng = weather, rng
        self.issued = self.asked = 0
        self.life_s = rng.choice([86_400, 86_400, 30])

    @asynccontextmanager
    async def post(self, url: str, **_: object) -> AsyncIterator[_Answer]:
        """Answer a token request, or not."""
        self.asked += 1
        await anyio.sleep(self.rng.choice([0.01, 0.3]))
        if self.weather.has("token", "no connection"):
            raise aiohttp.ClientConnectionError
        if self.weather.has("hang"):
            await anyio.sleep(HANGS_S)
            raise TimeoutError
        if self.weather.has("503"):
            yield _Answer(503, b"")
            return
        self.issued += 1
        yield _Answer(200, json.dumps({"access_token": f"t{self.issued}", "expires_in": self.life_s}).encode())


class KeptLedger(FakeLedger):
    """A ledger that outlives the processes that use it."""

    def __init__(self, definitions: Sequence[Mapping[str, Any]], *, commit_s: float) -> None:
        super().__init__(definitions, commit_s=commit_s)
        self.intent_of: dict[int, float] = {}

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
        """Remember each record's intent."""
        claims = await super().claim(tenant, count, now, server_now=server_now, digests=digests, status=status)
        self.intent_of |= dict.fromkeys((one.id for one in claims), now if server_now is None else server_now)
        return claims

    def line(self, id_: int) -> bytes:
        """Return a record's line."""
        return json.dumps(self.definitions[id_]).encode()

    def unusable(self) -> set[int]:
        """Return the records whose lines name an action that is not there."""
        return {id_ for id_ in self.definitions if b"action 9" in self.line(id_)}

    def reopen(self) -> None:
        """Do what the start of a run does."""
        for id_, state in self.state.items():
            if state is State.IN_FLIGHT:
                self.state[id_] = State.IN_DOUBT
                self.attempts[id_] += 1
                if self.ours_since[id_] is None:
                    self.ours_since[id_] = self.intent_of[id_]
                self.status[id_] = None
            if state in {State.EXHAUSTED, State.INVALID}:
                self.state[id_] = State.PENDING
            if state in {State.EXHAUSTED, State.INVALID, State.PENDING}:
                self.attempts[id_] = 0


def _naming_actions(count: int) -> list[dict[str, Any]]:
    """Return definitions that name actions: every fourth one that is not there."""
    return [action(f"s{i}", f"${{action:action {9 if i % 4 == 3 else i % 7}}}") for i in range(count)]


class Storm:
    """Lives of one tenant's lane over the same ledger, all drawn from `seed`."""

    def __init__(self, seed: int) -> None:
        self.rng = rng = random.Random(seed)
        self.refers = random.Random(f"actions {seed}").random() < 0.5
        records = _naming_actions if self.refers else webhooks
        self.ledger = KeptLedger(records(rng.choice([1, 3, 20, 120])), commit_s=rng.choice([0.001, 0.05, 0.4]))
        self.weather = Weather.drawn(rng)
        self.server = StormyServer(self.weather, rng)
        self.tokens = TokenEndpoint(self.weather, rng)
        self.clock = FakeClock()
        self.concurrency = rng.choice([1, 2, 4, 16])
        self.retries = rng.choice([0, 1, 5])
        self.patience_s = rng.choice([PATIENCE_S, PATIENCE_S, float("inf")])
        self.obeys = rng.random() < 0.8
        self.reserve = rng.choice([0.0, 0.0, 0.4])
        self.ceiling = rng.choice([Ceiling(rate=None, burst=1), Ceiling(rate=20.0, burst=5)])
        self.leaves_every = rng.choice([None, 0.1, 1.0, 10.0])
        self.left = self.may_leave = 0
        self.set_status = "disabled" if seed % 3 == 0 else None

    # -- one life ------------------------------------------------------------------------------------------------------

    def _make(self) -> Lane:
        settings = LaneSettings(
            concurrency=self.concurrency, retries=self.retries, settle_s=SETTLE_S, patience_s=self.patience_s
        )
        pacer = Pacer(obey=self.obeys, reserve=self.reserve, concurrency=self.concurrency)
        authenticator = Authenticator(
            self.tokens, "https://acme.example.com", lambda: Identity(kind="client_secret", secret="x", client_id="c"),  # type: ignore[arg-type]
            clock=self.clock.monotonic, wall=self.clock.wall, draw=self.rng.random,
        )  # fmt: skip
        return Lane(
            TENANT, self.server, authenticator,  # type: ignore[arg-type]
            Limiter(self.ceiling, pacer, self.clock.monotonic), settings,
            Tools(
                recorder=self.recorder, mask=mask, allow=lambda wanted: wanted, clock=self.clock, draw=self.rng.random,
            ),
            self._creating,
        )  # fmt: skip

    def _creating(self, lane: Lane) -> Creating:
        ledger: Any = self.ledger
        referring = Referring(lane, ledger, lambda one: action_in(ledger.line(one.id))) if self.refers else None

        def body(claim: Claim) -> bytes:
            line = json.dumps(given(ledger.definitions[claim.id], self.set_status)).encode()
            return line if referring is None else prepare(line, str, find_action=referring.find) or b""

        return Creating(lane, ledger, body, compares=False, set_status=self.set_status, referring=referring)

    async def _tell(self, batch: Sequence[Settlement]) -> None:
        if self.rng.random() < 0.05:
            await anyio.sleep(self.rng.random())

    async def live(self, *, stop_at: float | None, cut_at: float | None, survey: bool) -> Lane:
        """Run a lane from seat to seat to its end, or until it is stopped, or cut off."""
        self.recorder = Recorder(self.ledger, self._tell)  # type: ignore[arg-type]
        self.ledger.reopen()
        self.weather.began, self.may_leave = self.clock.monotonic(), self.left + MOST_LEAVES
        counts, lane = self.ledger.counts(), self._make()
        async with anyio.create_task_group() as group:
            group.start_soon(self.recorder.run)
            with anyio.move_on_after(cut_at):
                lane.expect(counts.get("pending", 0))
                lane.work.expect(in_doubt=counts.get("in_doubt", 0), survey=survey)  # type: ignore[attr-defined]
                await self._sit_again_and_again(lane, stop_at)
            await self.recorder.flush()
            self.recorder.close()
        return lane

    async def _sit_again_and_again(self, lane: Lane, stop_at: float | None) -> None:
        async with anyio.create_task_group() as group:
            if stop_at is not None:
                group.start_soon(self._stop, lane, stop_at)
            await self._sit(lane)
            group.cancel_scope.cancel()

    async def _stop(self, lane: Lane, at: float) -> None:
        await anyio.sleep(at)
        lane.stop("told to")

    async def _sit(self, lane: Lane) -> None:
        while not lane.finished:
            lane.settings = replace(lane.settings, concurrency=self.rng.randint(1, self.concurrency))
            async with anyio.create_task_group() as group:
                if self.leaves_every is not None and self.left < self.may_leave:
                    group.start_soon(self._ask_to_leave, lane)
                await lane.run()
                group.cancel_scope.cancel()
            self.check_rest(lane)
            if not lane.finished:
                self.left += 1
                rest = max(0.0, lane.rests_until() - self.clock.monotonic())
                assert rest < 400.0
                await anyio.sleep(rest + self.rng.choice([0.0, 0.0, 0.01, 3.0]))

    async def _ask_to_leave(self, lane: Lane) -> None:
        assert self.leaves_every is not None
        await anyio.sleep(self.rng.expovariate(1.0 / self.leaves_every))
        while True:
            lane.leave()
            await anyio.sleep(0.25)

    def check_rest(self, lane: Lane) -> None:
        """See that a lane that does not run holds nothing, owes nothing and waits for nothing."""
        limiter, breaker = lane.limiter, lane.breaker
        assert not limiter.pacer._sent_at, "tickets that nobody told of"
        assert (lane.in_flight, lane.under_way, lane.idle) == (0, set(), True)
        assert (breaker._probe, breaker._look_ups) == (None, 0)
        assert not lane.tokens.is_fetching
        assert not lane.is_claiming
        assert not lane.doubts.busy
