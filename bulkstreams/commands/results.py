"""`results`: one row a record, or the original lines, as input again; as import blocks, see `terraform`."""

from __future__ import annotations

import csv
import io
from collections.abc import Collection, Iterable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from enum import StrEnum
from itertools import chain
from pathlib import Path
from typing import Any

import orjson

from bulkstreams.commands.terraform import as_terraform
from bulkstreams.core.cells import cell
from bulkstreams.errors import InputChangedError, InputError, UsageError
from bulkstreams.ledger import RESULT_COLUMNS, LedgerReader, Result
from bulkstreams.model import State
from bulkstreams.schema import line_digest
from bulkstreams.source import Input, open_input

_INSTANTS = frozenset({"first_sent_at", "settled_at"})


class Format(StrEnum):
    """How rows are written."""

    JSONL = "jsonl"
    CSV = "csv"
    TERRAFORM = "terraform"


def written(
    reader: LedgerReader, states: Collection[State], tenant: str | None, form: Format, *, as_lines: bool
) -> Iterator[bytes]:
    """Yield what `results` prints: records in some states (all where none is named), of one tenant or of all.

    `as_lines`: the original lines in place of rows. Raises UsageError where the ledger has no such tenant.
    """
    if tenant is not None and tenant not in reader.addresses():
        raise no_such_tenant(reader, tenant)
    if form is Format.TERRAFORM:
        if as_lines:
            raise UsageError("--as-input and --format terraform exclude each other.", hint="Leave one of them out.")
        return (text.encode() for text in as_terraform(reader, states, tenant))
    results = (one for one in reader.results(states) if tenant is None or one.tenant == tenant)
    if as_lines:
        return as_input(results, reader.path.absolute().parent)
    return (text.encode() for text in (as_csv if form is Format.CSV else as_jsonl)(results))


def no_such_tenant(reader: LedgerReader, tenant: str) -> UsageError:
    """Return the error that says that a ledger has no tenant of a name."""
    known = ", ".join(reader.addresses()) or "none yet"
    return UsageError(f"{reader.path} holds no tenant {tenant!r}.", hint=f"Its tenants: {known}.")


def row(result: Result) -> dict[str, Any]:
    """Return a record as a row of `results`: instants in ISO 8601, UTC.

    `delivery` and `delivery_message` are there only where test events were ever to be sent.
    """
    found = {column: getattr(result, column) for column in RESULT_COLUMNS}
    for column in _INSTANTS:
        found[column] = instant(found[column])
    found["recovered"] = bool(found["recovered"])
    if result.delivery is not None:
        found["delivery"] = result.delivery or None
        found["delivery_message"] = result.delivery_message
    return found


def instant(at: float | None) -> str | None:
    """Return an epoch second in ISO 8601, UTC, with milliseconds."""
    return None if at is None else datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds")


def as_jsonl(results: Iterable[Result]) -> Iterator[str]:
    """Yield one JSON line a record."""
    for result in results:
        yield orjson.dumps(row(result)).decode() + "\n"


def as_csv(results: Iterable[Result]) -> Iterator[str]:
    """Yield CSV (RFC 4180, UTF-8): a header, then one line a record."""
    out = io.StringIO()
    rows = iter(results)
    first = next(rows, None)
    tested = first is not None and first.delivery is not None
    writer = csv.DictWriter(out, (*RESULT_COLUMNS, "delivery", "delivery_message") if tested else RESULT_COLUMNS)
    writer.writeheader()
    for result in () if first is None else chain((first,), rows):
        writer.writerow({column: cell(value) for column, value in row(result).items()})
        yield out.getvalue()
        out.seek(0)
        out.truncate()
    yield out.getvalue()


def as_input(results: Iterable[Result], folder: Path) -> Iterator[bytes]:
    """Yield the original lines of the records, found again by their offsets.

    Raises InputError where an input is gone or was standard input, InputChangedError where a line is another by now.
    """
    with ExitStack() as stack:
        inputs: dict[str, Input] = {}
        for result in results:
            if result.file == "<stdin>":
                raise InputError(
                    "these records came from standard input, which cannot be read again.",
                    hint="Keep the input in a file, and run from that.",
                )
            if result.file not in inputs:
                inputs[result.file] = _opened(result.file, folder)
                stack.callback(inputs[result.file].close)
            yield _line(inputs[result.file], result) + b"\n"


def _opened(name: str, folder: Path) -> Input:
    try:
        return open_input(name, folder)
    except InputError as error:
        if Path(name).is_absolute():
            raise
        hint = "The input is looked for from the folder in which it was run: go there, and give the same command."
        raise InputError(error.message, hint=hint) from None


def _line(one: Input, result: Result) -> bytes:
    data = one.read_at(result.offset, result.length)
    if result.digest is not None and line_digest(data) != result.digest:
        raise InputChangedError(
            f"{result.file}:{result.line} is no longer the line that was read.",
            hint="Run the input again first: that reads it anew.",
        )
    return data.removesuffix(b"\r")
