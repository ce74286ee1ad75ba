"""`verify`: input × ledger × live tenant, a finding for each record and for each stream that nobody asked for.

It sends nothing but requests that read, and writes nothing but what is gone at its end. Secrets are no part of it: the
API never shows them, so they need not even be there.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Final

from bulkstreams.commands.comparing import Comparison, Grounds, told
from bulkstreams.commands.live import Live
from bulkstreams.core.difference import Difference
from bulkstreams.engine import Job, Onlooker
from bulkstreams.errors import ExitCode
from bulkstreams.ledger import Ledger, Pair, Surplus
from bulkstreams.model import Problem, State

MOST_FINDINGS: Final = 100
"""Findings that `--json` has one by one, those that are equal left out; the rest is counted."""


class Part(StrEnum):
    """What a finding counts as."""

    EQUAL = "equal"
    DIFFERENT = "different"
    MISSING = "missing"
    EXTRA = "extra"
    DUPLICATE = "duplicate"
    IN_DOUBT = "in_doubt"
    INVALID = "invalid"
    UNKNOWN = "unknown"


_BESIDE: Final = frozenset({Part.EXTRA, Part.DUPLICATE})
"""What is found at the tenants alone, and is no part of the input's records."""

_IN_DOUBT: Final = "in doubt: nobody knows yet whether it was created"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What became of one record or one stream; `file` and `line` are None where no line names it."""

    part: Part
    tenant: str | None
    name: str | None
    key: str | None = None
    file: str | None = None
    line: int | None = None
    remote_id: str | None = None
    note: str = ""
    differences: Sequence[Difference] = ()

    def as_json(self) -> dict[str, Any]:
        """Return it as `--json` has it."""
        return {
            "finding": self.part.value,
            "tenant": self.tenant,
            "name": self.name,
            "key": self.key,
            "file": self.file,
            "line": self.line,
            "remote_id": self.remote_id,
            "message": self.note or None,
            "differences": [told(one) for one in self.differences],
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifyReport:
    """How a verification came out. `refused`: missing records that a plain run would leave as they are."""

    figures: Mapping[str, Any]
    exit_code: ExitCode
    reasons: Mapping[str, str]
    hints: Sequence[str]
    refused: int = 0


class QuietLive(Live):
    """Watches a verification: lines that cannot be used are among its findings, so nobody else need tell them."""

    def invalid(self, file: str, line: int, problems: Sequence[Problem]) -> None:
        """Leave it to the findings."""


def onlooker(ledger: Ledger, job: Job) -> Onlooker:
    """Return who looks for a verification: it needs no secret, so a reference to one resolves, whatever it is."""
    return Onlooker(ledger, replace(job, unresolvable=lambda _: None))


class VerifySession(Comparison[VerifyReport]):
    """A verification; `tell` is told each finding, those of the input's lines first and in their order."""

    command = "verify"

    def __init__(self, grounds: Grounds, tell: Callable[[Finding], None]) -> None:
        super().__init__(grounds)
        self._tell = tell
        self._refused = 0

    async def execute(self) -> VerifyReport:
        """Look at the tenants, and hold the lines against what is there."""
        await self.look()
        counts: Counter[str] = Counter()
        tenants: dict[str, Counter[str]] = {}
        first: list[dict[str, Any]] = []
        for finding in self._findings():
            counts[finding.part] += 1
            tenants.setdefault(finding.tenant or "", Counter())[finding.part] += 1
            if finding.part is not Part.EQUAL and len(first) < MOST_FINDINGS:
                first.append(finding.as_json())
            self._tell(finding)
        code = self._code(counts)
        reasons = dict(self.engine.reasons)
        return VerifyReport(
            figures={
                "ledger": str(self.grounds.path) if self.grounds.path.exists() else None,
                "exit_code": int(code),
                "elapsed_s": round(self.grounds.live.elapsed_s, 3),
                "records": _parts(counts),
                "tenants": {name: _parts(one) for name, one in tenants.items() if name},
                "findings": first,
                "more_findings": counts.total() - counts[Part.EQUAL] - len(first),
                "secrets_compared": False,
                "stopped": reasons,
            },
            exit_code=code,
            reasons=reasons,
            hints=tuple(self.engine.hints),
            refused=self._refused,
        )

    def _findings(self) -> Iterator[Finding]:
        for pair in self.inventory.pairs(self.engine.files):
            yield self._judge(pair)
        yield from map(_surplus, self.inventory.surplus())

    def _judge(self, pair: Pair) -> Finding:
        """Hold a record against its stream."""
        finding = Finding(
            part=Part.EQUAL, tenant=pair.tenant, name=pair.name, key=pair.key, file=self.file(pair), line=pair.line,
            remote_id=pair.live_id,
        )  # fmt: skip
        if pair.state is State.INVALID:
            return replace(finding, part=Part.INVALID, note=pair.message or "")
        if pair.state in {State.IN_DOUBT, State.IN_FLIGHT}:
            return replace(finding, part=Part.IN_DOUBT, note=_IN_DOUBT)
        if not pair.was_listed:
            return replace(finding, part=Part.UNKNOWN)
        if pair.live_id is None:
            self._refused += pair.state in {State.REFUSED, State.CONFLICT}
            return replace(finding, part=Part.MISSING)
        if pair.same and pair.status is None:
            return finding
        found = self.differences(pair)
        return replace(finding, part=Part.DIFFERENT, differences=found) if found else finding

    def _code(self, counts: Counter[str]) -> ExitCode:
        if self.interrupted is not None:
            return self.interrupted
        if self.engine.reasons or counts[Part.UNKNOWN] or not self.engine.has_read:
            return ExitCode.STOPPED
        fine = counts[Part.EQUAL] + counts[Part.EXTRA]
        return ExitCode.OK if fine == counts.total() else ExitCode.FAILURES


def _surplus(one: Surplus) -> Finding:
    if not one.is_named:
        return Finding(part=Part.EXTRA, tenant=one.tenant, name=one.name, remote_id=one.id)
    what = "that looks like a line of the input" if one.name is None else "of this name"
    note = f"one stream too many {what}: {one.id}"
    return Finding(part=Part.DUPLICATE, tenant=one.tenant, name=one.name, remote_id=one.id, note=note)


def _parts(counts: Counter[str]) -> dict[str, int]:
    """Return counts in the contract's order; `total` counts the input's records alone."""
    total = sum(count for part, count in counts.items() if part not in _BESIDE)
    return {"total": total, **{part.value: counts[part] for part in Part}}
