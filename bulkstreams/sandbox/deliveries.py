"""One tenant's test events and what became of their delivery. Nothing is ever sent anywhere.

A delivery is decided when its event is accepted and shows when its time has come, so no clock runs here.
What a delivery that succeeded looks like was never recorded, nor whether one stays visible: the published statuses
know `failed` alone. This module must never look at a stream's secrets, nor keep any data that it does not show.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from itertools import islice
from random import Random
from typing import Any, Final, NamedTuple

from bulkstreams.sandbox.cursors import read_cursor, write_cursor
from bulkstreams.sandbox.streams import new_id, timestamp

PENDING: Final = "pending"
FAILED: Final = "failed"
SUCCEEDED: Final = "success"  # [guess]: never recorded, and in no published list

_LONGEST_MESSAGE: Final = 50  # recorded: what is longer is cut there, and followed by " ..."
_RETRY_PARTS: Final = (1, 2, 4)  # recorded: four attempts, 1, 2 and 4 s apart; here they share the delivery's time
_ATTEMPT_MS: Final = 20.0
_SAMPLE: Final[dict[str, Any]] = {"object": {"user_id": "auth0|sandbox", "email": "someone@example.com"}}


class Delivery(NamedTuple):
    """A test event: `ends_at` (epoch s, None: never) is when it succeeds, or fails for what `error` says."""

    seq: int
    id: str
    stream_id: str
    event_type: str
    accepted_at: float
    ends_at: float | None
    error: str | None
    event: dict[str, Any]

    def status(self, now: float) -> str:
        """Return how the delivery stands."""
        if self.ends_at is None or now < self.ends_at:
            return PENDING
        return SUCCEEDED if self.error is None else FAILED

    def shown(self, now: float) -> dict[str, Any]:
        """Return the delivery as the API shows it; documented: the event's content is there only if it failed."""
        status = self.status(now)
        shown = self._head(status, self._attempts(status))
        return shown | {"event": {**self.event, "source": "urn:auth0:"}} if status == FAILED else shown

    def accepted(self) -> dict[str, Any]:
        """Return the delivery as the answer to its test shows it: pending, with the event."""
        return self._head(PENDING, []) | {"event": self.event}

    def _head(self, status: str, attempts: list[dict[str, Any]]) -> dict[str, Any]:
        return {
            "id": self.id, "event_stream_id": self.stream_id, "event_type": self.event_type, "status": status,
            "attempts": attempts,
        }  # fmt: skip

    def _attempts(self, status: str) -> list[dict[str, Any]]:
        if status == PENDING or self.ends_at is None:
            return []  # [guess]: the recorded pending one had just been accepted
        if self.error is None:
            return [{"status": status, "timestamp": timestamp(self.ends_at), "duration": _ATTEMPT_MS}]
        step = (self.ends_at - self.accepted_at) / sum(_RETRY_PARTS)
        instants = [self.accepted_at + step * sum(_RETRY_PARTS[:i]) for i in range(len(_RETRY_PARTS) + 1)]
        failed = {"status": status, "error_message": _cut(self.error)}
        return [{**failed, "timestamp": timestamp(at), "duration": _ATTEMPT_MS} for at in instants]


class Wanted(NamedTuple):
    """Which deliveries a list is asked for: empty lists mean all; instants (epoch s) from, inclusive, to, exclusive."""

    statuses: Collection[str] = ()
    event_types: Collection[str] = ()
    date_from: float | None = None
    date_to: float | None = None

    def has(self, delivery: Delivery, now: float) -> bool:
        """Return whether the list is to show the delivery."""
        return (
            (not self.statuses or delivery.status(now) in self.statuses)
            and (not self.event_types or delivery.event_type in self.event_types)
            and (self.date_from is None or delivery.accepted_at >= self.date_from)
            and (self.date_to is None or delivery.accepted_at < self.date_to)
        )


class Page(NamedTuple):
    """One page of deliveries, and the cursor of the next."""

    deliveries: Sequence[Delivery]
    next: str | None


class Deliveries:
    """The deliveries of one tenant; `vanishing`: one that succeeded is seen no more."""

    def __init__(self, tenant: str, chance: Random, vanishing: bool) -> None:
        self._tenant = tenant
        self._chance = chance
        self._vanishing = vanishing
        self._by_id: dict[str, Delivery] = {}
        self._of_stream: dict[str, list[Delivery]] = {}

    def accept(
        self, stream_id: str, event_type: str, data: dict[str, Any] | None, now: float, ends_at: float | None,
        error: str | None,
    ) -> Delivery:  # fmt: skip
        """Enter a test event, and what will become of it."""
        while (event_id := new_id("evt", self._chance)) in self._by_id:
            pass
        event = {
            "specversion": "1.0", "id": event_id, "source": f"urn:auth0:{self._tenant}", "type": event_type,
            "time": timestamp(now), "data": _SAMPLE if data is None else data,
            "a0purpose": "test", "a0stream": stream_id, "a0tenant": self._tenant,
        }  # fmt: skip
        found = Delivery(len(self._by_id) + 1, event_id, stream_id, event_type, now, ends_at, error, event)
        self._by_id[event_id] = found
        self._of_stream.setdefault(stream_id, []).append(found)
        return found

    def get(self, stream_id: str, event_id: str, now: float) -> Delivery | None:
        """Return a stream's delivery, or None where there is none to be seen."""
        found = self._by_id.get(event_id)
        return found if found and found.stream_id == stream_id and self._seen(found, now) else None

    def page(self, stream_id: str, wanted: Wanted, take: int, cursor: str | None, now: float) -> Page | None:
        """Return up to `take` of a stream's deliveries, oldest first, or None where the cursor is not one of ours.

        Recorded: a page that shows anything has a `next`, even where no more follow; only an empty one ends the list.
        """
        owner = f"{self._tenant}/{stream_id}"
        start = 0 if cursor is None else read_cursor(owner, cursor, now)
        if start is None:
            return None
        all_of_it = self._of_stream.get(stream_id, ())
        shown = (one for one in all_of_it if one.seq >= start and self._seen(one, now) and wanted.has(one, now))
        found = list(islice(shown, take))
        return Page(found, write_cursor(owner, found[-1].seq + 1, now) if found else None)

    def _seen(self, delivery: Delivery, now: float) -> bool:
        return not (self._vanishing and delivery.status(now) == SUCCEEDED)


def _cut(message: str) -> str:
    return message if len(message) <= _LONGEST_MESSAGE else message[:_LONGEST_MESSAGE] + " ..."
