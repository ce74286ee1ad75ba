"""The figures as one HTML page that needs nothing else: no network, no other file, no library at its reader's.

What a ledger holds was written by others: names, keys and messages may hold markup. So every text goes through the
template's escaping, the plots' values stand in a block of data in which no `<` is left, and a policy in the page lets
only the two scripts run that are named by their hashes, and nothing be fetched. This module must never mark a text of
a ledger as safe.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

import orjson
from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup

from bulkstreams.core.waiting import duration
from bulkstreams.model import State
from bulkstreams.report import bench_plots, configuration, plots
from bulkstreams.report.axes import Plot, clock

_ASSETS: Final = files("bulkstreams.report") / "assets"
_LIBRARY: Final = "uplot/uPlot.iife.min.js"
_SCRIPT: Final = "draw.js"
_STYLES: Final = ("uplot/uPlot.min.css", "page.css")
MOST_TENANTS: Final = 50
"""Tenants that a page shows one by one, those with most that is not settled first; the others are added up."""

MOST_SECONDS: Final = 1200
"""Seconds of a bench that its table tells one by one, the first ones; so the page of an hour stays below a megabyte."""

MOST_CHANGES: Final = 100
"""Changes of settings from run to run that a page tells one by one, the newest ones."""

_SETTLED: Final = frozenset({State.CREATED, State.EXISTS, State.DUPLICATE, State.UNDONE})
_FAILED: Final = (State.REFUSED, State.CONFLICT, State.EXHAUSTED, State.INVALID)
_ESCAPES: Final = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"}
"""Of a JSON text: what could end its block of data, or a line of a script."""


def of_ledger(figures: Mapping[str, Any]) -> str:
    """Return the page of one ledger."""
    return _sides_page(figures["ledger"]["path"], [_side(figures, "")], None)


def of_comparison(comparison: Mapping[str, Any]) -> str:
    """Return the page that sets two ledgers side by side."""
    sides = [_side(comparison[one], f"-{one}") | {"label": one.upper()} for one in ("a", "b")]
    paths = [side["figures"]["ledger"]["path"] for side in sides]
    names = [Path(path).name for path in paths]
    name = " and ".join(names if len(set(names)) > 1 else paths)
    both = {**comparison, "plots": plots.of_both(comparison["a"], comparison["b"])}
    return _sides_page(name, sides, both)


def of_bench(bench: Mapping[str, Any]) -> str:
    """Return the page of one bench: its figures and series, and what is said of them in words."""
    drawn = bench_plots.of_bench(bench)
    more = {**bench, "plots": drawn, "rows": bench["series"][:MOST_SECONDS]}
    return _page("bench.html", bench["base_url"], bench["made_at"], list(drawn.values()), more)


def _sides_page(name: str, sides: Sequence[Mapping[str, Any]], both: Mapping[str, Any] | None) -> str:
    drawn = [*(both["plots"].values() if both else ()), *(plot for side in sides for plot in side["plots"].values())]
    return _page("page.html", name, sides[0]["figures"]["made_at"], drawn, {"sides": sides, "both": both})


def _page(template: str, name: str, made_at: float, drawn: Sequence[Plot], more: Mapping[str, Any]) -> str:
    scripts = [_asset(_LIBRARY), _asset(_SCRIPT)]
    return (
        _environment()
        .get_template(template)
        .render(
            more,
            name=name,
            made_at=made_at,
            version=version("bulkstreams"),
            policy=_policy(scripts),
            style=Markup("\n".join(map(_asset, _STYLES))),  # noqa: S704 - ours
            scripts=[Markup(script) for script in scripts],  # noqa: S704 - ours
            data=Markup(_data(drawn)),  # noqa: S704 - nothing is left in it that is markup
        )
    )


def _side(figures: Mapping[str, Any], suffix: str) -> dict[str, Any]:
    shown, rest = _tenants(figures["tenants"])
    return {
        "figures": figures,
        "suffix": suffix,
        "label": "",
        "plots": plots.of_ledger(figures, suffix),
        "failed": sum(figures["records"][state] for state in _FAILED),
        "tenants": shown,
        "rest": rest,
    }


def _tenants(tenants: Sequence[Mapping[str, Any]]) -> tuple[list[Mapping[str, Any]], dict[str, Any] | None]:
    """Return the tenants that are shown, and the sum of the others."""
    if len(tenants) <= MOST_TENANTS:
        return list(tenants), None
    order = sorted(tenants, key=_unsettled, reverse=True)
    others = order[MOST_TENANTS:]
    records = {name: sum(one["records"][name] for one in others) for name in others[0]["records"]}
    return order[:MOST_TENANTS], {"count": len(others), "records": records}


def _unsettled(tenant: Mapping[str, Any]) -> int:
    return sum(tenant["records"][state] for state in State if state not in _SETTLED)


def _policy(scripts: Sequence[str]) -> str:
    """Return what the page lets its browser do: run these scripts, and fetch nothing."""
    hashes = " ".join(f"'sha256-{base64.b64encode(hashlib.sha256(one.encode()).digest()).decode()}'" for one in scripts)
    return (
        f"default-src 'none'; script-src {hashes}; style-src 'unsafe-inline'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )


def _data(drawn: Sequence[Plot]) -> str:
    text = orjson.dumps(drawn).decode()
    for one, escape in _ESCAPES.items():
        text = text.replace(one, escape)
    return text


@cache
def _asset(name: str) -> str:
    return (_ASSETS / name).read_text(encoding="utf-8")


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FunctionLoader(_asset),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        n=_number, s=duration, clock=_clock, words=lambda text: text.replace("_", " "), share=_share, size=_size
    )
    environment.filters.update(
        setting=configuration.words,
        label=configuration.label,
        inputs_words=configuration.inputs_words,
        credentials_words=configuration.credentials_words,
        own_words=configuration.own_words,
    )
    environment.globals.update(STATES=[state.value for state in State], MOST_CHANGES=MOST_CHANGES)
    return environment


def _number(value: float | None) -> str:
    """Return a number as people read it; a dash where it is not known."""
    if value is None:
        return "–"
    return f"{value:,}" if isinstance(value, int) else f"{value:,.4g}" if abs(value) < 1000 else f"{value:,.0f}"


def _share(value: float, whole: float) -> str:
    return f"{100 * value / whole:.3f}" if whole else "0"


def _size(count: int | None) -> str:
    return "–" if count is None else f"{count / 1e6:,.1f} MB" if count >= 1e6 else f"{count / 1e3:,.1f} kB"


def _clock(at: float | None) -> str:
    return "–" if at is None else clock(at)
