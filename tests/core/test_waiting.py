"""What is waited for, in words: how long, why, and of how many lanes."""

from __future__ import annotations

from collections import Counter

import pytest

from bulkstreams.core.waiting import Progress, Wait, WaitKind, duration, urgency


def progress(*waits: tuple[str, Wait], **more: object) -> Progress:
    """Return how a run of these waits stands; keywords replace its parts."""
    usual = {"lanes": len(waits), "unseated": 0, "waits": waits, "counts": Counter(one.kind for _, one in waits)}
    return Progress(**{**usual, **more})  # type: ignore[arg-type]


def paced(rate: int = 5) -> Wait:
    """Return the commonest wait."""
    return Wait(WaitKind.PACED, f"paced at {rate}/s")


@pytest.mark.parametrize(
    ("wait", "words"),
    [
        (
            Wait(WaitKind.THROTTLED, "429: the server said to wait", 112.0),
            "paused for 12 s more (429: the server said to",
        ),
        (Wait(WaitKind.UNREACHABLE, "no connection"), "paused (no connection)"),
        (Wait(WaitKind.UNREACHABLE, "no connection", 400.0), "paused for 5 min 0 s more (no connection)"),
        (Wait(WaitKind.STOPPING, "interrupted"), "stopping: interrupted"),
        (Wait(WaitKind.DOUBT, "looking up 3 records in doubt"), "looking up 3 records in doubt"),
        (Wait(WaitKind.DOUBT, "must settle", 101.5), "must settle: 1.50 s more"),
        (Wait(WaitKind.DOUBT, "must settle", 99.0), "must settle: 0.00 s more"),
    ],
)
def test_a_wait_says_how_long_and_why(wait: Wait, words: str) -> None:
    """The seconds are those that are left now; where nobody knows them there are none."""
    assert wait.words(100.0).startswith(words)


def test_every_kind_has_words_for_many() -> None:
    """No kind of wait is counted without a name, and the worst is named first."""
    counts = Counter(dict.fromkeys(reversed(WaitKind), 2))
    (text,) = progress(counts=counts, lanes=20).lines(0.0, 5)
    parts = text.split(", ")
    assert len(parts) == len(WaitKind) == len(set(parts))
    assert parts[0] == "2 stopping"
    assert parts[-1] == "2 paced"


def test_a_few_are_told_one_by_one_and_the_rest_is_counted() -> None:
    """Of forty lanes two stand by name, the others by what they wait for, and tenants without a lane by number."""
    down = Wait(WaitKind.UNREACHABLE, "no connection", 9.0)
    waits = (("gone", down), ("lost", down), *((f"t{i}", paced()) for i in range(38)))
    assert progress(*waits, unseated=1200).lines(4.0, 1) == [
        "gone: paused for 5.00 s more (no connection)",
        "… and 39 more lanes: 1 unreachable, 38 paced",
        "1,200 tenants wait for their turn",
    ]
    assert progress(("a", paced())).lines(4.0, 1) == ["a: paced at 5/s"]


def test_what_is_over_is_not_told() -> None:
    """A wait whose instant has passed is gone, from the list and from the counts."""
    before = progress(
        ("a", Wait(WaitKind.THROTTLED, "429", 10.0)), ("b", paced()), ("c", Wait(WaitKind.DOUBT, "r", 30.0))
    )
    after = before.at(20.0)
    assert [name for name, _ in after.waits] == ["b", "c"]
    assert after.counts == {WaitKind.PACED: 1, WaitKind.DOUBT: 1}
    assert before.at(5.0) == before


def test_another_clock_shows_the_same() -> None:
    """Instants move with the clock; what is left stays, and what has no instant gets none."""
    here = progress(("a", Wait(WaitKind.THROTTLED, "429", 10.0)), ("b", paced()), ends_at=60.0, stops_at=50.0)
    there = here.moved(1000.0)
    assert there.left(1004.0) == here.left(4.0) == "56 s left, the deadline comes in 46 s"
    assert there.lines(1004.0, 2) == here.lines(4.0, 2)
    assert there.left_s(1004.0) == here.left_s(4.0) == 56.0
    assert there.waits[1][1].until is None
    assert progress().moved(1000.0).ends_at is None


def test_the_time_left_is_told_only_where_it_is_known() -> None:
    """Where lanes are left of which nobody knows anything, it is the least; never less than nothing."""
    assert progress().left(5.0) == ""
    assert progress().left_s(5.0) is None
    assert progress(ends_at=125.0).left(5.0) == "2 min 0 s left"
    assert progress(ends_at=125.0, at_least=True).left(5.0) == "at least 2 min 0 s left"
    assert progress(ends_at=5.9, at_least=True).left(5.0) == ""
    assert progress(ends_at=5.9).left(5.0) == "0.90 s left"
    assert progress(ends_at=125.0).left_s(130.0) == 0.0


def test_a_deadline_that_comes_first_is_told() -> None:
    """Where the run is over before, nobody need think of it."""
    assert progress(ends_at=125.0, stops_at=65.0).left(5.0) == "2 min 0 s left, the deadline comes in 1 min 0 s"
    assert progress(ends_at=125.0, stops_at=126.0).left(5.0) == "2 min 0 s left"
    assert progress(stops_at=65.0).left(70.0) == "the deadline comes in 0.00 s"


def test_what_is_worst_comes_first() -> None:
    """A tenant that is down before one that is paced; of two alike the one that takes longer, or may."""
    down, slow = Wait(WaitKind.UNREACHABLE, "no connection", 9.0), paced()
    ranked = sorted([(slow, 5.0), (down, 1.0), (slow, None), (slow, 50.0)], key=lambda one: urgency(*one))
    assert ranked == [(down, 1.0), (slow, None), (slow, 50.0), (slow, 5.0)]


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.4, "0.40 s"), (12.4, "12 s"), (200, "3 min 20 s"), (7500, "2 h 5 min"), (59.7, "60 s")]
)
def test_a_duration_is_told_as_people_say_it(seconds: float, words: str) -> None:
    """Two units at the most."""
    assert duration(seconds) == words
