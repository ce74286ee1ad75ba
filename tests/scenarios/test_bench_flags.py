"""What `bench` is told, and what it says of it, with the real command."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from tests.scenarios.rig import INT, Desk, Server, until

README = Path(__file__).parents[2] / "README.md"


def test_the_first_command_of_the_readme_is_whole(desk: Desk, server: Server) -> None:
    """It brings the token that it needs; only the address and the time are others here."""
    line = re.search(
        r"^ +AUTH0_API_TOKEN=(\w+) bulkstreams (bench .*)$", README.read_text(encoding="utf-8"), re.MULTILINE
    )
    assert line is not None
    words = shlex.split(line[2])
    words[words.index("--base-url") + 1] = server.url
    words[words.index("--duration") + 1] = "0.5s"
    ended = desk.run(*words, env={"AUTH0_API_TOKEN": line[1]})
    assert ended.code == 0, ended
    assert server.requests() == 100
    words[words.index("--rate") + 1] = "20/s"
    assert "AUTH0_API_TOKEN=any" in desk.run(*words, env={"AUTH0_API_TOKEN": None}).err


def test_the_help_names_the_token_that_a_sandbox_takes(desk: Desk) -> None:
    """Whoever reads the help first has no other one."""
    assert "AUTH0_API_TOKEN=any" in desk.run("bench", "--help").out


def test_a_load_of_a_day_begins_at_once(desk: Desk, server: Server) -> None:
    """Its definitions are made on as it goes: of four millions, those of a few seconds are in the ledger."""
    flags = ("--rate", "50/s", "--duration", "24h", "--json")
    running = desk.start("bench", "--base-url", server.url, *flags)
    until(lambda: server.requests() > 30)
    running.signal(INT)
    ended = running.wait()
    assert ended.code == 130, ended
    assert server.streams() == []
    assert 30 < sum(desk.states("bench.ledger.db").values()) < 10_000


def test_a_search_of_many_requests_makes_them_as_it_goes(desk: Desk, server: Server) -> None:
    """As of any other load: of a probe of an hour at 100/s, only so many are made as its end wants."""
    flags = ("--search", "p99<10s", "--rate", "100/s", "--duration", "1h", "--json")
    running = desk.start("bench", "--base-url", server.url, *flags)
    until(lambda: server.requests() > 30)
    running.signal(INT)
    assert running.wait().code == 130
    assert server.streams() == []
    assert 30 < sum(desk.states("bench.ledger.db").values()) < 10_000
