"""The command `sandbox`: each of its flags reaches the server that it starts."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from email.message import Message
from email.utils import parsedate_to_datetime
from http.client import HTTPException
from typing import NamedTuple
from urllib.error import HTTPError
from urllib.request import ProxyHandler, Request, build_opener

import pytest

from tests.sandbox.calls import STREAMS, action, webhook

PATIENCE_S = 30.0
DIRECT = build_opener(ProxyHandler({}))


class Heard(NamedTuple):
    """An answer, read to its end."""

    status: int
    headers: Message
    body: bytes


@contextmanager
def serving(*flags: str) -> Iterator[str]:
    """Run the command on a free port; its address, until left. It must end in order."""
    line = [sys.executable, "-W", "error", "-m", "bulkstreams", "sandbox", "--port", "0", "--seed", "7", *flags]
    with subprocess.Popen(line, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield process.stdout.readline().split()[2]
        finally:
            process.terminate()
            assert process.wait(PATIENCE_S) == 0


def ask(url: str, path: str = STREAMS, body: object = None, method: str | None = None) -> Heard:
    """Send one request, a look-up unless there is a body or a method, and read its answer, whatever it is."""
    headers = {"Authorization": "Bearer t", "Content-Type": "application/json"}
    data = None if body is None else json.dumps(body).encode()
    try:
        reply = DIRECT.open(Request(url + path, data, headers, method=method), timeout=PATIENCE_S)
    except HTTPError as error:
        reply = error
    with reply:
        return Heard(reply.status, reply.headers, reply.read())


def test_the_flags_of_the_limits_hold() -> None:
    """Both buckets, a clock that is a day behind and Retry-After are there as they were asked for."""
    unseen = ("--unseen-rate", "0.02", "--unseen-burst", "2", "--unseen-refill", "continuous")
    others = ("--clock-skew", "-86400", "--retry-after")
    with serving("--rate", "0.5", "--refill", "minute", *unseen, *others) as url:
        first = ask(url)
        assert first.headers["x-ratelimit-limit"] == "30"
        date = parsedate_to_datetime(first.headers["Date"]).timestamp()
        assert date <= time.time() - 86_400
        reset = int(first.headers["x-ratelimit-reset"])
        assert reset % 60 == 0
        assert 0 < reset - date <= 60
        made = json.loads(ask(url, "/_sandbox/books").body)
        assert made["seed"] == 7
        refused = [ask(url) for _ in range(2)][-1]
        assert (refused.status, refused.headers["x-ratelimit-remaining"] > "0") == (429, True)
        assert int(refused.headers["Retry-After"]) > 1


def test_a_burst_that_is_not_given_is_twenty_or_a_minutes_worth() -> None:
    """The default bucket is of 20, and one that fills by the minute holds a minute's rate."""
    for flags, limit in (((), "20"), (("--refill", "minute", "--rate", "2.5"), "150")):
        with serving(*flags) as url:
            assert ask(url).headers["x-ratelimit-limit"] == limit


def test_the_flags_of_trouble_and_company_hold() -> None:
    """Each plight is that of the tenants named, no header tells of limits, and a neighbour visits who is asked."""
    named = ("--throttling", "a", "--throttling", "b", "--refusing", "c", "--down", "d")
    with serving(*named, "--no-limit-headers", "--neighbour", "1000") as url:
        replies = {tenant: ask(f"{url}/t/{tenant}") for tenant in "abce"}
        assert {tenant: reply.status for tenant, reply in replies.items()} == {"a": 429, "b": 429, "c": 401, "e": 200}
        assert not any("x-ratelimit-limit" in reply.headers for reply in replies.values())
        with pytest.raises((OSError, HTTPException)):
            ask(f"{url}/t/d")
        while not json.loads(ask(f"{url}/t/e", "/_sandbox/books").body)["tenants"]["e"]["neighbour"]["taken"]:
            ask(f"{url}/t/e")


def made(url: str, body: object) -> str:
    """Create a stream and return its path."""
    reply = ask(url, body=body)
    assert reply.status == 201, reply
    return f"{STREAMS}/{json.loads(reply.body)['id']}"


def delivered(url: str, path: str) -> str:
    """Send a test event to a stream and return how its delivery ends, or that it is seen no more."""
    sent = json.loads(ask(url, f"{path}/test", {"event_type": "user.created"}).body)
    limit = time.monotonic() + PATIENCE_S
    while time.monotonic() < limit:
        seen = ask(url, f"{path}/deliveries/{sent['id']}")
        if seen.status == 404:
            return "vanished"
        if (status := json.loads(seen.body)["status"]) != "pending":
            return str(status)
    raise AssertionError("the delivery never ended")


def test_the_flags_of_actions_and_test_events_hold() -> None:
    """Actions are there, any may be called, deliveries take their time, fail by a glob, and vanish, as asked for."""
    actions = ("--action", "notify=a-1", "--action", "notify", "--any-action")
    flags = ("--delivery-time", "0.01", "--undeliverable", "b*", "--vanishing-deliveries", "--disabled-test", "refuse")
    with serving("--rate", "0", *actions, *flags) as url:
        listed = json.loads(ask(url, "/api/v2/actions/actions").body)
        assert [one["name"] for one in listed["actions"]] == ["notify", "notify"]
        assert listed["actions"][0]["id"] == "a-1" != listed["actions"][1]["id"]
        made(url, action("unheard-of"))
        assert [delivered(url, made(url, webhook(name))) for name in ("good", "bad")] == ["vanished", "failed"]
        off = made(url, webhook("off", status="disabled"))
        assert ask(url, f"{off}/test", {"event_type": "user.created"}).status == 400
    with serving("--rate", "0", "--action", "notify", "--delivery-time", "3600") as url:
        assert ask(url, body=action()).status == 400
        path = made(url, webhook())
        sent = json.loads(ask(url, f"{path}/test", {"event_type": "user.created"}).body)
        assert json.loads(ask(url, f"{path}/deliveries/{sent['id']}").body)["status"] == "pending"


def test_the_flags_of_scopes_and_kinds_of_faults_hold() -> None:
    """Scopes that are left out are missed, and faults befall the kinds of requests that are named, no others."""
    left_out = ("--without-scope", "read:actions", "--without-scope", "delete:event_streams")
    faults = ("--fault", "html-502=1", "--fault-on", "update", "--fault-on", "test")
    with serving("--rate", "0", *left_out, *faults) as url:
        path = made(url, webhook())
        assert ask(url, "/api/v2/actions/actions").status == 403
        assert ask(url, path, method="DELETE").status == 403
        assert ask(url, path, {"status": "disabled"}, "PATCH").status == 502
        assert ask(url, f"{path}/test", {"event_type": "user.created"}).status == 502
        assert ask(url, path).status == 200


@pytest.mark.parametrize(
    ("flags", "remedy"),
    [
        (("--action", "=a-1"), "NAME=ID"),
        (("--disabled-test", "drop"), "hold, refuse"),
        (("--without-scope", "read:action"), "read:actions"),
        (("--fault-on", "deletes"), "delete"),
        (("--refill", "hourly"), "continuous, window, minute"),
        (("--unseen-burst", "3"), "--unseen-rate"),
    ],
    ids=str,
)
def test_a_senseless_flag_is_refused_with_the_remedy(flags: tuple[str, ...], remedy: str) -> None:
    """The command ends with the code of wrong usage, and says what to write, without a traceback."""
    line = [sys.executable, "-W", "error", "-m", "bulkstreams", "sandbox", *flags]
    ended = subprocess.run(line, capture_output=True, text=True, timeout=PATIENCE_S)
    assert ended.returncode == 2
    assert remedy in ended.stderr
    assert "Traceback" not in ended.stderr
