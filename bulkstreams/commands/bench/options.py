"""What is asked of a bench, and what is to be said of how it ended. Values only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from bulkstreams.core.schedule import Schedule
from bulkstreams.core.searching import Goal
from bulkstreams.errors import ExitCode

RATE: Final = "50/s"
DURATION: Final = "30s"
PROBE: Final = "10s"
FIRST_PROBE: Final = "10/s"
CLIENTS: Final = 32
CEILING: Final = 1000
"""What is meant where nothing is said: of a schedule, of a search's probes, of a closed loop, of requests at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClosedLoop:
    """So many clients, each of which sends again once it has its answer, for `seconds`."""

    clients: int
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Searching:
    """Rates from `first` on, each for `seconds` at least, until the highest is found that keeps `goal`."""

    goal: Goal
    first: float
    seconds: float


Plan = Schedule | ClosedLoop | Searching


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchOptions:
    """What is asked of one bench, beside the settings."""

    plan: Plan
    ledger: Path
    inputs: Sequence[str] = ()
    template: Path | None = None
    warmup_s: float = 0.0
    ceiling: int = 1000
    keep: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchReport:
    """How a bench ended: the figures of the contract and beyond, all that can be drawn, and what to tell a person.

    `cut_off`: it was left at once, so that it is not known of all that was sent what became of it. `in_force` is what
    it was told, as its ledger has it, with its run's name and when that began.
    """

    figures: dict[str, Any]
    everything: dict[str, Any]
    exit_code: ExitCode
    stopped: str | None
    in_doubt: int
    created: int
    cut_off: bool = False
    examples: Mapping[str, str] = field(default_factory=dict)
    in_force: Mapping[str, Any] = field(default_factory=dict)
