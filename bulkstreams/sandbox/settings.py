"""What a sandbox can be told: its settings, and how their texts are read.

This module must never open a socket; it refuses settings that make no sense, with the remedy.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Final, Literal

from bulkstreams.errors import UsageError
from bulkstreams.sandbox.faults import check_faults, fault_kind
from bulkstreams.sandbox.plight import Plight, plights

Refill = Literal["continuous", "window", "minute"]
"""Tokens trickle in all the time, or come all at once at the top of each second or minute: Auth0's documents tell of
all three."""

WINDOWS: Final[Mapping[Refill, int | None]] = {"continuous": None, "window": 1, "minute": 60}
"""How many seconds lie between two refills; None where tokens trickle."""

DisabledTest = Literal["hold", "refuse"]
"""What a test event for a disabled stream meets: it is accepted and never delivered, or refused. Documented is only
that Auth0 does not send events to disabled streams."""

_DISABLED_TESTS: Final[tuple[DisabledTest, ...]] = ("hold", "refuse")
_MOST_SKEW_S: Final = 86_400.0
SCOPES: Final = (
    "read:event_streams", "create:event_streams", "update:event_streams", "delete:event_streams",
    "read:event_deliveries", "read:actions",
)  # fmt: skip
"""Every scope that the sandbox asks for anywhere; its tokens carry them all unless told otherwise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxSettings:
    """How a sandbox behaves.

    The default limits (20 requests at once, 20 a second) are a published plan, "Private Cloud dev", and slow enough
    for a newcomer to see pacing at work. `rate` None or 0: no limit, and no limit headers. `burst` None: what a
    refill brings (trickling: a second's worth). The `unseen_` three are a second bucket behind the first, which no
    header shows (`unseen_rate` None or 0: there is none; `unseen_refill` None: as the first).
    `limit_headers` False: the limits hold, but nothing tells of them. `retry_after` is off because Auth0 documents
    that header for other endpoints only. `neighbour` is how many tokens a second other clients take of each tenant's
    first bucket, at random. `clock_skew` is how many seconds the sandbox's clock is ahead of its machine's (negative:
    behind), in all that it tells of time. `throttling`, `refusing` and `down` name the tenants in that plight.
    `faults_on` names the kinds of requests that meet faults (empty: all that can). Actions are texts, NAME or NAME=ID,
    and each tenant has them all; a tenant that has any refuses streams for actions that it lacks, unless `any_action`.
    A test event's delivery takes `delivery_time` seconds, and fails for streams whose name or endpoint matches one of
    the globs in `undeliverable`; where `vanishing_deliveries`, one that succeeded is seen no more.
    `seed` None: a seed of its own each time. `latency` is (least, most) in seconds, drawn uniformly. `late_by` is the
    delay of the fault `late`.
    """

    host: str = "127.0.0.1"
    port: int = 0
    seed: int | None = None
    rate: float | None = 20.0
    burst: int | None = None
    refill: Refill = "continuous"
    unseen_rate: float | None = None
    unseen_burst: int | None = None
    unseen_refill: Refill | None = None
    limit_headers: bool = True
    retry_after: bool = False
    clock_skew: float = 0.0
    neighbour: float = 0.0
    throttling: Collection[str] = ()
    refusing: Collection[str] = ()
    down: Collection[str] = ()
    quota: int | None = None
    unique_names: bool = True
    latency: tuple[float, float] = (0.0, 0.0)
    faults: Mapping[str, float] = field(default_factory=dict)
    faults_on: Collection[str] = ()
    late_by: float = 0.2
    actions: Sequence[str] = ()
    any_action: bool = False
    delivery_time: float = 0.1
    undeliverable: Collection[str] = ()
    vanishing_deliveries: bool = False
    disabled_test: DisabledTest = "hold"
    clients: Mapping[str, str] | None = field(default=None, repr=False)
    strict_tokens: bool = False
    token_lifetime_s: float = 86_400.0
    scopes: tuple[str, ...] = SCOPES
    plights: Mapping[str, Plight] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        named = {Plight.THROTTLING: self.throttling, Plight.REFUSING: self.refusing, Plight.DOWN: self.down}
        object.__setattr__(self, "plights", plights(named))
        _check_address(self.host, self.port)
        check_faults(self.faults)
        for kind in self.faults_on:
            fault_kind(kind)
        for text in self.actions:
            split_action(text)
        parse_disabled_test(self.disabled_test)
        _check_number("delivery_time", self.delivery_time, least=0)
        self._check_limits()
        _check_number("quota", self.quota or 0, least=0)
        _check_number("latency", self.latency[0], least=0)
        _check_number("latency", self.latency[1], least=self.latency[0])
        _check_number("late_by", self.late_by, least=0)
        _check_number("token_lifetime_s", self.token_lifetime_s, least=0)
        _check(
            abs(self.clock_skew) <= _MOST_SKEW_S,
            f"clock_skew is {self.clock_skew:g}",
            "It is in seconds, and a day (86400) at most, ahead or (negative) behind.",
        )

    def _check_limits(self) -> None:
        parse_refill(self.refill)
        _check_number("rate", self.rate or 0, least=0)
        _check_number("burst", 1 if self.burst is None else self.burst, least=1)
        parse_refill(self.unseen_refill or self.refill)
        _check_number("unseen_rate", self.unseen_rate or 0, least=0)
        _check_number("unseen_burst", 1 if self.unseen_burst is None else self.unseen_burst, least=1)
        if not self.unseen_rate:
            _check(self.unseen_burst is None, "unseen_burst stands alone", "Give the second bucket its --unseen-rate.")
            _check(
                self.unseen_refill is None, "unseen_refill stands alone", "Give the second bucket its --unseen-rate."
            )
        _check(
            bool(self.rate or not self.unseen_rate), "unseen_rate is set, but there is no first bucket to stand behind",
            "Set a --rate; --no-limit-headers hides the first bucket too.",
        )  # fmt: skip
        _check_number("neighbour", self.neighbour, least=0)
        _check(
            bool(self.rate or not self.neighbour), "a neighbour is set, but there is no bucket to take from",
            "Set a --rate, or leave the --neighbour out.",
        )  # fmt: skip

    @property
    def bucket_size(self) -> int:
        """Return the burst, or what a refill brings where none is set."""
        return self.burst if self.burst is not None else _worth(self.rate or 0, self.refill)

    @property
    def unseen_size(self) -> int:
        """Return the size of the unseen bucket, or what a refill brings where none is set."""
        refill = self.unseen_refill or self.refill
        return self.unseen_burst if self.unseen_burst is not None else _worth(self.unseen_rate or 0, refill)


def parse_refill(text: str) -> Refill:
    """Return the way of refilling that a text names."""
    for refill in WINDOWS:
        if text == refill:
            return refill
    raise UsageError(f"refill {text!r} is not a way of refilling", hint=f"It is one of: {', '.join(WINDOWS)}.")


def parse_disabled_test(text: str) -> DisabledTest:
    """Return what a text says that a test event for a disabled stream meets."""
    for what in _DISABLED_TESTS:
        if text == what:
            return what
    raise UsageError(f"disabled_test is {text!r}", hint=f"It is one of: {', '.join(_DISABLED_TESTS)}.")


def split_action(text: str) -> tuple[str, str | None]:
    """Return the name that `NAME` or `NAME=ID` gives an action, and its id where one is given."""
    name, equals, action_id = text.partition("=")
    _check(
        bool(name) and bool(action_id or not equals), f"{text!r} is no action",
        "Write NAME, which each tenant gives an id of its own, or NAME=ID: --action notify.",
    )  # fmt: skip
    return name, action_id or None


def scopes_without(left_out: Collection[str]) -> tuple[str, ...]:
    """Return all scopes but those named."""
    for scope in left_out:
        near = difflib.get_close_matches(scope, SCOPES, n=1)
        guess = f"Did you mean {near[0]}? " if near else ""
        _check(scope in SCOPES, f"there is no scope {scope!r}", f"{guess}The scopes are: {', '.join(SCOPES)}.")
    return tuple(scope for scope in SCOPES if scope not in left_out)


def _worth(rate: float, refill: Refill) -> int:
    return max(1, math.floor(rate * (WINDOWS[refill] or 1)))


def parse_latency(text: str) -> tuple[float, float]:
    """Return the latency that a text names: `0.03`, `0.03s`, `30ms`, or a range such as `20ms-80ms`."""
    least, dash, most = text.strip().partition("-")
    low = _seconds(least, text)
    high = _seconds(most, text) if dash else low
    if high < low:
        raise UsageError(f"latency {text!r}: the range runs backwards", hint=f"Write {most.strip()}-{least.strip()}.")
    return low, high


def _seconds(text: str, whole: str) -> float:
    text = text.strip().lower()
    scale = 1000.0 if text.endswith("ms") else 1.0
    try:
        value = float(text.removesuffix("ms").removesuffix("s")) / scale
    except ValueError:
        value = -1.0
    if not 0 <= value < math.inf:
        raise UsageError(
            f"latency {whole!r} is not a time", hint="Write seconds (0.03), milliseconds (30ms) or a range (20ms-80ms)."
        )
    return value


def _check(right: bool, what: str, hint: str) -> None:
    if not right:
        raise UsageError(f"sandbox: {what}", hint=hint)


def _check_number(name: str, value: float, *, least: float) -> None:
    _check(least <= value < math.inf, f"{name} is {value:g}", f"It must be at least {least:g}.")


def _check_address(host: str, port: int) -> None:
    _check(0 <= port <= 65_535, f"port is {port}", "It is from 1 to 65535, or 0 for any free one.")
    try:
        local = host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        local = False
    _check(local, f"host {host!r} is not this machine", "The sandbox serves a loopback address only, as 127.0.0.1.")
