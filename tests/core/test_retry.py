"""The contract's table of answers, backoff and the end of patience."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bulkstreams.core.retry import (
    AMBIGUOUS,
    BACKOFF_CAP_S,
    BACKOFF_FIRST_S,
    LOOKUP_SHARE,
    Verdict,
    backoff,
    classify,
    look_up_now,
    used_up,
)
from bulkstreams.model import Failure, Reply

# How long a machine takes to draw or to run an example is no matter of these properties.
CALM = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


def reply(status: int) -> Reply:
    """Return an answer with nothing in it but its status."""
    return Reply(status, {}, b"", 0.01)


def test_an_attempt_of_which_no_byte_was_written_was_not_sent() -> None:
    """A refused connection is no doubt: the record may simply be tried again."""
    assert classify(Failure("refused", sent=False, elapsed_s=0.1), usable=False) is Verdict.NOT_SENT


def test_an_attempt_without_an_answer_is_lost() -> None:
    """A timeout after the request went out proves nothing."""
    assert classify(Failure("timeout", sent=True, elapsed_s=30.0), usable=False) is Verdict.LOST


@pytest.mark.parametrize("status", [200, 201, 202, 299])
def test_a_2xx_is_created_only_with_a_usable_body(status: int) -> None:
    """A truncated or unreadable success leaves doubt."""
    assert classify(reply(status), usable=True) is Verdict.CREATED
    assert classify(reply(status), usable=False) is Verdict.LOST


@pytest.mark.parametrize("status", [408, 500, 502, 503, 504, 520, 521, 522, 523, 524])
def test_gateway_and_server_errors_leave_doubt(status: int) -> None:
    """The contract's ambiguous statuses are lost attempts, never refusals."""
    assert status in AMBIGUOUS
    assert classify(reply(status), usable=False) is Verdict.LOST


@pytest.mark.parametrize("status", [100, 199, 501, 505, 599])
def test_statuses_that_no_table_knows_leave_doubt(status: int) -> None:
    """A failing server of an unknown kind may have acted."""
    assert classify(reply(status), usable=False) is Verdict.LOST


@pytest.mark.parametrize("status", [300, 301, 302, 307, 308, 400, 402, 405, 410, 413, 415, 418, 422, 451])
def test_other_answers_are_refusals(status: int) -> None:
    """Redirects, which are never followed, and plain client errors are a no for good."""
    assert classify(reply(status), usable=False) is Verdict.REFUSED


@pytest.mark.parametrize(
    ("status", "verdict"),
    [
        (401, Verdict.UNAUTHORIZED),
        (403, Verdict.FORBIDDEN),
        (404, Verdict.FORBIDDEN),
        (409, Verdict.NAME_TAKEN),
        (429, Verdict.THROTTLED),
    ],
)
def test_some_statuses_have_a_meaning_of_their_own(status: int, verdict: Verdict) -> None:
    """Credentials, permission, a taken name and throttling are told apart."""
    assert classify(reply(status), usable=False) is verdict


@CALM
@given(st.integers(0, 999), st.booleans())
def test_only_a_usable_2xx_is_ever_created(status: int, usable: bool) -> None:
    """No other status, whatever its body looks like, counts as created."""
    created = classify(reply(status), usable=usable) is Verdict.CREATED
    assert created == (usable and 200 <= status <= 299)


@CALM
@given(st.integers(1, 100_000), st.floats(0, 1, exclude_max=True))
def test_backoff_stays_within_its_cap(attempt: int, draw: float) -> None:
    """No delay is negative, above the cap, or above the doubled first delay of its attempt."""
    delay = backoff(attempt, draw)
    assert 0 <= delay <= BACKOFF_CAP_S
    assert delay <= BACKOFF_FIRST_S * 2 ** min(attempt - 1, 60)


def test_backoff_doubles_until_the_cap_and_is_drawn_from_zero() -> None:
    """The ceiling doubles with each attempt; full jitter may make a delay as short as nothing."""
    assert [backoff(n, 0.5) * 2 for n in range(1, 9)] == [0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 20.0]
    assert backoff(5, 0.0) == 0.0


def test_a_record_is_used_up_after_its_first_attempt_and_all_retries() -> None:
    """With two retries the third attempt is the last; without any, the first is."""
    assert [used_up(n, 2) for n in range(1, 5)] == [False, False, True, True]
    assert used_up(1, 0)
    assert not used_up(0, 0)


def test_a_look_up_waits_until_it_is_worth_its_price() -> None:
    """While there is more to send, the next listing begins after four creates for each page that the last one cost."""
    usual = {"idle": False, "crowded": False, "pages": 100}
    assert not look_up_now(**usual, sent_since=100 * LOOKUP_SHARE - 1)  # type: ignore[arg-type]
    assert look_up_now(**usual, sent_since=100 * LOOKUP_SHARE)  # type: ignore[arg-type]


@pytest.mark.parametrize(("idle", "crowded"), [(True, False), (False, True)])
def test_a_look_up_that_others_wait_for_begins_at_once(idle: bool, crowded: bool) -> None:
    """A lane with nothing to send, or with too many doubts to send more, does not wait."""
    assert look_up_now(idle=idle, crowded=crowded, sent_since=0, pages=100)


def test_the_first_look_up_has_no_price_yet() -> None:
    """Nobody knows before how many pages there are."""
    assert look_up_now(idle=False, crowded=False, sent_since=0, pages=0)
