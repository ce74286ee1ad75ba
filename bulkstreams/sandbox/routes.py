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
    TOKEN = "token"  # noqa: S105 - the name of an endpoint
    BOOKS = "books"
    UNKNOWN = "unknown"


class Call(NamedTuple):
    """A request, resolved: its tenant (None: no prefix was given), the stream's id where one is named, its query."""

    kind: Kind
    tenant: str | None
    stream_id: str
    query: str


_NAME: Final = r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}"
_PREFIX = re.compile(rf"/t/({_NAME})(/.*)")
_COLLECTION: Final = "/api/v2/event-streams"
_ONE: Final = {"GET": Kind.READ, "PATCH": Kind.UPDATE, "DELETE": Kind.DELETE}
_FIXED: Final = {
    ("POST", _COLLECTION): Kind.CREATE,
    ("GET", _COLLECTION): Kind.LIST,
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
    head, _, stream_id = path.rpartition("/")
    if head == _COLLECTION and stream_id and method in _ONE:
        return Call(_ONE[method], tenant, unquote(stream_id), query)
    return Call(Kind.UNKNOWN, tenant, "", query)


def is_tenant(name: str) -> bool:
    """Return whether a path can name a tenant so."""
    return re.fullmatch(_NAME, name) is not None
