"""A line → a record, or all that is wrong with it.

No byte sequence makes it raise. This module must never let a secret value into what it says, or into a digest.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from itertools import islice
from typing import Any, Final, NamedTuple

from pydantic import ValidationError

from bulkstreams.core.matching import digest
from bulkstreams.core.references import Reference, parse_action
from bulkstreams.model import RESPONSE_ONLY, Invalid, Key, Problem, Record
from bulkstreams.schema.decoding import decode
from bulkstreams.schema.definition import EVENT_TYPES, check
from bulkstreams.schema.placeholders import check_texts
from bulkstreams.schema.problems import MOST_PROBLEMS, join, nearest, show, translate, type_name

RULES_VERSION: Final = 2
"""Raised whenever a line could be judged otherwise than before, so that unchanged inputs are read anew."""

MAX_KEY: Final = 512
"""Characters of a key, or of a tenant."""

_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_CATALOGUE: Final = tuple(sorted(EVENT_TYPES))
_ENVELOPE: Final = ("stream", "tenant", "key")
_SET_BY_API: Final = frozenset(RESPONSE_ONLY)


@dataclass(frozen=True, slots=True)
class Rules:
    """What the user relaxed."""

    allow_unknown_events: bool = False


class _Envelope(NamedTuple):
    """What stands around a definition, and what is wrong with it."""

    tenant: str | None = None
    key: str | None = None
    problems: tuple[Problem, ...] = ()

    def key_beside(self, name: str | None) -> Key | None:
        """Return the record's key: the caller's own, else the name; none where another may have been meant."""
        text = name if self.key is None else self.key
        return None if text is None or self.problems else Key(text)


_BARE: Final = _Envelope()


def read_line(data: bytes, rules: Rules, unresolvable: Callable[[Reference], str | None]) -> Record | Invalid:
    """Validate one line; `unresolvable` says why a reference cannot be resolved, or None where it can."""
    decoded = decode(data)
    if isinstance(decoded, Problem):
        return Invalid(problems=(decoded,))
    envelope, definition = _BARE, decoded
    if "stream" in decoded:
        envelope, definition = _open(decoded), decoded["stream"]
        if not isinstance(definition, dict):
            wrong = Problem(path="stream", message=f"must be an object (got {type_name(definition)})")
            return Invalid(problems=(*envelope.problems, wrong), tenant=envelope.tenant, key=envelope.key_beside(None))
    notes = drop_response_only(definition)
    problems = _check_shape(definition)
    action = None
    if b"\\" in data or b"$" in data or b"#" in data or b"@" in data:  # one sign is found at a glance, two are not
        problems = check_texts(definition, problems, unresolvable)
        action = None if problems else action_named(definition)
    for event in _check_events(definition, rules):
        if event.message.startswith(_UNKNOWN) and rules.allow_unknown_events:
            notes.append(event)
        else:
            problems.append(event)
    name = definition.get("name")
    if problems or envelope.problems:
        name = name if isinstance(name, str) and 0 < len(name) <= MAX_KEY else None
        return Invalid(
            problems=_not_for_ever([*envelope.problems, *problems]),
            tenant=envelope.tenant,
            key=envelope.key_beside(name),
            name=name,
        )
    found = digest(definition)
    key = envelope.key_beside(name)
    if key is None:
        key = Key(f"digest:{blake2b(found, digest_size=16).hexdigest()}")
    return Record(envelope.tenant, key, name, found, tuple(notes), action)


def _open(decoded: Mapping[str, Any]) -> _Envelope:
    """Read what stands around a definition."""
    problems = [
        Problem(
            path=join([name]), message=f"unknown property{nearest(name, _ENVELOPE)}; allowed: {', '.join(_ENVELOPE)}"
        )
        for name in islice((name for name in decoded if name not in _ENVELOPE), MOST_PROBLEMS + 1)
    ]
    found: dict[str, str] = {}
    for field in ("tenant", "key"):
        if field in decoded:
            value = decoded[field]
            wrong = _wrong_with_text(value)
            if wrong:
                problems.append(Problem(path=field, message=wrong))
            else:
                found[field] = value
    return _Envelope(found.get("tenant"), found.get("key"), tuple(problems))


def _wrong_with_text(value: object) -> str | None:
    if not isinstance(value, str):
        return f"must be a string (got {type_name(value)})"
    if not value:
        return 'must not be empty (got "")'
    if len(value) > MAX_KEY:
        return f"must be at most {MAX_KEY} characters long (got {len(value)})"
    return "must not contain control characters" if _CONTROL.search(value) else None


def drop_response_only(definition: dict[str, Any]) -> list[Problem]:
    """Take out what the API returns and does not accept, so that an export is valid input."""
    dropped = []
    if not _SET_BY_API.isdisjoint(definition):
        dropped = [field for field in RESPONSE_ONLY if field in definition]
        for field in dropped:
            del definition[field]
    destination = definition.get("destination")
    if isinstance(destination, dict) and destination.get("type") == "eventbridge":
        configuration = destination.get("configuration")
        if isinstance(configuration, dict) and "aws_partner_event_source" in configuration:
            del configuration["aws_partner_event_source"]
            dropped.append("destination.configuration.aws_partner_event_source")
    return [Problem(path=field, message="is set by the API; left out") for field in dropped] if dropped else []


def action_named(definition: Mapping[str, Any]) -> str | None:
    """Return the name of the action that a valid definition refers to, or None."""
    destination = definition["destination"]
    return parse_action(destination["configuration"]["action_id"]) if destination["type"] == "action" else None


def _check_shape(definition: Mapping[str, Any]) -> list[Problem]:
    try:
        check(definition)
    except ValidationError as error:
        return [translate(details) for details in islice(error.errors(include_url=False), MOST_PROBLEMS + 1)]
    return []


_UNKNOWN: Final = "unknown event type"


def _check_events(definition: Mapping[str, Any], rules: Rules) -> Iterable[Problem]:
    """Find event types that are not in the catalogue, or that are subscribed to twice."""
    subscriptions = definition.get("subscriptions")
    if not isinstance(subscriptions, list):
        return ()
    events = [one.get("event_type") if isinstance(one, dict) else None for one in subscriptions]
    texts = {event for event in events if isinstance(event, str)}
    if len(texts) == len(events) and texts <= EVENT_TYPES:
        return ()
    return islice(_wrong_events(events, rules), MOST_PROBLEMS + 1)


def _wrong_events(events: Sequence[object], rules: Rules) -> Iterator[Problem]:
    seen: set[str] = set()
    remedy = "is not checked" if rules.allow_unknown_events else "--allow-unknown-events lets it by"
    for i, event in enumerate(events):
        if not isinstance(event, str) or not event:
            continue
        path = f"subscriptions[{i}].event_type"
        if event not in EVENT_TYPES:
            known = nearest(event, _CATALOGUE)
            yield Problem(path=path, message=f"{_UNKNOWN} {show(event)}{known}; {remedy}")
        if event in seen:
            yield Problem(path=path, message=f"{show(event)} is subscribed to twice")
        seen.add(event)


def _not_for_ever(problems: Sequence[Problem]) -> tuple[Problem, ...]:
    if len(problems) <= MOST_PROBLEMS:
        return tuple(problems)
    more = Problem(path="", message=f"has more than {MOST_PROBLEMS} problems; these are the first")
    return (*problems[:MOST_PROBLEMS], more)
