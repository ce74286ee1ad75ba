"""Who we are at a tenant, as the file or the environment says it.

This module must never resolve a reference, nor show a credential in an error: errors name the key or the variable.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from bulkstreams.config.file import ConfigFile
from bulkstreams.config.tenants import ClientSecret, Credentials, PrivateKeyJwt, Token
from bulkstreams.core.references import left_over, parse_reference
from bulkstreams.core.texts import is_text
from bulkstreams.errors import UsageError

SIGNING_ALGS: Final = ("RS256", "RS384", "PS256")
TOKEN_VARIABLES: Final = ("AUTH0_API_TOKEN", "AUTH0_ACCESS_TOKEN")
"""The variables that a token of ours may stand in, the first that does counts: never the name of a stream's secret."""

_VARIABLES: Final = {
    "client_id": "AUTH0_CLIENT_ID",
    "client_secret": "AUTH0_CLIENT_SECRET",
    "private_key": "AUTH0_CLIENT_ASSERTION_PRIVATE_KEY",
    "signing_alg": "AUTH0_CLIENT_ASSERTION_SIGNING_ALG",
    "audience": "AUTH0_AUDIENCE",
}
"""The variables of a client, by the keys that the file has for the same."""

_SECRETS: Final = ("token", "client_id", "client_secret", "private_key")


def token(text: str, where: str) -> Token:
    """Return a token; raise UsageError where it could not stand in a header. White space around it is dropped."""
    text = text.strip()
    if parse_reference(text) is None and not (text and all("!" <= c <= "~" for c in text)):
        raise UsageError(
            f"{where} {'holds a character that no token has' if text else 'is empty'}.",
            hint="A token is one word of letters, digits and signs, without white space.",
        )
    return Token(text)


def in_file(file: ConfigFile, name: str) -> Credentials | None:
    """Return the credentials of a tenant's table, None where it has none."""
    table, place = file.tenants[name], f"tenants.{name}"
    for key in _SECRETS:
        if key in table:
            _check_secret(table[key], key, file.where(f"{place}.{key}"))
    given = [key for key in _SECRETS if key in table]
    if not given:
        return None
    if given == ["token"]:
        return token(table["token"], file.where(f"{place}.token"))
    if given not in (["client_id", "client_secret"], ["client_id", "private_key"]):
        raise UsageError(
            f"{file.where(place)} has {' and '.join(given)}, and that is no whole credential.",
            hint="Give a token, or a client_id with a client_secret, or a client_id with a private_key.",
        )
    return _client(table, file.where(f"{place}.signing_alg"))


def _check_secret(text: str, key: str, where: str) -> None:
    """Refuse what stands in a secret's place and is none: nothing, a placeholder, the path of a key."""
    if not text.strip():
        raise UsageError(f"{where} is empty.", hint="Give a value, or a reference: ${env:NAME} or ${file:PATH}.")
    if marker := left_over(text):
        raise UsageError(
            f"{where} holds {marker}, which nobody replaced.",
            hint="A reference is the whole value: ${env:NAME} or ${file:PATH}.",
        )
    if key == "private_key" and parse_reference(text) is None and "-----BEGIN" not in text:
        raise UsageError(f"{where} is not a key in PEM form.", hint="For a key in a file, write ${file:key.pem}.")


def in_environment(environment: Mapping[str, str]) -> Credentials | None:
    """Return the credentials that stand under the names of Auth0's own tools, None where there are none."""
    for name in TOKEN_VARIABLES:
        if environment.get(name):
            return token(environment[name], name)
    given = {key: environment.get(name) for key, name in _VARIABLES.items()}
    if not given["client_id"] or not (given["client_secret"] or given["private_key"]):
        return None
    for key, text in given.items():
        if text and not is_text(text):
            raise UsageError(f"{_VARIABLES[key]} holds bytes that are no UTF-8.", hint="Set it anew, as a text.")
    return _client({key: text for key, text in given.items() if text}, "AUTH0_CLIENT_ASSERTION_SIGNING_ALG")


def _client(given: Mapping[str, Any], alg_from: str) -> Credentials:
    audience = given.get("audience")
    if "client_secret" in given:
        return ClientSecret(given["client_id"], given["client_secret"], audience)
    alg = given.get("signing_alg", SIGNING_ALGS[0])
    if alg not in SIGNING_ALGS:
        raise UsageError(f"{alg_from} must be {', '.join(SIGNING_ALGS)} (got {alg!r}).", hint="e.g. RS256")
    return PrivateKeyJwt(given["client_id"], given["private_key"], alg, audience)
