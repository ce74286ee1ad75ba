"""What a tenant is to us: where it is, who we are there, how fast we may go, when we stop.

This module must never let a credential into a repr, nor into an error about an address that holds one.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass, field
from typing import Final, Literal
from urllib.parse import urlsplit

from bulkstreams.errors import UsageError
from bulkstreams.model import TenantName

_DOMAIN: Final = re.compile(r"(?=.{1,253}$)([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]{2,63}", re.IGNORECASE)

_HOST: Final = re.compile(r"[a-z0-9_]([a-z0-9._-]*[a-z0-9_])?", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Token:
    """A token that somebody else fetched; `text` may be a reference."""

    text: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class ClientSecret:
    """The client credentials of a machine-to-machine application; texts may be references."""

    client_id: str
    client_secret: str = field(repr=False)
    audience: str | None = None


@dataclass(frozen=True, slots=True)
class PrivateKeyJwt:
    """A client that signs its token requests: the PEM key may be a reference."""

    client_id: str
    private_key: str = field(repr=False)
    signing_alg: str = "RS256"
    audience: str | None = None


Credentials = Token | ClientSecret | PrivateKeyJwt

Rate = float | Literal["auto", "max"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tenant:
    """One tenant. `address` is what the ledger remembers of where it is: its base URL, or `sandbox`."""

    name: TenantName
    base_url: str
    address: str
    credentials: Credentials | None
    rate: Rate = "auto"
    burst: int | None = None
    reserve: float = 0.0
    concurrency: int = 32
    deadline_s: float | None = None
    max_failures: int | None = None
    max_failure_rate: float | None = None


def check_base_url(text: str, where: str) -> str:
    """Return a base URL without `/api/v2` or a slash at its end; raise UsageError where it is none, or not safe."""
    hint = f"Give {where} as https://HOST, or http:// only for this machine itself (127.0.0.1, localhost)."
    try:
        parts = urlsplit(text.strip())
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise UsageError(f"{where} has no usable host and port.", hint=hint) from None
    if parts.username is not None or parts.query or parts.fragment:
        raise UsageError(f"{where} must hold no user, query or fragment.", hint=hint)
    if parts.scheme not in {"http", "https"} or not host or not (_HOST.fullmatch(host) or _is_address(host)):
        raise UsageError(f"{where} must be a whole URL.", hint=hint)
    if parts.scheme == "http" and not is_loopback(host):
        raise UsageError(f"{where}: plain http to {host} would send the token in the clear.", hint=hint)
    path = parts.path.rstrip("/").removesuffix("/api/v2").rstrip("/")
    return f"{parts.scheme}://{parts.netloc.lower()}{path}"


def is_loopback(host: str) -> bool:
    """Return whether a host is this machine itself."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def bare_domain(text: str) -> str:
    """Return a domain without the scheme and the slash that it is often copied with, in lower case."""
    return text.strip().lower().removeprefix("https://").rstrip("/")


def check_domain(text: str, where: str) -> str:
    """Return a tenant's domain, bare and in lower case; raise UsageError where it is none."""
    bare = bare_domain(text)
    if not is_domain(bare):
        raise UsageError(
            f"{where}: {without_user(text)!r} is not a domain.",
            hint="A tenant's domain looks like acme.eu.auth0.com, without a path.",
        )
    return bare


def without_user(text: str) -> str:
    """Return what an error may show of a text in a domain's place: a URL may hold a user and a password before an @."""
    return text.rpartition("@")[2]


def is_domain(text: str) -> bool:
    """Return whether a text is a bare domain."""
    return _DOMAIN.fullmatch(text) is not None


def name_of_url(base_url: str) -> TenantName:
    """Return the name of a tenant that is known by its address alone: host and port."""
    return TenantName(urlsplit(base_url).netloc)
