"""Benches with the real command: what is measured, and that nothing is left behind, however they end.

The sandbox's books are the judge of what was sent, its list of streams of what is left.
"""

from __future__ import annotations

import asyncio
import json
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from benchmarks.sink import Sink
from tests.scenarios.rig import INT, SECRET, Desk, Ended, Server, until, webhook, webhooks

TIMES = {"p50", "p90", "p95", "p99", "p999", "max", "mean"}


def bench(desk: Desk, url: str, *flags: str) -> Ended:
    """Run a bench to its end."""
    return desk.run("bench", "--base-url", url, "--json", *flags)


def sent(server: Server) -> list[str]:
    """Return the names of all creates that took effect, sorted."""
    return sorted(name or "" for name in server.accepted().elements())


def test_a_bench_measures_and_leaves_nothing(desk: Desk, server: Server) -> None:
    """100/s for a second: a hundred requests with names of their own, the contract's figures, no stream after it."""
    ended = bench(desk, server.url, "--rate", "100/s", "--duration", "1s")
    assert ended.code == 0, ended
    found = ended.json
    assert (found["requests"], found["errors"], found["status"]) == (100, 0, {"201": 100})
    assert found["offered_rate"] == 100.0
    assert set(found["response_time_ms"]) == set(found["service_time_ms"]) == TIMES
    assert found["response_time_ms"]["p50"] >= found["service_time_ms"]["p50"] > 0
    assert found["client_saturated"] in {True, False}
    assert (found["unsent"], found["unreached"], found["timed_requests"]) == (0, 0, 100)
    assert 1 <= found["client"]["most_under_way"] <= 100
    assert found["client"]["most_sockets"] >= 1
    assert found["completed_rate"] <= 100.0
    assert set(found["unsound_why"]) == set(found["unsound"]) >= {"p95", "p99", "p999"}
    assert found["cleaned"]["deleted"] == 100
    names = sent(server)
    assert len(set(names)) == len(names) == 100
    assert len({name.rpartition("-")[0] for name in names}) == 1
    assert names[0].startswith("bench-")
    assert server.streams() == []


def test_a_bench_has_a_report(desk: Desk, server: Server) -> None:
    """Its ledger is one like any other: what was asked of the server, and that all was undone."""
    desk.write("in.jsonl", webhooks(3))
    for flags in ([], ["in.jsonl", "--ledger", "given.db"]):
        assert bench(desk, server.url, "--rate", "50/s", "--duration", "1s", *flags).code == 0
    for ledger in ("bench.ledger.db", "given.db"):
        ended = desk.run("report", ledger, "--json")
        assert ended.code == 0, ended
        assert ended.json["records"]["undone"] == ended.json["records"]["total"] == 50
        assert ended.json["effort"]["requests"] >= 50
        assert len(ended.json["inputs"]) == 1
        assert desk.run("report", ledger).code == 0


def test_a_warm_up_is_sent_cleaned_and_not_counted(desk: Desk, server: Server) -> None:
    """Its requests reach the server, and no figure but their own."""
    ended = bench(desk, server.url, "--rate", "50/s", "--duration", "1s", "--warmup", "1s")
    assert (ended.json["requests"], ended.json["warmup_requests"]) == (50, 50)
    assert server.requests() == 100
    assert server.streams() == []


def test_a_ramp_and_stages_send_what_they_sum_up_to(desk: Desk, server: Server) -> None:
    """A ramp of 20 to 60 in a second is 40 requests; a file of two stages with a pause between, 30."""
    assert bench(desk, server.url, "--rate", "20:60/1s").json["requests"] == 40
    (desk.folder / "stages").write_text("20/s 1s  # up\n0 1s\n10/s 1s\n")
    ended = bench(desk, server.url, "--stages", "stages")
    assert (ended.json["requests"], ended.json["duration_s"]) == (30, 3.0)
    assert server.streams() == []


def test_a_throttled_request_is_a_result_and_never_sent_again(desk: Desk, serve: Callable[..., Server]) -> None:
    """Each 429 is counted, the next request comes on schedule, and the server saw as many as were asked for."""
    server = serve(rate=10.0, burst=5)
    ended = bench(desk, server.url, "--rate", "50/s", "--duration", "2s")
    found = ended.json
    assert ended.code == 0, ended
    assert found["requests"] == 100
    assert found["status"]["201"] + found["status"]["429"] == 100
    assert found["errors"] == found["status"]["429"] > 50
    assert server.requests() == 100
    assert server.streams() == []


def test_what_was_lost_is_looked_up_and_deleted_too(desk: Desk, serve: Callable[..., Server]) -> None:
    """Creates that took effect though their answers were lost or said otherwise leave nothing behind."""
    faults = {"reset-after": 0.2, "error-after": 0.2, "truncate": 0.1, "reset-before": 0.1}
    server = serve(faults=faults)
    ended = bench(desk, server.url, "--rate", "100/s", "--duration", "1s")
    assert ended.code == 0, ended
    found = ended.json
    assert found["requests"] == 100
    assert found["errors"] > 20
    assert server.requests() == 100
    assert len(sent(server)) > found["status"]["201"] - 20
    assert server.streams() == []
    states = desk.states("bench.ledger.db")
    assert "created" not in states
    assert "in_doubt" not in states


def test_after_a_kill_clean_finds_all_that_was_made(desk: Desk, serve: Callable[..., Server]) -> None:
    """kill -9 under way: the ledger alone, without an address, leads to every stream; before that no bench begins."""
    server = serve(latency=(0.05, 0.05))
    server.seed(webhook("not-ours"))
    running = desk.start("bench", "--base-url", server.url, "--rate", "100/s", "--duration", "60s")
    until(lambda: server.requests() > 80)
    running.kill()
    again = bench(desk, server.url, "--rate", "10/s", "--duration", "1s")
    assert again.code == 2, again
    assert "bench --clean bench.ledger.db" in again.err
    cleaned = desk.run("bench", "--clean", "bench.ledger.db")
    assert cleaned.code == 0, cleaned
    assert [one["name"] for one in server.streams()] == ["not-ours"]
    made = [name for name in sent(server) if name != "not-ours"]
    assert len(made) > 70
    assert f"{len(made)} deleted" in cleaned.err
    assert desk.run("bench", "--clean", "bench.ledger.db").code == 0
    assert bench(desk, server.url, "--rate", "10/s", "--duration", "1s").code == 0
    assert [one["name"] for one in server.streams()] == ["not-ours"]


@pytest.mark.parametrize(
    "point",
    ["end_reading.after", "claim.after", "create.after:20", "settle.before:2", "settle.after:2", "commit.written:9"],
)
def test_wherever_it_dies_clean_leaves_nothing(desk: Desk, server: Server, point: str) -> None:
    """Between an intent and its request, between an answer and its record: what was made is found and deleted."""
    flags = ("bench", "--base-url", server.url, "--rate", "50/s", "--duration", "20s")
    ended = desk.start(*flags, env={"BULKSTREAMS_FAILPOINT": point}).wait()
    assert ended.code == -signal.SIGKILL, ended
    cleaned = desk.run("bench", "--clean", "bench.ledger.db")
    assert cleaned.code == 0, cleaned
    assert server.streams() == []
    assert "in_doubt" not in desk.states("bench.ledger.db")


def test_it_may_die_while_it_cleans(desk: Desk, server: Server) -> None:
    """Killed among its deletes: the next cleaning goes on where it was."""
    flags = ("bench", "--base-url", server.url, "--rate", "50/s", "--duration", "1s")
    ended = desk.start(*flags, env={"BULKSTREAMS_FAILPOINT": "delete.after:10"}).wait()
    assert ended.code == -signal.SIGKILL, ended
    assert 0 < len(server.streams()) < 50
    cleaned = desk.run("bench", "--clean", "bench.ledger.db")
    assert cleaned.code == 0, cleaned
    assert server.streams() == []


def test_kept_streams_stay_until_they_are_cleaned(desk: Desk, server: Server) -> None:
    """--keep says how to delete them later."""
    ended = bench(desk, server.url, "--rate", "20/s", "--duration", "1s", "--keep")
    assert ended.code == 0, ended
    assert "bench --clean bench.ledger.db" in ended.err
    assert len(server.streams()) == 20
    assert desk.run("bench", "--clean", "bench.ledger.db", "--base-url", server.url).code == 0
    assert server.streams() == []


def test_an_interrupt_drains_and_cleans(desk: Desk, server: Server) -> None:
    """Ctrl-C: what was sent by then is told, deleted, and the exit code is that of an interrupt."""
    running = desk.start("bench", "--base-url", server.url, "--rate", "50/s", "--duration", "60s", "--json")
    until(lambda: server.requests() > 30)
    running.signal(INT)
    ended = running.wait()
    assert ended.code == 130, ended
    assert ended.json["requests"] == server.requests() >= 30
    assert server.streams() == []


def test_a_second_interrupt_leaves_at_once_and_says_how_to_clean(desk: Desk, serve: Callable[..., Server]) -> None:
    """Nothing is waited for; what was under way is looked up by the cleaning."""
    server = serve(faults={"hang-after": 1.0})
    running = desk.start("bench", "--base-url", server.url, "--rate", "50/s", "--duration", "60s")
    until(lambda: server.requests() > 30)
    running.signal(INT)
    running.says("draining")
    running.signal(INT)
    ended = running.wait()
    assert ended.code == 130, ended
    assert "to delete them: bulkstreams bench --clean bench.ledger.db" in ended.err
    assert len(server.streams()) > 20
    cleaned = desk.run("bench", "--clean", "bench.ledger.db", "--json")
    assert cleaned.code == 0, cleaned
    assert cleaned.json["records"]["deleted"] > 20
    assert server.streams() == []


def test_definitions_are_taken_from_an_input_in_turn(desk: Desk, server: Server) -> None:
    """Valid lines lend their bodies, under names of the bench's own; an invalid one is told and left out."""
    rows = [webhook("a"), b"{", webhook("b", status="disabled"), {"stream": webhook("c"), "tenant": "elsewhere"}]
    ended = bench(desk, server.url, desk.write("in.jsonl", rows), "--rate", "9/s", "--duration", "1s", "--keep")
    assert ended.code == 0, ended
    assert "left out: in.jsonl:2:" in ended.err
    statuses = [one["status"] for one in sorted(server.streams(), key=lambda one: str(one["name"]))]
    assert statuses == ["enabled", "disabled", "enabled"] * 3
    assert not set(sent(server)) & {"a", "b", "c"}


def test_a_template_may_be_spread_over_lines_and_hold_a_reference(desk: Desk, server: Server) -> None:
    """One definition, as people write it, with its secret in a variable: it reaches the server and nothing else."""
    desk.write("one.json", json.dumps(webhook(None, secret="${env:HOOK_SECRET}"), indent=2).encode())
    ended = bench(desk, server.url, "--template", "one.json", "--rate", "5/s", "--duration", "1s")
    assert (ended.code, ended.json["status"]) == (0, {"201": 5}), ended
    assert SECRET not in ended.err
    desk.write("bad.json", b'{"name": 5}')
    bad = bench(desk, server.url, "--template", "bad.json", "--rate", "5/s", "--duration", "1s")
    assert bad.code == 2, bad
    assert "bad.json:1: " in bad.err
    assert server.requests() == 5


def test_a_ledger_of_runs_is_neither_benched_into_nor_cleaned(desk: Desk, server: Server) -> None:
    """What a run created is no bench's to delete."""
    rows = webhooks(3)
    assert desk.provision(server, desk.write("in.jsonl", rows)).code == 0
    for flags in (["--ledger", "in.ledger.db"], ["--clean", "in.ledger.db"]):
        ended = desk.run("bench", "--base-url", server.url, *flags)
        assert ended.code == 2, ended
        assert "is not of a bench" in ended.err
    assert len(server.streams()) == 3


def test_auth0s_cloud_is_refused_before_anything_is_sent(desk: Desk) -> None:
    """With a sentence on its policy, and what to say where there is an approval; so is any other public host."""
    for url in ("https://acme.eu.auth0.com", "https://login.acme.com"):
        ended = desk.run("bench", "--base-url", url)
        assert ended.code == 2, ended
        assert "Load Testing Policy" in ended.err
        assert "--approved-load-test" in ended.err
    assert not (desk.folder / "bench.ledger.db").exists()


def test_a_tenant_that_refuses_the_token_is_not_benched(desk: Desk, serve: Callable[..., Server]) -> None:
    """It is asked once, and told as a thing to mend."""
    server = serve(refusing=["sandbox"])
    ended = bench(desk, server.url, "--rate", "10/s", "--duration", "1s")
    assert ended.code == 4, ended
    assert "401" in ended.err
    assert server.requests() == 0


def test_a_closed_loop_sends_as_it_is_answered(desk: Desk, serve: Callable[..., Server]) -> None:
    """Four clients and answers after 50 ms: about eighty a second, and no offered rate."""
    server = serve(latency=(0.05, 0.05))
    ended = bench(desk, server.url, "--closed-loop", "--concurrency", "4", "--duration", "2s")
    found = ended.json
    assert ended.code == 0, ended
    assert found["offered_rate"] is None
    assert 0 < found["requests"] <= 4 * (2.0 / 0.05 + 1)
    assert found["requests"] == server.requests()
    assert server.streams() == []


def test_a_search_finds_what_a_server_allows(desk: Desk, serve: Callable[..., Server]) -> None:
    """A server that takes 100 a second refuses more; what is found lies between what it kept and what it did not."""
    server = serve(rate=100.0, burst=5)
    ended = bench(desk, server.url, "--search", "p50<5s", "--rate", "80", "--duration", "1s")
    assert ended.code == 0, ended
    found = ended.json["search"]
    passed = [one["rate"] for one in found["probes"] if one["passed"]]
    broken = [one["rate"] for one in found["probes"] if not one["passed"]]
    assert broken
    assert found["rate"] == max((rate for rate in passed if rate < min(broken)), default=None)
    assert min(broken) <= 160
    assert {breach for one in found["probes"] if not one["passed"] for breach in one["broken_by"]} >= {"errors"}
    assert server.streams() == []


def test_a_search_that_fills_the_tenant_says_so(desk: Desk, serve: Callable[..., Server]) -> None:
    """Its probes' streams are deleted at its end alone; what a full quota refuses is not held against the rate."""
    server = serve(rate=0.0, quota=20)
    ended = bench(desk, server.url, "--search", "p50<5s", "--rate", "40", "--duration", "1s")
    assert ended.code == 0, ended
    found = ended.json["search"]
    assert (found["ended"], [one["full"] for one in found["probes"]]) == ("full", [True])
    assert ended.json["status"] == {"201": 20, "409": 20}
    assert ended.json["cleaned"]["deleted"] == 20
    assert server.streams() == []


# -- what is measured --------------------------------------------------------------------------------------------------


class StallingSink(Sink):
    """Accepts every create at once, but for one second after the 300th: then all wait for its end."""

    seen = 0
    until = 0.0

    def data_received(self, data: bytes) -> None:
        """Answer, or begin to stall."""
        loop = asyncio.get_running_loop()
        cls = type(self)
        cls.seen += 1
        if cls.seen == 300:
            cls.until = loop.time() + 1.0
        loop.call_later(max(0.0, cls.until - loop.time()), super().data_received, data)


@contextmanager
def stalling() -> Iterator[str]:
    """Serve such a sink in a thread of its own, and give its address."""
    StallingSink.seen, StallingSink.until = 0, 0.0
    loop = asyncio.new_event_loop()
    ready: list[int] = []
    over = asyncio.Event()

    async def serve() -> None:
        server = await loop.create_server(StallingSink, "127.0.0.1", 0)
        async with server:
            ready.append(server.sockets[0].getsockname()[1])
            await over.wait()

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()))
    thread.start()
    try:
        until(lambda: ready)
        yield f"http://127.0.0.1:{ready[0]}"
    finally:
        loop.call_soon_threadsafe(over.set)
        thread.join()
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()


@pytest.mark.parametrize("flags", [[], ["--concurrency", "4"]], ids=["many connections", "few connections"])
def test_a_stall_of_a_second_shows_in_the_response_times(desk: Desk, flags: list[str]) -> None:
    """100/s for six seconds with one of silence: p99 is above 700 ms, the middle one the server's own."""
    with stalling() as url:
        found: dict[str, Any] = bench(desk, url, "--rate", "100/s", "--duration", "6s", "--keep", *flags).json
    assert (found["requests"], found["unsent"]) == (600, 0)
    assert found["response_time_ms"]["p99"] > 700
    assert found["response_time_ms"]["p50"] < 500
    if flags:
        assert found["late"]["ceiling"] > 50
        assert found["service_time_ms"]["p95"] < 700  # what a client that waits politely would have told


def test_a_starved_client_says_so(desk: Desk, server: Server) -> None:
    """Its process is held for a while: the percentiles are called unsound, and it is said when that was."""
    running = desk.start("bench", "--base-url", server.url, "--rate", "50/s", "--duration", "4s", "--keep")
    until(lambda: server.requests() > 40)
    running.signal(signal.SIGSTOP)
    time.sleep(1.5)  # the very thing that is tested: nothing of ours runs meanwhile
    running.signal(signal.SIGCONT)
    ended = running.wait()
    assert ended.code == 0, ended
    assert "THE CLIENT WAS THE BOTTLENECK" in ended.out
    assert "UNSOUND" in ended.out
    assert "its event loop was" in ended.out
