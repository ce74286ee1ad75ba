"""The token endpoint, and who may come in with what.

A newcomer's made-up token must work, so by default any bearer token is good unless it was issued here and has
expired; `strict_tokens` wants one that was issued here, to this tenant, and is unexpired.
A client assertion's claims are checked, its signature is not: the sandbox holds no public keys.
This module must never keep, or put into an answer, a secret or an assertion that a client sent.
"""

from __future__ import annotations

import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping
from random import Random
from typing import Any, Final, NamedTuple
from urllib.parse import parse_qsl

import orjson

from bulkstreams.sandbox import answers
from bulkstreams.sandbox.answers import Answer, oauth_error
from bulkstreams.sandbox.settings import SandboxSettings

ASSERTION_TYPE: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
ALGORITHMS: Final = ("RS256", "RS384", "PS256")
ASSERTION_LIFETIME_S: Final = 300.0
CLOCK_SKEW_S: Final = 10.0


class _Issued(NamedTuple):
    tenant: str
    expires_at: float


class TokenDesk:
    """Issues tokens and judges them, for all tenants."""

    def __init__(self, settings: SandboxSettings, chance: Random) -> None:
        self._settings = settings
        self._chance = chance
        self._issued: dict[str, _Issued] = {}
        self._assertions: dict[str, float] = {}

    def issue(self, tenant: str, body: bytes, content_type: str, now: float) -> Answer:
        """Answer a `POST /oauth/token`."""
        asked = read_fields(body, content_type)
        if asked is None:
            return oauth_error(400, "invalid_request", "The request body is not valid.")
        return self._refusal(asked, now) or self._grant(tenant, now)

    def judge(self, authorization: str | None, tenant: str, now: float) -> Answer | None:
        """Return the answer that turns a request away for its Authorization header, or None where it may come in."""
        if authorization is None:
            return answers.UNAUTHENTICATED
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer" or not token or " " in token:
            return answers.BAD_HEADER
        issued = self._issued.get(token)
        if issued is None:
            return answers.invalid_token("Invalid token") if self._settings.strict_tokens else None
        if now >= issued.expires_at:
            return answers.invalid_token("Expired token received for JSON Web Token validation")
        if issued.tenant != tenant:
            return answers.invalid_token("Invalid token")
        return None

    def may(self, scope: str) -> bool:
        """Return whether tokens carry a scope; all tokens of one sandbox carry the same."""
        return scope in self._settings.scopes

    def _grant(self, tenant: str, now: float) -> Answer:
        settings = self._settings
        payload = {
            "aud": f"{tenant}/api/v2/", "iat": int(now), "exp": int(now + settings.token_lifetime_s),
            "scope": " ".join(settings.scopes),
        }  # fmt: skip
        token = ".".join(map(_encoded, ({"alg": "RS256", "typ": "JWT"}, payload, self._chance.getrandbits(63))))
        self._issued[token] = _Issued(tenant, now + settings.token_lifetime_s)
        answer = {
            "access_token": token, "expires_in": int(settings.token_lifetime_s),
            "scope": payload["scope"], "token_type": "Bearer",
        }  # fmt: skip
        return Answer(200, orjson.dumps(answer))

    def _refusal(self, asked: Mapping[str, Any], now: float) -> Answer | None:
        grant = asked.get("grant_type")
        if not grant:
            return oauth_error(400, "invalid_request", "Missing required parameter: grant_type")
        if grant != "client_credentials":
            return oauth_error(403, "unsupported_grant_type", "Unsupported grant type")
        if "client_assertion" in asked:
            wrong = self._assertion_wrong(asked, now)
            refusal = oauth_error(401, "invalid_client", wrong) if wrong else None
        else:
            refusal = None if self._knows(asked.get("client_id"), asked.get("client_secret")) else answers.DENIED
        return refusal or _audience_refusal(asked.get("audience"))

    def _knows(self, client_id: object, client_secret: object) -> bool:
        if not (isinstance(client_id, str) and client_id and isinstance(client_secret, str) and client_secret):
            return False
        if self._settings.clients is None:
            return True
        return hmac.compare_digest(self._settings.clients.get(client_id, "").encode(), client_secret.encode())

    def _assertion_wrong(self, asked: Mapping[str, Any], now: float) -> str | None:
        """Return what is wrong with a client assertion, in words without any of it."""
        if asked.get("client_assertion_type") != ASSERTION_TYPE:
            return "Invalid client_assertion_type"
        parts = _decoded(asked["client_assertion"])
        if parts is None:
            return "Malformed client_assertion"
        header, claims = parts
        if header.get("alg") not in ALGORITHMS:
            return "Unsupported client_assertion signing algorithm"
        return self._claims_wrong(claims, asked.get("client_id"), now)

    def _claims_wrong(self, claims: Mapping[str, Any], client_id: object, now: float) -> str | None:
        client, expires, unique = claims.get("iss"), claims.get("exp"), claims.get("jti")
        if not isinstance(client, str) or claims.get("sub") != client or client_id not in (None, client):
            return "client_assertion: iss, sub and client_id must be the same client"
        if self._settings.clients is not None and client not in self._settings.clients:
            return "Unknown client"
        if not _names_a_server(claims.get("aud")):
            return "client_assertion: aud must be the address of the tenant, with a slash at its end"
        if (
            not isinstance(expires, int | float)
            or not -CLOCK_SKEW_S < expires - now <= ASSERTION_LIFETIME_S + CLOCK_SKEW_S
        ):
            return "client_assertion: exp must be within the next five minutes"
        return self._use_once(unique, float(expires), now)

    def _use_once(self, unique: object, expires_at: float, now: float) -> str | None:
        if not isinstance(unique, str) or not unique:
            return "client_assertion: jti is missing"
        if self._assertions.get(unique, 0.0) > now - CLOCK_SKEW_S:
            return "client_assertion: jti was used before"
        self._assertions[unique] = expires_at
        return None


def read_fields(body: bytes, content_type: str) -> dict[str, Any] | None:
    """Return the fields of a JSON object or of a form, or None where the body is neither."""
    if content_type == "application/x-www-form-urlencoded":
        return read_form(body)
    try:
        asked = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    return asked if isinstance(asked, dict) else None


def read_form(body: bytes) -> dict[str, Any]:
    """Return the fields of a form; the last one wins where a name comes twice."""
    return dict(parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True))


def _audience_refusal(audience: object) -> Answer | None:
    if not isinstance(audience, str) or not audience:
        return oauth_error(403, "access_denied", "No audience parameter was provided")
    if not audience.endswith("/api/v2/"):
        return oauth_error(403, "access_denied", f"Service not enabled within domain: {audience}")
    return None


def _names_a_server(audience: object) -> bool:
    names = audience if isinstance(audience, list) else [audience]
    return any(isinstance(n, str) and n.startswith(("https://", "http://")) and n.endswith("/") for n in names)


def _encoded(part: object) -> str:
    return urlsafe_b64encode(orjson.dumps(part)).decode().rstrip("=")


def _decoded(assertion: object) -> tuple[dict[str, Any], dict[str, Any]] | None:
    if not isinstance(assertion, str):
        return None
    parts = assertion.split(".")
    if len(parts) != 3 or not parts[2]:
        return None
    try:
        header, claims = (orjson.loads(urlsafe_b64decode(part + "=" * (-len(part) % 4))) for part in parts[:2])
    except ValueError:
        return None
    return (header, claims) if isinstance(header, dict) and isinstance(claims, dict) else None
