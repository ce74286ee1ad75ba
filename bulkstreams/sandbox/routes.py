"""Which request of the API a method and a path are, and for which tenant.

This module must never look at anything but the method and the path.
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Final, NamedTuple
from urllib.parse import unquote

DEFAULT_TENANT: Final = "sandbox"
"""The tenant of requests without a `/t/NAME` in front."""


class Kind(StrEnum):
    """What a request asks for."""

    CREATE = "create"
    LIST = "list"
    READ = "read"
    UPDATE = "update"
    DELETE = "delete"
    TEST = "test"
    DELIVERIES = "deliveries"
    DELIVERY = "delivery"
    ACTIONS = "actions"
    TOKEN = "token"  # noqa: S105 - the name of an endpoint
    BOOKS = "books"
    UNKNOWN = "unknown"


class Call(NamedTuple):
    """A request, resolved: its tenant (None: no prefix was given), its query, the ids of a stream and of an event."""

    kind: Kind
    tenant: str | None
    stream_id: str
    query: str
    event_id: str = ""


_NAME: Final = r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}"
_PREFIX = re.compile(rf"/t/({_NAME})(/.*)")
_COLLECTION: Final = "/api/v2/event-streams"
_PART: Final = re.compile(rf"{_COLLECTION}/([^/]+)(?:/(test|deliveries)(?:/([^/]+))?)?")
_OF_ONE: Final = {
    ("GET", None, False): Kind.READ,
    ("PATCH", None, False): Kind.UPDATE,
    ("DELETE", None, False): Kind.DELETE,
    ("POST", "test", False): Kind.TEST,
    ("GET", "deliveries", False): Kind.DELIVERIES,
    ("GET", "deliveries", True): Kind.DELIVERY,
}
"""What is asked of one stream: by the method, what stands behind its id, and whether an event's id does."""
_FIXED: Final = {
    ("POST", _COLLECTION): Kind.CREATE,
    ("GET", _COLLECTION): Kind.LIST,
    ("GET", "/api/v2/actions/actions"): Kind.ACTIONS,
    ("POST", "/oauth/token"): Kind.TOKEN,
    ("GET", "/_sandbox/books"): Kind.BOOKS,
}


def route(method: str, target: str) -> Call:
    """Return what a request line asks for; the real API answers a wrong method like an unknown path, and so do we."""
    path, _, query = target.partition("?")
    tenant = None
    if match := _PREFIX.fullmatch(path):
        tenant, path = match[1], match[2]
    if kind := _FIXED.get((method, path)):
        return Call(kind, tenant, "", query)
    if match := _PART.fullmatch(path):
        stream_id, part, event_id = match.groups()
        if kind := _OF_ONE.get((method, part, event_id is not None)):
            return Call(kind, tenant, unquote(stream_id), query, unquote(event_id or ""))
    return Call(Kind.UNKNOWN, tenant, "", query)


def is_tenant(name: str) -> bool:
    """Return whether a path can name a tenant so."""
    return re.fullmatch(_NAME, name) is not None
