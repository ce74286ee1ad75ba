"""What a power cut leaves on the disk: rebuilt from the system calls of a real run, as strace recorded them.

A file's bytes are safe once the file was synced after they were written; a name, once its folder was. All else may have
reached the disk, wholly, by the sector, or not at all. Whether a ledger survives that is for the tests to say.
"""

from __future__ import annotations

import random
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from tests.scenarios.rig import Desk, Ended

SECTOR = 512
_CALLS = "openat,write,writev,pwrite64,pwritev,sendto,sendmsg,ftruncate,fsync,fdatasync,link,linkat,unlink,unlinkat"
_LINE = re.compile(r"(\d+) +(?:<\.\.\. (\w+) resumed>|(\w+)\()(.*)")
_TEXT = re.compile(r'"((?:\\x[0-9a-f]{2})*)"')
_TARGET = re.compile(r"(\d+)<([^>]*)>")


def why_not() -> str:
    """Return why system calls cannot be recorded here, or nothing where they can."""
    tool = shutil.which("strace")
    if tool is None:
        return "strace is not installed"
    tried = subprocess.run([tool, "-qq", "-e", "trace=none", "true"], capture_output=True, check=False)
    return "" if tried.returncode == 0 else "strace may not trace here"


class Call(NamedTuple):
    """A system call: its name, the number and the path of the file it is about, the bytes it was given, the rest."""

    name: str
    number: int
    path: str
    data: bytes
    rest: str


def record(desk: Desk, trace: Path, *arguments: str) -> Ended:
    """Run a command to its end and record its system calls."""
    traced = ["strace", "-f", "-qq", "-y", "-xx", "-s", "1000000", "-o", str(trace), "-e", f"trace={_CALLS}"]
    before, desk.prefix = desk.prefix, traced
    try:
        return desk.run(*arguments, env={"UV_USE_IO_URING": "0"})
    finally:
        desk.prefix = before


def calls(trace: Path) -> Iterator[Call]:
    """Yield what was recorded: a write from its beginning, a sync from its end on, and nothing that failed."""
    begun: dict[str, str] = {}
    for line in trace.read_text().splitlines():
        found = _LINE.match(line)
        if found is None:
            continue
        process, resumed, name, rest = found.groups()
        ends, starts = resumed is not None, resumed is None
        if starts and rest.endswith("<unfinished ...>"):
            begun[process] = rest
            ends = False
        else:
            ends = True
            rest = begun.pop(process) + rest if resumed is not None else rest
        name = resumed or name
        early = not name.endswith("sync")
        if (early and starts and " = -1 " not in rest) or (not early and ends and re.search(r"= 0$", rest)):
            yield _call(name, rest)


def _call(name: str, rest: str) -> Call:
    texts = [bytes.fromhex(text.replace("\\x", "")) for text in _TEXT.findall(rest)]
    target = _TARGET.match(rest)
    number, path = (int(target[1]), _plain(target[2])) if target else (-1, "")
    if name in {"openat", "link", "linkat", "unlink", "unlinkat"}:
        return Call(name, number, "\0".join(text.decode() for text in texts), b"", rest)
    return Call(name, number, path, b"".join(texts), rest)


def _plain(path: str) -> str:
    return bytes.fromhex(path.replace("\\x", "")).decode() if path.startswith("\\x") else path


class _File:
    """A file: what of it is safe, and what was done to it since (an offset and bytes, or a length)."""

    def __init__(self) -> None:
        self.safe = bytearray()
        self.since: list[tuple[int, bytes | None]] = []

    def sync(self) -> None:
        _do(self.safe, self.since)
        self.since = []

    def torn(self, chance: random.Random) -> bytes:
        left = bytearray(self.safe)
        _do(left, [part for one in self.since for part in _sectors(*one) if chance.random() < 0.6])
        return bytes(left)


def _do(data: bytearray, steps: list[tuple[int, bytes | None]]) -> None:
    for at, written in steps:
        if written is None:
            del data[at:]
        data.extend(bytes(max(0, at - len(data))))
        if written is not None:
            data[at : at + len(written)] = written


def _sectors(at: int, written: bytes | None) -> Iterator[tuple[int, bytes | None]]:
    if written is None:
        yield at, None
        return
    end = at + len(written)
    while at < end:
        upto = min(end, (at // SECTOR + 1) * SECTOR)
        yield at, written[len(written) - (end - at) : len(written) - (end - upto)]
        at = upto


class Disk:
    """The folder of a ledger on a disk, as calls change it; shared memory and the lease are not of it."""

    def __init__(self, ledger: Path) -> None:
        self._ledger = ledger
        self._names: dict[str, _File] = {}
        self._safe_names: dict[str, _File] = {}

    def _ours(self, path: str) -> bool:
        name = Path(path).name
        return self._ledger.name in name and not name.endswith(("-shm", ".lock"))

    def do(self, call: Call) -> bool:
        """Do what a call did; return whether it changed what may be on the disk."""
        if call.name.endswith("sync") and call.path == str(self._ledger.parent):
            self._safe_names = dict(self._names)
            return True
        if not self._ours(call.path):
            return False
        if call.name in {"openat", "link", "linkat", "unlink", "unlinkat"}:
            return self._name(call)
        file = self._names[call.path]
        if call.name.endswith("sync"):
            file.sync()
        elif call.name == "ftruncate":
            file.since.append((int(_number(call, 1)), None))
        else:
            assert call.name == "pwrite64", call
            file.since.append((int(_number(call, -1)), call.data))
        return True

    def _name(self, call: Call) -> bool:
        path, to = (str(self._ledger.parent / name) for name in (call.path.split("\0") * 2)[:2])
        if call.name == "openat":
            if "O_CREAT" in call.rest and path not in self._names:
                self._names[path] = _File()
        elif call.name.startswith("link"):
            self._names[to] = self._names[path]
        else:
            self._names.pop(path, None)
        return True

    def safe(self) -> dict[str, bytes]:
        """Return the files that are left where nothing reached the disk but what was synced."""
        return self._left(self._safe_names, lambda file: bytes(file.safe))

    def torn(self, chance: random.Random) -> dict[str, bytes]:
        """Return the files that are left where any sector, and any name, may have reached the disk besides."""
        names = dict(self._safe_names)
        for path in {*self._names, *self._safe_names}:
            if chance.random() < 0.5:
                names.pop(path, None)
                names |= {path: self._names[path]} if path in self._names else {}
        return self._left(names, lambda file: file.torn(chance))

    def _left(self, names: dict[str, _File], content: Callable[[_File], bytes]) -> dict[str, bytes]:
        wanted = (str(self._ledger), f"{self._ledger}-wal")
        return {Path(path).name: content(names[path]) for path in wanted if path in names}


def _number(call: Call, which: int) -> str:
    given, unfinished, _ = call.rest.partition(" <unfinished")
    return (given if unfinished else given.rpartition(")")[0]).split(", ")[which]
