"""Settings: which source wins, and what a line's tenant means."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path

import pytest

from bulkstreams.config import Flags, Settings, Tenant, Token, default_ledger, load
from bulkstreams.config.file import DEFAULTS
from bulkstreams.errors import ExitCode, UsageError
from bulkstreams.model import Problem

TWO = """
[tenants.acme]
domain = "acme.eu.auth0.com"
client_id = "acme-client"
client_secret = "${env:ACME_SECRET}"
rate = 16
burst = 50

[tenants.local]
base_url = "http://127.0.0.1:8025/api/v2/"
token = "${file:token.txt}"
"""


def settings(
    folder: Path, file: str = "", environment: Mapping[str, str] | None = None, flags: Flags | None = None
) -> Settings:
    """Load settings from a file of this text, these variables and these flags."""
    if file:
        (folder / "bulkstreams.toml").write_text(file)
    return load(flags or Flags(), environment or {}, folder)


def refused(
    folder: Path, file: str = "", environment: Mapping[str, str] | None = None, flags: Flags | None = None
) -> UsageError:
    """Return the error that these settings raise."""
    with pytest.raises(UsageError) as caught:
        settings(folder, file, environment, flags)
    assert caught.value.exit_code is ExitCode.USAGE
    assert caught.value.hint
    return caught.value


AT_DEFAULT = {"rate", "burst", "reserve", "concurrency"}
"""The settings that a tenant carries; the others are the run's."""

SETTINGS: list[tuple[str, str, object, str, object, tuple[object, ...]]] = [
    # name, attribute; as flag, variable and file have it; as the three and the default come out
    ("rate", "rate", "3", "4", 5, (3.0, 4.0, 5.0, "auto")),
    ("burst", "burst", 3, "4", 5, (3, 4, 5, None)),
    ("reserve", "reserve", "10%", "20%", "30%", (0.1, 0.2, 0.3, 0.0)),
    ("concurrency", "concurrency", 3, "4", 5, (3, 4, 5, 32)),
    ("retries", "retries", 3, "4", 6, (3, 4, 6, 5)),
    ("timeout", "timeout_s", "1s", "2s", "3s", (1.0, 2.0, 3.0, 30.0)),
    ("deadline", "deadline_s", "1m", "2m", "3m", (60.0, 120.0, 180.0, None)),
    ("max_failures", "max_failures", 1, "2", 3, (1, 2, 3, None)),
    ("max_failure_rate", "max_failure_rate", "1%", "2%", "3%", (0.01, 0.02, 0.03, None)),
    ("allow_unknown_events", "allow_unknown_events", True, "no", True, (True, False, True, False)),
]


def value_of(found: Settings, attribute: str) -> object:
    """Return a setting of the run, or of its default tenant."""
    if attribute in AT_DEFAULT:
        assert found.default is not None
        return getattr(found.default, attribute)
    return getattr(found, attribute)


@pytest.mark.parametrize(("name", "attribute", "flag", "variable", "file", "expected"), SETTINGS)
def test_a_flag_wins_over_the_environment_that_over_the_file_and_that_over_the_default(
    tmp_path: Path, name: str, attribute: str, flag: object, variable: str, file: object, expected: tuple[object, ...]
) -> None:
    """Each setting obeys the same order."""
    written = str(file).lower() if isinstance(file, bool) else repr(file).replace("'", '"')
    text = f"[defaults]\n{name} = {written}\n"
    domain = {"AUTH0_DOMAIN": "acme.eu.auth0.com"}
    both = {**domain, f"BULKSTREAMS_{name.upper()}": variable}
    assert value_of(settings(tmp_path, "", domain), attribute) == expected[3]
    assert value_of(settings(tmp_path, text, domain), attribute) == pytest.approx(expected[2])
    assert value_of(settings(tmp_path, text, both), attribute) == pytest.approx(expected[1])
    given = Flags(**{name: flag})  # type: ignore[arg-type]
    assert value_of(settings(tmp_path, text, both, given), attribute) == pytest.approx(expected[0])


def test_a_reserve_is_never_given_up_in_silence(tmp_path: Path) -> None:
    """At the rate max nobody looks at the budget: who reserves some of it is told, wherever either was said."""
    reserved = TWO + 'reserve = "40%"\n'
    assert "reserve cannot be kept" in refused(tmp_path, "", {}, Flags(rate="max", reserve="40%")).message
    assert "reserve of local" in refused(tmp_path, reserved, {}, Flags(rate="max")).message
    assert "reserve of local" in refused(tmp_path, reserved, {"BULKSTREAMS_RATE": "max"}).message
    found = settings(tmp_path, reserved, {}, Flags(rate="max", reserve="0%"))
    assert (found.tenants["local"].rate, found.tenants["local"].reserve) == ("max", 0.0)


def test_every_setting_of_the_file_has_its_order_tested() -> None:
    """A setting that is added needs a row in the table above."""
    assert {row[0] for row in SETTINGS} == set(DEFAULTS) - {"tenant"}
    assert {field.name for field in fields(Flags)} >= set(DEFAULTS)


@pytest.mark.parametrize(
    ("environment", "flags", "rate"),
    [({}, Flags(), 16.0), ({"BULKSTREAMS_RATE": "8"}, Flags(), 8.0), ({"BULKSTREAMS_RATE": "8"}, Flags(rate="4"), 4.0)],
)
def test_a_tenants_own_pace_is_of_the_file_so_flag_and_environment_win_over_it(
    tmp_path: Path, environment: dict[str, str], flags: Flags, rate: float
) -> None:
    """A tenant's table beats `[defaults]`, and is beaten by the flag and by the variable."""
    found = settings(tmp_path, "[defaults]\nrate = 2\n" + TWO, environment, flags)
    assert found.tenants["acme"].rate == rate
    assert found.tenants["acme"].burst == 50
    assert found.tenants["local"].rate == (2.0 if rate == 16.0 else rate)
    assert found.tenants["local"].burst is None


def test_a_tenants_own_stop_rules_stand_beside_those_of_the_run(tmp_path: Path) -> None:
    """Flags, variables and `[defaults]` mean the run as a whole; a tenant's table means that tenant alone."""
    run = '[defaults]\nmax_failures = 9\nmax_failure_rate = "9%"\n'
    own = TWO + 'max_failures = 2\nmax_failure_rate = "5%"\ndeadline = "10m"\n'
    found = settings(tmp_path, run + own, {"BULKSTREAMS_DEADLINE": "2h"}, Flags(max_failures=8))
    assert (found.max_failures, found.max_failure_rate, found.deadline_s) == (8, 0.09, 7200.0)
    local, acme = found.tenants["local"], found.tenants["acme"]
    assert (local.max_failures, local.max_failure_rate, local.deadline_s) == (2, 0.05, 600.0)
    assert (acme.max_failures, acme.max_failure_rate, acme.deadline_s) == (None, None, None)
    in_sandbox = found.with_sandbox("http://127.0.0.1:1").tenant("local")
    assert isinstance(in_sandbox, Tenant)
    assert (in_sandbox.max_failures, in_sandbox.max_failure_rate, in_sandbox.deadline_s) == (2, 0.05, 600.0)


def test_an_empty_variable_is_no_setting(tmp_path: Path) -> None:
    """`BULKSTREAMS_RATE=` in a shell means nothing."""
    found = settings(tmp_path, TWO, {"BULKSTREAMS_RATE": "", "AUTH0_DOMAIN": ""})
    assert found.tenants["acme"].rate == 16.0
    assert found.default is None


@pytest.mark.parametrize(
    ("file", "environment", "flags", "where"),
    [
        ("", {}, Flags(retries=-1), "--retries must"),
        ("", {}, Flags(max_failure_rate="x"), "--max-failure-rate must"),
        ("", {"BULKSTREAMS_TIMEOUT": "x"}, Flags(), "BULKSTREAMS_TIMEOUT must"),
        ("", {"BULKSTREAMS_ALLOW_UNKNOWN_EVENTS": "x"}, Flags(), "BULKSTREAMS_ALLOW_UNKNOWN_EVENTS must"),
        ("[defaults]\nrate = 1\nburst = 0\n", {}, Flags(), "bulkstreams.toml:3: defaults.burst must"),
        (TWO + "reserve = 100\n", {}, Flags(), "bulkstreams.toml:12: tenants.local.reserve must"),
        (TWO + "concurrency = 1.5\n", {}, Flags(), "bulkstreams.toml:12: tenants.local.concurrency must"),
        (TWO + "max_failures = 0\n", {}, Flags(), "bulkstreams.toml:12: tenants.local.max_failures must"),
        (TWO + "max_failure_rate = 100\n", {}, Flags(), "bulkstreams.toml:12: tenants.local.max_failure_rate must"),
        (TWO + 'deadline = "soon"\n', {}, Flags(), "bulkstreams.toml:12: tenants.local.deadline must"),
        (TWO + "max_failurs = 1\n", {}, Flags(), "did you mean max_failures?"),
    ],
)
def test_a_wrong_value_is_told_with_its_source(
    tmp_path: Path, file: str, environment: dict[str, str], flags: Flags, where: str
) -> None:
    """The error names the flag, the variable or the file, line and key: the place that must be changed."""
    assert where in refused(tmp_path, file, environment, flags).message


# -- what a line's tenant means ---------------------------------------------------------------------------------------


def test_a_line_names_a_tenant_by_its_name_or_its_domain(tmp_path: Path) -> None:
    """Both mean the same tenant, and a domain may be written as people copy it."""
    found = settings(tmp_path, TWO)
    for name in ("acme", "acme.eu.auth0.com", "ACME.eu.auth0.com", "https://acme.eu.auth0.com/"):
        assert found.tenant(name) is found.tenants["acme"]
    assert found.tenant("local") is found.tenants["local"]


def test_a_line_may_name_the_default_tenant_by_its_domain(tmp_path: Path) -> None:
    """The tenant of the environment needs no file to be named."""
    found = settings(tmp_path, "", {"AUTH0_DOMAIN": "acme.eu.auth0.com", "AUTH0_API_TOKEN": "t"})
    assert found.tenant("acme.eu.auth0.com") is found.default


def test_a_line_without_a_tenant_means_the_default_one(tmp_path: Path) -> None:
    """No name, the default tenant."""
    found = settings(tmp_path, TWO, {}, Flags(tenant="local"))
    assert found.tenant(None) is found.default
    assert found.default is found.tenants["local"]


def test_a_line_without_a_tenant_is_wrong_where_none_is_the_default(tmp_path: Path) -> None:
    """The line is told what it lacks; it goes to no tenant by chance."""
    found = settings(tmp_path, TWO).tenant(None)
    assert isinstance(found, Problem)
    known = ", ".join(settings(tmp_path, TWO).tenants)
    assert found.message == (
        f"names no tenant, and there is no default tenant (--tenant NAME makes one the default; configured: {known})"
    )


def test_an_unknown_tenant_is_told_with_the_nearest_and_all_that_are_configured(tmp_path: Path) -> None:
    """A slip of the pen is corrected in the message."""
    found = settings(tmp_path, TWO).tenant("acmee")
    assert found == Problem(
        path="tenant", message='unknown tenant "acmee" (did you mean "acme"?); configured: acme, local'
    )
    assert "did you mean" not in str(settings(tmp_path, TWO).tenant("zzz"))


def test_a_password_in_a_tenants_address_is_in_no_message(tmp_path: Path) -> None:
    """Neither of a line, which would go into the ledger, nor of a flag."""
    url = "https://user:secret-word@acme.eu.auth0.com"
    message = str(settings(tmp_path, TWO).tenant(url))
    assert 'unknown tenant "acme.eu.auth0.com"' in message
    assert "secret-word" not in message
    error = refused(tmp_path, TWO, flags=Flags(tenant=url))
    assert "'acme.eu.auth0.com' is neither" in error.message
    assert "secret-word" not in f"{error} {error.hint}"


def test_of_many_configured_tenants_a_few_are_named(tmp_path: Path) -> None:
    """A message about a line stays short, however many tenants there are."""
    text = "".join(f'[tenants.t{i}]\ndomain = "t{i}.eu.auth0.com"\n' for i in range(2000))
    message = str(settings(tmp_path, text).tenant("zzz"))
    assert message.endswith("configured: t0, t1, t2, t3, t4, t5, t6, t7, t8, t9 and 1,990 more")


def test_a_domain_without_credentials_is_a_problem_of_the_line(tmp_path: Path) -> None:
    """A line cannot make us call a tenant that nobody configured, whatever the environment holds."""
    environment = {"AUTH0_DOMAIN": "acme.eu.auth0.com", "AUTH0_API_TOKEN": "t"}
    found = settings(tmp_path, "", environment).tenant("other.eu.auth0.com")
    assert isinstance(found, Problem)
    assert found.path == "tenant"
    assert found.message.startswith('no credentials for "other.eu.auth0.com"; name it in bulkstreams.toml')


def test_an_endless_name_is_cut_in_its_message(tmp_path: Path) -> None:
    """A message about a line stays short."""
    assert len(str(settings(tmp_path, TWO).tenant("x" * 10_000))) < 300


def test_require_default_names_the_ways_to_give_a_tenant(tmp_path: Path) -> None:
    """Without any tenant the error says what to set."""
    with pytest.raises(UsageError, match=r"no tenant is named") as caught:
        settings(tmp_path).require_default()
    for way in ("AUTH0_DOMAIN", "--base-url", "--tenant"):
        assert way in caught.value.hint


def test_require_default_names_no_flag_that_only_some_commands_have(tmp_path: Path) -> None:
    """`bench` and `export` have no --sandbox: to try, the command is named that has it, and one that all can ask."""
    with pytest.raises(UsageError) as caught:
        settings(tmp_path).require_default()
    assert "`bulkstreams run INPUT --sandbox`" in caught.value.hint
    assert "`bulkstreams sandbox`, and --base-url http://127.0.0.1:8025" in caught.value.hint


def test_require_default_names_the_ways_to_give_credentials(tmp_path: Path) -> None:
    """A tenant without credentials is named, with what to set."""
    with pytest.raises(UsageError, match=r"no credentials for acme\.eu\.auth0\.com") as caught:
        settings(tmp_path, "", {"AUTH0_DOMAIN": "acme.eu.auth0.com"}).require_default()
    for way in ("AUTH0_API_TOKEN", "AUTH0_CLIENT_ID", "AUTH0_CLIENT_SECRET", "--token-file"):
        assert way in caught.value.hint
    assert "sandbox" not in caught.value.hint


def test_at_this_machine_itself_the_hint_says_that_a_sandbox_takes_any_token(tmp_path: Path) -> None:
    """Whoever began one by the README has no token, and needs just some text."""
    found = load(Flags(base_url="http://127.0.0.1:8025"), {}, tmp_path)
    with pytest.raises(UsageError) as caught:
        found.require_default()
    assert "AUTH0_API_TOKEN=any-token" in caught.value.hint


# -- tenants of the file ----------------------------------------------------------------------------------------------


def test_a_tenant_of_the_file_is_read_whole(tmp_path: Path) -> None:
    """Address, pace and credentials; a base URL loses its `/api/v2/`."""
    found = settings(tmp_path, TWO)
    assert found.tenants["acme"].base_url == "https://acme.eu.auth0.com"
    assert found.tenants["local"].base_url == "http://127.0.0.1:8025"
    assert found.tenants["local"].address == "http://127.0.0.1:8025"


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ("rate = 1", "tenants.a must have a domain or a base_url, and not both"),
        ('domain = "a.auth0.com"\nbase_url = "https://a.auth0.com"', "must have a domain or a base_url, and not both"),
        ('domain = "a"', "tenants.a.domain: 'a' is not a domain"),
        ('base_url = "http://a.auth0.com"', "tenants.a.base_url: plain http to a.auth0.com"),
    ],
)
def test_a_tenant_of_the_file_has_one_safe_address(tmp_path: Path, table: str, said: str) -> None:
    """A domain or a base URL, by the rules of both."""
    assert said in refused(tmp_path, f"[tenants.a]\n{table}\n").message


def test_references_are_kept_and_found_from_the_files_folder(tmp_path: Path) -> None:
    """Nothing is looked up while settings are loaded: the variable and the file need not exist."""
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf" / "b.toml").write_text(TWO)
    found = load(Flags(config=tmp_path / "conf" / "b.toml"), {}, tmp_path)
    assert found.tenants["local"].credentials == Token("${file:token.txt}")
    assert found.folder == (tmp_path / "conf").resolve()
    assert settings(tmp_path).folder == tmp_path


# -- the sandbox ------------------------------------------------------------------------------------------------------


def test_in_the_sandbox_every_tenant_is_the_sandboxs_own(tmp_path: Path) -> None:
    """No real address and no real credential is left; the default one is called `sandbox` whatever its port."""
    found = settings(tmp_path, TWO).with_sandbox("http://127.0.0.1:4711")
    default, acme, other = found.tenant(None), found.tenant("acme.eu.auth0.com"), found.tenant("a/b")
    assert isinstance(default, Tenant)
    assert isinstance(acme, Tenant)
    assert isinstance(other, Tenant)
    assert (default.name, default.base_url, default.address) == ("sandbox", "http://127.0.0.1:4711", "sandbox")
    assert (acme.name, acme.base_url, acme.address) == ("acme", "http://127.0.0.1:4711/t/acme", "sandbox")
    assert other.base_url == "http://127.0.0.1:4711/t/a%2Fb"
    assert {type(tenant.credentials) for tenant in (default, acme, other)} == {Token}
    assert acme.credentials != found.tenants["acme"].credentials
    assert acme.rate == 16.0


def test_the_sandbox_needs_no_configuration(tmp_path: Path) -> None:
    """On a fresh machine the default tenant is there all the same."""
    found = settings(tmp_path).with_sandbox("http://127.0.0.1:4711")
    assert found.require_default().name == "sandbox"


def test_a_line_may_call_the_sandbox_by_its_name(tmp_path: Path) -> None:
    """`"tenant": "sandbox"` is the default tenant, not another one beside it."""
    found = settings(tmp_path).with_sandbox("http://127.0.0.1:4711")
    assert found.tenant("sandbox") == found.default


# -- secrets stay hidden ----------------------------------------------------------------------------------------------


def test_no_secret_is_in_a_repr_of_flags_or_settings(tmp_path: Path) -> None:
    """What may be printed by mistake shows nothing."""
    text = '[tenants.a]\ndomain = "a.auth0.com"\nclient_id = "id"\nclient_secret = "s3cret"\n'
    environment = {"AUTH0_DOMAIN": "b.auth0.com", "AUTH0_API_TOKEN": "s3cret"}
    flags = Flags(token="s3cret", base_url="https://c.auth0.com")
    for shown in (flags, settings(tmp_path, text, environment), settings(tmp_path, text, environment, flags)):
        assert "s3cret" not in repr(shown)
        assert "s3cret" not in str(shown)


# -- the ledger's name ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("inputs", "name"),
    [
        (["streams.jsonl"], "streams.ledger.db"),
        (["deep/down/streams.jsonl"], "streams.ledger.db"),
        (["streams.jsonl.gz"], "streams.ledger.db"),
        (["streams.gz"], "streams.ledger.db"),
        (["my.streams.jsonl"], "my.streams.ledger.db"),
        (["streams"], "streams.ledger.db"),
        (["-"], "stdin.ledger.db"),
        (["a.jsonl", "b.jsonl"], "a.ledger.db"),
    ],
)
def test_a_ledger_is_named_for_the_first_input_and_lies_in_the_current_folder(inputs: list[str], name: str) -> None:
    """The input's stem and `.ledger.db`."""
    assert default_ledger(inputs) == Path(name)


def test_the_sandbox_keeps_the_pace_that_was_asked_for(tmp_path: Path) -> None:
    """`--sandbox --rate 8` is paced at 8, with no tenant and no configuration anywhere."""
    settings = load(Flags(rate="8", concurrency=3), {}, tmp_path).with_sandbox("http://127.0.0.1:1")
    assert settings.default is not None
    other = settings.tenant("acme")
    assert isinstance(other, Tenant)
    assert (settings.default.rate, settings.default.concurrency, other.rate) == (8.0, 3, 8.0)
