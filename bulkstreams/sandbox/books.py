"""The sandbox's own books: every create, delete, update and test that took effect, and counts of all that happened.

Kept apart from the streams themselves, so that a test can hold the one against the other.
This module must never be told a secret, and nothing is ever struck out of it.
"""

from __future__ import annotations

from collections import Counter
from typing import Any, NamedTuple


class Accepted(NamedTuple):
    """One create that took effect; `at` in epoch seconds on the sandbox's clock."""

    seq: int
    tenant: str
    id: str
    name: str | None
    at: float


class TenantBooks:
    """What happened at one tenant."""

    __slots__ = (
        "_asked_away",
        "_deleted",
        "_live",
        "_tested",
        "_updated",
        "faults",
        "neighbour",
        "requests",
        "statuses",
    )

    def __init__(self) -> None:
        self.requests: Counter[str] = Counter()
        self.statuses: Counter[int] = Counter()
        self.faults: Counter[str] = Counter()
        self.neighbour: Counter[str] = Counter()
        self._live: dict[str, str | None] = {}
        self._deleted: list[str] = []
        self._asked_away: Counter[str] = Counter()
        self._updated: dict[str, list[str | None]] = {}
        self._tested: dict[str, list[str]] = {}

    def created(self, stream_id: str, name: str | None) -> None:
        """Note that a stream came to be."""
        self._live[stream_id] = name

    def updated(self, stream_id: str, name: str | None, status: str | None) -> None:
        """Note that a stream was changed, its name since then, and the status that it was given (None: none)."""
        self._live[stream_id] = name
        self._updated.setdefault(stream_id, []).append(status)

    def asked_away(self, stream_id: str, was_there: bool) -> None:
        """Note a DELETE that was obeyed, and whether it took effect: the API answers the same either way."""
        self._asked_away[stream_id] += 1
        if was_there:
            self._deleted.append(stream_id)
            del self._live[stream_id]

    def tested(self, stream_id: str, event_type: str) -> None:
        """Note that a test event was accepted for a stream."""
        self._tested.setdefault(stream_id, []).append(event_type)

    def as_dict(self, accepted: int) -> dict[str, Any]:
        """Return the counts; `doubles` are the names that more than one live stream bears, with how many do.

        `deletes` and `updates` count what took effect: `deleted` are the ids of those streams in order, `deletes_asked`
        how many DELETEs each id got (those of a stream that was gone already included), `updated` the status that each
        PATCH of an id gave it, in order (None: it gave none), `tested` the events of an id that were accepted.
        `neighbour` is what other clients took, and were refused, until the last request that counted against the rate.
        """
        names = Counter(name for name in self._live.values() if name is not None)
        return {
            "accepted": accepted,
            "live": len(self._live),
            "deletes": len(self._deleted),
            "updates": sum(map(len, self._updated.values())),
            "doubles": {name: n for name, n in names.items() if n > 1},
            "requests": {str(kind): n for kind, n in self.requests.items()},
            "statuses": {str(status): n for status, n in sorted(self.statuses.items())},
            "faults": {str(fault): n for fault, n in self.faults.items()},
            "deleted": list(self._deleted),
            "deletes_asked": dict(self._asked_away),
            "updated": {one: list(given) for one, given in self._updated.items()},
            "tested": {one: list(events) for one, events in self._tested.items()},
            "neighbour": {what: self.neighbour[what] for what in ("taken", "refused")},
        }


class Books:
    """The books of all tenants."""

    def __init__(self) -> None:
        self._accepted: list[Accepted] = []
        self._tenants: dict[str, TenantBooks] = {}

    def of(self, tenant: str) -> TenantBooks:
        """Return the books of one tenant, opened with its first request."""
        books = self._tenants.get(tenant)
        if books is None:
            books = self._tenants[tenant] = TenantBooks()
        return books

    def accept(self, tenant: str, stream_id: str, name: str | None, at: float) -> None:
        """Enter a create that took effect."""
        self._accepted.append(Accepted(len(self._accepted) + 1, tenant, stream_id, name, at))
        self.of(tenant).created(stream_id, name)

    def as_dict(self, tenant: str | None = None) -> dict[str, Any]:
        """Return the books of the whole server, or those of one tenant, in the same shape."""
        accepted = [a for a in self._accepted if tenant is None or a.tenant == tenant]
        counts = Counter(a.tenant for a in accepted)
        tenants = self._tenants if tenant is None else {tenant: self._tenants.get(tenant) or TenantBooks()}
        return {
            "tenants": {name: books.as_dict(counts[name]) for name, books in tenants.items()},
            "accepted": [a._asdict() for a in accepted],
        }
