"""A tenant's other clients in the sandbox, and tenants in trouble beside healthy ones."""

from __future__ import annotations

from collections import Counter
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bulkstreams.errors import UsageError
from bulkstreams.sandbox import SandboxSettings
from bulkstreams.sandbox.bucket import Bucket
from bulkstreams.sandbox.limits import Limits
from bulkstreams.sandbox.neighbour import Neighbour
from tests.sandbox.calls import NOON, STREAMS, Caller, FakeClock, talk, webhook
from tests.sandbox.test_limits_and_faults import GRANT, LOST


def neighbour(rate: float, seed: int = 7) -> tuple[Neighbour, Counter[str]]:
    """Return a neighbour that lives from noon on, and the books that count it."""
    books: Counter[str] = Counter()
    return Neighbour(rate, books, Random(seed), NOON), books


def bucket(rate: float = 50, burst: int = 20, refill: Any = "continuous") -> Bucket:
    """Return a bucket that is full at noon."""
    return Bucket(rate=rate, burst=burst, refill=refill, now=NOON)


def test_every_token_goes_to_us_or_to_the_neighbour() -> None:
    """With a client that takes all it gets, the burst and the refill are what both took: nothing is lost or made."""
    other, books = neighbour(25)
    limits, went, seconds = Limits(bucket(), neighbour=other), 0, 200
    for tick in range(seconds * 100 + 1):
        while limits.take(NOON + tick / 100).granted:
            went += 1
    assert went + books["taken"] == pytest.approx(20 + 50 * seconds, abs=1)
    assert books["taken"] > 0
    assert books["refused"] > 0


def test_a_neighbour_comes_at_random_and_as_often_as_it_is_told() -> None:
    """Visits a second have the mean that was asked for, and the variance of a Poisson process: the same."""
    other, books = neighbour(10)
    large, counts, before = bucket(rate=1000, burst=1000), [], 0
    for second in range(1, 4001):
        other.visit(large, NOON + second)
        counts.append(books["taken"] - before)
        before = books["taken"]
    mean = sum(counts) / len(counts)
    variance = sum((n - mean) ** 2 for n in counts) / len(counts)
    assert mean == pytest.approx(10, rel=0.03)
    assert variance == pytest.approx(10, rel=0.15)


@given(st.lists(st.floats(0.001, 5), min_size=1, max_size=60), st.integers(0, 99))
def test_it_does_not_matter_how_often_one_looks(gaps: list[float], seed: int) -> None:
    """Caught up with at once or step by step, a neighbour took the same and left the same."""
    often, rarely = neighbour(5, seed), neighbour(5, seed)
    one, other = bucket(4, 6, "window"), bucket(4, 6, "window")
    now = NOON
    for gap in gaps:
        now += gap
        often[0].visit(one, now)
    rarely[0].visit(other, now)
    assert often[1] == rarely[1]
    assert one.remaining == other.remaining


def test_a_long_silence_costs_no_long_catching_up() -> None:
    """After a year without a request only the last of the neighbour's visits are lived through."""
    other, books = neighbour(1000)
    other.visit(bucket(), NOON + 365 * 86_400)
    assert 90_000 < books.total() < 110_000


def test_a_neighbours_takings_show_in_the_headers_and_in_the_books() -> None:
    """Between two of our requests tokens go that we did not take: remaining falls by what the books count."""
    clock = FakeClock()

    async def scene(caller: Caller) -> list[int]:
        told = []
        for _ in range(6):
            told.append(int((await caller.ask("GET", STREAMS, tenant="acme")).headers["x-ratelimit-remaining"]))
            clock.now += 0.5
        books = caller.sandbox.books("acme")["tenants"]["acme"]["neighbour"]
        assert told[-1] == 100 - 6 - books["taken"]
        assert (books["taken"] > 0, books["refused"]) == (True, 0)
        return told

    settings = {"rate": 0.01, "burst": 100, "neighbour": 20.0}
    ran = []
    for seed in (1, 1, 2):
        clock.now = NOON
        ran.append(talk(scene, clock, seed=seed, **settings))
    assert ran[0] == ran[1] != ran[2]


async def status(caller: Caller, tenant: str, method: str = "GET", path: str = STREAMS, **more: Any) -> int | None:
    """Return the status of a request, or None where the connection died."""
    try:
        return (await caller.ask(method, path, tenant=tenant, **more)).status
    except LOST:
        return None


@pytest.mark.parametrize(
    ("plight", "expected"), [("throttling", [429, 429, 429]), ("refusing", [401, 401, 401]), ("down", [None] * 3)]
)
def test_a_tenant_in_trouble_serves_nothing_while_the_others_are_well(plight: str, expected: list[int | None]) -> None:
    """A create, a list and a token are all denied in the plight's own way, leave nothing, and cost nobody else."""

    async def scene(caller: Caller) -> None:
        for tenant, wanted in (("sick", expected), ("well", [201, 200, 200])):
            assert [
                await status(caller, tenant, "POST", json=webhook()),
                await status(caller, tenant),
                await status(caller, tenant, "POST", "/oauth/token", token=None, data=GRANT),
            ] == wanted
        sick = (await caller.ask("GET", "/_sandbox/books", tenant="sick")).json["tenants"]["sick"]
        assert (sick["accepted"], sick["requests"]["create"], sick["requests"]["token"]) == (0, 1, 1)
        assert sum(sick["statuses"].values()) == (0 if plight == "down" else 3)

    talk(scene, **{plight: ["sick", "also-sick"]})


def test_a_throttling_tenant_tells_of_an_empty_bucket() -> None:
    """Its 429s carry the headers of a bucket that somebody else emptied, every time."""
    clock = FakeClock()

    async def scene(caller: Caller) -> None:
        for _ in range(3):
            headers = (await caller.ask("GET", STREAMS, tenant="sick")).headers
            assert (headers["x-ratelimit-limit"], headers["x-ratelimit-remaining"]) == ("20", "0")
            clock.now = float(headers["x-ratelimit-reset"])

    talk(scene, clock, rate=50, burst=20, throttling=["sick"])


def test_a_plight_is_that_of_the_tenant_without_a_prefix_too() -> None:
    """The name of the tenant at the bare address is `sandbox`."""
    assert talk(lambda caller: caller.ask("GET", STREAMS), refusing=["sandbox"]).status == 401


@pytest.mark.parametrize(
    ("settings", "remedy"),
    [
        ({"down": ["a/b"]}, "--down acme"),
        ({"refusing": [""]}, "--refusing acme"),
        ({"throttling": ["a"], "down": ["b", "a"]}, "--throttling or --down"),
        ({"neighbour": -1}, "at least 0"),
        ({"neighbour": float("nan")}, "at least 0"),
        ({"rate": None, "neighbour": 5}, "--rate"),
    ],
    ids=str,
)
def test_senseless_company_is_refused_with_the_remedy(settings: dict[str, Any], remedy: str) -> None:
    """A name that no path can bear, two plights at once, or a neighbour without a bucket is a usage error."""
    with pytest.raises(UsageError) as caught:
        SandboxSettings(**settings)
    assert remedy in caught.value.hint
