"""A line → a record, or all that is wrong with it; and the same line again → the exact body to send.

No byte sequence makes these raise, and no secret value gets into what they say, or into a digest.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from itertools import islice
from math import isinf
from typing import Any, Final, NamedTuple, cast

import orjson
from pydantic import ValidationError

from bulkstreams.core.matching import digest
from bulkstreams.core.references import ACTION_ID, Reference, left_over, parse_action, parse_reference
from bulkstreams.errors import ActionError
from bulkstreams.model import RESPONSE_ONLY, SECRET_FIELDS, Invalid, Key, Problem, Record
from bulkstreams.schema.definition import EVENT_TYPES, check
from bulkstreams.schema.problems import join, nearest, show, translate, type_name

RULES_VERSION: Final = 2
"""Raised whenever a line could be judged otherwise than before, so that unchanged inputs are read anew."""

MAX_KEY: Final = 512
"""Characters of a key, or of a tenant."""

MOST_PROBLEMS: Final = 100
"""Problems of one line that are told: a megabyte of nonsense must not become ten."""

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
    decoded = _decode(data)
    if isinstance(decoded, Problem):
        return Invalid(problems=(decoded,))
    envelope, definition = _BARE, decoded
    if "stream" in decoded:
        envelope, definition = _open(decoded), decoded["stream"]
        if not isinstance(definition, dict):
            wrong = Problem(path="stream", message=f"must be an object (got {type_name(definition)})")
            return Invalid(problems=(*envelope.problems, wrong), tenant=envelope.tenant, key=envelope.key_beside(None))
    notes = _drop_response_only(definition)
    problems = _check_shape(definition)
    action = None
    if b"\\" in data or b"$" in data or b"#" in data or b"@" in data:  # one sign is found at a glance, two are not
        problems = _check_texts(definition, problems, unresolvable)
        action = None if problems else _action_named(definition)
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


def line_digest(data: bytes) -> bytes | None:
    """Return the digest of the definition in a line, valid or not; None where there is none."""
    try:
        decoded = orjson.loads(data)
        return digest(decoded.get("stream", decoded))
    except (ValueError, AttributeError, TypeError, RecursionError):
        return None


def definition_in(data: bytes) -> dict[str, Any] | None:
    """Return the definition in a line that `read_line` accepted, references as they stand; None: it is no such line."""
    try:
        decoded = orjson.loads(data)
        definition = decoded.get("stream", decoded)
        _drop_response_only(definition)
    except (AttributeError, TypeError, ValueError):
        return None
    return cast("dict[str, Any]", definition)


def action_in(data: bytes) -> str | None:
    """Return the name of the action that a line refers to, or None; of a line that `read_line` accepted."""
    if b"${action:" not in data and b"\\" not in data:
        return None
    try:
        decoded = orjson.loads(data)
        return _action_named(decoded.get("stream", decoded))
    except (AttributeError, KeyError, TypeError, ValueError):
        return None


def _action_named(definition: Mapping[str, Any]) -> str | None:
    destination = definition["destination"]
    return parse_action(destination["configuration"]["action_id"]) if destination["type"] == "action" else None


def not_looked_up(name: str) -> str:
    """Find no action: for lines of a tenant that was not asked for its actions."""
    raise ActionError(f"{join(ACTION_ID)}: the action {show(name)} was not looked up at the tenant")


def prepare(
    data: bytes,
    resolve: Callable[[Reference], str],
    status: str | None = None,
    find_action: Callable[[str], str] = not_looked_up,
) -> bytes | None:
    """Return the body to POST for a line that `read_line` accepted; None where it cannot be such a line.

    A line that holds nothing to take out or to resolve is sent as it is, unless the stream is to have another `status`
    than the line's. `find_action` returns the id of an action at the line's tenant. What it and `resolve` raise goes
    through.
    """
    if not (_may_be_shown(data) or b"$" in data or b'"stream"' in data or status is not None):
        return data
    try:
        decoded = orjson.loads(data)
        definition = decoded.get("stream", decoded)
        _drop_response_only(definition)
        if status is not None:
            definition["status"] = status
        if definition["destination"]["type"] == "webhook":
            _resolve(definition["destination"]["configuration"]["webhook_authorization"], resolve)
        elif (name := _action_named(definition)) is not None:
            definition["destination"]["configuration"]["action_id"] = find_action(name)
        return orjson.dumps(definition)
    except (AttributeError, KeyError, TypeError, ValueError):
        return None


def secrets_in(body: bytes) -> tuple[str, ...]:
    """Return the secret values in a body that `prepare` made, to mask them in what comes back."""
    try:
        authorization = orjson.loads(body)["destination"]["configuration"]["webhook_authorization"]
        return tuple(str(authorization[field]) for field in SECRET_FIELDS if field in authorization)
    except (KeyError, TypeError, ValueError):
        return ()


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
    """Decode one line strictly; the usual line costs little more than orjson's own work."""
    try:
        decoded = orjson.loads(data)
    except ValueError:
        return Problem(path="", message=_why_not_json(data))
    if not isinstance(decoded, dict):
        return Problem(path="", message=f"must be a JSON object (got {type_name(decoded)})")
    try:
        quotes = orjson.dumps(decoded).count(b'"')
    except TypeError:
        return Problem(path="", message=_TOO_DEEP)
    # JSON strings hold two quotes each and, without a backslash, no more. A key given twice survives only once, so the
    # line then has more quotes than what was read of it.
    if data.count(b'"') != quotes or b"\\" in data:
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

    json.loads(data.decode(), object_pairs_hook=note, parse_int=float)  # a long number costs no long arithmetic
    return twice[0] if twice else None


_TOO_DEEP: Final = "is nested too deeply"


class _NoNumberError(ValueError):
    """A number that JSON does not have, or that nothing could hold; carries the sentence."""


def _no_constant(text: str) -> float:
    raise _NoNumberError(f"is not JSON: {text} is no JSON value")


def _finite(text: str) -> float:
    if isinf(float(text)):
        raise _NoNumberError("is not JSON: a number is too large")
    return 0.0


def _why_not_json(data: bytes) -> str:
    """Say why a line is no JSON without showing any of it."""
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as wrong:
        return f"is not UTF-8 text: a wrong byte at position {wrong.start + 1}"
    try:
        decoded = json.loads(text, parse_constant=_no_constant, parse_int=_finite, parse_float=_finite)
        json.dumps(decoded, ensure_ascii=False).encode()
    except json.JSONDecodeError as wrong:
        if text.startswith("\ufeff"):
            return "begins with a byte-order mark, which may stand only at the start of the input"
        words = wrong.msg[0].lower() + wrong.msg[1:].rstrip(": ").removesuffix(" at")
        return f"is not JSON: {words} at column {wrong.colno}"
    except _NoNumberError as wrong:
        return str(wrong)
    except UnicodeEncodeError:
        return "is not JSON: half of a surrogate pair (\\ud800 to \\udfff) stands alone"
    except RecursionError:
        pass
    return _TOO_DEEP


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


def _may_be_shown(data: bytes) -> bool:
    """Return whether a line may hold what only the API sets; most lines hold none of it, and are told at a glance."""
    return b'"id"' in data or b'_at"' in data or b'"aws_partner' in data or b"\\" in data


def _drop_response_only(definition: dict[str, Any]) -> list[Problem]:
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


def _check_texts(
    definition: Mapping[str, Any], problems: list[Problem], unresolvable: Callable[[Reference], str | None]
) -> list[Problem]:
    """Add references that do not resolve or do not belong, and placeholders that nobody replaced.

    Where a text has such a problem, others of the same place only repeat it; and an unknown property is one as it is.
    """
    unknown = {problem.path for problem in problems if problem.message.startswith("unknown property")}
    wrong = (
        problem
        for place, text in _texts((), definition, unknown)
        if (problem := _check_text(place, text, unresolvable)) is not None
    )
    found = list(islice(wrong, MOST_PROBLEMS + 1))
    places = {problem.path for problem in found}
    return [problem for problem in problems if problem.path not in places] + found


def _texts(
    place: tuple[str | int, ...], value: object, unknown: set[str]
) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """Yield every string in a definition with its place, in the order in which they stand."""
    if isinstance(value, str):
        yield place, value
        return
    inner: Iterable[tuple[str | int, object]]
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for step, one in inner:
        if not unknown or join((*place, step)) not in unknown:
            yield from _texts((*place, step), one, unknown)


def _check_text(
    place: tuple[str | int, ...], text: str, unresolvable: Callable[[Reference], str | None]
) -> Problem | None:
    reference = parse_reference(text)
    if reference is None:
        marker = left_over(text, may_name_action=place == ACTION_ID)
        return None if marker is None else Problem(path=join(place), message=_unreplaced(marker, place))
    if place[-1] not in SECRET_FIELDS:
        how = ", as an id or as ${action:NAME}" if place == ACTION_ID else ""
        return Problem(
            path=join(place), message=f"must be written out{how}: only {', '.join(SECRET_FIELDS)} may be a reference"
        )
    why = unresolvable(reference)
    return None if why is None else Problem(path=join(place), message=why)


def _unreplaced(marker: str, place: Sequence[str | int]) -> str:
    remedy = "; allowed: a value, ${env:NAME} or ${file:PATH}" if place[-1] in SECRET_FIELDS else ""
    if place == ACTION_ID:
        remedy = "; allowed: an id, or ${action:NAME}"
    elif parse_action(marker) is not None:
        return f"must be written out: only {join(ACTION_ID)} may be ${{action:NAME}}{remedy}"
    if place[0] != "destination":
        return f"holds a placeholder that nobody replaced ({show(marker)})"
    # What looks like a placeholder may be a piece of a secret, or of a URL's password: here, only its kind is told.
    kind = f"{marker[:2]}…{'}' if marker[0] == '$' else marker[:2]}"
    return f"holds a placeholder that nobody replaced ({kind}){remedy}"


def _not_for_ever(problems: Sequence[Problem]) -> tuple[Problem, ...]:
    if len(problems) <= MOST_PROBLEMS:
        return tuple(problems)
    more = Problem(path="", message=f"has more than {MOST_PROBLEMS} problems; these are the first")
    return (*problems[:MOST_PROBLEMS], more)
