"""Hashes of ledger and inputs: right where they are told, and never told where a secret would be in them."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import time
from pathlib import Path
from typing import Any

import pytest

from bulkstreams.ledger import History, Ledger
from bulkstreams.report import hashes
from bulkstreams.source import open_input
from tests.ledger import Given, bad, good, in_loop, read
from tests.report import two_runs
from tests.scenarios.rig import SECRET, leaks, webhook

REFERENCE = "${env:HOOK_SECRET}"


def line(name: str, secret: str = REFERENCE) -> bytes:
    """Return a line of an input."""
    return json.dumps(webhook(name, secret=secret)).encode() + b"\n"


async def told(
    folder: Path, data: bytes, lines: list[Given] | None = None, *, name: str = "in.jsonl"
) -> dict[str, Any]:
    """Write an input and a ledger that has read it; return what is told of the input."""
    path = folder / name
    path.write_bytes(data)
    os.utime(path, (1_000_000, 1_000_000))
    one = open_input(str(path), folder)
    mark = one.fingerprint(time.time() + 60)  # as if it had been read a minute after it was written
    one.close()
    with Ledger.open(folder / "in.ledger.db") as ledger:
        await ledger.begin_run(1.0)
        await read(ledger, {str(path): lines or [good("a")]}, source=json.dumps({"inputs": [[str(path), mark]]}))
    return again(folder)


def again(folder: Path) -> dict[str, Any]:
    """Return what is told of the input now."""
    with History(folder / "in.ledger.db") as history:
        (found,) = hashes.of_inputs(history)
    return found


@pytest.mark.parametrize(
    "data",
    [
        line("a") + b"\n" + line("b"),
        b"\xef\xbb\xbf" + line("token"),  # a name that is also the name of a secret's field
        line("token").replace(b'"name"', b'"n\\u0061me"'),
        b'{"name": "none", "destination": {"type": "eventbridge"}}',
    ],
)
@in_loop
async def test_the_hash_of_a_file_without_secrets_is_that_of_its_bytes(tmp_path: Path, data: bytes) -> None:
    """As any other tool computes it; references are no secrets."""
    found = await told(tmp_path, data)
    assert (found["sha256"], found["why_not"]) == (hashlib.sha256(data).hexdigest(), None)


@pytest.mark.parametrize(
    "data",
    [
        line("a") + line("b", SECRET),
        line("a", SECRET).replace(b'"token"', b'"t\\u006fken"'),
        line("a").replace(REFERENCE.encode(), REFERENCE.encode() + b"x"),
        line("a").replace(b'"token"', b'"password": "x", "token"'),
        line("a").replace(b'"token": ', b'"header_value" : 17, "token": '),
        line("a").replace(b'"method": "bearer"', b'"method": "basic", "password":"' + SECRET.encode() + b'"'),
        gzip.compress(line("a", SECRET)),
        b"\xef\xbb\xbf" + line("a", SECRET),
        line("a").replace(b'"token"', b"token\\"),
    ],
)
@in_loop
async def test_a_file_with_a_secret_has_no_hash(tmp_path: Path, data: bytes) -> None:
    """However it is written; that is said in words, and the definitions have their hash all the same."""
    found = await told(tmp_path, data)
    assert (found["sha256"], found["why_not"]) == (None, hashes.SECRETS)
    assert len(found["definitions_sha256"]) == 64
    assert not leaks(json.dumps(found).encode())


@in_loop
async def test_an_invalid_line_may_hold_a_secret_anywhere(tmp_path: Path) -> None:
    """So a file that has one has no hash."""
    found = await told(tmp_path, line("a") + b'{"passwrd": "x"}\n', [good("a"), bad()])
    assert found["why_not"] == hashes.SECRETS


@in_loop
async def test_a_file_that_changed_or_is_gone_has_no_hash(tmp_path: Path) -> None:
    """What stands there now is not what was read."""
    assert (await told(tmp_path, line("a")))["sha256"] is not None
    path = tmp_path / "in.jsonl"
    path.write_bytes(line("b"))
    assert "changed" in again(tmp_path)["why_not"]
    path.unlink()
    assert "no such file" in again(tmp_path)["why_not"]


@in_loop
async def test_what_nothing_tells_apart_has_no_hash(tmp_path: Path) -> None:
    """Standard input is gone; of a bench's, or a file without a fingerprint, nobody knows whether it is the same."""
    (found,) = (await two_runs(tmp_path / "in.ledger.db"))["inputs"]
    assert (found["path"], found["records"], found["sha256"]) == ("in.jsonl", 10, None)
    assert "nothing tells" in found["why_not"]
    assert "a bench's" in found["why_not"]


@in_loop
async def test_definitions_are_told_apart_by_their_hash_and_by_nothing_else(tmp_path: Path) -> None:
    """The same lines under another secret have it too; another line, or another order, has not."""
    found = []
    for number, (data, lines) in enumerate(
        [
            (line("a", "one"), [good("a"), good("b")]),
            (line("a", "two"), [good("a"), good("b")]),
            (line("a"), [good("b"), good("a")]),
            (line("a"), [good("a", "disabled"), good("b")]),
        ]
    ):
        (folder := tmp_path / str(number)).mkdir()
        found.append((await told(folder, data, lines))["definitions_sha256"])
    assert found[0] == found[1]
    assert len(set(found)) == 3


@in_loop
async def test_the_hash_of_a_ledger_is_that_of_its_file(tmp_path: Path) -> None:
    """While no part of it stands elsewhere."""
    path = tmp_path / "in.ledger.db"
    await two_runs(path)
    found = hashes.of_ledger(path)
    assert found == {
        "bytes": path.stat().st_size,
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "why_not": None,
    }
    path.with_name(f"{path.name}-wal").write_bytes(b"x")
    assert hashes.of_ledger(path)["sha256"] is None
    assert "cannot be read" in hashes.of_ledger(tmp_path / "none")["why_not"]
