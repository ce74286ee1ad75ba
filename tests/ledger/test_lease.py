"""Who holds a ledger: one live process, and only as long as it lives."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bulkstreams.errors import ExitCode, LedgerHeldError
from bulkstreams.ledger import Ledger
from tests.ledger import ACME, good, in_loop, read, start, states

ROOT = Path(__file__).parent.parent.parent
HOLDER = """
import asyncio, sys
from pathlib import Path
from tests.ledger import ACME, good, read, start

async def main() -> None:
    ledger = await start(Path(sys.argv[1]))
    await read(ledger, [good("a"), good("b")])
    await ledger.claim(ACME, 1, 20.0)
    print("ready", flush=True)
    sys.stdin.read()

asyncio.run(main())
"""


@contextmanager
def holder(path: Path) -> Iterator[subprocess.Popen[str]]:
    """Let another process hold the ledger, with two records pending and one of them claimed."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(path)], cwd=ROOT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            yield process
        finally:
            process.kill()


@in_loop
async def test_a_second_opening_is_refused(path: Path) -> None:
    """While the ledger is open nobody else gets it; the error says how to look at it meanwhile."""
    with await start(path):
        with pytest.raises(LedgerHeldError, match="held by a live process") as caught:
            Ledger.open(path)
        assert caught.value.exit_code is ExitCode.LEDGER
        assert f"bulkstreams status {path}" in caught.value.hint


@in_loop
async def test_a_fresh_ledger_that_is_held_is_refused_too(path: Path) -> None:
    """Before its first run the holder has no name yet, and the refusal stands all the same."""
    with Ledger.open(path), pytest.raises(LedgerHeldError):
        Ledger.open(path)


@in_loop
async def test_a_closed_ledger_can_be_opened_again(path: Path) -> None:
    """The lease is given back."""
    for _ in range(3):
        (await start(path)).close()


@in_loop
async def test_a_ledger_held_by_another_process_names_it(path: Path) -> None:
    """The refusal says which process holds the ledger, which can still be read."""
    with holder(path) as process:
        with pytest.raises(LedgerHeldError, match=rf"process {process.pid} on "):
            Ledger.open(path)
        assert states(path) == {"a": "in_flight", "b": "pending"}


@in_loop
async def test_a_lease_vanishes_with_its_process(path: Path) -> None:
    """After kill -9 the ledger opens at once; the claim was durable, and its record is in doubt."""
    with holder(path) as process:
        process.send_signal(signal.SIGKILL)
        process.wait(60)
        with await start(path, 50.0) as ledger:
            await read(ledger, [good("a"), good("b")])
            assert await ledger.reopen(retry_failed=False) == {ACME: (1, 1)}
            (doubt,) = await ledger.doubts(ACME, 9)
            assert (doubt.name, doubt.ours_since) == ("a", 20.0)
