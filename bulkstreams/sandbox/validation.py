"""Checks a JSON value against a schema and words what is wrong as the API does (the manner of z-schema).

A value may be echoed where a pattern or an enumeration is broken, as the real API does; a secret never is, since
the schemas ask of secrets nothing but to be strings, and a wrong type is told by the type alone.
This module must never know the API's rules: they are data, in `schemas`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import Any, Final

from bulkstreams.sandbox.schemas import EVENT_TYPES, Schema

_ALSO: Final = " (also) "
_TYPES: Final[Mapping[type, str]] = {
    dict: "object", list: "array", str: "string", bool: "boolean", int: "integer", float: "number", type(None): "null",
}  # fmt: skip


def body_error(value: object, schema: Schema) -> str | None:
    """Return the message of the API's 400 for a body that breaks its schema, or None where it is fine."""
    found = problems(value, schema, "")
    return sentence("Payload validation error", found) if found else None


def sentence(what: str, found: Iterable[str]) -> str:
    """Return the whole message for some problems, each named once."""
    return f"{what}: {_ALSO.join(dict.fromkeys(found))}."


def unknown_events(definition: Mapping[str, Any]) -> str | None:
    """Return a message that names the event types that the catalogue lacks, or None. [guess]: never recorded."""
    wanted = [s.get("event_type") for s in definition.get("subscriptions") or ()]
    unknown = [str(event) for event in dict.fromkeys(wanted) if event not in EVENT_TYPES]
    return f"Invalid event type: {', '.join(unknown)}" if unknown else None


def problems(value: object, schema: Schema, path: str) -> list[str]:
    """Return what is wrong with a value, each as `'what' on property where (description)`."""
    if "oneOf" in schema:
        return _none_of(value, schema, path)
    wanted = schema["type"]
    found = _TYPES[type(value)]
    if found != wanted and not (wanted == "number" and found == "integer"):
        return [_at(f"Expected type {wanted} but found type {found}", schema, path)]
    return _CHECKS[wanted](value, schema, path)


def _none_of(value: object, schema: Schema, path: str) -> list[str]:
    inner: list[str] = []
    for variant in schema["oneOf"]:
        wrong = problems(value, variant, "")  # inner paths are told from here, not from the root
        if not wrong:
            return []
        inner += wrong
    where = f" on property {path} ({{description}})" if path else ""  # the braces stand in the recorded message
    return [f"'None of the valid schemas were met'{where}. Inner errors: [ {_ALSO.join(dict.fromkeys(inner))} ]"]


def _object(value: dict[str, object], schema: Schema, path: str) -> list[str]:
    properties = schema.get("properties")
    if properties is None:
        return []  # any object
    wrong = []
    if extra := [name for name in value if name not in properties]:
        wrong.append(_at(f"Additional properties not allowed: {','.join(extra)}", schema, path))
    missing = [name for name in schema["required"] if name not in value]
    wrong += [_at(f"Missing required property: {name}", schema, path) for name in missing]
    for name, rule in properties.items():
        if name in value:
            wrong += problems(value[name], rule, f"{path}.{name}" if path else name)
    return wrong


def _array(value: list[object], schema: Schema, path: str) -> list[str]:
    least = schema.get("minItems", 0)
    if len(value) < least:
        return [_at(f"Array is too short ({len(value)}), minimum {least}", schema, path)]
    wrong = []
    for i, item in enumerate(value):
        wrong += problems(item, schema["items"], f"{path}[{i}]")
    return wrong


def _string(value: str, schema: Schema, path: str) -> list[str]:
    wrong = []
    if "enum" in schema and value not in schema["enum"]:
        wrong.append(f"No enum match for: {value}")
    if len(value) < schema.get("minLength", 0):
        wrong.append(f"String is too short ({len(value)} chars), minimum {schema['minLength']}")
    if "maxLength" in schema and len(value) > schema["maxLength"]:
        wrong.append(f"String is too long ({len(value)} chars), maximum {schema['maxLength']}")
    if "pattern" in schema and not matches(schema["pattern"], value):
        wrong.append(f"String does not match pattern {schema['pattern']}: {value}")
    return [_at(what, schema, path) for what in wrong]


def _number(value: float, schema: Schema, path: str) -> list[str]:
    if "minimum" in schema and value < schema["minimum"]:
        return [_at(f"Value {value} is less than minimum {schema['minimum']}", schema, path)]
    if "maximum" in schema and value > schema["maximum"]:
        return [_at(f"Value {value} is greater than maximum {schema['maximum']}", schema, path)]
    return []


_CHECKS: Final[Mapping[str, Callable[[Any, Schema, str], list[str]]]] = {
    "object": _object, "array": _array, "string": _string, "integer": _number,
}  # fmt: skip


def matches(pattern: str, value: str) -> bool:
    """Return whether a value matches a pattern of the API, read as JavaScript reads it."""
    return _compiled(pattern).search(value) is not None


@lru_cache(maxsize=32)
def _compiled(pattern: str) -> re.Pattern[str]:
    # In JavaScript `$` is the very end, not also the place before a last newline, and \d is ASCII.
    return re.compile(pattern[:-1] + r"\Z" if pattern.endswith("$") else pattern, re.ASCII)


def _at(what: str, schema: Schema, path: str) -> str:
    if not path:
        return f"'{what}'"
    description = schema.get("description")
    return f"'{what}' on property {path}" + (f" ({description})" if description else "")
