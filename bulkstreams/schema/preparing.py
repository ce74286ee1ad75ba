"""A line that was read before, once more: the exact body to send, and what else is asked of it then.

Nothing is validated a second time. No byte sequence makes these raise, but what a resolver raises goes through. This
module must never keep a secret that it puts into a body.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import orjson

from bulkstreams.core.matching import digest
from bulkstreams.core.references import ACTION_ID, Reference, parse_reference
from bulkstreams.errors import ActionError
from bulkstreams.model import SECRET_FIELDS
from bulkstreams.schema.problems import join, show
from bulkstreams.schema.reading import action_named, drop_response_only


def line_digest(data: bytes) -> bytes | None:
    """Return the digest of the definition in a line, valid or not; None where there is none."""
    try:
        decoded = orjson.loads(data)
        return digest(decoded.get("stream", decoded))
    except (ValueError, AttributeError, TypeError, RecursionError):
        return None


def definition_in(data: bytes) -> dict[str, Any] | None:
    """Return the definition in a line that `read_line` accepted, references as they stand; None: it is no such line."""
    try:
        decoded = orjson.loads(data)
        definition = decoded.get("stream", decoded)
        drop_response_only(definition)
    except (AttributeError, TypeError, ValueError):
        return None
    return cast("dict[str, Any]", definition)


def action_in(data: bytes) -> str | None:
    """Return the name of the action that a line refers to, or None; of a line that `read_line` accepted."""
    if b"${action:" not in data and b"\\" not in data:
        return None
    try:
        decoded = orjson.loads(data)
        return action_named(decoded.get("stream", decoded))
    except (AttributeError, KeyError, TypeError, ValueError):
        return None


def not_looked_up(name: str) -> str:
    """Find no action: for lines of a tenant that was not asked for its actions."""
    raise ActionError(f"{join(ACTION_ID)}: the action {show(name)} was not looked up at the tenant")


def prepare(
    data: bytes,
    resolve: Callable[[Reference], str],
    status: str | None = None,
    find_action: Callable[[str], str] = not_looked_up,
) -> bytes | None:
    """Return the body to POST for a line that `read_line` accepted; None where it cannot be such a line.

    A line that holds nothing to take out or to resolve is sent as it is, unless the stream is to have another `status`
    than the line's. `find_action` returns the id of an action at the line's tenant. What it and `resolve` raise goes
    through.
    """
    if not (_may_be_shown(data) or b"$" in data or b'"stream"' in data or status is not None):
        return data
    try:
        decoded = orjson.loads(data)
        definition = decoded.get("stream", decoded)
        drop_response_only(definition)
        if status is not None:
            definition["status"] = status
        if definition["destination"]["type"] == "webhook":
            _resolve(definition["destination"]["configuration"]["webhook_authorization"], resolve)
        elif (name := action_named(definition)) is not None:
            definition["destination"]["configuration"]["action_id"] = find_action(name)
        return orjson.dumps(definition)
    except (AttributeError, KeyError, TypeError, ValueError):
        return None


def secrets_in(body: bytes) -> tuple[str, ...]:
    """Return the secret values in a body that `prepare` made, to mask them in what comes back."""
    try:
        authorization = orjson.loads(body)["destination"]["configuration"]["webhook_authorization"]
        return tuple(str(authorization[field]) for field in SECRET_FIELDS if field in authorization)
    except (KeyError, TypeError, ValueError):
        return ()


def _resolve(authorization: dict[str, Any], resolve: Callable[[Reference], str]) -> str:
    for field in SECRET_FIELDS:
        value = authorization.get(field)
        if value is not None:
            reference = parse_reference(value)
            if reference is not None:
                value = authorization[field] = resolve(reference)
            return cast("str", value)
    raise KeyError


def _may_be_shown(data: bytes) -> bool:
    """Return whether a line may hold what only the API sets; most lines hold none of it, and are told at a glance."""
    return b'"id"' in data or b'_at"' in data or b'"aws_partner' in data or b"\\" in data
