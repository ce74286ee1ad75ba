"""What a ledger tells, after the end of a run, of how it went: requests over time, the budget, the pauses."""

from __future__ import annotations

from pathlib import Path

from bulkstreams.core.course import Asked, Paused
from bulkstreams.core.waiting import WaitKind
from bulkstreams.ledger import History
from tests.scenarios.rig import TERM, Desk, Server, configuration, for_each, until, webhooks

LEDGER = "in.ledger.db"


def course(desk: Desk, ledger: str = LEDGER) -> tuple[list[Asked], list[Paused]]:
    """Return what a ledger has of how its runs went."""
    with History(desk.folder / ledger) as history:
        return [one for _, one in history.asked()], [one for _, one in history.paused()]


def test_a_ledger_keeps_when_what_was_asked_and_refused(tmp_path: Path) -> None:
    """The stretches add up to what the run and the server counted; each tenant's 429s are its own pauses."""
    faults = {"throttle": 0.1}
    with Server(rate=15.0, burst=5, faults=faults) as server:
        desk = Desk(tmp_path)
        desk.write("in.jsonl", for_each(["calm", "acme"], webhooks(30)))
        desk.write("bulkstreams.toml", configuration({"calm": server, "acme": server}))
        ended = desk.run("run", "in.jsonl", "--json")
        requests, refused = server.requests(), server.faults()
    assert ended.code == 0, ended
    asked, paused = course(desk)
    this_run = ended.json["this_run"]
    assert sum(one.requests for one in asked) == this_run["requests"] == requests
    assert sum(one.throttled for one in asked) == this_run["throttled"] == refused > 0
    assert sum(one.retries for one in asked) == this_run["retries"]
    assert sum(one.lookups for one in asked) == this_run["lookups"]
    assert 1 <= sum(one.pauses for one in paused) <= refused
    assert {one.kind for one in paused} == {WaitKind.THROTTLED}
    assert all(0 < one.seconds <= one.ended_at - one.began_at + 1e-6 for one in paused)
    assert any(one.allowed is not None and one.allowed > 0 for one in asked)
    desk.close()


def test_a_run_that_is_ended_in_a_pause_paused_no_longer_than_it_ran(tmp_path: Path) -> None:
    """Its last second is there as well: what was asked before the signal is not lost."""
    with Server(throttling={"acme"}, retry_after=True) as server:
        desk = Desk(tmp_path)
        desk.write("in.jsonl", for_each(["acme"], webhooks(5)))
        desk.write("bulkstreams.toml", configuration({"acme": server}))
        running = desk.start("run", "in.jsonl", "--json", "--no-preflight")
        until(lambda: server.requests())
        until(lambda: any(row[0] for row in desk.ask("SELECT count(*) FROM pause")))
        running.signal(TERM)
        ended = running.wait()
        requests = server.requests()
    assert ended.code == 143, ended
    asked, paused = course(desk)
    assert sum(one.requests for one in asked) == ended.json["this_run"]["requests"] == requests
    ((ended_at,),) = desk.ask("SELECT ended_at FROM run")
    assert paused
    assert all(one.tenant == "acme" and one.ended_at <= ended_at + 0.001 for one in paused)
    desk.close()


def test_what_comes_after_a_run_has_its_course_too(tmp_path: Path) -> None:
    """An `undo` asks of the same tenants: its requests are kept as those of another run."""
    with Server() as server:
        desk = Desk(tmp_path)
        desk.write("in.jsonl", webhooks(10))
        created = desk.provision(server, "in.jsonl")
        undone = desk.run("undo", LEDGER, "--base-url", server.url, "--yes", "--json")
    assert (created.code, undone.code) == (0, 0), undone
    rows = desk.ask("SELECT run, sum(requests), sum(lookups) FROM course GROUP BY run ORDER BY run")
    told = [(ended.json["this_run"]["requests"], ended.json["this_run"]["lookups"]) for ended in (created, undone)]
    assert rows == [(1, *told[0]), (2, *told[1])]
    desk.close()


def test_a_bench_has_its_course(tmp_path: Path) -> None:
    """Its load is in its ledger as a run's requests are."""
    with Server() as server:
        desk = Desk(tmp_path)
        ended = desk.run(
            "bench", "--base-url", server.url, "--rate", "50/s", "--duration", "1s", "--ledger", "b.db", "--json"
        )
    assert ended.code == 0, ended
    asked, _ = course(desk, "b.db")
    assert sum(one.requests for one in asked) >= ended.json["requests"]
    desk.close()
