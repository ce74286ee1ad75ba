"""What rate-limit headers mean, and what they do not: garbage is None, and no clock of ours takes part."""

from __future__ import annotations

from email.utils import formatdate

import pytest
from hypothesis import given

from bulkstreams.core.budget import (
    PAUSE_CAP_S,
    SENSIBLE_RESET_S,
    Budget,
    ServerClock,
    read_budget,
    retry_after,
    seconds_to_reset,
)
from tests.core.replies import CALM, DATE, HEADERS, NOW, told


@CALM
@given(HEADERS)
def test_garbage_in_headers_never_raises(headers: dict[str, str]) -> None:
    """Each reader answers within its range, or None."""
    for read in (retry_after, seconds_to_reset):
        seconds = read(headers)
        assert seconds is None or 0 <= seconds <= PAUSE_CAP_S
    found = read_budget(headers)
    assert found is None or (found.remaining >= 0 and (found.limit is None or found.remaining <= found.limit))


def test_a_budget_is_read_from_its_headers() -> None:
    """Size, rest and the server's own instant of the reset come out as they were meant."""
    assert read_budget(told(7, limit=50, reset=3)) == Budget(limit=50, remaining=7, reset=NOW + 3.0)
    assert read_budget(told(7)) == Budget(limit=None, remaining=7, reset=None)


def test_without_remaining_there_is_no_budget() -> None:
    """A limit alone says nothing of what is left."""
    assert read_budget({"x-ratelimit-limit": "50"}) is None
    assert read_budget({"x-ratelimit-remaining": "many"}) is None


def test_a_negative_rest_is_none_left() -> None:
    """A server that counts below zero has nothing left."""
    assert read_budget(told(-3, limit=50)) == Budget(limit=50, remaining=0, reset=None)


@pytest.mark.parametrize(("remaining", "limit"), [(51, 50), (5, 0), (0, 0), (5, -50), (-5, -50)])
def test_senseless_headers_are_no_budget(remaining: int, limit: int) -> None:
    """More left than the bucket holds, or a bucket that holds nothing, is about something else."""
    assert read_budget(told(remaining, limit=limit)) is None


def test_a_full_and_an_empty_bucket_are_sensible() -> None:
    """The ends of the range belong to it."""
    full, empty = read_budget(told(50, limit=50)), read_budget(told(0, limit=1))
    assert full is not None
    assert full.remaining == 50
    assert empty is not None
    assert empty.remaining == 0


def test_an_unreadable_reset_takes_nothing_from_the_rest() -> None:
    """Each header counts by itself."""
    headers = {**told(7, limit=50), "x-ratelimit-reset": "soon"}
    assert read_budget(headers) == Budget(limit=50, remaining=7, reset=None)


@pytest.mark.parametrize(
    ("reset", "seconds"), [(5, 5.0), (0, 0.0), (-5, 0.0), (SENSIBLE_RESET_S, SENSIBLE_RESET_S), (91, None), (1e5, None)]
)
def test_the_reset_is_read_against_the_servers_own_date(reset: float, seconds: float | None) -> None:
    """The two instants of one reply are compared, so no clock of ours matters; farther off than any window is none."""
    assert seconds_to_reset(told(0, reset=reset)) == seconds


def test_a_reset_without_a_date_says_nothing() -> None:
    """Without the server's clock an epoch second has no meaning for us."""
    assert seconds_to_reset({"x-ratelimit-reset": str(NOW)}) is None
    assert seconds_to_reset({"date": DATE}) is None


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("7", 7.0),
        ("0.5", 0.5),
        ("-1", 0.0),
        ("99999", PAUSE_CAP_S),
        ("inf", PAUSE_CAP_S),
        ("nan", None),
        ("soon", None),
        (formatdate(NOW + 9, usegmt=True), 9.0),
        (formatdate(NOW - 9, usegmt=True), 0.0),
    ],
)
def test_retry_after_is_read_as_seconds_or_as_a_date(text: str, seconds: float | None) -> None:
    """Both forms of the header are understood, bounded, and nonsense is passed over."""
    assert retry_after({"retry-after": text, "date": DATE}) == seconds


def test_retry_after_as_a_date_needs_the_servers_date() -> None:
    """A date without the reply's own `Date` would be read against a clock of ours, so it counts for nothing."""
    assert retry_after({"retry-after": DATE}) is None
    assert retry_after({}) is None


@pytest.mark.parametrize("year", ["99999", "9" * 20])
def test_a_date_beyond_the_calendar_says_nothing(year: str) -> None:
    """A date that no clock can hold is passed over, in either header."""
    odd = f"1 Jan {year} 00:00:00 GMT"
    assert retry_after({"retry-after": odd, "date": DATE}) is None
    assert seconds_to_reset({"x-ratelimit-reset": str(NOW), "date": odd}) is None


# -- the server's clock -----------------------------------------------------------------------------------------------


def test_the_servers_clock_is_unknown_before_a_reply_told_it() -> None:
    """No reply, or none with a date that can be read, tells nothing."""
    clock = ServerClock()
    assert clock.at(5.0) is None
    clock.heard({}, 5.0)
    assert clock.at(5.0) is None
    clock.heard({"date": "yesterday"}, 5.0)
    assert clock.at(5.0) is None


def test_the_servers_clock_goes_on_from_its_newest_date() -> None:
    """Between replies it is counted on by the monotonic clock."""
    clock = ServerClock()
    clock.heard({"date": formatdate(NOW - 100, usegmt=True)}, 1.0)
    clock.heard({"date": DATE}, 10.0)
    assert clock.at(10.0) == NOW
    assert clock.at(12.5) == NOW + 2.5


def test_a_reply_without_a_date_leaves_the_servers_clock_as_it_was() -> None:
    """A gateway that answers for the server does not make us forget."""
    clock = ServerClock()
    clock.heard({"date": DATE}, 10.0)
    assert clock.at(11.0) == NOW + 1
    clock.heard({}, 20.0)
    assert clock.at(21.0) == NOW + 11
