"""What stands in a cell of a table: a text that is shown, a number as it is."""

from __future__ import annotations

import pytest

from bulkstreams.core.cells import cell


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "＝1", "'=1"])
def test_a_text_that_would_run_stands_behind_an_apostrophe(text: str) -> None:
    """One apostrophe less is the text itself, whatever it began with."""
    assert cell(text) == f"'{text}"


@pytest.mark.parametrize("value", ["", "a=1", "'tis", -1, -0.5, None, True])
def test_everything_else_is_as_it_is(value: object) -> None:
    """Texts that no spreadsheet runs, and numbers, be they negative."""
    assert cell(value) == value
