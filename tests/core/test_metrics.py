"""A run's counters."""

from __future__ import annotations

from dataclasses import asdict, fields

from bulkstreams.core.metrics import Tally

NAMES = [field.name for field in fields(Tally)]


def some(first: int) -> Tally:
    """Return a tally in which every counter has another value."""
    return Tally(**{name: first + i for i, name in enumerate(NAMES)})


def test_adding_a_tally_adds_each_of_its_counters() -> None:
    """No counter is forgotten or added to another, and the one added stays as it was."""
    total, other = some(1), some(100)
    total.add(other)
    assert asdict(total) == {name: 101 + 2 * i for i, name in enumerate(NAMES)}
    assert other == some(100)


def test_taking_returns_what_was_counted_and_begins_anew() -> None:
    """What was taken is whole, and counted only once."""
    tally = some(5)
    assert tally.taken() == some(5)
    assert tally == Tally()
    assert tally.taken() == Tally()
