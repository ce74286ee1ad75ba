"""Settings → what the engine asks for: where a tenant is, how fast it may be asked, who we are there."""

from __future__ import annotations

import math
from typing import Any, Final

from bulkstreams.auth import Authenticator, Identity
from bulkstreams.config import ClientSecret, Settings, Tenant, Token
from bulkstreams.core.pacing import Ceiling
from bulkstreams.core.references import parse_reference
from bulkstreams.core.stopping import StopRules
from bulkstreams.engine import LanePlan
from bulkstreams.errors import SecretError
from bulkstreams.model import Problem, TenantName
from bulkstreams.secrets import SecretResolver

BURST_S: Final = 0.1
"""Seconds of an explicit rate that may go at once where no burst is given."""


class Wiring:
    """Answers the engine's questions about tenants from `settings`."""

    def __init__(self, settings: Settings, secrets: SecretResolver) -> None:
        self._settings = settings
        self._secrets = secrets
        self._met: dict[str, Tenant] = {}

    def locate(self, tenant: str | None) -> tuple[str, str] | Problem:
        """Return the tenant's name and address, or what is wrong with a line that names it.

        Raises UsageError where the line names none and the default tenant cannot be used.
        """
        found = self._settings.require_default() if tenant is None else self._settings.tenant(tenant)
        if isinstance(found, Problem):
            return found
        try:
            self._settings.require_credentials(found)
            self._identity(found)
        except SecretError as error:
            if tenant is None:
                raise
            return Problem(path="tenant", message=f"{tenant}: {error.message}")
        self._met[found.name] = found
        return found.name, found.address

    def address(self, tenant: str | None) -> str | None:
        """Return where a tenant is, without asking whether it can be used; None where that is not known."""
        default = self._settings.default
        if tenant is None or (default is not None and default.name == tenant):
            return None if default is None else default.address
        found = self._settings.tenant(tenant)
        return None if isinstance(found, Problem) else found.address

    def plan(self, tenant: TenantName) -> LanePlan:
        """Return how to treat a tenant that was located before, or that the ledger knows."""
        found = self._tenant(tenant)
        explicit = found.rate if isinstance(found.rate, float) else None
        burst = found.burst or (1 if explicit is None else math.ceil(explicit * BURST_S))
        return LanePlan(
            base_url=found.base_url,
            ceiling=Ceiling(rate=explicit, burst=burst),
            obey_budget=found.rate != "max",
            reserve=found.reserve,
            concurrency=found.concurrency,
            stops=StopRules(
                deadline_s=found.deadline_s,
                max_failures=found.max_failures,
                max_failure_rate=found.max_failure_rate,
            ),
        )

    def credential(self, tenant: TenantName, session: Any) -> Authenticator:
        """Return where a tenant's tokens come from."""
        found = self._tenant(tenant)
        return Authenticator(session, found.base_url, lambda: self._identity(found))

    def _tenant(self, name: TenantName) -> Tenant:
        if name not in self._met:
            default = self._settings.default
            found = default if default is not None and default.name == name else self._settings.tenant(name)
            if isinstance(found, Problem):
                raise SecretError(f"the ledger knows a tenant {name} that the configuration does not.", hint=str(found))
            self._met[name] = found
        return self._met[name]

    def _identity(self, tenant: Tenant) -> Identity:
        credentials = self._settings.require_credentials(tenant)
        if isinstance(credentials, Token):
            return Identity(kind="token", secret=self._text(credentials.text))
        if isinstance(credentials, ClientSecret):
            return Identity(
                kind="client_secret",
                secret=self._text(credentials.client_secret),
                client_id=self._text(credentials.client_id),
                audience=credentials.audience,
            )
        return Identity(
            kind="private_key",
            secret=self._text(credentials.private_key),
            client_id=self._text(credentials.client_id),
            signing_alg=credentials.signing_alg,
            audience=credentials.audience,
        )

    def _text(self, text: str) -> str:
        reference = parse_reference(text)
        return text if reference is None else self._secrets.resolve(reference)
