"""What is done to a stream after it was created: undone, switched, tested. The nouns, and what each kind can come to.

This module must never decide what follows what (`steps` does).
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Final, NamedTuple


class Kind(StrEnum):
    """What an errand is about."""

    UNDO = "undo"
    ENABLE = "enable"
    DISABLE = "disable"
    SMOKE = "smoke"


class Fate(StrEnum):
    """What became of an errand; all but `pending` are final until the same command is given anew."""

    PENDING = "pending"
    DELETED = "deleted"
    SWITCHED = "switched"
    ALREADY = "already"
    DELIVERED = "delivered"
    UNCONFIRMED = "unconfirmed"
    GONE = "gone"
    CHANGED = "changed"
    FAILED = "failed"


class Step(StrEnum):
    """One request: for the stream, the act itself, for deliveries since an intent, for one delivery."""

    LOOK = "look"
    ACT = "act"
    SEARCH = "search"
    POLL = "poll"


class Wait(StrEnum):
    """What has to pass before an errand's next step."""

    NOTHING = "nothing"
    BACKOFF = "backoff"
    SETTLE = "settle"
    DELIVERY = "delivery"


class Answered(StrEnum):
    """What one request of an errand ended in."""

    DONE = "done"
    ABSENT = "absent"
    REFUSED = "refused"
    NOT_SENT = "not_sent"
    LOST = "lost"
    THROTTLED = "throttled"
    UNAUTHORIZED = "unauthorized"
    FORBIDDEN = "forbidden"


STATUS: Final[Mapping[Kind, str]] = {Kind.ENABLE: "enabled", Kind.DISABLE: "disabled"}
"""What a switch makes of a stream's status."""

OPPOSITE: Final[Mapping[Kind, Kind]] = {Kind.ENABLE: Kind.DISABLE, Kind.DISABLE: Kind.ENABLE}

COUNTED: Final[Mapping[Kind, tuple[Fate, ...]]] = {
    Kind.UNDO: (Fate.DELETED, Fate.GONE, Fate.CHANGED, Fate.FAILED),
    Kind.ENABLE: (Fate.SWITCHED, Fate.ALREADY, Fate.GONE, Fate.CHANGED, Fate.FAILED),
    Kind.DISABLE: (Fate.SWITCHED, Fate.ALREADY, Fate.GONE, Fate.CHANGED, Fate.FAILED),
    Kind.SMOKE: (Fate.DELIVERED, Fate.UNCONFIRMED, Fate.GONE, Fate.FAILED),
}
"""What each kind's errands can come to."""

ASKED: Final[Mapping[Kind, tuple[str, ...]]] = {
    Kind.UNDO: ("undo",),
    Kind.ENABLE: ("activate",),
    Kind.DISABLE: ("activate", "--off"),
    Kind.SMOKE: ("smoke",),
}
"""How errands of a kind are asked for: the command, and its flags."""

SCOPES: Final[Mapping[Kind, tuple[str, ...]]] = {
    Kind.UNDO: ("read:event_streams", "delete:event_streams"),
    Kind.ENABLE: ("read:event_streams", "update:event_streams"),
    Kind.DISABLE: ("read:event_streams", "update:event_streams"),
    Kind.SMOKE: ("read:event_streams", "update:event_streams", "read:event_deliveries"),
}
"""What a token must be allowed to do for each kind."""

FINE: Final = frozenset({Fate.DELETED, Fate.SWITCHED, Fate.ALREADY, Fate.DELIVERED})
"""Fates that nobody has to look at; a stream that is gone is fine for an undo alone."""


class Errand(NamedTuple):
    """A stream that something is to be done with, and how far that has come.

    `digest` is of the definition that the stream was made of, `updated_at` what our last change of it left; None: it
    was never changed by us. `intent_at` is the instant (epoch seconds) of the durable intent, and `acted` says that an
    act may have taken effect whose answer never came; `touched`, that a switch of another errand may have.
    `attempts` counts requests that brought no usable answer.
    `looked_at` and `since` are monotonic: when the stream was seen unchanged, when its test was accepted.
    """

    id: int
    record: int
    kind: Kind
    remote_id: str
    digest: bytes
    updated_at: str | None = None
    attempts: int = 0
    intent_at: float | None = None
    event: str | None = None
    delivery: str | None = None
    touched: bool = False
    step: Step = Step.LOOK
    wait: Wait = Wait.NOTHING
    acted: bool = False
    looked_at: float | None = None
    looks: int = 0
    since: float | None = None
    polls: int = 0
    seen: bool = False


class Shown(NamedTuple):
    """A stream as the API shows it: its instants as they are written there, the digest of what is not secret."""

    created_at: str | None
    updated_at: str | None
    status: str | None
    type: str | None
    digest: bytes


class Delivery(NamedTuple):
    """A delivery as the API shows it; `error` is what it says of the last attempt that failed."""

    id: str
    status: str | None = None
    error: str | None = None


class End(NamedTuple):
    """What became of an errand. `status` and `updated_at` are what our change left of the stream."""

    fate: Fate
    message: str | None = None
    status: str | None = None
    updated_at: str | None = None


class Outcome(NamedTuple):
    """What the ledger is to remember of an errand; `state` is the value of a fate, as plain text."""

    id: int
    record: int
    kind: str
    state: str
    attempts: int
    http_status: int | None = None
    error_code: str | None = None
    message: str | None = None
    event: str | None = None
    delivery: str | None = None
    intent_at: float | None = None
    settled_at: float | None = None
    latency_ms: float | None = None
    status: str | None = None
    updated_at: str | None = None
