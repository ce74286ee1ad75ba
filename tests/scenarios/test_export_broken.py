"""`export` where something ends it, or stands in its way: what is not whole never passes for whole."""

from __future__ import annotations

import array
import fcntl
import os
import subprocess
import sys
import termios
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.scenarios.rig import INT, KILL, TERM, Desk, Running, Server, configuration, until, webhook, webhooks
from tests.scenarios.volume import Volume, why_not

Serve = Callable[..., Server]

BEFORE = b'{"name": "what stood there before"}\n'


def half_way(serve: Serve, streams: int = 120) -> Server:
    """Return a server that shows the first page of so many streams, and then has no budget for a long time."""
    server = serve(rate=0.001, burst=streams + 1)
    server.seed(*webhooks(streams))
    return server


def start(desk: Desk, server: Server, *flags: str) -> Running:
    """Start an export, and wait until the first page is read."""
    running = desk.start("export", "--base-url", server.url, *flags)
    until(lambda: server.requests("list") == 1)
    return running


def files(desk: Desk) -> set[str]:
    """Return the names of all files of a desk, hidden ones included."""
    return {path.name for path in desk.folder.iterdir()}


@pytest.mark.parametrize(("number", "code"), [(KILL, -9), (TERM, 143), (INT, 130)])
def test_an_export_that_is_ended_half_way_leaves_no_file(desk: Desk, serve: Serve, number: int, code: int) -> None:
    """What stood there before still does, nothing new lies beside it, and no template says that there is an export."""
    server = half_way(serve)
    (desk.folder / "a.jsonl").write_bytes(BEFORE)
    running = start(desk, server, "--output", "a.jsonl", "--env-template", "secrets.env")
    running.signal(number)
    ended = running.wait()
    assert ended.code == code, ended
    assert files(desk) == {"a.jsonl"}
    assert (desk.folder / "a.jsonl").read_bytes() == BEFORE
    if number != KILL:
        assert "not whole: nothing was put in the place of a.jsonl" in ended.err
        assert ended.err.splitlines()[-1].startswith("To export again: bulkstreams export ")


@pytest.mark.parametrize(("flags", "number", "code"), [((), INT, 130), ((), TERM, 143), (("--deadline", "1s"), 0, 4)])
def test_standard_output_that_is_not_whole_holds_whole_lines_and_is_told(
    desk: Desk, serve: Serve, flags: tuple[str, ...], number: int, code: int
) -> None:
    """The exit code is not 0, and what was written of the tenant is counted; no list of secrets makes it look done."""
    server = half_way(serve)
    running = start(desk, server, *flags)
    if number:
        until(lambda: len(running._out) > 0)
        running.signal(number)
    ended = running.wait()
    assert ended.code == code, ended
    assert [row["name"] for row in ended.rows] == [f"s{i}" for i in range(50)]
    assert "not whole" in ended.err
    assert "written of 127.0.0.1:" in ended.err
    assert ended.err.count(": 50 lines\n") == 1
    assert "S0_TOKEN" not in ended.err


def test_the_same_command_completes_it_later(desk: Desk, serve: Serve) -> None:
    """Nothing stands in the way of another export; its file is like any other's, and replaces what was there."""
    server = serve(latency=(0.02, 0.02))
    server.seed(*webhooks(200))
    place = desk.folder / "a.jsonl"
    place.write_bytes(BEFORE)
    place.chmod(0o640)
    (desk.folder / "link.jsonl").symlink_to("a.jsonl")
    running = start(desk, server, "--output", "link.jsonl")
    running.signal(TERM)
    assert running.wait().code == 143
    ended = desk.run("export", "--base-url", server.url, "--output", "link.jsonl")
    assert ended.code == 0, ended
    assert (desk.folder / "link.jsonl").is_symlink()
    assert place.read_bytes().count(b"\n") == 200
    assert place.stat().st_mode & 0o777 == 0o640
    fresh = desk.run("export", "--base-url", server.url, "--output", "fresh.jsonl")
    assert fresh.code == 0, fresh
    mask = os.umask(0)
    os.umask(mask)
    assert (desk.folder / "fresh.jsonl").stat().st_mode & 0o777 == 0o666 & ~mask


def test_a_server_that_misbehaves_is_asked_again(desk: Desk, serve: Serve) -> None:
    """Errors, resets, throttling and a proxy's pages cost time, never a stream, nor one twice."""
    faults = dict.fromkeys(("error-before", "reset-before", "html-502", "throttle"), 0.12)
    server = serve(faults=faults, faults_on=["list"])
    server.seed(*webhooks(500))
    ended = desk.run("export", "--base-url", server.url)
    assert ended.code == 0, ended
    assert [row["name"] for row in ended.rows] == [f"s{i}" for i in range(500)]
    assert server.faults() >= 3


def test_it_keeps_to_the_budget(desk: Desk, serve: Serve) -> None:
    """With a rate of its own, or the server's, not one request is thrown away on a 429."""
    server = serve(rate=10.0, burst=302)
    server.seed(*webhooks(300))
    for flags in ([], ["--rate", "5"]):
        ended = desk.run("export", "--base-url", server.url, *flags)
        assert ended.code == 0, ended
        assert len(ended.rows) == 300
    assert "429" not in server.books()["tenants"]["sandbox"]["statuses"]


@pytest.mark.parametrize("flags", [["--output", "a.jsonl", "--json"], []])
def test_one_tenant_that_refuses_is_named_and_the_others_are_not_lost(
    desk: Desk, serve: Serve, flags: list[str]
) -> None:
    """Standard output gets the lines of those that were read whole; a file is not written over it."""
    server = serve(refusing=["bad"], scopes=["read:event_streams", "create:event_streams"])
    blind = serve(scopes=["create:event_streams"])
    for tenant in ("good", "fine"):
        server.seed(*webhooks(60), tenant=tenant)
    desk.write("bulkstreams.toml", configuration({"good": server, "bad": server, "blind": blind, "fine": server}))
    ended = desk.run("export", "--all-tenants", *flags)
    assert ended.code == 4, ended
    assert "refused the token (401)" in ended.err
    assert "read:event_streams" in ended.err
    assert "not whole" in ended.err
    if flags:
        assert files(desk) == {"bulkstreams.toml"}
        assert ended.json["output"] is None
        assert (ended.json["exit_code"], set(ended.json["stopped"])) == (4, {"bad", "blind"})
    else:
        assert [row["tenant"] for row in ended.rows] == ["good"] * 60 + ["fine"] * 60
        assert "written of bad: nothing" in ended.err
        assert "written of blind: nothing" in ended.err


def test_an_interruption_of_several_writes_nothing(desk: Desk, serve: Serve) -> None:
    """Whoever leaves while one tenant is still read gets no lines of the others: it is told that nothing is whole."""
    slow, fast = half_way(serve), serve()
    fast.seed(webhook())
    desk.write("bulkstreams.toml", configuration({"fast": fast, "slow": slow}).replace(b"/t/slow", b""))
    running = desk.start("export", "--all-tenants")
    until(lambda: fast.requests("list") == 1 and slow.requests("list") == 1)
    running.signal(INT)
    ended = running.wait()
    assert (ended.code, ended.out) == (130, ""), ended
    assert "not whole" in ended.err
    assert "written of slow: nothing" in ended.err


def test_a_tenant_that_cannot_be_reached_is_told(desk: Desk) -> None:
    """Exit code 4, the reason, and nothing written."""
    ended = desk.run("export", "--base-url", "http://127.0.0.1:9", "--deadline", "1s", "--output", "a.jsonl")
    assert ended.code == 4, ended
    assert "not whole" in ended.err
    assert files(desk) == set()


# -- outlets that do not take it --------------------------------------------------------------------------------------


@pytest.mark.skipif(bool(why_not()), reason=why_not() or "a disk can be mounted")
@pytest.mark.parametrize("target", [["--output", "small/a.jsonl"], ["--env-template", "small/secrets.env"]])
def test_a_full_disk_is_told_and_spoils_nothing(desk: Desk, server: Server, target: list[str]) -> None:
    """The sentence names the file; what stood there before still does, and there is no piece of the new one."""
    server.seed(*webhooks(300))
    with Volume(desk, "1M") as disk:
        (disk.folder / "a.jsonl").write_bytes(BEFORE)
        disk.fill()
        ended = desk.run("export", "--base-url", server.url, *target)
        left = {path.name for path in disk.folder.iterdir()}
        before = (disk.folder / "a.jsonl").read_bytes()
    assert ended.code in {1, 2}, ended
    assert f"error: {target[1]} cannot be written: No space left on device" in ended.err
    assert left == {"a.jsonl", "junk"}
    assert before == BEFORE


@pytest.mark.skipif(bool(why_not()), reason=why_not() or "a disk can be mounted")
def test_a_full_temporary_folder_is_told(desk: Desk, server: Server) -> None:
    """What several tenants have must be kept somewhere until it is whole."""
    for tenant in ("a", "b"):
        server.seed(*webhooks(300), tenant=tenant)
    desk.write("bulkstreams.toml", configuration({"a": server, "b": server}))
    with Volume(desk, "64k"):
        ended = desk.run("export", "--all-tenants", env={"TMPDIR": str(desk.folder / "small")})
    assert (ended.code, ended.out) == (1, ""), ended
    assert "No space left on device" in ended.err
    assert "TMPDIR" in ended.err


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
def test_standard_output_that_takes_nothing_is_told(desk: Desk, server: Server) -> None:
    """The sentence names the cause, and the exit code is not success."""
    server.seed(webhook())
    with Path("/dev/full").open("wb") as full:
        ended = subprocess.run(
            [sys.executable, "-m", "bulkstreams", "export", "--base-url", server.url],
            cwd=desk.folder, env=desk.environment, stdout=full, stderr=subprocess.PIPE, text=True, timeout=60,
        )  # fmt: skip
    assert ended.returncode == 1
    assert "error: standard output cannot be written: No space left on device" in ended.stderr


def into_a_pipe(desk: Desk, server: Server, *where: str) -> tuple[Running, int]:
    """Start an export of more than a pipe holds into one; return it, and the end of the pipe that nobody reads."""
    server.seed(*webhooks(400))
    where = where or ("--base-url", server.url)
    ours, theirs = os.pipe()
    process = subprocess.Popen(
        [sys.executable, "-m", "bulkstreams", "export", *where],
        cwd=desk.folder, env=desk.environment, stdin=subprocess.DEVNULL, stdout=theirs, stderr=subprocess.PIPE,
    )  # fmt: skip
    os.close(theirs)
    process.stdout = Path(os.devnull).open("rb")  # noqa: SIM115 - closed by whoever waits for the process
    running = desk.watch(process)
    until(lambda: _held(ours) > 50_000)
    return running, ours


def _held(pipe: int) -> int:
    """Return how many bytes wait in a pipe."""
    count = array.array("i", [0])
    fcntl.ioctl(pipe, termios.FIONREAD, count)
    return count[0]


def test_a_reader_that_leaves_ends_it(desk: Desk, server: Server) -> None:
    """As with `| head`: no complaint and no traceback, and an exit code that is not success."""
    running, pipe = into_a_pipe(desk, server)
    os.close(pipe)
    ended = running.wait()
    assert (ended.code, ended.err) == (1, ""), ended


@pytest.mark.parametrize("where", [(), ("--all-tenants",)])
def test_a_reader_that_reads_nothing_does_not_keep_us(desk: Desk, server: Server, where: tuple[str, ...]) -> None:
    """Who asks twice leaves at once, also where all is read and waits to be written; the pipe holds whole lines."""
    desk.write("bulkstreams.toml", configuration({"acme": server}).replace(b"/t/acme", b""))
    running, pipe = into_a_pipe(desk, server, *where)
    began = time.monotonic()
    running.signal(INT)
    running.says("draining")
    running.signal(INT)
    ended = running.wait()
    assert ended.code == 130, ended
    assert time.monotonic() - began < 8  # less than the time that is given to who drains
    with os.fdopen(pipe, "rb") as rest:
        assert rest.read().endswith(b"}\n")
    assert "not whole" in ended.err


def test_a_template_is_not_written_over_what_was_filled_in_meanwhile(desk: Desk, serve: Serve) -> None:
    """It is looked at once more before it is replaced; the export is not put in its place without it."""
    server = serve(rate=0.5, burst=61)
    server.seed(*webhooks(60))
    running = start(desk, server, "--output", "a.jsonl", "--env-template", "secrets.env")
    desk.write("secrets.env", b"S0_TOKEN=mine\n")
    ended = running.wait()
    assert ended.code == 2, ended
    assert "holds more than names without values" in ended.err
    assert (desk.folder / "secrets.env").read_bytes() == b"S0_TOKEN=mine\n"
    assert files(desk) == {"secrets.env"}
