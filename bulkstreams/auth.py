"""The token of one tenant: fetched once, shared by all who ask, refreshed before it expires and once after a 401.

This module must never send a credential to another host than its tenant's, nor show one in an error or a repr.
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Final, Literal, NamedTuple
from uuid import uuid4

import aiohttp
import anyio
import jwt
import orjson
from cryptography.exceptions import UnsupportedAlgorithm

from bulkstreams.core.budget import retry_after
from bulkstreams.core.retry import AMBIGUOUS, backoff
from bulkstreams.core.scopes import granted
from bulkstreams.errors import CredentialsError, TokenUnreachedError, UsageError

GRANT: Final = "client_credentials"
ASSERTION_TYPE: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"  # RFC 7523 §2.2
ASSERTION_LIFE_S: Final = 60
LEEWAY_S: Final = 60.0
DEFAULT_LIFE_S: Final = 86_400.0
TRIES: Final = 5
TIMEOUT: Final = aiohttp.ClientTimeout(total=30)

PROBATION_S: Final = 600.0
"""After a 401 was answered with a new token, the seconds within which a 401 to that one is final.

Longer than the longest pause of a lane, so that a token that waited its turn and is refused then is caught, too.
"""

MAX_MESSAGE: Final = 300

_HINT: Final = "Check the tenant's credentials, then run the same command again: it resumes."


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Who we are at a tenant, references resolved: a token, or a client with a secret or a key to sign with."""

    kind: Literal["token", "client_secret", "private_key"]
    secret: str = field(repr=False)
    client_id: str = ""
    signing_alg: str = "RS256"
    audience: str | None = None


class _Fetched(NamedTuple):
    token: str
    expires_at: float
    scope: object = None


class Authenticator:
    """Hands out one tenant's token. `clock` is monotonic, `wall` epoch seconds; `sleep` and `draw` serve retries."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        base_url: str,
        identity: Callable[[], Identity],
        *,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
        sleep: Callable[[float], Awaitable[None]] = anyio.sleep,
        draw: Callable[[], float] = random.random,
    ) -> None:
        self._session = session
        self._base_url = base_url
        self._resolve = identity
        self._identity: Identity | None = None
        self._fetched: _Fetched | None = None
        self._replaced_at: float | None = None
        self._failed: CredentialsError | None = None
        self._replaces = False
        self._tries = 0
        self._resume_at = 0.0
        self._rounds, self._unreached = 0, ""
        self._lock = anyio.Lock()
        self._clock, self._wall, self._sleep, self._draw = clock, wall, sleep, draw

    def __repr__(self) -> str:
        return f"Authenticator({self._base_url!r})"

    @property
    def resume_at(self) -> float:
        """Return the instant (of `clock`) before which the tenant is not asked again, since it gave no answer."""
        return self._resume_at

    @property
    def scopes(self) -> frozenset[str] | None:
        """Return the scopes of the newest token, as far as it or its tenant tells them; None: nobody knows."""
        return None if self._fetched is None else granted(self._fetched.token, self._fetched.scope)

    def current(self) -> str | None:
        """Return the token if there is one that does not expire soon."""
        fetched = self._fetched
        if fetched is None or (fetched.expires_at != math.inf and self._clock() >= fetched.expires_at):
            return None
        return fetched.token

    async def token(self) -> str:
        """Return a token, fetched if need be; those who ask meanwhile share it. Raise CredentialsError, then for good.

        A failure is shared like a token: the many who wait must not each send credentials that were refused. Where
        there was no answer (TokenUnreachedError) those who waited share it; who asks later asks the tenant again.
        """
        rounds = self._rounds
        async with self._lock:
            self._check_unreached(rounds)
            return self.current() or await self._renew()

    async def refresh(self, stale: str) -> str:
        """Return another token than `stale`, which the server refused; raise CredentialsError where that is no use."""
        rounds = self._rounds
        async with self._lock:
            self._check_unreached(rounds)
            if self._fetched is not None and self._fetched.token != stale:
                return self.current() or await self._renew()
            self._check_failed()
            if self._who().kind == "token":
                raise self._fail(f"{self._base_url} refused the token (401).")
            if self._replaced_at is not None and self._clock() - self._replaced_at < PROBATION_S:
                raise self._fail(f"{self._base_url} refused a token that it had just issued (401).")
            self._fetched, self._replaces = None, True  # nobody else need try it
            return await self._renew()

    def _who(self) -> Identity:
        if self._identity is None:
            try:
                self._identity = self._resolve()
            except UsageError as error:
                raise self._fail(error.message, error.hint) from None
        return self._identity

    async def _renew(self) -> str:
        self._check_failed()
        who = self._who()
        if who.kind != "token":
            self._fetched = await self._fetch(who)
        elif _is_token(who.secret):
            self._fetched = _Fetched(who.secret, math.inf)
        else:
            raise self._fail(f"the token for {self._base_url} is none: it is empty or holds white space.")
        if self._replaces:
            self._replaced_at, self._replaces = self._clock(), False
        return self._fetched.token

    def _check_failed(self) -> None:
        if self._failed is not None:
            raise CredentialsError(self._failed.message, hint=self._failed.hint)

    def _check_unreached(self, rounds: int) -> None:
        """Raise what those before us were told, where they were told it while we waited; `rounds`: when we began to."""
        if self._rounds != rounds:
            raise TokenUnreachedError(self._unreached, hint=_HINT)

    def _fail(self, message: str, hint: str = _HINT) -> CredentialsError:
        """Note that no token is to be had any more; return the error that says so."""
        self._fetched = None
        self._failed = CredentialsError(message, hint=hint)
        return self._failed

    async def _fetch(self, who: Identity) -> _Fetched:
        """Ask until there is an answer, `TRIES` times at most; who was called away meanwhile goes on where it was."""
        while True:
            if (wait := self._resume_at - self._clock()) > 0:
                await self._sleep(wait)
            asked_at = self._clock()
            form = self._form(who)
            self._tries += 1
            try:
                status, headers, body = await self._post(form)
            except (TimeoutError, aiohttp.ClientError, OSError) as error:
                self._put_off(f"no answer ({type(error).__name__})", None)
                continue
            if status == 200:
                self._tries = 0
                return self._read(body, asked_at)
            if status not in AMBIGUOUS and status != 429:
                raise self._refused(form, status, body)
            self._put_off(f"it answered {status}", retry_after(headers) if status == 429 else None)

    def _put_off(self, cause: str, wait: float | None) -> None:
        """Note when to ask again, after `wait` seconds if the tenant said so; raise TokenUnreachedError at the end."""
        if self._tries >= TRIES:
            self._tries = 0
            self._rounds += 1
            self._unreached = f"no token could be had from {self._base_url}: {cause}."
            raise TokenUnreachedError(self._unreached, hint=_HINT)
        self._resume_at = self._clock() + (backoff(self._tries, self._draw()) if wait is None else wait)

    async def _post(self, form: dict[str, str]) -> tuple[int, Any, bytes]:
        async with self._session.post(
            f"{self._base_url}/oauth/token", json=form, allow_redirects=False, timeout=TIMEOUT
        ) as response:
            return response.status, response.headers, await response.read()

    def _form(self, who: Identity) -> dict[str, str]:
        form = {
            "grant_type": GRANT,
            "client_id": who.client_id,
            "audience": who.audience or f"{self._base_url}/api/v2/",
        }
        if who.kind == "client_secret":
            return {**form, "client_secret": who.secret}
        return {**form, "client_assertion_type": ASSERTION_TYPE, "client_assertion": self._assertion(who)}

    def _assertion(self, who: Identity) -> str:
        """Sign a fresh assertion (RFC 7523 §3): each may be used once, so every try has its own."""
        now = int(self._wall())
        claims = {
            "iss": who.client_id, "sub": who.client_id, "aud": f"{self._base_url}/",
            "iat": now, "exp": now + ASSERTION_LIFE_S, "jti": str(uuid4()),
        }  # fmt: skip
        try:
            return jwt.encode(claims, _as_pem(who.secret), algorithm=who.signing_alg)
        except (ValueError, TypeError, AttributeError, UnsupportedAlgorithm, jwt.PyJWTError):
            raise self._fail(
                f"the private key for {self._base_url} cannot be used with {who.signing_alg}.",
                "It must be an RSA key in PEM form, whole, without a passphrase.",
            ) from None

    def _read(self, body: bytes, asked_at: float) -> _Fetched:
        try:
            found = orjson.loads(body)
            token = found["access_token"]
            life, scope = float(found.get("expires_in") or DEFAULT_LIFE_S), found.get("scope")
        except (ValueError, KeyError, TypeError, AttributeError):
            token, life, scope = None, 0.0, None
        if not isinstance(token, str) or not _is_token(token):
            raise self._fail(f"{self._base_url} answered a token request without a token.")
        return _Fetched(token, asked_at + life - min(LEEWAY_S, life / 10), scope)

    def _refused(self, form: dict[str, str], status: int, body: bytes) -> CredentialsError:
        try:
            found = orjson.loads(body)
            words = str(found.get("error_description") or found.get("message") or found.get("error") or "")
        except (ValueError, AttributeError):
            words = ""
        for name in ("client_secret", "client_assertion"):
            if form.get(name):
                words = words.replace(form[name], "***")
        words = " ".join("".join(c if c.isprintable() else " " for c in words).split())[:MAX_MESSAGE]
        answer = f"{status}: {words}" if words else str(status)
        return self._fail(f"{self._base_url} refused the credentials of client {form['client_id']} ({answer}).")


def _is_token(text: str) -> bool:
    """Return whether a text can stand in an Authorization header as one word."""
    return bool(text) and all("!" <= c <= "~" for c in text)


def _as_pem(text: str) -> str:
    """Return a key whose line ends were written as backslash and n, as one-line variables hold it, in its own form."""
    return text.replace("\\n", "\n")
