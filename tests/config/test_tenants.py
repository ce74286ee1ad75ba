"""Where a tenant is: addresses that are whole and safe, and credentials that hide."""

from __future__ import annotations

import pytest

from bulkstreams.config.tenants import (
    ClientSecret,
    PrivateKeyJwt,
    Tenant,
    Token,
    check_base_url,
    check_domain,
    is_domain,
    name_of_url,
)
from bulkstreams.errors import UsageError
from bulkstreams.model import TenantName


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("https://acme.eu.auth0.com", "https://acme.eu.auth0.com"),
        ("https://acme.eu.auth0.com/", "https://acme.eu.auth0.com"),
        ("https://ACME.eu.auth0.com/api/v2", "https://acme.eu.auth0.com"),
        ("https://acme.eu.auth0.com/api/v2/", "https://acme.eu.auth0.com"),
        ("https://proxy.example:8443/auth0/api/v2/", "https://proxy.example:8443/auth0"),
        (" http://127.0.0.1:8025/t/acme ", "http://127.0.0.1:8025/t/acme"),
        ("http://localhost:8025", "http://localhost:8025"),
        ("http://127.9.9.9", "http://127.9.9.9"),
        ("http://[::1]:8025", "http://[::1]:8025"),
    ],
)
def test_a_base_url_is_cut_to_what_stands_before_the_api(text: str, expected: str) -> None:
    """`/api/v2` and slashes at the end go, the host is in lower case, a path before the API stays."""
    assert check_base_url(text, "--base-url") == expected


@pytest.mark.parametrize(
    "text",
    [
        "http://acme.eu.auth0.com",
        "http://10.0.0.1",
        "http://0.0.0.0:80",
        "http://localhost.evil.example",
        "http://[::2]",
    ],
)
def test_plain_http_goes_to_a_loopback_address_alone(text: str) -> None:
    """A token is never sent in the clear over a network."""
    with pytest.raises(UsageError, match=r"plain http to .* would send the token in the clear") as caught:
        check_base_url(text, "--base-url")
    assert "https://HOST" in caught.value.hint


@pytest.mark.parametrize(
    "text",
    [
        "",
        "acme.eu.auth0.com",
        "ftp://acme.eu.auth0.com",
        "https://",
        "//x",
        "https:///api/v2",
        "https://a b",
        "https://-",
    ],
)
def test_what_is_no_whole_url_is_refused(text: str) -> None:
    """A base URL has a scheme and a host."""
    with pytest.raises(UsageError, match=r"^--base-url must be a whole URL"):
        check_base_url(text, "--base-url")


@pytest.mark.parametrize(
    "text", ["https://acme.example:port", "https://acme.example:99999", "http://[::1", "https://]"]
)
def test_a_senseless_host_or_port_is_refused(text: str) -> None:
    """A URL that cannot be taken apart is an error of usage, not a crash."""
    with pytest.raises(UsageError, match=r"^--base-url "):
        check_base_url(text, "--base-url")


@pytest.mark.parametrize(
    "text",
    [
        "https://user:s3cret@acme.example",
        "https://acme.example?token=s3cret",
        "https://acme.example#s3cret",
        "https://user:s3cret@acme.example:port",
        "s3cret://user:s3cret@",
    ],
)
def test_a_base_url_with_a_credential_is_refused_unseen(text: str) -> None:
    """User, query and fragment are refused, and the error does not repeat them."""
    with pytest.raises(UsageError) as caught:
        check_base_url(text, "--base-url")
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("acme.eu.auth0.com", "acme.eu.auth0.com"),
        ("  ACME.EU.Auth0.com ", "acme.eu.auth0.com"),
        ("https://acme.eu.auth0.com/", "acme.eu.auth0.com"),
        ("login.example.co.uk", "login.example.co.uk"),
    ],
)
def test_a_domain_is_taken_as_people_copy_it(text: str, expected: str) -> None:
    """Scheme, slash, spaces and capitals are dropped."""
    assert check_domain(text, "AUTH0_DOMAIN") == expected


@pytest.mark.parametrize(
    "text", ["acme", "acme.eu.auth0.com/api/v2", "a b.com", "", "127.0.0.1:8025", "-a.com", "a..com"]
)
def test_what_is_no_domain_is_told(text: str) -> None:
    """The error names its source and shows what a domain looks like."""
    with pytest.raises(UsageError) as caught:
        check_domain(text, "AUTH0_DOMAIN")
    assert caught.value.message == f"AUTH0_DOMAIN: {text!r} is not a domain."
    assert "acme.eu.auth0.com" in caught.value.hint


def test_a_domain_with_a_credential_in_it_is_refused_unseen() -> None:
    """What stands before an `@` may be a password."""
    with pytest.raises(UsageError) as caught:
        check_domain("https://user:s3cret@acme.eu.auth0.com", "AUTH0_DOMAIN")
    assert "s3cret" not in str(caught.value)


def test_a_domain_has_at_least_two_labels_and_at_most_253_characters() -> None:
    """The rule of names is that of the domain name system."""
    assert is_domain("a.io")
    assert not is_domain("io")
    assert not is_domain(".".join(["a" * 60] * 5) + ".com")
    assert not is_domain("a" * 64 + ".com")


def test_a_tenant_without_a_name_is_called_by_host_and_port() -> None:
    """With `--base-url` alone there is nothing else to call it by."""
    assert name_of_url("http://127.0.0.1:8025/t/acme") == "127.0.0.1:8025"
    assert name_of_url("https://acme.eu.auth0.com") == "acme.eu.auth0.com"


@pytest.mark.parametrize(
    "credentials", [Token("s3cret"), ClientSecret("id", "s3cret"), PrivateKeyJwt("id", "s3cret")], ids=lambda c: type(c)
)
def test_no_credential_is_in_a_repr(credentials: Token | ClientSecret | PrivateKeyJwt) -> None:
    """A credential may be logged by mistake: it shows nothing, nor does the tenant around it."""
    tenant = Tenant(name=TenantName("acme"), base_url="https://x", address="https://x", credentials=credentials)
    assert "s3cret" not in repr(credentials)
    assert "s3cret" not in repr(tenant)
    assert "s3cret" not in str(tenant)
