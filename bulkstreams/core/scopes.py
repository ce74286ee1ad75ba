"""What a token lets its bearer do, as far as it says so, and what is missing for what we are about to do.

A token is looked into, never checked: that is its tenant's business. This module must never show a token, or any part
of one but its scopes.
"""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode
from collections.abc import Collection
from typing import Any, Final

CREATE: Final = "create:event_streams"
READ: Final = "read:event_streams"
UPDATE: Final = "update:event_streams"
READ_ACTIONS: Final = "read:actions"
READ_DELIVERIES: Final = "read:event_deliveries"

MOST_TOKEN: Final = 65_536
"""Characters of a token beyond which nobody looks into it."""


def granted(token: str, scope: object = None) -> frozenset[str] | None:
    """Return the scopes of a token: those that came with it, else those that it names; None where neither tells.

    `scope` is the property of that name in the answer to a token request (RFC 6749 §5.1, and optional there).
    """
    told = scope if isinstance(scope, str) else _claim(token)
    return frozenset(told.split()) if isinstance(told, str) else None


def _claim(token: str) -> Any:
    """Return the `scope` claim of a JSON web token (RFC 9068 §2.2.3), or None where it is no such token."""
    parts = token.split(".")
    if len(parts) != 3 or len(token) > MOST_TOKEN:
        return None
    try:
        claims = json.loads(urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (ValueError, RecursionError):
        return None
    return claims.get("scope") if isinstance(claims, dict) else None


def needed(*, creates: bool, refers: bool = False, smokes: bool = False) -> tuple[str, ...]:
    """Return the scopes that a run needs at a tenant, in the order in which it does.

    `refers`: lines name its actions. `smokes`: each new stream is sent a test event.
    """
    asked = ((True, READ), (refers, READ_ACTIONS), (creates, CREATE), (smokes, UPDATE), (smokes, READ_DELIVERIES))
    return tuple(scope for wanted, scope in asked if wanted)


def lacking(wanted: Collection[str], held: Collection[str] | None) -> tuple[str, ...]:
    """Return the scopes that a token is known to lack; none where nobody knows which it has."""
    return () if held is None else tuple(scope for scope in wanted if scope not in held)
