"""Is that live stream this record? Answered from digests of what the API shows, so never from a secret.

A digest has four parts, so that two of them tell which parts of two definitions differ. It is what the ledger keeps of
a definition: enough to notice a change, to name it, and to recognise a stream at the tenant, and nothing more.
Where a run gives streams a status in place of their lines', that part takes no part: it may have been switched since.
This module must never see a socket, nor let a secret value into a digest.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b
from typing import Any, Final

from bulkstreams.model import SECRET_FIELDS, Doubt, Event, Status

PARTS: Final = ("name", "subscriptions", "destination", "status")
_WIDTH: Final = 8  # bytes a part: 2**-64 that an edit goes unnoticed
PASSED_OVER: Final = frozenset({*SECRET_FIELDS, "aws_partner_event_source"})  # what only one side ever shows
USER: Final = re.compile(r"//[^/?#]*@")  # a user and a password before an endpoint's host
_BUT_STATUS: Final = _WIDTH * PARTS.index("status")  # bytes: the status is the last part
DEFAULT_STATUS: Final = "enabled"  # what the API gives a stream whose create names no status


def digest(definition: Mapping[str, Any]) -> bytes:
    """Return the 32-byte digest of a definition, or of a stream as the API shows it, secrets left out.

    Two definitions that mean the same to the API have the same digest: the order of subscriptions and of keys does
    not count, an absent status is `enabled`, response-only properties and secrets are passed over.
    """
    name = definition.get("name")
    events = [str(one.get("event_type")) for one in definition.get("subscriptions") or ()]
    if len(events) > 1:
        events.sort()
    return (
        _part("" if name is None else f"={name}")
        + _repeated("\n".join(events))
        + _part(_destination(definition.get("destination")))
        + _repeated(str(definition.get("status") or DEFAULT_STATUS))
    )


def with_action(mark: bytes, action_id: str) -> bytes:
    """Return a digest as it would be if the destination were the action `action_id`."""
    return mark[: 2 * _WIDTH] + _repeated(_action({"action_id": action_id})) + mark[3 * _WIDTH :]


def differing(one: bytes, other: bytes) -> tuple[str, ...]:
    """Return the names of the parts in which two digests differ, in the order of `PARTS`."""
    return tuple(
        part
        for i, part in enumerate(PARTS)
        if one[i * _WIDTH : (i + 1) * _WIDTH] != other[i * _WIDTH : (i + 1) * _WIDTH]
    )


def _part(text: str) -> bytes:
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=_WIDTH).digest()


_repeated = lru_cache(maxsize=512)(_part)  # few statuses and sets of events make up most of an input


def with_any_status(rest: bytes) -> list[bytes]:
    """Return every digest that a line may have of which `rest` is all but the status (see `mark`)."""
    return [rest + _repeated(status.value) for status in Status]


def part_of(status: Status) -> bytes:
    """Return the last part of every digest of a definition with this status."""
    return _repeated(status.value)


def _destination(destination: object) -> str:
    """Return a text that tells two destinations apart: built by hand for those that we know, as JSON for others."""
    if isinstance(destination, dict):
        configuration = destination.get("configuration")
        shown = _SHOWN.get(str(destination.get("type")))
        if shown is not None and isinstance(configuration, dict):
            return shown(configuration)
    return json.dumps(_without_secrets(destination), sort_keys=True, separators=(",", ":"))


def _webhook(configuration: Mapping[str, Any]) -> str:
    found = configuration.get("webhook_authorization")
    endpoint = configuration.get("webhook_endpoint")
    if isinstance(endpoint, str) and "@" in endpoint:
        endpoint = USER.sub("//", endpoint)
    if not isinstance(found, dict):
        return f"webhook\n{endpoint}"
    return f"webhook\n{endpoint}\n{found.get('method')}\n{found.get('username', '')}\n{found.get('header_key', '')}"


def _eventbridge(configuration: Mapping[str, Any]) -> str:
    return f"eventbridge\n{configuration.get('aws_account_id')}\n{configuration.get('aws_region')}"


def _action(configuration: Mapping[str, Any]) -> str:
    return f"action\n{configuration.get('action_id')}"


_SHOWN: Final = {"webhook": _webhook, "eventbridge": _eventbridge, "action": _action}


def _without_secrets(value: object) -> object:
    if isinstance(value, dict):
        return {k: _without_secrets(v) for k, v in value.items() if k not in PASSED_OVER}
    return value


CLOCK_MARGIN_S: Final = 2.0
"""How much older than its intent a stream may look and still be ours: `Date` and `created_at` are rounded apart."""


@dataclass(frozen=True, slots=True)
class Stream:
    """A stream as the API shows it; instants are epoch seconds on the server's clock, None where it gave none.

    `by_name` is its digest with the name of its action in place of the id, where lines may have it so.
    """

    id: str
    name: str | None
    digest: bytes
    created_at: float | None
    updated_at: float | None = None
    status: str | None = None
    by_name: bytes | None = None

    @property
    def digests(self) -> tuple[bytes, ...]:
        """Return the digests of the definitions that this stream may have been made from."""
        return (self.digest,) if self.by_name is None else (self.digest, self.by_name)

    @property
    def marks(self) -> tuple[str | bytes, ...]:
        """Return what a stream is known by in a listing: its name, or without one what shows, but for the status."""
        return tuple([one[:_BUT_STATUS] for one in self.digests]) if self.name is None else (self.name,)


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a look-up says of a record; `stream` is the one that was found, `differs` the parts in which it differs."""

    event: Event
    stream: Stream | None = None
    differs: tuple[str, ...] = ()


def mark(doubt: Doubt) -> str | bytes:
    """Return what a record's stream is known by in a listing."""
    return doubt.digest[:_BUT_STATUS] if doubt.name is None else doubt.name


def in_turn(doubts: Iterable[Doubt]) -> list[Doubt]:
    """Return records in the order in which they are to be judged: first those that take streams of one status alone.

    Where nothing but their number tells nameless streams apart, the others then take what is left.
    """
    return sorted(doubts, key=lambda doubt: doubt.status is not None)


def _differing(doubt: Doubt, stream: Stream) -> tuple[str, ...]:
    """Return the parts that count in which a stream differs from a record."""
    if stream.digest == doubt.digest:
        return ()
    parts = min((differing(doubt.digest, one) for one in stream.digests), key=len)
    return parts if doubt.status is None else tuple(part for part in parts if part != "status")


def judge(doubt: Doubt, found: Sequence[Stream], owned: Collection[str] = (), *, mature: bool) -> Judgement | None:
    """Say what became of a record, given the streams that a complete look-up found under its mark.

    `owned` are the ids that other records of the ledger stand for: such a stream is no evidence for this one.
    `mature` says that the look-up began long enough after the attempt ended for absence to prove anything; where it
    did not and nothing was found, the answer is None: look again.
    """
    if doubt.name is None:
        found = _twins(doubt, found, owned)
    equal = [stream for stream in found if not _differing(doubt, stream)]
    if equal:
        # Of several, the newest: only one made after our intent can be ours.
        stream = max(equal, key=lambda one: one.created_at or 0.0)
        ours = stream.id not in owned and _may_be_ours(doubt, stream)
        return Judgement(Event.FOUND_OURS if ours else Event.FOUND_EQUAL, stream)
    if found:
        return Judgement(Event.FOUND_DIFFERENT, found[0], _differing(doubt, found[0]))
    return Judgement(Event.ABSENT) if mature or doubt.name_taken else None


def _twins(doubt: Doubt, found: Sequence[Stream], owned: Collection[str]) -> list[Stream]:
    """Return the one nameless stream, if any, that this record may take.

    Several records may have one definition and no name, and nothing but their number tells their streams apart: so
    each takes a stream that no other record stands for, and one that may have been sent takes only what was made
    since, the oldest first, lest it take a twin's and leave it one that is too old. Where a status was given, one that
    has it comes before one that was switched. A 409 cannot be about a name that there is none of.
    """
    if doubt.name_taken and doubt.ours_since is None:
        return []
    free = [
        one
        for one in found
        if one.id not in owned and not _differing(doubt, one) and (doubt.ours_since is None or _may_be_ours(doubt, one))
    ]
    return sorted(free, key=lambda one: (doubt.status not in {None, one.status}, one.created_at or 0.0))[:1]


def _may_be_ours(doubt: Doubt, stream: Stream) -> bool:
    if doubt.ours_since is None:
        return False  # every attempt that was ever made was answered, with a no
    return stream.created_at is None or stream.created_at >= doubt.ours_since - CLOCK_MARGIN_S
