"""The token of one tenant: fetched once, shared by all who ask, refreshed before it expires and once after a 401.

This module must never send a credential to another host than its tenant's, nor show one in an error or a repr.
"""

from __future__ import annotations

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

from bulkstreams.core.pacing import retry_after
from bulkstreams.core.retry import AMBIGUOUS, backoff
from bulkstreams.errors import CredentialsError

GRANT: Final = "client_credentials"
ASSERTION_TYPE: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"  # RFC 7523 §2.2
ASSERTION_LIFE_S: Final = 60
LEEWAY_S: Final = 60.0
DEFAULT_LIFE_S: Final = 86_400.0
TRIES: Final = 5
TIMEOUT: Final = aiohttp.ClientTimeout(total=30)
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
        self._proven = True
        self._lock = anyio.Lock()
        self._clock, self._wall, self._sleep, self._draw = clock, wall, sleep, draw

    def __repr__(self) -> str:
        return f"Authenticator({self._base_url!r})"

    def current(self) -> str | None:
        """Return the token if there is one that does not expire soon."""
        fetched = self._fetched
        return fetched.token if fetched is not None and self._clock() < fetched.expires_at else None

    def proven(self) -> None:
        """Note that the server took the token: after a later 401 another one may be fetched."""
        self._proven = True

    async def token(self) -> str:
        """Return a token, fetched if need be; those who ask meanwhile share it. Raise CredentialsError."""
        async with self._lock:
            known = self.current()
            return known if known is not None else await self._renew()

    async def refresh(self, stale: str) -> str:
        """Return another token than `stale`, which the server refused; raise CredentialsError where that is no use."""
        async with self._lock:
            known = self.current()
            if known is not None and known != stale:
                return known
            if self._who().kind == "token":
                raise CredentialsError(f"{self._base_url} refused the token (401).", hint=_HINT)
            if not self._proven:
                raise CredentialsError(f"{self._base_url} refused a token that it had just issued (401).", hint=_HINT)
            self._proven = False
            self._fetched = None
            return await self._renew()

    def _who(self) -> Identity:
        if self._identity is None:
            self._identity = self._resolve()
        return self._identity

    async def _renew(self) -> str:
        who = self._who()
        if who.kind == "token":
            self._fetched = _Fetched(who.secret, float("inf"))
        else:
            self._fetched = await self._fetch(who)
        return self._fetched.token

    async def _fetch(self, who: Identity) -> _Fetched:
        cause = ""
        for attempt in range(1, TRIES + 1):
            asked_at = self._clock()
            try:
                status, headers, body = await self._post(self._form(who))
            except (TimeoutError, aiohttp.ClientError, OSError) as error:
                cause, wait = f"no answer ({type(error).__name__})", None
            else:
                if status == 200:
                    return self._read(body, asked_at)
                if status not in AMBIGUOUS and status != 429:
                    raise self._refused(who, status, body)
                cause, wait = f"it answered {status}", retry_after(headers) if status == 429 else None
            if attempt < TRIES:
                await self._sleep(backoff(attempt, self._draw()) if wait is None else wait)
        raise CredentialsError(f"no token could be had from {self._base_url}: {cause}.", hint=_HINT)

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
            return jwt.encode(claims, who.secret, algorithm=who.signing_alg)
        except (ValueError, TypeError, jwt.PyJWTError):
            raise CredentialsError(
                f"the private key for {self._base_url} cannot be used with {who.signing_alg}.",
                hint="It must be an RSA key in PEM form, whole, without a passphrase.",
            ) from None

    def _read(self, body: bytes, asked_at: float) -> _Fetched:
        try:
            found = orjson.loads(body)
            token = found["access_token"]
            life = float(found.get("expires_in") or DEFAULT_LIFE_S)
        except (ValueError, KeyError, TypeError, AttributeError):
            token, life = None, 0.0
        if not isinstance(token, str) or not token:
            raise CredentialsError(f"{self._base_url} answered a token request without a token.", hint=_HINT)
        return _Fetched(token, asked_at + life - min(LEEWAY_S, life / 10))

    def _refused(self, who: Identity, status: int, body: bytes) -> CredentialsError:
        try:
            found = orjson.loads(body)
            words = str(found.get("error_description") or found.get("message") or found.get("error") or "")
        except (ValueError, AttributeError):
            words = ""
        words = " ".join(words.replace(who.secret, "***").split())[:MAX_MESSAGE]
        answer = f"{status}: {words}" if words else str(status)
        return CredentialsError(
            f"{self._base_url} refused the credentials of client {who.client_id} ({answer}).",
            hint=_HINT,
        )
