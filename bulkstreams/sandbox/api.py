"""What a tenant's API answers to a request: who may, what is well formed, what follows.

Pure of I/O: bytes and instants in, an answer out, so that the server may let a create take effect at any moment,
even long after its client is gone. This module must never know of faults, latency or sockets.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any, Final, NamedTuple
from urllib.parse import parse_qsl

import orjson

from bulkstreams.sandbox import answers, schemas
from bulkstreams.sandbox.answers import Answer
from bulkstreams.sandbox.books import Books
from bulkstreams.sandbox.limits import Grant, limits_of
from bulkstreams.sandbox.neighbour import Neighbour
from bulkstreams.sandbox.plight import Plight
from bulkstreams.sandbox.routes import Call, Kind
from bulkstreams.sandbox.settings import SandboxSettings
from bulkstreams.sandbox.streams import StreamStore
from bulkstreams.sandbox.tokens import TokenDesk, read_form
from bulkstreams.sandbox.validation import body_error, matches, problems, sentence, unknown_events

DEFAULT_TAKE: Final = 50
SCOPES: Final = {
    Kind.CREATE: "create:event_streams",
    Kind.LIST: "read:event_streams",
    Kind.READ: "read:event_streams",
    Kind.UPDATE: "update:event_streams",
    Kind.DELETE: "delete:event_streams",
}
"""The requests that need a token, and count against the tenant's rate, with the scope that each needs."""


Chance = Callable[[str], Random]
"""Gives each purpose a seeded generator of its own."""


class Asked(NamedTuple):
    """A request, as far as the API looks at it; `body` is None where it is larger than any endpoint takes."""

    call: Call
    authorization: str | None
    content_type: str
    body: bytes | None

    def __repr__(self) -> str:
        return f"Asked({self.call})"


class TenantApi:
    """One tenant: its streams, its limits (None: there are none), and the rules between them."""

    def __init__(
        self, name: str, settings: SandboxSettings, desk: TokenDesk, books: Books, chance: Chance, now: float
    ) -> None:
        self.name = name
        self.plight = settings.plights.get(name)
        self._settings = settings
        self._desk = desk
        self._books = books
        self.counts = books.of(name)
        self.streams = StreamStore(name, chance(f"ids of {name}"))
        self._limits = limits_of(settings, now, self._neighbour(chance, now))

    def admit(self, kind: Kind, now: float) -> tuple[Grant | None, Answer | None]:
        """Return what the limits say to a request (None: they do not count it), and the 429 that ends it there."""
        if self.plight is Plight.THROTTLING:
            return self.throttle(now) if kind in SCOPES else (None, answers.CLIENT_QUOTA)
        if self._limits is None or kind not in SCOPES:
            return None, None
        grant = self._limits.take(now)
        return grant, None if grant.granted else answers.TOO_MANY

    def throttle(self, now: float) -> tuple[Grant | None, Answer]:
        """Return the 429 to a request for which somebody else left no token."""
        return self._limits.refuse(now) if self._limits else None, answers.TOO_MANY

    def _neighbour(self, chance: Chance, now: float) -> Neighbour | None:
        rate = self._settings.neighbour
        return Neighbour(rate, self.counts.neighbour, chance(f"neighbour of {self.name}"), now) if rate else None

    def answer(self, asked: Asked, now: float) -> Answer:
        """Return the answer to a request that the rate allows; whatever it asks for has happened by then."""
        kind = asked.call.kind
        if self.plight is Plight.REFUSING:
            return answers.DENIED if kind is Kind.TOKEN else answers.invalid_token("Invalid token")
        if kind is Kind.UNKNOWN:
            return answers.UNKNOWN_PATH
        if kind is Kind.TOKEN:
            if asked.body is None:
                return answers.TOO_LARGE
            return self._desk.issue(self.name, asked.body, asked.content_type, now)
        return self._turned_away(asked, now) or self._served(asked, now)

    def _turned_away(self, asked: Asked, now: float) -> Answer | None:
        kind, scope = asked.call.kind, SCOPES[asked.call.kind]
        if refusal := self._desk.judge(asked.authorization, self.name, now):
            return refusal
        if not self._desk.may(scope):
            return answers.insufficient_scope(scope)
        if asked.body is None:
            return answers.TOO_LARGE
        if kind not in (Kind.CREATE, Kind.LIST) and not matches(schemas.STREAM_ID, asked.call.stream_id):
            return _bad_id(asked.call.stream_id)
        return None

    def _served(self, asked: Asked, now: float) -> Answer:
        match asked.call.kind:
            case Kind.CREATE:
                return self._create(asked, now)
            case Kind.LIST:
                return self._list(asked.call.query, now)
            case Kind.UPDATE:
                return self._update(asked, now)
            case Kind.DELETE:
                return self._delete(asked.call.stream_id)
            case _:
                stream = self.streams.get(asked.call.stream_id)
                return Answer(200, stream.shown) if stream else answers.NO_SUCH_STREAM

    def _create(self, asked: Asked, now: float) -> Answer:
        definition = _read(asked, schemas.CREATE)
        if isinstance(definition, Answer):
            return definition
        if self._settings.unique_names and self.streams.name_taken(definition.get("name")):
            return answers.NAME_TAKEN
        if self._settings.quota is not None and len(self.streams) >= self._settings.quota:
            return answers.QUOTA_FULL
        stream = self.streams.create(definition, now)
        self._books.accept(self.name, stream.id, stream.name, now)
        return Answer(201, stream.shown)

    def _update(self, asked: Asked, now: float) -> Answer:
        changes = _read(asked, schemas.UPDATE)
        if isinstance(changes, Answer):
            return changes
        stream = self.streams.get(asked.call.stream_id)
        if stream is None:
            return answers.NO_SUCH_STREAM
        if "destination" in changes:
            if stream.type != "webhook":
                return answers.destination_is_fixed(stream.type)
            if changes["destination"]["type"] != stream.type:
                return answers.TYPE_IS_FIXED
        name = changes.get("name")
        if name != stream.name and self._settings.unique_names and self.streams.name_taken(name):
            return answers.NAME_TAKEN  # [guess]: no 409 is declared for PATCH, and none was recorded
        stream = self.streams.update(stream, changes, now)
        self.counts.updated(stream.id, stream.name)
        return Answer(200, stream.shown)

    def _delete(self, stream_id: str) -> Answer:
        if self.streams.delete(stream_id):
            self.counts.deleted(stream_id)
        return answers.NO_CONTENT

    def _list(self, query: str, now: float) -> Answer:
        asked = dict(parse_qsl(query, keep_blank_values=True))
        take = _take(asked.get("take"))
        if isinstance(take, Answer):
            return take
        page = self.streams.page(take, asked.get("from"), now)
        if page is None:
            return _bad_query(["'Invalid checkpoint' on property from"])  # [guess]
        tail = b'],"next":"%s"}' % page.next.encode() if page.next else b"]}"
        return Answer(200, b'{"eventStreams":[' + b",".join([s.shown for s in page.streams]) + tail)


def _read(asked: Asked, schema: schemas.Schema) -> dict[str, Any] | Answer:
    """Return the body of a create or an update, or the answer that refuses it."""
    body = asked.body or b""
    if asked.content_type == "application/json" or not asked.content_type:
        try:
            value: Any = orjson.loads(body) if body else None
        except orjson.JSONDecodeError:
            return answers.NOT_JSON
    elif asked.content_type == "application/x-www-form-urlencoded":
        value = read_form(body)
    else:
        return answers.WRONG_TYPE
    wrong = body_error(value, schema) or unknown_events(value)
    return answers.invalid_body(wrong) if wrong else value


def _take(text: str | None) -> int | Answer:
    if text is None:
        return DEFAULT_TAKE
    value: object = int(text) if text.isascii() and text.lstrip("-").isdigit() and len(text) < 10 else text
    wrong = problems(value, schemas.TAKE, "take")
    return _bad_query(wrong) if wrong or not isinstance(value, int) else value


def _bad_query(wrong: list[str]) -> Answer:
    return answers.boom(400, sentence("Query validation error", wrong), "invalid_query_string")


def _bad_id(stream_id: str) -> Answer:
    what = f"'Object didn't pass validation for format event-stream-id: {stream_id}'"
    wrong = sentence("Path validation error", [f"{what} on property id (Unique identifier for the event stream)"])
    return answers.boom(400, wrong, "invalid_uri")
