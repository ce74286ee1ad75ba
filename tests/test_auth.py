"""One token a tenant: fetched once, shared, refreshed in time, and never shown."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import jwt
import pytest
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, NoEncryption, PrivateFormat

from bulkstreams.auth import DEFAULT_LIFE_S, LEEWAY_S, PROBATION_S, TRIES, Authenticator, Identity
from bulkstreams.core.budget import PAUSE_CAP_S
from bulkstreams.errors import CredentialsError, ExitCode, SecretError, TokenUnreachedError

CLIENT = Identity(kind="client_secret", client_id="client-1", secret="s3cret-of-client")
STATIC = Identity(kind="token", secret="s3cret-token")


class FakeTime:
    """Two clocks that go only where they are told, and a sleep that moves them."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.epoch = 1_700_000_000.0
        self.slept: list[float] = []

    def clock(self) -> float:
        """Return monotonic seconds."""
        return self.now

    def wall(self) -> float:
        """Return epoch seconds."""
        return self.epoch

    async def sleep(self, seconds: float) -> None:
        """Note the wait and let it pass."""
        self.slept.append(seconds)
        self.now += seconds
        await asyncio.sleep(0)


class Issuer:
    """A token endpoint on loopback: answers by its script, then with tokens `t1`, `t2`, …, and keeps what it got."""

    def __init__(self, *script: web.Response | str) -> None:
        self.script = list(script)
        self.forms: list[dict[str, Any]] = []
        self.elsewhere = 0
        self.life: object = 86_400
        self.issued = 0
        self.url = ""

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Answer one token request."""
        self.forms.append(await request.json())
        step = self.script.pop(0) if self.script else self.issue()
        if isinstance(step, str):
            assert request.transport is not None
            request.transport.close()
            return web.Response()
        return step

    def issue(self) -> web.Response:
        """Return the next token."""
        self.issued += 1
        body: dict[str, object] = {"access_token": f"t{self.issued}", "token_type": "Bearer"}
        if self.life is not None:
            body["expires_in"] = self.life
        return web.json_response(body)

    async def other(self, _: web.Request) -> web.Response:
        """Note a request that should never come."""
        self.elsewhere += 1
        return self.issue()


def on(issuer: Issuer, work: Callable[[aiohttp.ClientSession], Awaitable[None]]) -> None:
    """Serve the issuer while `work` goes on with a session."""

    async def main() -> None:
        app = web.Application()
        app.router.add_post("/t/acme/oauth/token", issuer.answer)
        app.router.add_route("*", "/{rest:.*}", issuer.other)
        runner = web.AppRunner(app)
        await runner.setup()
        try:
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            issuer.url = f"http://127.0.0.1:{runner.addresses[0][1]}/t/acme"
            async with aiohttp.ClientSession() as session:
                await work(session)
        finally:
            await runner.cleanup()

    asyncio.run(main())


def authenticator(
    session: aiohttp.ClientSession, issuer: Issuer, time: FakeTime | None = None, identity: Identity = CLIENT
) -> Authenticator:
    """Return an authenticator of the issuer's tenant by a fake clock; it draws one half."""
    time = time or FakeTime()
    return Authenticator(
        session, issuer.url, lambda: identity, clock=time.clock, wall=time.wall, sleep=time.sleep, draw=lambda: 0.5
    )


async def refusal(asked: Awaitable[str]) -> CredentialsError:
    """Return the error that asking for a token raises."""
    with pytest.raises(CredentialsError) as caught:
        await asked
    assert caught.value.exit_code is ExitCode.STOPPED
    assert "s3cret" not in str(caught.value)
    assert caught.value.hint
    return caught.value


# -- fetching and sharing ---------------------------------------------------------------------------------------------


def test_many_who_ask_at_once_share_one_fetch() -> None:
    """A hundred tasks that start together cost one token."""
    issuer = Issuer()

    async def work(session: aiohttp.ClientSession) -> None:
        auth = authenticator(session, issuer)
        assert auth.current() is None
        assert await asyncio.gather(*(auth.token() for _ in range(100))) == ["t1"] * 100
        assert auth.current() == "t1"

    on(issuer, work)
    assert len(issuer.forms) == 1


def test_a_client_sends_what_auth0_asks_for() -> None:
    """The grant, the client, its secret, and the Management API as the audience."""
    issuer = Issuer()

    async def work(session: aiohttp.ClientSession) -> None:
        await authenticator(session, issuer).token()

    on(issuer, work)
    assert issuer.forms == [
        {
            "grant_type": "client_credentials",
            "client_id": "client-1",
            "client_secret": "s3cret-of-client",
            "audience": f"{issuer.url}/api/v2/",
        }
    ]


def test_an_audience_of_ones_own_is_sent_instead() -> None:
    """A custom domain is called by one name and knows itself by another."""
    issuer = Issuer()
    identity = Identity(kind="client_secret", client_id="c", secret="s", audience="https://acme.eu.auth0.com/api/v2/")

    async def work(session: aiohttp.ClientSession) -> None:
        await authenticator(session, issuer, identity=identity).token()

    on(issuer, work)
    assert issuer.forms[0]["audience"] == "https://acme.eu.auth0.com/api/v2/"


def test_the_identity_is_resolved_when_a_token_is_first_asked_for_and_once() -> None:
    """A tenant that is never used needs no secret, and one that is reads it one time."""
    issuer = Issuer()
    asked: list[int] = []

    async def work(session: aiohttp.ClientSession) -> None:
        time = FakeTime()
        auth = Authenticator(session, issuer.url, lambda: asked.append(1) or CLIENT, clock=time.clock)  # type: ignore[func-returns-value]
        assert asked == []
        await auth.token()
        await auth.refresh("t1")
        assert asked == [1]

    on(issuer, work)


def test_a_secret_that_cannot_be_resolved_stops_the_tenant_in_its_own_words() -> None:
    """What is wrong with a reference is trouble of one tenant, so that the others go on."""
    issuer = Issuer()

    def broken() -> Identity:
        raise SecretError("the environment variable X is not set", hint="Set it.")

    async def work(session: aiohttp.ClientSession) -> None:
        error = await refusal(Authenticator(session, issuer.url, broken).token())
        assert (error.message, error.hint) == ("the environment variable X is not set", "Set it.")

    on(issuer, work)
    assert issuer.forms == []


# -- expiry -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("life", "fresh_s"), [(86_400, 86_400 - LEEWAY_S), (100, 90.0), ("100", 90.0)])
def test_a_token_is_refreshed_before_it_expires(life: object, fresh_s: float) -> None:
    """A minute before, or a tenth of a short life before: no request goes out with a token that is about to die."""
    issuer, time = Issuer(), FakeTime()
    issuer.life = life

    async def work(session: aiohttp.ClientSession) -> None:
        auth = authenticator(session, issuer, time)
        await auth.token()
        time.now += fresh_s - 0.5
        assert (auth.current(), await auth.token()) == ("t1", "t1")
        time.now += 1
        assert auth.current() is None
        assert await asyncio.gather(*(auth.token() for _ in range(10))) == ["t2"] * 10

    on(issuer, work)
    assert len(issuer.forms) == 2


def test_the_life_of_a_token_counts_from_the_request_for_it() -> None:
    """Time that the issuer took to answer is not added to the token's life."""
    issuer, time = Issuer(), FakeTime()
    issuer.life = 100
    issue = issuer.issue

    def slowly() -> web.Response:
        time.now += 30.0
        return issue()

    issuer.issue = slowly  # type: ignore[method-assign]

    async def work(session: aiohttp.ClientSession) -> None:
        asked_at = time.now
        auth = authenticator(session, issuer, time)
        await auth.token()
        time.now = asked_at + 89.0
        assert auth.current() == "t1"
        time.now = asked_at + 90.0
        assert auth.current() is None

    on(issuer, work)


def test_a_token_without_expires_in_lives_auth0s_default() -> None:
    """The field is optional in OAuth; a day is what Auth0 gives."""
    issuer, time = Issuer(), FakeTime()
    issuer.life = None

    async def work(session: aiohttp.ClientSession) -> None:
        auth = authenticator(session, issuer, time)
        await auth.token()
        time.now += DEFAULT_LIFE_S - LEEWAY_S - 1
        assert auth.current() == "t1"
        time.now += 2
        assert auth.current() is None

    on(issuer, work)


# -- after a 401 ------------------------------------------------------------------------------------------------------


def test_a_401_is_answered_with_one_new_token_for_all() -> None:
    """All whose requests were refused together get the same new token, from one fetch."""
    issuer = Issuer()

    async def work(session: aiohttp.ClientSession) -> None:
        auth = authenticator(session, issuer)
        old = await auth.token()
        assert await asyncio.gather(*(auth.refresh(old) for _ in range(10))) == ["t2"] * 10
        assert auth.current() == "t2"
        assert await auth.refresh(old) == "t2"  # one that comes late

    on(issuer, work)
    assert len(issuer.forms) == 2


def test_a_refused_token_is_not_handed_out_while_the_new_one_is_fetched() -> None:
    """Whoever asks meanwhile waits for the new token."""
    issuer = Issuer()

    async def work(session: aiohttp.ClientSession) -> None:
        auth = authenticator(session, issuer)
        old = await auth.token()
        async with asyncio.TaskGroup() as group:
            refreshing = group.create_task(auth.refresh(old))
            for _ in range(3):
                await asyncio.sleep(0)  # it gets as far as the network
            assert (auth.current(), refreshing.done()) == (None, False)
            assert await auth.token() == "t2"

    on(issuer, work)


def test_a_401_to_a_token_just_issued_is_final() -> None:
    """Once is enough: another token would be refused as well, and so are all who ask from then on."""
    issuer = Issuer()

    async def work(session: aiohttp.ClientSession) -> None:
        auth = authenticator(session, issuer)
        error = await refusal(auth.refresh(await auth.refresh(await auth.token())))
        assert error.message == f"{issuer.url} refused a token that it had just issued (401)."
        assert auth.current() is None
        assert str(await refusal(auth.token())) == str(error)
        assert str(await refusal(auth.refresh("t2"))) == str(error)

    on(issuer, work)
    assert len(issuer.forms) == 2


def test_an_issuer_that_gives_the_same_token_again_is_not_asked_for_ever() -> None:
    """A refused token that comes back is refused for good."""
    same = [web.json_response({"access_token": "same", "expires_in": 60}) for _ in range(5)]
    issuer = Issuer(*same)

    async def work(session: aiohttp.ClientSession) -> None:
        auth = authenticator(session, issuer)
        assert await auth.refresh(await auth.token()) == "same"
        await refusal(auth.refresh("same"))

    on(issuer, work)
    assert len(issuer.forms) == 2


def test_a_401_long_after_the_last_one_is_answered_again() -> None:
    """A token that served for a while was good: in a run of hours, keys may be rotated more than once."""
    issuer, time = Issuer(), FakeTime()

    async def work(session: aiohttp.ClientSession) -> None:
        auth = authenticator(session, issuer, time)
        token = await auth.token()
        for expected in ("t2", "t3", "t4"):
            token = await auth.refresh(token)
            assert token == expected
            time.now += PROBATION_S
        await auth.refresh(token)
        time.now += PROBATION_S - 1
        await refusal(auth.refresh("t5"))

    on(issuer, work)


def test_probation_outlasts_a_lanes_longest_pause() -> None:
    """A new token may wait its turn through a pause; a refusal after it is still the first one."""
    assert PROBATION_S > PAUSE_CAP_S * 1.1


def test_an_old_refusal_after_the_new_token_expired_is_no_second_one() -> None:
    """A late 401 to the first token fetches what expired anyway, and costs no probation."""
    issuer, time = Issuer(), FakeTime()
    issuer.life = 10

    async def work(session: aiohttp.ClientSession) -> None:
        auth = authenticator(session, issuer, time)
        old = await auth.token()
        await auth.refresh(old)
        time.now += 20
        assert await auth.refresh(old) == "t3"

    on(issuer, work)


def test_a_static_token_that_is_refused_is_final_at_once() -> None:
    """There is no other to be had, and nothing is asked of the issuer."""
    issuer = Issuer()

    async def work(session: aiohttp.ClientSession) -> None:
        auth = authenticator(session, issuer, identity=STATIC)
        token = await auth.token()
        assert (token, auth.current()) == ("s3cret-token", "s3cret-token")
        error = await refusal(auth.refresh(token))
        assert error.message == f"{issuer.url} refused the token (401)."
        assert auth.current() is None

    on(issuer, work)
    assert issuer.forms == []


def test_a_static_token_never_expires_for_us() -> None:
    """Its life is its owner's affair: the server says when it is over."""
    issuer, time = Issuer(), FakeTime()

    async def work(session: aiohttp.ClientSession) -> None:
        auth = authenticator(session, issuer, time, STATIC)
        await auth.token()
        time.now += 1e9
        assert auth.current() == "s3cret-token"

    on(issuer, work)


@pytest.mark.parametrize("text", ["", "s3cret\r\nX-Evil: 1", "s3cret token", "s3crét"])
def test_what_could_not_stand_in_a_header_is_no_token(text: str) -> None:
    """A file with two lines gives no second header, and its text is not shown."""
    issuer = Issuer()

    async def work(session: aiohttp.ClientSession) -> None:
        await refusal(authenticator(session, issuer, identity=Identity(kind="token", secret=text)).token())

    on(issuer, work)


# -- retries ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("step", [*(408, 429, 500, 502, 503, 504, 520, 524), "reset"])
def test_a_token_request_that_may_pass_later_is_tried_again(step: int | str) -> None:
    """Overload, a gateway's trouble and a lost connection are waited out by the injected sleep."""
    issuer, time = Issuer(*(step if isinstance(step, str) else web.Response(status=step) for _ in range(2))), FakeTime()

    async def work(session: aiohttp.ClientSession) -> None:
        assert await authenticator(session, issuer, time).token() == "t1"

    on(issuer, work)
    assert len(issuer.forms) == 3
    assert time.slept == [0.125, 0.25]  # half of what doubles: the draw is one half


def test_a_429_says_how_long_to_wait() -> None:
    """`Retry-After` is the server's word, so no jitter shortens it."""
    issuer, time = Issuer(web.Response(status=429, headers={"Retry-After": "7"})), FakeTime()

    async def work(session: aiohttp.ClientSession) -> None:
        await authenticator(session, issuer, time).token()

    on(issuer, work)
    assert time.slept == [7.0]


def test_who_is_called_away_between_tries_goes_on_with_the_next() -> None:
    """Tries count over all who ask, so a tenant that never answers is given up, however often one is called away."""
    issuer, time = Issuer(*(web.Response(status=503) for _ in range(3 * TRIES))), FakeTime()

    async def work(session: aiohttp.ClientSession) -> None:
        auth = authenticator(session, issuer, time)

        async def called_away(seconds: float) -> None:
            raise asyncio.CancelledError

        auth._sleep = called_away
        for tried in range(1, TRIES):
            with pytest.raises(asyncio.CancelledError):
                await auth.token()
            assert len(issuer.forms) == tried
            assert auth.resume_at > time.now
            time.now = auth.resume_at
        error = await refusal(auth.token())
        assert error.message == f"no token could be had from {issuer.url}: it answered 503."

    on(issuer, work)
    assert len(issuer.forms) == TRIES


@pytest.mark.parametrize(("step", "cause"), [(503, "it answered 503"), ("reset", "no answer (")])
def test_tries_end_and_the_cause_is_told(step: int | str, cause: str) -> None:
    """After the last try all who wait get the same answer without tries of their own; who asks later asks anew."""
    issuer, time = (
        Issuer(*(step if isinstance(step, str) else web.Response(status=step) for _ in range(TRIES))),
        FakeTime(),
    )

    async def work(session: aiohttp.ClientSession) -> None:
        auth = authenticator(session, issuer, time)
        errors = await asyncio.gather(*(auth.token() for _ in range(3)), return_exceptions=True)
        assert {type(error) for error in errors} == {TokenUnreachedError}
        assert len({str(error) for error in errors}) == 1
        assert str(errors[0]).startswith(f"no token could be had from {issuer.url}: {cause}")
        assert len(issuer.forms) == TRIES
        assert await auth.token() == "t1"

    on(issuer, work)
    assert len(issuer.forms) == TRIES + 1
    assert len(time.slept) == TRIES - 1


def test_an_issuer_that_cannot_be_reached_is_tried_again_and_then_given_up() -> None:
    """A refused connection is trouble that may pass, for a while."""
    issuer, time = Issuer(), FakeTime()
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]

    async def work(session: aiohttp.ClientSession) -> None:
        auth = Authenticator(
            session, f"http://127.0.0.1:{port}", lambda: CLIENT, clock=time.clock, sleep=time.sleep, draw=lambda: 0.5
        )
        assert "no answer (ClientConnectorError)" in (await refusal(auth.token())).message

    on(issuer, work)
    assert len(time.slept) == TRIES - 1


# -- refusals ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (401, {"error": "access_denied", "error_description": "Unauthorized"}, "(401: Unauthorized)"),
        (403, {"error": "access_denied", "message": "Not allowed"}, "(403: Not allowed)"),
        (400, {"error": "invalid_request"}, "(400: invalid_request)"),
        (401, {"error_description": "the secret s3cret-of-client is wrong"}, "(401: the secret *** is wrong)"),
        (401, {"error_description": "two\r\n  lines\x1b[2J"}, "(401: two lines [2J)"),
        (401, ["s3cret-of-client"], "(401)"),
        (403, None, "(403)"),
        (404, {}, "(404)"),
    ],
)
def test_refused_credentials_are_final_and_told_without_the_secret(status: int, body: object, words: str) -> None:
    """The server's own words, on one line, with what it echoes masked; nothing is tried again."""
    text = "<html>s3cret-of-client</html>" if body is None else json.dumps(body)
    issuer, time = Issuer(*(web.Response(status=status, text=text) for _ in range(5))), FakeTime()

    async def work(session: aiohttp.ClientSession) -> None:
        auth = authenticator(session, issuer, time)
        error = await refusal(auth.token())
        assert error.message == f"{issuer.url} refused the credentials of client client-1 {words}."
        await asyncio.gather(*(refusal(auth.token()) for _ in range(5)))

    on(issuer, work)
    assert len(issuer.forms) == 1
    assert time.slept == []


def test_an_endless_refusal_is_cut() -> None:
    """An error is a sentence, however much the server says."""
    issuer = Issuer(web.json_response({"error_description": "x" * 100_000}, status=403))

    async def work(session: aiohttp.ClientSession) -> None:
        assert len((await refusal(authenticator(session, issuer).token())).message) < 500

    on(issuer, work)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"null",
        b"{}",
        b'{"access_token": 5}',
        b'{"access_token": ""}',
        b'{"access_token": "s3cret t", "expires_in": 5}',
        b'{"access_token": "s3cret", "expires_in": "soon"}',
        b"<html>s3cret",
    ],
)
def test_an_answer_without_a_token_is_told(body: bytes) -> None:
    """A 200 that is no token answer does not crash, and what it held is not shown."""
    issuer = Issuer(web.Response(body=body))

    async def work(session: aiohttp.ClientSession) -> None:
        error = await refusal(authenticator(session, issuer).token())
        assert error.message == f"{issuer.url} answered a token request without a token."

    on(issuer, work)


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_is_not_followed(status: int) -> None:
    """Credentials go to the tenant's own address and nowhere else."""
    issuer = Issuer(web.Response(status=status, headers={"Location": "/elsewhere"}))

    async def work(session: aiohttp.ClientSession) -> None:
        assert f"({status})" in (await refusal(authenticator(session, issuer).token())).message

    on(issuer, work)
    assert issuer.elsewhere == 0


# -- private-key JWT --------------------------------------------------------------------------------------------------


def pem(key: Any, encryption: Any = None) -> str:
    """Return a private key in PEM form."""
    return str(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption or NoEncryption()).decode())


@pytest.fixture(scope="module")
def key() -> rsa.RSAPrivateKey:
    """Return a key to sign with."""
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def signer(secret: str, alg: str = "RS256") -> Identity:
    """Return the identity of a client that signs."""
    return Identity(kind="private_key", client_id="client-2", secret=secret, signing_alg=alg)


@pytest.mark.parametrize("alg", ["RS256", "RS384", "PS256"])
def test_a_client_with_a_key_signs_its_request(key: rsa.RSAPrivateKey, alg: str) -> None:
    """The assertion names client and tenant, lives a minute at most, and the public key proves it; no secret goes."""
    issuer, time = Issuer(), FakeTime()

    async def work(session: aiohttp.ClientSession) -> None:
        await authenticator(session, issuer, time, signer(pem(key), alg)).token()

    on(issuer, work)
    form = issuer.forms[0]
    assert form["client_assertion_type"] == "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
    assert "client_secret" not in form
    claims = jwt.decode(
        form["client_assertion"], key.public_key(), [alg], audience=f"{issuer.url}/",
        options={"verify_exp": False, "verify_iat": False},
    )  # fmt: skip
    assert (claims["iss"], claims["sub"], claims["aud"]) == ("client-2", "client-2", f"{issuer.url}/")
    assert claims["iat"] == int(time.epoch)
    assert 0 < claims["exp"] - claims["iat"] <= 60


def test_every_try_has_an_assertion_of_its_own(key: rsa.RSAPrivateKey) -> None:
    """An assertion may be used once, and the server may have seen the one that got no answer."""
    issuer = Issuer(web.Response(status=503), "reset")

    async def work(session: aiohttp.ClientSession) -> None:
        auth = authenticator(session, issuer, identity=signer(pem(key)))
        await auth.refresh(await auth.token())

    on(issuer, work)
    options = {"verify_exp": False, "verify_iat": False, "verify_aud": False}
    claims = [jwt.decode(f["client_assertion"], key.public_key(), ["RS256"], options=options) for f in issuer.forms]  # type: ignore[arg-type]
    assert len({claim["jti"] for claim in claims}) == len(issuer.forms) == 4


def test_a_key_whose_line_ends_are_written_out_is_understood(key: rsa.RSAPrivateKey) -> None:
    """A variable of one line holds the key with a backslash and an n where its lines end."""
    issuer = Issuer()

    async def work(session: aiohttp.ClientSession) -> None:
        identity = signer(pem(key).replace("\n", "\\n"))
        assert await authenticator(session, issuer, identity=identity).token() == "t1"

    on(issuer, work)


@pytest.mark.parametrize("kind", ["text", "empty", "broken", "elliptic", "locked"])
def test_a_key_that_cannot_sign_is_told_and_not_shown(key: rsa.RSAPrivateKey, kind: str) -> None:
    """The error says what key is needed; nothing is sent."""
    secret = {
        "text": "s3cret",
        "empty": "",
        "broken": pem(key)[:200] + "s3cret\n-----END PRIVATE KEY-----\n",
        "elliptic": pem(ec.generate_private_key(ec.SECP256R1())),
        "locked": pem(key, BestAvailableEncryption(b"pass")),
    }[kind]
    issuer = Issuer()

    async def work(session: aiohttp.ClientSession) -> None:
        error = await refusal(authenticator(session, issuer, identity=signer(secret)).token())
        assert error.message == f"the private key for {issuer.url} cannot be used with RS256."
        assert "RSA key in PEM form" in error.hint
        assert error.__cause__ is None
        assert secret[:60] not in str(error) or not secret

    on(issuer, work)
    assert issuer.forms == []


def test_an_assertion_that_the_server_echoes_is_masked(key: rsa.RSAPrivateKey) -> None:
    """A signed assertion is a credential, too."""
    issuer = Issuer()
    echoed: list[str] = []

    async def echo(request: web.Request) -> web.StreamResponse:
        form = await request.json()
        echoed.append(form["client_assertion"])
        return web.json_response({"error_description": f"bad {form['client_assertion']}"}, status=401)

    issuer.answer = echo  # type: ignore[method-assign]

    async def work(session: aiohttp.ClientSession) -> None:
        error = await refusal(authenticator(session, issuer, identity=signer(pem(key))).token())
        assert "(401: bad ***)" in error.message
        assert echoed[0] not in str(error)

    on(issuer, work)


# -- nothing shows ----------------------------------------------------------------------------------------------------


def test_no_secret_is_in_a_repr() -> None:
    """Neither an identity nor an authenticator that holds a token shows one."""
    issuer = Issuer()

    async def work(session: aiohttp.ClientSession) -> None:
        auth = authenticator(session, issuer, identity=STATIC)
        await auth.token()
        for shown in (auth, STATIC, CLIENT):
            assert "s3cret" not in repr(shown)
            assert "s3cret" not in str(shown)

    on(issuer, work)
