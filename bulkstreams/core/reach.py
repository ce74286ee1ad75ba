"""Whose a host is, by its name or address alone: this network's own, Auth0's cloud, or somebody's on the internet.

A custom domain of an Auth0 tenant looks like any other public name, so whoever may not put load on Auth0's cloud may
not put load on any of them unasked. This module must never resolve a name.
"""

from __future__ import annotations

import ipaddress
from enum import StrEnum
from typing import Final

AUTH0: Final = ("auth0.com", "auth0app.com")
"""Domains under which every host is Auth0's cloud."""

_OWN: Final = ("localhost", "local", "internal", "lan", "test", "home.arpa", "invalid", "example")
"""Names that no public resolver has (RFC 6761, RFC 6762, RFC 8375, RFC 9476), or that ICANN keeps for private use."""


class Whose(StrEnum):
    """Whom a load would hit."""

    OWN = "own"
    AUTH0 = "auth0"
    PUBLIC = "public"


def whose(host: str) -> Whose:
    """Return whose a host is; a name without a dot is one of this network."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return _by_name(host.lower().rstrip("."))
    return Whose.OWN if address.is_loopback or address.is_private or address.is_link_local else Whose.PUBLIC


def _by_name(name: str) -> Whose:
    if _under(name, AUTH0):
        return Whose.AUTH0
    return Whose.OWN if "." not in name or _under(name, _OWN) else Whose.PUBLIC


def _under(name: str, domains: tuple[str, ...]) -> bool:
    return any(name == domain or name.endswith(f".{domain}") for domain in domains)
