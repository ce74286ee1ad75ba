"""What people are told of plans and verifications: calm where there is much, exact about the next step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from bulkstreams.cli.comparisons import (
    MOST_CONFLICTS,
    MOST_TENANTS,
    finding_lines,
    plan_lines,
    plan_steps,
    run_of,
    verify_lines,
    verify_steps,
)
from bulkstreams.commands.plan import COUNTED, PlanReport
from bulkstreams.commands.verify import Finding, Part, VerifyReport
from bulkstreams.core.foresight import Basis, Foresight
from bulkstreams.errors import ExitCode


def counts(**parts: int) -> dict[str, int]:
    """Return counts that add up."""
    return {"total": sum(parts.values()), **dict.fromkeys(COUNTED, 0), **parts}


def tenant(records: Mapping[str, int], extra: int = 0, **more: Any) -> dict[str, Any]:
    """Return what a plan says of a tenant."""
    names = [f"x{i}" for i in range(min(extra, 5))]
    return {"records": records, "extra": extra, "extra_names": names, "scopes_lacking": None, **more}


def report(
    tenants: Mapping[str, dict[str, Any]], foresights: Mapping[str, Foresight] | None = None, **more: Any
) -> PlanReport:
    """Return a plan."""
    total = {part: sum(one["records"][part] for one in tenants.values()) for part in ("total", *COUNTED)}
    figures = {
        "ledger": "in.ledger.db", "records": total, "tenants": tenants, "conflicts": [], "more_conflicts": 0,
        "would_send": total["create"], "estimated_s": 90.0, **more,
    }  # fmt: skip
    reasons = more.pop("stopped", {})
    return PlanReport(
        figures=figures, exit_code=ExitCode.OK, foresights=foresights or {}, failures=(), reasons=reasons,
        hints=("Check the network.",) if reasons else (),
    )  # fmt: skip


def test_one_tenant_is_told_by_its_totals() -> None:
    """A plan for one tenant is one line, unless the tenant has more than the input names."""
    acme = tenant(counts(create=3, exists=1))
    sight = {"acme": Foresight(960.0, 10.0, Basis.OBSERVED)}
    assert plan_lines(report({"acme": acme}, sight)) == [
        "Plan: 4 records: 3 to create, 1 already there; about 16 min 0 s at 10/s"
    ]
    assert plan_lines(report({"acme": tenant(counts(exists=1), extra=1)})) == [
        "acme: 1 stream is there that the input does not name: x0",
        "Plan: 1 record: 0 to create, 1 already there",
    ]


def test_of_several_tenants_the_slowest_tells_the_time() -> None:
    """Each has a line, and they go side by side."""
    tenants = {name: tenant(counts(create=5), extra=7) for name in ("acme", "beta")}
    sight = {"acme": Foresight(30.0, 1.0, Basis.OBSERVED), "beta": Foresight(90.0, 1.0, Basis.OBSERVED)}
    lines = plan_lines(report(tenants, sight))
    assert lines[0] == (
        "acme: 5 records: 5 to create; 7 streams are there that the input does not name: x0, x1, x2, x3, x4 and 2 more"
    )
    assert lines[-1] == "Plan: 10 records: 10 to create; about 1 min 30 s, as long as beta takes"
    unsure = report(tenants, {**sight, "beta": Foresight(None, None, Basis.UNKNOWN)}, estimated_s=None)
    assert plan_lines(unsure)[-1].endswith("; nobody can tell yet how long")


def test_thousands_are_counted() -> None:
    """Of many tenants, conflicts and tokens that lack a scope, the first are told and the others counted."""
    tenants = {f"t{i}": tenant(counts(conflict=1), scopes_lacking=["create:event_streams"]) for i in range(1000)}
    conflict = {
        "tenant": "t", "name": "a", "key": "a", "file": "in.jsonl", "line": 1, "remote_id": "est_1",
        "first": None, "is_there": True, "differences": [{"path": "status", "wanted": "enabled", "found": "disabled"}],
    }  # fmt: skip
    lines = plan_lines(report(tenants, conflicts=[conflict] * 100, more_conflicts=900))
    assert len(lines) == 2 * (MOST_TENANTS + 1) + 2 * MOST_CONFLICTS + 2
    assert f"… and {1000 - MOST_TENANTS} more tenants (--json has them all)" in lines
    assert f"  … and {1000 - MOST_CONFLICTS} more in conflict" in lines
    assert f"… and {1000 - MOST_TENANTS} more tenants whose tokens lack scopes" in lines


def test_a_limit_is_told() -> None:
    """Who asked for a few is told that it is a few."""
    lines = plan_lines(report({"acme": tenant(counts(create=5))}, would_send=2))
    assert lines == ["Plan: 5 records: 5 to create; this run would take 2 of them (--limit)"]


@pytest.mark.parametrize(
    ("records", "steps"),
    [
        (counts(exists=1), ["Nothing is to be created."]),
        (counts(create=1), ["To create it: RUN"]),
        (counts(create=2, invalid=1), ["Mend the invalid lines; a run leaves them out.", "To create them: RUN"]),
        (
            counts(conflict=1),
            [
                "A run leaves conflicts as they are: change the line, or the stream at the tenant.",
                "Nothing is to be created.",
            ],
        ),
        (
            counts(refused=1),
            [
                "See why some were refused: bulkstreams status in.ledger.db; --retry-failed takes them again.",
                "Nothing is to be created.",
            ],
        ),
    ],
)
def test_the_next_step_follows_from_what_was_found(records: dict[str, int], steps: list[str]) -> None:
    """What is in the way comes first, the command last."""
    assert plan_steps(report({"acme": tenant(records)}), "AGAIN", "RUN") == steps


def test_after_a_stop_the_plan_is_made_again() -> None:
    """Nobody is told to run what could not be planned."""
    stopped = report({"acme": tenant(counts(unknown=1))}, stopped={"acme": "gone"})
    assert plan_steps(stopped, "AGAIN", "RUN") == ["Check the network.", "To plan again: AGAIN"]


def finding(part: Part, **more: Any) -> Finding:
    """Return a finding about a record."""
    about = {"tenant": "acme", "name": "a", "key": "k", "file": "in.jsonl", "line": 4, "remote_id": "est_1", **more}
    return Finding(part=part, **about)


@pytest.mark.parametrize(
    ("one", "line"),
    [
        (finding(Part.EQUAL), "= acme/a"),
        (finding(Part.DIFFERENT), "* acme/a"),
        (finding(Part.MISSING, remote_id=None), "+ acme/a (in.jsonl:4)"),
        (finding(Part.MISSING, name=None, remote_id=None), "+ acme/k (in.jsonl:4)"),
        (finding(Part.EXTRA, file=None, line=None, key=None), "- acme/a (est_1)"),
        (finding(Part.EXTRA, file=None, line=None, key=None, name=None), "- acme/est_1"),
        (finding(Part.DUPLICATE, note="too many"), "! acme/a: too many"),
        (finding(Part.IN_DOUBT, note="in doubt"), "! acme/a (in.jsonl:4): in doubt"),
        (
            finding(Part.INVALID, tenant=None, name=None, key=None, remote_id=None, note="is no JSON"),
            "! (in.jsonl:4): is no JSON",
        ),
        (finding(Part.EQUAL, name="a\x1b[2J"), "= acme/a\\u001b[2J"),
    ],
)
def test_a_finding_is_a_sign_and_where_to_look(one: Finding, line: str) -> None:
    """Signs as `rclone check` has them; nothing in a name steers the terminal."""
    assert finding_lines(one) == [line]


def test_what_is_unknown_has_no_line() -> None:
    """A tenant that could not be read is told once, not once for each of its records."""
    assert finding_lines(finding(Part.UNKNOWN)) == []


def verified(**parts: int) -> VerifyReport:
    """Return a verification with these counts."""
    records = {"total": 9, **dict.fromkeys(Part, 0), **parts}
    return VerifyReport(figures={"records": records}, exit_code=ExitCode.OK, reasons={}, hints=())


def test_a_verification_says_that_secrets_were_not_compared() -> None:
    """Also where all is equal: who relies on it must know."""
    summary, secrets = verify_lines(verified(equal=9, extra=2))
    assert summary == "verified 9 records: 9 equal; 2 extra at the tenants"
    assert secrets.startswith("Secrets cannot be compared")
    assert verify_steps(verified(equal=9, extra=2), "AGAIN", "RUN") == []


def test_a_verification_tells_what_a_run_would_mend() -> None:
    """What is missing is created by a run; what differs is for a person to decide."""
    steps = verify_steps(verified(missing=1, different=1), "AGAIN", "RUN")
    assert [step.partition(":")[0] for step in steps] == [
        "What differs, or stands there twice, a run leaves as it is",
        "To create what is missing, and to clear what is in doubt",
    ]
    assert verify_steps(verified(unknown=1), "AGAIN", "RUN") == ["To verify again: AGAIN"]


@pytest.mark.parametrize(
    ("arguments", "command", "run"),
    [
        (["plan", "in.jsonl", "--json"], "plan", ["run", "in.jsonl"]),
        (["run", "--dry-run", "in.jsonl", "--limit", "3"], "run", ["run", "in.jsonl", "--limit", "3"]),
        (["verify", "verify", "--ledger", "x"], "verify", ["run", "verify", "--ledger", "x"]),
    ],
)
def test_the_run_has_the_same_flags(arguments: list[str], command: str, run: list[str]) -> None:
    """What was planned is what is run: the command alone is another, and without what made it a preview."""
    assert run_of(arguments, command) == run
