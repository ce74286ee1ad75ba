"""Runs that are killed, interrupted or terminated, and the reruns that complete them: each stream created once."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.scenarios.rig import INT, TERM, Desk, Running, Server, once_each, until, webhooks

ROWS = webhooks(60)


def test_killed_at_any_instant_a_rerun_creates_each_once(
    desks: Callable[[str], Desk], serve: Callable[..., Server]
) -> None:
    """SIGKILL while reading, at the first intent, at the first create, in the middle and near the end loses nothing."""
    instants: dict[str, Callable[[Desk, Server], object]] = {
        "reading": lambda desk, _: (desk.folder / "in.ledger.db").exists(),
        "intent": lambda desk, _: "in_flight" in desk.states(),
        "first": lambda _, server: server.requests() >= 1,
        "middle": lambda _, server: len(server.accepted()) >= 25,
        "end": lambda _, server: len(server.accepted()) >= 55,
    }
    cases = []
    for name, came in instants.items():
        desk, server = desks(name), serve(latency=(0.005, 0.03))
        running = desk.start_provision(server, desk.write("in.jsonl", ROWS), "--concurrency", "4")
        until(lambda came=came, desk=desk, server=server: came(desk, server))
        running.kill()
        cases.append((name, desk, server))
    reruns = [desk.start_provision(server, "in.jsonl") for _, desk, server in cases]
    for (name, desk, server), rerun in zip(cases, reruns, strict=True):
        ended = rerun.wait()
        assert (ended.code, ended.records) == (0, {"total": 60, "created": 60}), (name, ended)
        assert server.accepted() == once_each(ROWS), name
        assert all(row["remote_id"] for row in desk.settled()), name


def started_in_the_middle(desk: Desk, server: Server, *flags: str) -> Running:
    """Start a run and wait until some of its creates took effect."""
    running = desk.start("run", desk.write("in.jsonl", ROWS), "--base-url", server.url, "--concurrency", "4", *flags)
    until(lambda: len(server.accepted()) >= 8)
    return running


@pytest.mark.parametrize(("number", "code"), [(INT, 130), (TERM, 143)])
def test_a_signal_drains_and_says_how_to_resume(
    desk: Desk, serve: Callable[..., Server], number: int, code: int
) -> None:
    """One SIGINT or SIGTERM: attempts under way are settled, the rest is pending again, the hint resumes it."""
    server = serve(latency=(0.02, 0.03))
    running = started_in_the_middle(desk, server)
    running.signal(number)
    ended = running.wait()
    assert ended.code == code, ended
    assert set(desk.states()) == {"created", "pending"}
    assert "draining" in ended.err
    assert f"bulkstreams run in.jsonl --base-url {server.url}" in ended.err.splitlines()[-1]
    assert desk.states()["created"] == len(server.accepted())
    again = desk.provision(server, "in.jsonl")
    assert (again.code, again.records) == (0, {"total": 60, "created": 60}), again
    assert server.accepted() == once_each(ROWS)
    assert again.json["this_run"]["lookups"] == 0


def test_a_signal_while_the_input_is_read_never_passes_for_success(desk: Desk, server: Server) -> None:
    """However few lines the ledger knows by then, the exit code tells that the run did not end: 130, nothing sent."""
    assert desk.provision(server, desk.write("in.jsonl", webhooks(2))).code == 0
    desk.write("in.jsonl", webhooks(60_000))
    running = desk.start_provision(server, "in.jsonl", "--concurrency", "1")
    until(lambda: desk.ask("SELECT 1 FROM reading WHERE id = 2"))
    running.signal(INT)
    ended = running.wait()
    assert ended.code == ended.json["exit_code"] == 130, ended
    assert set(server.accepted().values()) == {1}


def test_a_second_signal_leaves_at_once_and_a_rerun_completes(desk: Desk, serve: Callable[..., Server]) -> None:
    """A second SIGINT cuts hung attempts off; what they did is found out by the rerun."""
    server = serve(faults={"hang-after": 0.2})
    running = desk.start("run", desk.write("in.jsonl", ROWS), "--base-url", server.url, "--concurrency", "4")
    until(lambda: server.faults() >= 4)
    running.signal(INT)
    running.says("draining")
    running.signal(INT)
    ended = running.wait()
    assert ended.code == 130, ended
    unsettled = desk.states()
    assert unsettled.get("in_flight", 0) + unsettled.get("in_doubt", 0) >= 4
    again = desk.provision(server, "in.jsonl", "--timeout", "1")
    assert (again.code, again.records) == (0, {"total": 60, "created": 60}), again
    assert server.accepted() == once_each(ROWS)
    assert again.json["this_run"]["recovered"] >= 4
