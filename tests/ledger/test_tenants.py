"""The tenants that a ledger has met, each at the address that the ledger was made for."""

from __future__ import annotations

from pathlib import Path

import pytest

from bulkstreams.errors import ExitCode, LedgerAddressError
from bulkstreams.ledger import LedgerReader
from tests.ledger import ACME, ADDRESS, in_loop, start


@in_loop
async def test_a_tenant_must_stay_at_its_address(path: Path) -> None:
    """A ledger made for a tenant at one address refuses another, naming both, and accepts the same."""
    with await start(path) as ledger:
        number = await ledger.tenant(ACME, ADDRESS)
        assert await ledger.tenant(ACME, ADDRESS) == number
        assert await ledger.tenant("local", "http://127.0.0.1:8025") != number
    with await start(path) as ledger:
        assert await ledger.tenant(ACME, ADDRESS) == number
    with await start(path) as ledger:
        with pytest.raises(
            LedgerAddressError, match=r"tenant acme at https://acme.test, not at https://b.test"
        ) as caught:
            await ledger.tenant(ACME, "https://b.test")
        assert caught.value.exit_code is ExitCode.LEDGER
        assert "--ledger" in caught.value.hint
        assert await ledger.known_tenants() == ["acme", "local"]
    with LedgerReader(path) as reader:
        assert reader.addresses() == {"acme": ADDRESS, "local": "http://127.0.0.1:8025"}


@in_loop
async def test_the_default_tenant_must_stay_at_its_address(path: Path) -> None:
    """A default tenant that is another one now is refused, since its records would be taken for done."""
    with await start(path) as ledger:
        await ledger.bind(ADDRESS)
        await ledger.bind(ADDRESS)
        with pytest.raises(LedgerAddressError, match="the default tenant"):
            await ledger.bind("https://b.test")


@in_loop
async def test_tenants_are_met_many_at_a_time(tmp_path: Path) -> None:
    """A thousand new tenants get ids of their own in one go, and the same ones when they are met again."""
    located = [(f"t{i}", f"https://t{i}.test") for i in range(1000)]
    with await start(tmp_path / "in.ledger.db") as ledger:
        ids = dict(await ledger.tenants(located))
        assert len({ids[name] for name, _ in located}) == 1000
        assert dict(await ledger.tenants(located[:10])) == ids
        assert await ledger.tenant("t7", "https://t7.test") == ids["t7"]


@in_loop
async def test_one_tenant_at_another_address_refuses_them_all(tmp_path: Path) -> None:
    """The ledger that was made for another address is refused, and names which tenant it is about."""
    path = tmp_path / "in.ledger.db"
    with await start(path) as ledger:
        await ledger.tenants([("a", "https://a.test"), ("b", "https://b.test")])
    with await start(path) as ledger:
        with pytest.raises(LedgerAddressError, match=r"made for tenant b at https://b\.test, not at https://c\.test"):
            await ledger.tenants([("a", "https://a.test"), ("b", "https://c.test"), ("new", "https://new.test")])
        assert "new" not in await ledger.known_tenants()
