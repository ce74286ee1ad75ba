"""`undo`: what this ledger created is deleted, once each, and nothing else; the books are the judge."""

from __future__ import annotations

import hashlib
import os
import pty
import shlex
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from typing import Any

import pytest

from bulkstreams.failpoints import VARIABLE
from tests.scenarios.afterwards import LEDGER, Scene, kill_at_random
from tests.scenarios.relay import Relay
from tests.scenarios.rig import (
    INT,
    KILL,
    TERM,
    Desk,
    Running,
    Server,
    configuration,
    for_each,
    until,
    webhook,
    webhooks,
)

THEIRS = webhooks(3, "theirs")


@pytest.fixture
def make(desk: Desk, serve: Callable[..., Server]) -> Callable[..., Scene]:
    """Make a scene: streams of others, then so many of ours, at a server of some settings."""

    def scene(count: int = 20, **settings: Any) -> Scene:
        found = Scene(desk, serve(**settings))
        found.server.seed(*THEIRS)
        found.create(count)
        return found

    return scene


def names(scene: Scene) -> list[str]:
    """Return the names of the streams that are there."""
    return [one["name"] for one in scene.server.streams()]


def is_undone(scene: Scene) -> bool:
    """Return whether each of ours was deleted exactly once, nothing else was, and the ledger knows."""
    assert names(scene) == [one["name"] for one in THEIRS]
    assert Counter(scene.books["deleted"]) == Counter(scene.ours)
    assert set(scene.books["deletes_asked"]) == set(scene.ours)
    assert scene.desk.states() == {"undone": len(scene.ours)}
    return True


# -- the plain way ----------------------------------------------------------------------------------------------------


def test_exactly_what_the_ledger_created_is_deleted(make: Callable[..., Scene]) -> None:
    """One look and one delete each; the ledger keeps what was; and all can be created anew, and undone again."""
    scene = make()
    before = scene.ours
    ended = scene.run("undo")
    assert (ended.code, ended.records) == (0, {"total": 20, "deleted": 20})
    this_run = ended.json["this_run"]
    assert (this_run["deleted"], this_run["requests"], this_run["retries"], this_run["lookups"]) == (20, 20, 0, 21)
    assert is_undone(scene)
    assert {row["remote_id"] for row in scene.desk.results("--state", "undone")} == set(before)
    assert scene.run("undo").records == {"total": 20, "deleted": 20}, "given again, it tells the same and does nothing"
    assert scene.desk.provision(scene.server, "in.jsonl").records == {"total": 20, "created": 20}
    assert not set(scene.ours) & set(before)
    assert scene.run("undo").records == {"total": 20, "deleted": 20}
    assert sorted(scene.books["deleted"]) == sorted(before + scene.ours)
    history = scene.desk.ask("SELECT count(*), count(DISTINCT remote_id) FROM errand WHERE state = 'deleted'")
    assert history == [(40, 40)]


def test_a_stream_that_was_there_before_is_not_ours_to_delete(desk: Desk, server: Server) -> None:
    """The ledger found it, equal to its line: it stands for the record, and stays."""
    server.seed(webhook("s0"))
    scene = Scene(desk, server)
    desk.write("in.jsonl", webhooks(3))
    assert desk.provision(server, "in.jsonl").records == {"total": 3, "created": 2, "exists": 1}
    assert scene.run("undo").records == {"total": 2, "deleted": 2}
    assert names(scene) == ["s0"]


def test_what_somebody_changed_is_left_unless_that_is_asked_for(make: Callable[..., Scene]) -> None:
    """It is told with the instant of its change, and a person can look at it first."""
    scene = make(5)
    changed, gone = scene.ours[1], scene.ours[3]
    scene.server.edit(changed, status="disabled")
    scene.server.remove("s3")
    ended = scene.run("undo")
    assert (ended.code, ended.records) == (1, {"total": 5, "deleted": 3, "gone": 1, "changed": 1})
    assert scene.desk.states() == {"undone": 4, "created": 1}
    assert scene.books["deletes_asked"].keys() == {*scene.ours} - {changed}
    assert gone in scene.ours
    told = scene.desk.run("undo", LEDGER, "--base-url", scene.server.url, "--yes")
    assert told.code == 1
    assert "1 changed: the stream was changed at" in told.err
    assert "--yes --force" in told.err
    assert "1 changed" in scene.desk.run("status", LEDGER).out
    assert scene.run("undo", "--force").records == {"total": 1, "deleted": 1}
    assert scene.desk.states() == {"undone": 5}


def test_a_line_that_changed_does_not_keep_its_stream(make: Callable[..., Scene]) -> None:
    """Whatever the input has become, the stream is as this ledger made it; `--state` tells them apart."""
    scene = make(3)
    rows = webhooks(3)
    rows[0]["status"] = "disabled"
    scene.desk.write("in.jsonl", [*rows[:2], b'{"name": "s2"}'])
    assert scene.desk.provision(scene.server, "in.jsonl").records == {
        "total": 3, "created": 1, "conflict": 1, "invalid": 1,
    }  # fmt: skip
    assert scene.run("undo", "--state", "conflict").records == {"total": 1, "deleted": 1}
    assert sorted(names(scene)) == ["s1", "s2", *[one["name"] for one in THEIRS]]
    assert scene.run("undo").records == {"total": 2, "deleted": 2}
    again = scene.desk.provision(scene.server, "in.jsonl")
    assert again.records == {"total": 3, "created": 2, "invalid": 1}, "what is invalid is not sent for being undone"


def test_a_state_without_streams_of_ours_is_wrong_usage(make: Callable[..., Scene]) -> None:
    """What was there before cannot be named either."""
    scene = make(1)
    ended = scene.run("undo", "--state", "exists")
    assert ended.code == 2
    assert "created, conflict, invalid" in ended.err


def test_a_limit_takes_so_many_and_the_rerun_the_rest(make: Callable[..., Scene]) -> None:
    """The counts are of the whole undo; meanwhile the ledger says how to go on."""
    scene = make(10)
    first = scene.run("undo", "--limit", "4")
    assert (first.code, first.records) == (4, {"total": 10, "deleted": 4, "pending": 6})
    status = scene.desk.run("status", LEDGER)
    assert "undo: 4 deleted, 6 pending" in status.out
    assert f"left unfinished; to go on: bulkstreams undo {LEDGER}" in status.out
    assert scene.desk.run("status", LEDGER, "--json").json["errands"] == {
        "undo": {"total": 10, "deleted": 4, "pending": 6}
    }  # fmt: skip
    last = scene.run("undo")
    assert (last.code, last.records, last.json["this_run"]["deleted"]) == (0, {"total": 10, "deleted": 10}, 6)
    assert is_undone(scene)


def test_an_undo_that_was_killed_is_not_gone_on_with_by_one_that_asks_for_less(make: Callable[..., Scene]) -> None:
    """What was begun is left, confirmed or not: only who asks for it again has it deleted."""
    scene = make(6)
    assert scene.run("undo", env={VARIABLE: "delete.before:1"}).code == -KILL
    assert scene.desk.ask("SELECT count(*) FROM errand WHERE intent_at IS NOT NULL")[0][0] > 0
    for yes in ([], ["--yes"]):
        ended = scene.desk.run("undo", LEDGER, "--base-url", scene.server.url, "--state", "conflict", "--json", *yes)
        assert (ended.code, ended.records) == (0, {}), ended
    assert scene.books["deletes_asked"] == {}
    assert scene.run("undo").records == {"total": 6, "deleted": 6}
    assert is_undone(scene)


# -- asking -----------------------------------------------------------------------------------------------------------


def test_without_a_terminal_somebody_has_to_say_yes(make: Callable[..., Scene]) -> None:
    """Nothing is sent, and the command that would do it is told."""
    scene = make(3)
    asked = scene.books["requests"]
    ended = scene.desk.run("undo", LEDGER, "--base-url", scene.server.url)
    assert ended.code == 2
    assert f"nobody confirmed to delete 3 event streams at {scene.server.url}; nothing was sent" in ended.err
    assert "--yes" in ended.err
    assert scene.books["requests"] == asked


@pytest.mark.parametrize(("answer", "code", "left"), [(b"yes\n", 0, 0), (b"y\n", 2, 3), (b"\x04", 2, 3)])
def test_at_a_terminal_only_yes_is_a_yes(make: Callable[..., Scene], answer: bytes, code: int, left: int) -> None:
    """It says how many streams at which tenant."""
    scene = make(3)
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "bulkstreams", "undo", LEDGER, "--base-url", scene.server.url, "--progress", "none"],
        cwd=scene.desk.folder, env=scene.desk.environment, stdin=theirs, stderr=theirs, stdout=subprocess.PIPE,
    )  # fmt: skip
    os.close(theirs)
    said = b""
    while b"Type yes" not in said:
        said += os.read(ours, 4096)
    assert f"Delete 3 event streams at {scene.server.url}?".encode() in said
    os.write(ours, answer)
    assert process.wait(60) == code
    os.close(ours)
    assert process.stdout is not None
    process.stdout.close()
    assert scene.desk.states().get("created", 0) == left


def test_a_dry_run_only_looks(make: Callable[..., Scene]) -> None:
    """It says what would be deleted and what left; it sends no delete, and the ledger is not touched."""
    scene = make(5)
    scene.server.edit(scene.ours[1], status="disabled")
    scene.server.remove("s3")
    before = hashlib.sha256((scene.desk.folder / LEDGER).read_bytes()).digest()
    deletes = scene.books["requests"]["delete"]
    ended = scene.desk.run("undo", LEDGER, "--base-url", scene.server.url, "--dry-run", "--json")
    assert (ended.code, ended.records) == (1, {"total": 5, "deleted": 3, "gone": 1, "changed": 1})
    assert ended.json["records"]["pending"] == 0, "it is always there"
    assert (ended.json["dry_run"], ended.json["ledger"], ended.json["this_run"]["requests"]) == (True, LEDGER, 0)
    assert scene.books["requests"]["delete"] == deletes
    assert hashlib.sha256((scene.desk.folder / LEDGER).read_bytes()).digest() == before
    told = scene.desk.run("undo", LEDGER, "--base-url", scene.server.url, "--dry-run")
    assert "of 5 streams 3 would be deleted, 1 is gone, 1 was changed and would be left" in told.err


def test_a_dry_run_tells_only_of_what_is_left_to_do(make: Callable[..., Scene]) -> None:
    """What an undo that was cut short had deleted is not told as what would be; after its end nothing is."""
    scene = make(5)
    assert scene.run("undo", "--limit", "2").code == 4
    ended = scene.run("undo", "--dry-run")
    assert (ended.code, ended.records) == (0, {"total": 3, "deleted": 3})
    assert scene.run("undo", "--dry-run", "--limit", "1").records == {"total": 3, "deleted": 1, "pending": 2}
    assert scene.run("undo").records == {"total": 5, "deleted": 5}
    told = scene.desk.run("undo", LEDGER, "--base-url", scene.server.url, "--dry-run")
    assert (told.code, told.err) == (0, f"undo: nothing to do   (ledger: {LEDGER})\n")


# -- whatever fails ---------------------------------------------------------------------------------------------------

FAULTS = ("error-after", "reset-before", "truncate", "late")
"""One of each way to lose an answer; all of them at once come below."""


@pytest.mark.parametrize("fault", FAULTS)
def test_a_delete_whose_answer_is_lost_is_looked_up(make: Callable[..., Scene], fault: str) -> None:
    """Whether it took effect or not: each stream is deleted once, and counted as deleted by us."""
    scene = make(12, faults={fault: 0.4}, faults_on=["delete"])
    ended = scene.run("undo", "--retries", "12")
    assert scene.books["faults"].get(fault, 0) > 0
    assert (ended.code, ended.records) == (0, {"total": 12, "deleted": 12}), ended
    assert is_undone(scene)


def test_faults_of_all_kinds_at_once_are_survived(make: Callable[..., Scene]) -> None:
    """Also those that meet the looks."""
    kinds = ("error-before", "error-after", "reset-before", "reset-after", "truncate", "html-502", "throttle", "late")
    scene = make(40, faults=dict.fromkeys(kinds, 0.05), faults_on=["delete", "read", "list"])
    ended = scene.run("undo", "--retries", "20")
    assert (ended.code, ended.records) == (0, {"total": 40, "deleted": 40}), ended
    assert is_undone(scene)


def test_a_server_that_hangs_after_the_delete_is_looked_up(make: Callable[..., Scene]) -> None:
    """The attempt's own time ends, and a look shows that it took effect."""
    scene = make(4, faults={"hang-after": 0.5}, faults_on=["delete"])
    ended = scene.run("undo", "--timeout", "0.5", "--retries", "12")
    assert (ended.code, ended.records) == (0, {"total": 4, "deleted": 4}), ended
    assert is_undone(scene)


def test_what_could_not_be_deleted_is_tried_again_by_the_next_command(
    make: Callable[..., Scene], serve: Callable[..., Server]
) -> None:
    """Attempts that are used up fail their stream alone; the next command has new ones."""
    scene = make(3, faults={"error-before": 1.0}, faults_on=["delete"])
    ended = scene.run("undo", "--retries", "1")
    assert (ended.code, ended.records) == (1, {"total": 3, "failed": 3}), ended
    status = scene.desk.run("status", LEDGER).out
    assert "3 failed: no answer to 2 attempts; the stream is as it was" in status
    assert scene.desk.states() == {"created": 3}
    again = scene.run("undo", "--retries", "0")
    assert (again.code, again.records) == (1, {"total": 3, "failed": 3}), again
    assert scene.books["requests"]["delete"] == 3 * 2 + 3


def test_a_throttled_undo_waits_and_charges_no_attempt(make: Callable[..., Scene]) -> None:
    """A neighbour takes half of the budget, unseen: 429s come, and every stream is deleted all the same."""
    scene = make(30, rate=60.0, burst=8, neighbour=30.0)
    ended = scene.run("undo", "--rate", "max", "--retries", "0")
    assert (ended.code, ended.records) == (0, {"total": 30, "deleted": 30}), ended
    assert ended.json["this_run"]["throttled"] > 0
    assert is_undone(scene)


def test_a_run_while_an_undo_is_cut_short_calls_nothing_done_that_may_be_gone(make: Callable[..., Scene]) -> None:
    """What the undo may have deleted counts as created, since nobody knows; the run says so, and how to go on."""
    scene = make(6)
    assert scene.run("undo", env={VARIABLE: "delete.after:1"}).code == -KILL
    assert scene.books["deletes"] > 0
    begun = scene.desk.ask("SELECT count(*) FROM errand WHERE intent_at IS NOT NULL AND settled_at IS NULL")[0][0]
    ended = scene.desk.provision(scene.server, "in.jsonl")
    assert (ended.code, ended.records, ended.json["undoing"]) == (5, {"total": 6, "created": 6}, begun), ended
    told = scene.desk.run("run", "in.jsonl", "--base-url", scene.server.url)
    assert told.code == 5
    assert "may have deleted some of them. To end it: bulkstreams undo in.ledger.db" in told.err
    assert scene.run("undo").records == {"total": 6, "deleted": 6}
    assert is_undone(scene)
    again = scene.desk.provision(scene.server, "in.jsonl")
    assert (again.code, again.records) == (0, {"total": 6, "created": 6})
    assert "undoing" not in again.json


@pytest.mark.parametrize("seed", range(2))
def test_an_undo_that_is_killed_again_and_again_ends_right(make: Callable[..., Scene], seed: int) -> None:
    """Whenever it dies, the rerun goes on: each stream is deleted once, and all count as deleted by us."""
    scene = make(60, latency=(0.001, 0.02), seed=seed)
    kill_at_random(scene, "undo", "--concurrency", "4", seed=seed, kills=4)
    ended = scene.run("undo")
    assert (ended.code, ended.records) == (0, {"total": 60, "deleted": 60}), ended
    assert is_undone(scene)


@pytest.mark.parametrize(
    "point",
    [
        "errands.begin.before", "errands.begin.after", "errands.settle.after", "delete.before:3", "delete.after:3",
        "commit.durable:5", "end_run.before",
    ],
)  # fmt: skip
def test_an_undo_that_dies_at_a_point_ends_right(make: Callable[..., Scene], point: str) -> None:
    """At each step there is, before it and after it."""
    scene = make(6)
    assert scene.run("undo", env={VARIABLE: point}).code == -KILL
    ended = scene.run("undo")
    assert (ended.code, ended.records) == (0, {"total": 6, "deleted": 6}), ended
    assert is_undone(scene)


@pytest.mark.parametrize(("number", "code"), [(INT, 130), (TERM, 143)])
def test_an_undo_that_is_interrupted_drains_and_can_be_given_again(
    make: Callable[..., Scene], number: int, code: int
) -> None:
    """What is under way ends in order: no stream is deleted of which the ledger does not know."""
    scene = make(60, latency=(0.02, 0.03))
    running: Running = scene.start("undo", "--concurrency", "2")
    until(lambda: scene.books["deletes"] > 5)
    running.signal(number)
    ended = running.wait()
    assert ended.code == code
    assert ended.records["pending"] > 0
    assert ended.records["deleted"] == scene.books["deletes"]
    assert scene.run("undo").records == {"total": 60, "deleted": 60}
    assert is_undone(scene)


def test_a_tenant_that_goes_away_in_the_middle_leaves_what_the_next_undo_ends(desk: Desk, server: Server) -> None:
    """Its address refuses connections: the command stops, resumable, and nothing is called gone or failed."""
    server.seed(*THEIRS)
    with Relay(server.port) as relay:
        scene, url = Scene(desk, server), f"http://127.0.0.1:{relay.port}"
        desk.write("in.jsonl", webhooks(400))
        assert desk.run("run", "in.jsonl", "--base-url", url, "--json").records == {"total": 400, "created": 400}
        running = scene.start("undo", "--base-url", url, "--deadline", "4s")
        until(lambda: scene.books["deletes"] > 20)
        relay.kill()
        ended = running.wait()
        assert ended.code == 4, ended
        assert ended.records.keys() == {"total", "deleted", "pending"}
        relay.start()
        again = scene.run("undo", "--base-url", url)
        assert (again.code, again.records) == (0, {"total": 400, "deleted": 400}), again
    assert is_undone(scene)


def test_an_address_that_knows_no_streams_calls_none_gone(make: Callable[..., Scene]) -> None:
    """Every stream would be answered 404 there: the list is asked for first, and that stops it."""
    scene = make(3)
    elsewhere = f"{scene.server.url}/elsewhere"
    with closing(sqlite3.connect(scene.desk.folder / LEDGER)) as db:
        db.execute("UPDATE tenant SET address = ?", (elsewhere,))
        db.execute("UPDATE meta SET value = ? WHERE name = 'default_address'", (elsewhere,))
        db.execute("UPDATE seal SET bytes = NULL, sum = NULL, turn = turn | 1")
        db.commit()
    ended = scene.run("undo", "--base-url", elsewhere, "--tenant", scene.desk.ask("SELECT name FROM tenant")[0][0])
    assert ended.code == 4, ended
    assert "answered 404" in ended.json["stopped"].popitem()[1]
    assert scene.desk.states() == {"created": 3}


# -- whose and where --------------------------------------------------------------------------------------------------


def test_a_tenant_that_stands_elsewhere_is_not_touched(
    make: Callable[..., Scene], serve: Callable[..., Server]
) -> None:
    """Neither the one that the configuration means nor the one that the ledger has is asked anything."""
    scene, other = make(3), serve()
    ended = scene.run("undo", "--base-url", other.url)
    assert ended.code == 3
    assert scene.server.url in ended.err
    assert other.url in ended.err
    assert other.books()["tenants"] == {}
    config = f'[tenants."127.0.0.1:{scene.server.port}"]\nbase_url = "{other.url}"\ntoken = "t"\n'
    (scene.desk.folder / "bulkstreams.toml").write_text(config)
    ended = scene.desk.run("undo", LEDGER, "--yes")
    assert ended.code == 3, ended
    assert other.books()["tenants"] == {}
    assert scene.desk.states() == {"created": 3}


def test_the_ledger_of_a_sandbox_that_is_gone_is_told_as_that(desk: Desk) -> None:
    """Its streams went with it."""
    desk.write("in.jsonl", webhooks(2))
    assert desk.run("run", "in.jsonl", "--sandbox", "--json").records == {"total": 2, "created": 2}
    ended = desk.run("undo", LEDGER, "--yes")
    assert ended.code == 3
    assert "that sandbox is gone with all its streams" in ended.err


def test_only_tenants_with_something_to_do_need_credentials(desk: Desk, serve: Callable[..., Server]) -> None:
    """The other's may be gone by then; and one tenant's trouble is not the other's."""
    one, two = serve(), serve()
    desk.write("bulkstreams.toml", configuration({"one": one, "two": two}))
    desk.write("in.jsonl", [*for_each(["one"], webhooks(2)), *for_each(["two"], [webhook("was", status="enabled")])])
    two.seed(webhook("was"), tenant="two")
    assert desk.run("run", "in.jsonl", "--json").records == {"total": 3, "created": 2, "exists": 1}
    desk.write("bulkstreams.toml", configuration({"one": one}))
    ended = desk.run("undo", LEDGER, "--yes", "--json")
    assert (ended.code, ended.records) == (0, {"total": 2, "deleted": 2}), ended
    assert [one["name"] for one in two.streams("two")] == ["was"]


def test_a_tenant_that_is_not_configured_any_more_is_wrong_usage(desk: Desk, serve: Callable[..., Server]) -> None:
    """Nothing is sent to the other either: a person decides first."""
    one, two = serve(), serve()
    desk.write("bulkstreams.toml", configuration({"one": one, "two": two}))
    desk.write("in.jsonl", for_each(["one", "two"], webhooks(2)))
    assert desk.run("run", "in.jsonl", "--json").records == {"total": 4, "created": 4}
    desk.write("bulkstreams.toml", configuration({"one": one}))
    ended = desk.run("undo", LEDGER, "--yes")
    assert ended.code == 2
    assert "the ledger has streams at the tenant two" in ended.err
    assert len(one.streams("one")) == 2


def test_one_tenant_can_be_undone_alone(desk: Desk, serve: Callable[..., Server]) -> None:
    """Nothing is sent to the other, also where an undo of both was killed; each tenant's counts are its own."""
    one, two = serve(), serve()
    desk.write("bulkstreams.toml", configuration({"one": one, "two": two}))
    desk.write("in.jsonl", for_each(["one", "two"], webhooks(4)))
    assert desk.run("run", "in.jsonl", "--json").records == {"total": 8, "created": 8}
    assert desk.run("undo", LEDGER, "--yes", env={VARIABLE: "delete.before:1"}).code == -KILL
    ended = desk.run("undo", LEDGER, "--tenant", "two")
    assert ended.code == 2
    assert f"nobody confirmed to delete 4 event streams at {two.url_of('two')}" in ended.err
    ended = desk.run("undo", LEDGER, "--tenant", "two", "--yes", "--json")
    assert (ended.code, ended.records) == (0, {"total": 4, "deleted": 4}), ended
    assert (len(one.streams("one")), two.streams("two"), one.requests("delete")) == (4, [], 0)
    ended = desk.run("undo", LEDGER, "--yes", "--json")
    assert (ended.code, ended.records) == (0, {"total": 4, "deleted": 4}), ended
    assert one.streams("one") == []


def test_a_tenant_that_the_ledger_does_not_have_is_wrong_usage(make: Callable[..., Scene]) -> None:
    """Its own are named."""
    scene = make(1)
    (scene.desk.folder / "bulkstreams.toml").write_text('[tenants.acme]\ndomain = "acme.eu.auth0.com"\ntoken = "t"\n')
    ended = scene.desk.run("undo", LEDGER, "--tenant", "acme", "--yes")
    assert ended.code == 2
    assert "holds no tenant 'acme'" in ended.err
    assert f"127.0.0.1:{scene.server.port}" in ended.err
    assert scene.desk.states() == {"created": 1}


def test_a_token_without_the_scope_stops_its_tenant_and_names_it(make: Callable[..., Scene]) -> None:
    """What was not deleted can be, once the client may."""
    scene = make(3, scopes=("create:event_streams", "read:event_streams"))
    told = scene.desk.run("undo", LEDGER, "--base-url", scene.server.url, "--yes")
    assert told.code == 4
    assert "answered 403: Insufficient scope" in told.err
    assert "delete:event_streams" in told.err
    assert scene.desk.states() == {"created": 3}


def test_a_run_that_goes_on_keeps_the_ledger(desk: Desk, serve: Callable[..., Server]) -> None:
    """The one that wants it is told who has it."""
    server = serve(latency=(0.05, 0.05))
    desk.write("in.jsonl", webhooks(60))
    running = desk.start_provision(server, "in.jsonl", "--concurrency", "1")
    until(lambda: server.accepted())
    ended = desk.run("undo", LEDGER, "--base-url", server.url, "--yes")
    assert ended.code == 3
    assert "is held by a live process" in ended.err
    running.signal(INT)
    running.wait()


def test_what_is_in_doubt_is_left_and_told(desk: Desk, serve: Callable[..., Server]) -> None:
    """A run died: what it may have created is not known yet. The run settles that, and the next undo takes it."""
    server = serve(latency=(0.005, 0.01))
    desk.write("in.jsonl", webhooks(40))
    died = desk.start_provision(server, "in.jsonl", env={VARIABLE: "create.before:12"}).wait()
    assert died.code == -KILL
    scene = Scene(desk, server)
    ended = scene.run("undo")
    assert ended.code == 5, ended
    assert ended.json["in_doubt"] > 0
    assert ended.records.get("failed", 0) == 0
    assert desk.provision(server, "in.jsonl").records == {"total": 40, "created": 40}
    assert scene.run("undo").code == 0
    assert server.streams() == []
    assert Counter(scene.books["deleted"]).most_common(1)[0][1] == 1


def test_a_ledger_that_is_not_there_is_told(desk: Desk, server: Server) -> None:
    """None is made."""
    ended = desk.run("undo", "nix.ledger.db", "--yes", "--base-url", server.url)
    assert ended.code == 3
    assert "there is no ledger nix.ledger.db" in ended.err
    assert not (desk.folder / "nix.ledger.db").exists()


# -- what is advised --------------------------------------------------------------------------------------------------


def advised(scene: Scene) -> list[str]:
    """Return the words of the command that `status` gives to go on."""
    (line,) = [one for one in scene.desk.run("status", LEDGER).out.splitlines() if "to go on: " in one]
    return shlex.split(line.split("to go on: bulkstreams ")[1])


def test_to_go_on_never_reaches_further_than_what_was_asked(desk: Desk, serve: Callable[..., Server]) -> None:
    """The command that `status` gives has the tenant, the states and the limit of the newest undo."""
    scene = Scene(desk, serve())
    desk.write("in.jsonl", [{"tenant": tenant, "stream": one} for tenant in ("us", "eu") for one in webhooks(4)])
    desk.write("bulkstreams.toml", configuration(dict.fromkeys(("us", "eu"), scene.server)))
    assert desk.run("run", "in.jsonl").code == 0
    narrow = ["--tenant", "us", "--state", "created,invalid", "--force", "--limit", "3", "--reserve", "12.5%"]
    assert desk.run("undo", LEDGER, *narrow, "--yes").code == 4
    command = advised(scene)
    assert command == ["undo", LEDGER, "--state", "created,invalid", *narrow[:2], *narrow[4:]]
    assert desk.run(*command, "--yes").code == 0
    deleted = {name: len(its["deleted"]) for name, its in scene.server.books()["tenants"].items()}
    assert deleted == {"us": 4, "eu": 0}
    assert desk.run("undo", LEDGER, "--limit", "1", "--yes").code == 4
    assert advised(scene) == ["undo", LEDGER, "--limit", "1"]


def test_where_the_ledger_does_not_know_what_was_asked_no_command_is_given(make: Callable[..., Scene]) -> None:
    """Words are, since a command without what is not known would reach further."""
    scene = make(4)
    assert scene.run("undo", "--limit", "1").code == 4
    with closing(sqlite3.connect(scene.desk.folder / LEDGER)) as db:
        db.execute("UPDATE run SET settings = NULL")
        db.execute("UPDATE seal SET bytes = NULL, sum = NULL, turn = turn | 1")
        db.commit()
    assert "left unfinished; to go on: give the same undo command again" in scene.desk.run("status", LEDGER).out


def test_a_run_that_advises_to_end_an_undo_keeps_to_what_that_was_for(make: Callable[..., Scene]) -> None:
    """With its state and its force, not all that the ledger created."""
    scene = make(6)
    killed = scene.run("undo", "--state", "created", "--force", "--limit", "4", env={VARIABLE: "delete.after:1"})
    assert killed.code == -KILL
    told = scene.desk.run("run", "in.jsonl", "--base-url", scene.server.url)
    assert f"To end it: bulkstreams undo {LEDGER} --state created --force --limit 4; then" in told.err


def test_a_later_undo_elsewhere_hides_nothing(desk: Desk, serve: Callable[..., Server]) -> None:
    """Neither what failed at another tenant, nor what an earlier undo deleted; a switch says how many it reached."""
    scene = Scene(desk, serve(undeliverable=("s1",)))
    desk.write("in.jsonl", [{"tenant": tenant, "stream": one} for tenant in ("us", "eu", "jp") for one in webhooks(3)])
    desk.write("bulkstreams.toml", configuration(dict.fromkeys(("us", "eu", "jp"), scene.server)))
    assert desk.run("run", "in.jsonl").code == 0
    assert desk.run("smoke", LEDGER, "--tenant", "eu").code == 1
    assert desk.run("activate", LEDGER, "--off", "--yes").code == 0
    assert desk.run("undo", LEDGER, "--tenant", "jp", "--limit", "2", "--yes").code == 4
    assert desk.run("undo", LEDGER, "--tenant", "us", "--limit", "1", "--yes").code == 4
    status = desk.run("status", LEDGER).out
    smoke, failed, off, undo, *_ = status[status.index("smoke:") :].splitlines()
    assert smoke.startswith("smoke: 2 delivered, 1 failed, last at ")
    assert smoke.endswith(" UTC")
    assert failed.startswith("  1 failed: the delivery failed")
    assert off.endswith(" UTC; of these 9, 3 overtaken by a later undo")
    assert undo.startswith("undo: 1 deleted, 2 pending, last at ")
    assert undo.endswith("; that is the newest undo alone, in all 3 streams were undone")
    told = desk.run("status", LEDGER, "--json").json
    assert (told["errands"]["undo"]["deleted"], told["undone_in_all"]) == (1, 3)
    assert desk.run("report", LEDGER, "--json").json["afterwards"]["undone_in_all"] == 3
    assert "by all undo commands, 3 streams were undone" in desk.run("report", LEDGER, "--html", "-").out
