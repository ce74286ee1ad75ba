"""What a bench shows and tells: every figure with what spoils it, and no line wider than the terminal."""

from __future__ import annotations

import io
from itertools import pairwise
from typing import Any

import anyio
import pytest
from rich.console import Console

from bulkstreams.cli.bench_text import answer, lengthened, summary
from bulkstreams.cli.bench_view import LEAST_COLUMNS, MOST_DOTS, PLOT_ROWS, BenchView, dots, plot
from bulkstreams.cli.progress import PLAIN_EVERY_S, ProgressKind
from bulkstreams.commands.bench.measured import Measured, everything, figures
from bulkstreams.commands.bench.options import Searching
from bulkstreams.core.saturation import Cause, Span
from bulkstreams.core.schedule import Schedule, steady
from bulkstreams.core.searching import read_goal
from bulkstreams.engine.metering import Meter, Point
from bulkstreams.model import Failure, Reply
from tests.engine.fakes import in_told_time


class Told:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        """Return the time."""
        return self.now

    def wall(self) -> float:
        """Return the time."""
        return self.now


def a_meter(
    *, status: int = 201, seconds: int = 3, warmup_s: float = 0.0, answer: Reply | Failure | None = None
) -> Meter:
    """Return the meter of ten requests a second, each answered after 20 ms."""
    clock = Told()
    meter = Meter(0.0, warmup_s, Schedule([steady(10, seconds)]), clock, lambda: 5, lambda: 0.0, lambda: 0.0)
    for k in range(10 * seconds):
        at = k / 10
        meter.began(at, at + 0.001, Cause.LOOP)
        meter.ended(at, at + 0.021, answer or Reply(status, {}, b"", 0.02))
        if k % 10 == 9:
            clock.now = at + 0.1
            meter._close(clock.now)
    meter.finish()
    return meter


def point(at: float, p99_ms: float | None = 10.0) -> Point:
    """Return an interval of a second."""
    return Point(
        at=at, seconds=1.0, offered=10, sent=10, done=10, timed=10, errors=0, late=0, p50_ms=p99_ms, p99_ms=p99_ms,
        service_p50_ms=None, service_p99_ms=None,
        max_ms=p99_ms, lag_ms=0.1, busy=0.1, cpu=0.1, most_under_way=1, most_sockets=1,
        under_way=1, overdue=0, sockets=1,
    )  # fmt: skip


def drawn(view: BenchView, width: int) -> list[str]:
    """Return the lines of a view on a terminal of a width."""
    console = Console(width=width, no_color=True, force_terminal=False)
    with console.capture() as captured:
        console.print(view.picture(width))
    return captured.get().splitlines()


def test_a_line_tells_rates_latencies_and_errors() -> None:
    """Sent against offered, the latencies of the last second, what went wrong and how often."""
    view = BenchView(print)
    assert view.line() == "the load begins"
    meter = a_meter(status=429)
    meter.began(0.0, 0.0, Cause.LOOP)
    meter.ended(0.0, 0.1, Failure("no connection", False, 0.1))
    view.begins("load", meter)
    line = view.line()
    assert line.startswith("load: 3.00 s of 3.00 s · 10.0/s of 10.0/s offered · p50 21.0 ms · p99 21.0 ms")
    assert "30 × 429 · 1 × no connection" in line


def test_a_server_that_is_down_has_no_latency() -> None:
    """Nobody is shown how fast connections are refused; what is shown is how many."""
    view = BenchView(print)
    view.begins("load", a_meter(answer=Failure("no connection", False, 0.001)))
    assert "p50" not in view.line()
    assert "30 × no connection" in view.line()
    assert len(drawn(view, 80)) == 2


def test_latencies_of_a_part_are_told_as_such() -> None:
    """Of a second in which half of the connections were refused the other half is timed, live and at the end."""
    meter = a_meter()
    for k in range(4):
        meter.began(3.0, 3.0, Cause.LOOP)
        answer = Failure("no connection", False, 0.001) if k % 2 else Reply(201, {}, b"", 0.02)
        meter.ended(3.0, 3.02, answer)
    meter.began(3.0, 3.0, Cause.LOOP)
    meter._close(4.0)
    view = BenchView(print)
    view.begins("load", meter)
    assert "p50 20.0 ms · p99 20.0 ms of 2 of 4 that reached the server" in view.line()
    found = figures(Measured(meter=meter, planned_s=3.0, offered_rate=10.0))
    assert (found["requests"], found["timed_requests"], found["unreached"]) == (35, 32, 2)
    text = "\n".join(summary(found, None, {}))
    assert "times are of 32 of 35 requests: 2 did not reach the server, 1 had not ended" in text
    assert "times are of" not in told()


def test_a_closed_loop_is_offered_nothing() -> None:
    """It has no schedule: what it sends is told, and no more."""
    view, meter = BenchView(print), a_meter()
    meter.schedule = None
    view.begins("closed loop of 4", meter)
    assert view.line().startswith("closed loop of 4: 3.00 s · 10.0/s · p50")


def test_a_warm_up_is_shown_as_one() -> None:
    """Nobody takes its latencies for the load's."""
    view = BenchView(print)
    view.begins("load", a_meter(warmup_s=10.0))
    assert view.line().startswith("load: warming up")


def test_a_client_that_is_the_bottleneck_is_told_at_once() -> None:
    """While it goes on, not only at its end."""
    view, meter = BenchView(print), a_meter()
    meter.spans.append(Span(at=3.0, seconds=1.0, due=10, late={}, lag_s=0.5, busy=0.1))
    view.begins("load", meter)
    assert "the client is the bottleneck: its event loop was 500 ms late on average" in view.line()
    assert any("the client is the bottleneck" in row for row in drawn(view, 80))


@pytest.mark.parametrize("width", [LEAST_COLUMNS, 60, 80, 200])
def test_the_picture_has_a_plot_that_fits(width: int) -> None:
    """Two curves in braille dots, with a scale; nothing is wider than the terminal."""
    view = BenchView(print)
    view.begins("load", a_meter(seconds=30))
    rows = drawn(view, width)
    assert len(rows) >= PLOT_ROWS
    assert max(map(len, rows)) <= width
    assert any("p99" in row for row in rows)
    assert any("\u2801" <= sign <= "\u28ff" for row in rows for sign in row)


def test_a_narrow_terminal_gets_no_plot() -> None:
    """The figures alone, cut to its width."""
    view = BenchView(print)
    view.begins("load", a_meter())
    rows = drawn(view, LEAST_COLUMNS - 1)
    assert len(rows) == 1
    assert len(rows[0]) < LEAST_COLUMNS


def test_seconds_without_an_answer_are_not_drawn() -> None:
    """A stall is no zero; where nothing was answered there is no plot."""
    assert plot([point(0.0, None), point(1.0, None)], 60) == ""
    assert "10.0" in plot([point(0.0), point(1.0, None), point(2.0, 20.0)], 60)


def test_an_outage_is_a_gap_in_the_plot() -> None:
    """Nobody knows how long anything took in it, so that no curve runs through it."""
    rows = plot([point(float(k), None if 20 <= k < 40 else 10.0) for k in range(60)], 60).splitlines()
    columns = sorted({at for row in rows for at, sign in enumerate(row) if "\u2801" <= sign <= "\u28ff"})
    assert max(after - before for before, after in pairwise(columns)) > 15


def test_a_long_load_is_drawn_with_no_more_dots() -> None:
    """Drawing takes no longer after an hour than after minutes, and the one bad second of that hour is still seen."""
    points = [point(float(k), 987.0 if k == 1234 else 10.0) for k in range(3600)]
    found = dots(points)
    assert len(found) <= MOST_DOTS
    assert [one for dot in found for one in dot] == points
    assert "987" in plot(points, 60)


def test_no_figures_of_a_load_are_repeated_after_it() -> None:
    """What goes on between and after loads is told once, and no stale line after it, until the next load begins."""
    lines: list[str] = []
    view, console = BenchView(lines.append), Console(file=io.StringIO(), width=200)

    async def scene() -> None:
        view.begins("load", a_meter())
        for step in (lambda: None, lambda: view.phase("looking up 2"), lambda: view.begins("probe", a_meter())):
            step()
            with anyio.move_on_after(2.5 * PLAIN_EVERY_S):
                await view.show(ProgressKind.PLAIN, console)

    in_told_time(scene)
    assert isinstance(console.file, io.StringIO)
    shown = [line.partition(":")[0] for line in console.file.getvalue().splitlines()]
    assert (shown, lines) == (["load", "load", "probe", "probe"], ["looking up 2"])


def told(**more: Any) -> str:
    """Return the summary of a load, with some figures replaced."""
    found = figures(Measured(meter=a_meter(), planned_s=3.0, offered_rate=10.0))
    return "\n".join(summary({**found, **more}, None, {}))


def test_a_summary_tells_both_kinds_of_time() -> None:
    """With rates, answers and the client's own state; nothing is called unsound that is sound."""
    text = told()
    assert "30 requests in 3.0 s: 10.0/s sent of 10.0/s offered" in text
    assert "response, from schedule" in text
    assert "service, from sending" in text
    assert "answers: 30 × 201" in text
    assert "UNSOUND" not in text
    assert "never sent" not in text


def test_one_is_not_told_in_the_plural() -> None:
    """A request, an error, and a request that was not sent."""
    text = told(requests=1, errors=1, unsent=1, timed_requests=1)
    assert text.startswith("1 request in 3.0 s: ")
    assert " 1 error\n" in text
    assert "1 request that the schedule asked for was never sent" in text
    assert "2 requests that the schedule asked for were never sent" in told(unsent=2)


def test_a_closed_loop_has_no_schedule_to_count_from() -> None:
    """Its requests have their turn when a client is free."""
    found = figures(Measured(meter=a_meter(), planned_s=3.0, offered_rate=None))
    text = "\n".join(summary(found, None, {}))
    assert "response, from its turn" in text
    assert "schedule" not in text


@pytest.mark.parametrize("saturated", [False, True])
def test_the_table_fits_into_eighty_columns(saturated: bool) -> None:
    """With each mark, and times from a microsecond to a quarter of an hour; a space stands between any two."""
    times = dict(zip(("p50", "p90", "p95", "p99", "p999", "max", "mean"),
                     (0.001, 999.99, 1234.56, 30_001.2, 123_456.7, 899_999.0, None), strict=True))  # fmt: skip
    text = told(
        client_saturated=saturated, unsound=list(times), response_time_ms=times, service_time_ms=times,
        start_delay_ms=times,
    )  # fmt: skip
    table = [row for row in text.splitlines() if row.startswith(("ms", "response", "service", "start"))]
    assert len(table) == 4
    assert max(map(len, table)) < 80
    assert table[0].split()[-7:] == [f"{name}?" for name in times]
    assert table[1].split()[-7:] == ["0.00", "999.99", "1,234.6", "30,001", "123,457", "899,999", "–"]


def test_a_summary_tells_what_spoils_it() -> None:
    """Unsent requests, late ones by cause, and the periods of a saturated client, the first three one by one."""
    client = figures(Measured(meter=a_meter(), planned_s=3.0, offered_rate=10.0))["client"]
    periods = [{"begins": float(i), "ends": i + 1.0, "why": f"reason {i}"} for i in range(5)]
    text = told(
        client_saturated=True, unsent=7, late={"ceiling": 1, "loop": 2, "ledger": 3},
        client={**client, "saturated_periods": periods, "spoiled_share": 0.5},
    )  # fmt: skip
    for words in (
        "7 requests that the schedule asked for were never sent",
        "1 began late since every connection",
        "2 began late since the client's event loop",
        "3 began late since their intents",
        "UNSOUND",
        "BOTTLENECK for 50.0%",
        "from 2.0 s to 3.0 s: reason 2",
        "and 2 more such periods",
    ):
        assert words in text
    assert "reason 3" not in text


def test_a_summary_marks_single_measures_that_the_client_may_have_spoiled() -> None:
    """Where it was late a few times only, the far ones bear a mark."""
    why = {"p50": "delay", "p99": "few", "p999": "few", "max": "late"}
    text = told(unsound=list(why), unsound_why=why, late={"ceiling": 0, "loop": 4, "ledger": 0})
    assert "p999?" in text
    assert "max?" in text
    assert "p90?" not in text
    assert "max (marked ?) may not be what the server does, by those that began late, or never" in text
    assert "p50 (marked ?) may not be what the server does: the client's own start delay is more than 20%" in text
    assert "p99, p999 (marked ?) may be mere accident: fewer than 10 of these requests lie beyond" in text


def test_a_summary_tells_a_search_probe_by_probe() -> None:
    """What each rate gave, and what ended it."""
    probe = {"rate": 100.0, "passed": True, "broken_by": [], "measured_ms": 12.0, "errors": 0, "requests": 9}
    breaches = ([], ["latency"], ["errors"], ["latency", "unsent"], ["client"], ["full"])
    probes = [{**probe, "passed": not its, "broken_by": its} for its in breaches]
    probes[-1]["measured_ms"] = None
    search = {"goal": "p99<250ms", "rate": 100.0, "ended": "client", "probes": probes}
    text = told(search=search)
    assert "of the probe of 10/s, the highest rate that kept p99<250ms:\n30 requests in 3.0 s" in text
    assert "12.0 ms, 0 of 9 failed: kept\n" in text
    assert "12.0 ms, 0 of 9 failed: broken by the latency\n" in text
    assert "12.0 ms, 0 of 9 failed: broken by errors (more than 1%)\n" in text
    assert "broken by the latency and requests that were not sent (more than 2%)\n" in text
    assert "12.0 ms, 0 of 9 failed: unknown, the client was the bottleneck\n" in text
    assert "–, 0 of 9 failed: unknown, the tenant was full\n" in text
    assert "highest rate with p99<250ms: 100/s (above it the client is the bottleneck" in text
    none = told(search={**search, "rate": None, "ended": "never_kept"})
    assert "of the probe of 10/s, the last one:\n" in none
    assert "highest rate with p99<250ms: none (no rate keeps it)" in none


@pytest.mark.parametrize(
    ("ended", "rate", "probes", "words"),
    [
        ("stopped", None, 0, "not known, since no probe ended"),
        ("stopped", None, 2, "not known, since the search was cut short before a rate kept it, and lower ones may"),
        ("stopped", 80.0, 2, "80/s (the search was cut short: a higher one may keep it)"),
        ("probes", 80.0, 24, "80/s (the search tries no more than 24 rates: a higher one may keep it)"),
        ("full", None, 1, "not known (a probe filled the tenant's quota"),
        ("never_kept", None, 3, "none (no rate keeps it)"),
        ("found", 80.0, 5, "80/s (higher rates break it)"),
    ],
)
def test_that_no_rate_keeps_a_goal_is_said_only_where_that_was_seen(
    ended: str, rate: float | None, probes: int, words: str
) -> None:
    """A search that was cut short, or had no room, does not; and a rate that it found may not be the highest."""
    search = {"goal": "p99<50ms", "rate": rate, "ended": ended, "probes": [{}] * probes}
    assert answer(search).startswith(f"highest rate with p99<50ms: {words}")


@pytest.mark.parametrize(
    ("goal", "first", "seconds", "words"),
    [
        ("p99<50ms", 20.0, 2.0, "a probe takes at least 1,000 requests for a p99: 50 s at 20/s, not 2 s"),
        (
            "p999<50ms",
            20.0,
            10.0,
            "a probe takes 10,000 requests for a p999, or 60 s at the most: 60 s at 20/s, not 10 s",
        ),
        ("p99<50ms", 30.0, 0.5, "a probe takes at least 1,000 requests for a p99: 33.3 s at 30/s, not 0.5 s"),
        ("p99<50ms", 20.0, 50.0, None),
        ("p50<50ms", 20.0, 2.0, None),
    ],
)
def test_why_a_probe_is_longer_than_asked_for_is_told(
    goal: str, first: float, seconds: float, words: str | None
) -> None:
    """Its measure wants more requests; where it does not, there is nothing to tell."""
    assert lengthened(Searching(goal=read_goal(goal), first=first, seconds=seconds)) == words


def test_a_message_stands_by_an_answer_of_the_same_load() -> None:
    """What another probe was answered is no word on this one."""
    found = figures(Measured(meter=a_meter(status=429), planned_s=3.0, offered_rate=10.0))
    text = "\n".join(summary(found, None, {"429": "too many", "500": "broken"}))
    assert "  429: too many" in text
    assert "broken" not in text


def test_a_probe_that_begins_is_told_as_one() -> None:
    """Its first second has no figures yet; what it is stands there."""
    view = BenchView(print)
    view.begins("probe of 20/s", Meter(0.0, 0.0, None, Told(), lambda: 0, lambda: 0.0, lambda: 0.0))
    assert view.line() == "probe of 20/s begins"
    assert drawn(view, 80) == ["probe of 20/s begins"]


def test_requests_that_were_never_sent_spoil_what_lies_far_out() -> None:
    """The longest waits would have been theirs."""
    meter, few = a_meter(), dict.fromkeys(("p90", "p95", "p99", "p999"), "few")
    assert figures(Measured(meter=meter, planned_s=3.0, offered_rate=10.0))["unsound_why"] == few
    meter.offered += 1
    found = figures(Measured(meter=meter, planned_s=3.0, offered_rate=10.0))
    assert (found["unsent"], found["unsound"]) == (1, ["p90", "p95", "p99", "p999", "max", "mean"])
    assert found["unsound_why"] == {"p90": "few"} | dict.fromkeys(("p95", "p99", "p999", "max", "mean"), "late")


def test_everything_is_plain_data() -> None:
    """Figures, a row for each second, and the curves by percentile: for whoever draws or compares."""
    found = everything(Measured(meter=a_meter(), planned_s=3.0, offered_rate=10.0))
    assert set(found) == {"figures", "series", "percentiles"}
    assert [row["done"] for row in found["series"]] == [10, 10, 10]
    assert found["percentiles"]["response_time_ms"][0]["percentile"] == 0
    assert found["figures"]["response_time_ms"]["max"] == 21.0
