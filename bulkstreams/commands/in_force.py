"""What a command was told, as its ledger keeps it: settings beside their defaults, tenants with masked credentials.

This module must never resolve a reference, nor let a literal secret through: three asterisks stand in its place.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from bulkstreams.commands.prospect import ErrandOptions
from bulkstreams.config import ClientSecret, Settings, Tenant, Token
from bulkstreams.config.settings import NOTHING_SAID, PACE, STOPS
from bulkstreams.core.errands import Kind
from bulkstreams.core.references import parse_reference
from bulkstreams.engine import Manner
from bulkstreams.ledger import UNDOABLE, Configured, InForce, Setting, Shown, Value
from bulkstreams.ledger.in_force import BY_DEFAULT
from bulkstreams.secrets import MASK

if TYPE_CHECKING:
    from bulkstreams.commands.run import RunOptions

MOST_TOLD: Final = 20
"""Inputs, and tenants, that are told one by one, the first ones; the rest is counted."""

_SYSTEM: Final = "the system"
_STOPS: Final = tuple(field for field, _ in STOPS.values())
_UNKNOWN: Final = "allow_unknown_events"
SETTINGS: Final = (*PACE, "retries", "timeout_s", *_STOPS)
"""What every command that asks tenants over and over goes by."""


def of_run(options: RunOptions, settings: Settings, connections: int) -> InForce:
    """Return what is in force in a run; of its tenants those are told that are configured."""
    status = None if options.set_status is None else options.set_status.value
    default = [] if settings.default is None else [settings.default.name]
    return in_force(
        settings,
        (*SETTINGS, _UNKNOWN),
        {
            "limit": said(options.limit, None, "--limit"),
            "retry_failed": said(options.retry_failed, False, "--retry-failed"),
            "set_status": said(status, None, "--set-status"),
            "preflight": said(options.preflight, True, "--no-preflight"),
            "smoke": said(options.smoke, None, "--smoke"),
            "sandbox": said(settings.sandbox_url is not None, False, "--sandbox"),
            "connections": Setting(connections, None, _SYSTEM),
        },
        inputs=options.inputs,
        tenants=[*default, *settings.tenants],
    )


def of_errands(options: ErrandOptions, settings: Settings, sites: Iterable[str], connections: int) -> InForce:
    """Return what is in force in an `undo`, `activate` or `smoke`; `sites` names the tenants that it is about."""
    tests, manner = options.kind is Kind.SMOKE, options.manner
    own = {
        "state": said(", ".join(options.states), ", ".join(UNDOABLE), "--state"),
        "tenant": said(options.tenant, None, "--tenant"),
        "limit": said(options.limit, None, "--limit"),
    }
    if tests:
        own["event"] = Setting(options.event, None, "--event")
        own["patience_s"] = said(manner.patience_s, Manner().patience_s, "--patience")
    else:
        own["force"] = said(manner.force, False, "--force")
    if options.kind in {Kind.ENABLE, Kind.DISABLE}:
        own["off"] = said(options.kind is Kind.DISABLE, False, "--off")
    own["connections"] = Setting(connections, None, _SYSTEM)
    return in_force(settings, (*SETTINGS, _UNKNOWN) if tests else SETTINGS, own, tenants=sites)


def in_force(
    settings: Settings,
    names: Collection[str],
    own: Mapping[str, Setting],
    *,
    inputs: Sequence[str] = (),
    tenants: Iterable[str],
) -> InForce:
    """Return what is in force in a command: the settings of these `names`, its `own`, and some tenants, by name."""
    known = list(dict.fromkeys(tenants))
    found = [settings.tenant(name) for name in known[:MOST_TOLD]]
    told = [_configured(one, settings) for one in found if isinstance(one, Tenant)]
    general = {name: _setting(settings, name) for name in names}
    config = Setting(settings.file, None, "--config" if "config" in settings.origins else BY_DEFAULT)
    return InForce(
        inputs=inputs[:MOST_TOLD],
        more_inputs=len(inputs[MOST_TOLD:]),
        settings={**general, **own, "config": config},
        tenants=told,
        more_tenants=len(known) - len(told),
    )


def said(value: Value, default: Value, flag: str) -> Setting:
    """Return a setting that a flag alone can give: where it is as by default, nobody need have said it."""
    return Setting(value, default, BY_DEFAULT if value == default else flag)


def _setting(settings: Settings, name: str) -> Setting:
    default = _of_all(NOTHING_SAID, name)
    return Setting(_of_all(settings, name), default, settings.origins.get(name.removesuffix("_s"), BY_DEFAULT))


def _of_all(settings: Settings, name: str) -> Any:
    return settings.pace[name] if name in PACE else getattr(settings, name)


def _configured(tenant: Tenant, settings: Settings) -> Configured:
    pace = {name: own for name in PACE if (own := getattr(tenant, name)) != settings.pace.get(name)}
    stops = {name: own for name in _STOPS if (own := getattr(tenant, name)) is not None}
    is_default = settings.default is not None and settings.default.name == tenant.name
    return Configured(tenant.name, tenant.address, is_default, {**pace, **stops}, _shown(tenant))


def _shown(tenant: Tenant) -> Shown | None:
    """Return a tenant's credentials with their secret masked; a reference is none, and is shown as it was given."""
    given = tenant.credentials
    if given is None:
        return None
    if isinstance(given, Token):
        return Shown("token", _masked(given.text))
    if isinstance(given, ClientSecret):
        return Shown("client secret", _masked(given.client_secret), given.client_id)
    return Shown("private key", _masked(given.private_key), given.client_id)


def _masked(text: str) -> str:
    return MASK if parse_reference(text) is None else text
