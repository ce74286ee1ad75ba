"""One tenant of the sandbox: its streams, its bucket, its books. Plain values; no socket, and time is handed in."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from random import Random
from typing import Any, Final
from uuid import UUID

from bulkstreams.sandbox.rules import shown
from bulkstreams.sandbox.settings import SandboxSettings

BASE58: Final = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"


@dataclass(slots=True)
class Bucket:
    """A token bucket; with `window` it fills at the top of each second instead of all the time."""

    rate: float
    burst: int
    window: bool
    _tokens: float = field(init=False)
    _at: float = field(init=False, default=-math.inf)

    def __post_init__(self) -> None:
        self._tokens = float(self.burst)

    def take(self, now: float) -> bool:
        """Take a token at the epoch second `now`, if there is one."""
        if self._at == -math.inf:
            self._at = math.floor(now) if self.window else now
        passed = now - self._at
        if self.window:
            passed = math.floor(passed)
        if passed > 0:
            self._tokens = min(float(self.burst), self._tokens + passed * self.rate)
            self._at += passed
        if self._tokens < 1.0:
            return False
        self._tokens -= 1.0
        return True

    def headers(self, now: float) -> dict[str, str]:
        """Return what the API says of the bucket: its size, what is left, the epoch second when more comes."""
        wait = 0.0 if self.window else max(0.0, (1.0 - self._tokens % 1.0) / self.rate)
        reset = math.floor(now) + 1 if self.window else math.ceil(now + wait)
        return {
            "x-ratelimit-limit": str(self.burst),
            "x-ratelimit-remaining": str(int(self._tokens)),
            "x-ratelimit-reset": str(reset),
        }


class Books:
    """What really happened, written apart from the streams themselves: every accepted create, in order."""

    def __init__(self) -> None:
        self.accepted: list[tuple[str, str | None, float]] = []
        self.requests: Counter[str] = Counter()
        self.statuses: Counter[str] = Counter()
        self.faults: Counter[str] = Counter()
        self.deleted = 0


class TenantState:
    """The streams of one tenant, in the order of their creation."""

    def __init__(self, name: str, settings: SandboxSettings) -> None:
        self.name = name
        self.books = Books()
        self.streams: dict[str, dict[str, Any]] = {}
        self.names: Counter[str] = Counter()
        self._settings = settings
        self._order: list[str] = []
        self._random = Random(f"{settings.seed}/{name}")  # noqa: S311 - ids, repeatable by design
        self.bucket = None if not settings.rate else Bucket(settings.rate, settings.burst, settings.refill == "window")

    @property
    def full(self) -> bool:
        """Return whether the quota is used up."""
        return self._settings.quota is not None and len(self.streams) >= self._settings.quota

    def taken(self, name: str | None) -> bool:
        """Return whether the tenant refuses another stream of this name."""
        return self._settings.unique_names and name is not None and self.names[name] > 0

    def create(self, body: dict[str, Any], now: float) -> dict[str, Any]:
        """Add a stream and enter it into the books; return it as the API shows it."""
        id_ = "est_" + "".join(self._random.choices(BASE58, k=22))
        at = instant(now)
        stream: dict[str, Any] = {"id": id_, "status": body.get("status", "enabled")}
        if "name" in body:
            stream["name"] = body["name"]
            self.names[body["name"]] += 1
        source = f"aws.partner/auth0.com/{self.name}-{UUID(int=self._random.getrandbits(128), version=4)}/auth0.events"
        stream["subscriptions"] = body.get("subscriptions", [])
        stream["created_at"] = stream["updated_at"] = at
        stream["destination"] = shown(body["destination"], source)
        self.streams[id_] = stream
        self._order.append(id_)
        self.books.accepted.append((id_, body.get("name"), now))
        return stream

    def patch(self, stream: dict[str, Any], body: dict[str, Any], now: float) -> dict[str, Any]:
        """Change a stream; return it as the API shows it."""
        if "name" in body and body["name"] != stream.get("name"):
            self._forget_name(stream)
            self.names[body["name"]] += 1
        for key in ("name", "subscriptions", "status"):
            if key in body:
                stream[key] = body[key]
        if "destination" in body:
            stream["destination"] = shown(body["destination"], "")
        stream["updated_at"] = instant(now)
        return stream

    def delete(self, id_: str) -> None:
        """Take a stream away; one that is gone already is no matter."""
        stream = self.streams.pop(id_, None)
        if stream is not None:
            self._forget_name(stream)
            self.books.deleted += 1

    def _forget_name(self, stream: dict[str, Any]) -> None:
        if "name" in stream:
            self.names[stream["name"]] -= 1

    def page(self, start: int, take: int) -> tuple[list[dict[str, Any]], int | None]:
        """Return up to `take` live streams from position `start` on, and the position after them if more follow."""
        found: list[dict[str, Any]] = []
        for position in range(start, len(self._order)):
            stream = self.streams.get(self._order[position])
            if stream is None:
                continue
            if len(found) == take:
                return found, position
            found.append(stream)
        return found, None

    def summary(self) -> dict[str, Any]:
        """Return the books' figures of this tenant."""
        books = self.books
        live = Counter(stream.get("name") for stream in self.streams.values() if "name" in stream)
        return {
            "accepted": len(books.accepted),
            "live": len(self.streams),
            "deleted": books.deleted,
            "doubles": {name: count for name, count in live.items() if count > 1},
            "requests": dict(books.requests),
            "statuses": dict(books.statuses),
            "faults": dict(books.faults),
        }


def instant(now: float) -> str:
    """Return an epoch second as the API writes instants: ISO 8601, UTC, milliseconds."""
    return datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%dT%H:%M:%S.") + f"{int(now * 1000) % 1000:03d}Z"
