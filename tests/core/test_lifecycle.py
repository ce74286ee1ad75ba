"""The table of states and events, walked as a whole and along every history up to a length."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import product

import pytest

from bulkstreams.core.lifecycle import (
    TABLE,
    Anchor,
    IllegalEventError,
    diagram,
    reading,
    step,
)
from bulkstreams.model import Event, State

S, E = State, Event
LOOKUPS = {E.FOUND_OURS, E.FOUND_EQUAL, E.FOUND_DIFFERENT, E.ABSENT}
ATTEMPT_ENDS = {E.ACCEPTED, E.REFUSED, E.NOT_APPLIED, E.LOST, E.NAME_TAKEN}
LINES = {e for e in E if e.value.startswith("line_")}
STARTS = (S.PENDING, S.INVALID)
LENGTH = 9


@pytest.mark.parametrize(("state", "event"), list(product(State, Event)), ids=str)
def test_step_follows_the_table_and_refuses_all_else(state: State, event: Event) -> None:
    """A pair that is in the table leads where the table says; any other raises and names both."""
    if (state, event) in TABLE:
        assert step(state, event) is TABLE[state, event]
    else:
        with pytest.raises(IllegalEventError, match=rf"{state.value} cannot take {event.value}"):
            step(state, event)


def test_table_cannot_be_changed() -> None:
    """Nobody can add a step at run time."""
    with pytest.raises(TypeError):
        TABLE[S.DUPLICATE, E.INTENT] = S.IN_FLIGHT  # type: ignore[index]


def test_every_event_and_every_state_is_used() -> None:
    """No event is without effect, and no state but `duplicate`, which stands alone, is without a way in and out."""
    assert {event for _, event in TABLE} == set(Event)
    assert {state for state, _ in TABLE} == set(State) - {S.DUPLICATE}
    assert set(TABLE.values()) == set(State) - {S.DUPLICATE}


def test_doubt_is_left_only_by_a_look_up() -> None:
    """Out of `in_doubt` lead exactly the four findings of a look-up."""
    leaving = {event for (state, event), after in TABLE.items() if state is S.IN_DOUBT and after is not S.IN_DOUBT}
    assert leaving == LOOKUPS


def test_a_look_up_speaks_only_of_what_is_in_doubt_or_not_yet_sent() -> None:
    """What was found settles a record in doubt, or one that is pending; absence is news of a doubt alone."""
    assert {state for state, event in TABLE if event in LOOKUPS} == {S.IN_DOUBT, S.PENDING}
    assert [state for state, event in TABLE if event is E.ABSENT] == [S.IN_DOUBT]
    for event in LOOKUPS - {E.ABSENT}:
        assert TABLE[S.PENDING, event] is TABLE[S.IN_DOUBT, event]


def test_an_attempt_begins_only_from_pending() -> None:
    """A durable intent exists for `pending` alone, and `in_flight` is entered by nothing else."""
    assert [state for state, event in TABLE if event is E.INTENT] == [S.PENDING]
    assert [pair for pair, after in TABLE.items() if after is S.IN_FLIGHT] == [(S.PENDING, E.INTENT)]


def test_an_attempt_ends_only_what_is_in_flight() -> None:
    """The five ends of an attempt, and the death of its process, lead out of `in_flight` and nothing else does."""
    assert {event for state, event in TABLE if state is S.IN_FLIGHT} == ATTEMPT_ENDS | {E.RESUMED}
    assert {state for state, event in TABLE if event in ATTEMPT_ENDS} == {S.IN_FLIGHT}


def test_retrying_on_demand_is_for_refused_and_conflict_only() -> None:
    """`--retry-failed` touches exactly what the contract says."""
    asked = {state: after for (state, event), after in TABLE.items() if event is E.RETRY_ASKED}
    assert asked == {S.REFUSED: S.PENDING, S.CONFLICT: S.PENDING}


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (S.IN_FLIGHT, S.IN_DOUBT),
        (S.EXHAUSTED, S.PENDING),
        (S.UNDONE, S.PENDING),
    ],
)
def test_a_new_run_takes_up_what_the_last_one_left(before: State, after: State) -> None:
    """A run finds an orphaned intent doubtful, and sends again what is known not to be there."""
    assert step(before, E.RESUMED) is after


@pytest.mark.parametrize("state", [S.INVALID, S.REFUSED, S.EXHAUSTED, S.CONFLICT, S.UNDONE, S.PENDING])
def test_a_changed_line_is_sent_where_nothing_stands(state: State) -> None:
    """Fix-and-rerun works: without a stream at the tenant a changed line is pending."""
    event = reading(state, None, valid=True, same_as_anchor=False, same=False)
    assert event is E.LINE_CHANGED
    assert step(state, event) is S.PENDING


@pytest.mark.parametrize("anchor", [S.CREATED, S.EXISTS])
def test_a_changed_line_is_a_conflict_where_a_stream_stands(anchor: Anchor) -> None:
    """A line that no longer describes its stream is a conflict, and its own again when it does."""
    assert anchor is not None
    differs = reading(anchor, anchor, valid=True, same_as_anchor=False, same=False)
    assert differs is E.LINE_DIFFERS
    assert step(anchor, differs) is S.CONFLICT
    reverts = reading(S.CONFLICT, anchor, valid=True, same_as_anchor=True, same=False)
    assert reverts is not None
    assert step(S.CONFLICT, reverts) is anchor


@pytest.mark.parametrize("anchor", [S.CREATED, S.EXISTS])
def test_a_line_that_is_as_its_stream_changes_nothing(anchor: Anchor) -> None:
    """Reading an anchored record's line again unchanged leaves it where it is."""
    assert anchor is not None
    event = reading(anchor, anchor, valid=True, same_as_anchor=True, same=True)
    assert event is not None
    assert step(anchor, event) is anchor


@pytest.mark.parametrize("state", sorted({S.PENDING, S.REFUSED, S.EXHAUSTED, S.CONFLICT, S.UNDONE, S.IN_DOUBT}))
def test_the_same_line_means_nothing(state: State) -> None:
    """A line that reads as before is no event where nothing stands at the tenant."""
    assert reading(state, None, valid=True, same_as_anchor=True, same=True) is None


def test_an_invalid_record_is_checked_again_even_if_its_digest_is_the_same() -> None:
    """What was invalid and now passes (an environment variable was set) is pending, though the line did not change."""
    assert reading(S.INVALID, None, valid=True, same_as_anchor=True, same=True) is E.LINE_CHANGED


@pytest.mark.parametrize("valid", [True, False])
def test_no_edit_of_the_line_touches_a_doubt(valid: bool) -> None:
    """A record in doubt stays in doubt, whatever its line says now, even with an anchor from before."""
    for anchor in (None, S.CREATED, S.EXISTS):
        event = reading(S.IN_DOUBT, anchor, valid=valid, same_as_anchor=False, same=False)
        assert event is not None
        assert step(S.IN_DOUBT, event) is S.IN_DOUBT


# -- histories ----------------------------------------------------------------------------------------------------


def anchor_after(event: Event, after: State, anchor: Anchor) -> Anchor:
    """Return the anchor that the ledger writes beside the state."""
    if event in {E.ACCEPTED, E.FOUND_OURS}:
        return S.CREATED
    if event is E.FOUND_EQUAL:
        return S.EXISTS
    return None if event is E.UNDONE or after is S.PENDING else anchor


def possible(state: State, anchor: Anchor) -> Iterator[Event]:
    """Yield the events that can happen now: lines through `reading`, retries and undo as far as the anchor allows."""
    for valid, same_as_anchor, same in product((True, False), repeat=3):
        event = reading(state, anchor, valid=valid, same_as_anchor=same_as_anchor, same=same)
        if event is not None and state not in {S.IN_FLIGHT, S.DUPLICATE}:  # the ledger has none when it reads
            yield event
    for candidate in set(Event) - LINES:
        if candidate is E.RETRY_ASKED and anchor is not None:
            continue
        if candidate is E.UNDONE and anchor is not S.CREATED:
            continue
        if (state, candidate) in TABLE:
            yield candidate


def walk() -> set[tuple[State, Anchor, Event, State, Anchor]]:
    """Return every step that some history of `LENGTH` events can take, breadth first."""
    seen: set[tuple[State, Anchor, Event, State, Anchor]] = set()
    front: set[tuple[State, Anchor]] = {(state, None) for state in STARTS}
    for _ in range(LENGTH):
        reached = set()
        for state, anchor in front:
            for event in possible(state, anchor):
                after = step(state, event)
                standing = anchor_after(event, after, anchor)
                seen.add((state, anchor, event, after, standing))
                reached.add((after, standing))
        front |= reached
    return seen


STEPS = walk()


def test_histories_reach_every_step_of_the_table() -> None:
    """No history meets a step that the table lacks, and none of the table's steps is out of reach."""
    assert {(state, event) for state, _, event, _, _ in STEPS} == set(TABLE)


def test_a_created_record_is_never_sent_again() -> None:
    """While a stream stands for a record no event leads to `pending`, `in_flight`, `in_doubt` or `exhausted`."""
    sendable = {S.PENDING, S.IN_FLIGHT, S.IN_DOUBT, S.EXHAUSTED, S.REFUSED}
    for state, anchor, event, after, _ in STEPS:
        if anchor is not None:
            assert after not in sendable, (state, anchor, event, after)


def test_only_undo_lets_go_of_a_created_stream() -> None:
    """A record that this ledger created stays its own through every change of its line, until it is undone."""
    for _, anchor, event, after, standing in STEPS:
        if anchor is S.CREATED and event is not E.UNDONE:
            assert standing is S.CREATED
        if anchor is S.CREATED and event is E.UNDONE:
            assert (after, standing) == (S.UNDONE, None)


def test_a_lost_attempt_is_never_known_absent_without_a_look_up() -> None:
    """After a loss, no history without a look-up gets anywhere but `in_doubt`."""
    front, seen = {S.IN_DOUBT}, {S.IN_DOUBT}
    while front:
        front = {TABLE[s, e] for s in front for e in set(Event) - LOOKUPS if (s, e) in TABLE} - seen
        seen |= front
    assert seen == {S.IN_DOUBT}


def worlds(state: State, event: Event, streams: int) -> set[int]:
    """Return how many streams of ours may stand at the tenant after an event; none where it cannot happen then.

    A lost answer, or a process that died, leaves it open whether the create was applied; a look-up tells the truth.
    """
    if event is E.LOST or (state, event) == (S.IN_FLIGHT, E.RESUMED):
        return {streams, 1}
    if event in {E.ACCEPTED, E.FOUND_OURS, E.UNDONE}:
        possible_before = {E.ACCEPTED: 0, E.FOUND_OURS: 1, E.UNDONE: 1}[event]
        return {0 if event is E.UNDONE else 1} if streams == possible_before else set()
    if event in {E.ABSENT, E.FOUND_EQUAL, E.FOUND_DIFFERENT}:
        return {0} if streams == 0 else set()
    return {streams}


def test_no_history_sends_a_record_whose_stream_is_there() -> None:
    """In every history, whatever a lost attempt may have done, an intent is noted only where no stream of ours is."""
    reached: set[tuple[State, Anchor, int]] = {(state, None, 0) for state in STARTS}
    front = set(reached)
    while front:
        found = set()
        for state, anchor, streams in front:
            for event in possible(state, anchor):
                assert event is not E.INTENT or streams == 0, (state, anchor)
                after = step(state, event)
                found |= {(after, anchor_after(event, after, anchor), world) for world in worlds(state, event, streams)}
        front = found - reached
        reached |= found
    assert (S.IN_DOUBT, None, 1) in reached
    assert (S.PENDING, None, 1) not in reached


def test_giving_up_needs_a_record_that_is_not_in_flight() -> None:
    """The history INTENT, LOST, GAVE_UP does not exist: doubt comes first, then a look-up, then giving up."""
    doubt = step(step(S.PENDING, E.INTENT), E.LOST)
    with pytest.raises(IllegalEventError):
        step(doubt, E.GAVE_UP)
    assert step(step(doubt, E.ABSENT), E.GAVE_UP) is S.EXHAUSTED


# -- the diagram ----------------------------------------------------------------------------------------------------


def test_diagram_shows_every_arrow_of_the_table_and_no_other() -> None:
    """The README's diagram and the table say the same, apart from steps that stay where they are."""
    lines = diagram().splitlines()
    assert lines[0] == "stateDiagram-v2"
    arrows: set[tuple[str, str, str]] = set()
    for line in lines[1:]:
        if match := re.fullmatch(r" {4}(\w+) --> (\w+): (.+)", line):
            arrows |= {(match[1], event, match[2]) for event in match[3].split(", ")}
        else:
            assert re.fullmatch(r" {4}\[\*\] --> (pending|invalid|duplicate)", line)
    assert arrows == {
        (before.value, event.value.replace("_", " "), after.value)
        for (before, event), after in TABLE.items()
        if before is not after
    }
