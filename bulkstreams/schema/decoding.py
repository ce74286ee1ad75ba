"""The bytes of a line → a JSON object, strictly, or why they are none.

This module must never show any of a line but the name of a property: what is no JSON may hold a secret anywhere.
"""

from __future__ import annotations

import json
from math import isinf
from typing import Any, Final

import orjson

from bulkstreams.model import Problem
from bulkstreams.schema.problems import show, type_name


def decode(data: bytes) -> dict[str, Any] | Problem:
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
