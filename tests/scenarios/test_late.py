"""Creates whose connection dies and which take effect afterwards: within the settle time, and later than that.

The engine lets two seconds pass before a look-up's "not there" counts; `late_by` is set to either side of them.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPConnection, RemoteDisconnected
from typing import Any

import pytest

from tests.scenarios.rig import Desk, Server, nameless, once_each, until, webhook, webhooks

FEW = 8  # fewer losses in a row than make a tenant count as down
COUNT = 20
KINDS = {"named": webhooks, "nameless": nameless}


def live(server: Server) -> Counter[str]:
    """Return how many live streams show each definition, by what tells the definitions apart."""
    return Counter(mark(one) for one in server.streams())


def mark(definition: dict[str, Any]) -> str:
    """Return what tells a definition from the others: its name, or the endpoint of one without."""
    return str(definition.get("name") or definition["destination"]["configuration"]["webhook_endpoint"])


def each_once(rows: list[dict[str, Any]]) -> Counter[str]:
    """Return the live streams of a tenant that has each definition once."""
    return Counter(mark(row) for row in rows)


@pytest.mark.parametrize("unique", [True, False], ids=["unique", "any names"])
@pytest.mark.parametrize("kind", KINDS)
def test_within_the_settle_time_each_is_created_once(
    desk: Desk, serve: Callable[..., Server], kind: str, *, unique: bool
) -> None:
    """Every create loses its connection and takes effect a second later: all are found, and none is sent again."""
    server, rows = serve(faults={"late": 1.0}, late_by=1.0, unique_names=unique), KINDS[kind](COUNT)
    ended = desk.provision(server, desk.write("in.jsonl", rows))
    assert (ended.code, ended.records) == (0, {"total": COUNT, "created": COUNT}), ended
    assert live(server) == each_once(rows)
    assert server.requests() == len(server.books()["accepted"]) == ended.json["this_run"]["recovered"] == COUNT


@pytest.mark.parametrize("kind", KINDS)
def test_what_a_killed_run_left_on_its_way_is_waited_for(desk: Desk, serve: Callable[..., Server], kind: str) -> None:
    """A rerun at once after a kill lets the settle time pass anew, since it cannot know when the attempts ended."""
    server, rows = serve(faults={"late": 1.0}, late_by=1.5), KINDS[kind](FEW)
    running = desk.start_provision(server, desk.write("in.jsonl", rows))
    until(lambda: server.faults() == FEW)
    running.kill()
    assert not server.streams()
    again = desk.provision(server, "in.jsonl")
    assert (again.code, again.records) == (0, {"total": FEW, "created": FEW}), again
    assert live(server) == each_once(rows)
    assert (again.json["this_run"]["requests"], again.json["this_run"]["recovered"]) == (0, FEW)


def test_later_than_the_settle_time_a_unique_name_keeps_a_second_stream_out(
    desk: Desk, serve: Callable[..., Server]
) -> None:
    """What looked absent is sent again while the first create is still at work: the tenant takes one of the two."""
    server, rows = serve(faults={"late": 0.5}, late_by=3.0), webhooks(COUNT)
    ended = desk.provision(server, desk.write("in.jsonl", rows))
    assert (ended.code, ended.records) == (0, {"total": COUNT, "created": COUNT}), ended
    assert ended.json["this_run"]["retries"] > 0
    # The last one on its way, if any, is refused by the time that it arrives: let it arrive.
    until(lambda: server.requests() == COUNT + ended.json["this_run"]["retries"])
    assert server.accepted() == once_each(rows)
    assert {one["name"]: one["id"] for one in server.streams()} == {
        one["name"]: one["remote_id"] for one in desk.settled()
    }


def test_a_resend_that_meets_its_own_late_create_finds_it_and_is_done(desk: Desk, serve: Callable[..., Server]) -> None:
    """The first run gives up, its creates arrive after its end, and the second run's resends meet 409: each is once."""
    server, rows = serve(faults={"late": 0.5}, late_by=5.0), webhooks(COUNT)
    first = desk.provision(server, desk.write("in.jsonl", rows), "--retries", "0")
    lost = first.records.get("exhausted", 0)
    assert (first.code, lost) == (1, server.faults()), first
    assert lost > 4
    until(lambda: len(server.accepted()) == COUNT)
    again = desk.provision(server, "in.jsonl")
    assert server.books()["tenants"]["sandbox"]["statuses"]["409"] > 0
    assert again.code == 0, again
    assert again.records == {"total": COUNT, "created": COUNT}, again
    assert server.accepted() == once_each(rows)
    assert {one["name"]: one["id"] for one in server.streams()} == {
        one["name"]: one["remote_id"] for one in desk.settled()
    }


@pytest.mark.parametrize(("kind", "unique"), [("nameless", True), ("nameless", False), ("named", False)])
def test_later_than_the_settle_time_with_nothing_unique_a_stream_can_be_doubled(
    desk: Desk, serve: Callable[..., Server], kind: str, *, unique: bool
) -> None:
    """None is lost, and each record stands for one stream that is there; that there is another nobody can know."""
    server, rows = serve(faults={"late": 0.5}, late_by=3.0, unique_names=unique), KINDS[kind](COUNT)
    ended = desk.provision(server, desk.write("in.jsonl", rows))
    assert (ended.code, ended.records) == (0, {"total": COUNT, "created": COUNT}), ended
    until(lambda: len(server.streams()) == server.requests())
    found = live(server)
    assert set(found) == set(each_once(rows))
    assert max(found.values()) > 1
    assert len(found - each_once(rows)) <= ended.json["this_run"]["retries"]
    ids = {one["id"] for one in server.streams()}
    told = [one["remote_id"] for one in desk.settled()]
    assert len(set(told) & ids) == COUNT


@contextmanager
def sandbox_command(*flags: str) -> Iterator[int]:
    """Start the sandbox as a command; give its port."""
    words = [sys.executable, "-m", "bulkstreams", "sandbox", "--port", "0", *flags]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield int(process.stdout.readline().split()[2].rpartition(":")[2])
        finally:
            process.terminate()


def accepted_at(port: int) -> int:
    """Return how many creates the books of a sandbox hold."""
    connection = HTTPConnection("127.0.0.1", port)
    connection.request("GET", "/_sandbox/books")
    found = len(json.load(connection.getresponse())["accepted"])
    connection.close()
    return found


def send_into_nothing(port: int) -> None:
    """Send a create whose connection dies."""
    connection = HTTPConnection("127.0.0.1", port)
    headers = {"Authorization": "Bearer any", "Content-Type": "application/json"}
    connection.request("POST", "/api/v2/event-streams", json.dumps(webhook("one")), headers)
    with pytest.raises((ConnectionError, RemoteDisconnected)):
        connection.getresponse()
    connection.close()


def test_the_sandbox_command_is_as_late_as_it_is_told_to_be() -> None:
    """`--late-by 600` is still at work when one that is late by the default time, and was sent afterwards, is done."""
    with (
        sandbox_command("--fault", "late=1", "--late-by", "600") as slow,
        sandbox_command("--fault", "late=1") as quick,
    ):
        send_into_nothing(slow)
        send_into_nothing(quick)
        until(lambda: accepted_at(quick) == 1)
        assert accepted_at(slow) == 0
