"""`results`: one row a record, or the original lines, as input again."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from typing import Any

import orjson

from bulkstreams.errors import InputChangedError, InputError
from bulkstreams.ledger import RESULT_COLUMNS, LedgerReader, Result
from bulkstreams.model import State
from bulkstreams.schema import line_digest
from bulkstreams.source import Input, open_input

_INSTANTS = frozenset({"first_sent_at", "settled_at"})


def row(result: Result) -> dict[str, Any]:
    """Return a record as a row of `results`: instants in ISO 8601, UTC.

    `delivery` is there only where test events were ever to be sent.
    """
    found = {column: getattr(result, column) for column in RESULT_COLUMNS}
    for column in _INSTANTS:
        found[column] = instant(found[column])
    found["recovered"] = bool(found["recovered"])
    if result.delivery is not None:
        found["delivery"] = result.delivery or None
    return found


def instant(at: float | None) -> str | None:
    """Return an epoch second in ISO 8601, UTC, with milliseconds."""
    return None if at is None else datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds")


def as_jsonl(results: Iterable[Result]) -> Iterator[str]:
    """Yield one JSON line a record."""
    for result in results:
        yield orjson.dumps(row(result)).decode() + "\n"


def as_csv(results: Iterable[Result]) -> Iterator[str]:
    """Yield CSV (RFC 4180): a header, then one line a record."""
    out = io.StringIO()
    rows = iter(results)
    first = next(rows, None)
    tested = first is not None and first.delivery is not None
    writer = csv.DictWriter(out, (*RESULT_COLUMNS, "delivery") if tested else RESULT_COLUMNS)
    writer.writeheader()
    for result in () if first is None else chain((first,), rows):
        writer.writerow(row(result))
        yield out.getvalue()
        out.seek(0)
        out.truncate()
    yield out.getvalue()


def as_input(reader: LedgerReader, states: Iterable[State], folder: Path) -> Iterator[bytes]:
    """Yield the original lines of the records, found again by their offsets.

    Raises InputError where an input is gone or was standard input, InputChangedError where a line is another by now.
    """
    with ExitStack() as stack:
        inputs: dict[str, Input] = {}
        for result in reader.results(states):
            if result.file == "<stdin>":
                raise InputError(
                    "these records came from standard input, which cannot be read again.",
                    hint="Keep the input in a file, and run from that.",
                )
            if result.file not in inputs:
                inputs[result.file] = open_input(result.file, folder)
                stack.callback(inputs[result.file].close)
            yield _line(inputs[result.file], result) + b"\n"


def _line(one: Input, result: Result) -> bytes:
    data = one.read_at(result.offset, result.length)
    if result.digest is not None and line_digest(data) != result.digest:
        raise InputChangedError(
            f"{result.file}:{result.line} is no longer the line that was read.",
            hint="Run the input again first: that reads it anew.",
        )
    return data.removesuffix(b"\r")
