"""A line → a record, or all that is wrong with it; and the same line again → the exact body to send.

No byte sequence makes these raise, and no secret value gets into what they say, or into a digest.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Final, cast

import orjson
from pydantic import ValidationError

from bulkstreams.core.matching import digest
from bulkstreams.core.references import Reference, left_over, parse_reference
from bulkstreams.model import RESPONSE_ONLY, SECRET_FIELDS, Invalid, Key, Prepared, Problem, Record
from bulkstreams.schema.definition import DEFINITION, EVENT_TYPES
from bulkstreams.schema.problems import join, nearest, show, translate, type_name

RULES_VERSION: Final = 1
"""Raised whenever a line could be judged otherwise than before, so that unchanged inputs are read anew."""

MAX_KEY: Final = 512
_ENVELOPE: Final = ("stream", "tenant", "key")


@dataclass(frozen=True, slots=True)
class Rules:
    """What the user relaxed."""

    allow_unknown_events: bool = False


def read_line(data: bytes, rules: Rules, unresolvable: Callable[[Reference], str | None]) -> Record | Invalid:
    """Validate one line; `unresolvable` says why a reference cannot be resolved, or None where it can."""
    decoded = _decode(data)
    if isinstance(decoded, Problem):
        return Invalid(problems=(decoded,))
    tenant: str | None = None
    key: str | None = None
    problems: list[Problem] = []
    definition = decoded
    if "stream" in decoded:
        tenant, key, problems = _envelope(decoded)
        definition = decoded["stream"]
        if not isinstance(definition, dict):
            problems.append(Problem(path="stream", message=f"must be an object (got {type_name(definition)})"))
            return Invalid(problems=tuple(problems), tenant=tenant, key=_key(key, None), name=None)
    notes = _drop_response_only(definition)
    try:
        DEFINITION.validate_python(definition)
    except ValidationError as error:
        problems += map(translate, error.errors(include_url=False))
    problems += _check_texts(definition, unresolvable)
    events = _check_events(definition)
    if rules.allow_unknown_events:
        notes = [*notes, *(event for event in events if event.message.startswith("unknown"))]
        events = [event for event in events if not event.message.startswith("unknown")]
    problems += events
    name = definition.get("name")
    name = name if isinstance(name, str) and name else None
    if problems:
        return Invalid(problems=tuple(problems), tenant=tenant, key=_key(key, name), name=name)
    found = digest(definition)
    return Record(
        tenant,
        _key(key, name) or Key(f"digest:{blake2b(found, digest_size=16).hexdigest()}"),
        name,
        found,
        tuple(notes),
    )


def prepare(data: bytes, resolve: Callable[[Reference], str]) -> Prepared | None:
    """Return the body to POST for a line that `read_line` accepted; None where it cannot be that line.

    What `resolve` raises for a reference goes through.
    """
    try:
        decoded = orjson.loads(data)
    except ValueError:
        return None
    definition = decoded.get("stream", decoded) if isinstance(decoded, dict) else None
    if not isinstance(definition, dict):
        return None
    for unsent in RESPONSE_ONLY:
        definition.pop(unsent, None)
    secrets: tuple[str, ...] = ()
    try:
        found = digest(definition)
        destination = definition["destination"]
        configuration = destination["configuration"]
        if destination["type"] == "webhook":
            secrets = (_resolve(configuration["webhook_authorization"], resolve),)
        else:
            configuration.pop("aws_partner_event_source", None)
    except (AttributeError, KeyError, TypeError):
        return None
    return Prepared(orjson.dumps(definition), found, secrets)


def _resolve(authorization: dict[str, Any], resolve: Callable[[Reference], str]) -> str:
    for field in SECRET_FIELDS:
        value = authorization.get(field)
        if value is not None:
            reference = parse_reference(value)
            if reference is not None:
                value = authorization[field] = resolve(reference)
            return cast("str", value)
    raise KeyError


def _decode(data: bytes) -> dict[str, Any] | Problem:
    """Decode one line strictly; the usual line costs no more than orjson's own work."""
    try:
        decoded = orjson.loads(data)
    except ValueError as error:
        return Problem(path="", message=_why_not_json(data, str(error)))
    if not isinstance(decoded, dict):
        return Problem(path="", message=f"must be a JSON object (got {type_name(decoded)})")
    # JSON strings hold two quotes each and, without a backslash, no more. A key given twice survives only once, so the
    # line then has more quotes than what was read of it.
    if b"\\" in data or data.count(b'"') != orjson.dumps(decoded).count(b'"'):
        twice = _key_given_twice(data)
        if twice is not None:
            return Problem(path="", message=f"the property {show(twice)} is given twice in one object")
    return decoded


def _key_given_twice(data: bytes) -> str | None:
    twice: list[str] = []

    def note(pairs: list[tuple[str, Any]]) -> None:
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                twice.append(key)
            seen.add(key)

    json.loads(data, object_pairs_hook=note)
    return twice[0] if twice else None


def _why_not_json(data: bytes, error: str) -> str:
    """Say why a line is no JSON without showing any of it."""
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as wrong:
        return f"is not UTF-8 text: a wrong byte at position {wrong.start + 1}"
    try:
        json.loads(data)
    except RecursionError:
        return "is nested too deeply"
    except json.JSONDecodeError as wrong:
        return f"is not JSON: {wrong.msg[0].lower()}{wrong.msg[1:]} at column {wrong.colno}"
    except ValueError:
        return "is not JSON: a number is too large"
    if "recursion" in error:
        return "is nested too deeply"
    if "surrogate" in error:
        return "is not JSON: half of a surrogate pair (\\uD800–\\uDFFF) stands alone"
    return "is not JSON: NaN, Infinity and -Infinity are no JSON values"


def _envelope(decoded: Mapping[str, Any]) -> tuple[str | None, str | None, list[Problem]]:
    problems = [
        Problem(path=key, message=f"unknown property{nearest(key, _ENVELOPE)}; allowed: {', '.join(_ENVELOPE)}")
        for key in decoded
        if key not in _ENVELOPE
    ]
    found: dict[str, str | None] = {"tenant": None, "key": None}
    for field in found:
        value = decoded.get(field)
        if field not in decoded:
            continue
        if not isinstance(value, str) or not value:
            problems.append(Problem(path=field, message=f"must be a string that is not empty (got {type_name(value)})"))
        elif len(value) > MAX_KEY or not value.isprintable():
            problems.append(
                Problem(path=field, message=f"must be at most {MAX_KEY} characters, none a control character")
            )
        else:
            found[field] = value
    return found["tenant"], found["key"], problems


def _key(key: str | None, name: str | None) -> Key | None:
    text = key if key is not None else name
    return None if text is None else Key(text)


def _drop_response_only(definition: dict[str, Any]) -> list[Problem]:
    """Take out what the API returns and does not accept, so that an export is valid input."""
    dropped = [field for field in RESPONSE_ONLY if field in definition]
    for field in dropped:
        del definition[field]
    destination = definition.get("destination")
    configuration = destination.get("configuration") if isinstance(destination, dict) else None
    if isinstance(configuration, dict) and configuration.pop("aws_partner_event_source", None) is not None:
        dropped.append("destination.configuration.aws_partner_event_source")
    return [Problem(path=field, message="is set by the API; left out") for field in dropped]


def _check_events(definition: Mapping[str, Any]) -> list[Problem]:
    problems: list[Problem] = []
    subscriptions = definition.get("subscriptions")
    seen: set[str] = set()
    for i, one in enumerate(subscriptions if isinstance(subscriptions, list) else ()):
        event = one.get("event_type") if isinstance(one, dict) else None
        if not isinstance(event, str) or not event:
            continue
        path = f"subscriptions[{i}].event_type"
        if event not in EVENT_TYPES:
            known = nearest(event, sorted(EVENT_TYPES))
            problems.append(
                Problem(
                    path=path, message=f"unknown event type {show(event)}{known}; --allow-unknown-events lets it by"
                )
            )
        if event in seen:
            problems.append(Problem(path=path, message=f"{show(event)} is subscribed to twice"))
        seen.add(event)
    return problems


def _check_texts(definition: Mapping[str, Any], unresolvable: Callable[[Reference], str | None]) -> list[Problem]:
    """Find references that do not resolve or do not belong, and placeholders that nobody replaced."""
    problems: list[Problem] = []
    stack: list[tuple[tuple[str | int, ...], object]] = [((), definition)]
    while stack:
        place, value = stack.pop()
        if isinstance(value, dict):
            stack.extend(((*place, key), inner) for key, inner in value.items())
        elif isinstance(value, list):
            stack.extend(((*place, i), inner) for i, inner in enumerate(value))
        elif isinstance(value, str) and ("${" in value or "##" in value or "@@" in value):
            problem = _check_text(place, value, unresolvable)
            if problem is not None:
                problems.append(problem)
    return problems


def _check_text(
    place: tuple[str | int, ...], value: str, unresolvable: Callable[[Reference], str | None]
) -> Problem | None:
    marker = left_over(value)
    if marker is not None:
        shown = marker if len(marker) <= 60 else f"{marker[:59]}…"
        return Problem(
            path=join(place),
            message=f"holds a placeholder that nobody replaced ({shown}); "
            "a secret may be ${env:NAME} or ${file:PATH}",
        )
    reference = parse_reference(value)
    if reference is None:
        return None
    if place[-1] not in SECRET_FIELDS:
        return Problem(path=join(place), message=f"a reference may stand only for {', '.join(SECRET_FIELDS)}")
    why = unresolvable(reference)
    return None if why is None else Problem(path=join(place), message=why)
