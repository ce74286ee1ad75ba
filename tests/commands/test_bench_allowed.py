"""What may be benched: asked of a host's name alone, before anything is sent."""

from __future__ import annotations

import pytest

from bulkstreams.commands.bench.allowed import check_host
from bulkstreams.errors import UsageError


@pytest.mark.parametrize("url", ["http://127.0.0.1:8025", "https://10.1.2.3/t/acme", "http://[::1]:80", "https://mock"])
def test_ones_own_network_needs_nothing(url: str) -> None:
    """A sandbox here, a mock beside it."""
    check_host(url, approved=False)


def test_auth0s_cloud_needs_its_approval() -> None:
    """The policy is named, and what to say where there is an approval; then nothing stands in the way."""
    with pytest.raises(UsageError, match=r"acme\.eu\.auth0\.com is Auth0's cloud.*written approval") as refused:
        check_host("https://acme.eu.auth0.com", approved=False)
    assert "--approved-load-test" in refused.value.hint
    check_host("https://acme.eu.auth0.com", approved=True)


def test_any_public_host_may_be_a_custom_domain() -> None:
    """So it needs the same word."""
    with pytest.raises(UsageError, match="custom domain"):
        check_host("https://login.acme.com", approved=False)
    check_host("https://login.acme.com", approved=True)
