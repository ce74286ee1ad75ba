"""What rate-limit headers mean, how long a pause is, and how much of the server's budget may be taken."""

from __future__ import annotations

import math
from email.utils import formatdate

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bulkstreams.core.pacing import (
    JITTER,
    PAUSE_CAP_S,
    PAUSE_FLOOR_S,
    Budget,
    Ceiling,
    ServerClock,
    Window,
    pause_after_429,
    read_budget,
    retry_after,
    seconds_to_reset,
)

# How long a machine takes to draw or to run an example is no matter of these properties.
CALM = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

NOW = 1_750_000_000
DATE = formatdate(NOW, usegmt=True)
NAMES = ("x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset", "retry-after", "date")
GARBAGE = st.one_of(
    st.text(max_size=30),
    st.sampled_from(
        [
            "nan", "-nan", "inf", "-inf", "1e999", "-1", "0", "12.7", "1_000", " 7 ", "٣", "", "9" * 400, DATE,
            "Mon, 99 Foo 20205 99:99:99 +9999", "Wed, 31 Dec 9999 23:59:59 -9959", "Thu, 01 Jan 0000 00:00:00 GMT",
            "Thu, 01 Jan 1970 00:00:00 GMT", "1 Jan 99999999999999999999 00:00:00 GMT",
        ]
    ),
    st.integers().map(str),
    st.floats().map(str),
)  # fmt: skip
HEADERS = st.dictionaries(st.sampled_from(NAMES), GARBAGE)
DRAWS = st.floats(0, 1, exclude_max=True)


def budget(remaining: int, *, limit: int | None = None, reset: int | None = None) -> dict[str, str]:
    """Return the headers of a reply that tells of a bucket."""
    headers = {"x-ratelimit-remaining": str(remaining), "date": DATE}
    if limit is not None:
        headers["x-ratelimit-limit"] = str(limit)
    if reset is not None:
        headers["x-ratelimit-reset"] = str(NOW + reset)
    return headers


@CALM
@given(HEADERS, st.integers(1, 10_000), DRAWS)
def test_a_pause_is_never_too_short_too_long_or_no_number(headers: dict[str, str], in_a_row: int, draw: float) -> None:
    """Whatever the headers say, a pause lies between the floor and the cap with its jitter."""
    pause = pause_after_429(headers, in_a_row=in_a_row, draw=draw)
    assert math.isfinite(pause)
    assert PAUSE_FLOOR_S <= pause <= PAUSE_CAP_S * (1 + JITTER)


@CALM
@given(HEADERS)
def test_garbage_in_headers_never_raises(headers: dict[str, str]) -> None:
    """Each reader answers within its range, or None."""
    for read in (retry_after, seconds_to_reset):
        seconds = read(headers)
        assert seconds is None or 0 <= seconds <= PAUSE_CAP_S
    found = read_budget(headers)
    assert found is None or (found.remaining >= 0 and 0 <= found.more_in_s <= PAUSE_CAP_S)


@CALM
@given(st.lists(st.tuples(HEADERS, st.integers(0, 50)), max_size=8), st.floats(0, 0.99))
def test_a_window_survives_any_sequence_of_replies(replies: list[tuple[dict[str, str], int]], reserve: float) -> None:
    """Garbage headers leave the wait finite, never negative, never beyond the cap."""
    window = Window(reserve=reserve)
    for headers, in_flight in replies:
        window.replied(headers, in_flight, 10.0)
        assert 0 <= window.wait(in_flight, 10.0) <= PAUSE_CAP_S
        window.take()


def test_a_budget_is_read_from_its_headers() -> None:
    """Size, rest and the seconds to the reset come out as the server meant them."""
    assert read_budget(budget(7, limit=50, reset=3)) == Budget(limit=50, remaining=7, more_in_s=3.0)


def test_without_remaining_there_is_no_budget() -> None:
    """A limit alone says nothing of what is left."""
    assert read_budget({"x-ratelimit-limit": "50"}) is None
    assert read_budget({"x-ratelimit-remaining": "many"}) is None


def test_a_negative_rest_is_none_left() -> None:
    """A server that counts below zero has nothing left."""
    assert read_budget(budget(-3)) == Budget(limit=None, remaining=0, more_in_s=0.0)


@pytest.mark.parametrize(("reset", "seconds"), [(5, 5.0), (0, 0.0), (-5, 0.0), (100_000, PAUSE_CAP_S)])
def test_the_reset_is_read_against_the_servers_own_date(reset: int, seconds: float) -> None:
    """The two instants of one reply are compared, so that no clock of ours matters; a wrong one cannot park us."""
    assert seconds_to_reset(budget(0, reset=reset)) == seconds


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


def test_the_servers_word_comes_first() -> None:
    """`Retry-After` beats the reset, which beats our own guess."""
    both = {**budget(0, reset=20), "retry-after": "3"}
    assert pause_after_429(both, in_a_row=1, draw=0) == 3.0
    assert pause_after_429(budget(0, reset=20), in_a_row=1, draw=0) == 20.0
    assert pause_after_429({}, in_a_row=1, draw=0) == 1.0


def test_a_pause_that_the_server_asks_for_is_never_cut_short_by_jitter() -> None:
    """Jitter only ever adds, a tenth at most."""
    assert pause_after_429({"retry-after": "10"}, in_a_row=1, draw=0.999) == pytest.approx(10.999)
    assert pause_after_429({"retry-after": "10"}, in_a_row=1, draw=0.0) == 10.0


def test_a_reset_in_the_past_still_pauses() -> None:
    """A whole-second reset that has passed when it arrives leaves the floor, not a hot loop."""
    assert pause_after_429(budget(0, reset=-1), in_a_row=1, draw=0) == PAUSE_FLOOR_S


def test_unexplained_429s_double_the_pause_up_to_the_cap() -> None:
    """Without a word from the server the pause grows with each refusal in a row."""
    assert [pause_after_429({}, in_a_row=n, draw=0) for n in (1, 2, 3, 4, 9, 10, 99)] == [1, 2, 4, 8, 256, 300, 300]


def test_a_server_that_keeps_refusing_after_its_own_wait_is_given_longer() -> None:
    """Three waits are taken at their word; after those the pause grows too."""
    asked = {"retry-after": "1"}
    assert [pause_after_429(asked, in_a_row=n, draw=0) for n in (1, 2, 3, 4, 5, 6)] == [1, 1, 1, 2, 4, 8]
    assert pause_after_429({"retry-after": "60"}, in_a_row=4, draw=0) == 60


def test_a_ceiling_is_a_plain_value() -> None:
    """No ceiling of ours is a rate of None."""
    assert Ceiling(rate=None, burst=10) == Ceiling(rate=None, burst=10)


# -- the window -----------------------------------------------------------------------------------------------------


def test_the_first_request_goes_alone() -> None:
    """Before any reply one request goes at once; a second waits for what it tells."""
    window = Window()
    assert window.wait(0, 0.0) == 0.0
    window.take()
    assert window.wait(1, 0.0) == PAUSE_CAP_S


def test_without_headers_there_is_no_window() -> None:
    """A server that says nothing of a budget is not held back by one."""
    window = Window()
    window.replied({}, 0, 0.0)
    for _ in range(1000):
        assert window.wait(5, 0.0) == 0.0
        window.take()


def test_as_many_go_as_the_newest_reply_left() -> None:
    """The rest of the bucket, less requests that it cannot have counted yet, may be taken and not one more."""
    window = Window()
    window.replied(budget(5, limit=50, reset=2), 2, 100.0)
    for _ in range(3):
        assert window.wait(2, 100.0) == 0.0
        window.take()
    assert window.wait(2, 100.0) == PAUSE_CAP_S
    assert window.wait(0, 100.0) == 2.0


def test_an_empty_bucket_waits_for_its_reset_and_then_lets_one_go() -> None:
    """When nothing is left all wait until more tokens come; then one request asks, and the rest wait for it."""
    window = Window()
    window.replied(budget(0, limit=50, reset=4), 0, 100.0)
    assert window.wait(0, 100.0) == 4.0
    assert window.wait(0, 103.0) == 1.0
    assert window.wait(0, 104.0) == 0.0
    window.take()
    assert window.wait(1, 104.0) == PAUSE_CAP_S
    window.replied(budget(3, limit=50), 0, 104.5)
    assert window.wait(0, 104.5) == 0.0


def test_an_empty_bucket_whose_reset_has_passed_still_waits_the_floor() -> None:
    """A rest of nothing with a reset in the past is not asked again at once."""
    window = Window()
    window.replied(budget(0, reset=-1), 0, 100.0)
    assert window.wait(0, 100.0) == PAUSE_FLOOR_S


def test_the_reserve_is_left_to_others() -> None:
    """With a fifth of fifty reserved, the last ten are not taken."""
    window = Window(reserve=0.2)
    window.replied(budget(12, limit=50), 0, 0.0)
    window.take()
    assert window.wait(0, 0.0) == 0.0
    window.take()
    assert window.wait(0, 0.0) > 0.0


def test_a_reserve_of_an_unknown_bucket_holds_nothing_back() -> None:
    """Where the server does not tell the size, a share of it cannot be known."""
    window = Window(reserve=0.5)
    window.replied(budget(1), 0, 0.0)
    assert window.wait(0, 0.0) == 0.0


def test_more_in_flight_than_left_is_no_credit() -> None:
    """Credit never goes below nothing, so later replies are not held against it."""
    window = Window()
    window.replied(budget(2, reset=1), 10, 0.0)
    assert window.wait(10, 0.0) == PAUSE_CAP_S
    window.take()
    assert window.wait(0, 1.0) == 0.0


def test_after_a_429_one_request_goes_alone_again() -> None:
    """What was known of the budget is forgotten when the server says to wait."""
    window = Window()
    window.replied(budget(40, limit=50), 0, 0.0)
    window.throttled()
    assert window.wait(3, 0.0) == PAUSE_CAP_S
    assert window.wait(0, 1.0) == 0.0


@CALM
@given(st.integers(0, 100), st.integers(0, 100), st.integers(1, 100), st.floats(0, 0.99))
def test_a_window_never_grants_more_than_the_budget(remaining: int, in_flight: int, limit: int, reserve: float) -> None:
    """Requests let go beside those under way, and the reserve, never exceed what the reply left."""
    window = Window(reserve=reserve)
    window.replied(budget(remaining, limit=limit, reset=1), in_flight, 0.0)
    granted = 0
    while window.wait(in_flight + granted + 1, 0.0) == 0.0:
        window.take()
        granted += 1
    assert granted == max(0, remaining - int(limit * reserve) - in_flight)


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
