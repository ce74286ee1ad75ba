"""In what a definition and a stream as the API shows it differ, field by field, for people to read.

Two things are equal to `matching.digest` exactly where there is no difference here. Secrets take no part, and neither
do they show: not the write-only properties, not the user and password within an endpoint.
This module must never see a socket, nor let a secret value into what it returns.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, Final

from bulkstreams.core.matching import DEFAULT_STATUS, PARTS, PASSED_OVER, USER, differing, digest
from bulkstreams.core.references import ACTION_ID, parse_action

SHOWN: Final = 120
"""Characters of a value that a line shows."""

_MASKED: Final = "//***@"
_KNOWN: Final[Mapping[str, tuple[tuple[str, ...], ...]]] = {
    "webhook": (
        ("webhook_endpoint",),
        ("webhook_authorization", "method"),
        ("webhook_authorization", "username"),
        ("webhook_authorization", "header_key"),
    ),
    "eventbridge": (("aws_account_id",), ("aws_region",)),
    "action": (("action_id",),),
}
"""What counts in the configuration of the destinations that we know, as in `matching`; all counts in another's."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One property (a JSON path) in which a line and a live stream differ; None: there is none on that side.

    Of subscriptions, both sides are the sorted event types.
    """

    path: str
    wanted: Any
    found: Any

    def __str__(self) -> str:
        return self.words("at the tenant")

    def words(self, where: str) -> str:
        """Say it to a person; `where`: at what place the other one is."""
        if self.path == "subscriptions":
            return f"subscriptions: {_events(self.wanted, self.found, where)}"
        return f"{self.path}: {_show(self.wanted)} here, {_show(self.found)} {where}"


def differences(wanted: Mapping[str, Any], found: Mapping[str, Any]) -> tuple[Difference, ...]:
    """Return in what a definition and a stream as the API shows it differ, in the order of a definition's properties.

    The order of subscriptions and of keys does not count, an absent status is `enabled`, and what only the API sets is
    passed over. Both must be such that `digest` takes them.
    """
    parts = differing(digest(wanted), digest(found))
    return tuple(chain.from_iterable(_part(part, wanted.get(part), found.get(part)) for part in parts))


def by_name(wanted: Mapping[str, Any], found: Mapping[str, Any], names: Mapping[str, str]) -> Mapping[str, Any]:
    """Return what a tenant shows with its action's name in place of the id, where the line has it so.

    `names` are the names of the tenant's actions by their ids.
    """
    here, there = _at(wanted, ACTION_ID), _at(found, ACTION_ID)
    if not isinstance(here, str) or parse_action(here) is None or not isinstance(there, str) or there not in names:
        return found
    return _with_action(found, f"${{action:{names[there]}}}")


def by_id(wanted: Mapping[str, Any], names: Mapping[str, str]) -> Mapping[str, Any]:
    """Return a definition as its stream will be shown: with its action's id in place of the name.

    `names` as for `by_name`.
    """
    here = _at(wanted, ACTION_ID)
    name = parse_action(here) if isinstance(here, str) else None
    id_ = None if name is None else next((id_ for id_, one in names.items() if one == name), None)
    return wanted if id_ is None else _with_action(wanted, id_)


def _with_action(stream: Mapping[str, Any], action: str) -> Mapping[str, Any]:
    destination = stream["destination"]
    configuration = {**destination["configuration"], ACTION_ID[-1]: action}
    return {**stream, "destination": {**destination, "configuration": configuration}}


def kept(stream: Mapping[str, Any]) -> dict[str, Any]:
    """Return what of a stream takes part in comparing, fit to be kept in a file: without the users of its endpoints."""
    return {part: _bare(stream[part]) for part in PARTS if part in stream}


def _part(part: str, wanted: object, found: object) -> Sequence[Difference]:
    """Return in what two parts that are not the same differ; where no property can be named, the part itself does."""
    return [*_PARTS[part](wanted, found)] or [Difference(part, _bare(wanted), _bare(found))]


def _name(wanted: object, found: object) -> Iterator[Difference]:
    yield Difference("name", wanted, found)


def _subscriptions(wanted: Any, found: Any) -> Iterator[Difference]:
    yield Difference("subscriptions", _types(wanted), _types(found))


def _types(subscriptions: Any) -> list[str]:
    return sorted(str(one.get("event_type")) for one in subscriptions or ())


def _status(wanted: object, found: object) -> Iterator[Difference]:
    yield Difference("status", wanted or DEFAULT_STATUS, found or DEFAULT_STATUS)


def _destination(wanted: object, found: object) -> Iterator[Difference]:
    """Yield in what two destinations differ: of different types, only that, for nothing else can be compared."""
    kind = _kind(wanted)
    if kind is not None and kind == _kind(found):
        yield from _configurations(kind, wanted, found)
    elif isinstance(wanted, dict) and isinstance(found, dict) and wanted.get("type") != found.get("type"):
        yield Difference("destination.type", _bare(wanted.get("type")), _bare(found.get("type")))
    else:
        yield from _all("destination", _bare(wanted), _bare(found))


def _kind(destination: object) -> str | None:
    """Return the type of a destination that we know and that is whole; else None."""
    if not isinstance(destination, dict) or not isinstance(destination.get("configuration"), dict):
        return None
    kind = str(destination.get("type"))
    return kind if kind in _KNOWN else None


def _configurations(kind: str, wanted: Any, found: Any) -> Iterator[Difference]:
    for path in _KNOWN[kind]:
        one, other = (_at(side["configuration"], path) for side in (wanted, found))
        if _bare(one) != _bare(other):
            yield Difference(".".join(("destination", "configuration", *path)), _masked(one), _masked(other))


def _at(value: Any, path: tuple[str, ...]) -> object:
    for step in path:
        value = value.get(step) if isinstance(value, dict) else None
    return None if value == "" else value  # to the API, an empty user name is none


def _all(path: str, wanted: object, found: object) -> Iterator[Difference]:
    """Yield the innermost properties in which two values without secrets differ."""
    if isinstance(wanted, dict) and isinstance(found, dict):
        for name in dict.fromkeys((*wanted, *found)):
            yield from _all(f"{path}.{name}", wanted.get(name), found.get(name))
    elif _text(wanted) != _text(found):
        yield Difference(path, wanted, found)


def _text(value: object) -> str:
    return json.dumps(value, sort_keys=True)


_PARTS: Final = {"name": _name, "subscriptions": _subscriptions, "destination": _destination, "status": _status}


# -- what may be seen -------------------------------------------------------------------------------------------------


def _bare(value: object) -> object:
    """Return a value without what only one side shows, at any depth, and without the users of endpoints."""
    if isinstance(value, dict):
        return {name: _bare(one) for name, one in value.items() if name not in PASSED_OVER}
    if isinstance(value, list):
        return [_bare(one) for one in value]
    return USER.sub("//", value) if isinstance(value, str) else value


def _masked(value: object) -> object:
    return USER.sub(_MASKED, value) if isinstance(value, str) else _bare(value)


def _events(wanted: list[str], found: list[str], place: str) -> str:
    """Say which event types stand on one side alone."""
    here, there = Counter(wanted), Counter(found)
    sides = ((here - there, "only here"), (there - here, f"only {place}"))
    return "; ".join(f"{', '.join(map(_show, sorted(more.elements())))} {where}" for more, where in sides if more)


def _show(value: object) -> str:
    """Return a value as JSON, shortened; what would garble a terminal is escaped."""
    if value is None:
        return "nothing"
    text = json.dumps(value, ensure_ascii=False, sort_keys=True)
    text = "".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in text[: SHOWN + 1])
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}…"
