"""Flags, environment and file → frozen settings: a flag wins over the environment, that over the file.

This module must never resolve a secret's reference: it keeps it, for `auth` to resolve when a tenant is used.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final

from bulkstreams.config import values
from bulkstreams.config.file import ConfigFile, read_file
from bulkstreams.config.tenants import (
    ClientSecret,
    Credentials,
    PrivateKeyJwt,
    Tenant,
    Token,
    check_base_url,
    check_domain,
    is_domain,
    name_of_url,
)
from bulkstreams.errors import UsageError
from bulkstreams.model import Problem, TenantName

SANDBOX: Final = TenantName("sandbox")
SANDBOX_TOKEN: Final = "sandbox-token"  # noqa: S105 - the sandbox takes any
SIGNING_ALGS: Final = ("RS256", "RS384", "PS256")
PREFIX: Final = "BULKSTREAMS_"

_NO_TENANT: Final = UsageError(
    "no tenant is named.",
    hint="Set AUTH0_DOMAIN, or give --base-url URL or --tenant NAME; to try without an account: --sandbox.",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Flags:
    """What the command line said; None: nothing."""

    tenant: str | None = None
    config: Path | None = None
    base_url: str | None = None
    token: str | None = None
    rate: str | None = None
    burst: int | None = None
    reserve: str | None = None
    concurrency: int | None = None
    retries: int | None = None
    timeout: str | None = None
    deadline: str | None = None
    max_failures: int | None = None
    max_failure_rate: str | None = None
    allow_unknown_events: bool | None = None

    def __repr__(self) -> str:
        return "Flags(…)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything that a run is told, from whichever place."""

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

    def tenant(self, name: str | None) -> Tenant | Problem:
        """Return the tenant that a line means: a name of the configuration, a domain, or the default."""
        if name is None:
            return self.default or Problem(path="", message="names no tenant, and there is no default tenant")
        if self.sandbox_url is not None:
            return (
                self.default if self.default and name == SANDBOX else _sandboxed(name, self.sandbox_url, self.default)
            )
        if name in self.tenants:
            return self.tenants[name]
        domain = name.lower().removeprefix("https://").rstrip("/")
        for tenant in (*self.tenants.values(), self.default):
            if tenant is not None and (tenant.name == name or tenant.base_url == f"https://{domain}"):
                return tenant
        if is_domain(domain):
            message = f'no credentials for "{name}"; name it in bulkstreams.toml: [tenants.NAME] with its domain'
            return Problem(path="tenant", message=message)
        close = get_close_matches(name, list(self.tenants), n=1)
        near = f' (did you mean "{close[0]}"?)' if close else ""
        known = ", ".join(self.tenants) or "none"
        return Problem(path="tenant", message=f'unknown tenant "{name[:60]}"{near}; configured: {known}')

    def require_default(self) -> Tenant:
        """Return the default tenant; raise UsageError where there is none, or no credentials for it."""
        if self.default is None:
            raise _NO_TENANT
        self.require_credentials(self.default)
        return self.default

    @staticmethod
    def require_credentials(tenant: Tenant) -> Credentials:
        """Return a tenant's credentials; raise UsageError where it has none."""
        if tenant.credentials is None:
            raise UsageError(
                f"there are no credentials for {tenant.name}.",
                hint="Set AUTH0_API_TOKEN, or AUTH0_CLIENT_ID and AUTH0_CLIENT_SECRET, or give --token-file FILE.",
            )
        return tenant.credentials

    def with_sandbox(self, url: str) -> Settings:
        """Return the same settings with every tenant at the sandbox at `url`, the default one named `sandbox`."""
        pace = self.default or next(iter(self.tenants.values()), None)
        default = Tenant(
            name=SANDBOX,
            base_url=url,
            address=SANDBOX,
            credentials=Token(SANDBOX_TOKEN),
            **({} if pace is None else _pace(pace)),
        )
        return replace(self, default=default, sandbox_url=url)


def load(flags: Flags, environment: Mapping[str, str], folder: Path) -> Settings:
    """Gather the settings; `folder` is where the command runs. Raise UsageError at the first that is wrong."""
    file = read_file(flags.config, folder)
    read = _Values(flags, environment, {} if file is None else file.defaults)
    pace = {
        "rate": values.rate(read.get("rate", "auto"), "--rate"),
        "burst": _optional(read, "burst", lambda v: values.whole(v, "--burst", 1, 1_000_000)),
        "reserve": values.share(read.get("reserve", 0), "--reserve"),
        "concurrency": values.whole(read.get("concurrency", 32), "--concurrency", 1, 10_000),
    }
    tenants = {} if file is None else {name: _configured(file, name, pace, flags) for name in file.tenants}
    default = _default(flags, environment, read, tenants, pace)
    return Settings(
        default=default,
        tenants=tenants,
        folder=folder if file is None else file.path.resolve().parent,
        retries=values.whole(read.get("retries", 5), "--retries", 0, 1000),
        timeout_s=values.seconds(read.get("timeout", 30), "--timeout"),
        deadline_s=_optional(read, "deadline", lambda v: values.seconds(v, "--deadline")),
        max_failures=_optional(read, "max_failures", lambda v: values.whole(v, "--max-failures", 1, 10**12)),
        max_failure_rate=_optional(read, "max_failure_rate", lambda v: values.share(v, "--max-failure-rate")),
        allow_unknown_events=str(read.get("allow_unknown_events", False)).lower() in {"1", "true", "yes", "on"},
    )


class _Values:
    """One setting after the other: flag, then environment, then file."""

    def __init__(self, flags: Flags, environment: Mapping[str, str], file: Mapping[str, Any]) -> None:
        self._flags, self._environment, self._file = flags, environment, file

    def get(self, name: str, default: Any = None) -> Any:
        flag = getattr(self._flags, name, None)
        if flag is not None:
            return flag
        return self._environment.get(f"{PREFIX}{name.upper()}") or self._file.get(name, default)


def _optional(read: _Values, name: str, parse: Any) -> Any:
    value = read.get(name)
    return None if value is None else parse(value)


def _pace(tenant: Tenant) -> dict[str, Any]:
    return {name: getattr(tenant, name) for name in ("rate", "burst", "reserve", "concurrency")}


def _configured(file: ConfigFile, name: str, pace: Mapping[str, Any], flags: Flags) -> Tenant:
    table, where = file.tenants[name], f"{file.path}: tenants.{name}"
    if ("domain" in table) == ("base_url" in table):
        raise UsageError(
            f"{where} must have a domain or a base_url, and not both.", hint='e.g. domain = "acme.eu.auth0.com"'
        )
    base_url = (
        f"https://{check_domain(table['domain'], f'{where}.domain')}"
        if "domain" in table
        else check_base_url(table["base_url"], f"{where}.base_url")
    )
    own: dict[str, Any] = dict(pace)
    if "rate" in table and flags.rate is None:
        own["rate"] = values.rate(table["rate"], f"{where}.rate")
    if "burst" in table and flags.burst is None:
        own["burst"] = values.whole(table["burst"], f"{where}.burst", 1, 1_000_000)
    if "reserve" in table and flags.reserve is None:
        own["reserve"] = values.share(table["reserve"], f"{where}.reserve")
    if "concurrency" in table and flags.concurrency is None:
        own["concurrency"] = values.whole(table["concurrency"], f"{where}.concurrency", 1, 10_000)
    return Tenant(name=TenantName(name), base_url=base_url, address=base_url, credentials=_in_file(table, where), **own)


def _in_file(table: Mapping[str, Any], where: str) -> Credentials | None:
    if "token" in table:
        if "client_id" in table:
            raise UsageError(f"{where} has a token and a client_id.", hint="Keep one of them.")
        return Token(table["token"])
    if "client_id" not in table:
        return None
    return _client(
        table["client_id"],
        table.get("client_secret"),
        table.get("private_key"),
        table.get("signing_alg", "RS256"),
        table.get("audience"),
        where,
    )


def _client(
    client_id: str, secret: str | None, key: str | None, alg: str, audience: str | None, where: str
) -> Credentials:
    if (secret is None) == (key is None):
        raise UsageError(
            f"{where}: a client_id needs a client_secret or a private key, and not both.", hint="Give one."
        )
    if secret is not None:
        return ClientSecret(client_id, secret, audience)
    if alg not in SIGNING_ALGS:
        raise UsageError(f"{where}: signing_alg must be {', '.join(SIGNING_ALGS)} (got {alg!r}).", hint="e.g. RS256")
    return PrivateKeyJwt(client_id, key or "", alg, audience)


def _default(
    flags: Flags,
    environment: Mapping[str, str],
    read: _Values,
    tenants: Mapping[str, Tenant],
    pace: Mapping[str, Any],
) -> Tenant | None:
    """Find the tenant of lines that name none."""
    credentials = Token(flags.token) if flags.token is not None else _in_environment(environment)
    if flags.base_url is not None:
        url = check_base_url(flags.base_url, "--base-url")
        named = tenants.get(flags.tenant or "")
        if named is not None:
            return replace(named, base_url=url, address=url, credentials=credentials or named.credentials)
        name = TenantName(flags.tenant) if flags.tenant else name_of_url(url)
        return Tenant(name=name, base_url=url, address=url, credentials=credentials, **pace)
    wanted = read.get("tenant") or environment.get("AUTH0_DOMAIN")
    if not wanted:
        only = next(iter(tenants.values())) if len(tenants) == 1 else None
        return replace(only, credentials=Token(flags.token)) if only and flags.token is not None else only
    if wanted in tenants:
        known = tenants[wanted]
        return replace(known, credentials=Token(flags.token)) if flags.token is not None else known
    if flags.tenant is not None and not is_domain(wanted.lower().removeprefix("https://").rstrip("/")):
        close = get_close_matches(wanted, list(tenants), n=1)
        raise UsageError(
            f"--tenant {wanted} is neither a configured tenant nor a domain"
            f"{f' (did you mean {close[0]}?)' if close else ''}.",
            hint=f"Configured: {', '.join(tenants) or 'none'}.",
        )
    domain = check_domain(wanted, "AUTH0_DOMAIN" if flags.tenant is None else "--tenant")
    url = f"https://{domain}"
    known_at = next((tenant for tenant in tenants.values() if tenant.base_url == url), None)
    if known_at is not None:
        return replace(known_at, credentials=credentials) if flags.token is not None else known_at
    # The environment's credentials belong to the environment's domain, and go nowhere else.
    own = flags.token is not None or check_or_none(environment.get("AUTH0_DOMAIN")) in {None, domain}
    return Tenant(name=TenantName(domain), base_url=url, address=url, credentials=credentials if own else None, **pace)


def check_or_none(domain: str | None) -> str | None:
    """Return a domain that was given, in its bare form; None where none was."""
    return None if not domain else check_domain(domain, "AUTH0_DOMAIN")


def _in_environment(environment: Mapping[str, str]) -> Credentials | None:
    token = environment.get("AUTH0_API_TOKEN") or environment.get("AUTH0_ACCESS_TOKEN")
    if token:
        return Token(token)
    client_id = environment.get("AUTH0_CLIENT_ID")
    if not client_id:
        return None
    secret = environment.get("AUTH0_CLIENT_SECRET") or None
    key = None if secret else environment.get("AUTH0_CLIENT_ASSERTION_PRIVATE_KEY") or None
    alg = environment.get("AUTH0_CLIENT_ASSERTION_SIGNING_ALG") or "RS256"
    if secret is None and key is None:
        return None
    return _client(client_id, secret, key, alg, environment.get("AUTH0_AUDIENCE") or None, "AUTH0_CLIENT_ID")


def _sandboxed(name: str, url: str, default: Tenant | None) -> Tenant:
    base_url = f"{url}/t/{name}"
    pace = {} if default is None else _pace(default)
    return Tenant(name=TenantName(name), base_url=base_url, address="sandbox", credentials=Token(SANDBOX_TOKEN), **pace)


def default_ledger(inputs: Sequence[str]) -> Path:
    """Return the ledger of inputs that name none: the first one's stem, in the current folder."""
    first = inputs[0]
    if first == "-":
        return Path("stdin.ledger.db")
    path = Path(first)
    stem = Path(path.stem).stem if path.suffix == ".gz" else path.stem
    return Path(f"{stem or 'input'}.ledger.db")
