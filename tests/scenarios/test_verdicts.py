"""The contract's table of answers: what each does to its record, judged by the sandbox's books."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from tests.scenarios.rig import Desk, Server, configuration, for_each, nameless, once_each, webhook, webhooks

AFTER = ("error-after", "reset-after", "hang-after", "truncate", "late")
BEFORE = ("error-before", "reset-before", "html-502")


KINDS = ("unique", "doubles", "nameless")
NAMED, NAMELESS, THROTTLED = webhooks(12), nameless(12), webhooks(10)


class Troubles:
    """Runs that each wait for seconds, so that they go on at the same time: lost answers, 429s, two dead servers."""

    def __init__(self, desks: Callable[[str], Desk], serve: Callable[..., Server]) -> None:
        self.lossy = {
            f"{fault}-{kind}": serve(faults={fault: 0.25}, unique_names=kind == "unique")
            for fault in (*AFTER, *BEFORE)
            for kind in KINDS
        }
        self.throttling = {
            "bucket": serve(rate=5, burst=2),
            "window": serve(rate=5, burst=2, refill="window", retry_after=True),
            "throttle": serve(rate=40, burst=10, faults={"throttle": 0.3}),
        }
        self.dead, self.dead_to_all = serve(faults={"error-before": 1.0}), serve(faults={"html-502": 1.0})
        self.losses, self.throttles = desks("losses"), desks("throttles")
        self.deaths, self.blind = desks("deaths"), desks("blind")
        named = [name for name in self.lossy if not name.endswith("nameless")]
        without = [name for name in self.lossy if name.endswith("nameless")]
        self.losses.write("bulkstreams.toml", configuration(self.lossy))
        self.losses.write("in.jsonl", for_each(named, NAMED) + for_each(without, NAMELESS))
        self.throttles.write("bulkstreams.toml", configuration(self.throttling))
        self.throttles.write("in.jsonl", for_each(self.throttling, THROTTLED))
        self.deaths.write("in.jsonl", webhooks(3))
        self.blind.write("in.jsonl", webhooks(3))
        runs = [
            self.losses.start("run", "in.jsonl", "--timeout", "1", "--retries", "9", "--json"),
            self.throttles.start("run", "in.jsonl", "--retries", "0", "--rate", "max", "--json"),
            self.deaths.start_provision(self.dead, "in.jsonl", "--retries", "0", "--no-preflight"),
            self.blind.start_provision(self.dead_to_all, "in.jsonl", "--retries", "0"),
        ]
        self.lost, self.throttled, self.died, self.unseen = [running.wait() for running in runs]


@pytest.fixture(scope="module")
def troubles(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Troubles]:
    """Let the three runs happen, once for all who judge them."""
    folder = tmp_path_factory.mktemp("troubles")
    with ExitStack() as stack:

        def desk(name: str) -> Desk:
            return stack.enter_context(closing(Desk(folder / name)))

        yield Troubles(desk, lambda **settings: stack.enter_context(Server(**settings)))


def test_lost_answers_are_looked_up_and_no_stream_is_created_twice(troubles: Troubles) -> None:
    """Whatever hides an answer, before or after the effect: each is created once, also where the API takes doubles."""
    ended = troubles.lost
    total = 12 * len(troubles.lossy)
    assert (ended.code, ended.records) == (0, {"total": total, "created": total}), ended
    recovered = Counter(row["tenant"] for row in troubles.losses.settled() if row["recovered"])
    assert ended.json["this_run"]["recovered"] == recovered.total()
    for name, server in troubles.lossy.items():
        fault, _, kind = name.rpartition("-")
        assert server.accepted(name) == once_each(NAMELESS if kind == "nameless" else NAMED), name
        met = server.books()["tenants"][name]["faults"][fault]
        assert met > 0, name
        assert recovered[name] == (met if fault in AFTER else 0), name


def test_streams_without_a_name_are_created_once_each(troubles: Troubles) -> None:
    """Where there is no name to look up, the definition itself tells whether a create was applied."""
    for name, server in troubles.lossy.items():
        if name.endswith("nameless"):
            shown = [one["destination"]["configuration"]["webhook_endpoint"] for one in server.streams(name)]
            assert Counter(shown) == {f"https://example.com/{i}": 1 for i in range(12)}, name


def test_429s_cost_no_attempt(troubles: Troubles) -> None:
    """A small bucket and random 429s slow a run down; with no retry allowed, still nothing is lost."""
    ended = troubles.throttled
    assert (ended.code, ended.records) == (0, {"total": 30, "created": 30}), ended
    refused = 0
    for name, server in troubles.throttling.items():
        assert server.accepted(name) == once_each(THROTTLED), name
        refused += (mine := server.books()["tenants"][name]["statuses"].get("429", 0))
        assert mine > 0, name
    assert ended.json["this_run"]["throttled"] == refused
    assert {row["attempts"] for row in troubles.throttles.settled()} == {1}


def test_5_where_doubts_remain_since_look_ups_fail_too(troubles: Troubles) -> None:
    """A server that fails for good leaves doubts, never a resend, and exit 5."""
    assert (troubles.died.code, troubles.died.records) == (5, {"total": 3, "in_doubt": 3}), troubles.died
    assert not troubles.dead.accepted()
    assert troubles.dead.requests() == 3


def test_4_where_the_tenant_cannot_be_looked_at_before_the_first_create(troubles: Troubles) -> None:
    """Without knowing what is there nothing is sent: all is pending, and the message says what to do."""
    assert (troubles.unseen.code, troubles.unseen.records) == (4, {"total": 3, "pending": 3}), troubles.unseen
    assert troubles.dead_to_all.requests() == 0


def test_a_taken_name_is_exists_where_equal_and_conflict_where_different(desk: Desk, server: Server) -> None:
    """A 409 is looked up: an equal stream exists, a different one is a conflict that names the differing parts."""
    other = webhook("c", status="disabled", subscriptions=[{"event_type": "user.deleted"}])
    server.seed(webhook("e", secret="another"), other)
    lines = desk.write("in.jsonl", [webhook("e"), webhook("c"), webhook("n")])
    ended = desk.provision(server, lines, "--no-preflight")
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
    asked = desk.provision(server, "in.jsonl", "--retry-failed", "--no-preflight")
    assert (asked.code, server.requests()) == (1, creates + 1), asked
    assert server.accepted() == {"e": 1, "c": 1, "n": 1}


def test_one_tenants_trouble_costs_the_others_nothing(desk: Desk, serve: Callable[..., Server]) -> None:
    """A full quota stops its tenant, an unreachable one exhausts its records, a third creates all."""
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
    small.remove("s0", tenant="full")
    small.remove("s1", tenant="full")
    again = desk.run("run", "in.jsonl", "--retries", "0", "--json")
    assert again.code == 4, again
    assert again.json["this_run"]["created"] == 2
    assert set(small.accepted("full").values()) == {1}
    assert sum(small.accepted("full").values()) == 5


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
