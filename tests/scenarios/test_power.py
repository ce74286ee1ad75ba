"""Power loss: at every instant of a run, what is safe on the disk knows each intent that left and each outcome told."""

from __future__ import annotations

import json
import random
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from bulkstreams.ledger import LedgerReader, Result
from tests.scenarios.power import Call, Disk, calls, record, why_not
from tests.scenarios.rig import Desk, Server, once_each, webhooks

pytestmark = pytest.mark.skipif(bool(why_not()), reason=why_not() or "never")

ROWS = webhooks(20)
SEED = 20_260_101
FAULTS = {"calm": {}, "faulty": {"error-after": 0.2, "reset-after": 0.2, "error-before": 0.1, "truncate": 0.1}}
_BODY = re.compile(rb'"name": ?"(s\d+)"')


class Recorded(NamedTuple):
    """A run that ended, its system calls, and the sandbox that it ran against, which is still there."""

    desk: Desk
    server: Server
    calls: list[Call]


class Instant(NamedTuple):
    """The disk right after a call, the names whose requests had begun to leave, and the outcomes told until then."""

    disk: Disk
    call: Call
    sent: set[str]
    told: dict[str, dict[str, Any]]


@pytest.fixture(scope="module", params=FAULTS)
def recorded(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Recorded]:
    """Record one run: a second one over the same ledger, so that it begins with a sealed file."""
    folder = tmp_path_factory.mktemp(str(request.param))
    desk = Desk(folder / "desk")
    with Server(faults=FAULTS[request.param]) as server:
        trace = folder / "trace"
        desk.write("in.jsonl", ROWS)
        flags = ["run", "in.jsonl", "--base-url", server.url, "--concurrency", "3", "--results", "-"]
        ended = record(desk, trace, *flags, "--limit", "12")
        assert ended.code == 4, ended
        found = list(calls(trace))
        ended = record(desk, trace, *flags)
        assert ended.code == 0, ended
        yield Recorded(desk, server, [*found, *calls(trace)])
    desk.close()


def instants(recorded: Recorded) -> Iterator[Instant]:
    """Yield each instant of a recorded run at which something reached the disk, a server or a reader."""
    disk = Disk(recorded.desk.folder / "in.ledger.db")
    sent: set[str] = set()
    told: dict[str, dict[str, Any]] = {}
    text = b""
    for call in recorded.calls:
        changed = disk.do(call)
        if names := requests(call):
            sent |= names
        elif call.number == 1 and call.name == "write":
            *lines, text = (text + call.data).split(b"\n")
            told |= {row["key"]: row for row in map(json.loads, lines)}
        elif not changed:
            continue
        yield Instant(disk, call, sent, told)


def requests(call: Call) -> set[str]:
    """Return the names of the streams whose requests begin to leave with a call."""
    if "socket" not in call.path and "TCP" not in call.path:
        return set()
    return {name.decode() for name in _BODY.findall(call.data)}


class Rebuilt:
    """A ledger rebuilt from what was left, in a fresh folder each time."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def records(self, files: dict[str, bytes]) -> dict[str, Result] | None:
        """Open what was left; None where there is no ledger yet."""
        shutil.rmtree(self._folder, ignore_errors=True)
        self._folder.mkdir()
        for name, data in files.items():
            (self._folder / name).write_bytes(data)
        if "in.ledger.db" not in files:
            return None
        with LedgerReader(self._folder / "in.ledger.db") as reader:
            return {str(one.key): one for one in reader.results()}


@pytest.fixture
def rebuilt(tmp_path: Path) -> Rebuilt:
    """Return where ledgers are rebuilt."""
    return Rebuilt(tmp_path / "rebuilt")


def test_an_intent_is_safe_before_the_first_byte_of_its_request_leaves(recorded: Recorded, rebuilt: Rebuilt) -> None:
    """When a POST begins to leave, what was synced until then shows its record as in flight, each and every time."""
    attempts = 0
    for instant in instants(recorded):
        if names := requests(instant.call):
            records = rebuilt.records(instant.disk.safe())
            assert records is not None
            assert {records[name].state for name in names} == {"in_flight"}
            attempts += len(names)
    assert attempts == recorded.server.requests() >= len(ROWS)


def check(records: dict[str, Result] | None, instant: Instant) -> None:
    """See that a rebuilt ledger knows what had left and what had been told."""
    if records is None:
        assert not instant.sent
        return
    for name in instant.sent:
        assert records[name].state != "pending" or records[name].attempts, (name, records[name])
    for name, row in instant.told.items():
        assert (records[name].state, records[name].remote_id) == (row["state"], row["remote_id"])


def test_what_was_synced_knows_all_that_was_told(recorded: Recorded, rebuilt: Rebuilt) -> None:
    """At every instant the synced bytes alone are a ledger that opens and has each outcome that anyone was told."""
    seen: set[int] = set()
    for instant in instants(recorded):
        left = instant.disk.safe()
        mark = hash((*left.items(), len(instant.sent), len(instant.told)))
        if mark not in seen:
            seen.add(mark)
            check(rebuilt.records(left), instant)
    assert len(instant.told) == len(ROWS)
    assert len(seen) > 40


def test_torn_writes_lose_nothing_that_was_acknowledged(recorded: Recorded, rebuilt: Rebuilt) -> None:
    """Whichever sectors of what was not yet synced reach the disk, the ledger opens and has what it must have."""
    chance = random.Random(SEED)
    for instant in instants(recorded):
        for _ in range(2):
            check(rebuilt.records(instant.disk.torn(chance)), instant)


def test_a_run_on_what_a_power_cut_left_creates_each_once(recorded: Recorded) -> None:
    """The same command, run on ledgers as they were at instants of the run, ends with each stream in place once."""
    desk, server = recorded.desk, recorded.server
    chance = random.Random(SEED)
    lefts = [(one.disk.torn(chance), set(one.sent)) for one in instants(recorded)]
    middle = [left for left in lefts if 0 < len(left[1]) < len(ROWS)]
    for left, sent in chance.sample(middle, 3):
        for path in desk.folder.glob("in.ledger.db*"):
            path.unlink()
        for name, data in left.items():
            (desk.folder / name).write_bytes(data)
        again = desk.provision(server, "in.jsonl")
        assert again.code == 0, again
        assert again.json["records"]["total"] == len(ROWS)
        assert {row["state"] for row in desk.settled() if row["name"] in sent} <= {"created", "exists"}
        assert server.accepted() == once_each(ROWS)
