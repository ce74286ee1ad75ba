"""How a run stands, noted in its ledger now and then, so that others can ask while it goes on.

A note has instants, not durations: one that was made as a long pause began is right until it ends. So nothing is
written while nothing changes. This module must never note what only looks different.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Final

import anyio

from bulkstreams.core.waiting import Progress, Wait, WaitKind
from bulkstreams.engine.outlook import Outlook
from bulkstreams.engine.tools import Clock
from bulkstreams.ledger import Ledger

EVERY_S: Final = 2.0
"""Seconds between two notes at the least."""

MOMENT_S: Final = 1.0
"""Seconds of a wait, and of a difference, that are not worth a note."""

SHARE: Final = 0.1
"""How much of what is left the estimate must be wrong by, to be noted anew."""


async def keep_noting(outlook: Outlook, ledger: Ledger, clock: Clock) -> None:
    """Note how a run stands, until cancelled. Raises the ledger's errors."""
    noted: Progress | None = None
    while True:
        await anyio.sleep(EVERY_S)
        now = clock.monotonic()
        found = _lasting(outlook.look(), now)
        if noted is None or is_news(found, noted, now):
            await ledger.note(found.moved(clock.wall() - now), clock.wall())
            noted = found


def _lasting(progress: Progress, now: float) -> Progress:
    """Leave out the waits that will be over before anybody reads of them."""
    lasting = tuple((name, one) for name, one in progress.waits if one.until is None or one.until - now > MOMENT_S)
    passing = _kinds(progress.waits) - _kinds(lasting)
    return progress._replace(waits=lasting, counts=Counter(progress.counts) - passing)


def _kinds(waits: Sequence[tuple[str, Wait]]) -> Counter[WaitKind]:
    return Counter(one.kind for _, one in waits)


def is_news(found: Progress, noted: Progress, now: float) -> bool:
    """Return whether somebody who reads the older note would be told wrong."""
    return (
        [_gist(*one) for one in found.waits] != [_gist(*one) for one in noted.waits]
        or (found.counts, found.lanes, found.unseated) != (noted.counts, noted.lanes, noted.unseated)
        or found.at_least != noted.at_least
        or not _near(found.allowed, noted.allowed, SHARE * (found.allowed or 0.0))
        or not _near(found.ends_at, noted.ends_at, max(MOMENT_S, SHARE * (found.left_s(now) or 0.0)))
    )


def _gist(name: str, wait: Wait) -> tuple[str, WaitKind, str, int | None]:
    """Return what a wait says, its instant to the nearest few seconds."""
    return name, wait.kind, wait.reason, None if wait.until is None else round(wait.until / (2 * MOMENT_S))


def _near(one: float | None, other: float | None, most: float) -> bool:
    if one is None or other is None:
        return one is other
    return abs(one - other) <= most
