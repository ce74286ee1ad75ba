"""What UTF-8 can hold, and how the rest is shown."""

from __future__ import annotations

import pytest

from bulkstreams.core.texts import is_text, shown


@pytest.mark.parametrize("text", ["", "in.jsonl", "größer.jsonl", "\ue000", "\U0001f600"])
def test_a_text_is_shown_as_it_is(text: str) -> None:
    """Whatever UTF-8 can hold is a text."""
    assert is_text(text)
    assert shown(text) == text


@pytest.mark.parametrize(
    ("name", "words"),
    [(b"in\xff.jsonl", r"in\xff.jsonl"), (b"gr\xf6\xdfer", r"gr\xf6\xdfer")],
)
def test_bytes_that_are_no_text_are_shown_as_such(name: bytes, words: str) -> None:
    """A name in another encoding can be recognised, and printed."""
    found = name.decode("utf-8", "surrogateescape")
    assert not is_text(found)
    assert shown(found) == words


def test_half_a_surrogate_pair_is_no_text() -> None:
    """Nor can UTF-8 hold what a file escaped so."""
    assert not is_text("a\ud83d")
