"""Reads what a request carries, its body and its query, or gives the answer that refuses it.

This module must never know of streams: what a value means for them is the API's affair.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final
from urllib.parse import parse_qsl

import orjson

from bulkstreams.sandbox import answers, schemas
from bulkstreams.sandbox.answers import Answer
from bulkstreams.sandbox.tokens import read_form
from bulkstreams.sandbox.validation import body_error, matches, problems

_NUMBER: Final = re.compile(r"-?[0-9]{1,9}")
_WORDS: Final = {"true": True, "false": False}


def read_body(body: bytes, content_type: str, schema: schemas.Schema) -> dict[str, Any] | Answer:
    """Return a body that keeps its schema."""
    if content_type == "application/json" or not content_type:
        try:
            value: Any = orjson.loads(body) if body else None
        except orjson.JSONDecodeError:
            return answers.NOT_JSON
    elif content_type == "application/x-www-form-urlencoded":
        value = read_form(body)
    else:
        return answers.WRONG_TYPE
    wrong = body_error(value, schema)
    return answers.invalid_body(wrong) if wrong else value


class Query:
    """A query, read parameter by parameter; `wrong` says what is wrong with those that were asked for so far."""

    def __init__(self, text: str) -> None:
        self._given: Mapping[str, str] = dict(parse_qsl(text, keep_blank_values=True))
        self.wrong: list[str] = []

    def text(self, name: str) -> str | None:
        """Return a parameter as it stands."""
        return self._given.get(name)

    def number(self, name: str, schema: schemas.Schema, default: int) -> int:
        """Return an integer that keeps its schema."""
        text = self._given.get(name)
        if text is None:
            return default
        value: object = int(text) if _NUMBER.fullmatch(text) else text
        wrong = problems(value, schema, name)
        self.wrong += wrong
        return default if wrong or not isinstance(value, int) else value

    def flag(self, name: str) -> bool | None:
        """Return `true` or `false`, or None where neither is asked for."""
        text = self._given.get(name)
        if text is not None and text not in _WORDS:
            self.wrong.append(f"'Expected type boolean but found type string' on property {name}")
        return _WORDS.get(text or "")

    def words(self, name: str) -> frozenset[str]:
        """Return the words of a list with commas between them."""
        return frozenset(word.strip() for word in self._given.get(name, "").split(",") if word.strip())

    def second(self, name: str) -> float | None:
        """Return an instant (epoch s); the API allows no fraction of a second."""
        text = self._given.get(name)
        if text is None:
            return None
        try:
            if matches(schemas.SECOND, text):
                return datetime.fromisoformat(text).timestamp()
        except ValueError:
            pass  # a thirteenth month
        self.wrong.append(f"'Object didn't pass validation for format date-time: {text}' on property {name}")
        return None
