"""Tenants that are not well, by name, while the others are healthy.

This module must never do what a plight means: it only says which one, if any, a tenant is in.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum

from bulkstreams.errors import UsageError
from bulkstreams.sandbox.routes import is_tenant


class Plight(StrEnum):
    """What is the matter with a tenant, whatever it is asked."""

    THROTTLING = "throttling"
    """A 429 to everything, as if others took every token."""
    REFUSING = "refusing"
    """A 401 to everything: no token is good, and none is issued."""
    DOWN = "down"
    """The connection is reset before an answer; nothing has an effect."""


def plights(named: Mapping[Plight, Iterable[str]]) -> dict[str, Plight]:
    """Return the plight of each tenant named, or raise a UsageError where names are wrong or stand twice."""
    found: dict[str, Plight] = {}
    for plight, tenants in named.items():
        for tenant in tenants:
            _check(tenant, plight, found.get(tenant, plight))
            found[tenant] = plight
    return found


def _check(tenant: str, plight: Plight, other: Plight) -> None:
    if not is_tenant(tenant):
        raise UsageError(
            f"--{plight}: {tenant!r} is not a tenant's name",
            hint=f"Give the NAME of http://127.0.0.1:PORT/t/NAME: --{plight} acme.",
        )
    if other is not plight:
        raise UsageError(
            f"tenant {tenant} cannot be both {other} and {plight}", hint=f"Leave out --{other} or --{plight} for it."
        )
