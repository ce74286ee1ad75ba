"""Is that live stream this record? Answered from digests of what the API shows, so never from a secret.

A digest has four parts, so that two of them tell which parts of two definitions differ. It is what the ledger keeps of
a definition: enough to notice a change, to name it, and to recognise a stream at the tenant, and nothing more.
This module must never see a socket, nor let a secret value into a digest.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from hashlib import blake2b
from typing import Any, Final

from bulkstreams.model import SECRET_FIELDS

PARTS: Final = ("name", "subscriptions", "destination", "status")
_WIDTH: Final = 8  # bytes a part: 2**-64 that an edit goes unnoticed
_SHOWN_ONLY: Final = frozenset({*SECRET_FIELDS, "aws_partner_event_source"})
DEFAULT_STATUS: Final = "enabled"  # what the API gives a stream whose create names no status


def digest(definition: Mapping[str, Any]) -> bytes:
    """Return the 32-byte digest of a definition, or of a stream as the API shows it, secrets left out.

    Two definitions that mean the same to the API have the same digest: the order of subscriptions and of keys does
    not count, an absent status is `enabled`, response-only properties and secrets are passed over.
    """
    name = definition.get("name")
    events = sorted([str(s.get("event_type")) for s in definition.get("subscriptions") or ()])
    return (
        _part("" if name is None else f"={name}")
        + _part("\n".join(events))
        + _part(_destination(definition.get("destination")))
        + _part(str(definition.get("status") or DEFAULT_STATUS))
    )


def differing(one: bytes, other: bytes) -> tuple[str, ...]:
    """Return the names of the parts in which two digests differ, in the order of `PARTS`."""
    return tuple(
        part
        for i, part in enumerate(PARTS)
        if one[i * _WIDTH : (i + 1) * _WIDTH] != other[i * _WIDTH : (i + 1) * _WIDTH]
    )


def _part(text: str) -> bytes:
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=_WIDTH).digest()


def _destination(destination: object) -> str:
    return json.dumps(_without_secrets(destination), sort_keys=True, separators=(",", ":"))


def _without_secrets(value: object) -> object:
    if isinstance(value, dict):
        return {k: _without_secrets(v) for k, v in value.items() if k not in _SHOWN_ONLY}
    return value
