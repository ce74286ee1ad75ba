"""The simulator: no record is lost or sent twice, time is kept, and a policy is asked as an engine would ask it."""

from __future__ import annotations

import math
from collections.abc import Mapping

import pytest

from benchmarks.pacing.budgets import Bucket, Nothing, Trickle
from benchmarks.pacing.models import Server, Travel, between, steady, vanishing
from benchmarks.pacing.policies import OTHERS, OURS, BackOff, Ungated
from benchmarks.pacing.servers import MORE, TABLE, Row
from benchmarks.pacing.simulator import LATE_S, Policy, StuckError, simulate


def server(burst: int = 1_000_000, rate: float = 1e6, travel: Travel | None = None) -> Server:
    """Make a server with 100 ms of latency, on the dot, that grants all unless it is told what to have."""
    return Server(
        lambda since, draws: Bucket(Trickle(rate), burst, since) if burst else Nothing(),
        seed=1,
        travel=travel or steady(0.1, 0.0),
    )


class Noting(Ungated):
    """Lets one go every `pace` seconds, and notes all that it is told."""

    def __init__(self, pace: float = 0.0) -> None:
        super().__init__()
        self.pace = pace
        self.next_at = 0.0
        self.asked: list[tuple[int, float]] = []
        self.went: list[float] = []
        self.told: list[tuple[int, int, float]] = []
        self.missed: list[tuple[int, float]] = []

    def wait(self, in_flight: int, now: float) -> float:
        """Let one go when it is time."""
        self.asked.append((in_flight, now))
        return max(0.0, self.next_at - now)

    def take(self, now: float) -> int:
        """Note when."""
        self.went.append(now)
        self.next_at = now + self.pace
        return super().take(now)

    def heard(self, ticket: int, status: int, headers: Mapping[str, str], now: float, draw: float) -> None:
        """Note the reply."""
        assert 0.0 <= draw < 1.0
        assert "date" in headers
        self.told.append((ticket, status, now))

    def lost(self, ticket: int, now: float) -> None:
        """Note the loss."""
        self.missed.append((ticket, now))


@pytest.mark.parametrize("contender", [OURS, *OTHERS], ids=lambda one: one.name)
@pytest.mark.parametrize("row", [*TABLE, *MORE[:-1]], ids=lambda one: one.name)
def test_every_record_is_granted_or_given_up(contender: object, row: Row) -> None:
    """Whatever the server and the policy, granted and given up add up to the backlog, each granted once."""
    name, make, concurrency = contender  # type: ignore[misc]
    one = row.make(3)
    result = simulate(one, make(one.wall), records=250, concurrency=concurrency, seed=3, deadline=50_000.0)
    assert result.complete, name
    assert result.granted + result.given_up == 250
    assert sum(result.granted_per_second) == result.granted
    assert sum(result.refused_per_second) == result.refused
    assert result.granted <= result.grantable + 1e-6
    assert 1 <= result.highest_in_flight <= concurrency


def test_without_a_limit_only_latency_and_concurrency_count() -> None:
    """A hundred requests, ten at once, 100 ms each: a second in all."""
    result = simulate(server(), Ungated(), records=100, concurrency=10)
    assert result.duration == pytest.approx(1.0)
    assert (result.granted, result.refused, result.highest_in_flight) == (100, 0, 10)


def test_each_reply_is_told_with_its_ticket_and_comes_after_the_latency() -> None:
    """Every ticket that was taken is heard once, 100 ms after it went."""
    policy = Noting(pace=0.01)
    simulate(server(), policy, records=30, concurrency=100)
    assert sorted(ticket for ticket, _, _ in policy.told) == list(range(1, 31))
    for ticket, status, at in policy.told:
        assert status == 201
        assert at - policy.went[ticket - 1] == pytest.approx(0.1)


def test_a_wait_is_kept_and_the_timer_is_a_little_late_at_most() -> None:
    """Nothing goes before its time, and nothing more than the lateness of a timer after it."""
    policy = Noting(pace=0.25)
    simulate(server(), policy, records=20, concurrency=100)
    gaps = [after - before for before, after in zip(policy.went, policy.went[1:], strict=False)]
    assert min(gaps) >= 0.25
    assert max(gaps) <= 0.25 + LATE_S + 1e-5


def test_in_flight_counts_those_that_have_no_reply_yet() -> None:
    """The policy is told how many are under way: requests that went, less replies that came."""
    policy = Noting(pace=0.03)
    simulate(server(), policy, records=20, concurrency=100)
    for in_flight, now in policy.asked:
        went = sum(at < now for at in policy.went)
        came = sum(at <= now for _, _, at in policy.told)
        assert went - came <= in_flight <= went - came + sum(at == now for at in policy.went)


def test_what_was_refused_goes_again_before_what_is_new() -> None:
    """With one request at once, refused records go again until granted: requests = granted + refused."""
    result = simulate(server(1, 5.0), Noting(pace=0.05), records=40, concurrency=1)
    assert (result.granted, result.complete) == (40, True)
    assert result.refused > 20
    assert result.refused_share == pytest.approx(result.refused / (40 + result.refused))


def test_an_infinite_wait_is_looked_at_again_with_the_next_reply() -> None:
    """A policy that goes one after the other by waiting for replies is not asked between them."""

    class OneByOne(Noting):
        def wait(self, in_flight: int, now: float) -> float:
            super().wait(in_flight, now)
            return math.inf if in_flight else 0.0

    policy = OneByOne()
    result = simulate(server(), policy, records=10, concurrency=5)
    assert result.highest_in_flight == 1
    assert result.duration == pytest.approx(1.0)
    assert len(policy.asked) <= 20


def test_a_policy_that_waits_for_nothing_is_told_apart_from_one_that_waits() -> None:
    """An infinite wait with nothing under way can never end, and says so."""

    class Never(Ungated):
        def wait(self, in_flight: int, now: float) -> float:
            return math.inf

    with pytest.raises(StuckError, match="nothing is under way"):
        simulate(server(), Never(), records=10, concurrency=5)


def test_a_policy_that_only_looks_is_found_out() -> None:
    """Whoever asks to wait for next to nothing again and again does not run for ever."""

    class Spinning(Ungated):
        def wait(self, in_flight: int, now: float) -> float:
            return 1e-9

    with pytest.raises(StuckError, match="it looks and looks"):
        simulate(server(), Spinning(), records=10, concurrency=5)


def test_a_deadline_ends_a_run_that_gets_nowhere() -> None:
    """Against a server that refuses everything a run ends at its deadline, incomplete."""
    result = simulate(server(0), Noting(pace=1.0), records=10, concurrency=5, deadline=60.0)
    assert (result.complete, result.granted, result.used) == (False, 0, 1.0)
    assert 55 <= result.refused <= 61


def test_a_request_that_vanishes_is_lost_at_its_time_out_and_its_record_goes_again() -> None:
    """No reply comes: the policy is told at the time-out, and the record is sent again."""
    policy = Noting(pace=0.5)
    travel = between(0.0, 0.9, vanishing, steady(0.1, 0.0))
    result = simulate(server(travel=travel), policy, records=5, concurrency=10, timeout=7.0)
    assert [ticket for ticket, _ in policy.missed] == [1, 2]
    assert policy.missed[0][1] == pytest.approx(7.0)
    assert (result.granted, result.timed_out, result.complete) == (5, 2, True)


def test_a_record_that_sleeps_for_itself_keeps_its_place() -> None:
    """With room for one, nothing else goes while the one that was refused sleeps."""
    result = simulate(server(1, 1.0), BackOff(), records=5, concurrency=1)
    assert (result.granted, result.highest_in_flight) == (5, 1)
    assert result.refused <= 8


def test_a_record_can_be_given_up() -> None:
    """A contender that gives up after its first refusal loses what the server had no token for."""

    class Hasty(Ungated):
        def again(self, tries: int, headers: Mapping[str, str], now: float, draw: float) -> float | None:
            return None

    result = simulate(server(7, 0.001), Hasty(), records=20, concurrency=20)
    assert (result.granted, result.given_up, result.refused, result.complete) == (7, 13, 13, True)


def test_the_lowest_that_was_left_is_noted() -> None:
    """The least of what remained in the bucket after any request is told, for reserves."""
    result = simulate(server(50, 0.001), Ungated(), records=18, concurrency=4)
    assert result.lowest_remaining == 32


def test_the_used_share_is_taken_at_the_last_grant() -> None:
    """A constant 10/s on a bucket of 50/s and 20 at once uses what it sent of what was grantable by then."""
    result = simulate(server(20, 50.0), Noting(pace=0.1), records=101, concurrency=9)
    assert result.used == pytest.approx(101 / (20 + 50 * 10), rel=0.02)


def test_the_same_seeds_give_the_same_run() -> None:
    """Virtual time is deterministic: a run can be repeated to the last figure."""

    def play(seed: int) -> object:
        one = TABLE[6].make(seed)
        policy: Policy = OURS.make(one.wall)
        return simulate(one, policy, records=500, concurrency=32, seed=seed)

    assert play(5) == play(5)
    assert play(5) != play(6)
