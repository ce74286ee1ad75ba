"""Lines to read: a right one of each kind, to be spoilt by the tests; and what is said of them."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import strategies as st

from bulkstreams.core.references import Reference
from bulkstreams.model import Invalid, Record
from bulkstreams.schema import Rules, read_line

SECRET = "dummy-sEcReT-7f3a"  # in no message, repr or digest may this ever be seen
TOKEN = "destination.configuration.webhook_authorization.token"
ENDPOINT = "destination.configuration.webhook_endpoint"
OBJECTS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=12,
)


def dump(value: object) -> bytes:
    """Return a value as a line."""
    return json.dumps(value, ensure_ascii=False).encode()


def webhook(endpoint: str = "https://hooks.example/x", **authorization: Any) -> dict[str, Any]:
    """Return the destination of a webhook; a bearer's, where nothing else is said."""
    return {
        "type": "webhook",
        "configuration": {
            "webhook_endpoint": endpoint,
            "webhook_authorization": authorization or {"method": "bearer", "token": SECRET},
        },
    }


def eventbridge(account: Any = "123456789012", region: Any = "eu-west-1", **more: Any) -> dict[str, Any]:
    """Return an EventBridge destination."""
    return {
        "type": "eventbridge",
        "configuration": {"aws_account_id": account, "aws_region": region, **more},
    }


def action(id_: Any = "7f3a1c1e-0000-4000-8000-000000000001") -> dict[str, Any]:
    """Return an action destination."""
    return {"type": "action", "configuration": {"action_id": id_}}


def definition(**changes: Any) -> dict[str, Any]:
    """Return a right definition with some properties changed."""
    right = {"name": "audit", "subscriptions": [{"event_type": "user.created"}], "destination": webhook()}
    return {**right, **changes}


def no_problem(_: Reference) -> None:
    """Resolve everything."""


def not_set(reference: Reference) -> str:
    """Resolve nothing."""
    return f"the environment variable {reference.target} is not set"


def read(line: bytes | dict[str, Any], *, relaxed: bool = False, unresolvable: Any = no_problem) -> Record | Invalid:
    """Read one line."""
    return read_line(line if isinstance(line, bytes) else dump(line), Rules(relaxed), unresolvable)


def record(line: bytes | dict[str, Any], **how: Any) -> Record:
    """Read one line that is right."""
    found = read(line, **how)
    assert isinstance(found, Record), str(found)
    return found


def said(line: bytes | dict[str, Any], **how: Any) -> list[str]:
    """Return what is said of one line that is wrong."""
    found = read(line, **how)
    assert isinstance(found, Invalid), "the line was taken for valid"
    return [str(problem) for problem in found.problems]
