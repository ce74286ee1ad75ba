"""Whose a host is, by its name alone."""

from __future__ import annotations

import pytest

from bulkstreams.core.reach import Whose, whose


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1", "127.9.9.9", "::1", "10.0.0.5", "192.168.1.1", "172.16.3.4", "169.254.0.1", "fd00::1", "fe80::1",
        "localhost", "auth0.localhost", "mock", "mock.local", "api.internal", "x.test", "nas.home.arpa", "LOCALHOST.",
    ],
)  # fmt: skip
def test_this_machine_and_this_network_are_ours(host: str) -> None:
    """Loopback, private and link-local addresses, and names that no public resolver has."""
    assert whose(host) is Whose.OWN


@pytest.mark.parametrize(
    "host", ["acme.auth0.com", "acme.eu.auth0.com", "ACME.US.AUTH0.COM", "auth0.com.", "x.auth0app.com"]
)
def test_auth0s_cloud_is_known_by_its_names(host: str) -> None:
    """Any region, any case."""
    assert whose(host) is Whose.AUTH0


@pytest.mark.parametrize(
    "host", ["login.acme.com", "notauth0.com", "auth0.com.acme.com", "8.8.8.8", "2606:4700::1", "local.com"]
)
def test_all_else_is_public(host: str) -> None:
    """Which may be a tenant's custom domain."""
    assert whose(host) is Whose.PUBLIC
