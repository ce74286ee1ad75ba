"""Texts become numbers with a meaning, or a sentence that says what is allowed."""

from __future__ import annotations

import pytest

from bulkstreams.config import values
from bulkstreams.errors import UsageError


@pytest.mark.parametrize(
    ("text", "expected"), [("auto", "auto"), ("max", "max"), ("16", 16.0), (2.5, 2.5), (" 8/s ", 8.0), (1e6, 1e6)]
)
def test_a_rate_is_a_number_auto_or_max(text: object, expected: object) -> None:
    """Requests a second, with or without `/s`."""
    assert values.rate(text, "--rate") == expected


@pytest.mark.parametrize("text", ["fast", "0", "-1", "", "nan", "inf", 1e7, True, "16 per second", None])
def test_a_senseless_rate_is_told(text: object) -> None:
    """The sentence names the source, what is allowed, and what was found."""
    with pytest.raises(UsageError) as caught:
        values.rate(text, "--rate")
    assert caught.value.message == f"--rate must be requests per second, auto or max (got {text!r})."


@pytest.mark.parametrize(("text", "expected"), [("40%", 0.4), (40, 0.4), ("0", 0.0), ("99.5%", 0.995), (" 5 % ", 0.05)])
def test_a_percentage_is_a_share(text: object, expected: float) -> None:
    """`40%` and 40 are the same share."""
    assert values.share(text, "--reserve") == pytest.approx(expected)


@pytest.mark.parametrize("text", ["100", "100%", "-1", "much", "", "nan", "%"])
def test_a_senseless_percentage_is_told(text: object) -> None:
    """Nothing may be left of a budget by a mistake: 100 is refused."""
    with pytest.raises(UsageError) as caught:
        values.share(text, "--reserve")
    assert caught.value.message == f"--reserve must be a percentage from 0 to below 100 (got {text!r})."


@pytest.mark.parametrize(
    ("text", "expected"),
    [("500ms", 0.5), ("30s", 30.0), ("30", 30.0), (2.5, 2.5), ("5m", 300.0), ("1h", 3600.0), (" 1.5 h", 5400.0)],
)
def test_a_duration_is_seconds_or_has_a_unit(text: object, expected: float) -> None:
    """A number alone is seconds."""
    assert values.seconds(text, "--timeout") == pytest.approx(expected)


@pytest.mark.parametrize("text", ["0", "-1", "0ms", "soon", "", "s", "5d", "inf", "nan", "1h30m"])
def test_a_senseless_duration_is_told(text: object) -> None:
    """The sentence shows how durations are written."""
    with pytest.raises(UsageError) as caught:
        values.seconds(text, "--deadline")
    assert caught.value.message == f"--deadline must be seconds, or like 500ms, 30s, 5m, 1h (got {text!r})."


@pytest.mark.parametrize(("text", "expected"), [("5", 5), (5, 5), ("5.0", 5), ("1", 1), ("10", 10)])
def test_a_whole_number_lies_within_its_bounds(text: object, expected: int) -> None:
    """Both bounds are allowed."""
    found = values.whole(text, "--retries", 1, 10)
    assert found == expected
    assert type(found) is int


@pytest.mark.parametrize("text", ["0", "11", "2.5", "many", "", True, "nan", "inf"])
def test_a_number_that_is_not_whole_or_out_of_bounds_is_told(text: object) -> None:
    """The sentence names the bounds."""
    with pytest.raises(UsageError) as caught:
        values.whole(text, "--retries", 1, 10)
    assert caught.value.message == f"--retries must be a whole number from 1 to 10 (got {text!r})."


@pytest.mark.parametrize("text", [True, "true", "YES", "on", "1", " True "])
def test_a_yes_has_the_usual_spellings(text: object) -> None:
    """A variable's text and a file's boolean are the same yes."""
    assert values.truth(text, "X") is True


@pytest.mark.parametrize("text", [False, "false", "No", "off", "0"])
def test_a_no_has_the_usual_spellings(text: object) -> None:
    """`false` in a variable is a no, though it is a text that is not empty."""
    assert values.truth(text, "X") is False


@pytest.mark.parametrize("text", ["maybe", "2", "", None])
def test_neither_yes_nor_no_is_told(text: object) -> None:
    """A word that is neither is no silent `false`."""
    with pytest.raises(UsageError, match=r"^X must be true or false"):
        values.truth(text, "X")
