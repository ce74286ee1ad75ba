"""A report in a real browser: Debian's own Chromium opens it from the disk, draws its plots, and asks nobody anything.

Playwright drives it by the DevTools protocol, and hears of each request, console message and error of the page.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from bulkstreams.core.course import Asked, Paused
from bulkstreams.core.waiting import WaitKind
from bulkstreams.ledger import Ledger
from bulkstreams.model import TenantName
from tests.report import HOSTILE
from tests.scenarios.rig import Desk, Server, until, webhook, webhooks

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(
    CHROMIUM is None,
    reason="no Chromium here: `apt-get install chromium` brings what these tests look at a report with",
)

DRAWN = """() => [...document.querySelectorAll(".plot canvas")].map((canvas) => {
    const { width, height } = canvas;
    const copy = Object.assign(document.createElement("canvas"), { width, height });
    const pen = copy.getContext("2d", { willReadFrequently: true });
    pen.drawImage(canvas, 0, 0);
    const data = pen.getImageData(0, 0, width, height).data;
    const found = new Map();
    for (let at = 0; at < data.length; at += 4)
        if (data[at + 3] > 200) {
            const rgb = `${data[at]},${data[at + 1]},${data[at + 2]}`;
            found.set(rgb, (found.get(rgb) || 0) + 1);
        }
    return Object.fromEntries(found);
})"""
"""How often each opaque colour stands on each canvas."""

COLOUR = """(name) => {
    const pen = document.createElement("canvas").getContext("2d");
    pen.fillStyle = getComputedStyle(document.documentElement).getPropertyValue(`--c-${name}`).trim();
    pen.fillRect(0, 0, 1, 1);
    return [...pen.getImageData(0, 0, 1, 1).data].slice(0, 3).join(",");
}"""
"""What a colour of the page looks like on a canvas."""

WRITES = """
    window.written = [];
    const write = CanvasRenderingContext2D.prototype.fillText;
    CanvasRenderingContext2D.prototype.fillText = function (text, ...at) {
        const { a, e } = this.getTransform();
        const half = this.measureText(text).width * a / 2;
        written.push([this.canvas.closest(".plot")?.id, text, a * at[0] + e - half, a * at[0] + e + half]);
        return write.call(this, text, ...at);
    };
"""
"""Keeps what is written on canvases, where it stands in the middle of its place: plot, text, left, right."""

CONTRAST = """() => {
    const TEXTS = "p, dt, dd, th, td, li, h1, h2, small, caption, figcaption, button, summary";
    const light = (text) => {
        const [r, g, b] = text.match(/[\\d.]+/g).map((one) => one / 255).map((one) =>
            one <= 0.04045 ? one / 12.92 : ((one + 0.055) / 1.055) ** 2.4);
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const ground = (element) => {
        for (; element; element = element.parentElement) {
            const colour = getComputedStyle(element).backgroundColor;
            if (!/, 0\\)$|transparent/.test(colour)) return colour;
        }
        return "rgb(255, 255, 255)";
    };
    let least = 99;
    for (const element of document.querySelectorAll(TEXTS)) {
        if (!element.textContent.trim()) continue;
        const [one, other] = [light(getComputedStyle(element).color), light(ground(element))].sort((a, b) => b - a);
        least = Math.min(least, (one + 0.05) / (other + 0.05));
    }
    return least;
}"""
"""The least contrast of any text with what is behind it, as WCAG 2 reckons it."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Start Chromium once; without its own sandbox where it runs as root, which it refuses otherwise."""
    flags = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=flags)
        yield started
        started.close()


class Seen:
    """A page in a browser, and all that it asked for or complained of."""

    def __init__(self, browser: Browser, path: Path, **options: Any) -> None:
        self.context = browser.new_context(**options)
        self.page: Page = self.context.new_page()
        self.requests: list[str] = []
        self.complaints: list[str] = []
        self.page.on("request", lambda one: self.requests.append(one.url))
        self.page.on("console", lambda one: self.complaints.append(one.text))
        self.page.on("pageerror", lambda one: self.complaints.append(str(one)))
        self.page.on("dialog", lambda one: self.complaints.append(f"a dialog: {one.message}"))
        self.url = path.resolve().as_uri()
        self.page.goto(self.url)
        self.comes_true("document.querySelectorAll('.canvas:not([data-drawn])').length === 0")

    def comes_true(self, script: str) -> None:
        """Wait until something holds in the page; asked from outside, since its policy lets nothing be evaluated."""
        until(lambda: self.page.evaluate(script))

    def is_quiet(self) -> bool:
        """Return whether the page asked for nothing but itself, and complained of nothing."""
        return self.requests == [self.url] and self.complaints == []

    def drawn(self) -> list[dict[str, int]]:
        """Return how often each colour stands on each canvas."""
        found: list[dict[str, int]] = self.page.evaluate(DRAWN)
        return found

    def colour(self, name: str) -> str:
        """Return a colour of the page as canvases show it."""
        return str(self.page.evaluate(COLOUR, name))


@pytest.fixture
def look(browser: Browser) -> Iterator[Callable[..., Seen]]:
    """Open a report; pages are closed with the test."""
    opened: list[Seen] = []

    def open_(path: Path, **options: Any) -> Seen:
        opened.append(Seen(browser, path, **options))
        return opened[-1]

    yield open_
    for one in opened:
        one.context.close()


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """Return a desk with the report of runs with failures, retries, pauses and hostile texts."""
    one = Desk(tmp_path_factory.mktemp("desk"))
    rows = [*webhooks(150), webhook("no", status=HOSTILE), {"key": HOSTILE, "stream": webhook("n", status="x")}]
    one.write("in.jsonl", rows)
    with Server(faults={"error-before": 0.1}, latency=(0.001, 0.02)) as server:
        assert one.provision(server, "in.jsonl", "--limit", "60").code == 4
        assert one.provision(server, "in.jsonl").code == 1
    asyncio.run(pause(one.folder / "in.ledger.db"))
    assert one.run("report", "in.ledger.db").code == 0
    yield one
    one.close()


async def pause(path: Path) -> None:
    """Add a run in which fourteen tenants paused, for one reason or the other."""
    began = time.time() - 20.0
    with Ledger.open(path) as ledger:
        await ledger.begin_run(began)
        names = [HOSTILE, *(f"{letter}{'-' * 40}.example.test" for letter in "abcdefghijklm")]
        pauses = [
            Paused(name, kind, began + at, began + at + 2.0, 2.0 - number / 10, 1, f"{kind}: {HOSTILE}")
            for number, name in enumerate(names)
            for at, kind in ((number, WaitKind.THROTTLED), (number + 4.0, WaitKind.UNREACHABLE))
        ]
        for one in pauses:
            await ledger.tenant(TenantName(one.tenant), "https://example.test")
        asked = [Asked(began + n, 1.0, 10, 2, 3, 4, 20.0 - n) for n in range(18)]
        await ledger.note_course(asked, pauses)
        await ledger.end_run(began + 20.0, 0, {})


@pytest.fixture
def report(desk: Desk) -> Path:
    """Return that report."""
    return desk.folder / "in.report.html"


LOOKS = {
    "light": {"color_scheme": "light", "viewport": {"width": 1280, "height": 900}},
    "dark": {"color_scheme": "dark", "viewport": {"width": 1280, "height": 900}},
    "phone": {"color_scheme": "light", "viewport": {"width": 360, "height": 740}, "has_touch": True, "is_mobile": True},
    "phone, dark": {"color_scheme": "dark", "viewport": {"width": 360, "height": 740}, "device_scale_factor": 3},
}


def plots_of(seen: Seen) -> list[dict[str, Any]]:
    """Return the plots that a page has the values of."""
    found: list[dict[str, Any]] = json.loads(seen.page.evaluate("document.getElementById('plots').textContent"))
    return found


@pytest.mark.parametrize("name", LOOKS)
def test_plots_are_drawn_and_nothing_is_asked_for(report: Path, look: Callable[..., Seen], name: str) -> None:
    """Every series stands on its canvas in its colour, texts can be read, and the page is no wider than its window."""
    seen = look(report, **LOOKS[name])
    plots = plots_of(seen)
    assert [one["id"] for one in plots] == ["settled", "asked", "times", "curve", "pauses", "runs"]
    for plot, colours in zip(plots, seen.drawn(), strict=True):
        for series in plot["series"]:
            # p99 may lie under the highest
            hidden = series["colour"] == "p99" or not any([*series["values"], *series.get("bars", [])])
            assert colours.get(seen.colour(series["colour"]), 0) > 5 or hidden, (plot["id"], series["label"])
    assert seen.page.evaluate(CONTRAST) >= 4.5
    assert seen.page.evaluate("document.documentElement.scrollWidth") <= LOOKS[name]["viewport"]["width"]
    assert HOSTILE.strip() in seen.page.inner_text("#failures")
    assert seen.is_quiet(), (seen.requests, seen.complaints)


def test_a_plot_can_be_zoomed_and_read(report: Path, look: Callable[..., Seen]) -> None:
    """By dragging and double-clicking, by buttons for fingers and keyboards, and by pointing."""
    seen = look(report, viewport={"width": 1280, "height": 900})
    page, over = seen.page, seen.page.locator("#plot-settled .u-over")

    def picture() -> str:
        return str(page.evaluate("document.querySelector('#plot-settled canvas').toDataURL()"))

    show_all = page.get_by_role("button", name="show the whole: Records settled a second")
    page.get_by_role("button", name="zoom in: Records settled a second").click()
    show_all.click()  # what is drawn anew looks the same, and yet may differ from the first in a shade
    over.scroll_into_view_if_needed()
    box, whole = over.bounding_box(), picture()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] * 0.2, box["y"] + 50)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.4, box["y"] + 60, steps=5)
    page.mouse.up()
    until(lambda: picture() != whole)
    over.dblclick()
    until(lambda: picture() == whole)
    page.get_by_role("button", name="zoom in: Records settled a second").press("Enter")
    until(lambda: picture() != whole)
    show_all.click()
    until(lambda: picture() == whole)
    legend = page.locator("#plot-settled .u-legend")
    assert "(point at the plot)" in legend.inner_text()
    over.hover()
    until(lambda: "(point at the plot)" not in legend.inner_text())
    at = page.locator("#plot-settled .u-series .u-value").first.inner_text()
    assert at in plots_of(seen)[0]["names"]
    assert seen.is_quiet(), (seen.requests, seen.complaints)


def flat(text: str) -> str:
    """Return a text with single spaces, whatever breaks its lines."""
    return " ".join(text.split())


def test_pauses_tell_whose_they_are_and_why(report: Path, look: Callable[..., Seen]) -> None:
    """By pointing at a bar, or near it; a lane tells its tenant, and a kind can be hidden.

    A name that turns the direction of writing turns no word of ours: it stands within marks that keep it apart.
    """
    seen = look(report, viewport={"width": 1280, "height": 900})
    (plot,) = [one for one in plots_of(seen) if one["id"] == "pauses"]
    assert len(plot["lanes"]) == 12
    (throttled, unreachable) = plot["series"]
    lane, from_, to = throttled["bars"][0][:3]
    page, over = seen.page, seen.page.locator("#plot-pauses .u-over")
    over.scroll_into_view_if_needed()
    box, legend = over.bounding_box(), page.locator("#plot-pauses .u-legend tr").first
    assert box is not None
    assert "(point at a bar)" in legend.inner_text()

    def point(share: float) -> str:
        assert box is not None
        page.mouse.move(box["x"] + box["width"] * share, box["y"] + box["height"] * (lane + 0.5) / 12)
        return flat(legend.inner_text())

    middle = (from_ + to) / 2 / plot["x"][1]
    until(lambda: f"\u2068{flat(plot['lanes'][lane])}\u2069, throttled for" in point(middle))
    assert f": \u2068{flat(plot['reasons'][throttled['bars'][0][6]])}\u2069" in point(middle)
    until(lambda: point(0.01).endswith(flat(plot["lanes"][lane])))
    colours = seen.drawn()[4]
    assert colours[seen.colour("unreachable")] > 500
    page.locator("#plot-pauses .u-legend .u-label", has_text=unreachable["label"]).click()
    until(lambda: seen.drawn()[4].get(seen.colour("unreachable"), 0) == 0)
    assert seen.is_quiet(), (seen.requests, seen.complaints)


def test_plots_over_time_are_zoomed_together(report: Path, look: Callable[..., Seen]) -> None:
    """By dragging in any of them, and by their buttons; each knows how to show the whole again."""
    seen = look(report, viewport={"width": 1280, "height": 900})
    page, names = seen.page, ("settled", "asked", "times", "pauses")

    def pictures() -> list[str]:
        return [page.evaluate(f"document.querySelector('#plot-{name} canvas').toDataURL()") for name in names]

    page.get_by_role("button", name="zoom in: When nothing was sent").click()
    page.get_by_role("button", name="show the whole: When nothing was sent").click()
    whole = pictures()
    over = page.locator("#plot-pauses .u-over")
    over.scroll_into_view_if_needed()
    box = over.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] * 0.3, box["y"] + 20)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.8, box["y"] + 30, steps=5)
    page.mouse.up()
    until(lambda: all(one != other for one, other in zip(pictures(), whole, strict=True)))
    page.get_by_role("button", name="show the whole: Requests a second").click()
    until(lambda: pictures() == whole)
    page.get_by_role("button", name="zoom in: Records settled").click()
    until(lambda: all(one != other for one, other in zip(pictures(), whole, strict=True)))
    assert seen.is_quiet(), (seen.requests, seen.complaints)


def test_a_scheme_that_changes_is_followed_and_paper_is_white(report: Path, look: Callable[..., Seen]) -> None:
    """The plots are drawn anew in the other colours; what is printed is light, whatever the screen is."""
    seen = look(report, color_scheme="light")
    light = seen.colour("created")
    seen.page.emulate_media(color_scheme="dark")
    dark = seen.colour("created")
    assert light != dark
    until(lambda: seen.drawn()[0].get(dark, 0) > 5)
    assert light not in seen.drawn()[0]
    assert seen.page.pdf(format="A4")[:5] == b"%PDF-"
    seen.page.emulate_media(media="print")
    seen.comes_true("document.documentElement.dataset.paper")
    until(lambda: seen.drawn()[0].get(light, 0) > 5)
    assert not seen.page.locator(".tools").first.is_visible()
    seen.page.emulate_media(media="screen")
    seen.comes_true("!document.documentElement.dataset.paper")
    until(lambda: seen.drawn()[0].get(dark, 0) > 5)
    assert seen.is_quiet(), (seen.requests, seen.complaints)


@pytest.mark.parametrize("width", [1600, 360])
def test_two_ledgers_are_drawn_side_by_side(desk: Desk, look: Callable[..., Seen], width: int) -> None:
    """Over each other, and each by itself: side by side where there is room, else one after the other."""
    assert desk.run("report", "in.ledger.db", "--compare", "in.ledger.db", "--html", "both.html").code == 0
    seen = look(desk.folder / "both.html", viewport={"width": width, "height": 900})
    assert len(seen.drawn()) == 2 + 2 * 6
    lefts = [seen.page.locator("article").nth(at).bounding_box() for at in (0, 1)]
    assert all(lefts)
    assert (lefts[0]["x"] < lefts[1]["x"]) == (width == 1600)
    assert seen.page.evaluate("document.documentElement.scrollWidth") <= width
    assert seen.is_quiet(), (seen.requests, seen.complaints)


def test_without_scripts_the_numbers_are_there(report: Path, browser: Browser) -> None:
    """The tables hold what the plots would have shown, and it is said why none is drawn."""
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(report.resolve().as_uri())
    assert "tables hold their numbers" in page.inner_text("header")
    assert page.locator("#over-time tbody tr").count() > 10
    context.close()


@pytest.fixture(scope="module")
def bench_page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Return the page of a bench of a server that refuses more than twenty a second."""
    one = Desk(tmp_path_factory.mktemp("bench"))
    with Server(rate=20.0, burst=5, latency=(0.001, 0.02)) as server:
        flags = ("--rate", "50/s", "--duration", "2s", "--warmup", "1s", "--html", "bench.html")
        assert one.run("bench", "--base-url", server.url, *flags).code == 0
    yield one.folder / "bench.html"
    one.close()


@pytest.mark.parametrize("name", LOOKS)
def test_a_bench_is_drawn_and_asks_for_nothing(bench_page: Path, look: Callable[..., Seen], name: str) -> None:
    """Its three plots stand on their canvases, its texts can be read, and it is no wider than its window."""
    seen = look(bench_page, **LOOKS[name])
    assert [one["id"] for one in plots_of(seen)] == ["rates", "times", "curve"]
    for colours, drawn in zip(seen.drawn(), ("refused", "middle", "time"), strict=True):
        assert colours.get(seen.colour(drawn), 0) > 5, drawn
    assert seen.page.evaluate(CONTRAST) >= 4.5
    assert seen.page.evaluate("document.documentElement.scrollWidth") <= LOOKS[name]["viewport"]["width"]
    assert seen.is_quiet(), (seen.requests, seen.complaints)


def test_a_narrow_bench_cuts_off_no_caption_and_overlaps_no_label(bench_page: Path, browser: Browser) -> None:
    """In 340 pixels: the words above a table are within the window, however wide it is, and the percentiles apart."""
    context = browser.new_context(viewport={"width": 340, "height": 740})
    context.add_init_script(WRITES)
    page = context.new_page()
    page.goto(bench_page.resolve().as_uri())
    until(lambda: page.evaluate("document.querySelectorAll('.canvas:not([data-drawn])').length === 0"))
    places = "[...document.querySelectorAll('caption')].map((one) => one.getBoundingClientRect().right)"
    assert 0 < max(page.evaluate(places)) <= 340
    until(lambda: page.evaluate("written.filter(([plot, text]) => text.endsWith(' %')).length > 0"))
    written = page.evaluate("written.filter(([plot, text]) => plot === 'plot-curve' && text.endsWith(' %'))")
    places = sorted({(left, right) for _, _, left, right in written})
    assert len(places) >= 2
    assert all(right < left for (_, right), (left, _) in pairwise(places))
    context.close()


def test_legends_show_dashes_as_lines_do(bench_page: Path, look: Callable[..., Seen]) -> None:
    """What a curve is told by is its colour and its dashes: service time is not taken for response time."""
    seen = look(bench_page, viewport={"width": 1280, "height": 900})
    of_each = (
        "[one.querySelector('.u-label').innerText, getComputedStyle(one.querySelector('.u-marker')).backgroundImage]"
    )
    marks = seen.page.evaluate(f"[...document.querySelectorAll('.u-legend .u-series')].map((one) => {of_each})")
    dashed = {name for name, image in marks if "repeating-linear-gradient" in image}
    assert dashed == {"offered", "service p50", "service p99", "service time"}


def test_a_bench_says_what_was_asked_for(bench_page: Path, look: Callable[..., Seen]) -> None:
    """Its schedule in the summary, and each setting below, with the flag that gave it; the token is masked."""
    seen = look(bench_page, viewport={"width": 1280, "height": 900})
    assert "50/s 2s, after a warm-up of 1.00 s" in seen.page.inner_text("#summary .facts")
    rows = seen.page.evaluate("[...document.querySelectorAll('#configuration tbody tr')].map((one) => one.innerText)")
    settings = {row.split("\t")[0]: row.split("\t")[1:] for row in rows}
    assert settings["schedule"] == ["50/s 2s", "50/s 30s", "--rate, --duration or --stages"]
    assert settings["concurrency"][:2] == ["1,000", "1,000"]
    assert settings["template"][0] == "none"
    assert any("token ***" in row for row in rows)
