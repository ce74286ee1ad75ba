"""The page: it needs nothing else, and what a ledger holds is text in it and never markup."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from bulkstreams.model import State
from bulkstreams.report import comparison, page, plots, throttling
from tests.ledger import in_loop
from tests.report import HOSTILE, three_runs, two_runs

ASSETS = Path(page.__file__).parent / "assets"
FETCHING = {"src", "href", "action", "data", "poster", "srcset", "background", "cite", "formaction", "manifest", "ping"}


class Parsed(HTMLParser):
    """A page as a browser reads it: its elements with their attributes, what scripts hold, and its visible text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[tuple[dict[str, str | None], str]] = []
        self.text = ""
        self._raw: list[str] = []
        self._raw_of: dict[str, str | None] | None = None
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note an element."""
        self.elements.append((tag, dict(attrs)))
        if tag == "script":
            self._raw_of, self._raw = dict(attrs), []

    def handle_endtag(self, tag: str) -> None:
        """Note what a script held."""
        if tag == "script" and self._raw_of is not None:
            self.scripts.append((self._raw_of, "".join(self._raw)))
            self._raw_of = None

    def handle_data(self, data: str) -> None:
        """Note a text, as a script's or as one that is seen."""
        if self._raw_of is None:
            self.text += data
        else:
            self._raw.append(data)

    def tags(self, name: str) -> list[dict[str, str | None]]:
        """Return the attributes of every element of a name."""
        return [attributes for tag, attributes in self.elements if tag == name]


async def hostile(folder: Path) -> dict[str, Any]:
    """Return figures in which every text that a ledger holds is hostile."""
    found = await three_runs(folder / "in.ledger.db")
    found["ledger"]["path"] = f"{HOSTILE}.ledger.db"
    found["tenants"][0] |= {"name": HOSTILE, "address": HOSTILE}
    found["inputs"][0] |= {"path": HOSTILE, "why_not": HOSTILE}
    found["runs"]["told"][0] |= {"name": HOSTILE, "stopped": {HOSTILE: HOSTILE}}
    newest = found["configuration"]["newest"].pop("run")
    newest["inputs"]["told"] = [HOSTILE]
    newest["settings"]["rate"] |= {"value": HOSTILE, "default": HOSTILE, "from": HOSTILE}
    newest["tenants"]["told"][0] |= {"name": HOSTILE, "address": HOSTILE, "own": {HOSTILE: HOSTILE}}
    newest["tenants"]["told"][0]["credentials"] = dict.fromkeys(("kind", "secret", "client_id"), HOSTILE)
    found["configuration"]["newest"][HOSTILE] = newest
    found["configuration"]["changed"][0] = dict.fromkeys(found["configuration"]["changed"][0], HOSTILE)
    for one in found["timeline"]["stretches"]:
        one["run"] = HOSTILE + one["run"]
    for one in found["throttling"]["tenants"]["told"]:
        one["name"] = one["longest"]["reason"] = HOSTILE
    for one in found["throttling"]["lanes"]:
        one["name"] = HOSTILE
    for one in found["failures"]["told"]:
        one |= {"message": HOSTILE, "error_code": HOSTILE, "example": {"file": HOSTILE, "line": 1, "key": HOSTILE}}
    return found


@pytest.mark.parametrize("compared", [False, True])
@in_loop
async def test_what_a_ledger_holds_is_never_markup(tmp_path: Path, compared: bool) -> None:
    """The page has the elements that it has with harmless texts, and shows the hostile ones as they are."""
    harmless = await three_runs(tmp_path / "in.ledger.db")
    (tmp_path / "in.ledger.db").unlink()
    found = await hostile(tmp_path)
    if compared:
        one = Parsed(page.of_comparison(comparison.compare(found, found)))
        other = Parsed(page.of_comparison(comparison.compare(harmless, harmless)))
    else:
        one, other = Parsed(page.of_ledger(found)), Parsed(page.of_ledger(harmless))
    assert {tag for tag, _ in one.elements} <= {tag for tag, _ in other.elements}
    assert len(one.scripts) == len(other.scripts) == 3
    assert not one.tags("img")
    assert not [name for _, attributes in one.elements for name in attributes if name.startswith("on")]
    assert one.text.count(HOSTILE) >= 10
    data = json.loads(one.scripts[0][1])
    assert any(HOSTILE in name for plot in data for name in plot["names"])
    assert [set(plot["lanes"]) for plot in data if "lanes" in plot] == [{HOSTILE}] * (1 + compared)
    assert all(HOSTILE in plot["reasons"] for plot in data if "reasons" in plot)
    assert not set("<>&\u2028\u2029") & set(one.scripts[0][1])


@in_loop
async def test_a_page_lets_only_its_own_scripts_run_and_fetches_nothing(tmp_path: Path) -> None:
    """Its policy names each script by its hash; no attribute leads anywhere."""
    parsed = Parsed(page.of_ledger(await hostile(tmp_path)))
    (policy,) = [one["content"] for one in parsed.tags("meta") if one.get("http-equiv") == "Content-Security-Policy"]
    assert policy is not None
    assert policy.startswith("default-src 'none';")
    named = re.findall(r"'sha256-([^']+)'", policy)
    run = [text for attributes, text in parsed.scripts if attributes.get("type") != "application/json"]
    assert named == [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in run]
    leads = [its for _, one in parsed.elements for name, its in one.items() if name in FETCHING]
    assert leads == ["data:,"]
    style = (ASSETS / "page.css").read_text(encoding="utf-8")
    assert "url(" not in style
    assert "@import" not in style


@in_loop
async def test_the_data_of_a_page_are_its_plots(tmp_path: Path) -> None:
    """Each has a place with words for who cannot see it, and all its series are as long as its axis."""
    found = await three_runs(tmp_path / "in.ledger.db")
    parsed = Parsed(page.of_ledger(found))
    data = json.loads(parsed.scripts[0][1])
    assert data == list(plots.of_ledger(found).values())
    assert [one["id"] for one in data] == ["settled", "asked", "times", "curve", "pauses", "runs"]
    assert [one["id"] for one in parsed.tags("figure")] == [f"plot-{one['id']}" for one in data]
    assert all(one["aria-label"] for one in parsed.tags("div") if one.get("role") == "img")
    for one in data:
        assert one["x_label"]
        assert one["y_label"] or one["lanes"]
        assert {len(one["x"]), len(one["names"])} == {len(series["values"]) for series in one["series"]} | {
            len(one["x"])
        }
        assert one["x"] == sorted(one["x"])


@in_loop
async def test_plots_hold_the_numbers_of_the_figures(tmp_path: Path) -> None:
    """What is drawn as created a second adds up to what was created; no line joins two runs."""
    found = await two_runs(tmp_path / "in.ledger.db")
    drawn = plots.of_ledger(found)
    series = {one["label"]: one["values"] for one in drawn["settled"]["series"]}
    assert list(series) == ["created", "exists", "refused", "retries"]
    stretches = found["timeline"]["stretches"]
    assert len(series["created"]) == len(stretches) + 1
    rates = [value for value in series["created"] if value is not None]
    assert sum(rate * one["seconds"] for rate, one in zip(rates, stretches, strict=True)) == pytest.approx(4)
    gap = series["created"].index(None)
    assert drawn["settled"]["names"][gap] == "between two runs"
    assert [mark["x"] for mark in drawn["settled"]["marks"]] == [10.0]
    curve = {point["percentile"]: point["ms"] for point in found["latency"]["service_time_curve"]}
    assert drawn["curve"]["series"][0]["values"] == list(curve.values())


@in_loop
async def test_a_budget_is_drawn_only_where_the_ledger_knows_it(tmp_path: Path) -> None:
    """As a line of its own beside what was settled."""
    found = await two_runs(tmp_path / "in.ledger.db")
    found["timeline"]["allowed_per_s"] = 12.5
    (line,) = [one for one in plots.of_ledger(found)["settled"]["series"] if one["label"] == "allowed now"]
    assert set(line["values"]) == {12.5}


@in_loop
async def test_whose_budget_is_drawn_is_said(tmp_path: Path) -> None:
    """It is that of the tenants at work that said what they allow; where none is drawn, nothing is explained."""
    found = await three_runs(tmp_path / "in.ledger.db")
    assert "the sum over the tenants at work that said it" in page.of_ledger(found)
    for one in found["timeline"]["stretches"]:
        one["allowed_per_s"] = None
    assert "tenants at work" not in page.of_ledger(found)


@in_loop
async def test_figures_that_an_undo_changes_say_so_where_they_stand(tmp_path: Path) -> None:
    """At the tiles of a ledger, and where two are compared."""
    found = await two_runs(tmp_path / "in.ledger.db")
    assert page.of_ledger(found).count("of streams as they stand now: what was undone since") == 1 + 1  # and below
    both = page.of_comparison(comparison.compare(found, found))
    assert "of streams as they stand in each ledger now: what was undone since" in both


@in_loop
async def test_what_stands_in_no_stretch_is_told(tmp_path: Path) -> None:
    """Requests and look-ups by themselves, and what is no retry, so that the sums can be explained."""
    found = await three_runs(tmp_path / "in.ledger.db")
    for requests, lookups, words in (
        (12, 7, "12 requests and 7 look-ups"),
        (0, 7, " 7 look-ups"),
        (12, 0, "12 requests"),
    ):
        found["timeline"] |= {"unplaced_requests": requests, "unplaced_lookups": lookups}
        text = " ".join(page.of_ledger(found).split())
        assert f"{words} stand in no stretch" in text
        assert "sent again only since it was answered 429 is a request, and no retry" in text


@in_loop
async def test_unsound_percentiles_bear_a_mark(tmp_path: Path) -> None:
    """In the table and at the tile; sound ones bear none."""
    found = await two_runs(tmp_path / "in.ledger.db")
    found["latency"]["service_time_unsound"] = ["p99"]
    text = Parsed(page.of_ledger(found)).text
    p99 = f"{found['latency']['service_time_ms']['p99']:g}"
    assert f"service time p99?{p99} ms" in text
    assert text.count(f"{p99}?") == 1
    found["latency"]["service_time_unsound"] = []
    text = Parsed(page.of_ledger(found)).text
    assert f"service time p99{p99} ms" in text
    assert f"{p99}?" not in text


@in_loop
async def test_ledgers_of_the_same_name_are_headed_by_their_paths(tmp_path: Path) -> None:
    """As they were given; those of different names are told by these."""
    a, b = await two_runs(tmp_path / "in.ledger.db"), await two_runs(tmp_path / "other.ledger.db")
    a["ledger"]["path"], b["ledger"]["path"] = "old/all.ledger.db", "new/all.ledger.db"
    assert "old/all.ledger.db and new/all.ledger.db: bulkstreams" in page.of_comparison(comparison.compare(a, b))
    b["ledger"]["path"] = "new/other.ledger.db"
    assert "<title>all.ledger.db and other.ledger.db: bulkstreams" in page.of_comparison(comparison.compare(a, b))


@in_loop
async def test_a_page_is_small_however_many_tenants_there_are(tmp_path: Path) -> None:
    """Fifty are shown, those with most that is not settled first; the others are added up."""
    found = await two_runs(tmp_path / "in.ledger.db")
    counts = dict.fromkeys(map(str, State), 0)
    found["tenants"] = [
        {"name": f"t{n:05}", "address": None, "records": {"total": n, **counts, "created": 1, "pending": n - 1}}
        for n in range(1, 10_001)
    ]
    text = page.of_ledger(found)
    assert len(text.encode()) < 200_000
    parsed = Parsed(text)
    assert "t10000" in parsed.text
    assert "t09951" in parsed.text
    assert "t09950" not in parsed.text
    assert "and 9,950 more" in parsed.text
    assert f"{sum(range(1, 9951)):,}" in parsed.text


@in_loop
async def test_tenants_that_paused_stand_in_a_table(tmp_path: Path) -> None:
    """With how long, how often and why; the longest first, and what requests stand in no plot is said."""
    found = await three_runs(tmp_path / "in.ledger.db")
    text = " ".join(Parsed(page.of_ledger(found)).text.split())
    assert "acme6.00 s24.0 %42.00 s4.00 s4.00 s in 3 pauses from 1970-01-01 01:40:04 UTC on" + HOSTILE[:60] in text
    assert "12 requests and 2 look-ups stand in no stretch" in text
    assert "--json has all pauses one by one." in text
    assert "paused6.50 s5 pauses" in text


@in_loop
async def test_of_pauses_that_were_not_it_is_said(tmp_path: Path) -> None:
    """Only where the ledger knows that there were none."""
    found = await two_runs(tmp_path / "in.ledger.db")
    assert "No tenant was paused" not in page.of_ledger(found)
    found["throttling"] |= {"pauses": 0, "paused_s": 0.0, "pauses_elsewhere": 7}
    text = " ".join(Parsed(page.of_ledger(found)).text.split())
    assert "No tenant was paused in these runs." in text
    assert "7 pauses were in earlier runs" in text


@in_loop
async def test_a_page_is_small_however_often_tenants_paused(tmp_path: Path) -> None:
    """As many bars as a picture may have, each for a long reason of its own, on both sides: less than a megabyte."""
    found = await three_runs(tmp_path / "in.ledger.db")
    (pause,) = found["throttling"]["lanes"][1]["pauses"]
    bars = [
        pause | {"reason": f"{n} " + "x" * 5000, "offset_s": n + 0.123, "at": 1.7e9 + n}
        for n in range(throttling.MOST_BARS // throttling.MOST_LANES)
    ]
    found["throttling"]["lanes"] = [{"name": f"t{n}" * 20, "pauses": bars} for n in range(throttling.MOST_LANES)]
    told = found["throttling"]["tenants"]["told"][0]
    found["throttling"]["tenants"] = {"total": 1000, "told": [told | {"name": f"t{n:03}"} for n in range(50)]}
    text = page.of_comparison(comparison.compare(found, found))
    assert len(text.encode()) < 1_000_000
    assert "t011" in text
    assert "t012" not in text
    assert "The 12 of 1,000 paused tenants that paused longest" in text
    assert "50 of these tenants" in text


@in_loop
async def test_an_empty_ledger_has_a_page_too(tmp_path: Path) -> None:
    """Without plots, and it says so."""
    found = await two_runs(tmp_path / "in.ledger.db")
    found |= {"records": dict.fromkeys(found["records"], 0), "tenants": [], "inputs": []}
    found["timeline"]["stretches"] = []
    found["latency"] |= {"service_time_ms": None, "service_time_curve": []}
    found["failures"], found["runs"] = {"causes": 0, "told": []}, {"total": 0, "told": []}
    found["configuration"] = {"newest": {}, "changed": []}
    parsed = Parsed(page.of_ledger(found))
    assert "This ledger holds no records." in " ".join(parsed.text.split())
    assert "nothing to draw" in parsed.text
    assert json.loads(parsed.scripts[0][1]) == []
    assert Parsed(page.of_comparison(comparison.compare(found, found))).text
