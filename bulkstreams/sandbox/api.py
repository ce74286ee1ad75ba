"""What a tenant's API answers to a request: who may, what is well formed, what follows.

Pure of I/O: bytes and instants in, an answer out, so that the server may let a create take effect at any moment,
even long after its client is gone. This module must never know of faults, latency or sockets.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from fnmatch import fnmatchcase
from random import Random
from typing import Any, Final, NamedTuple

import orjson

from bulkstreams.sandbox import answers, schemas
from bulkstreams.sandbox.actions import Actions
from bulkstreams.sandbox.answers import Answer
from bulkstreams.sandbox.books import Books
from bulkstreams.sandbox.deliveries import Deliveries, Wanted
from bulkstreams.sandbox.limits import Grant, limits_of
from bulkstreams.sandbox.neighbour import Neighbour
from bulkstreams.sandbox.plight import Plight
from bulkstreams.sandbox.reading import Query, read_body
from bulkstreams.sandbox.routes import Call, Kind
from bulkstreams.sandbox.settings import SandboxSettings, split_action
from bulkstreams.sandbox.streams import Stream, StreamStore
from bulkstreams.sandbox.tokens import TokenDesk
from bulkstreams.sandbox.validation import matches, unknown_events

DEFAULT_TAKE: Final = 50
DEFAULT_PER_PAGE: Final = 20
SCOPES: Final[Mapping[Kind, tuple[str, ...]]] = {
    Kind.CREATE: ("create:event_streams",),
    Kind.LIST: ("read:event_streams",),
    Kind.READ: ("read:event_streams",),
    Kind.UPDATE: ("update:event_streams",),
    Kind.DELETE: ("delete:event_streams",),
    Kind.TEST: ("update:event_streams",),
    Kind.DELIVERIES: ("read:event_streams", "read:event_deliveries"),
    Kind.DELIVERY: ("read:event_deliveries",),
    Kind.ACTIONS: ("read:actions",),
}
"""The requests that need a token, and count against the tenant's rate, with the scopes of which each needs any."""

_NAMELESS: Final = frozenset({Kind.CREATE, Kind.LIST, Kind.ACTIONS})
"""The requests that name no stream."""


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
        self.actions = Actions(lambda which: chance(f"action {which} of {name}"))
        self._deliveries = Deliveries(name, chance(f"events of {name}"), settings.vanishing_deliveries)
        for action, action_id in map(split_action, settings.actions):
            self.actions.add(action, now, action_id=action_id)
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
        kind, scopes = asked.call.kind, SCOPES[asked.call.kind]
        if refusal := self._desk.judge(asked.authorization, self.name, now):
            return refusal
        if not any(map(self._desk.may, scopes)):
            return answers.insufficient_scope(scopes)
        if asked.body is None:
            return answers.TOO_LARGE
        if kind not in _NAMELESS and not matches(schemas.STREAM_ID, asked.call.stream_id):
            return answers.bad_id("event-stream", asked.call.stream_id)
        if kind is Kind.DELIVERY and not matches(schemas.EVENT_ID, asked.call.event_id):
            return answers.bad_id("event", asked.call.event_id)
        return None

    def _served(self, asked: Asked, now: float) -> Answer:
        match asked.call.kind:
            case Kind.CREATE:
                return self._create(asked, now)
            case Kind.LIST:
                return self._list(Query(asked.call.query), now)
            case Kind.ACTIONS:
                return self._list_actions(Query(asked.call.query))
            case Kind.DELETE:
                return self._delete(asked.call.stream_id)
            case _:
                return self._of_stream(asked, now)

    def _of_stream(self, asked: Asked, now: float) -> Answer:
        """Answer a request to one stream; a wrong body is refused before a stream that is not there."""
        kind, schema = asked.call.kind, _BODIES.get(asked.call.kind)
        body = {} if schema is None else _read(asked, schema)
        if isinstance(body, Answer):
            return body
        stream = self.streams.get(asked.call.stream_id)
        if stream is None:
            return answers.NO_SUCH_STREAM  # [guess] for a PATCH and a test, of which no 404 is declared
        match kind:
            case Kind.UPDATE:
                return self._update(stream, body, now)
            case Kind.TEST:
                return self._test(stream, body, now)
            case Kind.DELIVERIES:
                return self._list_deliveries(stream, Query(asked.call.query), now)
            case Kind.DELIVERY:
                delivery = self._deliveries.get(stream.id, asked.call.event_id, now)
                return _json(200, delivery.shown(now)) if delivery else answers.NO_SUCH_DELIVERY
            case _:
                return Answer(200, stream.shown)

    def _create(self, asked: Asked, now: float) -> Answer:
        definition = _read(asked, schemas.CREATE)
        if isinstance(definition, Answer):
            return definition
        if not self._may_call(definition["destination"]):
            return answers.NO_SUCH_ACTION
        if self._settings.unique_names and self.streams.name_taken(definition.get("name")):
            return answers.NAME_TAKEN
        if self._settings.quota is not None and len(self.streams) >= self._settings.quota:
            return answers.QUOTA_FULL
        stream = self.streams.create(definition, now)
        self._books.accept(self.name, stream.id, stream.name, now)
        return Answer(201, stream.shown)

    def _may_call(self, destination: Mapping[str, Any]) -> bool:
        """Return whether the destination's action, if it has one, can be called; where nobody told of actions, any."""
        if destination["type"] != "action" or self._settings.any_action or not len(self.actions):
            return True
        return self.actions.callable(destination["configuration"]["action_id"])

    def _update(self, stream: Stream, changes: Mapping[str, Any], now: float) -> Answer:
        if "destination" in changes:
            if stream.type != "webhook":
                return answers.destination_is_fixed(stream.type)
            if changes["destination"]["type"] != stream.type:
                return answers.TYPE_IS_FIXED
        name = changes.get("name")
        if name != stream.name and self._settings.unique_names and self.streams.name_taken(name):
            return answers.NAME_TAKEN  # [guess]: no 409 is declared for PATCH, and none was recorded
        stream = self.streams.update(stream, changes, now)
        self.counts.updated(stream.id, stream.name, changes.get("status"))
        return Answer(200, stream.shown)

    def _delete(self, stream_id: str) -> Answer:
        self.counts.asked_away(stream_id, self.streams.delete(stream_id))
        return answers.NO_CONTENT

    def _test(self, stream: Stream, body: Mapping[str, Any], now: float) -> Answer:
        """Accept a test event, of any type: whether the stream must subscribe to it is not known ([guess])."""
        shown = orjson.loads(stream.shown)
        enabled = shown["status"] == "enabled"
        if not enabled and self._settings.disabled_test == "refuse":
            return answers.SWITCHED_OFF
        endpoint = shown["destination"]["configuration"].get("webhook_endpoint")
        delivery = self._deliveries.accept(
            stream.id, body["event_type"], body.get("data"), now,
            ends_at=now + self._settings.delivery_time if enabled else None,
            error=self._delivery_error(stream, endpoint),
        )  # fmt: skip
        self.counts.tested(stream.id, delivery.event_type)
        return _json(202, delivery.accepted())

    def _delivery_error(self, stream: Stream, endpoint: str | None) -> str | None:
        """Return what a delivery fails with, or None where it succeeds; the beginning is as recorded of a webhook."""
        known_by = [text for text in (stream.name, endpoint) if text is not None]
        if not any(fnmatchcase(text, glob) for glob in self._settings.undeliverable for text in known_by):
            return None
        return f'Post "{endpoint}": the sandbox was told so' if endpoint else f"The {stream.type} was not reached"

    def _list(self, query: Query, now: float) -> Answer:
        take = query.number("take", schemas.TAKE, DEFAULT_TAKE)
        if query.wrong:
            return answers.bad_query(query.wrong)
        page = self.streams.page(take, query.text("from"), now)
        if page is None:
            return _BAD_CURSOR
        tail = b'],"next":"%s"}' % page.next.encode() if page.next else b"]}"
        return Answer(200, b'{"eventStreams":[' + b",".join([s.shown for s in page.streams]) + tail)

    def _list_deliveries(self, stream: Stream, query: Query, now: float) -> Answer:
        take = query.number("take", schemas.TAKE, DEFAULT_TAKE)
        dates = query.second("date_from"), query.second("date_to")
        if query.wrong:
            return answers.bad_query(query.wrong)
        wanted = Wanted(query.words("statuses"), query.words("event_types"), *dates)
        page = self._deliveries.page(stream.id, wanted, take, query.text("from"), now)
        if page is None:
            return _BAD_CURSOR
        next_page = {"next": page.next} if page.next else {}
        return _json(200, {"deliveries": [one.shown(now) for one in page.deliveries], **next_page})

    def _list_actions(self, query: Query) -> Answer:
        """List actions; recorded: totals come unasked, and a first page does not tell its number."""
        page = query.number("page", schemas.PAGE, 0)
        per_page = query.number("per_page", schemas.PER_PAGE, DEFAULT_PER_PAGE)
        deployed, installed = query.flag("deployed"), query.flag("installed")
        query.flag("include_totals")
        if query.wrong:
            return answers.bad_query(query.wrong)
        name, trigger = query.text("actionName"), query.text("triggerId")
        found = [
            one.shown for one in self.actions
            if name in (None, one.name) and trigger in (None, one.trigger) and deployed in (None, one.deployed)
            and not installed
        ]  # fmt: skip
        head = {"actions": found[page * per_page : (page + 1) * per_page], "total": len(found)}
        return _json(200, head | ({"page": page} if page else {}) | {"per_page": per_page})


_BODIES: Final = {Kind.UPDATE: schemas.UPDATE, Kind.TEST: schemas.TEST}
_BAD_CURSOR: Final = answers.bad_query(["'Invalid checkpoint' on property from"])  # [guess]


def _read(asked: Asked, schema: schemas.Schema) -> dict[str, Any] | Answer:
    value = read_body(asked.body or b"", asked.content_type, schema)
    if isinstance(value, Answer):
        return value
    wrong = unknown_events(value)
    return answers.invalid_body(wrong) if wrong else value


def _json(status: int, value: object) -> Answer:
    return Answer(status, orjson.dumps(value))
