"""When a tenant counts as down, how long each pause is, and when it is given up."""

from __future__ import annotations

import math
from itertools import pairwise

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bulkstreams.core.outage import (
    LOSSES,
    PATIENCE_S,
    PAUSE_CAP_S,
    PAUSE_FIRST_S,
    TRIES,
    TROUBLE,
    Outage,
    pause_before_probe,
    width_after,
)

CALM = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
DRAW = st.floats(0.0, 1.0, exclude_max=True)
REFUSED = "no connection to example.com:443 (Connection refused)"


def answering(**more: float) -> Outage:
    """Return a tenant that has answered in this run."""
    outage = Outage(**more)  # type: ignore[arg-type]
    outage.heard()
    return outage


def test_one_failure_to_connect_opens_it_and_any_usable_answer_closes_it() -> None:
    """All wait after the first, and go on after the first answer; what comes after that begins anew."""
    outage = answering()
    assert outage.calm
    assert outage.unsent(REFUSED, 10.0, 0.5) == 0.375
    assert outage.is_open
    assert not outage.calm
    assert outage.unsent(REFUSED, 11.0, 0.5) == 0.75
    assert outage.story(14.0) == f"{REFUSED}; tried 2 times within 4 s"
    assert outage.heard()
    assert not outage.heard()
    assert not outage.is_open
    assert outage.calm
    assert outage.unsent(REFUSED, 20.0, 0.5) == 0.375
    assert outage.since == 20.0
    assert outage.story(21.0) == f"{REFUSED}; tried once within 1 s"


def test_a_server_that_breaks_single_answers_is_not_down() -> None:
    """Only so many in a row pause the tenant; one usable answer in between and the count begins anew."""
    outage = answering()
    for _ in range(3):
        assert [outage.lost("502", 1.0, 0.5) for _ in range(LOSSES - 1)] == [0.0] * (LOSSES - 1)
        assert not outage.is_open
        assert not outage.calm
        assert not outage.heard()
    assert [outage.lost("502", float(now), 0.5) for now in range(LOSSES)][-1] == 0.375
    assert outage.is_open
    assert outage.since == 0.0
    assert outage.lost("502", 12.0, 0.5) == 0.75


def test_a_lost_answer_before_a_refused_connection_is_part_of_the_same_outage() -> None:
    """A server that dies loses the answers under way first: waiting is counted from then on."""
    outage = answering()
    outage.lost("reset", 5.0, 0.5)
    outage.unsent(REFUSED, 7.0, 0.5)
    assert outage.since == 5.0
    outage.lost("no answer", 9.0, 0.5)
    assert (outage.since, outage.failed) == (5.0, 2)


def test_broken_answers_of_a_tenant_that_was_never_better_pause_nothing() -> None:
    """Before the first usable answer of a run nobody knows what is normal there."""
    outage = Outage()
    assert {outage.lost("502", 1.0, 0.5) for _ in range(10 * LOSSES)} == {0.0}
    assert not outage.is_open


def test_what_a_server_answers_again_and_again_is_told_before_it_is_taken_for_down() -> None:
    """Single broken answers are not worth a word; several in a row are, until a usable one comes."""
    outage = Outage()
    for _ in range(TROUBLE - 1):
        outage.lost("502", 1.0, 0.5)
        assert outage.trouble == ""
    outage.lost("503", 2.0, 0.5)
    assert outage.trouble == f"503, {TROUBLE} times in a row"
    outage.heard()
    assert outage.trouble == ""


def test_a_tenant_that_never_answered_is_given_up_after_its_tries() -> None:
    """As many as a record has attempts, but several in any case: one refused connection is not the end of a run."""
    for retries, tries in ((0, TRIES), (TRIES - 1, TRIES), (TRIES, TRIES + 1), (20, 21)):
        outage = Outage(retries=retries)
        waits = [outage.unsent(REFUSED, 1.0, 0.5) for _ in range(tries)]
        assert waits[-1] == math.inf
        assert math.inf not in waits[:-1]


def test_a_tenant_that_has_answered_is_waited_for_until_patience_ends() -> None:
    """However many tries that takes; the last one is made when patience ends, not up to a minute later."""
    outage, now, tries = answering(), 100.0, 0
    while (wait := outage.unsent(REFUSED, now, 0.99)) < math.inf:
        now, tries = now + wait, tries + 1
    assert 100.0 + PATIENCE_S <= now <= 100.0 + PATIENCE_S + PAUSE_FIRST_S
    assert 10 <= tries <= 16


def test_with_a_deadline_nobody_is_given_up() -> None:
    """Who says how long a run may take says how long to try, whether the tenant has answered before or not."""
    for outage in (Outage(patience_s=math.inf), answering(patience_s=math.inf)):
        waits = [outage.unsent(REFUSED, float(now) * 1000, 0.5) for now in range(1000)]
        assert max(waits) < math.inf


def test_the_pauses_double_up_to_a_minute() -> None:
    """About half a second at first; for one draw they never shrink."""
    waits = [pause_before_probe(failed, 0.5) for failed in range(1, 2000)]
    assert waits[:4] == [0.375, 0.75, 1.5, 3.0]
    assert all(later >= earlier for earlier, later in pairwise(waits))
    assert waits[-1] == 0.75 * PAUSE_CAP_S


@CALM
@given(failed=st.integers(1, 10**9), draw=DRAW)
def test_a_pause_is_never_nothing_and_never_more_than_the_cap(failed: int, draw: float) -> None:
    """Half of it is certain, so that there is no hot loop."""
    assert PAUSE_FIRST_S / 2 <= pause_before_probe(failed, draw) <= PAUSE_CAP_S


@CALM
@given(
    steps=st.lists(st.tuples(st.sampled_from(["heard", "lost", "unsent"]), st.floats(0.0, 100.0), DRAW), max_size=60)
)
def test_whatever_happens_an_open_outage_pauses_and_a_closed_one_has_been_answered(
    steps: list[tuple[str, float, float]],
) -> None:
    """Each failure of an open one has a wait above nothing; an answer always leaves it calm."""
    outage, now = Outage(), 0.0
    for step, passed, draw in steps:
        now += passed
        if step == "heard":
            outage.heard()
            assert outage.calm
            assert not outage.is_open
        else:
            wait = (outage.lost if step == "lost" else outage.unsent)("why", now, draw)
            assert (wait > 0.0) == outage.is_open
            assert wait >= PAUSE_FIRST_S / 2 or not outage.is_open
            assert outage.since <= now


def test_the_width_doubles_with_each_round_of_answers() -> None:
    """One at first, then one more for each answer, up to what the lane may have."""
    assert [width_after(answers, 4) for answers in (0, 1, 2, 3, 4, 5, 100)] == [1, 1, 2, 3, 4, 4, 4]
