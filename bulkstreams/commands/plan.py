"""`plan`, which is `run --dry-run`: what a run would do, from the tenants as they are, without doing any of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any, Final

from bulkstreams.commands.comparing import Comparison, told
from bulkstreams.core.foresight import Foresight, foresee, longest
from bulkstreams.core.scopes import lacking, needed
from bulkstreams.errors import ExitCode
from bulkstreams.ledger import Failure, LedgerReader, Pair
from bulkstreams.model import State, TenantName

MOST_CONFLICTS: Final = 100
"""Conflicts that are told with their differences; the rest is counted."""

NAMED: Final = 5
"""Streams of a tenant that the input does not name, and that are named all the same."""

MOST_CAUSES: Final = 5
"""Causes for which records are invalid or were refused that are told."""

COUNTED: Final = (
    "create", "exists", "conflict", "duplicate", "invalid", "refused", "in_doubt", "unknown",
)  # fmt: skip
"""What becomes of records, in the order in which it is told; the parts of the total."""

_BECOMES: Final = {
    State.PENDING: "create",
    State.EXHAUSTED: "create",
    State.UNDONE: "create",
    State.CREATED: "exists",
    State.EXISTS: "exists",
    State.CONFLICT: "conflict",
    State.DUPLICATE: "duplicate",
    State.INVALID: "invalid",
    State.REFUSED: "refused",
    State.IN_DOUBT: "in_doubt",
    State.IN_FLIGHT: "in_doubt",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanReport:
    """How a plan came out: the figures of the contract, what to tell a person, and the exit code."""

    figures: Mapping[str, Any]
    exit_code: ExitCode
    foresights: Mapping[str, Foresight]
    failures: Sequence[Failure]
    reasons: Mapping[str, str]
    hints: Sequence[str]


class PlanSession(Comparison[PlanReport]):
    """A plan in the making."""

    command = "plan"
    _in_vain = 0
    """Records that a run would send and find refused: they count for `--limit`, too."""

    async def execute(self) -> PlanReport:
        """Look at the tenants, and say what a run would do."""
        await self.look()
        counts = self._counts()
        total = sum(counts.values(), Counter[str]())
        foresights = {name: self._foresee(name, one["create"]) for name, one in counts.items() if name in self.listed}
        tenants = self._tenants(counts, foresights)
        code = self._code(total, any(one["scopes_lacking"] for one in tenants.values()))
        figures = {
            "dry_run": True,
            "ledger": str(self.grounds.path),
            "exit_code": int(code),
            "elapsed_s": round(self.grounds.live.elapsed_s, 3),
            "would_send": self._limited(total["create"]),
            "records": _parts(total),
            "extra": sum(one["extra"] for one in tenants.values()),
            "estimated_s": None if total["unknown"] else _rounded(longest(foresights)),
            "tenants": tenants,
            **self._conflicts(),
            "stopped": dict(self.engine.reasons),
        }
        return PlanReport(
            figures=figures,
            exit_code=code,
            foresights=foresights,
            failures=self._failures(),
            reasons=figures["stopped"],
            hints=tuple(self.engine.hints),
        )

    def _tenants(
        self, counts: Mapping[str, Counter[str]], foresights: Mapping[str, Foresight]
    ) -> dict[str, dict[str, Any]]:
        """Return what is to be told of each tenant."""
        extra, names = self._extra()
        return {
            name: {
                "records": _parts(one),
                "extra": extra[name],
                "extra_names": names.get(name, []),
                **self._prospects(name, one, foresights.get(name)),
            }
            for name, one in counts.items()
            if name
        }

    # -- records ------------------------------------------------------------------------------------------------------

    def _counts(self) -> dict[str, Counter[str]]:
        """Count by tenant what would become of the records; lines without a tenant stand under ''."""
        counts: dict[str, Counter[str]] = {}
        with LedgerReader(self.grounds.ledger.path) as reader:
            for tenant, states in reader.by_tenant().items():
                found = counts[tenant] = Counter()
                for state, count in states.items():
                    found[_BECOMES[state]] += count
                if tenant not in self.listed:
                    found["unknown"] = found.pop("create", 0)
        for pair, _, becomes in self._refused():
            self._in_vain += 1
            counts[pair.tenant or ""].update({"create": -1, becomes: 1})
        return counts

    def _failures(self) -> list[Failure]:
        """Return the causes for which records are invalid or were refused, the most frequent ones first."""
        with LedgerReader(self.grounds.ledger.path) as reader:
            return reader.failures(MOST_CAUSES, [State.INVALID, State.REFUSED])

    def _refused(self) -> Iterator[tuple[Pair, Pair | None, str]]:
        """Yield the records whose creates a run would find refused, since their names are taken, and what they become.

        By a stream that is there, where the run does not look first; or by the line of the same name that goes before.
        """
        if not self.engine.job.preflight:
            for pair in self.inventory.pairs(self.engine.files, [State.PENDING]):
                if pair.was_listed and pair.name is not None and pair.live_id is not None:
                    yield pair, None, "exists" if pair.same or not self.differences(pair) else "conflict"
        for pair, first in self.inventory.rivals():
            if pair.was_listed:
                same = pair.digest == first.digest or not self.differences(pair, first)
                yield pair, first, "exists" if same else "conflict"

    def _conflicts(self) -> dict[str, Any]:
        """Return the first conflicts with all that differs, and how many more there are."""
        found: Iterator[tuple[Pair, Pair | None]] = chain(
            ((pair, None) for pair in self.inventory.pairs(self.engine.files, [State.CONFLICT])),
            ((pair, first) for pair, first, becomes in self._refused() if becomes == "conflict"),
        )
        first_of_them = [self._conflict(pair, first) for pair, first in islice(found, MOST_CONFLICTS)]
        return {"conflicts": first_of_them, "more_conflicts": sum(1 for _ in found)}

    def _conflict(self, pair: Pair, first: Pair | None) -> dict[str, Any]:
        nothing = first is None and pair.live_id is None
        return {
            "tenant": pair.tenant,
            "key": pair.key,
            "name": pair.name,
            "file": self.file(pair),
            "line": pair.line,
            "remote_id": pair.live_id,
            "is_there": pair.live_id is not None if pair.was_listed else None,
            "message": pair.message,
            "first": None if first is None else {"file": self.file(first), "line": first.line},
            "differences": [] if nothing else [told(one) for one in self.differences(pair, first)],
        }

    def _extra(self) -> tuple[Counter[str], dict[str, list[str]]]:
        """Count by tenant the streams that the input does not name, and name the first of them."""
        counts: Counter[str] = Counter()
        names: dict[str, list[str]] = {}
        for one in self.inventory.surplus():
            if not one.is_named:
                counts[one.tenant] += 1
                if counts[one.tenant] <= NAMED:
                    names.setdefault(one.tenant, []).append(one.name or one.id)
        return counts, names

    # -- what it will take ---------------------------------------------------------------------------------------------

    def _foresee(self, tenant: str, creates: int) -> Foresight:
        return foresee(self._limited(creates), self.engine.looks[TenantName(tenant)].seen)

    def _limited(self, creates: int) -> int:
        """Return how many creates one run would take on."""
        limit = self.grounds.options.limit
        return creates if limit is None else min(creates, limit)

    def _prospects(self, tenant: str, counts: Counter[str], foresight: Foresight | None) -> dict[str, Any]:
        """Say how long a tenant's creates may take, and what our token lacks for them."""
        look = self.engine.looks.get(TenantName(tenant))
        refers = TenantName(tenant) in self.engine.actions
        wanted = needed(creates=counts["create"] > 0, refers=refers, smokes=self.grounds.options.smoke is not None)
        held = None if look is None else look.scopes
        return {
            "estimated_s": None if foresight is None else _rounded(foresight.seconds),
            "rate": None if foresight is None else foresight.rate,
            "rate_basis": None if foresight is None or foresight.rate is None else foresight.basis.value,
            "scopes_needed": list(wanted),
            "scopes_lacking": None if held is None else list(lacking(wanted, held)),
        }

    def _code(self, total: Counter[str], lacks: bool) -> ExitCode:
        """Return 0 exactly where a run would end with that; else why not."""
        if self.interrupted is not None:
            return self.interrupted
        if self.engine.reasons or total["unknown"] or not self.engine.has_read:
            return ExitCode.STOPPED
        sent = total["create"] + self._in_vain
        short = self._limited(sent) < sent
        fails = any(total[part] for part in ("conflict", "invalid", "refused", "in_doubt"))
        return ExitCode.FAILURES if fails or short or lacks else ExitCode.OK


def _parts(counts: Counter[str]) -> dict[str, int]:
    return {"total": sum(counts.values()), **{part: counts[part] for part in COUNTED}}


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 1)
