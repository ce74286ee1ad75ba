"""A stream as the API shows it → the definition that makes another like it; and which streams are wanted at all.

The API shows no secret: in the place of each stands a reference. This module must never pass on a value that stands
where a secret belongs, whoever put it there, nor anything that a create would be refused for.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, Final

from bulkstreams.core.matching import DEFAULT_STATUS
from bulkstreams.core.references import Reference, write_action
from bulkstreams.model import RESPONSE_ONLY, SECRET_FIELDS

STREAM: Final = ("name", "subscriptions", "destination", "status")
"""The properties of a stream that a create takes, in the order in which they are written."""

DESTINATIONS: Final[Mapping[str, tuple[str, ...]]] = {
    "webhook": ("webhook_endpoint", "webhook_authorization"),
    "eventbridge": ("aws_account_id", "aws_region"),
    "action": ("action_id",),
}
"""The properties of each type's configuration."""

METHODS: Final[Mapping[str, tuple[str, ...]]] = {
    "basic": ("method", "username", "password"),
    "bearer": ("method", "token"),
    "custom_header": ("method", "header_key", "header_value"),
}
"""The properties of each way in which a webhook says who it is; the last one is the secret."""

_SET_BY_API: Final = frozenset({*RESPONSE_ONLY, "aws_partner_event_source"})
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_CONFIGURATION: Final = "destination.configuration"
_SHOWN: Final = 60  # characters of an unknown property's name that are shown
_KEY: Final = 500  # characters of a key, so that a number has room behind it


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """What became of one stream: the definition, and what a person should know of it.

    `secrets` are the names of the variables that it refers to, `left_out` the JSON paths of properties that a create
    does not take. `action_id` is set where an action could not be referred to by its name.
    """

    definition: dict[str, Any]
    secrets: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    action_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which streams are exported: of several names any may match, and so for types and statuses; none: all are."""

    names: tuple[str, ...] = ()
    types: frozenset[str] = frozenset()
    statuses: frozenset[str] = frozenset()

    def takes(self, shown: Mapping[str, Any]) -> bool:
        """Return whether a stream is wanted; one without a name has the empty name, which `*` matches."""
        name = shown.get("name") or ""
        if self.names and not any(fnmatchcase(str(name), pattern) for pattern in self.names):
            return False
        if self.types and _word(shown.get("destination"), "type") not in self.types:
            return False
        return not self.statuses or str(shown.get("status") or DEFAULT_STATUS) in self.statuses


EVERYTHING: Final = Wanted()


def is_action(shown: Mapping[str, Any]) -> bool:
    """Return whether a stream is delivered to an action."""
    return _word(shown.get("destination"), "type") == "action"


def export(
    shown: Mapping[str, Any], secret: Callable[[str], str], action: Callable[[str], str | None] = lambda _: None
) -> Exported:
    """Return the definition of a stream that the API shows.

    `secret` names the variable for a secret's field; `action` returns the name of an action's id, None where it has
    none that is its own. What is not known to a create is left out, except where a whole destination is of an unknown
    kind: that is passed on, for a newer version to read.
    """
    left_out: list[str] = []
    found = _known(shown, STREAM, "", left_out)
    subscriptions = found.pop("subscriptions", None)
    status = found.pop("status", DEFAULT_STATUS)
    destination = found.pop("destination", None)
    if isinstance(subscriptions, list) and subscriptions:  # none are shown as an empty list, which no create may have
        found["subscriptions"] = [_subscription(one, i, left_out) for i, one in enumerate(subscriptions)]
    secrets: tuple[str, ...] = ()
    kept: str | None = None
    if destination is not None:
        found["destination"] = destination = _destination(destination, left_out)
        secrets = _authorize(destination, secret, left_out)
        kept = _refer(destination, action)
    found["status"] = status
    references = frozenset(str(Reference("env", name)) for name in secrets)
    definition = {name: _without_secrets(one, references) for name, one in found.items()}
    return Exported(definition=definition, secrets=secrets, left_out=tuple(left_out), action_id=kept)


def _subscription(one: object, index: int, left_out: list[str]) -> object:
    return _known(one, ("event_type",), f"subscriptions[{index}]", left_out) if isinstance(one, dict) else one


def _destination(shown: object, left_out: list[str]) -> Any:
    """Return a destination without what the API alone sets, and without secrets."""
    kind = _word(shown, "type")
    if kind not in DESTINATIONS or not isinstance(shown, dict):
        return _without_secrets(shown)
    found = _known(shown, ("type", "configuration"), "destination", left_out)
    if isinstance(found.get("configuration"), dict):
        found["configuration"] = _known(found["configuration"], DESTINATIONS[kind], _CONFIGURATION, left_out)
    return found


def _without_secrets(value: object, references: frozenset[str] = frozenset()) -> object:
    """Return a value without what stands where secrets belong, at any depth, except for our own `references`."""
    if isinstance(value, dict):
        return {
            name: _without_secrets(one, references)
            for name, one in value.items()
            if name not in SECRET_FIELDS or (isinstance(one, str) and one in references)
        }
    return [_without_secrets(one, references) for one in value] if isinstance(value, list) else value


def _authorize(destination: object, secret: Callable[[str], str], left_out: list[str]) -> tuple[str, ...]:
    """Put a reference where the secret belongs; return the name that it refers to."""
    configuration = _configuration(destination, "webhook")
    shown = configuration.get("webhook_authorization")
    method = _word(shown, "method")
    if not isinstance(shown, dict) or method not in METHODS:
        if shown is not None:
            configuration["webhook_authorization"] = _without_secrets(shown)
        return ()
    known = METHODS[method]
    name = secret(known[-1])
    found = _known(shown, known, f"{_CONFIGURATION}.webhook_authorization", left_out)
    configuration["webhook_authorization"] = found | {known[-1]: str(Reference("env", name))}
    return (name,)


def _refer(destination: object, action: Callable[[str], str | None]) -> str | None:
    """Refer to an action by its name; return its id where that cannot be done."""
    configuration = _configuration(destination, "action")
    id_ = configuration.get("action_id")
    if not isinstance(id_, str):
        return None
    name = action(id_)
    reference = None if name is None else write_action(name)
    if reference is None:
        return id_
    configuration["action_id"] = reference
    return None


def _configuration(destination: object, kind: str) -> dict[str, Any]:
    """Return the configuration of a destination of a kind, to be changed in place; an empty one for any other."""
    if isinstance(destination, dict) and destination.get("type") == kind:
        found = destination.get("configuration")
        return found if isinstance(found, dict) else {}
    return {}


def _word(value: object, name: str) -> str:
    found = value.get(name) if isinstance(value, dict) else None
    return found if isinstance(found, str) else ""


def _known(value: Mapping[str, Any], known: Sequence[str], place: str, left_out: list[str]) -> dict[str, Any]:
    """Return the known properties that have a value, in their order; note those that nobody knows."""
    left_out.extend(_path(place, one) for one in value if one not in known and one not in _SET_BY_API)
    return {one: value[one] for one in known if value.get(one) is not None}


def _path(place: str, name: str) -> str:
    if name.isascii() and name.isidentifier() and len(name) <= _SHOWN:
        return f"{place}.{name}" if place else name
    return f"{place}[{json.dumps(name[:_SHOWN])}]"


class Keys:
    """The keys of one tenant's lines, so that no line passes for the repetition of another."""

    def __init__(self) -> None:
        self._taken: set[str] = set()
        self._counts: dict[str, int] = {}

    def give(self, own: str) -> str | None:
        """Return the key that a line needs, since another has its `own`; None where that will do.

        `own` is the key that a line has by itself: its name, or without one a digest. The same streams in the same
        order are given the same keys.
        """
        if own not in self._taken:
            self._taken.add(own)
            return None
        stem, count = _CONTROL.sub(" ", own[:_KEY]), self._counts.get(own, 1)
        while True:
            count += 1
            key = f"{stem} ({count})"
            if key not in self._taken:
                break
        self._counts[own] = count
        self._taken.add(key)
        return key


def line(definition: Mapping[str, Any], tenant: str | None, key: str | None) -> Mapping[str, Any]:
    """Return what stands on a line: the definition, within an envelope where there is something to say of it."""
    beside = {"tenant": tenant, "key": key}
    said = {name: value for name, value in beside.items() if value is not None}
    return {"stream": definition, **said} if said else definition
