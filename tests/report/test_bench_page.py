"""The page of a bench: it shows the figures' own numbers, in plots and in words, and hostile texts as texts."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from bulkstreams.commands.bench.measured import Measured, everything
from bulkstreams.core.saturation import Cause
from bulkstreams.core.schedule import Schedule, steady
from bulkstreams.engine.metering import Meter
from bulkstreams.ledger import Configured, InForce, Setting, Shown
from bulkstreams.model import Failure, Reply
from bulkstreams.report import bench_plots, page
from tests.report import HOSTILE
from tests.report.test_page import Parsed


class Hand:
    """A clock that is put forward by hand."""

    now = 100.0

    def monotonic(self) -> float:
        """Return what it was put to."""
        return self.now


def measured(reason: str = "it was lost", *, cause: Cause = Cause.CEILING) -> Measured:
    """Return a load of 10/s for two seconds: in the first all are answered on time, in the second they begin late.

    The last of them gets no answer.
    """
    hand = Hand()
    schedule = Schedule([steady(10, 2)])
    meter = Meter(100.0, 0.0, schedule, hand, lambda: 3, lambda: 0.0, lambda: 0.0)
    for n in range(20):
        at = 100.05 + n / 10
        late = 0.0 if n < 10 else 0.05
        meter.began(at, at + late, cause)
        good = Reply(201, {}, b"", 0.01) if n % 2 else Reply(429, {}, b"", 0.02)
        answer = Failure(reason, sent=True, elapsed_s=0.01) if n == 19 else good
        hand.now = at + late + answer.elapsed_s
        meter.ended(at, hand.now, answer)
        if n == 9:
            hand.now = 101.0
            meter._close(hand.now)
    hand.now = 102.0
    meter.finish()
    return Measured(meter=meter, planned_s=2.0, offered_rate=10.0)


def bench(load: Measured, text: str = "x", **more: Any) -> dict[str, Any]:
    """Return what a page is made of."""
    found = everything(load)
    found["figures"] |= {"run_id": text, "ledger": text, **more}
    said: dict[str, Any] = {
        "stopped": text,
        "examples": {"429": text},
        "late": [text],
        "itself": text,
        "doubted": [text],
        "timed": [text],
    }
    settings = {
        "schedule": Setting("10/s 2s", "50/s 30s", "--rate"),
        "template": Setting(text, None, "--template"),
        "warmup_s": Setting(2.5, 0.0, "--warmup"),
    }
    told = InForce(
        inputs=[text],
        settings=settings,
        tenants=[Configured(text, "https://acme.test", True, {}, Shown("token", "***"))],
    )
    said["in_force"] = {"run": text, "started_at": 0.0, **told.as_json()}
    said["ledger_file"] = {"bytes": 4096, "sha256": "c0ffee", "why_not": None}
    said["inputs"] = [
        {"path": text, "records": 20, "definitions_sha256": "decade", "sha256": None, "why_not": f"it has {text}"}
    ]
    return {**found, **said, "base_url": text, "made_at": 0.0}


def cells(html: str) -> str:
    """Return a page's texts, a space between those of any two elements."""
    return " ".join(re.sub(r"<[^>]*>", " ", html[html.index("<main>") : html.index("</main>")]).split())


def test_what_a_server_says_is_never_markup() -> None:
    """Names, reasons and messages are shown as they are; the page has no other elements than with harmless ones."""
    one = Parsed(page.of_bench(bench(measured(HOSTILE), HOSTILE)))
    other = Parsed(page.of_bench(bench(measured())))
    assert {tag for tag, _ in one.elements} == {tag for tag, _ in other.elements}
    assert len(one.scripts) == len(other.scripts) == 3
    assert not one.tags("img")
    assert not [name for _, attributes in one.elements for name in attributes if name.startswith("on")]
    assert one.text.count(HOSTILE) >= 8
    assert not set("<>&\u2028\u2029") & set(one.scripts[0][1])


def test_the_plots_hold_the_numbers_of_the_series() -> None:
    """Rates are counts over seconds, latencies are the series' own, and the curve ends where requests do."""
    shown = bench(measured())
    plots = {one["id"]: one for one in json.loads(Parsed(page.of_bench(shown)).scripts[0][1])}
    assert list(plots) == ["rates", "times", "curve"]
    values = {one["label"]: one["values"] for plot in plots.values() for one in plot["series"]}
    assert plots["rates"]["x"] == plots["times"]["x"] == [0.5, 1.5]
    assert values["offered"] == values["sent"] == values["answered or failed"] == [10.0, 10.0]
    assert values["errors"] == [5.0, 6.0]
    for label, name in (("response p50", "p50_ms"), ("service p99", "service_p99_ms")):
        assert values[label] == [one[name] for one in shown["series"]]
    assert values["response p50"][1] > values["response p50"][0] + 40
    assert abs(values["service p99"][1] - values["service p99"][0]) < 1
    for kind in ("response time", "service time"):
        told = shown["percentiles"][f"{kind.replace(' ', '_')}_ms"]
        assert values[kind] == [point["ms"] for point in told]
    assert values["response time"][-1] == pytest.approx(shown["figures"]["response_time_ms"]["max"], rel=1e-3)


def test_the_tables_hold_the_figures() -> None:
    """Each status and failure with its count, each percentile of both kinds of time."""
    shown = bench(measured())
    text = cells(page.of_bench(shown))
    figures = shown["figures"]
    assert "429 10 x" in text
    assert figures["status"] == {"201": 9, "429": 10}
    assert "no answer: it was lost 1" in text
    for kind in ("response_time_ms", "service_time_ms"):
        assert " ".join(f"{figures[kind][name]:,.4g}" for name in ("p50", "p90", "p95", "p99")) in text


def test_a_colour_means_one_thing_on_the_whole_page() -> None:
    """Two lines share one only where they are the same measure, of response and of service time; that one is dotted."""
    lines = [one for plot in bench_plots.of_bench(bench(measured())).values() for one in plot["series"]]
    meanings: dict[str, set[str]] = {}
    for one in lines:
        meanings.setdefault(one["colour"], set()).add(one["label"].replace("service", "response"))
        assert (one.get("dash") == [3, 3]) is one["label"].startswith("service")
    assert all(len(its) == 1 for its in meanings.values()), meanings


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"schedule": "10/s 2s", "warmup_s": 3.0}, "10/s 2s , after a warm-up of 3.00 s"),
        (
            {"search": "p99<9ms", "first_rate": 10.0, "duration_s": 5.0},
            "the highest rate with p99&lt;9ms, from 10/s on",
        ),
        ({"concurrency": 8, "duration_s": 5.0}, "8 clients for 5.00 s"),
    ],
)
def test_what_was_asked_for_is_said(asked: dict[str, Any], words: str) -> None:
    """A schedule, a search or a closed loop; the summary leads to all else that was in force."""
    told = bench(measured())
    settings = told["in_force"]["settings"]
    del settings["schedule"]
    settings |= {name: {"value": value, "default": None, "from": "x"} for name, value in asked.items()}
    html = page.of_bench(told)
    assert words.replace(" ,", ",") in cells(html)
    assert 'href="#configuration"' in html


def test_what_was_in_force_is_told() -> None:
    """Settings beside their defaults and what gave them, and the tenant with its secret masked."""
    text = cells(page.of_bench(bench(measured())))
    assert "In force in this bench (run x, began 1970-01-01 00:00:00 UTC)" in text
    assert "warmup 2.5 s 0 s --warmup" in text
    assert "x (default) https://acme.test token ***" in text


def test_hashes_of_the_input_and_the_ledger_are_told() -> None:
    """Those of files where there are any, else why not; and of the ledger it says of when."""
    text = cells(page.of_bench(bench(measured())))
    assert "before what was created is deleted SHA-256 of the file: c0ffee" in text
    assert "no SHA-256 of the file: it has x of its definitions without secrets: decade" in text


def test_rates_of_a_moment_are_not_drawn() -> None:
    """An interval too short to speak of a rate is a gap; a closed loop has no offered rate to draw."""
    shown = bench(measured(), offered_rate=None)
    shown["series"][-1]["seconds"] = 0.01
    rates = bench_plots.of_bench(shown)["rates"]
    assert [one["label"] for one in rates["series"]] == ["sent", "answered or failed", "errors"]
    assert all(one["values"][-1] is None for one in rates["series"])


@pytest.mark.parametrize(
    ("cause", "word", "not_said"),
    [
        (Cause.CEILING, "it was not the bottleneck.", "The client was the bottleneck"),
        (Cause.LOOP, "The client was the bottleneck for 50.0 % of the requests", "it was not the bottleneck"),
    ],
)
def test_the_client_is_judged_in_plain_words(cause: Cause, word: str, not_said: str) -> None:
    """Whether it was the bottleneck, when and why; a busy server is no fault of the client's."""
    shown = bench(measured(cause=cause))
    text = Parsed(page.of_bench(shown)).text
    assert word in text
    assert not_said not in text
    assert ("10 of 10 requests began late" in text) is (cause is Cause.LOOP)
    assert ("p50?" in text) is (cause is Cause.LOOP)
    marks = [one["x"] for one in bench_plots.of_bench(shown)["rates"]["marks"]]
    assert marks == ([1.0, 2.0] if cause is Cause.LOOP else [])


def test_a_search_shows_its_probes() -> None:
    """Which rates were tried, which kept the goal, and which is the highest."""
    probe = {"rate": 50.0, "passed": True, "client_saturated": False, "full": False, "measured_ms": 12.0,
             "achieved_rate": 49.9, "requests": 100, "errors": 0}  # fmt: skip
    broken = {**probe, "passed": False}
    search = {"goal": "p99<250ms", "rate": 50.0, "ended": "full", "probes": [probe, broken, {**broken, "full": True}]}
    said = {"answer": "highest rate: 50/s", "of_which": "of that probe", "judged": ["kept", "broken", "unknown: full"]}
    text = cells(page.of_bench(bench(measured(), search=search) | said))
    assert text.index("Highest rate: 50/s.") < text.index("The client kept up") < text.index("Rates that were tried")
    assert "All figures are of that probe;" in text
    assert text.count("49.9") == 3
    assert "kept" in text
    assert "broken" in text
    assert "unknown: full" in text
    assert "Search for the highest rate" not in Parsed(page.of_bench(bench(measured()))).text


def test_a_search_whose_first_probe_was_cut_short_shows_no_empty_table() -> None:
    """It says that no probe ended, and leads nowhere."""
    search = {"goal": "p99<250ms", "rate": None, "ended": "stopped", "probes": []}
    said = {"answer": "highest rate: not known", "of_which": "of that probe", "judged": []}
    html = page.of_bench(bench(measured(), search=search) | said)
    text = cells(html)
    assert "All figures are of that probe." in text
    assert "Search for the highest rate No probe ended" in text
    assert "Rates that were tried" not in text
    assert 'href="#search"' not in html[html.index("<main>") :]


def test_a_bench_without_an_answer_has_a_page() -> None:
    """Where nothing was sent there is nothing to draw, and that is said."""
    hand = Hand()
    meter = Meter(100.0, 0.0, None, hand, lambda: 0, lambda: 0.0, lambda: 0.0)
    meter.finish()
    text = Parsed(page.of_bench(bench(Measured(meter=meter, planned_s=1.0, offered_rate=None)))).text
    assert "Nothing answered." in text
    assert "there is nothing to draw" in text


def test_the_page_of_an_hour_is_below_a_megabyte() -> None:
    """The plots hold every second; the table the first ones, and says so."""
    shown = bench(measured())
    shown["series"] = [{**shown["series"][1], "at": float(second)} for second in range(3600)]
    html = page.of_bench(shown)
    assert len(html.encode()) < 1_000_000
    assert "These are the first 1,200 of 3,600 seconds; the plots hold them all." in html
    assert len(bench_plots.of_bench(shown)["times"]["x"]) == 3600
    assert "These are the first" not in page.of_bench(bench(measured()))
