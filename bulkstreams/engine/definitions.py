"""What a load sends: definitions with names of their own, each a record of the ledger before it may be claimed.

Every name begins with the load's prefix, so that what it made is told from all else at a glance, and stands on no name
that somebody uses. This module must never put a secret into the ledger, nor send anything.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final

import orjson

from bulkstreams.core.matching import digest
from bulkstreams.core.references import Reference
from bulkstreams.ledger import BATCH, Ledger, Row
from bulkstreams.model import Claim, Invalid, Line, Problem, State
from bulkstreams.schema import Rules, prepare, read_line

MOST_LINES: Final = 10_000
MOST_BYTES: Final = 64 * 1024 * 1024
"""How much of an input a load draws from; it begins again at the first line then."""

BUILT_IN: Final = (
    b'{"subscriptions":[{"event_type":"user.created"}],"destination":{"type":"webhook","configuration":'
    b'{"webhook_endpoint":"https://bench.example.com/events","webhook_authorization":'
    b'{"method":"bearer","token":"not-a-secret"}}},"status":"disabled"}'
)
"""What is sent where nothing else is given: disabled, so that no event goes anywhere."""


@dataclass(frozen=True, slots=True)
class Mould:
    """A line that definitions are made of: where it stands, and its content with secrets resolved (in memory only).

    `tenant`: the one that it names, which is nothing to a load: all goes to the tenant that is loaded.
    """

    input: int
    line: int
    offset: int
    length: int
    definition: dict[str, Any]
    tenant: str | None = None

    def body(self, name: str) -> bytes:
        """Return the body to POST for a stream of that name."""
        return orjson.dumps({**self.definition, "name": name})

    def digest(self, name: str) -> bytes:
        """Return the digest of a stream of that name."""
        return digest({**self.definition, "name": name})


def mould(input_: int, line: Line, rules: Rules, unresolvable: Callable[[Reference], str | None],
          resolve: Callable[[Reference], str]) -> Mould | tuple[Problem, ...]:  # fmt: skip
    """Return what a line gives, or what is wrong with it. Its tenant and key, if it has any, mean nothing here."""
    if line.data is None:
        return (Problem(path="", message="the line is too long"),)
    found = read_line(line.data, rules, unresolvable)
    if isinstance(found, Invalid):
        return found.problems
    if found.action is not None:
        return (Problem(path="destination", message="names an action, which a load does not look up; give its id"),)
    body = prepare(line.data, resolve)
    assert body is not None
    return Mould(input_, line.number, line.offset, line.length, orjson.loads(body), found.tenant)


class Definitions:
    """The definitions of one load: moulds in turn, under names that are counted up."""

    def __init__(self, ledger: Ledger, tenant: int, moulds: list[Mould], prefix: str) -> None:
        self._ledger, self._tenant, self._moulds = ledger, tenant, moulds
        self._prefix = prefix
        self.made = 0

    def body(self, claim: Claim) -> bytes:
        """Return the body to POST for a claim of these."""
        assert claim.name is not None
        return self._moulds[int(claim.name.rpartition("-")[2]) % len(self._moulds)].body(claim.name)

    async def provide(self, count: int, at_once: int = BATCH) -> None:
        """Put `count` more of them into the ledger; `at_once`: how many are made without letting others work."""
        target = self.made + count
        while self.made < target:
            await self._ledger.ingest(self._rows(min(at_once, target - self.made)))

    def _rows(self, count: int) -> list[Row]:
        rows = [self._row(number) for number in range(self.made, self.made + count)]
        self.made += count
        return rows

    def _row(self, number: int) -> Row:
        one = self._moulds[number % len(self._moulds)]
        name = f"{self._prefix}-{number:07d}"
        return Row(
            self._tenant, name, name, one.input, one.line, one.offset, one.length, self._ledger.reading_id,
            State.PENDING.value, one.digest(name),
        )  # fmt: skip


def as_one_line(data: bytes) -> Line:
    """Return a template's file, one JSON value over as many lines as it likes, as the line that it would be.

    What is no JSON is left as it is, under the number of the line where that shows, for the reading of lines to say
    what is wrong with it.
    """
    try:
        line, number = orjson.dumps(orjson.loads(data)), 1
    except ValueError:
        line, number = data.rstrip(), _wrong_line(data)
    return Line(number, 0, len(line), line)


def _wrong_line(data: bytes) -> int:
    """Return the number of the line in which some bytes cease to be JSON; 1 where that cannot be told."""
    try:
        json.loads(data)
    except json.JSONDecodeError as wrong:
        return wrong.lineno
    except (ValueError, RecursionError):
        pass
    return 1


def enough(lines: int, size: int) -> bool:
    """Return whether a load need read no more of an input."""
    return lines >= MOST_LINES or size >= MOST_BYTES


def problems_told(problems: Iterable[Problem]) -> str:
    """Return what is wrong with a line in one text."""
    return "; ".join(map(str, problems))
