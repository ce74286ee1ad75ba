"""When the next request of a tenant may go: bursts, the refill rate, pauses, slow restarts, and how many at once.

Where a test needs a server there is one bucket and one client with an endless backlog, in a time of their own; whole
models of servers are played in `tests/pacing`.
"""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bulkstreams.core.pacing import (
    HEADROOM,
    JITTER,
    PAUSE_CAP_S,
    PAUSE_FLOOR_S,
    SPARE,
    STALLED_LATENCIES,
    STALLED_S,
    TAKEN_AT_ITS_WORD,
    UNWATCHED,
    Ceiling,
    Pacer,
    pause_after_429,
)
from tests.core.replies import CALM, DRAWS, HEADERS, Bucket, Client, told

AT = 1000.0
LATENCY_S = 0.03


def test_a_ceiling_is_a_plain_value() -> None:
    """No ceiling of ours is a rate of None."""
    assert Ceiling(rate=None, burst=10) == Ceiling(rate=None, burst=10)


# -- how long a pause is ----------------------------------------------------------------------------------------------


@CALM
@given(HEADERS, st.integers(1, 10_000), DRAWS)
def test_a_pause_is_never_too_short_too_long_or_no_number(headers: dict[str, str], in_a_row: int, draw: float) -> None:
    """Whatever the headers say, a pause lies between the floor and the cap with its jitter."""
    pause = pause_after_429(headers, in_a_row=in_a_row, draw=draw)
    assert math.isfinite(pause)
    assert PAUSE_FLOOR_S <= pause <= PAUSE_CAP_S * (1 + JITTER)


def test_the_servers_word_comes_first() -> None:
    """`Retry-After` beats the reset, which beats our own guess."""
    both = {**told(0, reset=20), "retry-after": "3"}
    assert pause_after_429(both, in_a_row=1, draw=0) == 3.0
    assert pause_after_429(told(0, reset=20), in_a_row=1, draw=0) == 20.0
    assert pause_after_429({}, in_a_row=1, draw=0) == PAUSE_FLOOR_S


def test_a_pause_that_the_server_asks_for_is_never_cut_short_by_jitter() -> None:
    """Jitter only ever adds, a tenth at most."""
    assert pause_after_429({"retry-after": "10"}, in_a_row=1, draw=0.999) == pytest.approx(10.999)
    assert pause_after_429({"retry-after": "10"}, in_a_row=1, draw=0.0) == 10.0


def test_a_reset_in_the_past_still_pauses() -> None:
    """A whole-second reset that has passed when it arrives leaves the floor, not a hot loop."""
    assert pause_after_429(told(0, reset=-1), in_a_row=1, draw=0) == PAUSE_FLOOR_S


def test_a_reset_beyond_any_window_is_no_word_of_the_servers() -> None:
    """A wrong clock cannot park a tenant for a year."""
    assert pause_after_429(told(0, reset=365 * 86_400), in_a_row=1, draw=0) == PAUSE_FLOOR_S


def test_unexplained_429s_double_the_pause_up_to_the_cap() -> None:
    """Without a word from the server the pause grows with each refusal in a row."""
    pauses = [pause_after_429({}, in_a_row=n, draw=0) for n in (1, 2, 3, 4, 11, 12, 99, 10**6)]
    assert pauses == [0.25, 0.5, 1, 2, 256, 300, 300, 300]


def test_a_server_that_keeps_refusing_after_its_own_wait_is_given_longer() -> None:
    """Three waits are taken at their word; after those the pause grows too."""
    asked = {"retry-after": "1"}
    assert [pause_after_429(asked, in_a_row=n, draw=0) for n in (1, 2, 3, 4, 5, 6)] == [1, 1, 1, 2, 4, 8]
    assert pause_after_429({"retry-after": "60"}, in_a_row=4, draw=0) == 60


# -- the beginning ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("obey", [True, False])
def test_the_first_request_goes_alone(obey: bool) -> None:
    """Before any reply one request goes at once, and nobody beside it, however long that takes."""
    pacer = Pacer(obey=obey)
    assert pacer.wait(0, AT) == 0.0
    assert pacer.take(AT) != UNWATCHED
    assert pacer.wait(1, AT) == math.inf
    assert pacer.wait(1, AT + 3600) == math.inf


def test_where_the_first_one_is_lost_the_next_goes_alone() -> None:
    """Nobody waits for a reply that will not come, and no loss says anything of the budget."""
    pacer = Pacer()
    pacer.lost(pacer.take(AT), AT + 30)
    assert pacer.wait(0, AT + 30) == 0.0
    pacer.take(AT + 30)
    assert pacer.wait(1, AT + 30) == math.inf


def test_the_first_reply_with_headers_gives_the_credit_out_at_once() -> None:
    """What the bucket holds, less the margin, goes in one burst, up to the concurrency."""
    pacer = Pacer(concurrency=32)
    pacer.heard(pacer.take(AT), 200, told(19, limit=20), AT + LATENCY_S, 0.0)
    assert pacer.window == 32
    assert send_all(pacer, AT + LATENCY_S) == 17
    wide = Pacer(concurrency=8)
    wide.heard(wide.take(AT), 200, told(99, limit=100), AT + LATENCY_S, 0.0)
    assert send_all(wide, AT + LATENCY_S) == 8


@pytest.mark.parametrize("obey", [True, False])
def test_without_headers_as_many_more_go_as_were_answered(obey: bool) -> None:
    """The number at once doubles with each round trip, up to the concurrency; then nothing holds requests back."""
    pacer = Pacer(obey=obey, concurrency=8)
    now, at_once = AT, []
    while not pacer.open:
        tickets = []
        while pacer.wait(len(tickets), now) == 0.0:
            tickets.append(pacer.take(now))
        at_once.append(len(tickets))
        now += LATENCY_S
        for ticket in tickets:
            pacer.heard(ticket, 201, {}, now, 0.0)
    assert at_once == [1, 2, 4]
    assert pacer.wait(7, now) == 0.0
    assert pacer.wait(8, now) == math.inf
    assert pacer.take(now) == UNWATCHED
    assert pacer.rate is None


def send_all(pacer: Pacer, now: float, in_flight: int = 0) -> int:
    """Send what may go at once; return how many that were."""
    count = 0
    while pacer.wait(in_flight + count, now) == 0.0:
        pacer.take(now)
        count += 1
    return count


def opened(*, obey: bool = True, concurrency: int = 8) -> tuple[Pacer, float]:
    """Return a pacer that nothing holds back any more, by a server that tells nothing, and the instant."""
    pacer, now = Pacer(obey=obey, concurrency=concurrency), AT
    while not pacer.open:
        ticket = pacer.take(now)
        now += LATENCY_S
        pacer.heard(ticket, 201, {}, now, 0.0)
    return pacer, now


# -- a bucket that shows ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("burst", "rate"), [(20, 50.0), (50, 16.0), (10, 2.5), (2, 2.0)])
def test_a_burst_where_there_is_credit_then_the_refill_rate(burst: int, rate: float) -> None:
    """A full bucket goes at once, then as much as comes; all of it is used and nothing is refused."""
    server = Bucket(burst, rate)
    client = Client(Pacer(), server, [0.025, 0.035, 0.03])
    assert client.run(0.2) >= min(32, burst - 2)
    granted = client.run(120.0)
    assert server.refused == 0
    assert granted >= 0.97 * 120.0 * rate


@pytest.mark.parametrize("travel", [[0.03], [0.01, 0.09, 0.03], [0.2, 0.25], [1.0, 1.2]])
@pytest.mark.parametrize("reserve", [0.2, 0.4, 0.75])
def test_the_reserve_is_never_undercut(travel: list[float], reserve: float) -> None:
    """Where nobody else drains the bucket, what is left never falls below the share of the others."""
    server = Bucket(20, 50.0)
    Client(Pacer(reserve=reserve), server, travel).run(30.0)
    assert server.lowest >= math.ceil(20 * reserve)
    assert server.granted >= 50


@CALM
@given(
    st.integers(2, 60),
    st.floats(1.0, 80.0),
    st.floats(0.05, 0.9),
    st.lists(st.floats(0.005, 0.3), min_size=1, max_size=7),
    st.floats(1000.0, 1001.0),
)
def test_no_bucket_is_taken_below_its_reserve(
    burst: int, rate: float, reserve: float, travel: list[float], began: float
) -> None:
    """Whatever the bucket, the latencies and the clocks: what was to be left is left, to a token, all through.

    Where requests overtake each other by more than the refill takes, what came is measured wrongly now and then: about
    once in a thousand such tenants, and then a guess takes one of the others' tokens.
    """
    server = Bucket(burst, rate)
    client = Client(Pacer(reserve=reserve), server, travel, began)
    client.run(8.0)
    floor = min(math.ceil(burst * reserve), burst - 1)
    assert server.refused == 0 or floor < 2
    assert server.lowest >= floor - 1


def test_the_rate_is_told_as_it_was_seen() -> None:
    """The refill that shows, or the sustained rate where that is less; nothing before either is known."""
    pacer = Pacer()
    assert pacer.rate is None
    client = Client(pacer, Bucket(20, 50.0), [0.03, 0.032])
    client.run(20.0)
    assert pacer.rate == pytest.approx(50.0, rel=0.25)
    pacer.level._trust = 0.1
    assert pacer.rate == pytest.approx(50.0, rel=0.25)  # guesses that were refused make the next ones later, not fewer
    pacer.sustained.learned = 7.0
    assert pacer.rate == 7.0


@CALM
@given(st.permutations(range(17)), st.integers(0, 10))
def test_replies_of_one_burst_in_any_order_never_overdraw(order: list[int], spare: int) -> None:
    """The bucket got nothing meanwhile: no more go than it still holds, whichever reply comes first."""
    burst = 21 + spare
    pacer = Pacer(concurrency=64)
    pacer.heard(pacer.take(AT), 200, told(burst - 1, limit=burst), AT + LATENCY_S, 0.0)
    now = AT + LATENCY_S
    tickets = [pacer.take(now) for _ in range(17)]
    left = burst - 1 - 17
    more = 0
    for answered, place in enumerate(order, 1):
        now += 0.001
        pacer.heard(tickets[place], 201, told(burst - 2 - place, limit=burst), now, 0.0)
        more += send_all(pacer, now, 17 - answered + more)
        assert more <= left


def test_headers_that_come_and_go_keep_the_pace() -> None:
    """A reply without them, or with senseless ones, changes nothing of what the others told."""

    class Flaky(Bucket):
        def ask(self, now: float) -> tuple[int, dict[str, str]]:
            status, headers = super().ask(now)
            asked = self.granted + self.refused
            if asked % 3 == 0:
                return status, {}
            return status, {**headers, "x-ratelimit-remaining": "900"} if asked % 7 == 0 else headers

    server = Flaky(20, 50.0)
    client = Client(Pacer(), server, [0.025, 0.035, 0.03])
    client.run(1.0)
    assert client.run(60.0) >= 0.97 * 60 * 50
    assert server.refused <= 0.005 * server.granted
    assert not client.pacer._sent_at.keys() - set(range(client.sent - 32, client.sent + 1))
    assert len(client.pacer.level._guessed) <= 32


def test_a_server_that_always_counts_below_nothing_is_not_waited_for_for_ever() -> None:
    """Negative headers say that nothing is left; requests go all the same, one after the other, as they are granted."""
    pacer, now = Pacer(), AT
    for _ in range(20):
        wait = pacer.wait(0, now)
        assert wait <= 2.0
        now += wait
        ticket = pacer.take(now)
        now += LATENCY_S
        pacer.heard(ticket, 201, told(-3, limit=20, reset=now - AT + 1, at=now - AT), now, 0.0)
    assert pacer.level.known


@CALM
@given(
    st.lists(st.tuples(st.sampled_from([200, 201, 429, 500]), HEADERS, st.floats(0.001, 400.0)), max_size=30),
    st.floats(0, 0.99),
    st.booleans(),
)
def test_no_sequence_of_replies_stops_a_tenant(
    replies: list[tuple[int, dict[str, str], float]], reserve: float, obey: bool
) -> None:
    """Whatever the headers say, who has nothing under way waits a bounded time, and no pause is beyond the cap."""
    pacer, now = Pacer(obey=obey, reserve=reserve), AT
    for status, headers, took in replies:
        ticket = pacer.take(now)
        now += took
        pacer.heard(ticket, status, headers, now, 0.5)
        assert pacer.resume_at <= now + PAUSE_CAP_S * (1 + JITTER)
        waited = 0
        while (wait := pacer.wait(0, now)) > 0.0:
            assert wait < 1e5
            now += max(wait, 1e-6)  # no real clock stands still
            waited += 1
            assert waited < 10


# -- 429 --------------------------------------------------------------------------------------------------------------


def flying(count: int, *, obey: bool = True) -> tuple[Pacer, list[int], float]:
    """Return a pacer with so many under way together, their tickets, and the instant; it was never refused."""
    pacer = Pacer(obey=obey, concurrency=64)
    now = AT
    for _ in range(40):
        ticket = pacer.take(now)
        now += LATENCY_S
        pacer.heard(ticket, 201, {}, now, 0.0)
    return pacer, [pacer.take(now) for _ in range(count)], now


@pytest.mark.parametrize("obey", [True, False])
def test_a_429_stops_all_and_those_refused_together_have_one_pause(obey: bool) -> None:
    """Thirty refusals of requests that were under way together are one: neither doubled nor learned from again."""
    pacer, tickets, now = flying(30, obey=obey)
    for number, ticket in enumerate(tickets):
        pacer.heard(ticket, 429, {}, now + number / 1000, 0.0)
        assert pacer.wait(29 - number, now + number / 1000) == pytest.approx(PAUSE_FLOOR_S)
    assert pacer.resume_at == pytest.approx(now + 0.029 + PAUSE_FLOOR_S)
    assert pacer.wait(0, pacer.resume_at) == 0.0


def test_pauses_grow_while_the_server_refuses_and_not_after_a_grant() -> None:
    """Each refusal in a row doubles; what was granted in between begins anew."""
    pacer, now, pauses = Pacer(), AT, []
    for status in (429, 429, 429, 429, 201, 429):
        now += pacer.wait(0, now)
        pacer.heard(pacer.take(now), status, {}, now, 0.0)
        if status == 429:
            pauses.append(pacer.resume_at - now)
    assert pauses == [pytest.approx(pause) for pause in (0.25, 0.5, 1.0, 2.0, 0.25)]


def test_the_longest_word_of_those_refused_together_counts() -> None:
    """A later reply of the same burst that asks for more is heard; one that asks for less shortens nothing."""
    pacer, (first, second, third), now = flying(3)
    pacer.heard(first, 429, {"retry-after": "2"}, now, 0.0)
    pacer.heard(second, 429, {"retry-after": "5"}, now, 0.0)
    pacer.heard(third, 429, {}, now, 0.0)
    assert pacer.wait(0, now) == 5.0


def test_the_draw_adds_jitter_to_a_pause() -> None:
    """Clients that were refused together do not come back together."""
    pacer, (ticket,), now = flying(1)
    pacer.heard(ticket, 429, {"retry-after": "10"}, now, 0.5)
    assert pacer.wait(0, now) == pytest.approx(10 * (1 + JITTER / 2))


@pytest.mark.parametrize("obey", [True, False])
def test_after_a_pause_one_goes_then_more_with_each_grant(obey: bool) -> None:
    """The restart is slow: one, then two, and from half of what was at once before only one more a round trip."""
    pacer, (ticket,), now = flying(1, obey=obey)
    before = pacer.window
    pacer.heard(ticket, 429, {}, now, 0.0)
    now = pacer.resume_at
    assert pacer.wait(0, now) == 0.0
    windows = []
    for _ in range(8):
        windows.append(pacer.window)
        tickets = [pacer.take(now) for _ in range(pacer.window)]
        now += LATENCY_S
        for one in tickets:
            pacer.heard(one, 201, {}, now, 0.0)
    assert before == 41
    assert windows[:5] == [1, 2, 4, 8, 16]
    assert all(20 <= window <= 26 for window in windows[5:])


@pytest.mark.parametrize("obey", [True, False])
@pytest.mark.parametrize("headers", [{}, told(15, limit=20)])
def test_grants_from_before_a_429_hurry_no_restart(obey: bool, headers: dict[str, str]) -> None:
    """Twenty replies that come after it to requests that went before say nothing of what the tenant bears now."""
    pacer, tickets, now = flying(21, obey=obey)
    pacer.heard(tickets[0], 429, {}, now, 0.0)
    for ticket in tickets[1:]:
        pacer.heard(ticket, 201, headers, now + 0.01, 0.0)
    assert pacer.window == 1
    now = pacer.resume_at
    assert pacer.wait(0, now) == 0.0
    pacer.heard(pacer.take(now), 429, {}, now, 0.0)
    assert pacer.resume_at - now == pytest.approx(2 * PAUSE_FLOOR_S)


def test_a_429_with_nothing_left_is_the_buckets_that_shows() -> None:
    """It explains itself: the level was wrong, and no sustained rate is made up from it."""
    pacer, now = Pacer(), AT
    pacer.heard(pacer.take(now), 200, told(10, limit=20), now + LATENCY_S, 0.0)
    ticket = pacer.take(now + 1)
    pacer.heard(ticket, 429, told(0, limit=20, reset=2), now + 1 + LATENCY_S, 0.0)
    assert pacer.sustained.learned is None
    assert pacer.level._margin == 4.0


@pytest.mark.parametrize("headers", [{}, told(10, limit=20)])
def test_a_429_with_something_left_is_another_buckets(headers: dict[str, str]) -> None:
    """What shows had tokens, so a bucket that does not show was empty: what it sustains is learned."""
    pacer, now = Pacer(), AT
    for _ in range(100):
        ticket = pacer.take(now)
        now += 0.1
        pacer.heard(ticket, 201, told(10, limit=20), now, 0.0)
    pacer.heard(pacer.take(now), 429, headers, now + 0.1, 0.0)
    assert pacer.sustained.learned == pytest.approx(5.0, rel=0.05)
    assert pacer.level._margin == 2.0


def test_with_one_at_a_time_the_first_refusal_teaches_as_much() -> None:
    """A concurrency of one watches its first request like any other."""
    pacer, now = Pacer(concurrency=1), AT
    assert not pacer.open
    for _ in range(100):
        ticket = pacer.take(now)
        now += 0.1
        pacer.heard(ticket, 201, {}, now, 0.0)
    pacer.heard(pacer.take(now), 429, {}, now, 0.0)
    assert pacer.sustained.learned == pytest.approx(5.0, rel=0.05)


def test_a_bucket_that_does_not_show_is_used_up_with_few_refusals() -> None:
    """From two refusals its rate is known; then it is kept, and probed by a little from time to time."""
    server = Bucket(40, 20.0, shown=False)
    client = Client(Pacer(), server, [0.025, 0.035, 0.03])
    client.run(30.0)
    refused = server.refused
    granted = client.run(300.0)
    assert granted >= 0.97 * 300 * 20
    assert server.refused - refused <= 0.01 * granted
    assert client.pacer.rate == pytest.approx(20.0, rel=0.05)


def test_a_lane_that_was_idle_for_an_hour_goes_on_as_before() -> None:
    """Nothing is learned from time in which nothing was sent."""
    server = Bucket(40, 20.0, shown=False)
    client = Client(Pacer(), server, [0.03])
    client.run(100.0)
    client.run(3600.0, quiet=True)
    assert client.run(60.0) >= 0.97 * 60 * 20
    assert client.pacer.rate == pytest.approx(20.0, rel=0.05)


def test_the_pause_between_two_refusals_counts_for_what_was_learned() -> None:
    """A hundred and fifty at once each minute are 2.5 a second, not as many as went before the refusal."""
    pacer, now = Pacer(concurrency=1), AT
    for _ in range(2):
        for _ in range(149):
            while (wait := pacer.wait(0, now)) > 0.0:
                now += max(wait, 1e-6)
            pacer.heard(pacer.take(now), 201, {}, now + 0.001, 0.0)
            now += 0.001
        pacer.heard(pacer.take(now), 429, {"retry-after": "60"}, now, 0.0)
    assert pacer.sustained.learned == pytest.approx(2.5, rel=0.1)


def test_a_tenant_that_always_answers_429_is_asked_ever_more_seldom() -> None:
    """No hot loop: an hour has a few dozen requests, one at a time."""
    server = Bucket(1, 1e-9, shown=False)
    server.tokens = 0.0
    client = Client(Pacer(), server, [0.03])
    client.run(3600.0)
    assert server.granted == 0
    assert 12 <= server.refused <= 30
    assert client.most_in_flight == 1


# -- how many at once -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("latency", "most"), [(0.03, 5), (0.2, 16), (0.5, 40)])
def test_what_is_under_way_follows_rate_and_latency(latency: float, most: int) -> None:
    """Once the credit is gone about rate times latency are in flight, with head-room (Little's law): no pile."""
    server = Bucket(20, 30.0)
    client = Client(Pacer(concurrency=64), server, [latency, 1.02 * latency])
    client.run(5.0)
    client.most_in_flight = 0
    granted = client.run(60.0)
    assert granted >= 0.95 * 60 * 30
    assert 30 * latency <= client.most_in_flight <= HEADROOM * 30 * latency + SPARE + 1
    assert client.most_in_flight <= most


def stuck(pacer: Pacer, now: float, in_flight: int, seconds: float) -> list[float]:
    """Let a server be silent for so long; return after how many seconds each request went meanwhile."""
    began, times = now, []
    while True:
        wait = pacer.wait(in_flight, now)
        if now + wait > began + seconds:
            return times
        if wait > 0.0:
            now += max(wait, 1e-6)
            continue
        pacer.take(now)
        in_flight += 1
        times.append(now - began)


@pytest.mark.parametrize("shown", [True, False])
def test_a_server_that_stalls_gets_no_pile_of_requests(shown: bool) -> None:
    """Guesses stop where no reply comes: some beyond rate times latency, then one to try, ever more seldom."""
    server = Bucket(20, 30.0, shown=shown)
    client = Client(Pacer(concurrency=64), server, [0.03, 0.032])
    client.run(60.0)
    times = stuck(client.pacer, client.now, client.in_flight, 10.0)
    at_first = sum(at < STALLED_S for at in times)
    assert at_first <= 30 * 0.03 * HEADROOM + SPARE + 2
    later = [at for at in times if at >= STALLED_S]
    assert 3 <= len(later) <= 4
    assert all(late - early >= 0.9 * early >= 0.9 * STALLED_S for early, late in pairwise(later))


def test_a_slow_server_is_not_called_stalled() -> None:
    """Who usually takes half a second is given four times that, not a second."""
    pacer, now = Pacer(concurrency=64), AT
    for _ in range(60):
        ticket = pacer.take(now)
        now += 0.5
        pacer.heard(ticket, 201, told(0, limit=20, at=now - AT), now, 0.0)
    pacer.sustained.learned = pacer.sustained._emptied_at = None
    for _ in range(40):
        pacer.take(now)
    assert pacer.wait(40, now + STALLED_LATENCIES * 0.5 - 0.1) > 0.0


def test_requests_that_were_overtaken_do_not_hold_the_lane() -> None:
    """Five hang for ever; later ones are answered, so the server goes on, and so does the rate."""
    server = Bucket(20, 30.0)
    client = Client(Pacer(concurrency=64), server, [0.03, 0.032])
    client.run(30.0)
    for _ in range(5):
        client.pacer.take(client.now)
        server.ask(client.now - client.began)
        client.in_flight += 1
    client.run(2.0)
    assert client.run(30.0) >= 0.95 * 30 * 30
    assert server.refused <= 3


@pytest.mark.parametrize("obey", [True, False])
def test_a_request_that_hangs_does_not_hold_the_restart(obey: bool) -> None:
    """After a pause one goes beside it when it has been silent for longer than replies usually take."""
    pacer, (hangs, refused), now = flying(2, obey=obey)
    pacer.heard(refused, 429, {}, now, 0.0)
    now = pacer.resume_at
    assert pacer.wait(1, now) == pytest.approx(STALLED_S)
    now += STALLED_S
    assert pacer.wait(1, now) == 0.0
    ticket = pacer.take(now)
    assert pacer.wait(2, now) == pytest.approx(STALLED_S)
    pacer.heard(ticket, 201, {}, now + LATENCY_S, 0.0)
    assert pacer.wait(1, now + LATENCY_S) < STALLED_S / 2
    assert hangs


def test_never_more_go_at_once_than_the_concurrency() -> None:
    """Neither a stall nor a full bucket goes beyond the ceiling."""
    pacer = Pacer(concurrency=4)
    pacer.heard(pacer.take(AT), 200, told(99, limit=100), AT + LATENCY_S, 0.0)
    assert send_all(pacer, AT + LATENCY_S) == 4
    assert pacer.wait(4, AT + 3600) == math.inf
    server = Bucket(100, 1000.0, shown=False)
    client = Client(Pacer(concurrency=4), server, [0.1])
    client.run(10.0)
    assert client.most_in_flight == 4


def test_losing_requests_costs_the_lane_nothing_later() -> None:
    """Attempts that end without an answer are forgotten: neither counted as under way nor as silence."""
    server = Bucket(20, 30.0)
    client = Client(Pacer(), server, [0.03, 0.032])
    client.run(10.0)
    lost = [client.pacer.take(client.now) for _ in range(10)]
    client.run(0.5)
    for ticket in lost:
        client.pacer.lost(ticket, client.now)
    assert client.run(30.0) >= 0.95 * 30 * 30
    assert len(client.pacer._sent_at) <= client.in_flight


def test_latency_is_believed_sooner_where_it_grows() -> None:
    """A server that gets slower is given room soon; one slow reply less is no reason to take it back at once."""
    grows, falls = Pacer(), Pacer()
    for first, pacer, then in ((0.1, grows, 1.1), (1.1, falls, 0.1)):
        pacer.heard(pacer.take(AT), 201, {}, AT + first, 0.0)
        pacer.heard(pacer.take(AT + 2), 201, {}, AT + 2 + then, 0.0)
    assert grows.latency_s == pytest.approx(0.4)
    assert falls.latency_s == pytest.approx(1.0)


# -- as fast as concurrency allows ------------------------------------------------------------------------------------


def test_max_obeys_no_header() -> None:
    """What is left is of no interest where the server is to be driven to its limit."""
    pacer = Pacer(obey=False, concurrency=4)
    now = AT
    for _ in range(10):
        ticket = pacer.take(now)
        now += LATENCY_S
        pacer.heard(ticket, 201, told(0, limit=20, reset=1000), now, 0.0)
    assert pacer.open
    assert pacer.rate is None
    assert send_all(pacer, now) == 4


def test_max_stops_for_a_429_and_comes_back_to_its_full_speed() -> None:
    """Unwatched requests that are refused together have one pause; one goes after it, and later all again."""
    pacer, now = opened(obey=False, concurrency=8)
    tickets = [pacer.take(now) for _ in range(8)]
    assert tickets == [UNWATCHED] * 8
    for ticket in tickets[:5]:
        pacer.heard(ticket, 429, {"retry-after": "2"}, now + LATENCY_S, 0.0)
        assert not pacer.open
    for ticket in tickets[5:]:
        pacer.heard(ticket, 201, {}, now + LATENCY_S, 0.0)
    assert pacer.wait(0, now + LATENCY_S) == pytest.approx(2.0)
    now = pacer.resume_at
    assert pacer.wait(0, now) == 0.0
    assert send_all(pacer, now) == 1
    grants = 0
    while not pacer.open:
        now += LATENCY_S
        pacer.heard(pacer._sent, 201, {}, now, 0.0)
        pacer.take(now)
        grants += 1
    assert 8 <= grants <= 40
    pacer.heard(UNWATCHED, 429, {}, now, 0.0)
    assert pacer.resume_at == pytest.approx(now + PAUSE_FLOOR_S)


def test_max_sends_as_fast_as_concurrency_allows_between_the_pauses() -> None:
    """Against a bucket it learns nothing: it runs into 429 again and again, each time after a burst."""
    server = Bucket(40, 100.0)
    client = Client(Pacer(obey=False, concurrency=8), server, [0.02])
    client.run(60.0)
    assert client.pacer.rate is None
    assert client.most_in_flight == 8
    assert 10 < server.refused < 0.2 * server.granted


def test_a_tenant_that_goes_on_refusing_is_told_of_as_one_that_does() -> None:
    """The first refusals are the server's word on its budget; from the fourth in a row on it is said to refuse all."""
    pacer, now = Pacer(concurrency=4), AT
    seen = []
    for _ in range(TAKEN_AT_ITS_WORD + 2):
        now = max(now, pacer.resume_at)
        assert pacer.wait(0, now) == 0.0
        pacer.heard(pacer.take(now), 429, {}, now + LATENCY_S, 0.0)
        seen.append(pacer.refusing)
    assert seen == [0] * TAKEN_AT_ITS_WORD + [TAKEN_AT_ITS_WORD + 1, TAKEN_AT_ITS_WORD + 2]
    now = pacer.resume_at
    assert pacer.wait(0, now) == 0.0
    pacer.heard(pacer.take(now), 201, {}, now + LATENCY_S, 0.0)
    assert pacer.refusing == 0
