"""What may stand in a cell of a table that people open in a spreadsheet.

This module must never change a number, nor a text beyond telling what it was.
"""

from __future__ import annotations

import re
from typing import Final, TypeVar

_FORMULA: Final = re.compile(r"'*[=+\-@\t\r\n＝＋－＠]")
"""How a cell begins that a spreadsheet may take for a formula, or that begins like one which was kept from it."""

T = TypeVar("T")


def cell(value: T) -> T | str:
    """Keep a spreadsheet from running a text: behind an apostrophe it is shown and not run. Numbers are as they are.

    A text that begins with apostrophes and then such a sign gets another, so that one less is always the text itself.
    """
    return f"'{value}" if isinstance(value, str) and _FORMULA.match(value) else value
