"""Two ledgers side by side: every measure of both, and what differs.

This module must never say which of the two is better: more retries may be the price of a rate that was kept.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from bulkstreams.histogram import MEASURES
from bulkstreams.report import configuration

_EFFORT = {
    "elapsed_s": ("time in runs", "s"),
    "created_per_s": ("created a second", "records/s"),
    "requests": ("requests", ""),
    "retries": ("retries", ""),
    "throttled": ("answers of 429", ""),
    "lookups": ("look-ups", ""),
    "recovered": ("recovered by look-up", "records"),
}


def compare(a: Mapping[str, Any], b: Mapping[str, Any]) -> dict[str, Any]:
    """Return the figures of both ledgers, and their differences: those of `b` less those of `a`, and their ratio."""
    return {
        "a": a,
        "b": b,
        "difference": {
            "measures": _measures(a, b),
            "causes": _causes(a, b),
            "configuration": configuration.compared(a["configuration"], b["configuration"]),
        },
        "same_input": _same(a, b),
    }


def _measures(a: Mapping[str, Any], b: Mapping[str, Any]) -> list[dict[str, Any]]:
    its, others = dict(_measured(a)), dict(_measured(b))
    rows = []
    for name, unit in dict.fromkeys([*its, *others]):
        one, other = its.get((name, unit)), others.get((name, unit))
        if one or other:
            rows.append({"measure": name, "unit": unit, **_difference(one, other)})
    return rows


def _measured(figures: Mapping[str, Any]) -> Iterator[tuple[tuple[str, str], float | None]]:
    """Yield every measure of a ledger that is one number, with its name and unit; None: the ledger does not know."""
    for state, count in figures["records"].items():
        yield (f"records: {state.replace('_', ' ')}", "records"), count
    for key, named in _EFFORT.items():
        yield named, figures["effort"][key]
    # Over windows of other lengths it is another measure, with no difference.
    over = f"{figures['effort']['most_created_over_s']:g} s"
    yield (f"created a second, at the most, over {over}", "records/s"), figures["effort"]["most_created_per_s"]
    yield ("pauses, of all tenants together", ""), figures["throttling"]["pauses"]
    yield ("time in pauses, of all tenants together", "s"), figures["throttling"]["paused_s"]
    for kind in ("service_time", "response_time"):
        for name, ms in (figures["latency"][f"{kind}_ms"] or {}).items():
            if name in MEASURES:
                yield (f"{kind.replace('_', ' ')} {name.replace('p999', 'p99.9')}", "ms"), ms


def _difference(one: float | None, other: float | None) -> dict[str, Any]:
    if one is None or other is None:
        return {"a": one, "b": other, "difference": None, "ratio": None}
    ratio = float(f"{other / one:.4g}") if one else None
    return {"a": one, "b": other, "difference": round(other - one, 6), "ratio": ratio}


def _causes(a: Mapping[str, Any], b: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the causes of failure that are told of either, with the records of both; None: it is not told there."""
    its, others = _by_cause(a), _by_cause(b)
    return [
        dict(zip(("state", "http_status", "error_code", "message"), cause, strict=True))
        | {"a": its.get(cause), "b": others.get(cause)}
        for cause in dict.fromkeys([*its, *others])
    ]


def _by_cause(figures: Mapping[str, Any]) -> dict[tuple[Any, ...], int]:
    told = figures["failures"]["told"]
    return {(one["state"], one["http_status"], one["error_code"], one["message"]): one["records"] for one in told}


def _same(a: Mapping[str, Any], b: Mapping[str, Any]) -> bool:
    """Return whether both ledgers are of the same definitions, line by line."""
    its, others = ([one["definitions_sha256"] for one in figures["inputs"]] for figures in (a, b))
    return bool(its) and its == others
