"""What a command for the streams of a ledger would be about, and whether it may begin: before anything is sent.

Nobody is asked but the ledger and the configuration. This module must never let a command go on to a tenant that stands
elsewhere than the ledger has it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from bulkstreams.commands.results import no_such_tenant
from bulkstreams.commands.wiring import Wiring
from bulkstreams.config import SANDBOX, Settings
from bulkstreams.core.errands import Kind
from bulkstreams.engine import Manner
from bulkstreams.errors import LedgerAddressError, UsageError
from bulkstreams.ledger import UNDOABLE, LedgerReader, Plan, Site
from bulkstreams.model import Problem, State
from bulkstreams.schema import EVENT_TYPES, nearest
from bulkstreams.secrets import SecretResolver


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrandOptions:
    """What is asked of one command, beside the settings; `command` is what it is called, where not by its kind.

    `newest`: only streams of the ledger's newest reading.
    """

    kind: Kind
    ledger: Path
    states: Collection[State] = UNDOABLE
    tenant: str | None = None
    event: str | None = None
    limit: int | None = None
    manner: Manner = field(default_factory=Manner)
    command: str | None = None
    newest: bool = False


def plan_of(options: ErrandOptions, settings: Settings, reader: LedgerReader) -> Plan:
    """Return what is asked of the ledger; `--tenant` may have another name for one of its tenants.

    Raises UsageError where the ledger has no such tenant.
    """
    tenants = None
    if options.tenant is not None:
        address = None if settings.default is None else settings.default.address
        known = reader.addresses()
        tenants = [name for name, at in known.items() if name == options.tenant or at == address]
        if not tenants:
            raise no_such_tenant(reader, options.tenant)
    since = reader.newest_reading() if options.newest else 0
    return Plan(states=options.states, tenants=tenants, event=options.event, since=since)


def check_event(event: str | None, settings: Settings) -> None:
    """Raise UsageError where a test event is of a type that this version does not know, unless that is allowed."""
    if event is None or event in EVENT_TYPES or settings.allow_unknown_events:
        return
    raise UsageError(
        f"there is no event type {event!r}{nearest(event, tuple(sorted(EVENT_TYPES)))}; nothing was sent.",
        hint="If the API has it by now: --allow-unknown-events",
    )


def check_sites(wiring: Wiring, path: Path, sites: Mapping[str, Site], default: str | None = None) -> None:
    """Raise where a tenant at which something is to be done is not where the ledger has it, or cannot be used.

    `default`: where the ledger has the tenant of lines that name none. Raises LedgerAddressError or UsageError; nothing
    was sent by then.
    """
    for name, site in sites.items():
        if site.address == SANDBOX and wiring.address(name) != SANDBOX:
            raise LedgerAddressError(
                f"the ledger {path} is of a run with --sandbox, and that sandbox is gone with all its streams.",
                hint="There is nothing left to be done with them; the ledger can be deleted.",
            )
        _check_address(wiring, path, name, site.address, default)
        located = wiring.locate(name)
        if isinstance(located, Problem):
            raise UsageError(
                f"the ledger has streams at the tenant {name}: {located.message}.",
                hint=f"Put it into the configuration, at {site.address}, or give --base-url {site.address}; "
                "nothing was sent.",
            )


def _check_address(wiring: Wiring, path: Path, name: str, known: str, default: str | None) -> None:
    """Raise LedgerAddressError where the configuration has a tenant elsewhere, or another for lines that name none."""
    address = wiring.address(name)
    if address is None and known == default:
        address = wiring.address(None)
    if address is not None and address != known:
        raise LedgerAddressError(
            f"the ledger {path} has the tenant {name} at {known}, and the configuration means {address}.",
            hint=f"Nothing was sent. Name the tenant that the ledger was made for, e.g. with --base-url {known}.",
        )


@dataclass(frozen=True, slots=True)
class Prospect:
    """What a command would be about: the streams by tenant."""

    sites: Mapping[str, Site]

    @property
    def streams(self) -> int:
        """Return how many there are."""
        return sum(site.pending for site in self.sites.values())

    def words(self, limit: int | None) -> str:
        """Say it to who is to confirm it: `47 event streams at acme.eu.auth0.com`."""
        count = self.streams if limit is None else min(limit, self.streams)
        alone = len(self.sites) == 1
        places = [site.address.removeprefix("https://") if alone else name for name, site in self.sites.items()]
        named = ", ".join(places[:3]) + (f" and {len(places) - 3:,} more tenants" if len(places) > 3 else "")
        most = "at most " if limit is not None and len(places) > 1 else ""
        return f"{most}{count:,} event {'stream' if count == 1 else 'streams'} at {named}"


def prospect(options: ErrandOptions, settings: Settings, environment: Mapping[str, str]) -> Prospect:
    """Return what a command would be about, asking nobody but the ledger; raises as `check_sites`."""
    wiring = Wiring(settings, SecretResolver(environment, settings.folder))
    with LedgerReader(options.ledger) as reader:
        plan = plan_of(options, settings, reader)
        found = Prospect(reader.created(plan.states, plan.tenants))
        check_sites(wiring, options.ledger, found.sites, reader.default_address())
    return found
