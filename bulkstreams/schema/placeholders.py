"""What stands in a definition for a value: references, each where it belongs and can be resolved, and nothing else.

This module must never show what looks like a placeholder inside a destination: it may be a piece of a secret.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from bulkstreams.core.references import ACTION_ID, Reference, left_over, parse_action, parse_reference
from bulkstreams.model import SECRET_FIELDS, Problem
from bulkstreams.schema.problems import MOST_PROBLEMS, join, show


def check_texts(
    definition: Mapping[str, Any], problems: list[Problem], unresolvable: Callable[[Reference], str | None]
) -> list[Problem]:
    """Add references that do not resolve or do not belong, and placeholders that nobody replaced.

    Where a text has such a problem, others of the same place only repeat it; and an unknown property is one as it is.
    """
    unknown = {problem.path for problem in problems if problem.message.startswith("unknown property")}
    wrong = (
        problem
        for place, text in _texts((), definition, unknown)
        if (problem := _check_text(place, text, unresolvable)) is not None
    )
    found = list(islice(wrong, MOST_PROBLEMS + 1))
    places = {problem.path for problem in found}
    return [problem for problem in problems if problem.path not in places] + found


def _texts(
    place: tuple[str | int, ...], value: object, unknown: set[str]
) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """Yield every string in a definition with its place, in the order in which they stand."""
    if isinstance(value, str):
        yield place, value
        return
    inner: Iterable[tuple[str | int, object]]
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for step, one in inner:
        if not unknown or join((*place, step)) not in unknown:
            yield from _texts((*place, step), one, unknown)


def _check_text(
    place: tuple[str | int, ...], text: str, unresolvable: Callable[[Reference], str | None]
) -> Problem | None:
    reference = parse_reference(text)
    if reference is None:
        marker = left_over(text, may_name_action=place == ACTION_ID)
        return None if marker is None else Problem(path=join(place), message=_unreplaced(marker, place))
    if place[-1] not in SECRET_FIELDS:
        how = ", as an id or as ${action:NAME}" if place == ACTION_ID else ""
        return Problem(
            path=join(place), message=f"must be written out{how}: only {', '.join(SECRET_FIELDS)} may be a reference"
        )
    why = unresolvable(reference)
    return None if why is None else Problem(path=join(place), message=why)


def _unreplaced(marker: str, place: Sequence[str | int]) -> str:
    remedy = "; allowed: a value, ${env:NAME} or ${file:PATH}" if place[-1] in SECRET_FIELDS else ""
    if place == ACTION_ID:
        remedy = "; allowed: an id, or ${action:NAME}"
    elif parse_action(marker) is not None:
        return f"must be written out: only {join(ACTION_ID)} may be ${{action:NAME}}{remedy}"
    if place[0] != "destination":
        return f"holds a placeholder that nobody replaced ({show(marker)})"
    # What looks like a placeholder may be a piece of a secret, or of a URL's password: here, only its kind is told.
    kind = f"{marker[:2]}…{'}' if marker[0] == '$' else marker[:2]}"
    return f"holds a placeholder that nobody replaced ({kind}){remedy}"
