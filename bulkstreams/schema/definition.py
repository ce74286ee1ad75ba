"""What a definition may look like, as pydantic models: lengths, patterns and enums of the API's create request.

Stricter than the API's published schema where that is known to be wrong: the secrets of the three webhook methods,
which it leaves out, are required here. This module must never word an error (`problems` does).
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, TypeAdapter
from pydantic_core import PydanticCustomError
from yarl import URL

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


class Strict(BaseModel):
    """No coercion, no unknown property."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


def _endpoint(text: str) -> str:
    if not text.startswith("https://"):
        raise PydanticCustomError("endpoint_scheme", "scheme")
    try:
        whole = bool(URL(text).host) and text.isprintable() and " " not in text
    except ValueError:
        whole = False
    if not whole:
        raise PydanticCustomError("endpoint_url", "url")
    return text


_CONTROL: Final = r"^[^\x00-\x08\x0a-\x1f\x7f]*$"  # a line break would begin another header
SecretText = Annotated[str, Field(min_length=1, pattern=_CONTROL)]


class Subscription(Strict):
    """One event type that is delivered."""

    event_type: Annotated[str, Field(min_length=1)]


class Basic(Strict):
    """HTTP basic authentication."""

    method: Literal["basic"]
    username: Annotated[str, Field(min_length=1, max_length=128, pattern=r"^[^:\x00-\x1f\x7f]+$")]
    password: SecretText


class Bearer(Strict):
    """A bearer token."""

    method: Literal["bearer"]
    token: SecretText


class CustomHeader(Strict):
    """A header of the receiver's choice; its name is a token of RFC 7230 §3.2.6."""

    method: Literal["custom_header"]
    header_key: Annotated[str, Field(min_length=1, pattern=r"^[a-zA-Z0-9!#$%&'*+.^_`|~-]+$")]
    header_value: SecretText


class WebhookConfiguration(Strict):
    """Where a webhook goes, and how it says who it is."""

    webhook_endpoint: Annotated[str, AfterValidator(_endpoint)]
    webhook_authorization: Annotated[Basic | Bearer | CustomHeader, Field(discriminator="method")]


class Webhook(Strict):
    """Deliver to a URL."""

    type: Literal["webhook"]
    configuration: WebhookConfiguration


class EventBridgeConfiguration(Strict):
    """The AWS account and region of a partner event source."""

    aws_account_id: Annotated[str, Field(pattern=r"^[0-9]{12}$")]
    aws_region: Literal[REGIONS]  # type: ignore[valid-type]


class EventBridge(Strict):
    """Deliver to Amazon EventBridge."""

    type: Literal["eventbridge"]
    configuration: EventBridgeConfiguration


class ActionConfiguration(Strict):
    """The deployed action that handles the events."""

    action_id: Annotated[str, Field(min_length=1)]


class Action(Strict):
    """Deliver to an Auth0 action."""

    type: Literal["action"]
    configuration: ActionConfiguration


class DefinitionModel(Strict):
    """The body of `POST /api/v2/event-streams`."""

    name: Annotated[str, Field(min_length=1, max_length=128)] | None = None
    subscriptions: Annotated[list[Subscription], Field(min_length=1)] | None = None
    destination: Annotated[Webhook | EventBridge | Action, Field(discriminator="type")]
    status: Literal["enabled", "disabled"] | None = None


DEFINITION: Final[TypeAdapter[Any]] = TypeAdapter(DefinitionModel)

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
