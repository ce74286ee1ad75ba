"""A lane and its pace: a server's bucket is used up and not overdrawn, and a 429 stops all of the lane once."""

from __future__ import annotations

import asyncio
import json
import math

import anyio

from bulkstreams.core.pacing import Pacer
from bulkstreams.engine.lane import Lane
from bulkstreams.limiter import THROTTLED
from bulkstreams.model import Reply
from tests.core.replies import Bucket
from tests.engine.fakes import Rig, ScriptedClient, webhooks


class Limited(ScriptedClient):
    """A server that takes a token of its bucket for each create, half of the way after it was sent."""

    def __init__(self, bucket: Bucket, *, took_s: float = 0.03, retry_after: str | None = None) -> None:
        super().__init__()
        self.bucket = bucket
        self.took_s = took_s
        self.retry_after = retry_after
        self.refused_at: list[float] = []
        self.refused_one = asyncio.Event()

    async def create(self, body: bytes, token: str) -> Reply:
        """Take a create, or refuse it; the reply tells of the bucket."""
        definition = json.loads(body)
        loop = asyncio.get_running_loop()
        self.creates.append((loop.time(), definition["name"]))
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        await anyio.sleep(self.took_s / 2)
        status, headers = self.bucket.ask(loop.time())
        if status == 429:
            self.refused_at.append(loop.time())
            self.refused_one.set()
            reply = self.reply(429, {"message": "Global limit has been reached"})
            headers |= {} if self.retry_after is None else {"retry-after": self.retry_after}
        else:
            reply = self.take_effect(definition)
        await anyio.sleep(self.took_s / 2)
        self.at_once -= 1
        return reply._replace(headers={**reply.headers, **headers})

    def sent_between(self, since: float, until: float) -> int:
        """Return how many creates were sent in a span of time, its ends excluded."""
        return sum(since < at < until for at, _ in self.creates)


class Paced(Rig):
    """A rig whose lane has a pacer of the test's own."""

    def __init__(self, count: int, client: Limited, pacer: Pacer, concurrency: int = 32) -> None:
        super().__init__(webhooks(count), client, concurrency=concurrency, retries=0)
        self.pacer = pacer

    def _lane(self) -> Lane:
        lane = super()._lane()
        lane.limiter.pacer = self.pacer
        return lane

    def all_created_at_the_first_attempt(self) -> bool:
        """Return whether nothing was lost, and no attempt charged for being refused."""
        settled = self.ledger.settlements.values()
        return set(self.ledger.counts()) == {"created"} and {one.attempts for one in settled} == {1}


def test_a_bucket_that_shows_is_used_up_without_a_429() -> None:
    """A burst, then the refill rate: a thousand records at 50 a second take hardly longer than they must."""
    client = Limited(Bucket(20, 50.0))
    rig = Paced(1000, client, Pacer())
    rig.run()
    assert rig.all_created_at_the_first_attempt()
    assert client.refused_at == []
    last = client.creates[-1][0]
    assert last + 0.05 >= (1000 - 20) / 50
    assert 1000 / (20 + 50 * last) >= 0.97
    assert client.sent_between(0.0, 0.2) >= 17


def test_the_reserve_of_a_tenant_is_left_all_through() -> None:
    """With two fifths reserved, what is left never falls below 8 of 20, and the refill rate is used all the same."""
    client = Limited(Bucket(20, 50.0))
    rig = Paced(500, client, Pacer(reserve=0.4))
    rig.run()
    assert rig.all_created_at_the_first_attempt()
    assert client.bucket.lowest >= 8
    assert 500 / (12 + 50 * client.creates[-1][0]) >= 0.95


def test_a_429_pauses_the_lane_once_for_all_who_met_it() -> None:
    """Nobody sends while the pause lasts that the server asked for; then one goes, and the rest by and by."""
    client = Limited(Bucket(40, 1000.0, shown=False), retry_after="5")
    client.bucket.rate = 0.001  # nothing comes in before the pause, and plenty after it
    rig = Paced(200, client, Pacer())

    async def refill(lane: Lane) -> None:
        await client.refused_one.wait()
        await anyio.sleep(4 * client.took_s)  # those that were under way are refused, too
        told.append((lane.limiter.reason, lane.limiter.resume_at))
        client.bucket.tokens, client.bucket.burst, client.bucket.rate = 1000.0, 1000, 1000.0

    told: list[tuple[str, float]] = []
    rig.run(meanwhile=refill)
    assert rig.all_created_at_the_first_attempt()
    (reason, resume_at), first = told[0], client.refused_at[0]
    assert reason == THROTTLED
    assert 1 < len(client.refused_at) == rig.ledger.tally.throttled < 32
    assert client.refused_at[-1] - first <= 2 * client.took_s
    heard_at = first + client.took_s / 2
    assert heard_at + 5.0 <= resume_at <= heard_at + 2 * client.took_s + 5.5
    assert client.sent_between(heard_at + 0.002, resume_at) == 0
    assert client.sent_between(resume_at - 0.001, resume_at + client.took_s - 0.001) == 1


def test_a_server_that_is_silent_about_its_limits_is_learned() -> None:
    """Two refusals tell what it sustains; from then on nearly all of it is used, with few 429s."""
    client = Limited(Bucket(40, 20.0, shown=False))
    rig = Paced(2000, client, Pacer())
    rig.run()
    assert rig.all_created_at_the_first_attempt()
    assert 2000 / (40 + 20 * client.creates[-1][0]) >= 0.95
    assert len(client.refused_at) <= 0.02 * 2000
    assert rig.pacer.rate is not None
    assert math.isclose(rig.pacer.rate, 20.0, rel_tol=0.05)


def test_max_sends_as_fast_as_it_can_and_obeys_nothing_but_a_429() -> None:
    """`--rate max`: all that may be under way is, whatever is left, and each refusal is a pause with a slow restart."""
    client = Limited(Bucket(200, 100.0))
    rig = Paced(600, client, Pacer(obey=False, concurrency=16), concurrency=16)
    rig.run()
    assert rig.all_created_at_the_first_attempt()
    assert client.most_at_once == 16
    assert client.refused_at
    first = client.refused_at[0]
    assert client.sent_between(first - 1.0, first) >= 200
    heard_at = first + client.took_s / 2
    assert client.sent_between(heard_at + 0.002, heard_at + 0.25) == 0
    resumed = min(at for at, _ in client.creates if at >= heard_at + 0.25)
    assert client.sent_between(resumed - 0.001, resumed + client.took_s - 0.001) == 1
    assert rig.ledger.tally.throttled == len(client.refused_at)


def test_a_tenant_that_answers_429_alone_is_left_in_peace_until_the_lane_is_stopped() -> None:
    """No hot loop: in ten minutes a dozen or two requests go, and nothing is charged or lost."""
    client = Limited(Bucket(1, 1e-9))
    client.bucket.tokens = 0.0
    rig = Paced(50, client, Pacer())

    async def deadline(lane: Lane) -> None:
        await anyio.sleep(600.0)
        lane.stop("the deadline came.")

    rig.run(meanwhile=deadline)
    assert rig.ledger.counts() == {"pending": 50}
    assert client.streams == []
    assert 5 <= len(client.creates) <= 24
    assert client.most_at_once == 1


def test_max_with_one_at_a_time_is_not_slowed_down_for_good_by_single_refusals() -> None:
    """A grant ends a row of refusals also where one goes at a time: the next pause is a short one again."""
    client = Limited(Bucket(1, 20.0, shown=False))
    rig = Paced(200, client, Pacer(obey=False, concurrency=1), concurrency=1)
    rig.run()
    assert rig.all_created_at_the_first_attempt()
    assert len(client.refused_at) > 20
    assert rig.ended_at < 100.0


def test_every_request_that_was_watched_is_told_of() -> None:
    """Nothing is remembered of requests that are over, also where replies are of no interest any more."""
    client = Limited(Bucket(40, 100.0))
    rig = Paced(600, client, Pacer(obey=False, concurrency=16), concurrency=16)
    rig.run()
    assert len(client.refused_at) > 20
    assert not rig.pacer._sent_at
