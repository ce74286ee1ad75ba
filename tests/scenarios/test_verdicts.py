"""The contract's table of answers: what each does to its record, judged by the sandbox's books."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from tests.scenarios.rig import Desk, Server, configuration, for_each, nameless, once_each, webhook, webhooks

AFTER = ("error-after", "reset-after", "hang-after", "truncate", "late")
BEFORE = ("error-before", "reset-before", "html-502")


def test_lost_answers_are_looked_up_and_no_stream_is_created_twice(desk: Desk, serve: Callable[..., Server]) -> None:
    """Whatever hides an answer, before or after the effect: each is created once, also where the API takes doubles."""
    named, without = webhooks(12), nameless(12)
    servers = {
        f"{fault}-{kind}": serve(faults={fault: 0.25}, unique_names=kind == "unique")
        for fault in (*AFTER, *BEFORE)
        for kind in ("unique", "doubles", "nameless")
    }
    desk.write("bulkstreams.toml", configuration(servers))
    kinds = {kind: [name for name in servers if name.endswith(kind)] for kind in ("unique", "doubles", "nameless")}
    rows = for_each(kinds["unique"] + kinds["doubles"], named) + for_each(kinds["nameless"], without)
    ended = desk.run("run", desk.write("in.jsonl", rows), "--timeout", "1", "--retries", "9", "--json")
    assert (ended.code, ended.records) == (0, {"total": len(rows), "created": len(rows)}), ended
    recovered = Counter(row["tenant"] for row in desk.settled() if row["recovered"])
    assert ended.json["this_run"]["recovered"] == recovered.total()
    for name, server in servers.items():
        assert server.faults() > 0, name
        assert server.accepted(name) == once_each(without if name.endswith("nameless") else named), name
        fault = name.rpartition("-")[0]
        met = server.books()["tenants"][name]["faults"][fault]
        assert recovered[name] == (met if fault in AFTER else 0), name
    for name in kinds["nameless"]:
        endpoints = Counter(one["destination"]["configuration"]["webhook_endpoint"] for one in servers[name].streams(name))
        assert endpoints == {f"https://example.com/{i}": 1 for i in range(12)}, name


def test_429s_cost_no_attempt(desk: Desk, serve: Callable[..., Server]) -> None:
    """A small bucket and random 429s slow a run down; with no retry allowed, still nothing is lost."""
    servers = {
        "bucket": serve(rate=5, burst=2),
        "window": serve(rate=5, burst=2, refill="window", retry_after=True),
        "throttle": serve(rate=40, burst=10, faults={"throttle": 0.3}),
    }
    rows = webhooks(10)
    desk.write("bulkstreams.toml", configuration(servers))
    desk.write("in.jsonl", for_each(servers, rows))
    ended = desk.run("run", "in.jsonl", "--retries", "0", "--rate", "max", "--json")
    assert (ended.code, ended.records) == (0, {"total": 30, "created": 30}), ended
    refused = 0
    for name, server in servers.items():
        assert server.accepted(name) == once_each(rows), name
        refused += (mine := server.books()["tenants"][name]["statuses"].get("429", 0))
        assert mine > 0, name
    assert ended.json["this_run"]["throttled"] == refused
    assert {row["attempts"] for row in desk.settled()} == {1}


def test_a_taken_name_is_exists_where_equal_and_conflict_where_different(desk: Desk, server: Server) -> None:
    """A 409 is looked up: an equal stream exists, a different one is a conflict that names the differing parts."""
    other = webhook("c", status="disabled", subscriptions=[{"event_type": "user.deleted"}])
    server.seed(webhook("e", secret="another"), other)
    ended = desk.provision(server, desk.write("in.jsonl", [webhook("e"), webhook("c"), webhook("n")]))
    assert (ended.code, ended.records) == (1, {"total": 3, "created": 1, "exists": 1, "conflict": 1}), ended
    rows = {row["name"]: row for row in desk.results()}
    live = {one["name"]: one["id"] for one in server.streams()}
    assert rows["e"]["state"] == "exists"
    assert rows["e"]["remote_id"] == live["e"]
    assert rows["c"]["state"] == "conflict"
    assert "subscriptions, status" in rows["c"]["message"]
    assert "destination" not in rows["c"]["message"]
    creates = server.requests()
    again = desk.provision(server, "in.jsonl")
    assert (again.code, server.requests()) == (1, creates), again
    asked = desk.provision(server, "in.jsonl", "--retry-failed")
    assert (asked.code, server.requests()) == (1, creates + 1), asked
    assert server.accepted() == {"e": 1, "c": 1, "n": 1}


def test_one_tenants_trouble_costs_the_others_nothing(desk: Desk, serve: Callable[..., Server]) -> None:
    """A full quota stops its tenant, an unreachable one exhausts its records; a third creates all; a rerun completes."""
    with Server() as down:
        servers = {"full": (small := serve(quota=3)), "free": (free := serve()), "down": down}
        desk.write("bulkstreams.toml", configuration(servers))
    names = {"full": 6, "free": 20, "down": 2}
    rows = [{"tenant": tenant, "stream": webhook(f"s{i}")} for i in range(20) for tenant, n in names.items() if i < n]
    desk.write("in.jsonl", rows)
    ended = desk.run("run", "in.jsonl", "--retries", "1")
    assert ended.code == 4, ended
    assert "stopped full" in ended.err
    assert "quota" in ended.err
    status = json.loads(desk.run("status", "in.ledger.db", "--json").out)
    full = status["tenants"].pop("full")
    assert full.pop("created") == full.get("pending", 0) + full.get("in_doubt", 0) == 3
    assert status["tenants"] == {"free": {"created": 20}, "down": {"exhausted": 2}}
    assert list(status["last_run"]["stopped"]) == ["full"]
    assert sum(small.accepted("full").values()) == 3
    assert free.accepted("free") == {f"s{i}": 1 for i in range(20)}


def test_an_unplugged_server_exhausts_and_a_rerun_creates(desk: Desk, serve: Callable[..., Server]) -> None:
    """Nothing was ever sent, so exit 1 with every record exhausted; with the server back they are created."""
    with Server() as gone:
        port, url = gone.port, gone.url
    rows = webhooks(5)
    ended = desk.run("run", desk.write("in.jsonl", rows), "--base-url", url, "--retries", "1", "--json")
    assert (ended.code, ended.records) == (1, {"total": 5, "exhausted": 5}), ended
    assert {row["attempts"] for row in desk.settled()} == {2}
    assert all("never sent" in row["message"] for row in desk.settled())
    server = serve(port=port)
    again = desk.provision(server, "in.jsonl")
    assert (again.code, again.records) == (0, {"total": 5, "created": 5}), again
    assert server.accepted() == once_each(rows)


def test_5_where_doubts_remain_since_look_ups_fail_too(desk: Desk, serve: Callable[..., Server]) -> None:
    """A server that fails for good leaves doubts, never a resend, and exit 5."""
    server = serve(faults={"error-before": 1.0})
    ended = desk.provision(server, desk.write("in.jsonl", webhooks(3)), "--retries", "0")
    assert (ended.code, ended.records) == (5, {"total": 3, "in_doubt": 3}), ended
    assert not server.accepted()
    assert server.requests() == 3


class Odd(BaseHTTPRequestHandler):
    """Answers the first create of a stream with the status that its name says, later ones with 201."""

    protocol_version = "HTTP/1.1"
    posts: Counter[str]
    strays: list[str]

    def do_POST(self) -> None:
        """Answer a create."""
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        name = body["name"]
        self.posts[name] += 1
        status = int(name) if self.posts[name] == 1 else 201
        where = {"Location": f"http://{self.headers['Host']}/stray"} if 300 <= status < 400 else {}
        self.answer(status, {"id": f"est_{name}"} if status in {201, 202} else {"message": f"says {name}"}, where)

    def do_GET(self) -> None:
        """Answer a look-up: there is nothing. Or note who followed a redirect."""
        if self.path.startswith("/stray"):
            self.strays.append(self.path)
        self.answer(200, {"eventStreams": []}, {})

    def answer(self, status: int, body: Any, headers: dict[str, str]) -> None:
        """Send an answer."""
        data = json.dumps(body).encode()
        self.send_response(status)
        for name, value in {**headers, "Content-Type": "application/json", "Content-Length": str(len(data))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture
def odd() -> Iterator[Any]:
    """Serve odd answers."""
    handler = type("OneOdd", (Odd,), {"posts": Counter(), "strays": []})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield handler, f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


REFUSED = ("301", "302", "307", "308", "400", "402", "410", "413", "415", "422", "451")
DOUBTFUL = ("408", "500", "501", "502", "503", "504", "520", "521", "522", "523", "524")


def test_each_status_has_its_verdict(desk: Desk, odd: Any) -> None:
    """Redirects and refusals are final and never followed; ambiguous ones are looked up, then sent again once."""
    handler, url = odd
    desk.write("in.jsonl", [webhook(name) for name in (*REFUSED, *DOUBTFUL, "202")])
    ended = desk.run("run", "in.jsonl", "--base-url", url, "--json")
    assert ended.code == 1, ended
    rows = {row["name"]: row for row in desk.results()}
    assert {name: rows[name]["state"] for name in REFUSED} == dict.fromkeys(REFUSED, "refused")
    assert {name: rows[name]["http_status"] for name in REFUSED} == {name: int(name) for name in REFUSED}
    assert {name: rows[name]["message"] for name in REFUSED} == {name: f"says {name}" for name in REFUSED}
    assert {name: rows[name]["state"] for name in DOUBTFUL} == dict.fromkeys(DOUBTFUL, "created")
    assert rows["202"]["state"] == "created"
    expected = {**dict.fromkeys(REFUSED, 1), **dict.fromkeys(DOUBTFUL, 2), "202": 1}
    assert handler.posts == expected
    assert handler.strays == []
