"""Flags, environment and file → frozen settings: a flag wins over the environment, that over the file.

A new setting takes a field of `Flags`, one of `Settings`, a line in `load`, and a key in `file.DEFAULTS`.
This module must never resolve a secret's reference: it keeps it, to be resolved when a tenant is used.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, urlsplit

from bulkstreams.config import credentials, values
from bulkstreams.config.choice import choose
from bulkstreams.config.file import ConfigFile, read_file
from bulkstreams.config.sources import Flags, Sources
from bulkstreams.config.tenants import (
    Credentials,
    Tenant,
    Token,
    bare_domain,
    check_base_url,
    check_domain,
    is_domain,
    is_loopback,
    without_user,
)
from bulkstreams.errors import UsageError
from bulkstreams.model import Problem, TenantName

SANDBOX: Final = TenantName("sandbox")
MOST_NAMED: Final = 10
"""Configured tenants that are named where one is unknown."""

SANDBOX_AT: Final = "--base-url http://127.0.0.1:8025"
"""Where the command `sandbox` serves, unless it is told otherwise."""

SANDBOX_TOKEN: Final = "sandbox-token"  # noqa: S105 - the sandbox takes any

PACE: Final[Mapping[str, Callable[[object, str], Any]]] = {
    "rate": values.rate,
    "burst": partial(values.whole, least=1, most=1_000_000),
    "reserve": values.share,
    "concurrency": partial(values.whole, least=1, most=10_000),
}
"""How fast a tenant may be asked: what each tenant of the file may set for itself, and how it is read."""

STOPS: Final[Mapping[str, tuple[str, Callable[[object, str], Any]]]] = {
    "deadline": ("deadline_s", values.seconds),
    "max_failures": ("max_failures", partial(values.whole, least=1, most=10**12)),
    "max_failure_rate": ("max_failure_rate", values.share),
}
"""When to stop, each with the name of its field: for the run as a whole, and in a tenant's table for that tenant."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything that a run is told, from whichever place.

    `file` is the configuration that was read, and `origins` what gave those settings that anything gave.
    """

    default: Tenant | None
    tenants: Mapping[str, Tenant]
    folder: Path
    retries: int = 5
    timeout_s: float = 30.0
    deadline_s: float | None = None
    max_failures: int | None = None
    max_failure_rate: float | None = None
    allow_unknown_events: bool = False
    sandbox_url: str | None = None
    pace: Mapping[str, Any] = field(default_factory=dict)
    file: str | None = None
    origins: Mapping[str, str] = field(default_factory=dict)
    _by_url: Mapping[str, Tenant] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        found = (self.default, *reversed(list(self.tenants.values())))  # of several at one address, the first counts
        object.__setattr__(self, "_by_url", {one.base_url: one for one in found if one is not None})

    def tenant(self, name: str | None) -> Tenant | Problem:
        """Return the tenant that a line means: a name of the configuration, a domain, or the default."""
        if name is None:
            return self.default or Problem(path="", message=self._no_default())
        found = self._known(name)
        if self.sandbox_url is not None and name != SANDBOX:
            return self._sandboxed(found, name if found is None else found.name, self.sandbox_url)
        if found is not None:
            return found
        if is_domain(bare_domain(name)):
            message = f'no credentials for "{name}"; name it in bulkstreams.toml: [tenants.NAME] with its domain'
            return Problem(path="tenant", message=message)
        close = get_close_matches(name, list(self.tenants), n=1)
        near = f' (did you mean "{close[0]}"?)' if close else ""
        shown = without_user(name)[:60]
        known = ", ".join(islice(self.tenants, MOST_NAMED)) or "none"
        if len(self.tenants) > MOST_NAMED:
            known += f" and {len(self.tenants) - MOST_NAMED:,} more"
        return Problem(path="tenant", message=f'unknown tenant "{shown}"{near}; configured: {known}')

    def _no_default(self) -> str:
        known = ", ".join(list(self.tenants)[:MOST_NAMED])
        names = f" (--tenant NAME makes one the default; configured: {known})" if known else ""
        return f"names no tenant, and there is no default tenant{names}"

    def _known(self, name: str) -> Tenant | None:
        """Return the tenant that has this name, or stands at this domain."""
        if self.default is not None and self.default.name == name:
            return self.default
        if name in self.tenants:
            return self.tenants[name]
        return self._by_url.get(f"https://{bare_domain(name)}")

    def require_default(self) -> Tenant:
        """Return the default tenant; raise UsageError where there is none, or no credentials for it."""
        if self.default is None:
            raise UsageError(
                "no tenant is named.",
                hint="Set AUTH0_DOMAIN, or give --base-url URL or --tenant NAME. To try without an account: "
                f"`bulkstreams run INPUT --sandbox`; or `bulkstreams sandbox`, and {SANDBOX_AT}.",
            )
        self.require_credentials(self.default)
        return self.default

    @staticmethod
    def require_credentials(tenant: Tenant) -> Credentials:
        """Return a tenant's credentials; raise UsageError where it has none."""
        if tenant.credentials is None:
            here = is_loopback(urlsplit(tenant.base_url).hostname or "")
            raise UsageError(
                f"there are no credentials for {tenant.name}.",
                hint="Set AUTH0_API_TOKEN, or AUTH0_CLIENT_ID and AUTH0_CLIENT_SECRET, or give --token-file FILE."
                + (" A `bulkstreams sandbox` takes any token: AUTH0_API_TOKEN=any-token." if here else ""),
            )
        return tenant.credentials

    def with_sandbox(self, url: str) -> Settings:
        """Return the same settings with every tenant at the sandbox at `url`, the default one named `sandbox`."""
        default = replace(self._sandboxed(self.default, SANDBOX, url), base_url=url)
        return replace(self, default=default, sandbox_url=url)

    def _sandboxed(self, like: Tenant | None, name: str, url: str) -> Tenant:
        """Return the sandbox's tenant of a name, paced like the tenant it stands for, or as all are."""
        own = (*PACE, *(field for field, _ in STOPS.values()))
        pace = self.pace if like is None else {key: getattr(like, key) for key in own}
        return Tenant(
            name=TenantName(name),
            base_url=f"{url}/t/{quote(name, safe='')}",
            address=str(SANDBOX),
            credentials=Token(SANDBOX_TOKEN),
            **pace,
        )


def load(flags: Flags, environment: Mapping[str, str], folder: Path) -> Settings:
    """Gather the settings; `folder` is where the command runs. Raise UsageError at the first that is wrong."""
    file = read_file(flags.config, folder)
    sources = Sources(flags, environment, file)
    pace = {name: sources.read(name, parse, getattr(_PLAIN, name)) for name, parse in PACE.items()}
    tenants = {} if file is None else {name: _configured(file, name, pace, sources) for name in file.tenants}
    default = choose(sources, tenants, pace)
    if default is not None and default.name in tenants:
        # The flags that name its address or its token hold for the lines that name the tenant, too.
        tenants[default.name] = default
    _check_pace([default or replace(_PLAIN, **pace), *tenants.values()])
    return Settings(
        default=default,
        tenants=tenants,
        folder=folder if file is None else file.path.resolve().parent,
        retries=sources.read("retries", partial(values.whole, least=0, most=1000), NOTHING_SAID.retries),
        timeout_s=sources.read("timeout", values.seconds, NOTHING_SAID.timeout_s),
        **{field: sources.read(name, parse, None) for name, (field, parse) in STOPS.items()},
        allow_unknown_events=sources.read("allow_unknown_events", values.truth, False),
        pace=pace,
        file=None if file is None else str(flags.config or file.path.name),
        origins=sources.origins(),
    )


_PLAIN: Final = Tenant(name=TenantName(""), base_url="", address="", credentials=None)
"""A tenant of which nothing is said: where the default pace is taken from."""

NOTHING_SAID: Final = Settings(
    default=None, tenants={}, folder=Path(), pace={name: getattr(_PLAIN, name) for name in PACE}
)
"""What is in force where nobody said anything."""


def _check_pace(tenants: Iterable[Tenant]) -> None:
    """Refuse a reserve that nothing would look after."""
    unkept = next((one for one in tenants if one.reserve and one.rate == "max"), None)
    if unkept is not None:
        raise UsageError(
            f"the reserve{f' of {unkept.name}' if unkept.name else ''} cannot be kept at the rate max, "
            "which does not look at the server's budget.",
            hint="Leave out --rate max, or say that nothing is reserved: --reserve 0%.",
        )


def _configured(file: ConfigFile, name: str, pace: Mapping[str, Any], sources: Sources) -> Tenant:
    table, place = file.tenants[name], f"tenants.{name}"
    url = _address(file, table, place)
    own = {
        key: parse(table[key], file.where(f"{place}.{key}"))
        if key in table and not sources.outranks_file(key)
        else pace[key]
        for key, parse in PACE.items()
    }
    # Nobody else's word counts for these: flags, variables and [defaults] mean the run as a whole.
    stops = {
        field: parse(table[key], file.where(f"{place}.{key}")) for key, (field, parse) in STOPS.items() if key in table
    }
    own |= stops
    return Tenant(name=TenantName(name), base_url=url, address=url, credentials=credentials.in_file(file, name), **own)


def _address(file: ConfigFile, table: Mapping[str, Any], place: str) -> str:
    if ("domain" in table) == ("base_url" in table):
        raise UsageError(
            f"{file.where(place)} must have a domain or a base_url, and not both.",
            hint='e.g. domain = "acme.eu.auth0.com"',
        )
    if "domain" in table:
        return f"https://{check_domain(table['domain'], file.where(f'{place}.domain'))}"
    return check_base_url(table["base_url"], file.where(f"{place}.base_url"))


def default_ledger(inputs: Sequence[str]) -> Path:
    """Return the ledger of inputs that name none: the first one's stem, in the current folder."""
    first = inputs[0]
    if first == "-":
        return Path("stdin.ledger.db")
    path = Path(first)
    stem = Path(path.stem).stem if path.suffix == ".gz" else path.stem
    return Path(f"{stem or 'input'}.ledger.db")
