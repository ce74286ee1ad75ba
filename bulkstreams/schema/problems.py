"""pydantic's findings → sentences that name the place, what was found, and what is allowed.

What was found is shown only where it cannot be a secret: never a value from inside `webhook_authorization`, never the
value of a property that has no business there, never more of an endpoint than its scheme.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from functools import lru_cache
from typing import Any, Final

from pydantic_core import ErrorDetails

from bulkstreams.model import Problem
from bulkstreams.schema.definition import METHODS, PROPERTIES, REGIONS, STATUSES, TYPES

_TAGS: Final = frozenset({*TYPES, *METHODS})
_TAGGED: Final = frozenset({"destination", "webhook_authorization"})
_OF_ENVELOPE: Final = frozenset({"tenant", "key"})
_JSON_TYPES: Final = {
    dict: "an object", list: "an array", str: "a string", bool: "true or false", int: "a number", float: "a number",
    type(None): "null",
}  # fmt: skip
SHOWN: Final = 60  # characters of a value that an error shows

MOST_PROBLEMS: Final = 100
"""Problems of one line that are told: a megabyte of nonsense must not become ten."""


def type_name(value: object) -> str:
    """Return the JSON name of a value's type."""
    return _JSON_TYPES.get(type(value), "something else")


def show(value: object) -> str:
    """Return a value as JSON, shortened; what would garble a terminal is escaped."""
    if isinstance(value, str):
        text = "".join(_legible(c) for c in json.dumps(value[:SHOWN], ensure_ascii=False)[1:-1])
        return f'"{text}"' if len(text) <= SHOWN and len(value) <= SHOWN else f'"{text[:SHOWN]}…"'
    text = json.dumps(value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}…"


def _legible(character: str) -> str:
    return character if character.isprintable() else f"\\u{ord(character):04x}"


@lru_cache(maxsize=512)
def nearest(word: str, words: Sequence[str], most: int = 1) -> str:
    """Return ` (did you mean "…"?)` where one of `words` is near, or up to `most` of them are, else nothing."""
    close = get_close_matches(word, words, n=most, cutoff=0.6) if len(word) <= SHOWN else []
    return f" (did you mean {' or '.join(map(show, close))}?)" if close else ""


def translate(details: ErrorDetails) -> Problem:
    """Word one finding of pydantic."""
    place = _place(details["loc"])
    kind, value = details["type"], details["input"]
    if kind in {"union_tag_invalid", "union_tag_not_found"}:
        return _tag(place, value)
    word = _WORDS.get(kind)
    secret = "webhook_authorization" in place
    return Problem(path=join(place), message=word(details, value, secret) if word else "is not allowed here")


def join(place: Sequence[str | int]) -> str:
    """Return a JSON path as people write it: `subscriptions[1].event_type`."""
    text = ""
    for step in place:
        if isinstance(step, int) or not step.isidentifier() or len(step) > SHOWN:
            text += f"[{show(step)}]"
        else:
            text += f".{step}" if text else step
    return text


def _place(loc: Sequence[str | int]) -> list[str | int]:
    """Drop the tags of unions from a location: one stands behind `destination` and `webhook_authorization` each."""
    place: list[str | int] = []
    tagged = False
    for step in loc:
        if tagged and step in _TAGS:
            tagged = False
            continue
        place.append(step)
        tagged = step in _TAGGED
    return place


def _found(value: object, secret: bool, words: Sequence[str] = ()) -> str:
    """Say what was found: its type alone where it may be, or hold, a secret; and the word that was meant, if any."""
    near = nearest(value, words) if isinstance(value, str) else ""
    shown = type_name(value) if secret or isinstance(value, dict | list) else show(value)
    return f"(got {shown}{f'; {near[2:-1]}' if near else ''})"


def _extra(details: ErrorDetails, _value: object, _secret: bool) -> str:
    *parents, name = details["loc"]
    known = PROPERTIES.get(_shape(parents), ())
    if not parents and name in _OF_ENVELOPE:
        return f'belongs beside a definition, not in it: {{"stream": {{…}}, "{name}": "…"}}'
    return f"unknown property{nearest(str(name), known)}; allowed: {', '.join(known)}"


def _shape(parents: Sequence[str | int]) -> tuple[str, ...]:
    """Return the key of PROPERTIES for the object at a location: the unions' tags, and no tag for their own object."""
    if len(parents) == 2 and parents[0] == "destination":
        return ("destination",)
    return tuple(step for step in parents if isinstance(step, str) and step in {"subscriptions", "destination", *_TAGS})


def _missing(_details: ErrorDetails, _value: object, _secret: bool) -> str:
    return "is required and missing"


def _type(expected: str) -> _Word:
    # What stands where an object belongs may be an endpoint with a password in it, or a token.
    whole = expected != "a string"
    return lambda _details, value, secret: f"must be {expected} {_found(value, secret or whole)}"


def _short(_details: ErrorDetails, _value: object, _secret: bool) -> str:
    return 'must not be empty (got "")'


def _long(details: ErrorDetails, value: object, _secret: bool) -> str:
    most = details.get("ctx", {}).get("max_length", 0)
    return f"must be at most {most} characters long (got {len(str(value))})"


def _few(_details: ErrorDetails, _value: object, _secret: bool) -> str:
    return "must have at least 1 item (got none); leave it out, or name an event type"


_NO_CONTROL: Final = "must not contain control characters such as line breaks"
_PATTERNS: Final = {
    "username": "must not contain a colon or a control character",
    "header_key": "must be a header name: letters, digits and !#$%&'*+.^_`|~- (RFC 7230)",
    "password": _NO_CONTROL,
    "token": _NO_CONTROL,
    "header_value": _NO_CONTROL,
    "aws_account_id": "must be 12 digits",
}


def _pattern(details: ErrorDetails, value: object, secret: bool) -> str:
    field = str(details["loc"][-1])
    if field == "webhook_endpoint":
        return _endpoint(str(value))
    text = _PATTERNS[field]
    return text if secret else f"{text} {_found(value, secret)}"


def _endpoint(value: str) -> str:
    """Say what is wrong with an endpoint and show no more of it than its scheme: the rest may hold a password."""
    if value.startswith("https://"):
        return "must be a whole URL: https:// and a host, with no space or control character"
    scheme, colon, _ = value.partition("://")
    known = colon and scheme.isalpha() and len(scheme) <= 6
    return "must start with https://" + (f' (got "{scheme}://…")' if known else "")


def _choice(details: ErrorDetails, value: object, _secret: bool) -> str:
    if details["loc"][-1] == "aws_region":
        return f"must be an AWS region {_found(value, False, REGIONS)}"
    return f"must be {_either(STATUSES)} {_found(value, False)}"


def _either(words: Sequence[str]) -> str:
    quoted = [f'"{word}"' for word in words]
    return f"{', '.join(quoted[:-1])} or {quoted[-1]}"


def _tag(place: Sequence[str | int], value: Any) -> Problem:
    """Word what is wrong with the property that says which kind of object this is."""
    inside = place[-1] == "webhook_authorization"
    field, words = ("method", METHODS) if inside else ("type", TYPES)
    path = join([*place, field])
    if field not in value:
        return Problem(path=path, message=f"is required and missing; it must be {_either(words)}")
    # A method is no secret, but people do put a token where its kind belongs.
    return Problem(path=path, message=f"must be {_either(words)} {_found(value[field], inside, words)}")


_Word = Callable[[ErrorDetails, Any, bool], str]
_WORDS: Final[dict[str, _Word]] = {
    "extra_forbidden": _extra,
    "missing": _missing,
    "string_type": _type("a string"),
    "list_type": _type("an array"),
    "model_attributes_type": _type("an object"),
    "dict_type": _type("an object"),
    "string_too_short": _short,
    "string_too_long": _long,
    "too_short": _few,
    "string_pattern_mismatch": _pattern,
    "literal_error": _choice,
}
