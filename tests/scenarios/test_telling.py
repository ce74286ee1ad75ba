"""What a run tells of itself while it goes on: to its terminal, and to another process that asks its ledger."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.scenarios.rig import INT, Desk, Server, configuration, for_each, once_each, until, webhooks


def asked(desk: Desk) -> dict[str, Any] | None:
    """Return what `status` tells of the run that goes on, from a process of its own; None where it tells nothing."""
    ended = desk.run("status", "in.ledger.db", "--json")
    assert ended.code == 0, ended
    found: dict[str, Any] | None = ended.json["progress"]
    return found


def noted(desk: Desk, word: str) -> bool:
    """Return whether the run has noted something with a word in it."""
    return any(word in text for (text,) in desk.ask("SELECT value FROM meta WHERE name = 'progress'"))


def waits(desk: Desk, kind: str) -> Callable[[], dict[str, Any] | None]:
    """Return a question: the first wait of a kind, as `status` tells it."""

    def ask() -> dict[str, Any] | None:
        told = asked(desk) if noted(desk, f'"kind":"{kind}"') else None
        return None if told is None else next((one for one in told["waits"] if one["kind"] == kind), None)

    return ask


def test_a_run_that_is_paused_by_429s_says_so_to_whoever_asks(desk: Desk, serve: Callable[..., Server]) -> None:
    """Until when, and why: from outside while it goes on, in its own plain lines, and no more once it has ended."""
    server = serve(faults={"throttle": 1.0})
    running = desk.start(
        "run", desk.write("in.jsonl", webhooks(10)), "--base-url", server.url, "--progress", "plain", "--no-preflight"
    )
    wait = until(waits(desk, "throttled"))
    assert wait["reason"].startswith("429")
    assert wait["left_s"] > 0
    assert wait["until"] > 1_700_000_000
    text = until(lambda: (ended := desk.run("status", "in.ledger.db")) and "paused for" in ended.out and ended.out)
    assert "running (process" in text
    assert "more (429" in text
    running.says("more (429")
    running.signal(INT)
    assert running.wait().code == 130
    assert asked(desk) is None
    assert "paused for" not in desk.run("status", "in.ledger.db").out


def test_the_time_left_knows_the_budget(desk: Desk, server: Server) -> None:
    """At five a second the records that are left take a fifth of their number in seconds, whatever else goes on."""
    running = desk.start_provision(server, desk.write("in.jsonl", webhooks(300)), "--rate", "5", "--deadline", "50")
    wait = until(waits(desk, "paced"))
    assert wait["reason"] == "paced at 5/s by its own ceiling"
    ended = desk.run("status", "in.ledger.db", "--json").json
    left = sum(ended["records"].get(state, 0) for state in ("pending", "in_flight"))
    told = ended["progress"]
    assert told["allowed_per_s"] == 5.0
    assert told["lanes"] == 1
    assert not told["at_least"]
    assert left > 100
    assert 0.7 * left / 5 < told["left_s"] < 1.3 * left / 5
    text = desk.run("status", "in.ledger.db").out
    assert " left, the deadline comes in " in text
    assert "paced at 5/s by its own ceiling" in text
    running.signal(INT)
    assert running.wait().code == 130


def test_a_run_that_died_is_not_told_as_if_it_went_on(desk: Desk, server: Server) -> None:
    """Its last note stays behind, and nobody is told of it; the next run ends as ever, and leaves none."""
    rows = webhooks(60)
    running = desk.start_provision(server, desk.write("in.jsonl", rows), "--rate", "5")
    until(lambda: noted(desk, "paced"))
    running.kill()
    assert noted(desk, "paced")
    assert asked(desk) is None
    ended = desk.run("status", "in.ledger.db")
    assert "died or was cut off" in ended.out
    assert " left\n" not in ended.out
    again = desk.provision(server, "in.jsonl")
    assert again.records == {"total": 60, "created": 60}, again
    assert server.accepted() == once_each(rows)
    assert not noted(desk, "")


def test_one_tenant_that_is_throttled_is_told_beside_one_that_is_paced(
    desk: Desk, serve: Callable[..., Server]
) -> None:
    """Each lane waits for its own thing; the one that is refused is told first, and no secret of either is told."""
    tenants = {"calm": serve(), "sore": serve(faults={"throttle": 1.0})}
    desk.write("bulkstreams.toml", configuration(tenants))
    running = desk.start(
        "run", desk.write("in.jsonl", for_each(tenants, webhooks(200))), "--rate", "5", "--progress", "plain", "--json"
    )

    def both() -> list[tuple[str, str]] | None:
        told = asked(desk) if noted(desk, "throttled") else None
        found = [(one["tenant"], one["kind"]) for one in told["waits"]] if told else []
        return found if len(found) == 2 else None

    assert until(both) == [("sore", "throttled"), ("calm", "paced")]
    told = asked(desk)
    assert told is not None
    assert told["lanes"] == 2
    running.says("calm: paced at 5/s by its own ceiling")
    running.signal(INT)
    assert running.wait().code == 130


def test_the_time_left_learns_a_budget_that_nobody_gave(desk: Desk, serve: Callable[..., Server]) -> None:
    """Where only the server knows its rate, what was achieved tells; a burst at the start is soon seen through."""
    server = serve(rate=10.0, burst=10)
    running = desk.start_provision(server, desk.write("in.jsonl", webhooks(600)))

    def right() -> bool:
        found = desk.run("status", "in.ledger.db", "--json").json
        left = sum(found["records"].get(state, 0) for state in ("pending", "in_flight"))
        told = found["progress"]
        assert left > 100, "it never came right"
        return told is not None and told["left_s"] is not None and 0.6 < told["left_s"] / (left / 10) < 1.6

    until(lambda: noted(desk, "ends_at"))
    assert until(right)
    running.signal(INT)
    assert running.wait().code == 130
