"""Which tenant is the default one, and whose credentials it gets."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from bulkstreams.config import ClientSecret, Flags, PrivateKeyJwt, Tenant, Token, load
from bulkstreams.errors import UsageError

ACME = '[tenants.acme]\ndomain = "acme.eu.auth0.com"\ntoken = "acme-token"\nrate = 7\n'
BARE = '[tenants.bare]\nbase_url = "http://127.0.0.1:8025"\n'
BETA = '[tenants.beta]\ndomain = "beta.eu.auth0.com"\ntoken = "beta-token"\n'
TOKEN = {"AUTH0_API_TOKEN": "environment-token"}
CLIENT = {"AUTH0_CLIENT_ID": "id", "AUTH0_CLIENT_SECRET": "s3cret"}
PEM = "-----BEGIN PRIVATE KEY-----\ns3cret\n-----END PRIVATE KEY-----\n"


def default(folder: Path, file: str, environment: Mapping[str, str], flags: Flags | None = None) -> Tenant | None:
    """Return the default tenant of a file of this text, these variables and these flags."""
    if file:
        (folder / "bulkstreams.toml").write_text(file)
    return load(flags or Flags(), environment, folder).default


def refused(folder: Path, file: str, environment: Mapping[str, str], flags: Flags | None = None) -> UsageError:
    """Return the error that these settings raise."""
    with pytest.raises(UsageError) as caught:
        default(folder, file, environment, flags)
    assert caught.value.hint
    return caught.value


# -- which one --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("file", "environment", "flags", "name"),
    [
        ("", {}, Flags(), None),
        ("", {"AUTH0_DOMAIN": "x.eu.auth0.com"}, Flags(), "x.eu.auth0.com"),
        (ACME, {}, Flags(), "acme"),
        (ACME + BETA, {}, Flags(), None),
        (ACME + BETA, {}, Flags(tenant="beta"), "beta"),
        (ACME + BETA, {}, Flags(tenant="beta.eu.auth0.com"), "beta"),
        (ACME + BETA, {"BULKSTREAMS_TENANT": "beta"}, Flags(), "beta"),
        (ACME + BETA, {"BULKSTREAMS_TENANT": "beta"}, Flags(tenant="acme"), "acme"),
        (ACME + BETA, {"AUTH0_DOMAIN": "beta.eu.auth0.com"}, Flags(), "beta"),
        (ACME + BETA, {"AUTH0_DOMAIN": "beta.eu.auth0.com"}, Flags(tenant="acme"), "acme"),
        (ACME + BETA, {"AUTH0_DOMAIN": "x.eu.auth0.com", "BULKSTREAMS_TENANT": "beta"}, Flags(), "beta"),
        ('[defaults]\ntenant = "beta"\n' + ACME + BETA, {}, Flags(), "beta"),
        ('[defaults]\ntenant = "beta"\n' + ACME + BETA, {"AUTH0_DOMAIN": "x.eu.auth0.com"}, Flags(), "x.eu.auth0.com"),
        ('[defaults]\ntenant = "beta"\n' + ACME + BETA, {}, Flags(tenant="acme"), "acme"),
        (ACME, {"AUTH0_DOMAIN": "x.eu.auth0.com"}, Flags(), "x.eu.auth0.com"),
        ("", {}, Flags(tenant="x.eu.auth0.com"), "x.eu.auth0.com"),
    ],
)
def test_the_default_tenant_follows_flag_environment_and_file(
    tmp_path: Path, file: str, environment: dict[str, str], flags: Flags, name: str | None
) -> None:
    """Flag, our variable, `AUTH0_DOMAIN`, `[defaults]`, the only one of the file; several and none chosen is none."""
    found = default(tmp_path, file, environment, flags)
    assert (None if found is None else found.name) == name


@pytest.mark.parametrize(
    ("file", "environment", "flags", "where"),
    [
        (ACME + BETA, {}, Flags(tenant="acmee"), "--tenant"),
        (ACME + BETA, {"BULKSTREAMS_TENANT": "acmee"}, Flags(), "BULKSTREAMS_TENANT"),
        ('[defaults]\ntenant = "acmee"\n' + ACME + BETA, {}, Flags(), "bulkstreams.toml:2: defaults.tenant"),
    ],
)
def test_a_tenant_that_is_neither_configured_nor_a_domain_is_told_with_the_nearest(
    tmp_path: Path, file: str, environment: dict[str, str], flags: Flags, where: str
) -> None:
    """The error names the source, the nearest name, and in its hint all of them."""
    error = refused(tmp_path, file, environment, flags)
    assert error.message.endswith(f"{where}: 'acmee' is neither a configured tenant nor a domain (did you mean acme?).")
    assert error.hint == "Configured: acme, beta."


def test_a_senseless_auth0_domain_is_told_by_its_variable(tmp_path: Path) -> None:
    """`AUTH0_DOMAIN` is a domain, never a name of ours."""
    assert refused(tmp_path, ACME, {"AUTH0_DOMAIN": "acme"}).message == "AUTH0_DOMAIN: 'acme' is not a domain."


# -- --base-url -------------------------------------------------------------------------------------------------------


def test_a_base_url_makes_a_domain_unnecessary(tmp_path: Path) -> None:
    """The tenant is then named by host and port, and takes the environment's credentials."""
    found = default(tmp_path, "", TOKEN, Flags(base_url="http://127.0.0.1:8025/api/v2"))
    assert found is not None
    assert (found.name, found.base_url, found.address) == (
        "127.0.0.1:8025",
        "http://127.0.0.1:8025",
        "http://127.0.0.1:8025",
    )
    assert found.credentials == Token("environment-token")


def test_a_base_url_overrides_the_address_of_the_tenant_that_is_named(tmp_path: Path) -> None:
    """Name, pace and credentials stay, and the lines that name the tenant go to the new address as well."""
    (tmp_path / "bulkstreams.toml").write_text(ACME + BETA)
    found = load(Flags(tenant="acme", base_url="http://localhost:8025"), {}, tmp_path)
    assert found.default is not None
    assert (found.default.name, found.default.base_url, found.default.rate) == ("acme", "http://localhost:8025", 7.0)
    assert found.default.credentials == Token("acme-token")
    assert found.tenant("acme") == found.default
    assert found.tenants["beta"].base_url == "https://beta.eu.auth0.com"


def test_a_base_url_wins_over_the_domain_of_the_environment(tmp_path: Path) -> None:
    """`--base-url` is a flag, `AUTH0_DOMAIN` is not."""
    environment = {"AUTH0_DOMAIN": "acme.eu.auth0.com", **TOKEN}
    found = default(tmp_path, "", environment, Flags(base_url="http://127.0.0.1:8025"))
    assert found is not None
    assert found.base_url == "http://127.0.0.1:8025"


def test_an_unsafe_base_url_is_refused_by_its_flag(tmp_path: Path) -> None:
    """Plain http to a public host sends no token."""
    assert refused(tmp_path, "", TOKEN, Flags(base_url="http://acme.eu.auth0.com")).message.startswith("--base-url: ")


# -- whose credentials ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"AUTH0_API_TOKEN": "a"}, Token("a")),
        ({"AUTH0_ACCESS_TOKEN": "b"}, Token("b")),
        ({"AUTH0_API_TOKEN": "a", "AUTH0_ACCESS_TOKEN": "b"}, Token("a")),
        ({"AUTH0_API_TOKEN": "", "AUTH0_ACCESS_TOKEN": "b"}, Token("b")),
        ({"AUTH0_API_TOKEN": "a", **CLIENT}, Token("a")),
        (CLIENT, ClientSecret("id", "s3cret")),
        ({**CLIENT, "AUTH0_AUDIENCE": "https://aud/"}, ClientSecret("id", "s3cret", "https://aud/")),
        (
            {"AUTH0_CLIENT_ID": "id", "AUTH0_CLIENT_ASSERTION_PRIVATE_KEY": PEM},
            PrivateKeyJwt("id", PEM, "RS256", None),
        ),
        (
            {
                "AUTH0_CLIENT_ID": "id",
                "AUTH0_CLIENT_ASSERTION_PRIVATE_KEY": PEM,
                "AUTH0_CLIENT_ASSERTION_SIGNING_ALG": "PS256",
                "AUTH0_AUDIENCE": "https://aud/",
            },
            PrivateKeyJwt("id", PEM, "PS256", "https://aud/"),
        ),
        ({"AUTH0_CLIENT_ID": "id"}, None),
        ({"AUTH0_CLIENT_SECRET": "s3cret"}, None),
        ({}, None),
    ],
)
def test_the_environment_is_read_under_the_names_of_auth0s_tools(
    tmp_path: Path, environment: dict[str, str], expected: object
) -> None:
    """A token under either name, a client with a secret, a client with a key."""
    found = default(tmp_path, "", {"AUTH0_DOMAIN": "acme.eu.auth0.com", **environment})
    assert found is not None
    assert found.credentials == expected


def test_an_unknown_signing_algorithm_is_told_by_its_variable(tmp_path: Path) -> None:
    """Auth0 takes three of them."""
    environment = {
        "AUTH0_DOMAIN": "acme.eu.auth0.com",
        "AUTH0_CLIENT_ID": "id",
        "AUTH0_CLIENT_ASSERTION_PRIVATE_KEY": PEM,
        "AUTH0_CLIENT_ASSERTION_SIGNING_ALG": "HS256",
    }
    error = refused(tmp_path, "", environment)
    assert error.message == "AUTH0_CLIENT_ASSERTION_SIGNING_ALG must be RS256, RS384, PS256 (got 'HS256')."


@pytest.mark.parametrize(
    ("file", "environment", "flags", "expected"),
    [
        (ACME, {"AUTH0_DOMAIN": "other.eu.auth0.com", **TOKEN}, Flags(tenant="acme"), "acme-token"),
        (BARE, {"AUTH0_DOMAIN": "other.eu.auth0.com", **TOKEN}, Flags(tenant="bare"), None),
        ("", {"AUTH0_DOMAIN": "other.eu.auth0.com", **TOKEN}, Flags(tenant="acme.eu.auth0.com"), None),
        (ACME, {"AUTH0_DOMAIN": "acme.eu.auth0.com", **TOKEN}, Flags(), "environment-token"),
        (ACME, {"AUTH0_DOMAIN": "acme.eu.auth0.com", **TOKEN}, Flags(tenant="acme"), "environment-token"),
        (ACME, {"AUTH0_DOMAIN": "acme.eu.auth0.com"}, Flags(), "acme-token"),
        (ACME, TOKEN, Flags(), "acme-token"),
        (BARE, TOKEN, Flags(), "environment-token"),
        (BARE, {}, Flags(), None),
        ("", TOKEN, Flags(tenant="acme.eu.auth0.com"), "environment-token"),
        (ACME, {"AUTH0_DOMAIN": "acme.eu.auth0.com", **TOKEN}, Flags(token="flag-token"), "flag-token"),
        (ACME + BETA, TOKEN, Flags(token="flag-token", tenant="beta"), "flag-token"),
        ("", TOKEN, Flags(token="flag-token", base_url="http://localhost:1"), "flag-token"),
        (ACME, TOKEN, Flags(token="flag-token", base_url="http://localhost:1", tenant="acme"), "flag-token"),
        (BARE, TOKEN, Flags(base_url="http://localhost:1", tenant="bare"), "environment-token"),
    ],
)
def test_credentials_of_the_environment_stay_with_its_domain(
    tmp_path: Path, file: str, environment: dict[str, str], flags: Flags, expected: str | None
) -> None:
    """They win for `AUTH0_DOMAIN`, fill the gap where that is not set, and go to no other domain."""
    found = default(tmp_path, file, environment, flags)
    assert found is not None
    assert found.credentials == (None if expected is None else Token(expected))


def test_a_token_file_is_for_the_default_tenant_alone(tmp_path: Path) -> None:
    """The other tenants keep their own credentials."""
    (tmp_path / "bulkstreams.toml").write_text(ACME + BETA)
    found = load(Flags(token="flag-token", tenant="acme"), {}, tmp_path)
    assert found.tenants["acme"].credentials == Token("flag-token")
    assert found.tenants["beta"].credentials == Token("beta-token")


def test_credentials_of_the_environment_go_to_no_other_tenant_of_the_file(tmp_path: Path) -> None:
    """A tenant without credentials that is not the default one stays without."""
    (tmp_path / "bulkstreams.toml").write_text(ACME + BARE)
    found = load(Flags(tenant="acme"), TOKEN, tmp_path)
    assert found.tenants["bare"].credentials is None


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        ('token = "t"', Token("t")),
        ('token = "${env:T}"', Token("${env:T}")),
        ('client_id = "i"\nclient_secret = "s"', ClientSecret("i", "s")),
        ('client_id = "i"\nclient_secret = "s"\naudience = "a"', ClientSecret("i", "s", "a")),
        ('client_id = "i"\nprivate_key = "${file:k.pem}"', PrivateKeyJwt("i", "${file:k.pem}")),
        (
            'client_id = "i"\nprivate_key = "${file:k.pem}"\nsigning_alg = "RS384"',
            PrivateKeyJwt("i", "${file:k.pem}", "RS384"),
        ),
        ("", None),
    ],
)
def test_a_tenant_of_the_file_has_a_token_or_a_client(tmp_path: Path, table: str, expected: object) -> None:
    """References are kept as they are written."""
    found = default(tmp_path, f'[tenants.a]\ndomain = "a.auth0.com"\n{table}\n', {})
    assert found is not None
    assert found.credentials == expected


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ('token = "s3cret"\nclient_id = "i"', "tenants.a has token and client_id"),
        ('client_id = "i"', "tenants.a has client_id"),
        ('client_secret = "s3cret"', "tenants.a has client_secret"),
        (
            'client_id = "i"\nclient_secret = "s3cret"\nprivate_key = "${env:K}"',
            "tenants.a has client_id and client_secret and private_key",
        ),
        ('client_id = "i"\nprivate_key = "${env:K}"\nsigning_alg = "none"', ":5: tenants.a.signing_alg must be RS256"),
        ('token = ""', ":3: tenants.a.token is empty"),
        ('token = "s3cret s3cret"', ":3: tenants.a.token holds a character that no token has"),
        ('client_id = "i"\nclient_secret = "##SECRET##"', ":4: tenants.a.client_secret holds ##SECRET##"),
        ('token = "s3cret-${env:X}"', ":3: tenants.a.token holds ${env:X}, which nobody replaced"),
        ('client_id = "i"\nprivate_key = "s3cret.pem"', ":4: tenants.a.private_key is not a key in PEM form"),
    ],
)
def test_credentials_that_are_not_whole_are_told_and_not_shown(tmp_path: Path, table: str, said: str) -> None:
    """The error names the keys and never their values."""
    error = refused(tmp_path, f'[tenants.a]\ndomain = "a.auth0.com"\n{table}\n', {})
    assert said in error.message
    assert "s3cret" not in str(error)


@pytest.mark.parametrize("name", ["AUTH0_API_TOKEN", "AUTH0_ACCESS_TOKEN"])
def test_a_token_that_could_not_stand_in_a_header_is_told_by_its_variable(tmp_path: Path, name: str) -> None:
    """A line break in a token is a mistake of the shell, told before anything is sent."""
    error = refused(tmp_path, "", {"AUTH0_DOMAIN": "acme.eu.auth0.com", name: "s3cret\r\nX: y"})
    assert error.message == f"{name} holds a character that no token has."
    assert "s3cret" not in str(error)


@pytest.mark.parametrize("name", ["AUTH0_CLIENT_ID", "AUTH0_CLIENT_SECRET", "AUTH0_AUDIENCE"])
def test_a_variable_that_is_no_text_is_told_by_its_name(tmp_path: Path, name: str) -> None:
    """Bytes in another encoding could not be sent as JSON; they are not shown."""
    client = {"AUTH0_CLIENT_ID": "id", "AUTH0_CLIENT_SECRET": "s3cret", name: "caf\udce9"}
    with pytest.raises(UsageError, match=f"^{name} holds bytes that are no UTF-8"):
        load(Flags(base_url="https://acme.example"), client, tmp_path)
