"""What the variable is called that will hold a secret."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bulkstreams.core.naming import LONGEST, SecretNames, template, words
from bulkstreams.core.references import Reference, parse_reference


@pytest.mark.parametrize(
    ("stream", "field", "expected"),
    [
        ("audit", "token", "AUDIT_TOKEN"),
        ("crm sync (EU)", "password", "CRM_SYNC_EU_PASSWORD"),
        ("Zürich—café", "header_value", "ZURICH_CAFE_HEADER_VALUE"),
        ("__already_snake__", "token", "ALREADY_SNAKE_TOKEN"),
        ("2fa", "token", "STREAM_2FA_TOKEN"),
        ("監査", "token", "STREAM_TOKEN"),
        ("", "token", "STREAM_TOKEN"),
        (None, "password", "STREAM_PASSWORD"),
    ],
)
def test_a_name_says_whose_secret_it_is(stream: str | None, field: str, expected: str) -> None:
    """Capitals, letters, digits and underscores are made of the stream's name and the field."""
    assert SecretNames().name(stream, field) == expected


def test_names_that_would_be_equal_are_numbered() -> None:
    """Streams whose names differ only in signs that a variable cannot have are given variables of their own."""
    names = SecretNames()
    assert [names.name(one, "token") for one in ("a b", "a-b", "a_b")] == ["A_B_TOKEN", "A_B_TOKEN_2", "A_B_TOKEN_3"]


def test_a_number_that_a_stream_has_already_is_passed_over() -> None:
    """A stream whose own name looks like a numbered one does not share its variable with another."""
    names = SecretNames(["AUDIT_TOKEN"])
    assert names.name("audit token 2", "x") == "AUDIT_TOKEN_2_X"
    assert names.name("audit", "token") == "AUDIT_TOKEN_2"
    assert SecretNames(["AUDIT_TOKEN", "AUDIT_TOKEN_2"]).name("audit", "token") == "AUDIT_TOKEN_3"


def test_a_long_name_is_cut() -> None:
    """A variable's name stays short enough for a shell's line."""
    assert SecretNames().name("x" * 128, "token") == "X" * LONGEST + "_TOKEN"


def test_a_template_has_a_line_a_name_and_no_value() -> None:
    """The dotenv file is there to be filled in."""
    assert template(["A_TOKEN", "B_PASSWORD"]) == "A_TOKEN=\nB_PASSWORD=\n"
    assert template([]) == ""


@given(st.lists(st.tuples(st.none() | st.text(), st.sampled_from(["password", "token", "header_value"]))))
def test_any_names_are_valid_unique_and_the_same_again(asked: list[tuple[str | None, str]]) -> None:
    """Whatever the streams are called, each variable is one of its own, valid in a shell and as a reference."""
    names, again = SecretNames(), SecretNames()
    given_ = [names.name(*one) for one in asked]
    assert len(set(given_)) == len(given_)
    assert all(re.fullmatch(r"[A-Z][A-Z0-9_]*", name) for name in given_)
    assert all(parse_reference(f"${{env:{name}}}") == Reference("env", name) for name in given_)
    assert [again.name(*one) for one in asked] == given_


@given(st.text())
def test_words_have_no_sign_but_capitals_digits_and_single_underscores(text: str) -> None:
    """What words are made of is fit for any shell."""
    assert re.fullmatch(r"([A-Z0-9]+(_[A-Z0-9]+)*)?", words(text))
