"""Many tenants in one ledger: no question about one of them looks at the records of the others."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

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
async def test_what_is_to_do_comes_in_the_order_of_the_input(tmp_path: Path) -> None:
    """Tenants are listed as they were first met, whatever their names: so seats are given out."""
    names = ["zoe", "acme", "mid", "bob"]
    with await start(tmp_path / "in.ledger.db") as ledger:
        await read(ledger, [good(f"k{i}", tenant=name) for name in names for i in range(2)])
        assert list(await ledger.reopen(retry_failed=False)) == names
