"""What limits a tenant of the sandbox: buckets seen and unseen, and what their headers tell."""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode
from datetime import datetime
from email.utils import parsedate_to_datetime
from math import floor
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bulkstreams.errors import UsageError
from bulkstreams.sandbox import SandboxSettings, parse_refill
from bulkstreams.sandbox.limits import Limits, limits_of
from tests.sandbox.calls import NOON, STREAMS, Caller, FakeClock, Reply, talk, webhook

MINUTE = NOON - NOON % 60


def limits(now: float = MINUTE, **settings: Any) -> Limits:
    """Return the limits of a tenant that is first seen at `now`."""
    made = limits_of(SandboxSettings(**settings), now)
    assert made is not None
    return made


def granted(limits: Limits, now: float, most: int = 1000) -> int:
    """Return how many requests go at one instant, until one is refused."""
    for n in range(most):
        if not limits.take(now).granted:
            return n
    return most


def shown(reply: Reply) -> tuple[str, ...]:
    """Return the status and what the limit's headers say of size and rest."""
    return str(reply.status), reply.headers["x-ratelimit-limit"], reply.headers["x-ratelimit-remaining"]


def test_the_unseen_bucket_refuses_while_the_headers_show_budget() -> None:
    """Who is refused by the second bucket reads the first one's state, from which no token was taken."""

    async def scene(caller: Caller) -> None:
        replies = [await caller.ask("GET", STREAMS) for _ in range(5)]
        assert [shown(r) for r in replies] == [
            ("200", "40", "39"), ("200", "40", "38"), ("200", "40", "37"), ("429", "40", "37"), ("429", "40", "37"),
        ]  # fmt: skip
        assert replies[3].json["message"] == "Global limit has been reached"

    talk(scene, FakeClock(), rate=40, burst=40, unseen_rate=2, unseen_burst=3)


def test_who_is_refused_by_the_first_bucket_takes_nothing_of_the_second() -> None:
    """Ten refusals by the first bucket leave the unseen one as full as it was."""
    both = limits(rate=1, burst=2, unseen_rate=0.001, unseen_burst=3)
    assert granted(both, MINUTE) == 2
    assert not any(both.take(MINUTE).granted for _ in range(10))
    assert granted(both, MINUTE + 2) == 1


def test_a_plan_of_ten_at_once_and_150_a_minute() -> None:
    """Two seconds of bursts are granted, later only what the minute brings: 2.5 a second, or all at its top."""
    plan: dict[str, Any] = {"rate": 10, "burst": 10, "unseen_rate": 2.5, "unseen_refill": "minute"}
    by_the_minute = limits(**plan)
    assert sum(granted(by_the_minute, MINUTE + s) for s in range(60)) == 150
    assert granted(by_the_minute, MINUTE + 59.9) == 0
    assert sum(granted(by_the_minute, MINUTE + 60 + s) for s in range(15)) == 150
    trickling = limits(rate=2.5, burst=10)
    assert [granted(trickling, MINUTE + s) for s in (0, 4, 8, 10)] == [10, 10, 10, 5]


def test_a_minutes_worth_comes_at_the_top_of_the_minute() -> None:
    """Nothing comes before it, and the reset tells that instant on every reply of the minute."""
    window = limits(MINUTE + 7.5, rate=0.05, refill="minute")
    replies = [window.take(MINUTE + s) for s in (7.5, 20, 30, 59.9, 60, 60)]
    assert [r.granted for r in replies] == [True, True, True, False, True, True]
    assert [r.reset - MINUTE for r in replies] == [60, 60, 60, 60, 120, 120]
    assert replies[0].limit == 3


@given(st.sampled_from(["continuous", "window", "minute"]), st.floats(0.02, 200), st.floats(0, 1e6))
def test_at_the_reset_one_more_token_is_there(refill: Any, rate: float, late: float) -> None:
    """Whatever the rate and the way of refilling, a spent bucket grants a request at the instant that it told."""
    now = MINUTE + late
    bucket = limits(now, rate=rate, burst=3, refill=refill)
    assert granted(bucket, now) == 3
    refused = bucket.take(now)
    assert refused.reset == refused.retry_at > now
    assert bucket.take(refused.reset).granted


@given(st.lists(st.floats(0, 0.5), max_size=300), st.sampled_from(["continuous", "window", "minute"]))
def test_two_buckets_grant_no_more_than_either_would(gaps: list[float], refill: Any) -> None:
    """In any run of requests, what is granted is within the burst and the rate of both."""
    both = limits(rate=8, burst=10, unseen_rate=3, unseen_burst=20, refill=refill)
    now, went = MINUTE, 0
    for gap in gaps:
        now += gap
        went += both.take(now).granted
    window = {"continuous": 0, "window": 1, "minute": 60}[refill]
    for rate, burst in ((8, 10), (3, 20)):
        assert went <= burst + rate * (now - MINUTE + window) + 1e-6


def test_retry_after_tells_of_the_bucket_that_refused() -> None:
    """A client that heeds it is not refused again, although the first bucket's reset is sooner."""
    clock = FakeClock(MINUTE)

    async def scene(caller: Caller) -> None:
        await caller.ask("GET", STREAMS)
        refused = await caller.ask("GET", STREAMS)
        assert int(refused.headers["x-ratelimit-reset"]) == MINUTE + 1
        assert refused.headers["Retry-After"] == "10"
        clock.now += 10
        assert (await caller.ask("GET", STREAMS)).status == 200

    talk(scene, clock, rate=40, unseen_rate=0.1, unseen_burst=1, retry_after=True)


@pytest.mark.parametrize(
    ("settings", "remedy"),
    [
        ({"unseen_burst": 3}, "--unseen-rate"),
        ({"unseen_refill": "window"}, "--unseen-rate"),
        ({"rate": None, "unseen_rate": 3}, "--rate"),
        ({"unseen_rate": -1}, "at least 0"),
        ({"unseen_rate": 1, "unseen_burst": 0}, "at least 1"),
        ({"unseen_rate": 1, "unseen_refill": "hourly"}, "minute"),
        ({"refill": "hourly"}, "minute"),
    ],
    ids=str,
)
def test_senseless_limits_are_refused_with_the_remedy(settings: dict[str, Any], remedy: str) -> None:
    """A limit that could not hold, or that stands behind nothing, is a usage error that says what to give."""
    with pytest.raises(UsageError) as caught:
        SandboxSettings(**settings)
    assert remedy in caught.value.hint


def test_a_way_of_refilling_is_read_from_its_text() -> None:
    """Each way is read; another word is told all of them."""
    assert [parse_refill(text) for text in ("continuous", "window", "minute")] == ["continuous", "window", "minute"]
    with pytest.raises(UsageError) as caught:
        parse_refill("Window")
    assert "continuous, window, minute" in caught.value.hint


@pytest.mark.parametrize("retry_after", [True, False])
def test_limits_hold_also_where_no_header_tells_of_them(retry_after: bool) -> None:
    """Without limit headers a spent bucket still answers 429; Retry-After comes where it is asked for."""

    async def scene(caller: Caller) -> None:
        replies = [await caller.ask("GET", STREAMS) for _ in range(3)]
        assert [r.status for r in replies] == [200, 200, 429]
        assert not [name for r in replies for name in r.headers if name.lower().startswith("x-ratelimit")]
        assert ("Retry-After" in replies[2].headers) == retry_after

    talk(scene, FakeClock(), rate=2, burst=2, limit_headers=False, retry_after=retry_after)


@pytest.mark.parametrize("skew", [90, -90, 0.5])
def test_a_skewed_clock_skews_all_that_is_told_of_time(skew: float) -> None:
    """Date, reset, a stream's instants, a token's lifetime and the books are all of one clock, off the machine's."""
    there = MINUTE + skew

    async def scene(caller: Caller) -> None:
        reply = await caller.create(webhook())
        assert parsedate_to_datetime(reply.headers["Date"]).timestamp() == floor(there)
        assert int(reply.headers["x-ratelimit-reset"]) == floor(there) + 1
        assert datetime.fromisoformat(reply.json["created_at"]).timestamp() == there
        assert caller.sandbox.books()["accepted"][0]["at"] == there
        body = {"grant_type": "client_credentials", "client_id": "me", "client_secret": "x", "audience": "x/api/v2/"}
        token = (await caller.ask("POST", "/oauth/token", token=None, json=body)).json["access_token"]
        claims = token.split(".")[1]
        assert json.loads(urlsafe_b64decode(claims + "=" * (-len(claims) % 4)))["iat"] == floor(there)

    talk(scene, FakeClock(MINUTE), rate=10, burst=10, refill="window", clock_skew=skew)


@pytest.mark.parametrize("skew", [float("nan"), float("inf"), -86_401.0])
def test_a_senseless_skew_is_refused_with_the_remedy(skew: float) -> None:
    """More than a day, or no number at all, is a usage error that tells the bounds."""
    with pytest.raises(UsageError) as caught:
        SandboxSettings(clock_skew=skew)
    assert "86400" in caught.value.hint
