"""What a command was told: its settings beside their defaults, whoever gave them, and tenants without their secrets."""

from __future__ import annotations

from pathlib import Path

import pytest

from bulkstreams.commands.bench.in_force import MOST_STAGES, of_bench
from bulkstreams.commands.bench.options import BenchOptions, ClosedLoop, Plan, Searching
from bulkstreams.commands.in_force import MOST_TOLD, of_errands, of_run
from bulkstreams.commands.prospect import ErrandOptions
from bulkstreams.commands.run import RunOptions
from bulkstreams.config import Flags, Settings, load
from bulkstreams.core.errands import Kind
from bulkstreams.core.schedule import Schedule, read_stages
from bulkstreams.core.searching import read_goal
from bulkstreams.engine import Manner
from bulkstreams.ledger import Configured, InForce, Setting, Shown, Value
from bulkstreams.ledger.in_force import BY_DEFAULT, encode
from bulkstreams.model import State, Status

PEM = "-----BEGIN PRIVATE KEY-----\nUGxhbnRlZA==\n-----END PRIVATE KEY-----"
FILE = f"""
[defaults]
reserve = "40%"
max_failures = 9

[tenants.acme]
domain = "acme.eu.auth0.com"
client_id = "acme-client"
client_secret = "planted-client-secret"
rate = 16
deadline = "20m"

[tenants.byref]
domain = "byref.eu.auth0.com"
client_id = "${{env:CLIENT_ID}}"
client_secret = "${{env:CLIENT_SECRET}}"

[tenants.key]
domain = "key.eu.auth0.com"
client_id = "key-client"
private_key = '''{PEM}'''

[tenants.keyfile]
domain = "keyfile.eu.auth0.com"
client_id = "key-client"
private_key = "${{file:key.pem}}"

[tenants.local]
base_url = "http://127.0.0.1:8025"
token = "planted-token"
"""


def settings(folder: Path, file: str = FILE, environment: dict[str, str] | None = None, **flags: object) -> Settings:
    """Load settings from a file of this text, these variables and these flags."""
    (folder / "bulkstreams.toml").write_text(file)
    return load(Flags(**flags), environment or {}, folder)  # type: ignore[arg-type]


def run(found: Settings, **options: object) -> InForce:
    """Return what is in force in a run."""
    return of_run(RunOptions(inputs=["in.jsonl"], **options), found, 1000)  # type: ignore[arg-type]


def values(told: InForce) -> dict[str, Value]:
    """Return each setting's value."""
    return {name: one.value for name, one in told.settings.items()}


def test_a_setting_stands_beside_its_default_and_what_gave_it(tmp_path: Path) -> None:
    """A flag, a variable or the file, by its name; a flag that only says what holds anyhow is told as well."""
    environment = {"BULKSTREAMS_RETRIES": "7", "BULKSTREAMS_RATE": "4"}
    told = run(settings(tmp_path, environment=environment, rate="8", timeout="30s")).settings
    assert told["rate"] == Setting(8.0, "auto", "--rate")
    assert told["retries"] == Setting(7, 5, "BULKSTREAMS_RETRIES")
    assert told["reserve"] == Setting(0.4, 0.0, "bulkstreams.toml")
    assert told["max_failures"] == Setting(9, None, "bulkstreams.toml")
    assert told["timeout_s"] == Setting(30.0, 30.0, "--timeout")
    assert told["deadline_s"] == Setting(None, None, BY_DEFAULT)
    assert told["config"] == Setting("bulkstreams.toml", None, BY_DEFAULT)


def test_where_nothing_is_said_every_setting_is_as_by_default(tmp_path: Path) -> None:
    """The default is the one that holds, of each of them."""
    told = of_run(RunOptions(inputs=[]), load(Flags(base_url="http://127.0.0.1:1"), {}, tmp_path), 1000)
    said = {name: one for name, one in told.settings.items() if one.value != one.default}
    assert said == {"connections": Setting(1000, None, "the system")}
    assert {one.origin for name, one in told.settings.items() if name not in said} == {BY_DEFAULT}


def test_what_a_run_alone_is_asked_for_is_told(tmp_path: Path) -> None:
    """With its flag where it is not as by default; its inputs by name; a configuration as it was named."""
    found = settings(tmp_path, config=tmp_path / "bulkstreams.toml")
    told = run(found, limit=3, retry_failed=True, set_status=Status.DISABLED, preflight=False, smoke="user.created")
    assert told.inputs == ["in.jsonl"]
    assert {name: one for name, one in told.settings.items() if one.origin.startswith("--")} == {
        "limit": Setting(3, None, "--limit"),
        "retry_failed": Setting(True, False, "--retry-failed"),
        "set_status": Setting("disabled", None, "--set-status"),
        "preflight": Setting(False, True, "--no-preflight"),
        "smoke": Setting("user.created", None, "--smoke"),
        "config": Setting(str(tmp_path / "bulkstreams.toml"), None, "--config"),
    }
    sandbox = load(Flags(), {}, tmp_path).with_sandbox("http://127.0.0.1:1")
    (first, *_) = run(sandbox).tenants
    assert run(sandbox).settings["sandbox"] == Setting(True, False, "--sandbox")
    assert first == Configured("sandbox", "sandbox", True, {}, Shown("token", "***"))


def test_tenants_are_told_with_what_they_have_of_their_own(tmp_path: Path) -> None:
    """The default one first; a secret is three asterisks, and a reference is shown as it was given."""
    found = run(settings(tmp_path, tenant="local")).tenants
    assert [one.name for one in found] == ["local", "acme", "byref", "key", "keyfile"]
    assert [one.name for one in found if one.is_default] == ["local"]
    told = {one.name: one for one in found}
    assert told["acme"].address == "https://acme.eu.auth0.com"
    assert told["acme"].own == {"rate": 16.0, "deadline_s": 1200.0}
    assert told["local"].own == {}
    assert {name: one.credentials for name, one in told.items()} == {
        "acme": Shown("client secret", "***", "acme-client"),
        "byref": Shown("client secret", "${env:CLIENT_SECRET}", "${env:CLIENT_ID}"),
        "key": Shown("private key", "***", "key-client"),
        "keyfile": Shown("private key", "${file:key.pem}", "key-client"),
        "local": Shown("token", "***"),
    }


PLANTED = {
    "a token": {"AUTH0_API_TOKEN": "planted"},
    "a token by its other name": {"AUTH0_ACCESS_TOKEN": "planted"},
    "a secret": {"AUTH0_CLIENT_ID": "id", "AUTH0_CLIENT_SECRET": "planted"},
    "a key": {"AUTH0_CLIENT_ID": "id", "AUTH0_CLIENT_ASSERTION_PRIVATE_KEY": PEM + "planted"},
    "a secret with a reference in it": {"AUTH0_CLIENT_ID": "id", "AUTH0_CLIENT_SECRET": "planted${env:X}"},
}


@pytest.mark.parametrize("where", PLANTED)
def test_no_literal_secret_comes_through(tmp_path: Path, where: str) -> None:
    """Wherever it was given: in the environment, in the file, in the file that a flag names."""
    domain = {"AUTH0_DOMAIN": "env.eu.auth0.com"}
    for flags in ({}, {"token": "planted-by-flag"}):
        text = encode(run(settings(tmp_path, environment={**domain, **PLANTED[where]}, **flags)))
        assert '"default":true' in text
        assert "planted" not in text
        assert "UGxhbnRlZA" not in text


def test_a_reference_is_never_resolved(tmp_path: Path) -> None:
    """Neither its variable nor its file is asked for, so it may be there or not."""
    told = encode(run(settings(tmp_path, environment={"CLIENT_SECRET": "planted", "CLIENT_ID": "planted"})))
    assert "${env:CLIENT_SECRET}" in told
    assert "planted" not in told


def test_of_many_tenants_and_inputs_the_first_are_told(tmp_path: Path) -> None:
    """The rest is counted: a ledger's row does not grow with them."""
    names = [f"t{n:03}" for n in range(300)]
    file = "".join(f'[tenants.{name}]\ndomain = "{name}.auth0.com"\ntoken = "x"\n' for name in names)
    found = settings(tmp_path, file, tenant="t299")
    told = of_run(RunOptions(inputs=names), found, 1000)
    assert [one.name for one in told.tenants] == ["t299", *names[: MOST_TOLD - 1]]
    assert (told.more_tenants, len(told.inputs), told.more_inputs) == (280, MOST_TOLD, 280)
    sites = of_errands(ErrandOptions(kind=Kind.UNDO, ledger=Path("x")), found, ["t200", "gone"], 1000)
    assert [one.name for one in sites.tenants] == ["t200"]
    assert sites.more_tenants == 1


@pytest.mark.parametrize(
    ("kind", "more", "own"),
    [
        (Kind.UNDO, {"manner": Manner(force=True)}, {"force": True}),
        (Kind.ENABLE, {}, {"force": False, "off": False}),
        (Kind.DISABLE, {}, {"force": False, "off": True}),
        (
            Kind.SMOKE, {"event": "user.created", "manner": Manner(patience_s=3.0)},
            {"event": "user.created", "patience_s": 3.0, "allow_unknown_events": False},
        ),
    ],
)  # fmt: skip
def test_what_is_done_to_streams_says_what_it_was_asked_for(
    tmp_path: Path, kind: Kind, more: dict[str, object], own: dict[str, Value]
) -> None:
    """Each kind has settings of its own beside those of all, and only those that mean something to it."""
    options = ErrandOptions(kind=kind, ledger=Path("x"), states=[State.CREATED], tenant="acme", limit=2, **more)  # type: ignore[arg-type]
    told = of_errands(options, settings(tmp_path), ["acme"], 1000)
    shared = {"state": "created", "tenant": "acme", "limit": 2}
    assert own.items() | shared.items() <= values(told).items()
    others = {"force", "off", "event", "patience_s", "allow_unknown_events"} - set(own)
    assert not others & set(told.settings)
    assert told.settings["state"].default == "created, conflict, invalid"
    assert [one.name for one in told.tenants] == ["acme"]


@pytest.mark.parametrize(
    ("plan", "load"),
    [
        (Schedule(read_stages(["50/s 30s"])), {"loop": "open", "schedule": "50/s 30s"}),
        (Schedule(read_stages(["1/s 1s", "1:5/2s"])), {"loop": "open", "schedule": "1/s 1s, 1:5/2s"}),
        (
            Schedule(read_stages(["1/s 1s"] * (MOST_STAGES + 2))),
            {"schedule": ", ".join(["1/s 1s"] * MOST_STAGES) + " and 2 more stages"},
        ),
        (ClosedLoop(clients=32, seconds=5.0), {"loop": "closed", "duration_s": 5.0}),
        (
            Searching(goal=read_goal("p99<250ms"), first=10.0, seconds=10.0),
            {"loop": "open", "search": "p99<250ms", "first_rate": 10.0, "duration_s": 10.0},
        ),
    ],
)
def test_a_bench_says_its_load(tmp_path: Path, plan: Plan, load: dict[str, Value]) -> None:
    """As its flags would, and at which tenant."""
    options = BenchOptions(
        plan=plan, ledger=Path("x"), warmup_s=2.0, ceiling=32, keep=True, template=Path("one.json"), inputs=["a"]
    )
    told = of_bench(options, settings(tmp_path, tenant="local"))
    found = values(told)
    assert load.items() <= found.items()
    assert (found["warmup_s"], found["keep"], found["template"]) == (2.0, True, "one.json")
    by_default = told.settings["concurrency"].origin == BY_DEFAULT
    assert by_default is isinstance(plan, ClosedLoop)
    assert [one.name for one in told.tenants] == ["local"]
    assert told.inputs == ["a"]


def test_a_bench_of_which_nothing_is_said_is_as_by_default(tmp_path: Path) -> None:
    """Fifty a second for half a minute."""
    options = BenchOptions(plan=Schedule(read_stages(["50/s 30s"])), ledger=Path("x"))
    told = of_bench(options, settings(tmp_path, tenant="local"))
    assert {one.origin for one in told.settings.values()} == {BY_DEFAULT}
    assert told.settings["schedule"] == Setting("50/s 30s", "50/s 30s")
