"""The write-ahead log that a process left which died: what of it counts, and whether it was damaged since.

SQLite takes a log up to the first frame that does not add up, and drops the rest in silence: it may be the torn end of
a commit that nobody was told of. This module knows the one case in which it cannot be that: a commit is durable before
the next begins, so where a whole commit is followed by a frame of the next, neither can be torn.
It must never write. Source of the format: "The Write-Ahead Log" in https://www.sqlite.org/fileformat2.html.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

_MAGIC: Final = {0x377F0682: "<", 0x377F0683: ">"}
"""The first word of a log, and the order of the bytes in which its checksums are taken."""

_HEADER: Final = struct.Struct(">8I")
_FRAME: Final = struct.Struct(">6I")

_Sum = tuple[int, int]


class Log(NamedTuple):
    """What a log holds: the pages of its whole commits, and whether commits that were durable are gone from it."""

    pages: frozenset[int]
    damaged: bool


class _Frame(NamedTuple):
    page: int
    ends_commit: bool
    ours: bool  # of this round of the log: it carries the salts of its header
    follows: bool  # its checksum continues that of the frame before it
    sum: _Sum


def read_log(path: Path) -> Log | None:
    """Read the log at `path`; None where there is none, or one that is so broken that SQLite passes over it."""
    try:
        file = path.open("rb", buffering=1 << 20)
    except FileNotFoundError:
        return None
    with file:
        head = file.read(_HEADER.size)
        if len(head) < _HEADER.size or (order := _MAGIC.get(_HEADER.unpack(head)[0])) is None:
            return None
        _, _, size, _, salt, salt_2, *own = _HEADER.unpack(head)
        if _checksum(head[:24], (0, 0), order) != tuple(own):
            return None

        def frames() -> Iterator[_Frame]:
            before: _Sum = (own[0], own[1])
            while len(data := file.read(_FRAME.size + size)) == _FRAME.size + size:
                page, after, *salts, one, two = _FRAME.unpack_from(data)
                ours = salts == [salt, salt_2]
                follows = ours and _checksum(data[_FRAME.size :], _checksum(data[:8], before, order), order) == (
                    one,
                    two,
                )
                yield _Frame(page, after != 0, ours, follows, (one, two))
                before = (one, two)

        return _judge(frames())


def _judge(frames: Iterator[_Frame]) -> Log:
    """Take the commits up to the first frame that does not add up; look behind it for what cannot be a torn end."""
    pages: set[int] = set()
    commit: set[int] = set()
    for frame in frames:
        if not frame.follows:
            return Log(frozenset(pages), _goes_on(frame, frames))
        commit.add(frame.page)
        if frame.ends_commit:
            pages |= commit
            commit.clear()
    return Log(frozenset(pages), damaged=False)


def _goes_on(broken: _Frame, frames: Iterator[_Frame]) -> bool:
    before = broken
    for frame in frames:
        if before.ours and before.ends_commit and frame.follows:
            return True
        before = frame
    return False


def _checksum(data: bytes, seed: _Sum, order: str) -> _Sum:
    one, two = seed
    words = struct.unpack(f"{order}{len(data) // 4}I", data)
    for first, second in zip(words[::2], words[1::2], strict=True):
        one = (one + first + two) & 0xFFFFFFFF
        two = (two + second + one) & 0xFFFFFFFF
    return one, two
