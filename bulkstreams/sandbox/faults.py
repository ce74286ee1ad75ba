"""The ways in which the sandbox can misbehave, and the dice that decide when.

One draw per request from a seeded generator, so the same requests in the same order meet the same faults.
This module must never do the misbehaving: it only says which fault, if any, a request meets.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Collection, Iterable, Mapping
from enum import StrEnum
from random import Random
from typing import Final

from bulkstreams.errors import UsageError
from bulkstreams.sandbox.routes import Kind


class Fault(StrEnum):
    """What can go wrong with one request."""

    ERROR_BEFORE = "error-before"
    """A 5xx; the request had no effect."""
    ERROR_AFTER = "error-after"
    """A 5xx in place of the answer; the request took effect."""
    RESET_BEFORE = "reset-before"
    """The connection is reset; the request had no effect."""
    RESET_AFTER = "reset-after"
    """The connection is reset in place of the answer; the request took effect."""
    HANG_AFTER = "hang-after"
    """No answer comes until the client gives up; the request took effect."""
    TRUNCATE = "truncate"
    """The answer's body breaks off in the middle; the request took effect."""
    HTML_502 = "html-502"
    """A proxy's HTML page; the request had no effect."""
    THROTTLE = "throttle"
    """A 429 although there was budget; the request had no effect."""
    LATE = "late"
    """The connection is reset, and the request takes effect some time afterwards."""


FAULTS: Final = tuple(Fault)
"""Every fault, by name."""

BEFORE: Final = frozenset({Fault.ERROR_BEFORE, Fault.RESET_BEFORE, Fault.HTML_502, Fault.THROTTLE})
"""Faults that leave nothing behind; look-ups meet only these."""

APPLIES: Final[Mapping[Kind, frozenset[Fault]]] = {
    Kind.CREATE: frozenset(Fault),
    Kind.LIST: BEFORE,
    Kind.READ: BEFORE,
    Kind.UPDATE: frozenset(Fault),
    Kind.DELETE: frozenset(Fault),
    Kind.TEST: frozenset(Fault),
    Kind.DELIVERIES: BEFORE,
    Kind.DELIVERY: BEFORE,
    Kind.ACTIONS: BEFORE,
}
"""Which requests can meet which faults; a kind that is not here meets none."""

FAULT_KINDS: Final = tuple(APPLIES)
"""Every kind of request that meets faults, by name."""

_CREATING: Final = frozenset({Kind.CREATE, Kind.LIST, Kind.READ})
"""What a run asks for. These draw apart from the others, so that what is done to streams afterwards, or in between,
does not move the faults that a seed brings to creates."""

BROKEN_STATUSES: Final = (500, 502, 503, 504, 524)


class Dice:
    """Decides by seeded chance which fault a request meets; `kinds` (empty: all) are those that meet any."""

    def __init__(
        self, faults: Mapping[Fault, float], chance: Callable[[str], Random], kinds: Collection[Kind] = ()
    ) -> None:
        creating, others = chance("faults"), chance("faults of what follows")
        self._chances = {kind: creating if kind in _CREATING else others for kind in APPLIES}
        self._odds = {
            kind: tuple((fault, p) for fault, p in faults.items() if fault in faults_of_kind and p > 0)
            for kind, faults_of_kind in APPLIES.items()
            if not kinds or kind in kinds
        }

    def draw(self, kind: Kind) -> Fault | None:
        """Return the fault that a request of this kind meets, or None."""
        odds = self._odds.get(kind)
        if not odds:
            return None
        drawn = self._chances[kind].random()
        for fault, probability in odds:
            drawn -= probability
            if drawn < 0:
                return fault
        return None

    def broken_status(self, kind: Kind) -> int:
        """Return one of the statuses of a failing server or gateway, each equally likely."""
        return self._chances[kind].choice(BROKEN_STATUSES)


def fault_kind(name: str) -> Kind:
    """Return the kind of request of that name, or raise a UsageError where no such request meets faults."""
    for kind in APPLIES:
        if kind == name:
            return kind
    near = difflib.get_close_matches(name, list(APPLIES), n=1)
    guess = f"Did you mean {near[0]}? " if near else ""
    raise UsageError(
        f"there is no kind of request called {name!r} that meets faults", hint=f"{guess}They are: {', '.join(APPLIES)}."
    )


def parse_fault(text: str) -> tuple[Fault, float]:
    """Return the fault and its probability that `NAME=P` names; P is `0.05` or `5%`."""
    name, equals, odds = text.partition("=")
    fault = fault_named(name.strip())
    if not equals:
        raise UsageError(
            f"fault {fault}: its probability is missing", hint=f"Write --fault {fault}=0.05 or --fault {fault}=5%."
        )
    return fault, _probability(fault, odds.strip())


def parse_faults(texts: Iterable[str]) -> dict[Fault, float]:
    """Return the probabilities that several `NAME=P` give; the last one wins where a name comes twice."""
    return check_faults(dict(map(parse_fault, texts)))


def fault_named(name: str) -> Fault:
    """Return the fault of that name, or raise a UsageError that suggests the nearest one."""
    try:
        return Fault(name)
    except ValueError:
        near = difflib.get_close_matches(name, list(Fault), n=1)
        guess = f"Did you mean {near[0]}? " if near else ""
        raise UsageError(
            f"there is no fault called {name!r}", hint=f"{guess}The faults are: {', '.join(Fault)}."
        ) from None


def check_faults(faults: Mapping[str, float]) -> dict[Fault, float]:
    """Return the faults by their proper names, or raise a UsageError where names or probabilities are wrong."""
    checked = {fault_named(name): _within(name, p) for name, p in faults.items()}
    if (total := sum(checked.values())) > 1 + 1e-9:
        raise UsageError(
            f"the probabilities of all faults add up to {total:g}, which is more than 1",
            hint="A request meets one fault at most: lower some of them.",
        )
    return checked


def _probability(name: str, text: str) -> float:
    percent = text.endswith("%")
    try:
        value = float(text.removesuffix("%"))
    except ValueError:
        raise UsageError(
            f"fault {name}: {text!r} is not a probability", hint=f"Write --fault {name}=0.05 or --fault {name}=5%."
        ) from None
    return _within(name, value / 100 if percent else value)


def _within(name: str, value: float) -> float:
    if not 0 <= value <= 1:
        raise UsageError(
            f"fault {name}: {value:g} is not a probability", hint="A probability is from 0 to 1, or from 0% to 100%."
        )
    return float(value)
