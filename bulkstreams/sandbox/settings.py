"""What a sandbox is told: its limits, its faults, its temper. All of it seeded, so that a run can be repeated."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Final, Literal

from bulkstreams.errors import UsageError

FAULTS: Final = (
    "error-before", "error-after", "reset-before", "reset-after", "hang-after", "truncate", "html-502", "throttle",
)  # fmt: skip
"""What can go wrong with a create: a 5xx or a lost connection before or after it took effect, no answer at all, an
answer cut short, a gateway's page, a 429 for no reason."""

READ_FAULTS: Final = frozenset({"error-before", "reset-before", "html-502", "throttle"})
"""Those that befall look-ups too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxSettings:
    """How a sandbox behaves.

    `rate` is in requests a second for each tenant, None for no limit; `latency` is (least, most) in seconds.
    """

    port: int = 0
    host: str = "127.0.0.1"
    seed: int = 0
    rate: float | None = 50.0
    burst: int = 20
    refill: Literal["continuous", "window"] = "continuous"
    quota: int | None = None
    latency: tuple[float, float] = (0.0, 0.0)
    faults: Mapping[str, float] = field(default_factory=dict)
    unique_names: bool = True
    clients: Mapping[str, str] | None = field(default=None, repr=False)
    strict_tokens: bool = False
    token_lifetime_s: int = 86_400
    retry_after: bool = False


def parse_fault(text: str) -> tuple[str, float]:
    """Read `NAME=P`: a fault, and its probability (0.02 or 2%)."""
    name, _, chance = text.partition("=")
    if name not in FAULTS:
        close = get_close_matches(name, FAULTS, n=1)
        near = f" (did you mean {close[0]}?)" if close else ""
        raise UsageError(f"there is no fault {name!r}{near}.", hint=f"Faults: {', '.join(FAULTS)}.")
    try:
        value = float(chance.removesuffix("%")) / (100 if chance.endswith("%") else 1)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise UsageError(
            f"the fault {name} needs a probability from 0 to 1 (got {chance!r}).", hint=f"e.g. {name}=0.05"
        )
    return name, value


def parse_latency(text: str) -> tuple[float, float]:
    """Read a latency: `30ms`, `0.03`, or a range `20ms-200ms`."""
    least, dash, most = text.partition("-")
    try:
        low = _seconds(least)
        high = _seconds(most) if dash else low
    except ValueError:
        low, high = -1.0, -1.0
    if not 0 <= low <= high <= 600:
        raise UsageError(f"--latency must be like 30ms or 20ms-200ms (got {text!r}).", hint="e.g. --latency 30ms")
    return low, high


def _seconds(text: str) -> float:
    if text.endswith("ms"):
        return float(text[:-2]) / 1000
    return float(text.removesuffix("s"))
