"""What a definition may look like, for pydantic: lengths, patterns and enums of the API's create request.

Typed dictionaries, since they are checked in place in half the time that it takes to build models.

Stricter than the API's published schema where that is known to be wrong: the secrets of the three webhook methods,
which it leaves out, are required here. This module must never word an error (`problems` does).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Final, Literal, NotRequired

from pydantic import ConfigDict, Field, TypeAdapter, with_config
from typing_extensions import TypedDict  # which pydantic needs before Python 3.12

EVENT_TYPES: Final = frozenset(
    f"{subject}.{verb}"
    for subject, verbs in {
        "connection": "created deleted updated",
        "group": "created deleted updated",
        "group.member": "added deleted",
        "group.role": "assigned deleted",
        "organization": "created deleted updated",
        "organization.connection": "added removed updated",
        "organization.group.role": "assigned deleted",
        "organization.member": "added deleted",
        "organization.member.role": "assigned deleted",
        "user": "created deleted updated",
    }.items()
    for verb in verbs.split()
)
"""The catalogue of event types as of July 2026; it grows, hence `--allow-unknown-events`."""

REGIONS: Final = (
    "af-south-1", "ap-east-1", "ap-east-2", "ap-northeast-1", "ap-northeast-2", "ap-northeast-3", "ap-south-1",
    "ap-south-2", "ap-southeast-1", "ap-southeast-2", "ap-southeast-3", "ap-southeast-4", "ap-southeast-5",
    "ap-southeast-6", "ap-southeast-7", "ca-central-1", "ca-west-1", "eu-central-1", "eu-central-2", "eu-north-1",
    "eu-south-1", "eu-south-2", "eu-west-1", "eu-west-2", "eu-west-3", "il-central-1", "me-central-1", "me-south-1",
    "mx-central-1", "sa-east-1", "us-gov-east-1", "us-gov-west-1", "us-east-1", "us-east-2", "us-west-1", "us-west-2",
)  # fmt: skip
"""The AWS regions that an EventBridge destination may name."""

METHODS: Final = ("basic", "bearer", "custom_header")
TYPES: Final = ("webhook", "eventbridge", "action")
STATUSES: Final = ("enabled", "disabled")


STRICT: Final = ConfigDict(extra="forbid", strict=True)
"""No coercion, no unknown property."""

_ENDPOINT: Final = (
    r"^https://"
    r"(?:[^\s/?#@\x00-\x1f\x7f]*@)?"  # user and password
    r"(?:[\w~-][\w.~-]*|\[[0-9A-Fa-f:.]+\])"  # a host, or an IPv6 address
    r"(?::[0-9]{1,5})?"
    r"(?:[/?#][^\s\x00-\x1f\x7f]*)?$"
)
"""The API asks for `^https://.*` alone; but to what is no URL with a host nothing could ever be delivered."""

SecretText = Annotated[str, Field(min_length=1, pattern=r"^[^\x00-\x1f\x7f]*$")]
"""No control character: in a header, a line break would begin another one."""


@with_config(STRICT)
class Subscription(TypedDict):
    """One event type that is delivered."""

    event_type: Annotated[str, Field(min_length=1)]


@with_config(STRICT)
class Basic(TypedDict):
    """HTTP basic authentication."""

    method: Literal["basic"]
    username: Annotated[str, Field(min_length=1, max_length=128, pattern=r"^[^:\x00-\x1f\x7f]*$")]
    password: SecretText


@with_config(STRICT)
class Bearer(TypedDict):
    """A bearer token."""

    method: Literal["bearer"]
    token: SecretText


@with_config(STRICT)
class CustomHeader(TypedDict):
    """A header of the receiver's choice; its name is a token of RFC 7230 §3.2.6."""

    method: Literal["custom_header"]
    header_key: Annotated[str, Field(min_length=1, pattern=r"^[a-zA-Z0-9!#$%&'*+.^_`|~-]*$")]
    header_value: SecretText


@with_config(STRICT)
class WebhookConfiguration(TypedDict):
    """Where a webhook goes, and how it says who it is."""

    webhook_endpoint: Annotated[str, Field(pattern=_ENDPOINT)]
    webhook_authorization: Annotated[Basic | Bearer | CustomHeader, Field(discriminator="method")]


@with_config(STRICT)
class Webhook(TypedDict):
    """Deliver to a URL."""

    type: Literal["webhook"]
    configuration: WebhookConfiguration


@with_config(STRICT)
class EventBridgeConfiguration(TypedDict):
    """The AWS account and region of a partner event source."""

    aws_account_id: Annotated[str, Field(pattern=r"^[0-9]{12}$")]
    aws_region: Literal[REGIONS]  # type: ignore[valid-type]


@with_config(STRICT)
class EventBridge(TypedDict):
    """Deliver to Amazon EventBridge."""

    type: Literal["eventbridge"]
    configuration: EventBridgeConfiguration


@with_config(STRICT)
class ActionConfiguration(TypedDict):
    """The deployed action that handles the events."""

    action_id: Annotated[str, Field(min_length=1)]


@with_config(STRICT)
class Action(TypedDict):
    """Deliver to an Auth0 action."""

    type: Literal["action"]
    configuration: ActionConfiguration


@with_config(STRICT)
class Create(TypedDict):
    """The body of `POST /api/v2/event-streams`."""

    name: NotRequired[Annotated[str, Field(min_length=1, max_length=128)]]
    subscriptions: NotRequired[Annotated[list[Subscription], Field(min_length=1)]]
    destination: Annotated[Webhook | EventBridge | Action, Field(discriminator="type")]
    status: NotRequired[Literal["enabled", "disabled"]]


check: Final[Callable[[object], Any]] = TypeAdapter(Create).validator.validate_python
"""Raise pydantic's ValidationError where a decoded definition is not as it must be."""

PROPERTIES: Final[dict[tuple[str, ...], tuple[str, ...]]] = {
    (): ("name", "subscriptions", "destination", "status"),
    ("subscriptions",): ("event_type",),
    ("destination",): ("type", "configuration"),
    ("destination", "webhook"): ("webhook_endpoint", "webhook_authorization"),
    ("destination", "eventbridge"): ("aws_account_id", "aws_region"),
    ("destination", "action"): ("action_id",),
    ("destination", "webhook", "basic"): ("method", "username", "password"),
    ("destination", "webhook", "bearer"): ("method", "token"),
    ("destination", "webhook", "custom_header"): ("method", "header_key", "header_value"),
}
"""The properties that stand at each place, for the nearest right name."""
