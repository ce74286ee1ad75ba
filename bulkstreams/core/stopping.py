"""When enough has gone wrong, or enough time has passed, for a run or for one tenant of it to stop.

Counted is what this run settles, each record once: neither a retry nor what an earlier run found failed can trip a
rule. This module must never read a clock or know what a record is; it says when, why and what to do, and stops nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from bulkstreams.model import TenantName

RATE_SAMPLE: Final = 20
"""The least number of settled records from which a failure rate is worth acting on."""

_EXACT: Final = 1e-6
"""A share of so many records is rarely exact in binary: 29 of 100 are no more than 29%."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StopRules:
    """When to stop before all is done; None: no such rule. `max_failure_rate` is a share within [0, 1)."""

    deadline_s: float | None = None
    max_failures: int | None = None
    max_failure_rate: float | None = None

    @property
    def counts(self) -> bool:
        """Return whether there is anything to count for."""
        return self.max_failures is not None or self.max_failure_rate is not None


@dataclass(frozen=True, slots=True)
class Stop:
    """Why to stop, and what to do about it."""

    reason: str
    hint: str


@dataclass(slots=True)
class Count:
    """The records that were settled, for the rules of a run (`tenant` None) or of one tenant.

    `more` is how many failed after a rule had tripped: what was under way then still ends.
    """

    rules: StopRules
    tenant: TenantName | None = None
    settled: int = 0
    failed: int = 0
    more: int = 0
    stop: Stop | None = None

    def settle(self, *, failed: bool) -> Stop | None:
        """Count one more record; return why to stop where this is the one that trips a rule."""
        if self.stop is not None:
            self.more += failed
            return None
        self.settled += 1
        self.failed += failed
        self.stop = self._tripped()
        return self.stop

    def _tripped(self) -> Stop | None:
        rules = self.rules
        if rules.max_failures is not None and self.failed >= rules.max_failures:
            return self._stop("max_failures", str(rules.max_failures))
        rate = rules.max_failure_rate
        if rate is not None and self.settled >= RATE_SAMPLE and self.failed > rate * self.settled + _EXACT:
            return self._stop("max_failure_rate", f"{rate * 100:g}%")
        return None

    def _stop(self, rule: str, value: str) -> Stop:
        whose = "" if self.tenant is None else f" of {self.tenant}"
        name = _named(rule, self.tenant)
        return Stop(
            f"{self.failed:,} of {self.settled:,} records{whose} that this run settled have failed ({name}: {value})",
            "The same command sends what is pending; with --retry-failed it tries what was refused or conflicts again, "
            f"too. Mend the cause first (`bulkstreams status` names it), or raise or drop {name}.",
        )

    def story(self) -> str:
        """Return what is to be added to the reason at the end: how many more failed since."""
        return f"; {self.more:,} more failed among what was under way then" if self.more else ""


def deadline_passed(rules: StopRules, tenant: TenantName | None) -> Stop:
    """Return why to stop when the time of a run, or of one tenant in it, is over."""
    if tenant is None:
        return Stop(f"the deadline of {rules.deadline_s:g} s has passed", "")
    name = _named("deadline", tenant)
    return Stop(
        f"the deadline of {rules.deadline_s:g} s for {tenant} has passed ({name})",
        f"Run the same command again: it resumes. To give it longer, raise or drop {name}.",
    )


def _named(rule: str, tenant: TenantName | None) -> str:
    return f"--{rule.replace('_', '-')}" if tenant is None else f"{rule} of [tenants.{tenant}]"
