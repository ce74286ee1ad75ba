"""A run's progress as a person sees it: figures, waits and failures, on any terminal, in any pipe."""

from __future__ import annotations

import io
from collections import Counter

import anyio
import pytest
from rich.console import Console

from bulkstreams.cli.progress import PLAIN_MOST, ProgressKind, choose, line, picture, plain_line
from bulkstreams.commands.live import MOST_SHOWN, MOST_STOPPED, Live, Reads
from bulkstreams.core.waiting import Progress, Wait, WaitKind
from bulkstreams.ledger import Result
from bulkstreams.model import Problem, Settlement

NOW = 1000.0

DOWN = Wait(WaitKind.UNREACHABLE, "no connection to 127.0.0.1:9 (Connection refused)", NOW + 30)
HELD = Wait(WaitKind.THROTTLED, "429: the server said to wait", NOW + 12)
SLOW = Wait(WaitKind.PACED, "paced at 5/s by its own ceiling")

MANY = Progress(
    lanes=45,
    unseated=900,
    waits=(("gone", DOWN), ("acme", HELD), *((f"t{i}", SLOW) for i in range(18))),
    counts=Counter({WaitKind.UNREACHABLE: 1, WaitKind.THROTTLED: 6, WaitKind.PACED: 30}),
    allowed=225.0,
    ends_at=NOW + 200.0,
    at_least=True,
)
ONE = Progress(
    lanes=1, unseated=0, waits=(("acme", SLOW),), counts=Counter({WaitKind.PACED: 1}), allowed=5.0, ends_at=NOW + 20
)


class Standing:
    """An engine whose outlook is what it was told to be."""

    def __init__(self, progress: Progress, todo: int) -> None:
        self.outlook, self.todo, self._progress = self, todo, progress
        self.begun, self.now = True, NOW

    def look(self) -> Progress:
        """Return how the run stands."""
        return self._progress


def live(progress: Progress | None, *, done: int = 0, todo: int = 1000) -> Live:
    """Return a live view of a run that stands so, `done` records of which were settled over two seconds."""
    hand = [0.0]
    one = Live(lambda _: None, lambda: hand[0])
    if progress is not None:
        one.engine = Standing(progress, todo)  # type: ignore[assignment]

    async def settle() -> None:
        await one.settled([])
        hand[0] = 2.0
        await one.settled([Settlement(i, "created", 1) for i in range(done)])

    anyio.run(settle)
    return one


def failed(message: str) -> Result:
    """Return a record that failed with a message."""
    return Result(
        "in.jsonl", 7, "a", "acme", "a", "refused", None, 1, 400, None, message, 1.0, 2.0, 3.0, 0, 1, 0, 9, None
    )


def drawn(one: Live, width: int) -> list[str]:
    """Return the lines of a picture on a terminal of a width."""
    to = Console(file=io.StringIO(), width=width, force_terminal=True, no_color=True, highlight=False, soft_wrap=True)
    to.print(picture(one, width))
    assert isinstance(to.file, io.StringIO)
    return to.file.getvalue().splitlines()


def test_a_line_has_the_figures_the_rates_and_the_time_left() -> None:
    """Done of how many, the rate now and the one that is allowed, the time left, and what became of records."""
    assert line(live(ONE, done=100)) == "100/1,000 · 50.0/s (5/s allowed) · 20 s left · 100 created"


def test_no_more_is_done_than_there_is_to_do() -> None:
    """A run that may take ten records can find out about more: the first look-up tells what exists already."""
    assert line(live(ONE, done=100, todo=10)).startswith("100/100 · ")
    assert drawn(live(ONE, done=100, todo=10), 120)[0].endswith(
        "100/100 · 50.0/s (5/s allowed) · 20 s left · 100 created"
    )


def test_what_nobody_knows_is_left_out() -> None:
    """Where no rate is known none is told, and no time left."""
    unknown = ONE._replace(allowed=None, ends_at=None)
    assert line(live(unknown)) == "0/1,000 · 0.0/s"


def test_while_the_input_is_read_its_lines_are_told() -> None:
    """There is nothing to wait for yet."""
    one = live(None)
    one.lines_read(1234)
    assert line(one) == plain_line(one) == "reading: 1,234 lines in 2.00 s"
    assert drawn(one, 80) == ["reading: 1,234 lines in 2.00 s"]


def test_what_only_reads_tells_how_much_and_not_of_how_much() -> None:
    """Nobody knows beforehand how many streams a tenant has: neither a figure nor a full bar says so."""
    hand = [0.0]
    one = Reads(lambda _: None, lambda: hand[0])
    one.engine = Standing(ONE, 1)  # type: ignore[assignment]
    one.read(50)
    hand[0] = 2.0
    one.read(1000)
    assert line(one) == "1,050 streams read · 500.0/s (5/s allowed)"
    assert "1,050 streams read" in "".join(drawn(one, 80))
    assert "━" * 30 not in drawn(one, 80)[0]
    assert "━" * 30 not in drawn(live(ONE, done=500), 80)[0]
    assert "━" * 30 in drawn(live(ONE, done=1000), 80)[0]


def test_a_plain_line_tells_the_worst_waits_and_counts_the_rest() -> None:
    """One line, the least time left, a tenant that is down before one that is paused."""
    text = plain_line(live(MANY, done=100))
    assert text == (
        "100/1,000 · 50.0/s (225/s allowed) · at least 3 min 20 s left · 100 created"
        " · gone: paused for 30 s more (no connection to 127.0.0.1:9 (Connection refused))"
        " · acme: paused for 12 s more (429: the server said to wait)"
        " · t0: paced at 5/s by its own ceiling"
        " · … and 34 more lanes: 5 paused by a 429, 29 paced · 900 tenants wait for their turn"
    )


def test_a_plain_line_is_bounded() -> None:
    """However long a reason is, and whatever stands in it, the line stays one line of a bounded length."""
    wait = Wait(WaitKind.UNREACHABLE, "x\ny\x1b[31m" + "z" * 5000, NOW + 30)
    text = plain_line(live(MANY._replace(waits=(("gone", wait),))))
    assert len(text) == PLAIN_MOST
    assert text.endswith("…")
    assert text.isprintable()


@pytest.mark.parametrize("width", [10, 20, 40, 80, 99, 100, 120, 200])
def test_no_line_of_a_picture_is_wider_than_the_terminal(width: int) -> None:
    """Narrow terminals get cut lines, not wrapped ones: the number of lines is the same, however wide it is."""
    one = live(MANY, done=100)
    one.failures.append(failed("m" * 500))
    lines = drawn(one, width)
    assert all(len(text) <= width for text in lines)
    # the worst five, the rest, those without a seat, one failure, and the figures beside or below the bar
    assert len(lines) == 8 + (1 if width >= 100 else 2)


def test_a_picture_shows_what_is_waited_for_and_the_newest_failures() -> None:
    """Each in a line of its own."""
    one = live(ONE, done=10)
    one.failures.append(failed("name is taken"))
    lines = drawn(one, 120)
    assert lines[0].endswith("10/1,000 · 5.0/s (5/s allowed) · 20 s left · 10 created")
    assert lines[1:] == ["  acme: paced at 5/s by its own ceiling", "  in.jsonl:7: refused: name is taken"]


@pytest.mark.parametrize("text", ["[bold red]boo[/]", "[/nothing]", ":warning: [link=x]", "\x1b[2J\x07"])
def test_what_servers_and_inputs_say_is_no_markup(text: str) -> None:
    """It is shown as it is, signs that would steer the terminal left out."""
    down = Wait(WaitKind.UNREACHABLE, text, NOW + 5)
    one = live(ONE._replace(waits=((text, down),), counts=Counter([down.kind])))
    one.failures.append(failed(text))
    shown = "".join(c if c.isprintable() else " " for c in text)
    lines = drawn(one, 120)
    assert lines[1] == f"  {shown}: paused for 5.00 s more ({shown})"
    assert lines[2].rstrip() == f"  in.jsonl:7: refused: {shown}".rstrip()
    assert shown.strip() in plain_line(one)


def test_a_pipe_and_ci_get_plain_lines() -> None:
    """What was asked for counts; `auto` looks where it writes to."""
    assert choose(ProgressKind.BAR, {"CI": "true"}) is ProgressKind.BAR
    assert choose(ProgressKind.AUTO, {"CI": "true"}) is ProgressKind.PLAIN
    assert choose(ProgressKind.AUTO, {"TERM": "dumb"}) is ProgressKind.PLAIN


def test_tenants_that_stop_while_others_go_on_are_told_at_once_and_not_without_end() -> None:
    """The first few by name, then one line for all the others: they stand in the summary."""
    said: list[str] = []
    live = Live(said.append)
    for number in range(10_000):
        live.lane_stopped(f"t{number}", "it answered 403")
    assert said[0] == "stopped t0: it answered 403"
    assert len(said) == MOST_STOPPED + 1
    assert "more tenants stopped" in said[-1]


def test_a_command_that_reads_no_lines_does_not_say_that_it_reads_them() -> None:
    """Neither before it has looked at its ledger, nor before it has reached its tenant."""
    live = Live(lambda _: None)
    live.reads_lines = False
    assert line(live) == line(Reads(lambda _: None)) == "beginning"


def test_who_writes_no_ledger_names_another_command_for_the_complaints() -> None:
    """A plan leaves nothing that could be asked for the invalid lines."""
    for given, words in (
        ({}, "results LEDGER --state invalid"),
        ({"listed": "bulkstreams validate INPUT"}, "validate INPUT"),
    ):
        told: list[str] = []
        one = Live(told.append, **given)  # type: ignore[arg-type]
        for number in range(MOST_SHOWN + 5):
            one.invalid("in.jsonl", number, [Problem(path="name", message="is wrong")])
        assert told[-1] == f"… more of kind invalid; `bulkstreams {words}` lists them all"
