"""The nouns: what a record is, what may happen to it, and what an attempt brought back.

Values only, and immutable. This module must never import another room, read a clock, or hold a secret; what may carry
one on its way, a line or a reply's body, is kept out of every repr.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NamedTuple, NewType

Key = NewType("Key", str)
"""What makes a record the same across runs, within its tenant."""

TenantName = NewType("TenantName", str)
"""The name under which a tenant stands in the configuration, the ledger and the reports."""

Definition = Mapping[str, Any]
"""The JSON body of a `POST /api/v2/event-streams`, decoded."""

SECRET_FIELDS = ("password", "token", "header_value")
"""The write-only properties of `webhook_authorization`: sent, never returned, never stored."""

RESPONSE_ONLY = ("id", "created_at", "updated_at")
"""Properties of a stream that the API returns but refuses in a create."""


class State(StrEnum):
    """Where a record stands in its life (the table of them is `core.lifecycle`)."""

    PENDING = "pending"
    IN_FLIGHT = "in_flight"
    IN_DOUBT = "in_doubt"
    CREATED = "created"
    EXISTS = "exists"
    CONFLICT = "conflict"
    REFUSED = "refused"
    EXHAUSTED = "exhausted"
    INVALID = "invalid"
    DUPLICATE = "duplicate"
    UNDONE = "undone"


class Event(StrEnum):
    """What can happen to a record."""

    # its line, as a reading of the input finds it
    LINE_CHANGED = "line_changed"
    LINE_DIFFERS = "line_differs"
    LINE_INVALID = "line_invalid"
    LINE_MATCHES_CREATED = "line_matches_created"
    LINE_MATCHES_EXISTING = "line_matches_existing"
    # the start of a run
    RESUMED = "resumed"
    RETRY_ASKED = "retry_asked"
    # an attempt
    INTENT = "intent"
    ACCEPTED = "accepted"
    NOT_APPLIED = "not_applied"
    LOST = "lost"
    NAME_TAKEN = "name_taken"
    REFUSED = "refused"
    GAVE_UP = "gave_up"
    # a look-up of the tenant
    FOUND_OURS = "found_ours"
    FOUND_EQUAL = "found_equal"
    FOUND_DIFFERENT = "found_different"
    ABSENT = "absent"
    # afterwards
    UNDONE = "undone"


class Status(StrEnum):
    """Whether a stream delivers events."""

    ENABLED = "enabled"
    DISABLED = "disabled"


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One thing wrong with a line: where in it (a JSON path, empty for the line itself) and what."""

    path: str
    message: str

    def __str__(self) -> str:
        return f"{self.path}: {self.message}" if self.path else self.message


class Line(NamedTuple):
    """One line of an input: its 1-based number, where it begins (bytes), and its bytes without the line end.

    `data` is None where the line is longer than the limit; `length` counts the bytes that stand in the file.
    """

    number: int
    offset: int
    length: int
    data: bytes | None

    def __repr__(self) -> str:
        return f"Line(number={self.number}, offset={self.offset}, length={self.length})"


class Record(NamedTuple):
    """A valid line: one stream to create. `action` is the name of the action that it refers to, if it does."""

    tenant: str | None
    key: Key
    name: str | None
    digest: bytes
    notes: tuple[Problem, ...] = ()
    action: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Invalid:
    """A line that cannot be used, with all that is wrong with it; the key where the line still has one."""

    problems: tuple[Problem, ...]
    tenant: str | None = None
    key: Key | None = None
    name: str | None = None

    def __str__(self) -> str:
        return "; ".join(map(str, self.problems))


class Reply(NamedTuple):
    """The server answered: its status, the headers it sent (case-insensitive), the body, and the time it took (s)."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    elapsed_s: float

    def __repr__(self) -> str:
        return f"Reply(status={self.status}, {len(self.body)} bytes)"


class Failure(NamedTuple):
    """No usable answer came. `sent` is false only where it is certain that no byte of the request was written."""

    reason: str
    sent: bool
    elapsed_s: float


class Claim(NamedTuple):
    """A record that is ours to send: its intent is durable. It points into an input and holds none of it.

    `server_intent_at` and `ours_since` are epoch seconds on the server's clock (see `Doubt`), `first_sent_at` on ours.
    `ours_since` is what earlier attempts left: None where none of them can have been applied. `digest` is empty where
    nobody compares it, since the input itself tells of any change.
    """

    id: int
    tenant: TenantName
    key: Key
    name: str | None
    input: int
    line: int
    offset: int
    length: int
    digest: bytes
    attempts: int
    first_sent_at: float | None
    server_intent_at: float = 0.0
    ours_since: float | None = None


class Pending(NamedTuple):
    """A record that waits to be claimed: where its line stands, and what earlier attempts left (see `Claim`)."""

    id: int
    input: int
    line: int
    offset: int
    length: int
    attempts: int
    first_sent_at: float | None
    ours_since: float | None


class Doubt(NamedTuple):
    """A record that a look-up is to judge: what it needs for that, and what is to be done if the stream is absent.

    `digest` is of the definition that was sent, `current` of the line as it is now. `ours_since`: a stream that was
    made since then, in epoch seconds on the server's clock, may be the work of one of our attempts; None where no
    attempt can have been applied. `name_taken`: the last answer was a 409, so that very attempt was not applied.
    `invalid`: what is wrong with the line as it is now, if it cannot be used any more. `status`: what its stream was
    given in place of the line's own, or is to be; where there is one, a stream's status proves nothing.
    """

    id: int
    name: str | None
    digest: bytes
    current: bytes
    attempts: int
    first_sent_at: float | None = None
    ours_since: float | None = None
    name_taken: bool = False
    invalid: str | None = None
    status: str | None = None


class Settlement(NamedTuple):
    """What the ledger is to remember of a record from now on; reported only once it is durable.

    `state` and `anchor` are the values of states, plain strings: SQLite takes those without asking what they mean.
    `ours_since` is what the attempts so far leave for a look-up to judge by (see `Doubt`).
    """

    id: int
    state: str
    attempts: int
    remote_id: str | None = None
    http_status: int | None = None
    error_code: str | None = None
    message: str | None = None
    first_sent_at: float | None = None
    settled_at: float | None = None
    latency_ms: float | None = None
    recovered: bool = False
    anchor: str | None = None
    ours_since: float | None = None
