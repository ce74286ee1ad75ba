"""What a model of a server tells in its headers, and when."""

from __future__ import annotations

import math
from email.utils import parsedate_to_datetime
from random import Random

import pytest

from benchmarks.pacing.budgets import Bucket, Budget, Trickle
from benchmarks.pacing.models import (
    Answer,
    Server,
    at_times,
    between,
    negative,
    silent,
    stalled,
    steady,
    vanishing,
    with_retry_after,
    wrong,
)


def bucket(since: float, draws: Random) -> Budget:
    """Make a small bucket: 3 at once, one every two seconds."""
    return Bucket(Trickle(0.5), 3, since)


def date(answer: Answer) -> float:
    """Return the epoch seconds of a reply's Date."""
    return parsedate_to_datetime(answer.headers["date"]).timestamp()


def test_headers_say_what_is_left_and_when_the_next_token_comes() -> None:
    """Limit, remaining and reset are whole numbers; who waits until the reset is granted again."""
    server = Server(bucket, seed=4)
    answers = [server.ask(1.0) for _ in range(4)]
    assert [answer.granted for answer in answers] == [True, True, True, False]
    assert [answer.headers["x-ratelimit-remaining"] for answer in answers] == ["2", "1", "0", "0"]
    assert {answer.headers["x-ratelimit-limit"] for answer in answers} == {"3"}
    reset = int(answers[-1].headers["x-ratelimit-reset"])
    assert reset == math.ceil(server.wall(1.0) + 2.0)
    assert not server.ask(2.9).granted
    assert server.ask(reset - server.wall(0.0)).granted


def test_the_date_is_cut_to_whole_seconds() -> None:
    """Date is the server's instant without its fraction."""
    server = Server(bucket, seed=4)
    assert date(server.ask(5.5)) == math.floor(server.wall(5.5))


@pytest.mark.parametrize("ahead", [-90, 90])
def test_a_clock_that_is_off_shows_in_date_and_reset_alike(ahead: int) -> None:
    """A server that is 90 s off grants the same, and says the same in its own time."""
    right, off = Server(bucket, seed=9), Server(bucket, seed=9, ahead=ahead)
    for now in (0.0, 0.1, 0.2, 0.3, 7.0):
        one, other = right.ask(now), off.ask(now)
        assert one.granted == other.granted
        assert date(other) - date(one) == ahead
        assert int(other.headers["x-ratelimit-reset"]) - int(one.headers["x-ratelimit-reset"]) == ahead


def test_a_clock_that_drifts_refills_and_tells_by_its_own_seconds() -> None:
    """A server that is 2 % fast shows 102 s, and grants for them, in 100 of ours."""
    right, fast = Server(bucket, seed=9), Server(bucket, seed=9, drift=0.02)
    assert date(fast.ask(1000.0)) - date(right.ask(1000.0)) == pytest.approx(20.0, abs=1.0)
    assert fast.grantable(1000.0) - right.grantable(1000.0) == pytest.approx(0.5 * 20.0)


def test_the_same_seed_gives_the_same_server() -> None:
    """All chance of a model comes from its seed."""

    def play(seed: int) -> list[object]:
        server = Server(bucket, seed=seed, telling=at_times(wrong, 0.5))
        return [(server.travel(now), server.ask(now)) for now in map(float, range(40))]

    assert play(1) == play(1)
    assert play(1) != play(2)


def test_a_server_that_tells_nothing_tells_the_time() -> None:
    """Without rate-limit headers there is still a Date."""
    assert list(Server(bucket, seed=1, telling=silent).ask(0.0).headers) == ["date"]


def test_retry_after_comes_with_refusals_alone() -> None:
    """Retry-After is whole seconds, at least one, and only on a 429."""
    server = Server(bucket, seed=1, telling=with_retry_after)
    answers = [server.ask(0.0) for _ in range(4)]
    assert ["retry-after" in answer.headers for answer in answers] == [False, False, False, True]
    assert int(answers[-1].headers["retry-after"]) in (2, 3)


def test_some_replies_tell_something_else() -> None:
    """Of the replies about the share that was asked for tells nothing."""
    server = Server(bucket, seed=1, telling=at_times(silent, 0.3))
    missing = sum("x-ratelimit-limit" not in server.ask(now / 10).headers for now in range(1000))
    assert 240 < missing < 360


def test_wrong_headers_are_wrong_in_many_ways() -> None:
    """Among wrong headers are a limit of 0, resets long past and far away, and numbers below nothing or none at all."""
    server = Server(bucket, seed=1, telling=wrong)
    seen = [server.ask(float(now)) for now in range(200)]
    off = [int(one.headers["x-ratelimit-reset"] or 0) - server.wall(now) for now, one in enumerate(seen)]
    assert any(one.headers["x-ratelimit-limit"] == "0" for one in seen)
    assert {one.headers["x-ratelimit-remaining"] for one in seen} >= {"-1", "-5", "many"}
    assert min(off) < -3000
    assert max(off) > 1e11
    assert any(one.headers["date"] == "yesterday" for one in seen)


def test_negative_headers_are_negative_always() -> None:
    """A server may say -1 for no limit, or for nothing sensible at all."""
    assert Server(bucket, seed=1, telling=negative).ask(0.0).headers["x-ratelimit-remaining"] == "-1"


def test_a_latency_is_about_what_it_is_said_to_be_and_changes_when_it_is_to() -> None:
    """The way there and back add up to the latency, a tenth more or less; a slow spell has a beginning and an end."""
    draws = Random(1)
    travel = between(60.0, 120.0, steady(2.0), steady(0.03))
    for now, latency in ((0.0, 0.03), (60.0, 2.0), (119.9, 2.0), (120.0, 0.03)):
        there, back = travel(now, draws)
        assert there == back
        assert 0.9 * latency <= there + back <= 1.1 * latency


def test_a_stall_holds_what_was_decided_in_it_until_it_ends() -> None:
    """Replies of requests that arrive during a stall come when it is over; others are as ever."""
    travel = stalled(10.0, 20.0, steady(0.04, 0.0))
    draws = Random(1)
    assert travel(9.0, draws) == (0.02, 0.02)
    assert sum(travel(12.0, draws)) == pytest.approx(8.04)
    assert travel(20.0, draws) == (0.02, 0.02)


def test_a_request_can_vanish() -> None:
    """A server that swallows requests never decides on them."""
    assert vanishing(0.0, Random(1)) == (math.inf, math.inf)
