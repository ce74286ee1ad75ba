"""What the report's tests share: a ledger of two runs whose every number is known, and its figures."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bulkstreams.core.course import Asked, Paused
from bulkstreams.core.metrics import Tally
from bulkstreams.core.waiting import WaitKind
from bulkstreams.ledger import Configured, History, InForce, Ledger, Setting, Shown
from bulkstreams.model import State, TenantName
from bulkstreams.report import figures, hashes
from tests.ledger import ACME, bad, good, read, settled

SOURCE = json.dumps({"inputs": [["in.jsonl", None]], "rules": [1, False], "default": None})
NOW = 5000.0
MOST = "so far and no further"
HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)> \"'&\u2028\u2029\u202e${x}{{ 7 * 7 }}"
"""A key, a name and a message that would be markup, script, template, or the end of a line of script."""

TOLD = "429: the server said to wait"
PAUSES = (
    Paused(ACME, WaitKind.THROTTLED, 6001.0, 6003.0, 2.0, 1, TOLD),
    Paused(ACME, WaitKind.UNREACHABLE, 6004.0, 6009.0, 4.0, 3, HOSTILE),
    Paused(HOSTILE, WaitKind.THROTTLED, 6002.0, 6002.5, 0.5, 1, TOLD),
)
"""Of a run that began at 6000 and took ten seconds."""

IN_FORCE = InForce(
    inputs=["in.jsonl"],
    settings={
        "rate": Setting(16.0, "auto", "--rate"),
        "reserve": Setting(0.4, 0.0, "bulkstreams.toml"),
        "timeout_s": Setting(30.0, 30.0),
        "deadline_s": Setting(None, None),
        "preflight": Setting(True, True),
        "retries": Setting(5, 5),
        "connections": Setting(1000, None, "the system"),
    },
    tenants=[Configured(ACME, "https://acme.test", True, {"deadline_s": 90.0}, Shown("token", "***"))],
)
"""What was in force in the first run; the second had another rate, other credentials, and was told of more tenants."""

LATER = IN_FORCE._replace(
    settings={**IN_FORCE.settings, "rate": Setting(4.0, "auto", "BULKSTREAMS_RATE"), "connections": Setting(999)},
    tenants=[
        Configured(ACME, "https://acme.test", True, {}, Shown("client secret", "${env:ACME_SECRET}", "acme-client")),
        Configured("my_tenant", "https://my.test", False, {}, None),
    ],
    more_tenants=3,
)

LINES = [*(good(key) for key in "abcdefg"), good(HOSTILE), bad("x"), good("a")]


async def first_run(path: Path) -> None:
    """Create four of eight records within ten seconds, refuse two, and end: its times are 10, 20, 30 and 40 ms."""
    with Ledger.open(path) as ledger:
        await ledger.begin_run(1000.0, "run", IN_FORCE)
        await read(ledger, LINES, source=SOURCE)
        claims = await ledger.claim(ACME, 6, 1000.5)
        made = [
            settled(one, State.CREATED, settled_at=1001.0 + n, latency_ms=10.0 + 10 * n, attempts=1 + n // 3)
            for n, one in enumerate(claims[:4])
        ]
        refused = [
            settled(
                one, State.REFUSED, settled_at=1009.0, latency_ms=5.0, http_status=400, error_code="bad", message=MOST
            )
            for one in claims[4:6]
        ]
        await ledger.settle([*made, *refused], Tally(requests=8, retries=1, throttled=1, lookups=2))
        await ledger.end_run(1010.0, 4, {"acme": "its deadline came"})


async def second_run(path: Path) -> None:
    """An hour later, find one of the two that are left there already, and refuse the last with a hostile message."""
    with Ledger.open(path) as ledger:
        await ledger.begin_run(4600.0, "run", LATER)
        await read(ledger, LINES, source=SOURCE)  # since a line is invalid, every run reads them
        one, other = await ledger.claim(ACME, 2, 4600.5)
        await ledger.settle(
            [
                settled(one, State.EXISTS, settled_at=4601.0),
                settled(other, State.REFUSED, settled_at=4604.5, http_status=422, message=HOSTILE),
            ],
            Tally(requests=2),
        )
        await ledger.end_run(4605.0, 1, {})


async def two_runs(path: Path) -> dict[str, Any]:
    """Make the ledger of both runs, and return its figures."""
    await first_run(path)
    await second_run(path)
    return asked(path)


async def noted_run(path: Path) -> None:
    """Begin a run that notes how it goes: 40 requests of 4 a second that were allowed, with every kind of answer."""
    with Ledger.open(path) as ledger:
        await ledger.begin_run(6000.0)
        for tenant in (ACME, TenantName(HOSTILE)):
            await ledger.tenant(tenant, f"https://{tenant}.test")
        asked = [Asked(6000.0 + n, 1.0, 4, n % 2, n % 3 == 0, n == 0, 4.0) for n in range(10)]
        await ledger.note_course(asked, PAUSES)
        await ledger.settle([], Tally(requests=42, retries=6, throttled=4, lookups=1))
        await ledger.end_run(6010.0, 0, {})


async def three_runs(path: Path) -> dict[str, Any]:
    """Make the ledger of two runs that noted nothing of how they went, and of one that did; return its figures."""
    await two_runs(path)
    await noted_run(path)
    return asked(path, 7000.0)


def asked(path: Path, now: float = NOW, **more: Any) -> dict[str, Any]:
    """Return the figures of a ledger."""
    hashed = hashes.of_ledger(path)
    with History(path) as history:
        return figures.figures(history, now, ledger=hashed, **more)


def some(counts: Mapping[str, int]) -> dict[str, int]:
    """Return the counts that are not zero."""
    return {name: count for name, count in counts.items() if count}
