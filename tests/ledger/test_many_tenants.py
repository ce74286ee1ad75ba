"""Many tenants in one ledger: no question about one of them looks at the records of the others."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from bulkstreams.errors import LedgerAddressError
from bulkstreams.ledger import statements
from tests.ledger import good, in_loop, read, start


@in_loop
async def test_questions_about_a_tenant_go_by_an_index_that_begins_with_it(tmp_path: Path) -> None:
    """Claims, doubts and the survey search by tenant; none scans the records."""
    path = tmp_path / "in.ledger.db"
    with await start(path):
        pass
    asked = (statements._CLAIMABLE, statements._CLAIM, statements._DOUBTS, statements._BY_KEY, statements._BY_NAME)
    with closing(sqlite3.connect(path)) as db:
        for sql in asked:
            plan = [row[3] for row in db.execute(f"EXPLAIN QUERY PLAN {sql}", [1] * sql.count("?"))]
            steps = [step for step in plan if " record" in step]
            assert steps, plan
            assert all(step.startswith("SEARCH record USING INDEX") and "(tenant=?" in step for step in steps), plan


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


@in_loop
async def test_what_is_to_do_comes_in_the_order_of_the_input(tmp_path: Path) -> None:
    """Tenants are listed as they were first met, whatever their names: so seats are given out."""
    names = ["zoe", "acme", "mid", "bob"]
    with await start(tmp_path / "in.ledger.db") as ledger:
        await read(ledger, [good(f"k{i}", tenant=name) for name in names for i in range(2)])
        assert list(await ledger.reopen(retry_failed=False)) == names
