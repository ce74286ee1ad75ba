"""`run --set-status`: every stream is given one status, and however a run ends, a rerun creates each exactly once."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.scenarios.rig import Desk, Server, nameless, until, webhook, webhooks

OFF = ("--set-status", "disabled")


def lines(count: int = 30) -> list[dict[str, Any]]:
    """Return definitions with names and without, with a status and without; of the nameless ones some are twins."""
    bare = nameless(count)
    twins = [{"stream": webhook(None, status=status), "key": f"twin {status}"} for status in ("enabled", "disabled")]
    named = [webhook(f"s{i}", **({"status": "disabled"} if i % 5 == 0 else {})) for i in range(count)]
    return [one for pair in zip(named, bare, strict=True) for one in pair] + twins


def statuses(server: Server) -> dict[str, str]:
    """Return the status of each live stream, by its id."""
    return {one["id"]: one["status"] for one in server.streams()}


def expected(desk: Desk, rows: list[dict[str, Any]]) -> dict[str, str]:
    """Return the status that the ledger says the streams of some lines were given, by their ids."""
    own = [row.get("stream", row).get("status", "enabled") for row in rows]
    found = desk.ask("SELECT line, remote_id, status FROM record")
    assert len(found) == len(rows)
    return {id_: status or own[line - 1] for line, id_, status in found}


def switch(server: Server, status: str) -> None:
    """Switch every stream, as somebody would who cuts over."""
    for one in server.streams():
        server._ask("PATCH", "sandbox", f"/{one['id']}", json.dumps({"status": status}).encode(), 200)


@pytest.fixture
def rows() -> list[dict[str, Any]]:
    """Return the lines of the input."""
    return lines()


def killed_half_way(desk: Desk, server: Server, rows: list[dict[str, Any]]) -> None:
    """Start a run that creates everything switched off, and kill it in the middle."""
    running = desk.start_provision(server, desk.write("in.jsonl", rows), "--concurrency", "4", *OFF)
    until(lambda: len(server.streams()) >= 20)
    running.kill()
    assert len(server.streams()) < len(rows)


def test_everything_is_created_switched_off_and_a_plain_rerun_has_nothing_to_say(
    desk: Desk, server: Server, rows: list[dict[str, Any]]
) -> None:
    """Whatever its line says; no line counts as changed for it, and one that really changes is told as ever."""
    ended = desk.provision(server, desk.write("in.jsonl", rows), *OFF)
    assert (ended.code, ended.records) == (0, {"total": 62, "created": 62}), ended
    assert set(statuses(server).values()) == {"disabled"}
    assert set(desk.ask("SELECT status FROM record")) == {("disabled",)}
    for flags in ((), OFF, ("--set-status", "enabled")):
        desk.write("in.jsonl", [*rows, b""] if flags else [b"", *rows])  # it is read anew
        again = desk.provision(server, "in.jsonl", *flags)
        assert (again.code, again.records, again.json["this_run"]["requests"]) == (0, {"total": 62, "created": 62}, 0)
    desk.write("in.jsonl", [webhook("s1", status="disabled"), *rows[3:]])
    changed = desk.provision(server, "in.jsonl", *OFF)
    assert (changed.code, changed.records) == (1, {"total": 60, "created": 59, "conflict": 1}), changed


@pytest.mark.parametrize("flags", [OFF, (), ("--set-status", "enabled")], ids=["again", "without", "another"])
def test_killed_half_way_a_rerun_with_or_without_it_creates_each_once(
    desk: Desk, serve: Callable[..., Server], rows: list[dict[str, Any]], flags: tuple[str, ...]
) -> None:
    """Named and nameless: none twice, no false conflict; and the ledger knows of each which status it was given."""
    server = serve(latency=(0.01, 0.03))
    killed_half_way(desk, server, rows)
    ended = desk.provision(server, "in.jsonl", *flags)
    assert (ended.code, ended.records) == (0, {"total": 62, "created": 62}), ended
    assert len(server.books()["accepted"]) == 62
    assert statuses(server) == expected(desk, rows)
    assert "disabled" in statuses(server).values()
    assert ("enabled" in statuses(server).values()) == (flags != OFF)


@pytest.mark.parametrize("flags", [OFF, ()], ids=["again", "without"])
def test_killed_half_way_and_switched_on_a_rerun_creates_each_once(
    desk: Desk, serve: Callable[..., Server], rows: list[dict[str, Any]], flags: tuple[str, ...]
) -> None:
    """What was left in doubt is found although its status is neither the given one nor its line's."""
    server = serve(latency=(0.01, 0.03))
    killed_half_way(desk, server, rows)
    until(lambda: len({one["id"] for one in server.streams()}) == len(server.books()["accepted"]))
    switch(server, "enabled")
    ended = desk.provision(server, "in.jsonl", *flags)
    assert (ended.code, ended.records) == (0, {"total": 62, "created": 62}), ended
    assert len(server.books()["accepted"]) == 62


@pytest.mark.parametrize("fault", ["late", "reset-after"])
def test_creates_whose_answers_are_lost_are_recovered(
    desk: Desk, serve: Callable[..., Server], rows: list[dict[str, Any]], fault: str
) -> None:
    """The look-up knows the streams that this run made, although they show another status than their lines."""
    server = serve(faults={fault: 0.3}, late_by=1.0)
    ended = desk.provision(server, desk.write("in.jsonl", rows), *OFF)
    assert (ended.code, ended.records) == (0, {"total": 62, "created": 62}), ended
    assert ended.json["this_run"]["recovered"] > 0
    assert len(server.books()["accepted"]) == 62
    assert set(statuses(server).values()) == {"disabled"}


@pytest.mark.parametrize("switched", [False, True])
@pytest.mark.parametrize("unique", [True, False], ids=["unique", "any names"])
def test_with_the_ledger_gone_nothing_is_created_twice(
    desk: Desk, serve: Callable[..., Server], rows: list[dict[str, Any]], unique: bool, switched: bool
) -> None:
    """The same command finds every record there, switched off as it was made, or on since."""
    server = serve(unique_names=unique)
    assert desk.provision(server, desk.write("in.jsonl", rows), *OFF).code == 0
    (desk.folder / "in.ledger.db").unlink()
    if switched:
        switch(server, "enabled")
    again = desk.provision(server, "in.jsonl", *OFF)
    assert (again.code, again.records) == (0, {"total": 62, "exists": 62}), again
    assert {row["remote_id"] for row in desk.results()} == set(statuses(server))
    assert server.requests() == 62


def test_streams_that_are_there_switched_off_exist_with_it_and_differ_without(desk: Desk, server: Server) -> None:
    """Without it the line's word counts, and the difference is told; taken again with it, they exist."""
    rows = webhooks(5)
    server.seed(*({**row, "status": "disabled"} for row in rows))
    without = desk.provision(server, desk.write("in.jsonl", rows))
    assert (without.code, without.records) == (1, {"total": 5, "conflict": 5}), without
    assert all(str(row["message"]).endswith("differs in: status") for row in desk.settled())
    again = desk.provision(server, "in.jsonl", "--retry-failed", *OFF)
    assert (again.code, again.records) == (0, {"total": 5, "exists": 5}), again
    assert server.requests() == 5


def test_a_name_that_is_taken_exists_whatever_its_status(desk: Desk, server: Server) -> None:
    """Also where nobody looked before sending: the 409 is looked up without regard to the status."""
    rows = webhooks(4)
    server.seed(*rows[:2])
    ended = desk.provision(server, desk.write("in.jsonl", rows), "--no-preflight", *OFF)
    assert (ended.code, ended.records) == (0, {"total": 4, "exists": 2, "created": 2}), ended


def test_a_status_that_does_not_exist_is_refused_and_a_preview_sends_nothing(desk: Desk, server: Server) -> None:
    """The two that there are stand in the error."""
    desk.write("in.jsonl", webhooks(2))
    wrong = desk.provision(server, "in.jsonl", "--set-status", "off")
    assert wrong.code == 2, wrong
    assert "'enabled'" in wrong.err
    assert "'disabled'" in wrong.err
    preview = desk.provision(server, "in.jsonl", "--dry-run", *OFF)
    assert (preview.code, preview.json["would_send"]) == (0, 2), preview
    assert server.requests() == 0
