"""A command with --sandbox knows of no account, and works at a server of its own."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from bulkstreams.cli.sandboxed import placed, settings_for
from bulkstreams.config import SANDBOX, Flags
from bulkstreams.errors import UsageError

ACCOUNT = {"AUTH0_DOMAIN": "acme.eu.auth0.com", "AUTH0_API_TOKEN": "dummy-7f3a"}


@pytest.fixture(autouse=True)
def account(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the environment name an account, and the folder hold no configuration."""
    monkeypatch.chdir(tmp_path)
    for name, value in ACCOUNT.items():
        monkeypatch.setenv(name, value)


@pytest.mark.parametrize("asked", [Flags(base_url="https://a.test"), Flags(tenant="acme"), Flags(token="dummy-7f3a")])
def test_a_tenant_beside_a_sandbox_is_refused(asked: Flags) -> None:
    """Nobody could tell which of the two was meant."""
    with pytest.raises(UsageError, match="--sandbox brings its own tenant"):
        settings_for(asked, sandbox=True)


def test_an_accounts_variables_count_without_a_sandbox_alone() -> None:
    """With one they are neither read nor needed."""
    named = settings_for(Flags(), sandbox=False).default
    assert named is not None
    assert named.address == "https://acme.eu.auth0.com"
    assert settings_for(Flags(), sandbox=True).default is None


def test_settings_are_placed_at_a_sandbox_or_left() -> None:
    """Its address is that of every ledger made in one."""

    async def where(*, sandbox: bool) -> str | None:
        async with placed(settings_for(Flags(), sandbox=sandbox), sandbox=sandbox) as settings:
            return None if settings.default is None else settings.default.address

    assert asyncio.run(where(sandbox=False)) == "https://acme.eu.auth0.com"
    assert asyncio.run(where(sandbox=True)) == SANDBOX
