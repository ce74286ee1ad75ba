"""Whether the client was the bottleneck: told by itself alone, never by how slow a server is."""

from __future__ import annotations

import pytest

from bulkstreams.core.saturation import BUSY, LAG_S, SPOILED, Cause, Span, judge, trouble


def span(at: float = 0.0, *, due: int = 100, lag_s: float = 0.001, busy: float = 0.3, **late: int) -> Span:
    """Return an interval of a second in which all is well unless something else is said."""
    causes = {Cause(cause): count for cause, count in late.items()}
    return Span(at=at, seconds=1.0, due=due, late=causes, lag_s=lag_s, busy=busy)


def test_a_slow_server_is_no_trouble_of_the_client() -> None:
    """However many requests waited for a connection that the server kept: that is the ceiling's, and told apart."""
    assert trouble(span(ceiling=100)) is None
    assert trouble(span(due=0)) is None


@pytest.mark.parametrize(
    ("of", "words"),
    [
        (span(lag_s=0.16), "its event loop was 160 ms late on average"),
        (span(busy=0.97), "its event loop took 97% of a core"),
        (span(loop=4, ledger=2), "6 of 100 requests began late"),
    ],
)
def test_each_sign_of_a_saturated_client_is_told(of: Span, words: str) -> None:
    """A late loop, a busy one, requests that began late though nothing of the server kept them."""
    assert trouble(of) == words


def test_at_the_limits_nothing_is_told() -> None:
    """What is no more than allowed is allowed."""
    assert trouble(span(lag_s=LAG_S, busy=BUSY - 0.001, loop=5)) is None


def test_a_hundredth_of_the_requests_may_be_spoiled() -> None:
    """One more, and the percentiles are unsound."""
    well = [span(float(i)) for i in range(99)]
    verdict = judge([*well, span(99.0, lag_s=1.0)])
    assert (verdict.share, verdict.saturated) == (pytest.approx(SPOILED), False)
    assert judge([*well, span(99.0, due=101, lag_s=1.0)]).saturated


def test_periods_are_told_from_their_beginning_to_their_end() -> None:
    """Seconds on end are one period, under the words of the first; the last may go on to the end."""
    spans = [span(0.0), span(1.0, lag_s=0.1), span(2.0, busy=1.0), span(3.0), span(4.0, busy=0.99)]
    first, second = judge(spans).periods
    assert (first.begins, first.ends, first.why) == (1.0, 3.0, "its event loop was 100 ms late on average")
    assert (second.begins, second.ends) == (4.0, 5.0)


def test_nothing_due_is_nothing_spoiled() -> None:
    """A load without a request has no verdict against it."""
    verdict = judge([])
    assert (verdict.saturated, verdict.share, list(verdict.periods)) == (False, 0.0, [])
