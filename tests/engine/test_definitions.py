"""What a load sends: bodies of an input or a template in turn, under names that nobody else has."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import anyio
import pytest

from bulkstreams.core.matching import digest
from bulkstreams.engine.definitions import (
    BUILT_IN,
    MOST_BYTES,
    MOST_LINES,
    Definitions,
    Mould,
    as_one_line,
    enough,
    mould,
    problems_told,
)
from bulkstreams.ledger import BATCH, Row
from bulkstreams.model import Claim, Key, Line, TenantName
from bulkstreams.schema import Rules
from tests.engine.fakes import action, webhook


class Rows:
    """A ledger that takes rows."""

    reading_id = 4

    def __init__(self) -> None:
        self.batches: list[Sequence[Row]] = []

    async def ingest(self, rows: Sequence[Row]) -> list[Any]:
        """Take rows."""
        self.batches.append(rows)
        return []

    @property
    def rows(self) -> list[Row]:
        """Return all that it took."""
        return [row for batch in self.batches for row in batch]


def a_mould(definition: dict[str, Any], number: int = 1) -> Mould:
    """Return the mould of a line."""
    data = json.dumps(definition).encode()
    found = mould(3, Line(number, 7, len(data), data), Rules(), lambda _one: None, lambda one: f"value of {one.target}")
    assert isinstance(found, Mould), found
    return found


def problems(data: bytes | None) -> str:
    """Return what is wrong with a line."""
    found = mould(3, Line(1, 0, 5, data), Rules(), lambda _one: "there is no such variable", str)
    assert not isinstance(found, Mould)
    return problems_told(found)


def claim(name: str) -> Claim:
    """Return a claim of a record of that name."""
    return Claim(1, TenantName("acme"), Key(name), name, 3, 1, 7, 9, b"", 0, None)


def test_lines_are_taken_in_turn_under_names_that_are_counted_up() -> None:
    """Five of two lines: the first lends its body to the first, third and fifth."""
    ledger = Rows()
    lines = [a_mould(webhook("a", "https://a.example.com"), 1), a_mould(webhook("b", "https://b.example.com"), 2)]
    made = Definitions(ledger, 9, lines, "bench-1")  # type: ignore[arg-type]
    anyio.run(made.provide, 3)
    anyio.run(made.provide, 2)
    assert [row.name for row in ledger.rows] == [f"bench-1-000000{k}" for k in range(5)]
    assert [row.line for row in ledger.rows] == [1, 2, 1, 2, 1]
    assert all((row.tenant, row.key, row.reading, row.state) == (9, row.name, 4, "pending") for row in ledger.rows)
    for row in ledger.rows:
        body = json.loads(made.body(claim(str(row.name))))
        assert body["name"] == row.name
        assert body["destination"]["configuration"]["webhook_endpoint"] == f"https://{'ab'[row.line - 1]}.example.com"
        assert row.digest == digest(body)


def test_many_are_put_into_the_ledger_in_batches() -> None:
    """None is larger than the ledger takes, or than is asked for while a load is on."""
    ledger = Rows()
    made = Definitions(ledger, 9, [a_mould(webhook("a"))], "x")  # type: ignore[arg-type]
    anyio.run(made.provide, BATCH + 1)
    anyio.run(made.provide, 300, 128)
    assert [len(batch) for batch in ledger.batches] == [BATCH, 1, 128, 128, 44]
    assert len({row.name for row in ledger.rows}) == BATCH + 301


def test_secrets_are_resolved_once_and_are_in_no_row() -> None:
    """What reaches the ledger is made of names and digests."""
    definition = webhook("a")
    definition["destination"]["configuration"]["webhook_authorization"]["token"] = "${env:HOOK}"
    ledger = Rows()
    made = Definitions(ledger, 9, [a_mould(definition)], "x")  # type: ignore[arg-type]
    anyio.run(made.provide, 1)
    assert b"value of HOOK" in made.body(claim("x-0000000"))
    assert "HOOK" not in repr(ledger.rows)


def test_an_envelope_lends_its_stream_alone() -> None:
    """Its tenant and its key mean nothing here."""
    found = a_mould({"stream": webhook("a"), "tenant": "elsewhere", "key": "k"})
    assert set(found.definition) == {"name", "subscriptions", "destination"}


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (None, "too long"),
        (b"{", "is not JSON"),
        (b'{"name": ""}', "destination: is required"),
        (json.dumps(action("a", "${action:notify}")).encode(), "names an action"),
    ],
)
def test_a_line_that_cannot_be_sent_says_why(data: bytes | None, told: str) -> None:
    """In the words of `validate`."""
    assert told in problems(data)


def test_the_built_in_definition_is_valid_and_disabled() -> None:
    """It has no event delivered anywhere."""
    line = as_one_line(BUILT_IN)
    found = mould(1, line, Rules(), lambda _one: None, str)
    assert isinstance(found, Mould)
    assert found.definition["status"] == "disabled"


def test_a_template_is_read_as_one_line_however_it_is_written() -> None:
    """Line breaks and spaces do not count; what is no JSON is left for the reading to judge."""
    assert as_one_line(b'{\n  "a": 1\n}\n').data == b'{"a":1}'
    assert as_one_line(b" {oops\n").data == b" {oops"
    assert [as_one_line(one).number for one in (b'{\n"a": 1\n"b"}', b"{", b"\xff", b"[" * 100_000)] == [3, 1, 1, 1]


def test_of_a_huge_input_only_so_much_is_kept() -> None:
    """Lines or bytes, whichever comes first."""
    assert not enough(MOST_LINES - 1, MOST_BYTES - 1)
    assert enough(MOST_LINES, 0)
    assert enough(0, MOST_BYTES)
