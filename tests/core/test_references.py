"""References to secrets and to actions, and markers that other tools left behind."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bulkstreams.core.references import Reference, left_over, parse_action, parse_reference, write_action

# How long a machine takes to draw or to run an example is no matter of these properties.
CALM = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


@pytest.mark.parametrize(
    ("text", "reference"),
    [
        ("${env:NAME}", Reference("env", "NAME")),
        ("${file:/run/secrets/one two}", Reference("file", "/run/secrets/one two")),
        ("${file:C:\\keys\\a:b}", Reference("file", "C:\\keys\\a:b")),
    ],
)
def test_a_whole_reference_is_read_and_written_back(text: str, reference: Reference) -> None:
    """Both schemes are known, and a reference prints as it was written."""
    assert parse_reference(text) == reference
    assert str(reference) == text
    assert left_over(text) is None


@pytest.mark.parametrize("text", ["", "plain", "$NAME", "{env:X}", "a#b@c", "#NAME#", "50% ## off", "@@", "##"])
def test_a_literal_is_neither_reference_nor_marker(text: str) -> None:
    """An ordinary secret passes as it is."""
    assert parse_reference(text) is None
    assert left_over(text) is None


@pytest.mark.parametrize(
    ("text", "marker"),
    [
        ("##NAME##", "##NAME##"),
        ("@@NAME@@", "@@NAME@@"),
        ("Bearer ##TOKEN_2## x", "##TOKEN_2##"),
        ("hush ${env:NAME}", "${env:NAME}"),
        ("${env:A}${env:B}", "${env:A}"),
        ("${vault:NAME}", "${vault:NAME}"),
        ("${}", "${}"),
        ("${env:}", "${env:}"),
    ],
)
def test_a_placeholder_is_returned_without_what_surrounds_it(text: str, marker: str) -> None:
    """A left-over marker is named, and nothing of the secret beside it."""
    assert left_over(text) == marker


@pytest.mark.parametrize("text", ["${env:NAME", "${", "${sesame{", "hush${env:hushhush"])
def test_of_an_unclosed_reference_only_its_opening_is_told(text: str) -> None:
    """Where no brace closes it, what follows may be a secret and is not shown."""
    assert left_over(text) == "${"


@CALM
@given(st.text())
def test_any_text_is_a_reference_a_left_over_or_a_literal(text: str) -> None:
    """No text raises, none is both, and a marker is always a part of its text."""
    marker = left_over(text)
    assert marker is None or marker in text
    if parse_reference(text) is not None:
        assert str(parse_reference(text)) == text


@pytest.mark.parametrize("name", ["a", 'audit log (v2): $5 "x" \\ é', " ", "env:X", "$", "x" * 255])
def test_an_action_is_referred_to_by_any_name_that_fits_between_the_braces(name: str) -> None:
    """What is written for a name is read as that name, and is a left-over wherever no action may be named."""
    text = write_action(name)
    assert text == f"${{action:{name}}}"
    assert parse_action(text) == name
    assert parse_reference(text) is None
    assert left_over(text, may_name_action=True) is None
    assert left_over(text) == text


@pytest.mark.parametrize("name", ["", "a{b", "a}b", "a\nb", "a\x7fb", "a\x85b", "x" * 256, "##ENV##-audit", "a@@B@@"])
def test_a_name_that_no_reference_can_hold_is_not_written(name: str) -> None:
    """Nor is its text taken for a reference that may stand: braces, control characters, markers, endless names."""
    assert write_action(name) is None
    assert left_over(f"${{action:{name}}}", may_name_action=True) is not None


@pytest.mark.parametrize("text", ["", "audit", "${env:A}", "x${action:a}", "${action:a}x", "${action:a", "action:a"])
def test_a_reference_to_an_action_is_the_whole_text(text: str) -> None:
    """An id, another scheme, or text around it names no action."""
    assert parse_action(text) is None


def test_around_an_actions_name_nothing_may_stand() -> None:
    """Also where an action may be named, half a reference is a left-over."""
    assert left_over("x${action:a}", may_name_action=True) == "${action:a}"
    assert left_over("${action:a", may_name_action=True) == "${"
    assert left_over("${env:A}", may_name_action=True) is None


@CALM
@given(st.text())
def test_what_is_written_for_a_name_is_read_as_it(name: str) -> None:
    """Any name either comes back as it was, or cannot be written at all."""
    text = write_action(name)
    assert text is None or parse_action(text) == name
