"""The markers of auth0-deploy-cli: what it replaces, where they may stand, and what it calls a stream's file."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bulkstreams.core.keywords import file_stem, quote_markers, replace

MAPPINGS = {"HOST": "acme.example", "EVENTS": [{"event_type": "user.created"}], "ON": True, "N": 5, "NIL": None}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("https://##HOST##/x", "https://acme.example/x"),
        ("on: ##ON##, ##N##, ##NIL##", "on: true, 5, null"),
        ("a: @@EVENTS@@", 'a: [{"event_type": "user.created"}]'),
        ('"a": "@@EVENTS@@"', '"a": [{"event_type": "user.created"}]'),
        ("a: '@@HOST@@'", 'a: "acme.example"'),
        ("##EVENTS## ##OTHER## @@OTHER@@ #HOST# ##host##", "##EVENTS## ##OTHER## @@OTHER@@ #HOST# ##host##"),
    ],
)
def test_markers_are_replaced_in_the_text(text: str, expected: str) -> None:
    """`##NAME##` becomes the text, `@@NAME@@` the JSON in place of its quotes; what is not mapped stays."""
    assert replace(text, MAPPINGS) == expected


def test_what_is_put_in_a_markers_place_is_taken_as_it_is() -> None:
    """Signs that mean something to a pattern mean nothing in a name or a value."""
    assert replace("##A.B## ##AxB## @@A.B@@", {"A.B": r"\1$&"}) == r'\1$& ##AxB## "\\1$&"'


@pytest.mark.parametrize(
    ("text", "yaml", "json_"),
    [
        ("a: @@X@@", 'a: "@@X@@"', 'a: "@@X@@"'),
        ("a:@@X@@", "a:@@X@@", 'a:"@@X@@"'),
        ("- ##X##\r\n- ##Y##  # why", '- "##X##"\r\n- "##Y##"  # why', '- "##X##"\r\n- "##Y##"  # why'),
        ("[ ##A##, ##B## ]", '[ "##A##", "##B##" ]', '[ "##A##", "##B##" ]'),
        ("a: https://##X##/y", "a: https://##X##/y", "a: https://##X##/y"),
        ("a: '##X##'", "a: '##X##'", "a: '##X##'"),
    ],
)  # fmt: skip
def test_a_marker_that_stands_for_a_value_is_quoted(text: str, yaml: str, json_: str) -> None:
    """Where nothing replaced it, a bare marker would be a comment or an error; within a text it is left alone."""
    assert quote_markers(text, spaced=True) == yaml
    assert quote_markers(text, spaced=False) == json_


@given(
    st.recursive(
        st.none() | st.booleans() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
    )
)
def test_json_is_never_harmed(value: object) -> None:
    """Text that is JSON already means the same afterwards, unless a marker in a string stands where a value might."""
    text = json.dumps(value)
    assert "@@" in text or "##" in text or quote_markers(text, spaced=False) == text


@pytest.mark.parametrize(
    ("name", "stem"),
    [
        ("audit", "audit"), ("a/b", "a-b"), ("a:b", "a-b"), ('a?<>\\*|"b', "a-------b"), ("a\nb", "a-b"),
        ("..", "-"), ("CON", "-"), ("nul.txt", "-"), ("com1", "-"), ("trail. ", "trail-"), ("ü" * 200, "ü" * 127),
    ],
)  # fmt: skip
def test_a_file_is_called_after_its_stream(name: str, stem: str) -> None:
    """Signs that some file system refuses become hyphens, so that several names make one file."""
    assert file_stem(name) == stem
