"""The life of a record as one table: (state, event) → state. What the table does not hold cannot happen.

Two rules shape it. Doubt is sticky: `in_doubt` is left only by what a look-up of the tenant found, never by an attempt,
so no attempt may begin in it: `intent` starts from `pending` alone, and a resend while in doubt cannot be written. And
what this ledger created stays its own: a changed line moves a created record to `conflict`, and back again when the
line is as it was.
This module must never decide when an event happened; it only says what follows.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, Literal

from bulkstreams.model import Event, State

S, E = State, Event

Anchor = Literal[State.CREATED, State.EXISTS] | None
"""Whether a stream stands at the tenant for a record: created by this ledger, found there, or none that we know of."""

TABLE: Final[Mapping[tuple[State, Event], State]] = MappingProxyType(
    {
        # An attempt: a durable intent first, then exactly one way for it to end.
        (S.PENDING, E.INTENT): S.IN_FLIGHT,
        (S.IN_FLIGHT, E.ACCEPTED): S.CREATED,
        (S.IN_FLIGHT, E.REFUSED): S.REFUSED,
        (S.IN_FLIGHT, E.NOT_APPLIED): S.PENDING,
        (S.IN_FLIGHT, E.LOST): S.IN_DOUBT,
        (S.IN_FLIGHT, E.NAME_TAKEN): S.IN_DOUBT,
        (S.PENDING, E.GAVE_UP): S.EXHAUSTED,
        # A look-up of the tenant: the only way out of doubt.
        (S.IN_DOUBT, E.FOUND_OURS): S.CREATED,
        (S.IN_DOUBT, E.FOUND_EQUAL): S.EXISTS,
        (S.IN_DOUBT, E.FOUND_DIFFERENT): S.CONFLICT,
        (S.IN_DOUBT, E.ABSENT): S.PENDING,
        # ... or, before anything was sent, the way to what stands at the tenant already.
        (S.PENDING, E.FOUND_OURS): S.CREATED,
        (S.PENDING, E.FOUND_EQUAL): S.EXISTS,
        (S.PENDING, E.FOUND_DIFFERENT): S.CONFLICT,
        # The start of a run: an intent with no verdict was left by a process that died.
        (S.IN_FLIGHT, E.RESUMED): S.IN_DOUBT,
        (S.EXHAUSTED, E.RESUMED): S.PENDING,
        (S.UNDONE, E.RESUMED): S.PENDING,
        (S.REFUSED, E.RETRY_ASKED): S.PENDING,
        (S.CONFLICT, E.RETRY_ASKED): S.PENDING,
        # A reading of the input finds the line changed, where nothing stands at the tenant for it ...
        (S.PENDING, E.LINE_CHANGED): S.PENDING,
        (S.IN_DOUBT, E.LINE_CHANGED): S.IN_DOUBT,
        (S.INVALID, E.LINE_CHANGED): S.PENDING,
        (S.REFUSED, E.LINE_CHANGED): S.PENDING,
        (S.EXHAUSTED, E.LINE_CHANGED): S.PENDING,
        (S.CONFLICT, E.LINE_CHANGED): S.PENDING,
        (S.UNDONE, E.LINE_CHANGED): S.PENDING,
        # ... or other than the stream that was created or found for it ...
        (S.CREATED, E.LINE_DIFFERS): S.CONFLICT,
        (S.EXISTS, E.LINE_DIFFERS): S.CONFLICT,
        (S.CONFLICT, E.LINE_DIFFERS): S.CONFLICT,
        (S.INVALID, E.LINE_DIFFERS): S.CONFLICT,
        # ... or no longer valid ...
        (S.PENDING, E.LINE_INVALID): S.INVALID,
        (S.IN_DOUBT, E.LINE_INVALID): S.IN_DOUBT,
        (S.INVALID, E.LINE_INVALID): S.INVALID,
        (S.REFUSED, E.LINE_INVALID): S.INVALID,
        (S.EXHAUSTED, E.LINE_INVALID): S.INVALID,
        (S.CONFLICT, E.LINE_INVALID): S.INVALID,
        (S.UNDONE, E.LINE_INVALID): S.INVALID,
        (S.CREATED, E.LINE_INVALID): S.INVALID,
        (S.EXISTS, E.LINE_INVALID): S.INVALID,
        # ... or again as it was when its stream was created or found.
        (S.CREATED, E.LINE_MATCHES_CREATED): S.CREATED,
        (S.EXISTS, E.LINE_MATCHES_EXISTING): S.EXISTS,
        (S.CONFLICT, E.LINE_MATCHES_CREATED): S.CREATED,
        (S.INVALID, E.LINE_MATCHES_CREATED): S.CREATED,
        (S.CONFLICT, E.LINE_MATCHES_EXISTING): S.EXISTS,
        (S.INVALID, E.LINE_MATCHES_EXISTING): S.EXISTS,
        # Afterwards.
        (S.CREATED, E.UNDONE): S.UNDONE,
        (S.CONFLICT, E.UNDONE): S.UNDONE,
        (S.INVALID, E.UNDONE): S.UNDONE,
    }
)

FAILED: Final = frozenset({S.CONFLICT, S.REFUSED, S.EXHAUSTED, S.INVALID})
"""States that end badly: finished, but somebody has to look."""


class IllegalEventError(AssertionError):
    """An event was applied where the table has none: a defect of ours, never of the input or the server."""


def step(state: State, event: Event) -> State:
    """Return the state that follows; raise IllegalEventError where the table has no such step."""
    try:
        return TABLE[state, event]
    except KeyError:
        raise IllegalEventError(f"a record that is {state} cannot take {event}") from None


def reading(state: State, anchor: Anchor, *, valid: bool, same_as_anchor: bool, same: bool) -> Event | None:
    """Return what it means that the input's line was read again, or None where it means nothing.

    `anchor` says that a stream stands at the tenant for this record; `same_as_anchor` that the line still describes
    that stream; `same` that the line is as the last reading found it.
    """
    if not valid:
        return Event.LINE_INVALID
    if anchor is not None and state is not State.IN_DOUBT:
        if not same_as_anchor:
            return Event.LINE_DIFFERS
        return Event.LINE_MATCHES_CREATED if anchor is State.CREATED else Event.LINE_MATCHES_EXISTING
    if same and state is not State.INVALID:
        return None
    return Event.LINE_CHANGED


def diagram() -> str:
    """Return the table as a Mermaid state diagram, for the README."""
    arrows: dict[tuple[State, State], list[str]] = {}
    for (before, event), after in TABLE.items():
        if before is not after:
            arrows.setdefault((before, after), []).append(event.value.replace("_", " "))
    lines = [f"    {before} --> {after}: {', '.join(events)}" for (before, after), events in arrows.items()]
    starts = [f"    [*] --> {state}" for state in (S.PENDING, S.INVALID, S.DUPLICATE)]
    return "\n".join(["stateDiagram-v2", *starts, *lines])
