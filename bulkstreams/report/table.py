"""The figures as CSV (RFC 4180), a value a row: of which ledger, which section, which item of it, which measure.

The rows hold the same values as `--json`, but for the apostrophe before a text that a spreadsheet would run. This
module must never compute one.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping
from typing import Any, Final

from bulkstreams.core.cells import cell

COLUMNS: Final = ("ledger", "section", "item", "measure", "value")
_NAMES: Final = (
    ("tenant", "at"), ("kind",), ("name",), ("path",), ("measure",), ("percentile",), ("at",),
)  # fmt: skip
"""What an item of a list is called by, as far as it has that; else it is by its number."""


def as_csv(figures: Mapping[str, Any]) -> Iterator[str]:
    """Yield the figures of one ledger, or of a comparison, as lines of CSV."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(COLUMNS)
    for row in _rows(figures):
        writer.writerow(map(cell, row))
        yield out.getvalue()
        out.seek(0)
        out.truncate()
    yield out.getvalue()


def _rows(figures: Mapping[str, Any]) -> Iterator[tuple[Any, ...]]:
    if "difference" not in figures:
        yield from _sections(figures["ledger"]["path"], figures)
        return
    for side in ("a", "b"):
        yield from _sections(figures[side]["ledger"]["path"], figures[side])
    yield from _sections("", {"difference": figures["difference"], "same_input": figures["same_input"]})


def _sections(ledger: str, figures: Mapping[str, Any]) -> Iterator[tuple[Any, ...]]:
    for section, value in figures.items():
        for item, measure, leaf in _leaves(value, "", ""):
            yield ledger, section, item, measure, leaf


def _leaves(value: Any, item: str, measure: str) -> Iterator[tuple[str, str, Any]]:
    """Yield every value below `value`, each with the item that it belongs to and what it measures there."""
    if isinstance(value, Mapping):
        for name, its in value.items():
            yield from _leaves(its, item, f"{measure}.{name}" if measure else str(name))
    elif isinstance(value, list | tuple):
        for number, one in enumerate(value):
            yield from _leaves(one, _item(one, number), measure)
    else:
        yield item, measure, value


def _item(one: Any, number: int) -> str:
    if isinstance(one, Mapping):
        for names in _NAMES:
            if all(one.get(name) is not None for name in names):
                return " ".join(str(one[name]) for name in names)
    return str(number)
