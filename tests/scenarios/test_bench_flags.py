"""What `bench` is told, and what it says of it, with the real command."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from tests.scenarios.rig import INT, Desk, Server, as_lines, until, webhook

README = Path(__file__).parents[2] / "README.md"


def test_the_first_command_of_the_readme_is_whole(desk: Desk, server: Server) -> None:
    """It brings the token that it needs; only the address and the time are others here."""
    line = re.search(
        r"^ +AUTH0_API_TOKEN=(\S+) bulkstreams (bench .*)$", README.read_text(encoding="utf-8"), re.MULTILINE
    )
    assert line is not None
    words = shlex.split(line[2])
    words[words.index("--base-url") + 1] = server.url
    words[words.index("--duration") + 1] = "0.5s"
    ended = desk.run(*words, env={"AUTH0_API_TOKEN": line[1]})
    assert ended.code == 0, ended
    assert server.requests() == 100
    words[words.index("--rate") + 1] = "20/s"
    assert "AUTH0_API_TOKEN=any-token" in desk.run(*words, env={"AUTH0_API_TOKEN": None}).err


def test_the_help_names_the_token_that_a_sandbox_takes(desk: Desk) -> None:
    """Whoever reads the help first has no other one."""
    assert "AUTH0_API_TOKEN=any-token" in desk.run("bench", "--help").out


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


def test_a_search_says_how_long_a_probe_is_and_knows_nothing_of_one_that_was_cut_short(
    desk: Desk, server: Server
) -> None:
    """Ctrl-C in the first: its measure wanted more requests than its time was for, and no rate is said to be none."""
    flags = ("--search", "p99<50ms", "--rate", "20/s", "--duration", "2s")
    for more in ([], ["--json"]):
        running = desk.start("bench", "--base-url", server.url, *flags, *more)
        before = server.requests()
        until(lambda before=before: server.requests() > before + 5)
        running.signal(INT)
        ended = running.wait()
        assert ended.code == 130, ended
        assert "a probe takes at least 1,000 requests for a p99: 50 s at 20/s, not 2 s" in ended.err
    found = ended.json["search"]
    assert (found["rate"], found["ended"], found["probes"]) == (None, "stopped", [])
    assert server.streams() == []


def test_the_help_says_that_a_probe_may_take_longer(desk: Desk) -> None:
    """Where the goal is read, before anybody waits."""
    told = " ".join(desk.run("bench", "--help").out.replace("│", " ").split())
    assert "probes take 1,000 requests for a p99, or 60 s at the most" in told


def test_lines_for_another_tenant_are_told_as_such(desk: Desk, server: Server) -> None:
    """They are sent to the one that is benched, and somebody may not have meant that."""
    rows = [{"stream": webhook("a"), "tenant": "acme"}, webhook("b"), {"stream": webhook("c"), "tenant": "beta"}]
    flags = ("--base-url", server.url, "--rate", "10/s", "--duration", "0.3s")
    ended = desk.run("bench", desk.write("in.jsonl", rows), *flags)
    host = server.url.removeprefix("http://").partition("/")[0]
    assert ended.code == 0, ended
    assert f'2 of 3 lines name another tenant, such as "acme": a bench sends all to {host}' in ended.err
    desk.write("one.json", rows[:1])
    ended = desk.run("bench", "--template", "one.json", *flags)
    assert f'the definition names another tenant, such as "acme": a bench sends all to {host}' in ended.err
    desk.write("ours.jsonl", [{**rows[0], "tenant": host}])
    assert "another tenant" not in desk.run("bench", "ours.jsonl", *flags).err


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (None, "--template one.json cannot be read: No such file or directory."),
        (b" \n", "--template one.json is empty."),
        (as_lines([webhook("a"), webhook("b")]), "--template one.json holds several definitions, a line each."),
        (b'{"name": "a",\n "status" 5}', "one.json:2: is not JSON: expecting ':' delimiter at column 11."),
        (b"5\n6\n", "one.json:2: is not JSON: extra data at column 1."),
    ],
)
def test_a_template_that_cannot_be_used_is_told_by_its_flag(
    desk: Desk, server: Server, data: bytes | None, told: str
) -> None:
    """With the line, and with what to do who meant an input."""
    if data is not None:
        desk.write("one.json", data)
    ended = desk.run("bench", "--base-url", server.url, "--template", "one.json")
    assert ended.code == 2, ended
    assert told in ended.err
    assert "A template is one definition, on as many lines as it likes" in ended.err
    assert server.requests() == 0


def test_a_template_may_begin_with_a_byte_order_mark(desk: Desk, server: Server) -> None:
    """As an input may."""
    desk.write("one.json", b"\xef\xbb\xbf" + as_lines([webhook(None)]))
    flags = ("--base-url", server.url, "--rate", "10/s", "--duration", "0.3s")
    assert desk.run("bench", "--template", "one.json", *flags).code == 0
    assert server.requests() == 3
