"""The bytes of a line are a JSON object, or it is told why they are none."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.schema import (
    OBJECTS,
    definition,
    record,
    said,
)


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        (b"", "is not JSON: expecting value at column 1"),
        (b"{'name': 1}", "is not JSON: expecting property name enclosed in double quotes at column 2"),
        (b'{"a": 1} {"b": 2}', "is not JSON: extra data at column 10"),
        (b'{"a": NaN}', "is not JSON: NaN is no JSON value"),
        (b'{"a": -Infinity}', "is not JSON: -Infinity is no JSON value"),
        (b'{"a": 1e999}', "is not JSON: a number is too large"),
        (b'{"a": ' + b"9" * 5000 + b"}", "is not JSON: a number is too large"),
        (b'{"a": "b\x00"}', "is not JSON: invalid control character at column 9"),
        (b"\x00", "is not JSON: expecting value at column 1"),
        (b'{"a": "\xfc"}', "is not UTF-8 text: a wrong byte at position 8"),
        (b'{"a": "\xed\xa0\x80"}', "is not UTF-8 text: a wrong byte at position 8"),
        (b'{"a": "\\ud800"}', "is not JSON: half of a surrogate pair (\\ud800 to \\udfff) stands alone"),
        (b'{"\\udfff": 1}', "is not JSON: half of a surrogate pair (\\ud800 to \\udfff) stands alone"),
        (b'{"a": ' + b"[" * 300 + b"]" * 300 + b"}", "is nested too deeply"),
        (b'{"a": ' + b"[" * 2000 + b"]" * 2000 + b"}", "is nested too deeply"),
        (b"[" * 500_000, "is nested too deeply"),
        (b"\xef\xbb\xbf{}", "begins with a byte-order mark, which may stand only at the start of the input"),
        (b"[]", "must be a JSON object (got an array)"),
        (b"null", "must be a JSON object (got null)"),
        (b'"text"', "must be a JSON object (got a string)"),
    ],
    ids=lambda value: repr(value)[:30],
)
def test_what_is_no_json_object_is_told_in_one_sentence(line: bytes, sentence: str) -> None:
    """A line that cannot be decoded has one problem, that of the line as a whole, and shows none of it."""
    assert said(line) == [sentence]


@pytest.mark.parametrize(
    ("line", "name"),
    [
        (b'{"name": "a", "name": "b"}', "name"),
        (b'{"name": "a", "name": "a"}', "name"),
        (b'{"name": "a", "n\\u0061me": "b"}', "name"),
        (b'{"a": [{"b": {"c": 1, "c": 1}}]}', "c"),
        (b'{"stream": {"name": "a", "name": "b"}}', "name"),
        (b'{"": 1, "": 2}', ""),
        (b'{"a": 1, "a": 2, "b": "\\u0022\\u0022"}', "a"),
        (b'{"a\\"b": 1, "a\\u0022b": 2}', 'a\\"b'),
    ],
)
def test_a_property_given_twice_is_refused_at_any_depth(line: bytes, name: str) -> None:
    """Of two values nobody can tell which was meant, however the name is written."""
    assert said(line) == [f'the property "{name}" is given twice in one object']


def test_a_property_of_two_objects_is_not_given_twice() -> None:
    """The same name in two objects, and quotes within strings, are no duplicates."""
    events = [{"event_type": "user.created"}, {"event_type": "user.deleted"}]
    assert record(definition(name='"name": "name"', subscriptions=events)).name == '"name": "name"'


@given(st.dictionaries(st.text(max_size=4), OBJECTS, min_size=1, max_size=4), st.booleans(), st.data())
def test_giving_a_property_twice_is_noticed_always(found: dict[str, Any], escaped: bool, data: st.DataObject) -> None:
    """A member repeated makes the line invalid, and only then is it called twice."""
    text = json.dumps(found, ensure_ascii=escaped)
    again = data.draw(st.sampled_from(sorted(found)))
    line = f"{text[:-1]}, {json.dumps(again)}: {json.dumps(found[again])}}}".encode()
    assert any("is given twice" in sentence for sentence in said(line))
    assert not any("is given twice" in sentence for sentence in said(text.encode()))
