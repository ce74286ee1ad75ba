"""The sandbox's limits, tokens and faults: what a client meets, and what the books say really happened."""

from __future__ import annotations

import asyncio
import base64
import json
from typing import Any

import aiohttp
import pytest

from bulkstreams.errors import UsageError
from bulkstreams.sandbox import FAULTS, Sandbox, SandboxSettings, parse_fault, parse_latency
from tests.sandbox.calls import NOON, STREAMS, Caller, FakeClock, talk, webhook

LOST = (aiohttp.ClientError, ConnectionError, TimeoutError)


def accepted(caller: Caller) -> int:
    """Return how many creates the books hold."""
    return len(caller.sandbox.books()["accepted"])


def test_a_spent_bucket_answers_429_until_tokens_come() -> None:
    """After the burst comes the recorded 429 with nothing remaining; at `reset` there is a token again."""
    clock = FakeClock()

    async def scene(caller: Caller) -> None:
        replies = [await caller.create(webhook(f"n{i}")) for i in range(3)]
        assert [r.status for r in replies] == [201, 201, 429]
        assert [r.headers["x-ratelimit-remaining"] for r in replies] == ["1", "0", "0"]
        assert replies[2].headers["x-ratelimit-limit"] == "2"
        assert replies[2].json == {
            "statusCode": 429, "error": "Too Many Requests", "message": "Global limit has been reached",
            "errorCode": "too_many_requests",
        }  # fmt: skip
        assert "Retry-After" not in replies[2].headers
        clock.now = float(replies[2].headers["x-ratelimit-reset"])
        assert (await caller.create(webhook("later"))).status == 201

    for refill in ("continuous", "window"):
        clock.now = NOON
        talk(scene, clock, rate=2, burst=2, refill=refill)


def test_a_slow_window_says_when_the_next_whole_token_comes() -> None:
    """At half a token a second the reset is two seconds off, and a token is there then."""
    clock = FakeClock()

    async def scene(caller: Caller) -> None:
        await caller.ask("GET", STREAMS)
        refused = await caller.ask("GET", STREAMS)
        assert refused.status == 429
        clock.now = float(refused.headers["x-ratelimit-reset"])
        assert (await caller.ask("GET", STREAMS)).status == 200

    talk(scene, clock, rate=0.5, burst=1, refill="window")


def test_one_tenants_bucket_is_not_anothers() -> None:
    """A tenant that is spent costs the others nothing."""

    async def scene(caller: Caller) -> list[int]:
        return [(await caller.ask("GET", STREAMS, tenant=t)).status for t in ("a", "a", "b")]

    assert talk(scene, FakeClock(), rate=1, burst=1) == [200, 429, 200]


def test_the_date_header_is_the_sandboxs_own_clock() -> None:
    """`Date` and `x-ratelimit-reset` are told by one clock, so a client can read the one by the other."""
    reply = talk(lambda caller: caller.ask("GET", STREAMS), FakeClock(), rate=1, burst=1)
    assert reply.headers["Date"] == "Fri, 15 Jan 2027 08:00:00 GMT"


def test_without_a_limit_there_are_no_limit_headers() -> None:
    """An unlimited sandbox sends none of the three headers."""
    assert "x-ratelimit-limit" not in talk(lambda caller: caller.ask("GET", STREAMS)).headers


@pytest.mark.parametrize(
    ("header", "status", "code"),
    [(None, 401, None), ("Bearer", 400, "Bearer"), ("Basic x", 400, "Bearer"), ("Bearer a b", 400, "Bearer")],
)
def test_a_request_needs_a_bearer_token(header: str | None, status: int, code: str | None) -> None:
    """No Authorization is a 401, a malformed one the documented 400."""
    headers = {} if header is None else {"Authorization": header}
    refused = talk(lambda caller: caller.ask("GET", STREAMS, token=None, headers=headers)).json
    assert (refused["statusCode"], refused.get("errorCode")) == (status, code)


GRANT = {
    "grant_type": "client_credentials",
    "client_id": "me",
    "client_secret": "mine",
    "audience": "https://x.test/api/v2/",
}


def test_an_issued_token_is_good_until_it_expires() -> None:
    """With strict tokens only an issued one works, and only for its lifetime."""
    clock = FakeClock()

    async def scene(caller: Caller) -> None:
        given = (await caller.ask("POST", "/oauth/token", token=None, data=GRANT)).json
        assert (given["expires_in"], given["token_type"]) == (60, "Bearer")
        token = given["access_token"]
        assert (await caller.ask("GET", STREAMS, token="made-up")).json["message"] == "Invalid token"
        assert (await caller.ask("GET", STREAMS, token=token)).status == 200
        clock.now += 61
        assert (await caller.ask("GET", STREAMS, token=token)).json["message"].startswith("Expired token")

    talk(scene, clock, strict_tokens=True, token_lifetime_s=60)


@pytest.mark.parametrize("wrong", [{"client_secret": "other"}, {"client_id": "you"}])
def test_a_wrong_client_gets_no_token(wrong: dict[str, str]) -> None:
    """Where clients are named, others are refused in the OAuth shape, without an echo of the secret."""
    refused = talk(
        lambda caller: caller.ask("POST", "/oauth/token", token=None, json=GRANT | wrong), clients={"me": "mine"}
    )
    assert (refused.status, refused.json["error"]) == (401, "access_denied")
    assert b"other" not in refused.body


def assertion(**claims: Any) -> dict[str, Any]:
    """Return a token request with an unsigned-for-real assertion."""
    whole = {"iss": "me", "sub": "me", "aud": "https://x.test/", "exp": NOON + 60, "jti": "1"} | claims
    parts = ({"alg": "RS256"}, whole, "signature")
    text = ".".join(base64.urlsafe_b64encode(json.dumps(p).encode()).decode().rstrip("=") for p in parts)
    asked = {k: v for k, v in GRANT.items() if k != "client_secret"}
    kind = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
    return asked | {"client_assertion_type": kind, "client_assertion": text}


def test_an_assertion_is_good_once() -> None:
    """A well-formed assertion gives a token; the same one again does not."""

    async def scene(caller: Caller) -> list[int]:
        return [(await caller.ask("POST", "/oauth/token", token=None, json=assertion())).status for _ in range(2)]

    assert talk(scene, FakeClock()) == [200, 401]


@pytest.mark.parametrize(
    "claims",
    [{"sub": "you"}, {"exp": NOON - 60}, {"exp": NOON + 3600}, {"aud": "https://x.test"}, {"jti": None}],
    ids=str,
)
def test_an_assertion_with_wrong_claims_is_refused(claims: dict[str, Any]) -> None:
    """Issuer and subject, lifetime, audience with its slash, and identity are all checked."""
    refused = talk(lambda caller: caller.ask("POST", "/oauth/token", token=None, json=assertion(**claims)), FakeClock())
    assert (refused.status, refused.json["error"]) == (401, "invalid_client")


async def attempt(caller: Caller, body: Any = None) -> int | None:
    """Return the status of a create, or None where no whole answer came."""
    try:
        return (await caller.create(body or webhook(), timeout=aiohttp.ClientTimeout(total=0.5))).status
    except LOST:
        return None


EFFECTS = {
    "error-before": (0, True), "error-after": (1, True), "reset-before": (0, False), "reset-after": (1, False),
    "hang-after": (1, False), "truncate": (1, False), "html-502": (0, True), "throttle": (0, True),
}  # fmt: skip


@pytest.mark.parametrize("fault", EFFECTS)
def test_a_fault_does_what_its_name_says(fault: str) -> None:
    """Each fault loses the answer or spoils it, and the books tell whether the create took effect."""
    effect, answered = EFFECTS[fault]

    async def scene(caller: Caller) -> None:
        status = await attempt(caller)
        assert (status is not None) == answered
        assert status != 201
        assert accepted(caller) == effect
        assert caller.sandbox.books()["tenants"]["sandbox"]["faults"] == {fault: 1}

    talk(scene, faults={fault: 1.0})


@pytest.mark.parametrize("fault", [f for f, (effect, _) in EFFECTS.items() if effect])
def test_a_fault_does_not_make_a_wrong_create_right(fault: str) -> None:
    """A create that would be refused has no effect whatever befalls its answer, and the server survives it."""

    async def scene(caller: Caller) -> None:
        assert await attempt(caller, {"name": "broken"}) != 201
        assert accepted(caller) == 0

    talk(scene, faults={fault: 1.0})


def test_look_ups_meet_only_faults_that_leave_nothing() -> None:
    """A list is never hung, cut or answered after a fault of creates, but can be broken before."""

    async def scene(caller: Caller) -> int:
        return (await caller.ask("GET", STREAMS)).status

    assert talk(scene, faults={"hang-after": 1.0}) == 200
    assert talk(scene, faults={"html-502": 1.0}) == 502


def test_the_same_seed_brings_the_same_faults() -> None:
    """Two runs of the same requests with one seed meet the same faults, and another seed others."""

    async def scene(caller: Caller) -> list[int]:
        return [(await caller.create(webhook(f"n{i}"))).status for i in range(40)]

    one, same, other = (talk(scene, seed=seed, faults={"html-502": 0.5}) for seed in (7, 7, 8))
    assert one == same != other


def test_faults_come_as_often_as_they_are_asked_for() -> None:
    """Of two faults with equal probability, each takes its own share of requests, not what the other leaves."""

    async def scene(caller: Caller) -> dict[str, int]:
        for i in range(600):
            await caller.create(webhook(f"n{i}"))
        return caller.sandbox.books()["tenants"]["sandbox"]["faults"]

    met = talk(scene, seed=1, faults={"html-502": 0.5, "throttle": 0.5})
    assert sum(met.values()) == 600


def test_a_create_whose_client_left_takes_effect() -> None:
    """Latency outlasts the client's patience, and the create is there all the same."""

    async def scene(caller: Caller) -> None:
        with pytest.raises(TimeoutError):
            await caller.create(webhook(), timeout=aiohttp.ClientTimeout(total=0.02))
        while not accepted(caller):  # noqa: ASYNC110 - the books have no bell
            await asyncio.sleep(0)

    talk(scene, latency=(0.08, 0.08))


def test_leaving_ends_a_request_that_hangs() -> None:
    """A sandbox that is left while a client still waits leaves no task behind."""

    async def run() -> None:
        async with aiohttp.ClientSession() as session:
            async with Sandbox(SandboxSettings(rate=None, faults={"hang-after": 1.0})) as sandbox:
                asked = asyncio.create_task(attempt(Caller(sandbox, session)))
                while not sandbox.books()["accepted"]:  # noqa: ASYNC110 - the books have no bell
                    await asyncio.sleep(0)
            assert await asked is None
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(run())


def test_a_taken_port_is_told_with_the_remedy() -> None:
    """A second sandbox on the same port is refused with a hint, not a traceback."""

    async def run() -> None:
        async with Sandbox(SandboxSettings()) as first:
            with pytest.raises(UsageError) as caught:
                async with Sandbox(SandboxSettings(port=int(first.url.rsplit(":", 1)[1]))):
                    pass
        assert "port" in caught.value.hint

    asyncio.run(run())


def test_a_sandbox_serves_this_machine_only() -> None:
    """A host that others could reach is refused."""

    async def run() -> None:
        async with Sandbox(SandboxSettings(host="0.0.0.0")):
            pass

    with pytest.raises(UsageError):
        asyncio.run(run())


def test_a_fault_is_read_from_its_text() -> None:
    """A fault's text gives its name and probability, also in percent."""
    assert parse_fault("throttle=0.25") == ("throttle", 0.25)
    assert parse_fault("html-502=5%") == ("html-502", 0.05)
    assert {"error-before", "late"} & set(FAULTS) >= {"error-before"}


@pytest.mark.parametrize("text", ["throtle=0.1", "throttle", "throttle=2", "throttle=nan", "throttle=x"])
def test_a_senseless_fault_is_refused(text: str) -> None:
    """A wrong name or probability is a usage error that names the nearest right thing."""
    with pytest.raises(UsageError, match="throttle"):
        parse_fault(text)


def test_a_latency_is_read_from_its_text() -> None:
    """Seconds, milliseconds and ranges are read; nonsense is refused."""
    assert tuple(parse_latency("30ms")) == (0.03, 0.03)
    assert tuple(parse_latency("20ms-0.5s")) == (0.02, 0.5)
    for text in ("x", "-1", "2s-1s", "nan", ""):
        with pytest.raises(UsageError):
            parse_latency(text)
