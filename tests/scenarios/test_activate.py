"""`activate`: what this ledger created is switched on or off, and the ledger knows how it left each stream."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from bulkstreams.failpoints import VARIABLE
from tests.scenarios.afterwards import LEDGER, Scene, kill_at_random
from tests.scenarios.rig import KILL, TERM, Desk, Server, until, webhooks

THEIRS = [{**one, "status": "disabled"} for one in webhooks(3, "theirs")]


@pytest.fixture
def make(desk: Desk, serve: Callable[..., Server]) -> Callable[..., Scene]:
    """Make a scene: streams of others that are off, then so many of ours, at a server of some settings."""

    def scene(count: int = 20, *arguments: str, **settings: Any) -> Scene:
        found = Scene(desk, serve(**settings))
        found.server.seed(*THEIRS)
        found.create(count, *arguments)
        return found

    return scene


def statuses(scene: Scene) -> Counter[str]:
    """Return how many of our streams have which status."""
    return Counter(one["status"] for one in scene.server.streams() if one["id"] in set(scene.ours))


def is_switched(scene: Scene, status: str) -> bool:
    """Return whether all of ours have a status, none of the others', and nobody would be in the way of an undo."""
    assert statuses(scene) == {status: len(scene.ours)}
    assert set(scene.books["updated"]) <= set(scene.ours)
    live = {one["id"]: one["updated_at"] for one in scene.server.streams()}
    known = dict(scene.desk.ask("SELECT remote_id, updated_at FROM record"))
    assert {id_: live[id_] for id_ in scene.ours} == known
    return True


def test_a_cut_over_creates_all_switched_off_and_switches_them_on_later(make: Callable[..., Scene]) -> None:
    """And back, and on again: one look and one change each; a comparison knows what was given, and an undo is free."""
    scene = make(10, "--set-status", "disabled")
    assert statuses(scene) == {"disabled": 10}
    ended = scene.run("activate")
    assert (ended.code, ended.records) == (0, {"total": 10, "switched": 10})
    assert (ended.json["this_run"]["requests"], ended.json["this_run"]["lookups"]) == (10, 11)
    assert is_switched(scene, "enabled")
    compared = scene.desk.run("verify", "in.jsonl", "--base-url", scene.server.url, "--json")
    assert compared.json["records"]["equal"] == 10, compared
    assert scene.run("activate", "--off").records == {"total": 10, "switched": 10}
    assert is_switched(scene, "disabled")
    compared = scene.desk.run("verify", "in.jsonl", "--base-url", scene.server.url, "--json")
    assert compared.json["records"]["equal"] == 10, compared
    assert scene.desk.ask("SELECT DISTINCT status FROM record") == [("disabled",)]
    assert scene.run("activate").records == {"total": 10, "switched": 10}
    assert is_switched(scene, "enabled")
    assert {tuple(given) for given in scene.books["updated"].values()} == {("enabled", "disabled", "enabled")}
    assert scene.run("undo").records == {"total": 10, "deleted": 10}
    assert scene.desk.provision(scene.server, "in.jsonl").records == {"total": 10, "created": 10}
    assert scene.desk.ask("SELECT DISTINCT status, updated_at FROM record") == [(None, None)]


def test_status_tells_what_was_done_in_the_order_of_time(make: Callable[..., Scene]) -> None:
    """Each with its instant; what a later command turned round is told as overtaken."""
    scene = make(2)
    for words in (("activate", "--off"), ("activate",), ("smoke",)):
        assert scene.run(*words).code == 0
    told = lines_of(scene)
    assert [line.partition(":")[0] for line in told] == ["activate --off", "activate", "smoke"]
    assert told[0].endswith("; overtaken by a later activate")
    assert all(re.search(r", last at 20\d\d-\d\d-\d\d \d\d:\d\d:\d\d UTC", line) for line in told)
    assert scene.run("activate", "--off").code == 0
    told = lines_of(scene)
    assert [line.partition(":")[0] for line in told] == ["activate", "smoke", "activate --off"]
    assert [line.endswith("; overtaken by a later activate --off") for line in told] == [True, False, False]
    assert scene.run("undo").code == 0
    told = lines_of(scene)
    assert [line.endswith("; overtaken by a later undo") for line in told] == [True] * (len(told) - 1) + [False]


def lines_of(scene: Scene) -> list[str]:
    """Return the lines in which `status` tells of such commands."""
    heads = ("activate", "smoke", "undo")
    return [line for line in scene.desk.run("status", LEDGER).out.splitlines() if line.startswith(heads)]


def test_streams_that_are_on_already_are_not_switched(make: Callable[..., Scene]) -> None:
    """They are counted apart, and nothing is sent; one that somebody else switched is looked at each time."""
    scene = make(4)
    ended = scene.run("activate")
    assert (ended.code, ended.records) == (0, {"total": 4, "already": 4})
    assert scene.books["updates"] == 0
    scene.server.edit(scene.ours[0], status="disabled")
    again = scene.run("activate")
    assert (again.code, again.records) == (1, {"total": 4, "already": 3, "changed": 1})
    assert scene.run("activate", "--force").records == {"total": 4, "already": 3, "switched": 1}
    assert statuses(scene) == {"enabled": 4}


def test_what_somebody_changed_or_deleted_is_left_and_told(make: Callable[..., Scene]) -> None:
    """It is not switched on over the head of who changed it."""
    scene = make(4, "--set-status", "disabled")
    scene.server.edit(scene.ours[1], name="renamed")
    scene.server.remove("s3")
    ended = scene.run("activate")
    assert (ended.code, ended.records) == (1, {"total": 4, "switched": 2, "gone": 1, "changed": 1})
    told = scene.desk.run("status", LEDGER).out
    assert "activate: 2 switched, 1 gone, 1 changed" in told
    assert "the stream was changed at" in told
    again = scene.desk.run("activate", LEDGER, "--base-url", scene.server.url, "--yes").err
    assert "1 gone: the stream is not at the tenant any more: somebody else deleted it (e.g. in.jsonl:4, s3)" in again
    assert "What is gone was deleted by somebody else; a run of the input with a new --ledger FILE" in again


def test_a_ledger_that_created_nothing_says_whose_the_streams_are(desk: Desk, serve: Callable[..., Server]) -> None:
    """They were there before it; nothing is asked and nothing is sent."""
    server = serve()
    server.seed(*webhooks(2))
    desk.write("in.jsonl", webhooks(2))
    assert desk.provision(server, "in.jsonl").records == {"total": 2, "exists": 2}
    ended = desk.run("activate", LEDGER, "--off", "--base-url", server.url)
    assert ended.code == 0, ended
    assert "nothing to do: this ledger created no stream; 2 were there before it, and are left alone" in ended.err


def test_it_asks_as_an_undo_does(make: Callable[..., Scene]) -> None:
    """Switching on lets events out; and a dry run says what would be switched."""
    scene = make(2, "--set-status", "disabled")
    ended = scene.desk.run("activate", LEDGER, "--base-url", scene.server.url)
    assert ended.code == 2
    assert "nobody confirmed to switch on 2 event streams" in ended.err
    ended = scene.desk.run("activate", LEDGER, "--off", "--base-url", scene.server.url)
    assert "nobody confirmed to switch off 2 event streams" in ended.err
    dry = scene.run("activate", "--dry-run")
    assert (dry.code, dry.records, dry.json["this_run"]["requests"]) == (0, {"total": 2, "switched": 2}, 0)
    assert scene.books["updates"] == 0
    assert statuses(scene) == {"disabled": 2}


@pytest.mark.parametrize("fault", ["error-after", "reset-before", "late"])
def test_a_switch_whose_answer_is_lost_is_looked_up(make: Callable[..., Scene], fault: str) -> None:
    """Whether it took effect or not: all are switched, and the ledger knows the instant that each was left with."""
    scene = make(12, "--set-status", "disabled", faults={fault: 0.4}, faults_on=["update"])
    ended = scene.run("activate", "--retries", "12")
    assert scene.books["faults"].get(fault, 0) > 0
    assert (ended.code, ended.records) == (0, {"total": 12, "switched": 12}), ended
    assert is_switched(scene, "enabled")
    assert scene.run("undo").records == {"total": 12, "deleted": 12}


def test_a_switch_that_is_killed_again_and_again_ends_right(make: Callable[..., Scene]) -> None:
    """Nothing that we changed ourselves passes for changed by others, also where the process died over its answer."""
    scene = make(50, "--set-status", "disabled", latency=(0.001, 0.02))
    kill_at_random(scene, "activate", "--concurrency", "4", seed=1, kills=4)
    ended = scene.run("activate")
    assert (ended.code, ended.records) == (0, {"total": 50, "switched": 50}), ended
    assert is_switched(scene, "enabled")
    assert set(map(tuple, scene.books["updated"].values())) == {("enabled",)}
    assert scene.run("undo").records == {"total": 50, "deleted": 50}


@pytest.mark.parametrize("point", ["errands.begin.after", "change.before:3", "change.after:3"])
def test_a_switch_that_dies_at_a_point_ends_right(make: Callable[..., Scene], point: str) -> None:
    """At each step there is."""
    scene = make(6, "--set-status", "disabled")
    assert scene.run("activate", env={VARIABLE: point}).code == -KILL
    assert "left unfinished; to go on: bulkstreams activate" in scene.desk.run("status", LEDGER).out
    assert scene.run("activate").records == {"total": 6, "switched": 6}
    assert is_switched(scene, "enabled")


def test_the_other_way_overtakes_what_was_cut_short(make: Callable[..., Scene]) -> None:
    """On dies over an answer; off finds what it did, switches it off, and nothing passes for changed by others."""
    scene = make(6, "--set-status", "disabled")
    assert scene.run("activate", env={VARIABLE: "change.after:3"}).code == -KILL
    assert statuses(scene)["enabled"] > 0
    ended = scene.run("activate", "--off")
    assert ended.code == 0, ended
    assert statuses(scene) == {"disabled": 6}
    assert "unfinished" not in scene.desk.run("status", LEDGER).out
    assert scene.run("undo").records == {"total": 6, "deleted": 6}


def test_an_undo_after_a_switch_that_was_cut_short_takes_all(make: Callable[..., Scene]) -> None:
    """What the switch may have changed is recognised: only its status is another."""
    scene = make(6, "--set-status", "disabled")
    assert scene.run("activate", env={VARIABLE: "change.after:3"}).code == -KILL
    assert scene.run("undo").records == {"total": 6, "deleted": 6}


def test_a_switch_that_is_terminated_drains(make: Callable[..., Scene]) -> None:
    """What is under way ends in order, and the same command goes on."""
    scene = make(60, "--set-status", "disabled", latency=(0.02, 0.03))
    running = scene.start("activate", "--concurrency", "2")
    until(lambda: scene.books["updates"] > 5)
    running.signal(TERM)
    ended = running.wait()
    assert ended.code == 143
    assert ended.records["switched"] == scene.books["updates"]
    assert scene.run("activate").records == {"total": 60, "switched": 60}
    assert is_switched(scene, "enabled")


def test_the_scope_that_lacks_is_named(make: Callable[..., Scene]) -> None:
    """Which is not the one of an undo."""
    scene = make(2, "--set-status", "disabled", scopes=("create:event_streams", "read:event_streams"))
    told = scene.desk.run("activate", LEDGER, "--base-url", scene.server.url, "--yes")
    assert told.code == 4
    assert "Give the client the scopes read:event_streams, update:event_streams" in told.err


def test_a_ledger_of_another_address_is_refused(make: Callable[..., Scene], serve: Callable[..., Server]) -> None:
    """Nothing is asked of the one or the other."""
    scene, other = make(2), serve()
    ended = scene.run("activate", "--off", "--base-url", other.url)
    assert ended.code == 3
    assert other.books()["tenants"] == {}
    assert statuses(scene) == {"enabled": 2}
