"""How a run went, as values: stretches that grow, and pauses that lie close together as one."""

from __future__ import annotations

import pytest

from bulkstreams.core.course import Paused, Pauses, stretch_s
from bulkstreams.core.waiting import Wait, WaitKind

WALL = 1000.0
"""By how much the epoch's clock is ahead here."""


def told(pauses: Pauses, now: float) -> list[tuple[str, float, float, float, int]]:
    """Return what is new: tenant, from when to when, seconds paused, in how many pauses."""
    return [
        (one.tenant, one.began_at - WALL, one.ended_at - WALL, one.seconds, one.pauses) for one in pauses.taken(now)
    ]


def note(
    pauses: Pauses, now: float, until: float | None, tenant: str = "acme", kind: WaitKind = WaitKind.THROTTLED
) -> None:
    """Have a tenant pause."""
    pauses.note(tenant, Wait(kind, f"until {until}", until), now, now + WALL)


@pytest.mark.parametrize(("days", "most"), [(1 / 86400, 11), (1 / 1440, 470), (1, 2250), (7, 2700)])
def test_a_longer_run_has_longer_stretches_not_so_many_more(days: float, most: int) -> None:
    """Ten for a second, some hundred for a minute, and not three thousand for a week."""
    elapsed, stretches = 0.0, 0
    while elapsed < days * 86400:
        elapsed += stretch_s(elapsed)
        stretches += 1
    assert stretches <= most


def test_a_pause_is_told_by_the_epochs_clock() -> None:
    """With its tenant, its kind, why, and when it is to end."""
    pauses = Pauses()
    pauses.note("acme", Wait(WaitKind.UNREACHABLE, "connection refused", 13.5), 10.0, 10.0 + WALL)
    assert pauses.taken(10.0) == [
        Paused("acme", WaitKind.UNREACHABLE, 1010.0, 1013.5, 3.5, 1, "connection refused"),
    ]


def test_what_was_told_is_told_again_only_when_it_has_changed() -> None:
    """A long pause is one row of a ledger that is written once, or each time that it grows."""
    pauses = Pauses()
    note(pauses, 10.0, 20.0)
    assert told(pauses, 11.0) == [("acme", 10.0, 20.0, 10.0, 1)]
    note(pauses, 12.0, 20.0)
    note(pauses, 12.0, 15.0)
    assert told(pauses, 13.0) == []
    note(pauses, 14.0, 24.0)
    assert told(pauses, 14.0) == [("acme", 10.0, 24.0, 14.0, 1)]


def test_pauses_that_lie_close_together_are_one() -> None:
    """What lay between them is not counted as paused."""
    pauses = Pauses()
    pauses.gap_s = 2.0
    note(pauses, 10.0, 11.0)
    note(pauses, 13.0, 14.0)
    note(pauses, 16.5, 17.0)
    assert told(pauses, 18.0) == [("acme", 10.0, 14.0, 2.0, 2), ("acme", 16.5, 17.0, 0.5, 1)]


def test_tenants_and_kinds_of_pause_are_told_apart() -> None:
    """One tenant's 429 is not another's, nor its own outage."""
    pauses = Pauses()
    note(pauses, 10.0, 11.0)
    note(pauses, 10.0, 12.0, tenant="other")
    note(pauses, 11.0, 13.0, kind=WaitKind.UNREACHABLE)
    assert sorted(told(pauses, 11.0)) == [
        ("acme", 10.0, 11.0, 1.0, 1),
        ("acme", 11.0, 13.0, 2.0, 1),
        ("other", 10.0, 12.0, 2.0, 1),
    ]


def test_a_tenant_is_in_one_pause_at_a_time() -> None:
    """A 429 with a long wait in the midst of an outage: no second of it is counted as paused twice."""
    pauses = Pauses()
    note(pauses, 10.0, 20.0, kind=WaitKind.UNREACHABLE)
    note(pauses, 10.0, 20.0, tenant="other", kind=WaitKind.UNREACHABLE)
    note(pauses, 14.0, 40.0)
    assert sorted(told(pauses, 14.0)) == [
        ("acme", 10.0, 14.0, 4.0, 1),
        ("acme", 14.0, 40.0, 26.0, 1),
        ("other", 10.0, 20.0, 10.0, 1),
    ]


def test_no_pause_takes_less_than_no_time() -> None:
    """One that grew and is cut as it began: a ledger with a negative one would be refused as damaged."""
    pauses = Pauses()
    for until in (1.7, 4.9, 5.4):
        note(pauses, 1.6, until)
    pauses.end(1.6)
    assert [seconds for _, _, _, seconds, _ in told(pauses, 5.4)] == [0.0]


def test_a_pause_that_was_told_and_is_long_over_is_forgotten() -> None:
    """The next one of its tenant is another, and the first is not told twice."""
    pauses = Pauses()
    note(pauses, 10.0, 11.0)
    assert told(pauses, 12.0) == [("acme", 10.0, 11.0, 1.0, 1)]
    note(pauses, 20.0, 21.0)
    assert told(pauses, 22.0) == [("acme", 20.0, 21.0, 1.0, 1)]
    note(pauses, 21.0625, 21.5)
    note(pauses, 40.0, 41.0)
    assert told(pauses, 41.0) == [("acme", 21.0625, 21.5, 0.4375, 1), ("acme", 40.0, 41.0, 1.0, 1)]


def test_a_told_pause_that_another_follows_is_not_told_again() -> None:
    """It is at its end already where it was written."""
    pauses = Pauses()
    note(pauses, 10.0, 11.0)
    pauses.taken(11.05)
    note(pauses, 12.0, 13.0)
    assert told(pauses, 12.0) == [("acme", 12.0, 13.0, 1.0, 1)]


@pytest.mark.parametrize("until", [None, 10.0, 9.0])
def test_what_is_no_pause_is_not_told(until: float | None) -> None:
    """One without an end that is known, or that is over as it begins."""
    pauses = Pauses()
    note(pauses, 10.0, until)
    assert told(pauses, 11.0) == []


def test_a_pause_ends_where_nobody_waits_any_longer() -> None:
    """A tenant that is stopped in its pause paused no longer than that; the others go on."""
    pauses = Pauses()
    note(pauses, 10.0, 20.0)
    note(pauses, 10.0, 20.0, tenant="other")
    pauses.cut("acme", 12.0)
    assert sorted(told(pauses, 12.0)) == [("acme", 10.0, 12.0, 2.0, 1), ("other", 10.0, 20.0, 10.0, 1)]
    pauses.end(15.0)
    assert told(pauses, 15.0) == [("other", 10.0, 15.0, 5.0, 1)]
    pauses.end(30.0)
    assert told(pauses, 30.0) == []


def test_no_pause_ends_before_it_begins() -> None:
    """Where the last of several was cut as it began, what the others paused is left."""
    pauses = Pauses()
    note(pauses, 10.0, 12.0)
    pauses.end(9.0)
    assert told(pauses, 12.0) == [("acme", 10.0, 10.0, 0.0, 1)]
