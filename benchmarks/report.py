"""`report` of a large ledger: `python -m benchmarks.report [--records N] [--rounds N] [--brief]`.

An input is read by `bulkstreams run`, which sends a few records; the others are settled by one statement of SQL, spread
over ten minutes, with latencies of everyday shape and a failure in fifty. As many pauses, of a thousand tenants, and
two thousand notes of what was asked stand beside them: what a run of a week leaves. The input holds references in place
of secrets, so that the report hashes it as well: that is the most that it ever has to do.
"""

from __future__ import annotations

import json
import math
import random
import sqlite3
import subprocess
import sys
import tempfile
from contextlib import closing
from pathlib import Path
from statistics import median
from typing import Final

from benchmarks.machine import ENVIRONMENT, Measured, arguments, definition, measure, sink

SENT: Final = 20
RUN_S: Final = 600.0
TENANTS: Final = 1000
NOTES: Final = 2000
MOST_S: Final = 30.0
MOST_MB: Final = 500
LEDGER: Final = "large.ledger.db"
ENVIRONMENT["HOOK_TOKEN"] = "dummy-token"

_SETTLE: Final = """
UPDATE record SET state = settle.state, attempts = 1 + (record.id % 97 = 0), run = 1, remote_id = 'est_' || record.id,
       http_status = settle.status, error_code = settle.code, message = settle.said,
       settled_at = run.started_at + record.id * :step, first_sent_at = run.started_at + record.id * :step - 0.05,
       latency_ms = latency(record.id)
  FROM run, (SELECT 0 AS kind, 'created' AS state, 201 AS status, NULL AS code, NULL AS said
             UNION ALL SELECT 1, 'refused', 400, 'bad_request', 'destination: this endpoint is not allowed') AS settle
 WHERE run.id = 1 AND record.state = 'pending' AND settle.kind = (record.id % 50 = 0)
"""

_TENANTS: Final = """
WITH RECURSIVE tenants(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM tenants WHERE n < ?)
INSERT INTO tenant (name, address) SELECT printf('tenant-%04d', n), printf('https://tenant-%04d.test', n) FROM tenants
"""

_PAUSES: Final = """
INSERT INTO pause
SELECT 1, tenant.id, CASE WHEN record.id % 7 THEN 'throttled' ELSE 'unreachable' END,
       started_at + record.id * :step, started_at + record.id * :step + 0.5, 0.5, 1, '429, ' || record.id || ' in a row'
  FROM run, record JOIN tenant ON tenant.name = printf('tenant-%04d', 1 + record.id % :tenants)
 WHERE run.id = 1
"""

_ASKED: Final = """
WITH RECURSIVE notes(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM notes WHERE n < :notes - 1)
INSERT INTO course SELECT 1, started_at + n * :seconds, :seconds, :requests, 2, 1, 1, :requests / :seconds
  FROM notes, run WHERE run.id = 1
"""


def write_references(path: Path, records: int) -> Path:
    """Write an input of so many records whose secrets are references."""
    with path.open("w", encoding="utf-8") as file:
        for number in range(records):
            line = json.dumps(definition(number))
            file.write(line.replace("dummy-token-of-an-everyday-length", "${env:HOOK_TOKEN}") + "\n")
    return path


def settle(folder: Path, records: int) -> None:
    """Make the ledger: read the input, send a few records, settle the others."""
    path = write_references(folder / "input.jsonl", records)
    with sink() as url:
        command = [
            sys.executable, "-m", "bulkstreams", "run", path.name, "--base-url", url, "--rate", "max",
            "--ledger", LEDGER, "--limit", str(SENT), "--json",
        ]  # fmt: skip
        ended = subprocess.run(command, cwd=folder, env=ENVIRONMENT, capture_output=True, text=True, check=False)
    assert ended.returncode == 4, ended.stderr
    with closing(sqlite3.connect(folder / LEDGER, isolation_level=None)) as db:
        chance = random.Random(7)
        db.create_function("latency", 1, lambda _: round(30 * math.exp(chance.gauss(0, 0.6)), 3))
        db.execute(_SETTLE, {"step": RUN_S / records})
        db.execute(_TENANTS, (TENANTS,))
        db.execute(_PAUSES, {"step": RUN_S / records, "tenants": TENANTS})
        db.execute("DELETE FROM course")
        db.execute(_ASKED, {"notes": NOTES, "seconds": RUN_S / NOTES, "requests": records // NOTES})
        db.execute("UPDATE run SET ended_at = started_at + ?, requests = ?", (RUN_S, records))
        db.execute("UPDATE seal SET turn = turn | 1, sum = NULL")


def report(folder: Path) -> Measured:
    """Measure the whole process that makes the page."""
    return measure([sys.executable, "-m", "bulkstreams", "report", LEDGER], folder=folder)


def main() -> None:
    """Make a ledger, report it in turn, and print the medians."""
    args = arguments(__doc__, brief={"records": 20_000, "rounds": 1}, long={"records": 1_000_000, "rounds": 3})
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        settle(folder, args.records)
        told = json.loads(
            measure([sys.executable, "-m", "bulkstreams", "report", LEDGER, "--json"], folder=folder).output
        )
        assert told["records"]["total"] == args.records
        assert told["records"]["created"] + told["records"]["refused"] == args.records
        assert told["throttling"]["pauses"] == args.records
        placed = sum(one["requests"] for one in told["timeline"]["stretches"])
        assert placed + told["timeline"]["unplaced_requests"] == args.records
        assert told["inputs"][0]["sha256"] is not None, told["inputs"]
        rounds = [report(folder) for _ in range(args.rounds)]
        page = (folder / "large.report.html").stat().st_size
        size = (folder / LEDGER).stat().st_size
    seconds, peak = median(one.wall_s for one in rounds), max(one.peak_mib for one in rounds)
    print(
        f"{args.records:,} records, a ledger of {size / 1e6:,.0f} MB: a page of {page / 1000:,.0f} kB, "
        f"{median(one.cpu_s for one in rounds):.2f} s of processor"
    )
    print(
        f"median {seconds:.2f} s (goal: at most {MOST_S:.0f} s), peak {peak:.0f} MiB = {peak * 1.048576:.0f} MB "
        f"(goal: at most {MOST_MB} MB)"
    )


if __name__ == "__main__":
    main()
