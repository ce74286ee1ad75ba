"""What was in force in a ledger's runs: of each command the newest run's whole, and what changed from run to run.

A secret is three asterisks in the ledger already. This module must never take for the same what stands differently
there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from bulkstreams.ledger import Run

_INCIDENTAL: Final = frozenset({"connections"})
"""Settings that nobody chose: they differ with what else is open."""

_SHARES: Final = frozenset({"reserve", "max_failure_rate"})
_LOADS: Final = ("run", "bench")
"""Commands by which two ledgers are set side by side."""


def figures(runs: Sequence[Run]) -> dict[str, Any]:
    """Return what was in force in these runs, the oldest of which comes first; what is not known is left out."""
    newest: dict[str, Any] = {}
    changed: list[dict[str, Any]] = []
    for run in runs:
        if run.command is None or run.settings is None:
            continue
        told = {"run": run.name, "started_at": run.started_at, **run.settings.as_json()}
        if (before := newest.get(run.command)) is not None:
            changed += [
                {"run": run.name, "command": run.command, "setting": name, "before": one, "value": other}
                for name, one, other in _differing(before, told)
            ]
        newest[run.command] = told
    return {"newest": newest, "changed": changed}


def compared(a: Mapping[str, Any], b: Mapping[str, Any]) -> dict[str, Any]:
    """Return in which settings the newest runs of two ledgers differ; `command` is None where one does not know."""
    its, others = a["newest"], b["newest"]
    command = next((name for name in _LOADS if name in its and name in others), None)
    rows = [] if command is None else _differing(its[command], others[command])
    return {"command": command, "differing": [{"name": name, "a": one, "b": other} for name, one, other in rows]}


def words(value: Any, name: str) -> str:
    """Say the value of a setting of some name as a person would, but exactly."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, str):
        return value
    number = f"{value:,}" if isinstance(value, int) else f"{100 * value if name in _SHARES else value:,.10g}"
    return f"{number} %" if name in _SHARES else f"{number} s" if name.endswith("_s") else number


def label(name: str) -> str:
    """Return a setting's name as a person would say it; that of a tenant stays as it is."""
    return name if " " in name else name.removesuffix("_s").replace("_", " ")


def _differing(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[tuple[str, Any, Any]]:
    its, others = dict(_flat(one)), dict(_flat(other))
    return [(name, its.get(name), others.get(name)) for name in {**its, **others} if its.get(name) != others.get(name)]


def _flat(told: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield everything that was in force as one value with a name."""
    yield "inputs", _listed(told["inputs"]["told"], told["inputs"]["more"])
    for name, one in told["settings"].items():
        if name not in _INCIDENTAL:
            yield name, one["value"]
    for one in told["tenants"]["told"]:
        yield f"tenant {one['name']}", tenant_words(one)
    if told["tenants"]["more"]:
        yield "more tenants", told["tenants"]["more"]


def tenant_words(one: Mapping[str, Any]) -> str:
    """Say a tenant's address, its credentials, and what it has of its own, in one line."""
    return "; ".join(filter(None, [one["address"], credentials_words(one), own_words(one)]))


def credentials_words(one: Mapping[str, Any]) -> str:
    """Say a tenant's credentials: their kind, and the mask or the reference in the place of their secret."""
    shown = one["credentials"]
    if shown is None:
        return "no credentials"
    client = "" if shown["client_id"] is None else f" of client {shown['client_id']}"
    return f"{shown['kind']} {shown['secret']}{client}"


def own_words(one: Mapping[str, Any]) -> str:
    """Say what a tenant has of its own."""
    return ", ".join(f"{label(name)} {words(value, name)}" for name, value in one["own"].items())


def inputs_words(told: Mapping[str, Any]) -> str:
    """Say which inputs there were."""
    return _listed(told["told"], told["more"]) or "none"


def _listed(texts: Sequence[str], more: int) -> str:
    return ", ".join(texts) + (f" and {more:,} more" if more else "")
