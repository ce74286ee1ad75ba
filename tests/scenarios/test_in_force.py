"""What the real commands note of what was in force: which command it was, how it was told, and never a secret."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.scenarios.rig import (
    ENV_SECRET,
    FILE_SECRET,
    KILL,
    SECRET,
    TOKEN,
    Desk,
    Server,
    for_each,
    leaks,
    until,
    webhooks,
)


@pytest.fixture(scope="module")
def pem() -> str:
    """Return a private key as people paste it."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()


def told(desk: Desk, ledger: str = "in.ledger.db") -> list[tuple[str, dict[str, Any]]]:
    """Return what each run of a ledger says began it and was in force, the oldest first."""
    return [
        (command, json.loads(settings))
        for command, settings in desk.ask("SELECT command, settings FROM run ORDER BY id", ledger)
    ]


def values(found: dict[str, Any]) -> dict[str, Any]:
    """Return the value of each setting."""
    return {name: one["value"] for name, one in found["settings"].items()}


def searched(desk: Desk, pem: str, ledger: str = "in.ledger.db") -> set[str]:
    """See that neither a ledger's files nor what is told of it holds a secret; return which files there were."""
    files = [path for path in desk.folder.iterdir() if path.name.startswith(ledger)]
    pages = [desk.run("report", ledger, *flags).out for flags in (["--json"], ["--csv"], ["--html", "-"])]
    texts = [*pages, *(desk.run("status", ledger, *flags).out for flags in ([], ["--json"]))]
    lines = [line.encode() for line in pem.splitlines() if not line.startswith("-----")]
    for data in [*(path.read_bytes() for path in files), *(text.encode() for text in texts)]:
        assert not leaks(data)
        assert not any(line in data for line in lines)
        assert b"PRIVATE KEY" not in data
    assert all("***" in text for text in pages)
    return {path.name.removeprefix(ledger) for path in files}


def toml(server: Server, pem: str) -> bytes:
    """Return a configuration that holds a secret in each place that takes one, and references to others."""
    tenants = {
        "token": f'token = "{TOKEN}"',
        "secret": f'client_id = "its-client"\nclient_secret = "{SECRET}"',
        "key": f'client_id = "its-client"\nprivate_key = """{pem}"""',
        "by-env": 'client_id = "its-client"\nclient_secret = "${env:HOOK_SECRET}"',
        "by-file": 'token = "${file:token.txt}"\nrate = 500',
    }
    return "".join(
        f'[tenants.{name}]\nbase_url = "{server.url_of(name)}"\n{more}\n' for name, more in tenants.items()
    ).encode()


def test_no_secret_of_a_configuration_reaches_the_ledger(desk: Desk, serve: Callable[..., Server], pem: str) -> None:
    """While a run goes on, after it was killed, and after every other command: nor the log beside it, nor a report."""
    server = serve(latency=(0.02, 0.02))
    desk.write("bulkstreams.toml", toml(server, pem))
    desk.write("token.txt", FILE_SECRET.encode())
    desk.write("in.jsonl", for_each(("token", "secret", "key", "by-env", "by-file"), webhooks(40)))
    running = desk.start("run", "in.jsonl", "--concurrency", "2", "--json")
    until(lambda: desk.states().get("created", 0) >= 20)
    assert searched(desk, pem) >= {"", "-wal"}
    running.signal(KILL)
    running.wait()
    assert "-wal" in searched(desk, pem)
    for command in (
        ["run", "in.jsonl"], ["activate", "in.ledger.db", "--off", "--yes"], ["activate", "in.ledger.db", "--yes"],
        ["smoke", "in.ledger.db"], ["undo", "in.ledger.db", "--yes"],
    ):  # fmt: skip
        assert desk.run(*command).code == 0
    searched(desk, pem)
    shown = {one["name"]: one["credentials"] for one in told(desk)[0][1]["tenants"]["told"]}
    assert shown == {
        "token": {"kind": "token", "secret": "***", "client_id": None},
        "secret": {"kind": "client secret", "secret": "***", "client_id": "its-client"},
        "key": {"kind": "private key", "secret": "***", "client_id": "its-client"},
        "by-env": {"kind": "client secret", "secret": "${env:HOOK_SECRET}", "client_id": "its-client"},
        "by-file": {"kind": "token", "secret": "${file:token.txt}", "client_id": None},
    }


OF_A_CLIENT = {"AUTH0_API_TOKEN": None, "AUTH0_CLIENT_ID": "its-client"}
ELSEWHERE: dict[str, tuple[list[str], dict[str, str | None], str]] = {
    "a token in the environment": ([], {"AUTH0_API_TOKEN": TOKEN}, "token"),
    "a token by its other name": ([], {"AUTH0_API_TOKEN": None, "AUTH0_ACCESS_TOKEN": TOKEN}, "token"),
    "a client's secret": ([], {**OF_A_CLIENT, "AUTH0_CLIENT_SECRET": ENV_SECRET}, "client secret"),
    "a client's key": ([], {**OF_A_CLIENT, "AUTH0_CLIENT_ASSERTION_PRIVATE_KEY": "PEM"}, "private key"),
    "a file with a token": (["--token-file", "token.txt"], {}, "token"),
}


@pytest.mark.parametrize("where", ELSEWHERE)
def test_no_secret_from_elsewhere_reaches_the_ledger(desk: Desk, server: Server, pem: str, where: str) -> None:
    """Wherever it was given, three asterisks stand in its place."""
    flags, environment, kind = ELSEWHERE[where]
    desk.write("token.txt", FILE_SECRET.encode())
    desk.write("in.jsonl", webhooks(3))
    env = {name: pem if text == "PEM" else text for name, text in environment.items()}
    assert desk.provision(server, "in.jsonl", *flags, env=env).code == 0
    searched(desk, pem)
    ((_, found),) = told(desk)
    (tenant,) = found["tenants"]["told"]
    assert (tenant["credentials"]["kind"], tenant["credentials"]["secret"]) == (kind, "***")
    assert tenant["default"]


@pytest.mark.parametrize("where", ["flag", "file"])
def test_an_address_that_holds_a_secret_is_refused(desk: Desk, where: str) -> None:
    """So none stands in a ledger as where a tenant is; nor does the refusal repeat it."""
    url = f"http://user:{SECRET}@127.0.0.1:1"
    desk.write("in.jsonl", webhooks(1))
    flags = ["--base-url", url] if where == "flag" else []
    if where == "file":
        desk.write("bulkstreams.toml", f'[tenants.acme]\nbase_url = "{url}"\ntoken = "x"\n'.encode())
    ended = desk.run("run", "in.jsonl", *flags)
    assert (ended.code, ended.out) == (2, "")
    assert "must hold no user" in ended.err
    assert not list(desk.folder.glob("*.db*"))


def test_every_command_says_which_it_was_and_what_it_was_told(desk: Desk, server: Server) -> None:
    """In the order of the runs; `status` names the last, a report tells of each what was in force."""
    desk.write("in.jsonl", webhooks(3))
    at = ["--base-url", server.url]
    for command in (
        ["run", "in.jsonl", *at, "--rate", "50", "--retries", "2"], ["run", "in.jsonl", *at, "--no-preflight"],
        ["activate", "in.ledger.db", *at, "--off", "--yes"], ["activate", "in.ledger.db", *at, "--yes"],
        ["smoke", "in.ledger.db", *at, "--event", "user.created", "--patience", "30"],
        ["undo", "in.ledger.db", *at, "--yes", "--force", "--state", "created", "--dry-run"],
        ["undo", "in.ledger.db", *at, "--yes", "--force", "--state", "created"],
    ):  # fmt: skip
        assert desk.run(*command, env={"BULKSTREAMS_TIMEOUT": "20"}).code == 0
    first, again, off, on, smoke, undo = told(desk)
    assert [one[0] for one in (first, again, off, on, smoke, undo)] == [
        "run", "run", "activate --off", "activate", "smoke", "undo",
    ]  # fmt: skip
    assert first[1]["inputs"] == {"told": ["in.jsonl"], "more": 0}
    assert first[1]["settings"]["rate"] == {"value": 50.0, "default": "auto", "from": "--rate"}
    assert first[1]["settings"]["timeout_s"] == {"value": 20.0, "default": 30.0, "from": "BULKSTREAMS_TIMEOUT"}
    assert (values(first[1])["preflight"], values(again[1])["preflight"]) == (True, False)
    assert (values(off[1])["off"], values(on[1])["off"]) == (True, False)
    assert (values(smoke[1])["event"], values(smoke[1])["patience_s"]) == ("user.created", 30.0)
    assert (values(undo[1])["force"], values(undo[1])["state"]) == (True, "created")
    assert [one["address"] for one in undo[1]["tenants"]["told"]] == [server.url]

    found = desk.run("report", "in.ledger.db", "--json").json
    assert [one["command"] for one in found["runs"]["told"]] == [command for command, _ in told(desk)]
    newest = found["configuration"]["newest"]
    assert list(newest) == ["run", "activate --off", "activate", "smoke", "undo"]
    assert {"preflight", "rate", "retries"} == {one["setting"] for one in found["configuration"]["changed"]}
    assert newest["undo"]["settings"] == undo[1]["settings"]
    assert not any("configuration" in said for said in found["unknown"])
    assert desk.run("status", "in.ledger.db", "--json").json["last_run"]["command"] == "undo"
    assert re.search(r"^last run \w+, undo: exit 0$", desk.run("status", "in.ledger.db").out, re.MULTILINE)


def test_two_reports_say_in_which_settings_their_runs_differ(desk: Desk, server: Server) -> None:
    """By name, both values."""
    desk.write("in.jsonl", webhooks(2))
    for name, rate in (("a", "40"), ("b", "max")):
        assert desk.provision(server, "in.jsonl", "--rate", rate, "--ledger", f"{name}.ledger.db").code == 0
    found = desk.run("report", "a.ledger.db", "--compare", "b.ledger.db", "--json").json
    assert found["difference"]["configuration"] == {
        "command": "run", "differing": [{"name": "rate", "a": 40.0, "b": "max"}],
    }  # fmt: skip


def test_a_bench_and_its_cleaning_say_what_they_were_told(desk: Desk, server: Server) -> None:
    """The load as its flags had it; what deletes it again is not taken for an `undo` that somebody asked for."""
    at = ["--base-url", server.url]
    assert desk.run("bench", *at, "--rate", "20/s", "--duration", "500ms", "--warmup", "100ms", "--keep").code == 0
    assert desk.run("bench", *at, "--clean", "bench.ledger.db").code == 0
    found = told(desk, "bench.ledger.db")
    assert [command for command, _ in found] == ["bench", "bench --clean", "bench --clean"]
    assert (
        values(found[0][1]).items() >= {"schedule": "20/s 0.5s", "loop": "open", "warmup_s": 0.1, "keep": True}.items()
    )
    assert [one["address"] for one in found[0][1]["tenants"]["told"]] == [server.url]
