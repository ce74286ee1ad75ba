"""What the API takes, as data: the published schemas of create and update, with the secrets that they leave out.

Written from the API's documents alone, and apart from what the rest of the package believes: it is the judge of it.
The published schemas forget the write-only secrets; the real API takes them. Whether it insists on them is not
known: it does here, since a client that drops a secret on the way must not pass. This module must never hold logic.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

Schema = Mapping[str, Any]
"""The part of JSON Schema that `validation` knows: type, enum, pattern, lengths, properties, required, items, oneOf."""

EVENT_TYPES: Final = frozenset(
    [f"{thing}.{verb}" for thing in ("connection", "group", "user") for verb in ("created", "deleted", "updated")]
    + [f"organization.{verb}" for verb in ("created", "deleted", "updated")]
    + [f"organization.connection.{verb}" for verb in ("added", "removed", "updated")]
    + [f"{where}.member.{verb}" for where in ("group", "organization") for verb in ("added", "deleted")]
    + [f"{where}.role.{verb}" for where in ("group", "organization.group") for verb in ("assigned", "deleted")]
    + [f"organization.member.role.{verb}" for verb in ("assigned", "deleted")]
)
REGIONS: Final = [
    "af-south-1",
    "ap-east-1",
    "ap-east-2",
    "ap-northeast-1",
    "ap-northeast-2",
    "ap-northeast-3",
    "ap-south-1",
    "ap-south-2",
    "ap-southeast-1",
    "ap-southeast-2",
    "ap-southeast-3",
    "ap-southeast-4",
    "ap-southeast-5",
    "ap-southeast-6",
    "ap-southeast-7",
    "ca-central-1",
    "ca-west-1",
    "eu-central-1",
    "eu-central-2",
    "eu-north-1",
    "eu-south-1",
    "eu-south-2",
    "eu-west-1",
    "eu-west-2",
    "eu-west-3",
    "il-central-1",
    "me-central-1",
    "me-south-1",
    "mx-central-1",
    "sa-east-1",
    "us-gov-east-1",
    "us-gov-west-1",
    "us-east-1",
    "us-east-2",
    "us-west-1",
    "us-west-2",
]

STREAM_ID: Final = r"^est_[a-zA-Z0-9]{22}$"
EVENT_ID: Final = r"^evt_[a-zA-Z0-9]{22}$"
SECOND: Final = r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(Z|[+-]\d{2}:\d{2})$"
"""An instant of RFC 3339 without a fraction of a second, which the API does not allow in a query."""
STRING: Final[Schema] = {"type": "string"}


def _object(properties: Mapping[str, Schema], required: tuple[str, ...] = ()) -> Schema:
    return {"type": "object", "properties": properties, "required": required}


def _only(word: str) -> Schema:
    return {"type": "string", "enum": (word,)}


def _authorization(method: str, **fields: Schema) -> Schema:
    return _object({"method": _only(method), **fields}, ("method", *fields))


def _destination(kind: str, **configuration: Schema) -> Schema:
    inner = _object(configuration, tuple(configuration))
    return _object({"type": _only(kind), "configuration": inner}, ("type", "configuration"))


_USERNAME: Final[Schema] = {"type": "string", "maxLength": 128, "pattern": "^[^:]+$"}
_HEADER_KEY: Final[Schema] = {"type": "string", "minLength": 1, "pattern": r"^[a-zA-Z0-9!#$%&'*+.^_`|~-]+$"}

WEBHOOK: Final = _destination(
    "webhook",
    webhook_endpoint={"type": "string", "pattern": "^https://.*", "description": "Target HTTP endpoint URL"},
    webhook_authorization={
        "oneOf": (
            _authorization("basic", username=_USERNAME, password=STRING),
            _authorization("bearer", token=STRING),
            _authorization("custom_header", header_key=_HEADER_KEY, header_value=STRING),
        )
    },
)
EVENTBRIDGE: Final = _destination(
    "eventbridge",
    aws_account_id={
        "type": "string",
        "pattern": r"^\d{12}$",
        "description": "AWS Account ID for EventBridge destination",
    },
    aws_region={"type": "string", "enum": tuple(REGIONS), "description": "AWS Region for EventBridge destination"},
)
ACTION: Final = _destination(
    "action", action_id={"type": "string", "description": "Action ID for the action destination"}
)

_NAME: Final[Schema] = {
    "type": "string", "minLength": 1, "maxLength": 128, "description": "Name of the event stream",
}  # fmt: skip
_STATUS: Final[Schema] = {
    "type": "string", "enum": ("enabled", "disabled"),
    "description": "Indicates if the event stream is actively forwarding events",
}  # fmt: skip
_SUBSCRIPTIONS: Final[Schema] = {
    "type": "array", "items": _object({"event_type": STRING}),
    "description": "List of event types subscribed to in this stream",
}  # fmt: skip


def _create(destination: Schema) -> Schema:
    properties = {
        "name": _NAME,
        "subscriptions": {**_SUBSCRIPTIONS, "minItems": 1},
        "destination": destination,
        "status": _STATUS,
    }
    return _object(properties, ("destination",))


CREATE: Final[Schema] = {"oneOf": (_create(WEBHOOK), _create(EVENTBRIDGE), _create(ACTION))}
UPDATE: Final = _object(
    {
        "name": _NAME,
        "subscriptions": _SUBSCRIPTIONS,
        "destination": {"oneOf": (WEBHOOK, ACTION)},
        "status": _STATUS,
    }
)
TEST: Final = _object(
    {
        "event_type": {"type": "string", "enum": tuple(sorted(EVENT_TYPES)), "description": "The type of event"},
        "data": {"type": "object", "description": "The raw payload of the test event"},
    },
    ("event_type",),
)
TAKE: Final[Schema] = {
    "type": "integer", "minimum": 1, "maximum": 100, "description": "Number of results per page. Defaults to 50.",
}  # fmt: skip
PER_PAGE: Final[Schema] = {"type": "integer", "minimum": 1, "maximum": 100, "description": "Number of results per page"}
PAGE: Final[Schema] = {"type": "integer", "minimum": 0, "description": "Page index of the results to return"}
