"""`--metrics-port`: what the real command serves while it goes on, and what it says where it cannot."""

from __future__ import annotations

import re
import signal
import socket
import sys
from collections.abc import Callable
from urllib.error import URLError
from urllib.request import ProxyHandler, build_opener

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.scenarios.rig import PATIENCE_S, Desk, Running, Server, leaks, until, webhooks

OPENER = build_opener(ProxyHandler({}))
ADDRESS = re.compile(r"^metrics: (http://127\.0\.0\.1:\d+/metrics)$", re.MULTILINE)


def address(run: Running) -> str:
    """Wait until a command has said where its metrics are."""
    found: re.Match[str] = until(lambda: ADDRESS.search(run.err))
    return found[1]


def scrape(url: str) -> dict[str, float]:
    """Return the values that are served, labels in braces where there are any; nothing of a secret is among them."""
    with OPENER.open(url, timeout=PATIENCE_S) as answer:
        assert answer.headers["Content-Type"].startswith("text/plain")
        data = answer.read()
    assert not leaks(data)
    assert b"audit" not in data, "no record is named"
    return {
        one.name.removeprefix("bulkstreams_") + "".join(f"{{{value}}}" for value in one.labels.values()): one.value
        for family in text_string_to_metric_families(data.decode())
        for one in family.samples
    }


def is_over(url: str) -> bool:
    """Return whether nothing is served any more."""
    try:
        scrape(url)
    except (URLError, ConnectionError):
        return True
    return False


def test_a_run_is_scraped_while_it_goes_on(desk: Desk, server: Server) -> None:
    """Its counts grow and never fall, and agree with each other; they are those of the ledger, and end with the run."""
    desk.write("in.jsonl", webhooks(2000, "audit"))
    run = desk.start_provision(server, "in.jsonl", "--metrics-port", "0", "--no-preflight", "--rate", "20")
    url = address(run)
    first = until(lambda: (found := scrape(url)).get("records_total{created}") and found)
    more = until(lambda: (found := scrape(url))["records_total{created}"] > first["records_total{created}"] and found)
    assert all(value <= more[name] for name, value in first.items() if name.endswith(("_total", "_count", "_sum")))
    assert more["lines_total"] == 2000
    assert more["requests_total"] >= more["records_total{created}"] == more["create_service_seconds_bucket{+Inf}"]
    assert more["records_total{created}"] + more["records_left"] == 2000
    assert (more["lanes"], more["allowed_requests_per_second"]) == (1, 20)
    assert more["elapsed_seconds"] > first["elapsed_seconds"] > 0
    run.signal(signal.SIGINT)
    ended = run.wait()
    assert ended.code == 130, ended
    assert ended.json["this_run"]["created"] >= more["records_total{created}"]
    assert is_over(url)


def test_a_pause_is_told_with_its_tenant(desk: Desk, serve: Callable[..., Server]) -> None:
    """A 429 that says to wait: the lane, why nothing goes to it, and for how long."""
    server = serve(rate=1, burst=2, retry_after=True)
    desk.write("in.jsonl", webhooks(30, "audit"))
    run = desk.start_provision(server, "in.jsonl", "--metrics-port", "0", "--rate", "max", "--no-preflight")
    url = address(run)
    found = until(lambda: (now := scrape(url)).get("lanes_waiting{throttled}") and now)
    assert found["throttled_total"] > 0
    pauses = [value for name, value in found.items() if name.startswith("lane_pause_seconds{") and "throttled" in name]
    assert len(pauses) == 1
    assert pauses[0] > 0
    run.signal(signal.SIGTERM)
    assert run.wait().code == 143
    assert is_over(url)


def test_undo_serves_what_it_deletes(desk: Desk, server: Server) -> None:
    """Its errands by what became of them, and what is left."""
    desk.write("in.jsonl", webhooks(300, "audit"))
    assert desk.provision(server, "in.jsonl").code == 0
    run = desk.start("undo", "in.ledger.db", "--yes", "--base-url", server.url, "--metrics-port", "0", "--rate", "20")
    url = address(run)
    found = until(lambda: (now := scrape(url)).get("errands_total{undo}{deleted}") and now)
    assert found["errands_total{undo}{deleted}"] + found["records_left"] == 300
    assert found["lookups_total"] > 0
    run.signal(signal.SIGINT)
    assert run.wait().code == 130
    assert len(server.streams()) <= 300 - found["errands_total{undo}{deleted}"]


def test_a_run_that_comes_to_its_end_ends_what_it_serves(desk: Desk, server: Server) -> None:
    """The server's threads hold nothing up: all is created, the address was told, and nobody answers there."""
    desk.write("in.jsonl", webhooks(3))
    run = desk.start_provision(server, "in.jsonl", "--metrics-port", "0")
    url = address(run)
    ended = run.wait()
    assert (ended.code, ended.records) == (0, {"total": 3, "created": 3})
    assert is_over(url)


def test_without_the_flag_nothing_is_served_and_the_library_not_loaded(desk: Desk, server: Server) -> None:
    """A run needs no package of the extra; with the flag the command that installs it is told, and nothing is sent."""
    desk.write("in.jsonl", webhooks(3))
    hidden = desk.folder / "hidden"
    hidden.mkdir()
    (hidden / "sitecustomize.py").write_text("import sys\nsys.modules['prometheus_client'] = None\n")
    env = {"PYTHONPATH": str(hidden)}
    refused = desk.provision(server, "in.jsonl", "--metrics-port", "0", env=env)
    assert (refused.code, refused.out) == (2, "")
    assert "`--metrics-port` needs a package that is not installed (prometheus_client)" in refused.err
    assert f"Install it: {sys.executable} -m pip install 'prometheus-client" in refused.err
    assert not server.books()["tenants"]
    assert not (desk.folder / "in.ledger.db").exists()
    ended = desk.provision(server, "in.jsonl", env=env)
    assert (ended.code, ended.records) == (0, {"total": 3, "created": 3})
    assert "metrics" not in ended.err


def test_a_port_that_is_taken_ends_the_command_before_anything_is_sent(desk: Desk, server: Server) -> None:
    """Exit 2 with a remedy; no ledger is made."""
    desk.write("in.jsonl", webhooks(3))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ended = desk.provision(server, "in.jsonl", "--metrics-port", str(port))
    assert ended.code == 2, ended
    assert f"metrics cannot be served at 127.0.0.1:{port}: Address already in use; nothing was sent." in ended.err
    assert "0 for any that is free" in ended.err
    assert not server.books()["tenants"]
    assert {path.name for path in desk.folder.iterdir()} == {"in.jsonl"}


@pytest.mark.parametrize("port", ["-1", "65536", "x"])
def test_what_is_no_port_is_refused(desk: Desk, server: Server, port: str) -> None:
    """Exit 2, before anything is read or sent."""
    desk.write("in.jsonl", webhooks(1))
    assert desk.provision(server, "in.jsonl", "--metrics-port", port).code == 2
    assert not server.books()["tenants"]
