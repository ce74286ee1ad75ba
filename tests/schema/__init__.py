"""Lines to read: a right one of each kind, to be spoilt by the tests."""

from __future__ import annotations

import json
from typing import Any

SECRET = "dummy-sEcReT-7f3a"  # in no message, repr or digest may this ever be seen


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
