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

from tests.sandbox.calls import STREAMS

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


def ask(url: str, path: str = STREAMS) -> Heard:
    """Send one look-up and read its answer, whatever it is."""
    try:
        reply = DIRECT.open(Request(url + path, headers={"Authorization": "Bearer t"}), timeout=PATIENCE_S)
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


@pytest.mark.parametrize(
    ("flags", "remedy"),
    [
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
