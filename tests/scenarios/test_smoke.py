"""`smoke`, and `run --smoke`: each stream is sent one test event, and what became of its delivery is recorded."""

from __future__ import annotations

import csv
from collections.abc import Callable
from typing import Any

import pytest

from bulkstreams.failpoints import VARIABLE
from tests.scenarios.afterwards import LEDGER, Scene, kill_at_random
from tests.scenarios.rig import INT, KILL, Desk, Server, configuration, until, webhooks


@pytest.fixture
def make(desk: Desk, serve: Callable[..., Server]) -> Callable[..., Scene]:
    """Make a scene: so many streams of ours, at a server of some settings."""

    def scene(count: int = 10, *arguments: str, **settings: Any) -> Scene:
        found = Scene(desk, serve(**settings))
        found.create(count, *arguments)
        return found

    return scene


def is_tested_once(scene: Scene, event: str = "user.created") -> bool:
    """Return whether each of our streams got exactly one event, and no other stream any."""
    assert scene.books["tested"] == {id_: [event] for id_ in scene.ours}
    return True


def test_each_stream_is_sent_one_event_and_its_delivery_is_recorded(make: Callable[..., Scene]) -> None:
    """What was delivered is not tested again; what failed says why, and the next command tries again."""
    scene = make(5, undeliverable=("s3",))
    ended = scene.run("smoke")
    assert (ended.code, ended.records) == (1, {"total": 5, "delivered": 4, "failed": 1})
    assert is_tested_once(scene)
    assert [row["delivery"] for row in scene.desk.results()] == ["delivered"] * 3 + ["failed", "delivered"]
    rows = list(csv.DictReader(scene.desk.run("results", LEDGER, "--format", "csv").out.splitlines()))
    assert [row["delivery"] for row in rows] == ["delivered"] * 3 + ["failed", "delivered"]
    status = scene.desk.run("status", LEDGER).out
    assert "smoke: 4 delivered, 1 failed" in status
    assert "1 failed: the delivery failed: Post " in status
    again = scene.run("smoke")
    assert (again.code, again.records, again.json["this_run"]["requests"]) == (
        1, {"total": 5, "delivered": 4, "failed": 1}, 1,
    )  # fmt: skip
    other = scene.run("smoke", "--event", "user.deleted")
    assert (other.records, other.json["this_run"]["requests"]) == ({"total": 5, "delivered": 4, "failed": 1}, 5)


def test_results_have_no_deliveries_where_nobody_asked(make: Callable[..., Scene]) -> None:
    """The rows are those of the contract, and no column more."""
    scene = make(1)
    assert "delivery" not in scene.desk.results()[0]
    assert "delivery" not in scene.desk.run("results", LEDGER, "--format", "csv").out


def test_a_delivery_that_takes_too_long_is_unconfirmed(make: Callable[..., Scene]) -> None:
    """Neither a success nor a failure: an exit code of its own says that it is not known."""
    scene = make(2, delivery_time=60.0)
    ended = scene.run("smoke", "--patience", "0.5")
    assert (ended.code, ended.records) == (5, {"total": 2, "unconfirmed": 2})
    assert "2 unconfirmed: the delivery was still pending after 0.5 s" in scene.desk.run("status", LEDGER).out
    assert "switched_off" not in ended.json
    assert scene.desk.results()[0]["delivery_message"] == "the delivery was still pending after 0.5 s"


def test_streams_that_are_off_are_told_where_their_events_wait(make: Callable[..., Scene]) -> None:
    """Whether the run gave them that status or their lines have it."""
    scene = make(1, "--set-status", "disabled", delivery_time=60.0)
    scene.desk.write("in.jsonl", [*webhooks(2), {**webhooks(3)[2], "status": "disabled"}])
    assert scene.desk.provision(scene.server, "in.jsonl").code == 0
    ended = scene.run("smoke", "--patience", "0.2")
    assert (ended.code, ended.json["switched_off"]) == (5, 2)


def test_deliveries_that_fail_alike_have_one_cause(desk: Desk, serve: Callable[..., Server]) -> None:
    """Each at an endpoint of its own, which their own rows tell."""
    rows = webhooks(2)
    for i, one in enumerate(rows):
        one["destination"]["configuration"]["webhook_endpoint"] = f"https://example.com/{i}"
    server = serve(undeliverable=("s0", "s1"))
    desk.write("in.jsonl", rows)
    assert desk.provision(server, "in.jsonl", "--smoke", "user.created").code == 1
    (failure,) = desk.run("status", LEDGER, "--json").json["errand_failures"]["smoke"]
    assert (failure["records"], failure["state"]) == (2, "failed")
    assert "example.com" not in failure["message"]
    assert "https://example.com/1" in desk.results()[1]["delivery_message"]


def test_a_delivery_that_is_not_shown_any_more_has_not_failed(make: Callable[..., Scene]) -> None:
    """Where the API shows only what is pending or failed, one that was pending and is gone counts as delivered."""
    scene = make(3, delivery_time=1.0, vanishing_deliveries=True, undeliverable=("s1",))
    ended = scene.run("smoke")
    assert (ended.code, ended.records) == (1, {"total": 3, "delivered": 2, "failed": 1})


def test_what_the_api_refuses_is_told_in_its_words(make: Callable[..., Scene]) -> None:
    """A stream that is switched off takes no test."""
    scene = make(2, "--set-status", "disabled", disabled_test="refuse")
    ended = scene.desk.run("smoke", LEDGER, "--base-url", scene.server.url)
    assert ended.code == 1
    assert "2 failed: 400 operation_not_supported: The event stream is disabled." in ended.err
    assert scene.run("activate").code == 0
    assert scene.run("smoke").records == {"total": 2, "delivered": 2}


def test_a_type_of_event_that_there_is_not_is_refused_before_anything_is_sent(
    desk: Desk, serve: Callable[..., Server]
) -> None:
    """With the name that is near; unless it is said that the catalogue may be too old."""
    server = serve()
    desk.write("in.jsonl", webhooks(1))
    ended = desk.provision(server, "in.jsonl", "--smoke", "user.creatd")
    assert ended.code == 2
    assert "no event type 'user.creatd' (did you mean \"user.created\"?)" in ended.err
    assert server.books()["tenants"] == {}
    assert not (desk.folder / LEDGER).exists()
    assert desk.provision(server, "in.jsonl").code == 0
    scene = Scene(desk, server)
    refused = scene.run("smoke", "--event", "user.creatd")
    assert (refused.code, scene.books["tested"]) == (2, {})
    assert scene.run("smoke", "--event", "user.creatd", "--allow-unknown-events").code != 2
    assert server.requests("test") == 1
    assert desk.provision(server, "in.jsonl", "--smoke", "user.creatd", "--allow-unknown-events").code != 2


def test_a_stream_that_is_gone_is_told(make: Callable[..., Scene]) -> None:
    """It was created, and works no more."""
    scene = make(2)
    scene.server.remove("s1")
    ended = scene.run("smoke")
    assert (ended.code, ended.records) == (1, {"total": 2, "delivered": 1, "gone": 1})


@pytest.mark.parametrize("fault", ["error-after", "reset-before", "truncate"])
def test_an_event_whose_answer_is_lost_is_looked_for_before_another_is_sent(
    make: Callable[..., Scene], fault: str
) -> None:
    """Whether it was taken or not: each stream gets one."""
    scene = make(12, faults={fault: 0.4}, faults_on=["test"])
    ended = scene.run("smoke", "--retries", "12")
    assert scene.books["faults"].get(fault, 0) > 0
    assert (ended.code, ended.records) == (0, {"total": 12, "delivered": 12}), ended
    assert is_tested_once(scene)


def test_faults_of_the_questions_are_survived(make: Callable[..., Scene]) -> None:
    """Also those that meet the look for a delivery."""
    kinds = ("error-before", "reset-before", "html-502", "throttle")
    scene = make(12, faults=dict.fromkeys(kinds, 0.1), faults_on=["test", "delivery", "deliveries", "list"])
    ended = scene.run("smoke", "--retries", "12")
    assert (ended.code, ended.records) == (0, {"total": 12, "delivered": 12}), ended
    assert is_tested_once(scene)


def test_a_test_that_is_killed_again_and_again_ends_right(make: Callable[..., Scene]) -> None:
    """Nobody gets a second event because a process died over the answer to the first."""
    scene = make(30, latency=(0.001, 0.02), delivery_time=0.3)
    kill_at_random(scene, "smoke", "--concurrency", "4", seed=1, kills=4)
    ended = scene.run("smoke")
    assert (ended.code, ended.records) == (0, {"total": 30, "delivered": 30}), ended
    assert is_tested_once(scene)


@pytest.mark.parametrize("point", ["test.before:2", "test.after:2", "delivery.before", "errands.settle.after"])
def test_a_test_that_dies_at_a_point_ends_right(make: Callable[..., Scene], point: str) -> None:
    """At each step there is."""
    scene = make(4)
    assert scene.run("smoke", env={VARIABLE: point}).code == -KILL
    left = "left unfinished; to go on: bulkstreams smoke in.ledger.db --event user.created"
    assert left in scene.desk.run("status", LEDGER).out
    assert scene.run("smoke").records == {"total": 4, "delivered": 4}
    assert is_tested_once(scene)


# -- as part of a run -------------------------------------------------------------------------------------------------


def test_a_run_can_test_what_it_has_created(desk: Desk, serve: Callable[..., Server]) -> None:
    """In one command: its exit code says that a delivery failed although all were created."""
    server = serve(undeliverable=("s2",))
    desk.write("in.jsonl", webhooks(4))
    ended = desk.provision(server, "in.jsonl", "--smoke", "user.created", "--results", "rows.jsonl")
    assert (ended.code, ended.records) == (1, {"total": 4, "created": 4})
    rows = (desk.folder / "rows.jsonl").read_text().splitlines()
    assert len(rows) == 4, "a row a record, and none for its test"
    assert ended.json["smoke"] == {"total": 4, "delivered": 3, "unconfirmed": 0, "gone": 0, "failed": 1, "pending": 0}
    scene = Scene(desk, server)
    assert is_tested_once(scene)
    desk.write("in.jsonl", webhooks(5))
    told = desk.run("run", "in.jsonl", "--base-url", server.url, "--smoke", "user.created")
    assert told.code == 1
    assert "smoke: 5 streams: 4 delivered, 1 failed" in told.err
    assert "See why deliveries failed" in told.err
    assert sorted(map(len, scene.books["tested"].values())) == [1, 1, 1, 1, 2], "what was delivered is not tested again"


def test_a_run_without_failures_ends_well(desk: Desk) -> None:
    """Also against the sandbox inside the process, whose end is the end of its streams."""
    desk.write("in.jsonl", webhooks(3))
    ended = desk.run("run", "in.jsonl", "--sandbox", "--smoke", "user.created", "--json")
    assert (ended.code, ended.json["smoke"]["delivered"]) == (0, 3), ended


def test_a_run_that_is_interrupted_while_it_tests_goes_on_there(desk: Desk, serve: Callable[..., Server]) -> None:
    """What was created stays, and the rerun asks for the deliveries of the events that it sent."""
    server = serve(delivery_time=3.0)
    desk.write("in.jsonl", webhooks(4))
    running = desk.start_provision(server, "in.jsonl", "--smoke", "user.created")
    until(lambda: server.requests("delivery") > 2)
    running.signal(INT)
    ended = running.wait()
    assert (ended.code, ended.records, ended.json["smoke"]["pending"]) == (130, {"total": 4, "created": 4}, 4)
    again = desk.provision(server, "in.jsonl", "--smoke", "user.created")
    assert (again.code, again.json["smoke"]["delivered"]) == (0, 4), again
    assert is_tested_once(Scene(desk, server))


def test_a_run_that_stops_early_tests_nothing(desk: Desk, serve: Callable[..., Server]) -> None:
    """First the streams, then their tests."""
    server = serve(latency=(0.05, 0.05))
    desk.write("in.jsonl", webhooks(40))
    running = desk.start_provision(server, "in.jsonl", "--smoke", "user.created", "--concurrency", "1")
    until(lambda: server.accepted())
    running.signal(INT)
    assert running.wait().code == 130
    assert server.requests("test") == 0


def test_what_is_advised_after_a_test_keeps_to_what_the_test_was_for(desk: Desk, serve: Callable[..., Server]) -> None:
    """To go on, and to switch on what is off, each at the test's own tenant with its own event, and no further."""
    scene = Scene(desk, serve())
    desk.write("in.jsonl", [{"tenant": tenant, "stream": one} for tenant in ("us", "eu") for one in webhooks(2)])
    desk.write("bulkstreams.toml", configuration(dict.fromkeys(("us", "eu"), scene.server)))
    assert desk.run("run", "in.jsonl", "--set-status", "disabled").code == 0
    narrow = ["--tenant", "us", "--limit", "1"]
    told = desk.run("smoke", LEDGER, "--event", "user.deleted", *narrow, "--patience", "0.1")
    assert f"until they are on: bulkstreams activate {LEDGER} --tenant us --limit 1, then again: " in told.err
    status = desk.run("status", LEDGER).out
    assert f"to go on: bulkstreams smoke {LEDGER} --event user.deleted --tenant us --limit 1 --patience 0.1\n" in status


def test_a_run_that_tests_is_gone_on_with_by_a_test_of_the_same_event(make: Callable[..., Scene]) -> None:
    """Its own limit was of creates, and is none of the test's."""
    scene = make(2)
    flags = ("--smoke", "user.deleted", "--limit", "5", "--retries", "2")
    killed = scene.desk.start(
        "run", "in.jsonl", "--base-url", scene.server.url, *flags, env={VARIABLE: "test.before:1"}
    ).wait()
    assert killed.code == -KILL
    status = scene.desk.run("status", LEDGER).out
    assert f"to go on: bulkstreams smoke {LEDGER} --event user.deleted\n" in status
