"""The bucket that the headers show: what is sure, what is a guess, what is left to others, and when more comes."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bulkstreams.core.budget import SENSIBLE_RESET_S, read_budget
from bulkstreams.core.level import BLIND_S, LOOK_S, MARGIN_MOST, Level, Told
from tests.core.replies import CALM, told

AT = 1000.0


def reply(
    headers: dict[str, str],
    ticket: int = 1,
    *,
    sent: int | None = None,
    sent_at: float = AT,
    took: float = 0.03,
    in_flight: int = 0,
    uncounted: int = 0,
    unordered: int = 0,
    apart: float = 0.0,
) -> Told:
    """Return a reply; where nothing is said, the newest request has it and no other is under way."""
    sent = ticket if sent is None else sent
    return Told(ticket, headers, sent_at, sent_at + took, sent, in_flight, uncounted, unordered, apart)


def hear(level: Level, one: Told, *, refused: bool = False) -> None:
    """Tell a level of a reply."""
    budget = read_budget(one.headers)
    assert budget is not None
    (level.refused if refused else level.heard)(one, budget)


def goes(level: Level, sent: int, *, in_flight: int = 1, now: float = AT + 0.03) -> int:
    """Return how many more go at once after `sent`, and note each."""
    count = 0
    while level.wait(sent + count, in_flight, 0.0, 0.0, now) == 0.0:
        count += 1
        level.take(sent + count)
        in_flight += 1
    return count


def steady(rate: float = 50.0, *, limit: int = 20, left: int = 10, count: int = 40, reserve: float = 0.0) -> Level:
    """Return a level that saw the bucket stay at `left` while so many requests a second went; the last at AT."""
    level = Level(reserve=reserve)
    for number in range(1, count + 1):
        sent_at = AT - (count - number) / rate
        hear(level, reply(told(left, limit=limit, at=sent_at), number, sent_at=sent_at, in_flight=1))
    return level


# -- what is sure -----------------------------------------------------------------------------------------------------


def test_nothing_is_known_before_a_reply() -> None:
    """A level that was never told says so."""
    assert not Level().known
    assert Level().refill is None
    assert Level().seen is None


@pytest.mark.parametrize(("limit", "left", "least"), [(50, 49, 47), (20, 10, 8), (10, 5, 4), (2, 1, 0)])
def test_the_credit_goes_at_once_but_for_a_small_margin(limit: int, left: int, least: int) -> None:
    """A tenth of the bucket, two tokens at most, is kept to see what came meanwhile; the rest is sure and goes."""
    level = Level()
    hear(level, reply(told(left, limit=limit)))
    assert goes(level, 1) == least
    assert level.wait(1 + least, 1, 0.0, 0.0, AT + 1) == math.inf


def test_what_was_not_counted_yet_is_taken_off() -> None:
    """A reply cannot have counted the requests that were still on their way to the server."""
    level = Level()
    hear(level, reply(told(10, limit=20), 5, sent=8, in_flight=3, uncounted=3))
    assert goes(level, 8) == 10 - 3 - 2


def test_without_a_limit_all_that_is_left_goes() -> None:
    """Where the size is not told there is no share of it: neither a margin nor a reserve."""
    level = Level(reserve=0.5)
    hear(level, reply(told(5)))
    assert goes(level, 1) == 5
    hear(level, reply(told(0), 6, sent=6), refused=True)
    hear(level, reply(told(5), 7))
    assert goes(level, 7) == 5


def test_a_bucket_of_another_size_is_another_bucket() -> None:
    """After a change of plan the floor is the new one's share."""
    level = Level(reserve=0.5)
    hear(level, reply(told(20, limit=20)))
    assert goes(level, 1) == 20 - 10 - 2
    hear(level, reply(told(50, limit=100), 10, sent_at=AT + 1))
    assert level.limit == 100
    assert level.wait(10, 1, 0.0, 0.0, AT + 1) > 0.0


@CALM
@given(st.permutations(range(1, 21)), st.integers(0, 30))
def test_replies_of_one_burst_in_any_order_never_overdraw(order: list[int], more: int) -> None:
    """The lowest of them counts: what a late reply shows is not added again to what an early one gave out."""
    burst = 20 + more
    level = Level()
    for answered, ticket in enumerate(order, 1):
        in_flight = 20 - answered
        headers = told(burst - ticket, limit=burst)
        one = reply(headers, ticket, sent=20, in_flight=in_flight, uncounted=in_flight, apart=0.1)
        hear(level, one)
        probe = 0
        while level.wait(20 + probe, in_flight + probe, 0.0, 0.0, AT) == 0.0:
            probe += 1
        assert probe <= more


def test_when_all_are_answered_the_least_that_was_seen_is_what_is_left() -> None:
    """The request that was counted last saw the least, whichever reply came last."""
    level = Level()
    hear(level, reply(told(7, limit=20), 3, sent=3, in_flight=1, uncounted=1, apart=0.1))
    hear(level, reply(told(9, limit=20), 1, sent=3, in_flight=0, apart=0.1))
    assert goes(level, 3, in_flight=0) == 7 - 2


# -- more comes -------------------------------------------------------------------------------------------------------


def test_the_refill_is_measured_from_reply_to_reply() -> None:
    """A bucket that stays where it is while fifty a second go gets fifty a second."""
    assert steady(50.0).refill == pytest.approx(50.0)
    assert steady(8.0).refill == pytest.approx(8.0)


def served(rate: float, window_s: float, *, every_s: float, seconds: float) -> Level:
    """Return a level that heard a bucket which `rate` tokens a second come into, once a window; one goes `every_s`."""
    level, size = Level(), 50
    for number in range(1, round(seconds / every_s)):
        at = number * every_s
        came = math.floor(at / window_s + 1e-9) * window_s * rate
        left = min(size - 1, math.floor(10 + came - number + 1e-9))
        hear(level, reply(told(left, limit=size, at=AT + at), number, sent_at=AT + at, in_flight=1))
    return level


@pytest.mark.parametrize("window_s", [0.001, 0.13, 1.0])
def test_what_people_are_told_of_the_refill_is_all_that_came(window_s: float) -> None:
    """Tokens are whole and may come all at once: a guess goes by the lower of what was measured, people by the mean."""
    level = served(10.0, window_s, every_s=0.1, seconds=30.0)
    assert level.seen == pytest.approx(10.0, rel=0.05)
    assert level.refill is None or level.refill <= 10.0 + 1e-6


def test_a_bucket_that_nothing_came_into_has_no_refill_yet() -> None:
    """Where the level falls by one a request, nothing came: a window that has not turned."""
    level = Level()
    for number in range(1, 41):
        sent_at = AT + number / 50
        hear(level, reply(told(100 - number, limit=100), number, sent_at=sent_at, in_flight=1))
    assert level.refill is None
    assert level.wait(40 + 58, 1, 0.0, 0.0, AT + 1) == math.inf


def test_a_full_bucket_shows_less_than_came() -> None:
    """What overflowed was never seen: a lower figure from a full bucket does not replace what was measured."""
    level = steady(50.0, left=10)
    for number in range(41, 121):
        sent_at = AT + (number - 40) / 10  # ten a second: the bucket fills up
        hear(level, reply(told(20, limit=20, at=sent_at), number, sent_at=sent_at, in_flight=1))
    assert level.refill == pytest.approx(50.0)


def test_nothing_is_measured_from_replies_whose_order_is_in_doubt() -> None:
    """Of many that were on their way at once nobody knows which was counted first."""
    level = Level()
    for number in range(1, 41):
        sent_at = AT + number / 50
        one = reply(told(10, limit=20), number, sent_at=sent_at, in_flight=9, uncounted=9, unordered=9)
        hear(level, one)
    assert level.refill is None


def test_once_the_sure_ones_went_the_refill_sets_the_pace() -> None:
    """After the burst one goes each fiftieth of a second, as tokens come: counted from the middle of the way."""
    level = steady(50.0, left=10)
    sent = 40 + goes(level, 40)
    assert sent == 48
    half_way = AT + 0.015
    waits = [level.wait(sent + more, 1, 0.0, 0.0, half_way) for more in range(3)]
    assert waits == [pytest.approx(1 / 50), pytest.approx(2 / 50), pytest.approx(3 / 50)]
    assert level.wait(sent, 1, 0.0, 0.0, half_way + 1 / 50 + 1e-9) == 0.0


def test_no_guess_goes_before_its_time_but_what_is_sure_does() -> None:
    """`at_least` holds back what might pile up at a server that does not answer; credit is credit."""
    level = steady(50.0, left=10)
    assert level.wait(40, 1, 7.0, 0.0, AT) == 0.0
    assert level.wait(48, 1, 7.0, 0.0, AT) == 7.0


def test_a_refused_guess_makes_guesses_dearer_and_granted_ones_restore_them() -> None:
    """Half of the trust goes with each refused guess, and comes back by and by; some is always left."""
    level = steady(50.0, left=2)
    sent = 40
    for _ in range(20):
        sent += 1
        level.take(sent)
        before = level.refill
        sent += 1
        level.take(sent)  # none is left for this one: a guess
        hear(level, reply(told(0, limit=20), sent, sent_at=AT + sent), refused=True)
        level.settle(sent)
    assert before == pytest.approx(50.0 * 0.02)
    granted = 0
    while (level.refill or 0.0) < 50.0 - 1e-9:
        sent, granted = sent + 1, granted + 1
        level.take(sent)
        hear(level, reply(told(0, limit=20), sent, sent_at=AT + 100 + granted / 50, in_flight=1))
        level.settle(sent)
        assert granted < 1000
    assert granted > 100
    assert level.refill == pytest.approx(50.0)


def test_a_refusal_of_what_was_sure_costs_no_trust() -> None:
    """Another client took it: that says nothing of what comes in."""
    level = steady(50.0, left=10)
    level.take(41)
    hear(level, reply(told(0, limit=20), 41, sent_at=AT + 0.1), refused=True)
    assert level.refill == pytest.approx(50.0)


def test_what_went_on_a_guess_is_not_remembered_for_ever() -> None:
    """Replies without headers, and none at all, leave nothing behind."""
    level = steady(50.0, left=0)
    for ticket in range(41, 1041):
        level.take(ticket)
        level.settle(ticket)
    assert not level._guessed


# -- other clients ----------------------------------------------------------------------------------------------------


def test_a_refusal_widens_the_margin_and_quiet_narrows_it_again() -> None:
    """Where others drain the bucket more is kept clear, up to a share of it; each granted request gives a bit back."""
    level = Level()
    hear(level, reply(told(19, limit=20)))
    margins = []
    for number in range(2, 8):
        hear(level, reply(told(0, limit=20), number, sent_at=AT + number), refused=True)
        margins.append(level._margin)
    assert margins[:3] == [4.0, 8.0, MARGIN_MOST * 20]
    assert margins[-1] == MARGIN_MOST * 20
    hear(level, reply(told(19, limit=20), 8, sent_at=AT + 8))
    assert goes(level, 8) == 19 - 14
    for number in range(9, 6009):
        hear(level, reply(told(19, limit=20), number, sent_at=AT + number))
    assert level._margin == 2.0


def test_after_a_refusal_nothing_is_left() -> None:
    """Whatever was thought to be there is not, less still those under way."""
    level = Level()
    hear(level, reply(told(15, limit=20)))
    hear(level, reply(told(0, limit=20), 2, sent=5, in_flight=3, uncounted=3, sent_at=AT + 1), refused=True)
    assert level.wait(5, 3, 0.0, 0.0, AT + 1) == math.inf


@pytest.mark.parametrize(("limit", "reserve", "ours"), [(50, 0.4, 28), (20, 0.4, 10), (10, 0.35, 5), (50, 0.0, 48)])
def test_the_reserve_is_left_to_others(limit: int, reserve: float, ours: int) -> None:
    """Of a full bucket goes what is above the share, rounded in favour of the others, less the margin."""
    level = Level(reserve=reserve)
    hear(level, reply(told(limit, limit=limit)))
    assert goes(level, 1) == ours


def test_a_reserve_of_all_but_a_part_of_a_token_leaves_one() -> None:
    """Of a bucket of two, nine tenths would be both; one is ours when it is full."""
    level = Level(reserve=0.9)
    hear(level, reply(told(2, limit=2, reset=1.0)))
    assert level.wait(1, 0, 0.0, LOOK_S, AT + 0.1) == 0.0
    hear(level, reply(told(1, limit=2, reset=2.0), 2, sent_at=AT + 0.1))
    assert level.wait(2, 0, 0.0, 60.0, AT + 0.2) > 0.0


def test_what_others_took_of_their_reserve_is_waited_for() -> None:
    """Three tokens below the floor the wait is three seconds longer: they come one a second at least, as a rule."""
    at_floor, below = Level(reserve=0.5), Level(reserve=0.5)
    hear(at_floor, reply(told(10, limit=20)))
    hear(below, reply(told(7, limit=20)))
    waits = [level.wait(1, 0, 0.0, 0.0, AT) for level in (at_floor, below)]
    assert waits[1] - waits[0] == pytest.approx(3.0)


def test_no_bucket_takes_longer_than_any_window_to_come_back() -> None:
    """However far below the floor a great bucket is, one asks again after a minute or two."""
    level = Level(reserve=0.5)
    hear(level, reply(told(0, limit=200_000)))
    assert level.wait(1, 0, 0.0, 0.0, AT) <= BLIND_S + SENSIBLE_RESET_S + 0.1


# -- nothing is sure, and nobody is under way -------------------------------------------------------------------------


def test_what_only_the_margin_holds_back_goes_alone_after_a_short_quiet() -> None:
    """A look tells what came meanwhile; while others are under way their replies do."""
    level = Level()
    hear(level, reply(told(2, limit=20)))
    assert level.wait(1, 0, 0.0, 0.04, AT) == pytest.approx(LOOK_S - 0.04)
    assert level.wait(1, 0, 0.0, LOOK_S, AT) == 0.0
    assert level.wait(1, 1, 0.0, LOOK_S, AT) == math.inf


@pytest.mark.parametrize("ahead", [0.0, 90.0, -90.0, 1e6])
def test_an_empty_bucket_waits_for_its_reset_on_the_servers_own_clock(ahead: float) -> None:
    """However far the clocks are apart, the wait is what the server meant, and one then goes to ask."""
    level = Level()
    hear(level, reply(told(0, limit=20, reset=ahead + 4.0, at=ahead), took=0.0))
    assert level.wait(1, 0, 0.0, 0.0, AT) == pytest.approx(4.0)
    assert level.wait(1, 0, 0.0, 3.0, AT + 3.0) == pytest.approx(1.0)
    assert level.wait(1, 0, 0.0, 4.0, AT + 4.0) == 0.0
    assert level.wait(1, 1, 0.0, 4.0, AT + 4.0) == math.inf


def test_the_more_replies_the_nearer_the_servers_clock() -> None:
    """`Date` is cut to whole seconds: the reply made just after a turn tells it best, and is remembered for a while."""
    level = Level()
    for number in range(10):
        at = number / 10
        one = told(0, limit=20, reset=3.0, at=0.95 + at)
        hear(level, reply(one, number + 1, sent_at=AT + at, took=0.0, unordered=9))
    # The best of them came at AT + 0.1, when the server's clock had just turned to 1.05, shown as 1.
    assert level.wait(10, 0, 0.0, 0.0, AT + 0.9) == pytest.approx(3.0 - (1.0 + 0.8))
    later = AT + 0.9 + SENSIBLE_RESET_S + 1
    hear(level, reply(told(0, limit=20, reset=93.0, at=91.5), 11, sent_at=later, took=0.0))
    assert level.wait(11, 0, 0.0, 0.0, later) == pytest.approx(2.0)


@pytest.mark.parametrize(
    "headers",
    [
        told(0, limit=20),
        {"x-ratelimit-remaining": "0", "x-ratelimit-reset": "1750000004"},
        told(0, limit=20, reset=SENSIBLE_RESET_S + 2.0),
    ],
)
def test_an_empty_bucket_without_a_usable_reset_is_asked_after_a_second(headers: dict[str, str]) -> None:
    """No reset, no clock to read it by, or one beyond any window: one request goes and asks."""
    level = Level()
    hear(level, reply(headers, took=0.0))
    assert level.wait(1, 0, 0.0, 0.0, AT) == pytest.approx(BLIND_S)
    assert level.wait(1, 0, 0.0, 0.0, AT + BLIND_S) == 0.0


def test_a_reset_that_has_passed_is_no_reason_to_wait() -> None:
    """What was to come is there: one goes and sees."""
    level = Level()
    hear(level, reply(told(0, limit=20, reset=-3.0)))
    assert level.wait(1, 0, 0.0, 0.0, AT + 0.03) == 0.0
