"""Flags, environment and file become settings, and no tenant gets what belongs to another."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bulkstreams.config import (
    SANDBOX,
    ClientSecret,
    Flags,
    PrivateKeyJwt,
    Settings,
    Tenant,
    Token,
    default_ledger,
    load,
)
from bulkstreams.errors import ExitCode, UsageError
from bulkstreams.model import Problem

ACME = '[tenants.acme]\ndomain = "acme.eu.auth0.com"\ntoken = "acme-tok"\nrate = 16\n'
BETA = '[tenants.beta]\ndomain = "beta.eu.auth0.com"\ntoken = "beta-tok"\n'
LOCAL = '[tenants.local]\nbase_url = "http://127.0.0.1:8025"\n'
PEM = "-----BEGIN PRIVATE KEY-----\\nabc\\n-----END PRIVATE KEY-----"


class Place:
    """A folder in which the command runs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def load(self, toml: str | None = None, environment: dict[str, str] | None = None, **flags: Any) -> Settings:
        """Load the settings with this file, environment and flags."""
        if toml is not None:
            (self.folder / "bulkstreams.toml").write_text(toml, encoding="utf-8")
        return load(Flags(**flags), environment or {}, self.folder)

    def refusal(self, toml: str | None = None, environment: dict[str, str] | None = None, **flags: Any) -> UsageError:
        """Return the error that these settings meet."""
        with pytest.raises(UsageError) as caught:
            self.load(toml, environment, **flags)
        assert caught.value.exit_code is ExitCode.USAGE
        assert caught.value.hint
        return caught.value


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """Make an empty folder to run in."""
    return Place(tmp_path)


def default(settings: Settings) -> Tenant:
    """Return the default tenant, which there is."""
    assert settings.default is not None
    return settings.default


# -- precedence -------------------------------------------------------------------------------------------------------


def test_a_flag_wins_over_the_environment_over_the_file_over_the_default(place: Place) -> None:
    """Each source is passed over only where one before it speaks."""
    toml, env = "[defaults]\nretries = 3\n", {"BULKSTREAMS_RETRIES": "4"}
    assert place.load(None).retries == 5
    assert place.load(toml).retries == 3
    assert place.load(toml, env).retries == 4
    assert place.load(toml, env, retries=0).retries == 0


@pytest.mark.parametrize(
    ("env", "flags", "rate"), [({}, {}, 16.0), ({"BULKSTREAMS_RATE": "5"}, {}, 5.0), ({}, {"rate": "max"}, "max")]
)
def test_a_tenants_own_pace_gives_way_to_variable_and_flag(place: Place, env: Any, flags: Any, rate: object) -> None:
    """A tenant's table wins over the file's defaults, and over nothing else."""
    assert place.load(f"[defaults]\nrate = 2\n{ACME}", env, **flags).tenants["acme"].rate == rate


def test_auth0_domain_wins_over_the_files_default_tenant(place: Place) -> None:
    """The environment names the default tenant before the file does; our own flag before both."""
    toml, env = f'[defaults]\ntenant = "acme"\n{ACME}{BETA}', {"AUTH0_DOMAIN": "beta.eu.auth0.com"}
    assert default(place.load(toml)).name == "acme"
    assert default(place.load(toml, env)).name == "beta"
    assert default(place.load(toml, env, tenant="acme")).name == "acme"


def test_every_setting_is_read(place: Place) -> None:
    """Numbers, durations, percentages and truths arrive as what they mean."""
    settings = place.load(
        '[defaults]\nrate = "auto"\nburst = 7\nreserve = "40%"\nconcurrency = 9\ntimeout = "500ms"\ndeadline = "1h"\n'
        f"max_failures = 3\nmax_failure_rate = 25\nallow_unknown_events = true\n{LOCAL}"
    )
    local = default(settings)
    assert (local.rate, local.burst, local.reserve, local.concurrency) == ("auto", 7, 0.4, 9)
    assert (settings.timeout_s, settings.deadline_s, settings.max_failures) == (0.5, 3600.0, 3)
    assert (settings.max_failure_rate, settings.allow_unknown_events) == (0.25, True)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("rate", "0"), ("rate", "-1"), ("rate", "fast"), ("rate", "nan"), ("burst", "0"), ("burst", "1.5"),
        ("reserve", "100%"), ("reserve", "-1"), ("concurrency", "0"), ("concurrency", "10001"), ("retries", "-1"),
        ("timeout", "0"), ("timeout", "5d"), ("deadline", "inf"), ("max_failures", "0"),
        ("max_failure_rate", "all"), ("allow_unknown_events", "maybe"),
    ],
)  # fmt: skip
def test_a_value_out_of_range_is_told_with_its_source(place: Place, name: str, value: str) -> None:
    """The sentence names the variable, or the file, line and key, and shows what was found."""
    variable = f"BULKSTREAMS_{name.upper()}"
    assert place.refusal(None, {variable: value}).message.startswith(f"{variable} must be ")
    message = place.refusal(f'[defaults]\n{name} = "{value}"\n').message
    assert message.startswith(f"{place.folder}/bulkstreams.toml:2: defaults.{name} must be ")
    assert repr(value) in message


def test_a_flag_out_of_range_is_told_by_its_name(place: Place) -> None:
    """A flag is named as it was typed."""
    assert place.refusal(max_failure_rate="x").message.startswith("--max-failure-rate must be a percentage")


# -- the file ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("toml", "words"),
    [
        ("[defaults]\nrate = 1\nrat = 2\n", ":3: defaults.rat is an unknown key (did you mean rate?)"),
        (f"{ACME}domian = 1\n", ":5: tenants.acme.domian is an unknown key (did you mean domain?)"),
        (f"{ACME}[default]\n", ":5: default is an unknown key (did you mean defaults?)"),
        ("[defaults]\ntenant = 5\n", ":2: defaults.tenant must be a string"),
        ("[tenants.a]\ndomain = 5\n", ":2: tenants.a.domain must be a string"),
        ("tenants = 5\n", ":1: tenants must be a table"),
        ("[tenants]\nacme = 5\n", ":2: tenants.acme must be a table"),
        ("[tenants.a]\nrate = 1\n", ":1: tenants.a must have a domain or a base_url"),
        ("[tenants.a]\ndomain = 'a.com'\nrate = 0\n", ":3: tenants.a.rate must be requests per second"),
        ("rate =", " is not TOML"),
    ],
)
def test_a_mistake_in_the_file_is_told_where_it_stands(place: Place, toml: str, words: str) -> None:
    """File, line, the key's path, and the nearest right key."""
    assert f"bulkstreams.toml{words}" in place.refusal(toml).message


def test_a_configuration_that_was_named_must_be_there(place: Place) -> None:
    """Only the file that nobody named may be missing."""
    assert "cannot be read" in place.refusal(config=place.folder / "no.toml").message
    assert place.load().tenants == {}


def test_references_are_relative_to_the_file(place: Place) -> None:
    """The folder of references is that of the file that holds them."""
    (place.folder / "deep").mkdir()
    named = place.folder / "deep" / "my.toml"
    named.write_text(ACME)
    assert place.load(config=named).folder == place.folder / "deep"


# -- credentials ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lines", "credentials"),
    [
        ('token = "${env:NOT_SET}"', Token("${env:NOT_SET}")),
        ('client_id = "c"\nclient_secret = "s"\naudience = "a"', ClientSecret("c", "s", "a")),
        (
            'client_id = "c"\nprivate_key = "${file:key.pem}"\nsigning_alg = "PS256"',
            PrivateKeyJwt("c", "${file:key.pem}", "PS256"),
        ),
        (f'client_id = "c"\nprivate_key = "{PEM}"', PrivateKeyJwt("c", PEM.replace("\\n", "\n"), "RS256")),
    ],
)
def test_a_tenants_credentials_are_kept_unresolved(place: Place, lines: str, credentials: object) -> None:
    """A reference waits for its tenant to be used: an unset variable of another tenant fails nobody."""
    settings = place.load(f'[tenants.a]\ndomain = "a.auth0.com"\n{lines}\n')
    assert settings.tenants["a"].credentials == credentials


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ('client_secret = "hunter2"', "has client_secret, and that is no whole credential"),
        ('client_id = "c"', "has client_id, and"),
        ('token = "hunter2"\nclient_id = "c"', "has token and client_id, and"),
        ('client_id = "c"\nclient_secret = "hunter2"\nprivate_key = "${env:K}"', "and that is no whole credential"),
        ('token = ""', ".token is empty"),
        ('token = "##TOK##"', ".token holds ##TOK##, which nobody replaced"),
        ('token = "hunter2 x"', ".token holds a character that no token has"),
        ('client_id = "c"\nprivate_key = "hunter2.pem"', ".private_key is not a key in PEM form"),
        (
            'client_id = "c"\nprivate_key = "${env:K}"\nsigning_alg = "HS256"',
            ".signing_alg must be RS256, RS384, PS256",
        ),
    ],
)
def test_half_a_credential_is_refused_unseen(place: Place, lines: str, words: str) -> None:
    """What cannot work is told before anything is sent, and without the secret."""
    error = place.refusal(f'[tenants.a]\ndomain = "a.auth0.com"\n{lines}\n')
    assert words in error.message
    assert "hunter2" not in str(error)


@pytest.mark.parametrize(
    ("env", "credentials"),
    [
        ({"AUTH0_API_TOKEN": "t\r\n", "AUTH0_ACCESS_TOKEN": "u"}, Token("t")),
        ({"AUTH0_ACCESS_TOKEN": "u", "AUTH0_CLIENT_ID": "c", "AUTH0_CLIENT_SECRET": "s"}, Token("u")),
        ({"AUTH0_CLIENT_ID": "c", "AUTH0_CLIENT_SECRET": "s", "AUTH0_AUDIENCE": "a"}, ClientSecret("c", "s", "a")),
        (
            {
                "AUTH0_CLIENT_ID": "c", "AUTH0_CLIENT_ASSERTION_PRIVATE_KEY": "k",
                "AUTH0_CLIENT_ASSERTION_SIGNING_ALG": "RS384",
            },
            PrivateKeyJwt("c", "k", "RS384"),
        ),
        ({"AUTH0_CLIENT_ID": "c"}, None),
    ],
)  # fmt: skip
def test_the_environment_names_a_tenant_as_auth0s_tools_do(
    place: Place, env: dict[str, str], credentials: object
) -> None:
    """The default tenant is named by its domain, and has the environment's credentials."""
    tenant = default(place.load(None, {"AUTH0_DOMAIN": "HTTPS://Acme.eu.auth0.com/", **env}))
    assert (tenant.name, tenant.base_url) == ("acme.eu.auth0.com", "https://acme.eu.auth0.com")
    assert tenant.credentials == credentials


def test_no_secret_is_in_a_repr(place: Place) -> None:
    """Settings can be printed."""
    settings = place.load(ACME + BETA, {"AUTH0_DOMAIN": "x.auth0.com", "AUTH0_API_TOKEN": "env-tok"}, token="flag-tok")
    shown = (
        repr(settings)
        + repr(Flags(token="flag-tok"))
        + repr(ClientSecret("c", "sec-tok"))
        + repr(PrivateKeyJwt("c", "key-tok"))
    )
    assert "-tok" not in shown


def test_the_environments_credentials_go_to_auth0_domain_alone(place: Place) -> None:
    """Where `AUTH0_DOMAIN` names one tenant, another that is chosen gets nothing of its credentials."""
    env = {"AUTH0_DOMAIN": "acme.eu.auth0.com", "AUTH0_API_TOKEN": "env-tok"}
    bare = '[tenants.bare]\ndomain = "bare.auth0.com"\n'
    assert default(place.load(ACME, env)).credentials == Token("env-tok")
    assert default(place.load(ACME + BETA, env, tenant="beta")).credentials == Token("beta-tok")
    assert default(place.load(bare, env, tenant="bare")).credentials is None
    assert default(place.load(bare, env, tenant="other.auth0.com")).credentials is None
    assert place.load(ACME + bare, env).tenants["bare"].credentials is None


def test_credentials_without_a_domain_serve_a_default_tenant_that_has_none(place: Place) -> None:
    """A file may name the address, and the environment give the token; a tenant's own token stays its own."""
    env = {"AUTH0_API_TOKEN": "env-tok"}
    assert default(place.load(LOCAL, env)).credentials == Token("env-tok")
    assert default(place.load(ACME, env)).credentials == Token("acme-tok")


def test_a_token_file_serves_the_default_tenant_alone(place: Place) -> None:
    """The flag wins over file and environment for the default tenant, by whatever name a line calls it."""
    settings = place.load(ACME + BETA, {"AUTH0_API_TOKEN": "env-tok"}, tenant="acme", token="flag-tok")
    for found in (settings.tenant(None), settings.tenant("acme"), settings.tenant("acme.eu.auth0.com")):
        assert isinstance(found, Tenant)
        assert found.credentials == Token("flag-tok")
    assert settings.tenants["beta"].credentials == Token("beta-tok")


def test_missing_credentials_and_a_missing_tenant_are_told_with_the_remedy(place: Place) -> None:
    """Both end before anything is sent, and say what to set."""
    with pytest.raises(UsageError, match=r"no credentials for 127\.0\.0\.1:8025") as caught:
        place.load(base_url="http://127.0.0.1:8025").require_default()
    assert "AUTH0_API_TOKEN" in caught.value.hint
    with pytest.raises(UsageError, match="no tenant is named") as caught:
        place.load(ACME + BETA).require_default()
    assert "--sandbox" in caught.value.hint


# -- addresses --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "url", "name"),
    [
        ("http://127.0.0.1:8025", "http://127.0.0.1:8025", "127.0.0.1:8025"),
        ("http://localhost:1/t/acme/", "http://localhost:1/t/acme", "localhost:1"),
        ("http://[::1]:9", "http://[::1]:9", "[::1]:9"),
        ("https://API.example.com/api/v2/", "https://api.example.com", "api.example.com"),
    ],
)
def test_a_base_url_names_the_tenant(place: Place, given: str, url: str, name: str) -> None:
    """The API's own path and a last slash are cut; the tenant is known by host and port."""
    tenant = default(place.load(None, {"AUTH0_API_TOKEN": "t"}, base_url=given))
    assert (tenant.base_url, tenant.address, tenant.name, tenant.credentials) == (url, url, name, Token("t"))


@pytest.mark.parametrize(
    "url",
    [
        "http://acme.eu.auth0.com", "http://127.0.0.1.evil.com", "http://10.0.0.1", "https://u:hunter2@h",
        "https://u:hunter2@h:port", "https://h?q=hunter2", "https://h#f", "acme.eu.auth0.com", "ftp://h", "",
        "http://[::1", "https://a b", "https://good.com\\evil", "https://",
    ],
)  # fmt: skip
def test_an_unsafe_or_senseless_address_is_refused(place: Place, url: str) -> None:
    """Plain http to another machine, and whatever else is no address; nothing secret in it is repeated."""
    error = place.refusal(base_url=url)
    assert error.message.startswith("--base-url")
    assert "hunter2" not in str(error)


@pytest.mark.parametrize(
    "domain", ["acme", "http://acme.eu.auth0.com", "acme.eu.auth0.com/path", "a..com", "127.0.0.1"]
)
def test_a_domain_that_is_none_is_refused(place: Place, domain: str) -> None:
    """The variable is named, and the form that a domain has."""
    assert place.refusal(None, {"AUTH0_DOMAIN": domain}).message.startswith("AUTH0_DOMAIN")


def test_a_misspelt_tenant_is_told_where_it_was_named(place: Place) -> None:
    """The source and the nearest name."""
    assert place.refusal(ACME + BETA, tenant="acmee").message.startswith("--tenant: 'acmee' is neither")
    error = place.refusal(f'[defaults]\ntenant = "acmee"\n{ACME}{BETA}')
    assert "defaults.tenant: 'acmee' is neither a configured tenant nor a domain (did you mean acme?)" in error.message


def test_an_override_holds_for_lines_that_name_the_tenant_too(place: Place) -> None:
    """A tenant has one address in a run."""
    settings = place.load(ACME + BETA, tenant="acme", base_url="http://127.0.0.1:1")
    assert settings.tenant("acme") == settings.tenant(None) == default(settings)
    assert default(settings).base_url == "http://127.0.0.1:1"


# -- what a line's tenant means ---------------------------------------------------------------------------------------


def test_a_line_names_a_tenant_by_name_or_domain(place: Place) -> None:
    """Both lead to the one tenant of that name; a tenant of the environment is named by its domain."""
    settings = place.load(ACME + BETA, {"AUTH0_DOMAIN": "env.auth0.com", "AUTH0_API_TOKEN": "t"})
    assert settings.tenant("acme") == settings.tenant("https://ACME.eu.auth0.com/") == settings.tenants["acme"]
    assert settings.tenant("env.auth0.com") == settings.default


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("acmee", 'unknown tenant "acmee" (did you mean "acme"?); configured: acme'),
        ("other.auth0.com", 'no credentials for "other.auth0.com"'),
        ("", "unknown tenant"),
    ],
)
def test_an_unknown_tenant_is_a_problem_of_its_line(place: Place, name: str, words: str) -> None:
    """It never falls back on the default tenant's credentials."""
    found = place.load(ACME).tenant(name)
    assert isinstance(found, Problem)
    assert found.path == "tenant"
    assert words in found.message


def test_in_the_sandbox_every_tenant_is_the_sandboxs(place: Place) -> None:
    """No address, no credential of the configuration is left; names, domains and pace stay what they mean."""
    settings = place.load(ACME, token="flag-tok").with_sandbox("http://127.0.0.1:9")
    found = [settings.tenant(name) for name in (None, SANDBOX, "acme", "acme.eu.auth0.com", "../a?b")]
    assert [(t.name, t.base_url) for t in found if isinstance(t, Tenant)] == [
        ("sandbox", "http://127.0.0.1:9"),
        ("sandbox", "http://127.0.0.1:9"),
        ("acme", "http://127.0.0.1:9/t/acme"),
        ("acme", "http://127.0.0.1:9/t/acme"),
        ("../a?b", "http://127.0.0.1:9/t/..%2Fa%3Fb"),
    ]
    assert {(t.address, t.credentials) for t in found if isinstance(t, Tenant)} == {("sandbox", Token("sandbox-token"))}
    assert [t.rate for t in found if isinstance(t, Tenant)][2] == 16.0


def test_the_sandbox_needs_no_configuration(place: Place) -> None:
    """A fresh machine has a default tenant there."""
    assert place.load().with_sandbox("http://127.0.0.1:9").require_default().name == "sandbox"


@pytest.mark.parametrize(
    ("inputs", "ledger"),
    [
        (["a/streams.jsonl"], "streams.ledger.db"), (["streams.jsonl.gz", "b.jsonl"], "streams.ledger.db"),
        (["-"], "stdin.ledger.db"), (["streams"], "streams.ledger.db"), (["v1.2.jsonl"], "v1.2.ledger.db"),
    ],
)  # fmt: skip
def test_the_ledger_is_named_after_the_first_input(inputs: list[str], ledger: str) -> None:
    """It stands in the current folder."""
    assert default_ledger(inputs) == Path(ledger)
