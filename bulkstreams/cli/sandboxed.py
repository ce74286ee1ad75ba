"""The flag `--sandbox`: a local Auth0 inside this process takes the place of the tenant.

This module must never let anything of a real account into such a command, neither a flag of it nor a variable.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from bulkstreams.config import Flags, Settings, load
from bulkstreams.errors import UsageError
from bulkstreams.sandbox import Sandbox, SandboxSettings


def settings_for(asked: Flags, *, sandbox: bool) -> Settings:
    """Return what is in force; raise UsageError where a tenant is named beside a sandbox."""
    if sandbox and (asked.base_url or asked.tenant or asked.token is not None):
        raise UsageError("--sandbox brings its own tenant.", hint="Leave out --base-url, --tenant and --token-file.")
    # The sandbox needs no account, so an account's variables are none of its business.
    return load(asked, {} if sandbox else os.environ, Path.cwd())


@asynccontextmanager
async def placed(settings: Settings, *, sandbox: bool) -> AsyncIterator[Settings]:
    """Give the settings as they are, or with the address of a sandbox that is up while the context lasts."""
    if not sandbox:
        yield settings
        return
    async with Sandbox(SandboxSettings()) as server:
        yield settings.with_sandbox(server.url)
