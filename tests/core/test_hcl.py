"""Text in Terraform's language: nothing that a name holds ends a string, a comment, or makes two labels equal."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bulkstreams.core.hcl import Labels, comment, quote


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("est_abc", '"est_abc"'),
        ('say "hi"\\', r'"say \"hi\"\\"'),
        ("${file(x)} %{ if y }", '"$${file(x)} %%{ if y }"'),
        ("$${x", '"$$${x"'),
        ("a\nb\tc\x07\u2028\U000e0001", r'"a\nb\tc\u0007\u2028\U000e0001"'),
        ("Zürich 監査", '"Zürich 監査"'),
    ],
)
def test_a_quoted_string_is_just_that_text(text: str, expected: str) -> None:
    """Quotes, backslashes, templates and control characters stand for themselves."""
    assert quote(text) == expected


@given(st.text())
def test_any_text_stays_within_its_quotes(text: str) -> None:
    """No quote, line break or template gets out of a string, and reading it back gives the text."""
    inner = quote(text)[1:-1]
    assert re.fullmatch(r'(?:[^"\\\n\r]|\\.)*', inner)
    assert not re.search(r"(?<![$])[$]{|(?<!%)%{", inner)
    plain = inner.replace("$${", "${").replace("%%{", "%{")
    wide = re.sub(r"(?<!\\)((?:\\\\)*)\\U([0-9a-f]{8})", lambda m: m[1] + chr(int(m[2], 16)), plain)
    assert json.loads(f'"{wide}"', strict=False) == text


@given(st.text())
def test_any_text_stays_within_its_comment(text: str) -> None:
    """A comment's text is one printable line."""
    assert comment(text).isprintable()


def test_a_comment_shows_a_name_as_it_is() -> None:
    """What is legible is not escaped."""
    assert comment('Zürich "監査" ${x}\n}') == 'Zürich "監査" ${x}\\n}'


def test_labels_are_made_of_names() -> None:
    """Small letters, digits and underscores; equal ones are numbered, past numbers that names have themselves."""
    labels = Labels()
    asked = ["Audit (EU)", "audit-eu", "audit_eu_3", "AUDIT EU", "2fa", "監査", "", "Zürich"]
    assert [labels.label(one, "stream") for one in asked] == [
        "audit_eu", "audit_eu_2", "audit_eu_3", "audit_eu_4", "stream_2fa", "stream", "stream_2", "zurich",
    ]  # fmt: skip


@given(st.lists(st.text() | st.sampled_from(["a", "A", "a_2", "a 2", "a_2_2", "2"])))
def test_any_labels_are_valid_and_unique(asked: list[str]) -> None:
    """Whatever the names are, Terraform takes every label, and no two are equal."""
    labels = Labels()
    found = [labels.label(one, "stream") for one in asked]
    assert len(set(found)) == len(found)
    assert all(re.fullmatch(r"[a-z][a-z0-9_]*", one) for one in found)
