"""pydantic's findings → sentences that name the place, what was found, and what is allowed.

What was found is shown only where it cannot be a secret: never a value from inside `webhook_authorization`, never the
value of a property that has no business there, never more of an endpoint than its scheme.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from typing import Any, Final

from pydantic_core import ErrorDetails

from bulkstreams.model import Problem
from bulkstreams.schema.definition import METHODS, PROPERTIES, REGIONS, STATUSES, TYPES

_TAGS: Final = frozenset({*TYPES, *METHODS})
_JSON_TYPES: Final = {
    dict: "an object", list: "an array", str: "a string", bool: "true or false", int: "a number", float: "a number",
    type(None): "null",
}  # fmt: skip
SHOWN: Final = 60  # characters of a value that an error shows


def type_name(value: object) -> str:
    """Return the JSON name of a value's type."""
    return _JSON_TYPES.get(type(value), "something else")


def show(value: object) -> str:
    """Return a value as JSON, shortened."""
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= SHOWN else f'{text[: SHOWN - 1]}…"'


def nearest(word: str, words: Sequence[str]) -> str:
    """Return ` (did you mean "…"?)` where one of `words` is near, else nothing."""
    close = get_close_matches(word, words, n=1, cutoff=0.6)
    return f' (did you mean "{close[0]}"?)' if close else ""


def translate(details: ErrorDetails) -> Problem:
    """Word one finding of pydantic."""
    place = _place(details["loc"])
    path = join(place)
    kind, value = details["type"], details["input"]
    word = _WORDS.get(kind)
    secret = "webhook_authorization" in place
    return Problem(path=path, message=word(details, value, secret) if word else "is not allowed here")


def join(place: Sequence[str | int]) -> str:
    """Return a JSON path as people write it: `subscriptions[1].event_type`."""
    text = ""
    for step in place:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else str(step)
    return text


def _place(loc: Sequence[str | int]) -> list[str | int]:
    """Drop the tags of unions from a location: they stand behind `destination` and `webhook_authorization`."""
    place: list[str | int] = []
    for step in loc:
        if step in _TAGS and place and place[-1] in {"destination", "webhook_authorization"}:
            continue
        place.append(step)
    return place


def _found(value: object, secret: bool) -> str:
    if secret or isinstance(value, dict | list):
        return f"(got {type_name(value)})"
    return f"(got {show(value)})"


def _extra(details: ErrorDetails, _value: object, _secret: bool) -> str:
    loc = details["loc"]
    tags = tuple(
        step for step in loc[:-1] if isinstance(step, str) and step in {"subscriptions", "destination", *_TAGS}
    )
    if tags[:1] == ("destination",) and len(loc) == 3:
        tags = ("destination",)
    known = PROPERTIES.get(tags, ())
    return f"unknown property{nearest(str(loc[-1]), known)}; allowed: {', '.join(known)}"


def _missing(details: ErrorDetails, _value: object, _secret: bool) -> str:
    return "is required and missing"


def _type(expected: str) -> Callable[[ErrorDetails, object, bool], str]:
    return lambda _details, value, secret: f"must be {expected} {_found(value, secret)}"


def _short(_details: ErrorDetails, _value: object, _secret: bool) -> str:
    return 'must not be empty (got "")'


def _long(details: ErrorDetails, value: object, _secret: bool) -> str:
    most = details.get("ctx", {}).get("max_length", 0)
    return f"must be at most {most} characters long (got {len(str(value))})"


def _few(_details: ErrorDetails, _value: object, _secret: bool) -> str:
    return "must have at least 1 item (got none); leave it out, or name an event type"


_PATTERNS: Final = {
    "username": "must not contain a colon or a control character",
    "header_key": "must be a header name: letters, digits and !#$%&'*+.^_`|~- (RFC 7230)",
    "password": "must not contain control characters such as line breaks",
    "token": "must not contain control characters such as line breaks",
    "header_value": "must not contain control characters such as line breaks",
    "aws_account_id": "must be 12 digits",
}


def _pattern(details: ErrorDetails, value: object, secret: bool) -> str:
    text = _PATTERNS.get(str(details["loc"][-1]), "has characters that are not allowed")
    return text if secret else f"{text} {_found(value, secret)}"


def _choice(details: ErrorDetails, value: object, _secret: bool) -> str:
    field = str(details["loc"][-1])
    if field == "aws_region":
        return f"must be an AWS region{nearest(str(value), REGIONS)} {_found(value, False)}"
    return f"must be {_either(STATUSES)} {_found(value, False)}"


def _tag(words: Sequence[str]) -> str:
    return f"must be {_either(words)}"


def _either(words: Sequence[str]) -> str:
    quoted = [f'"{word}"' for word in words]
    return f"{', '.join(quoted[:-1])} or {quoted[-1]}"


def _union_tag(details: ErrorDetails, value: object, _secret: bool) -> str:
    inside = details["loc"][-1] == "webhook_authorization"
    field, words = ("method", METHODS) if inside else ("type", TYPES)
    if not isinstance(value, dict):
        return f"must be an object {_found(value, inside)}"
    if field not in value:
        return f"{field} is required and missing; it {_tag(words)}"
    found = value[field]
    # A method is no secret, but people do put a token where its kind belongs.
    shown = f' (got "{found}")' if isinstance(found, str) and len(found) <= 20 and not inside else ""
    return f"{field} {_tag(words)}{nearest(str(found), words)}{shown}"


def _scheme(_details: ErrorDetails, value: Any, _secret: bool) -> str:
    scheme, colon, _ = str(value).partition("://")
    shown = f'"{scheme[:12]}://…"' if colon and scheme.isalnum() else "no scheme"
    return f"must start with https:// (got {shown})"


def _url(_details: ErrorDetails, _value: object, _secret: bool) -> str:
    return "must be a whole URL: https://, a host, no spaces or control characters"


_WORDS: Final[dict[str, Callable[[ErrorDetails, Any, bool], str]]] = {
    "extra_forbidden": _extra,
    "missing": _missing,
    "string_type": _type("a string"),
    "list_type": _type("an array"),
    "model_type": _type("an object"),
    "model_attributes_type": _type("an object"),
    "dict_type": _type("an object"),
    "string_too_short": _short,
    "string_too_long": _long,
    "too_short": _few,
    "string_pattern_mismatch": _pattern,
    "literal_error": _choice,
    "union_tag_invalid": _union_tag,
    "union_tag_not_found": _union_tag,
    "endpoint_scheme": _scheme,
    "endpoint_url": _url,
}
