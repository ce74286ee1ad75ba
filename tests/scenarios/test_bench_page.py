"""The page of a bench with the real command: whole or not at all, and refused before anything is sent."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.scenarios.rig import INT, SECRET, Desk, Ended, Server, until, webhooks

FLAGS = ("--rate", "50/s", "--duration", "1s", "--html", "bench.html")


def bench(desk: Desk, server: Server, *flags: str, **environment: str) -> Ended:
    """Run a bench to its end."""
    return desk.run("bench", "--base-url", server.url, "--json", *flags, env=environment)


def cells(path: Path) -> str:
    """Return a page's texts, a space between those of any two elements."""
    html = path.read_text(encoding="utf-8")
    return " ".join(re.sub(r"<[^>]*>", " ", html[html.index("<main>") : html.index("</main>")]).split())


def test_a_page_stands_beside_the_object(desk: Desk, serve: Callable[..., Server]) -> None:
    """Both tell the same numbers; the page names the server, holds no secret, and takes an older one's place."""
    server = serve(rate=20.0, burst=5)
    (desk.folder / "bench.html").write_text("an older one")
    ended = bench(desk, server, *FLAGS)
    assert ended.code == 0, ended
    found, text = ended.json, cells(desk.folder / "bench.html")
    assert found["errors"] > 0
    assert f"requests {found['requests']} in " in text
    assert f"errors {found['errors']} " in text
    for kind in ("response_time_ms", "service_time_ms"):
        assert " ".join(f"{found[kind][name]:,.4g}" for name in ("p50", "p90", "p95", "p99")) in text
    assert all(f"{status} {count}" in text for status, count in found["status"].items())
    assert server.url in text
    assert f"In force in this bench (run {found['run_id']}," in text
    assert "schedule 50/s 1s 50/s 30s --rate" in text
    assert "token ***" in text
    assert re.search(r"before what was created is deleted SHA-256 of the file: [0-9a-f]{64} input ", text)
    assert re.search(r"of its definitions without secrets: [0-9a-f]{64}", text)
    assert SECRET not in (desk.folder / "bench.html").read_text(encoding="utf-8")
    assert "open it in a browser" in ended.err
    assert server.streams() == []
    assert not list(desk.folder.glob(".bench*"))


def test_a_bench_that_is_stopped_has_a_page_of_what_it_measured(desk: Desk, server: Server) -> None:
    """Ctrl-C ends the load; what was created is deleted, and the page says that it was stopped."""
    flags = ("--rate", "50/s", "--duration", "60s", "--html", "bench.html")
    running = desk.start("bench", "--base-url", server.url, "--json", *flags)
    until(lambda: server.requests() > 20)
    running.signal(INT)
    ended = running.wait()
    assert ended.code == 130, ended
    text = cells(desk.folder / "bench.html")
    assert "Stopped early: interrupted" in text
    assert f"requests {ended.json['requests']} in " in text
    assert server.streams() == []


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--html", "no/such/folder.html"), "cannot be written"),
        (("--html", "."), "is not a file"),
        (("--html", "-"), "--html takes a file"),
        (("--html", "in.jsonl"), "would write over in.jsonl"),
        (("--html", "bench.ledger.db"), "would write over bench.ledger.db"),
        (("--html", "x.html", "--clean", "bench.ledger.db"), "--clean only deletes"),
    ],
)
def test_a_page_that_cannot_be_is_refused_before_anything_is_sent(
    desk: Desk, server: Server, flags: tuple[str, ...], words: str
) -> None:
    """Exit 2 with a word on it; nothing was sent, made or written over."""
    desk.write("in.jsonl", webhooks(3))
    before = {path.name: path.read_bytes() for path in desk.folder.iterdir() if path.is_file()}
    inputs = () if "--clean" in flags else ("in.jsonl",)
    ended = bench(desk, server, *inputs, *flags)
    assert (ended.code, ended.out) == (2, "")
    assert words in ended.err
    assert server.requests() == 0
    assert {path.name: path.read_bytes() for path in desk.folder.iterdir() if path.is_file()} == before


def test_where_a_package_is_missing_nothing_is_sent(desk: Desk, server: Server) -> None:
    """The command that installs it is told; a bench without a page needs none."""
    hidden = desk.folder / "hidden"
    hidden.mkdir()
    (hidden / "sitecustomize.py").write_text("import sys\nsys.modules['jinja2'] = None\n")
    ended = bench(desk, server, *FLAGS, PYTHONPATH=str(hidden))
    assert (ended.code, ended.out) == (2, "")
    assert f"Install it: {sys.executable} -m pip install" in ended.err
    assert server.requests() == 0
    assert not (desk.folder / "bench.html").exists()
    assert bench(desk, server, *FLAGS[:4], PYTHONPATH=str(hidden)).code == 0
