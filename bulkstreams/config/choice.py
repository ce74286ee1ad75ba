"""Which tenant is the default one, and whose credentials it gets.

This module must never give a tenant credentials that belong to another: those of the environment belong to
`AUTH0_DOMAIN` where that is set, and where it is not, to a default tenant that has none of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from difflib import get_close_matches
from typing import Any, Final

from bulkstreams.config import credentials
from bulkstreams.config.sources import Found, Sources
from bulkstreams.config.tenants import (
    Credentials,
    Tenant,
    Token,
    bare_domain,
    check_base_url,
    check_domain,
    is_domain,
    name_of_url,
    without_user,
)
from bulkstreams.errors import UsageError
from bulkstreams.model import TenantName

DOMAIN: Final = "AUTH0_DOMAIN"


def choose(sources: Sources, tenants: Mapping[str, Tenant], pace: Mapping[str, Any]) -> Tenant | None:
    """Return the tenant of lines that name none, or None where nothing says which; raise UsageError."""
    if sources.flags.base_url is not None:
        return _at_base_url(sources, tenants, pace, check_base_url(sources.flags.base_url, "--base-url"))
    wanted = _wanted(sources)
    if wanted is not None:
        found = _meant(wanted, tenants, pace)
    elif len(tenants) == 1:
        found = next(iter(tenants.values()))
    else:
        return None
    return replace(found, credentials=_credentials(found, sources))


def _at_base_url(sources: Sources, tenants: Mapping[str, Tenant], pace: Mapping[str, Any], url: str) -> Tenant:
    name = sources.flags.tenant
    known = tenants.get(name) if name is not None else None
    if known is not None:
        return replace(known, base_url=url, address=url, credentials=_credentials(known, sources))
    own = _flag_token(sources) or credentials.in_environment(sources.environment)
    named = TenantName(name) if name else name_of_url(url)
    return Tenant(name=named, base_url=url, address=url, credentials=own, **pace)


def _wanted(sources: Sources) -> Found | None:
    """Return what names the default tenant: our own flag and variable, then `AUTH0_DOMAIN`, then the file."""
    found, domain = sources.find("tenant"), sources.environment.get(DOMAIN)
    if domain and not (found is not None and found.outranks_file):
        return Found(check_domain(domain, DOMAIN), DOMAIN, outranks_file=True)
    return found


def _meant(wanted: Found, tenants: Mapping[str, Tenant], pace: Mapping[str, Any]) -> Tenant:
    if wanted.where != DOMAIN and wanted.value in tenants:
        return tenants[wanted.value]
    domain = bare_domain(wanted.value)
    if not is_domain(domain):
        close = get_close_matches(wanted.value, list(tenants), n=1)
        raise UsageError(
            f"{wanted.where}: {without_user(wanted.value)!r} is neither a configured tenant nor a domain"
            f"{f' (did you mean {close[0]}?)' if close else ''}.",
            hint=f"Configured: {', '.join(tenants) or 'none'}.",
        )
    url = f"https://{domain}"
    known = next((tenant for tenant in tenants.values() if tenant.base_url == url), None)
    return known or Tenant(name=TenantName(domain), base_url=url, address=url, credentials=None, **pace)


def _credentials(tenant: Tenant, sources: Sources) -> Credentials | None:
    """Return the default tenant's credentials; `tenant` is as the file has it, its own address included."""
    if flag := _flag_token(sources):
        return flag
    domain = sources.environment.get(DOMAIN)
    if domain and tenant.base_url == f"https://{check_domain(domain, DOMAIN)}":
        return credentials.in_environment(sources.environment) or tenant.credentials
    if domain or tenant.credentials is not None:
        return tenant.credentials
    return credentials.in_environment(sources.environment)


def _flag_token(sources: Sources) -> Token | None:
    text = sources.flags.token
    return None if text is None else credentials.token(text, "the token of --token-file")
