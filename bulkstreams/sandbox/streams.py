"""One tenant's event streams, as its API shows them, in the order of their creation.

A stream is kept as the bytes that the API answers with: the secrets of a definition are dropped before anything is
kept. This module must never read a clock, and never validate: what comes in has been checked.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any, Final, NamedTuple
from uuid import UUID

import orjson

from bulkstreams.sandbox.cursors import read_cursor, write_cursor

BASE58: Final = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
"""The alphabet of every recorded id: no 0, O, I or l."""

_SHOWN_AUTHORIZATION: Final = ("method", "username", "header_key")


class Stream(NamedTuple):
    """A live stream: its place in the order of creation, its id, name, destination type, and how the API shows it."""

    seq: int
    id: str
    name: str | None
    type: str
    shown: bytes


class Page(NamedTuple):
    """One page of a list, and the cursor of the next (None on the last)."""

    streams: list[Stream]
    next: str | None


class StreamStore:
    """The streams of one tenant."""

    def __init__(self, tenant: str, chance: Random) -> None:
        self._tenant = tenant
        self._chance = chance
        self._by_id: dict[str, Stream] = {}
        self._in_order: list[Stream] = []
        self._names: Counter[str] = Counter()
        self._seq = 0

    def __len__(self) -> int:
        return len(self._by_id)

    def __iter__(self) -> Iterator[Stream]:
        return iter(self._in_order)

    def get(self, stream_id: str) -> Stream | None:
        """Return the stream of that id."""
        return self._by_id.get(stream_id)

    def name_taken(self, name: str | None) -> bool:
        """Return whether a live stream bears the name; no name is never taken."""
        return name is not None and self._names[name] > 0

    def create(self, definition: Mapping[str, Any], now: float) -> Stream:
        """Add a stream; a status that is not given is `enabled`."""
        self._seq += 1
        stream_id, at = self._new_id(), timestamp(now)
        shown = {"id": stream_id, "status": definition.get("status", "enabled")}
        if "name" in definition:
            shown["name"] = definition["name"]
        shown |= {
            "subscriptions": definition.get("subscriptions", []),
            "created_at": at,
            "updated_at": at,
            "destination": self._show(definition["destination"]),
        }
        stream = Stream(
            self._seq, stream_id, definition.get("name"), definition["destination"]["type"], orjson.dumps(shown)
        )
        self._in_order.append(stream)
        self._put(stream)
        return stream

    def update(self, stream: Stream, changes: Mapping[str, Any], now: float) -> Stream:
        """Change a stream: whatever is given replaces what was there, and `updated_at` moves on, however soon."""
        shown = orjson.loads(stream.shown)
        shown |= {key: changes[key] for key in ("status", "name", "subscriptions") if key in changes}
        if "destination" in changes:
            shown["destination"] = self._show(changes["destination"])
        shown["updated_at"] = max(timestamp(now), _just_after(shown["updated_at"]))
        changed = stream._replace(name=shown.get("name"), shown=orjson.dumps(shown))
        self._in_order[self._place(stream.seq)] = changed
        self._forget_name(stream)
        self._put(changed)
        return changed

    def delete(self, stream_id: str) -> bool:
        """Remove a stream; its name is free at once. Return whether it was there."""
        stream = self._by_id.pop(stream_id, None)
        if stream is None:
            return False
        self._forget_name(stream)
        del self._in_order[self._place(stream.seq)]
        return True

    def page(self, take: int, cursor: str | None, now: float) -> Page | None:
        """Return up to `take` streams from a cursor on, oldest first, or None where the cursor is not one of ours."""
        start = 0
        if cursor is not None:
            seq = read_cursor(self._tenant, cursor, now)
            if seq is None:
                return None
            start = self._place(seq)
        streams = self._in_order[start : start + take + 1]
        more = len(streams) > take
        return Page(streams[:take], write_cursor(self._tenant, streams[take].seq, now) if more else None)

    def _put(self, stream: Stream) -> None:
        self._by_id[stream.id] = stream
        if stream.name is not None:
            self._names[stream.name] += 1

    def _forget_name(self, stream: Stream) -> None:
        if stream.name is None:
            return
        self._names[stream.name] -= 1
        if not self._names[stream.name]:
            del self._names[stream.name]

    def _place(self, seq: int) -> int:
        return bisect_left(self._in_order, seq, key=lambda stream: stream.seq)

    def _new_id(self) -> str:
        while (stream_id := new_id("est", self._chance)) in self._by_id:
            pass
        return stream_id

    def _show(self, destination: Mapping[str, Any]) -> dict[str, Any]:
        """Return a destination as the API shows it: without secrets, with what AWS is given."""
        kind, configuration = destination["type"], dict(destination["configuration"])
        if kind == "webhook":
            authorization = configuration["webhook_authorization"]
            configuration["webhook_authorization"] = {
                key: authorization[key] for key in _SHOWN_AUTHORIZATION if key in authorization
            }
        elif kind == "eventbridge":
            unique = UUID(int=self._chance.getrandbits(128), version=4)
            source = f"aws.partner/auth0.com/{self._tenant}-{unique}/auth0.events"
            configuration["aws_partner_event_source"] = source
        return {"type": kind, "configuration": configuration}


def new_id(kind: str, chance: Random) -> str:
    """Return an id as the API makes them: what it is of, then 22 characters."""
    return f"{kind}_" + "".join(chance.choices(BASE58, k=22))


def timestamp(now: float) -> str:
    """Return an instant (epoch seconds) as the API writes it: ISO 8601, UTC, milliseconds."""
    return _written(datetime.fromtimestamp(now, UTC))


def _just_after(instant: str) -> str:
    """Return the next millisecond: two changes never bear one instant, as they hardly could at the real API."""
    return _written(datetime.fromisoformat(instant) + timedelta(milliseconds=1))


def _written(at: datetime) -> str:
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
