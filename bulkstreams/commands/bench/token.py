"""A load's token: fresh whenever a request begins. This module must never keep a request waiting for it."""

from __future__ import annotations

import anyio

from bulkstreams.engine import Credential
from bulkstreams.errors import CredentialsError


class KeptToken:
    """A token that is fresh whenever a request begins: it is fetched beside the load, never in a request's way."""

    def __init__(self, credential: Credential) -> None:
        self._credential = credential
        self._stale: str | None = None
        self._wake = anyio.Event()
        self.text = ""

    async def fetch(self) -> None:
        """Fetch the first; raise CredentialsError where none is to be had."""
        self.text = await self._credential.token()

    def refused(self, token: str) -> None:
        """Take note that the server refused a token."""
        if token == self.text and self._stale != token:
            self._stale = token
            self._wake.set()

    async def run(self) -> None:
        """Fetch another when it expires, or was refused, until cancelled; where there is none the last one stays."""
        while True:
            with anyio.move_on_after(1.0):
                await self._wake.wait()
            try:
                if self._wake.is_set():
                    self._wake = anyio.Event()
                    self.text = await self._credential.refresh(self._stale or self.text)
                else:
                    self.text = await self._credential.token()
            except CredentialsError:
                continue  # the answers say so: each is a sample
