"""The sandbox as a process of its own, with every fault on; its books, and its tenants' streams as their API tells.

Whoever asks here meets the faults like everybody else, and asks again. This module must never judge what it reads.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.client import HTTPException
from typing import Any, Final
from urllib.request import Request, urlopen

from benchmarks.machine import ENVIRONMENT, ROOT

FAULTS: Final = {
    "error-before": 0.05, "error-after": 0.06, "reset-before": 0.05, "reset-after": 0.06, "hang-after": 0.03,
    "truncate": 0.05, "html-502": 0.05, "throttle": 0.01, "late": 0.06,
}  # fmt: skip
"""How often a create meets each; a listing meets those that leave nothing behind."""

LATE_S: Final = 0.5
"""Seconds by which also what takes effect `late` (a fifth of a second afterwards) has done so."""

TRIES: Final = 200


class Server:
    """A sandbox at `url`."""

    def __init__(self, url: str) -> None:
        self.url = url

    def url_of(self, tenant: str) -> str:
        """Return the address of a tenant."""
        return f"{self.url}/t/{tenant}"

    def books(self) -> dict[str, Any]:
        """Return the books."""
        found: dict[str, Any] = _fetch(Request(f"{self.url}/_sandbox/books"))
        return found

    def faults(self) -> int:
        """Return how many requests have met a fault."""
        return sum(sum(one["faults"].values()) for one in self.books()["tenants"].values())

    def streams(self, tenant: str) -> list[dict[str, Any]]:
        """Return all streams of a tenant, as its API lists them page by page."""
        found: list[dict[str, Any]] = []
        cursor = ""
        while True:
            page = self._insist(Request(f"{self._collection(tenant)}?take=50{cursor}", headers=_HEADERS))
            found += page["eventStreams"]
            if "next" not in page:
                return found
            cursor = f"&from={page['next']}"

    def seed(self, seeds: Sequence[tuple[str, Mapping[str, Any]]]) -> None:
        """Create streams behind the engine's back, once each: after a lost answer the books tell."""
        for tenant, definition in seeds:
            body = json.dumps(definition).encode()
            request = Request(self._collection(tenant), data=body, headers=_HEADERS, method="POST")
            for _ in range(TRIES):
                if self._post(request) or self._has(tenant, definition["name"]):
                    break
            else:
                raise SystemExit(f"the sandbox at {self.url} takes no create")

    def _has(self, tenant: str, name: str) -> bool:
        time.sleep(LATE_S)
        return any((one["tenant"], one["name"]) == (tenant, name) for one in self.books()["accepted"])

    @staticmethod
    def _post(request: Request) -> bool:
        try:
            _fetch(request)
        except (OSError, HTTPException, ValueError):
            return False
        return True

    @staticmethod
    def _insist(request: Request) -> Any:
        for _ in range(TRIES):
            try:
                return _fetch(request)
            except (OSError, HTTPException, ValueError):
                time.sleep(0.05)
        raise SystemExit(f"{request.full_url} gives no answer")

    def _collection(self, tenant: str) -> str:
        return f"{self.url_of(tenant)}/api/v2/event-streams"


_HEADERS: Final = {"Content-Type": "application/json", "Authorization": "Bearer dummy-token-of-the-judge"}


def _fetch(request: Request) -> Any:
    with urlopen(request, timeout=2) as answer:
        return json.load(answer)


@contextmanager
def served(seed: int, *, unique: bool, rate: int) -> Iterator[Server]:
    """Run a sandbox in a process of its own, with so many requests a second for each tenant."""
    command = [
        sys.executable, "-m", "bulkstreams", "sandbox", "--port", "0", "--seed", str(seed), "--rate", str(rate),
        "--burst", str(max(1, rate // 2)), "--latency", "2ms-40ms",
        *(f"--fault={name}={odds}" for name, odds in FAULTS.items()),
        "--unique-names" if unique else "--no-unique-names",
    ]  # fmt: skip
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT, env=ENVIRONMENT)
    with process:
        try:
            assert process.stdout is not None
            words = process.stdout.readline().split()
            if words[:2] != ["sandbox", "at"]:
                raise SystemExit("the sandbox did not start")
            yield Server(words[2])
        finally:
            process.terminate()
