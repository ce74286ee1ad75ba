"""JSON Lines as bytes → lines with their offsets, in constant memory; and a line again, by its offset.

What cannot be read twice (standard input, a pipe, gzip) is spooled as it is read: to a file without a name that
vanishes with the process, sealed with a key that never leaves its memory, so that no secret of the input lies on a
disk in the clear. This module must never look into a line.
"""

from __future__ import annotations

import gzip
import os
import stat
import sys
import tempfile
import zlib
from collections.abc import Iterator
from difflib import get_close_matches
from pathlib import Path
from typing import IO, BinaryIO, Final

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from bulkstreams.core.texts import is_text, shown
from bulkstreams.errors import InputChangedError, InputError
from bulkstreams.model import Line

MAX_LINE: Final = 1_048_576
"""Bytes of a line, without its end: the API takes payloads of 1 MB at most."""

STDIN: Final = "-"
_BLOCK: Final = 1 << 20
AHEAD: Final = 1 << 18
"""Bytes that are read at once where one line is wanted again: those after it are wanted next, as a rule."""

_BOM: Final = b"\xef\xbb\xbf"
_AES: Final = 16  # bytes of an AES block
_TICK_S: Final = 0.02  # coarser than any kernel's file time stamps that have fractions of a second
_WHOLE_SECOND_S: Final = 2.0


class Spool:
    """A nameless file in `folder` whose content is sealed with AES-CTR under a key of this process alone."""

    def __init__(self, folder: Path) -> None:
        self._file: IO[bytes] = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - lives as long as the input
        self._key, self._nonce = os.urandom(32), os.urandom(8)
        self._seal = self._cipher(0).encryptor()

    def _cipher(self, block: int) -> Cipher[modes.CTR]:
        return Cipher(algorithms.AES(self._key), modes.CTR(self._nonce + block.to_bytes(8, "big")))

    def write(self, data: bytes) -> None:
        """Add to the end; raise InputError where there is no room."""
        try:
            self._file.write(self._seal.update(data))
            self._file.flush()
        except OSError as error:
            raise InputError(
                f"the input cannot be spooled: {error.strerror or error}.",
                hint="Make room, or give the input as a plain file: that is read where it is.",
            ) from None

    def read_at(self, offset: int, length: int) -> bytes:
        """Return `length` bytes from `offset` on."""
        block, skip = divmod(offset, _AES)
        sealed = os.pread(self._file.fileno(), length + skip, block * _AES)
        return self._cipher(block).decryptor().update(sealed)[skip:]

    def close(self) -> None:
        """Let the file vanish."""
        self._file.close()


class Cutter:
    """Cuts blocks into lines, wherever the blocks end; of a line that is too long it keeps only the length."""

    def __init__(self) -> None:
        self._number = 1
        self._start = 0  # of the unfinished line
        self._rest = b""
        self._passed_over = 0  # bytes of the unfinished line that are not kept
        self._head: bytes | None = b""  # the first bytes, until they can be told from a byte-order mark

    def cut(self, block: bytes) -> list[Line]:
        """Return the lines that end in this block, blank ones left out."""
        if self._head is not None:
            block = self._head + block
            if len(block) < len(_BOM) and _BOM.startswith(block):
                self._head = block
                return []
            self._head = None
            if block.startswith(_BOM):
                block, self._start = block[len(_BOM) :], len(_BOM)
        if len(self._rest) > MAX_LINE and b"\n" not in block:
            self._passed_over += len(block)
            return []
        texts = (self._rest + block).split(b"\n")
        self._rest = texts.pop()
        return [line for text in texts if (line := self._line(text)) is not None]

    def finish(self) -> list[Line]:
        """Return the last line, where the input ends without a line end."""
        line = self._line(self._rest + (self._head or b""))
        return [] if line is None else [line]

    def _line(self, text: bytes) -> Line | None:
        number, start, length = self._number, self._start, len(text) + self._passed_over
        self._number, self._start, self._passed_over = number + 1, start + length + 1, 0
        data = text.removesuffix(b"\r")
        if length - 1 > MAX_LINE or len(data) > MAX_LINE:
            return Line(number, start, length, None)
        return Line(number, start, len(data), data) if data and not data.isspace() else None


class Input:
    """One input of a run: its lines, and each of them again by its offset (in the text, after decompression)."""

    def __init__(
        self,
        name: str,
        stream: BinaryIO,
        spool: Spool | None,
        *,
        packed: bool | None,
        at_opening: os.stat_result | None,
    ) -> None:
        self.name = name
        self._stream = stream
        self._spool = spool
        self._packed = packed  # None: not known before the first byte came
        self._busy = False
        self._read = spool is None
        self._at_opening = at_opening
        self._steady = False
        self._ahead, self._ahead_at = b"", 0

    @property
    def may_wait(self) -> bool:
        """Return whether reading may wait for somebody else: a terminal, a pipe."""
        return self._at_opening is None and not self._read

    def batches(self) -> Iterator[list[Line]]:
        """Yield the lines that are not blank, a block's worth at a time.

        A broken gzip raises InputError, after the lines before the damage.
        """
        cutter = Cutter()
        for block in self._blocks():
            yield cutter.cut(block)
        yield cutter.finish()

    def _blocks(self) -> Iterator[bytes]:
        if self._spool is None:
            self._stream.seek(0)
        elif self._read:
            raise InputError(f"{self.name} was read already.")
        self._busy = self.may_wait
        try:
            if self._packed is None:
                self._packed = _is_gzip(self._stream)
            # gzip's `read` would lose with a damaged block all that it had unpacked before; its `read1` does not.
            read = gzip.GzipFile(fileobj=self._stream).read1 if self._packed else self._stream.read
            while block := read(_BLOCK):
                if self._spool is not None:
                    self._spool.write(block)
                yield block
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise InputError(
                f"{self.name} is damaged or cut short ({error}); nothing was sent.",
                hint="Pack the file again, or unpack what can be had with `gzip -dc` and use that.",
            ) from None
        except OSError as error:
            raise InputError(
                f"{self.name} cannot be read: {error.strerror or error}.", hint="Check the disk."
            ) from None
        finally:
            self._busy = False
        self._read = True

    def read_at(self, offset: int, length: int) -> bytes:
        """Return the bytes of a line again; raise InputChangedError where the file has no such bytes any more."""
        start = offset - self._ahead_at
        if start < 0 or start + length > len(self._ahead):
            self._ahead_at, self._ahead, start = offset, self._read_ahead(offset, max(length, AHEAD)), 0
        data = self._ahead[start : start + length]
        if len(data) != length:
            raise self._changed()
        return data

    def _read_ahead(self, offset: int, length: int) -> bytes:
        """Read a stretch of the input; it is the one that was read before, or InputChangedError is raised."""
        if self._spool is None:
            data = os.pread(self._stream.fileno(), length, offset)
            # Looked at after the reading, so that what was read is known to be from before any change.
            if not self.unchanged():
                raise self._changed()
            return data
        if not self._read:
            for _ in self._blocks():
                pass
        return self._spool.read_at(offset, length)

    def _changed(self) -> InputChangedError:
        return InputChangedError(
            f"{self.name} was changed after it was read; nothing of the change was sent.",
            hint="Run the same command again: it reads the input anew and resumes.",
        )

    def fingerprint(self, now: float) -> str | None:
        """Return what tells this file, unchanged, from any other or later one; None where nothing does.

        It is made of the file's identity, size and times, never of its content, which may hold secrets. A change in
        the same clock tick as the one before would not show, so a file that changed just `now` has none.
        """
        if self._at_opening is None:
            return None
        at = self._at_opening
        tick = _TICK_S if at.st_ctime_ns % 1_000_000_000 else _WHOLE_SECOND_S
        self._steady = now - at.st_ctime >= tick
        return ":".join(map(str, identity(at))) if self._steady else None

    @property
    def trusted(self) -> bool:
        """Return whether a change of this input cannot go unnoticed: its own copy, or a file with a fingerprint."""
        return self._spool is not None or self._steady

    def unchanged(self) -> bool:
        """Return whether the file is still as it was when it was opened."""
        return self._at_opening is None or identity(os.fstat(self._stream.fileno())) == identity(self._at_opening)

    def close(self) -> None:
        """Close the file, or let the spool vanish."""
        if not self._busy:  # or a thread that was left waits in it, and would make us wait too
            self._stream.close()
        if self._spool is not None:
            self._spool.close()


def open_input(path: str, spool_folder: Path, stdin: BinaryIO | None = None) -> Input:
    """Open an input: a path, or `-` for standard input. Raise InputError, with a remedy, where it cannot be read."""
    if path == STDIN:
        # A reader of our own: the interpreter would wait, at its end, for one that a thread still reads from.
        source = stdin or os.fdopen(os.dup(sys.stdin.fileno()), "rb")
        return _opened("<stdin>", source, spool_folder, at=None)
    if not is_text(path):
        raise InputError(f"the name {shown(path)} is no UTF-8.", hint="Rename the file, or reach it by a link.")
    try:
        stream = Path(path).open("rb")  # noqa: SIM115 - lives as long as the input
    except FileNotFoundError:
        raise InputError(
            f"there is no file {path}{_near(path)}.", hint="Name an existing file, or - for standard input."
        ) from None
    except IsADirectoryError:
        raise InputError(f"{path} is a folder.", hint="Name the files in it, e.g. with *.jsonl.") from None
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}.", hint="Check who may read it.") from None
    except ValueError:
        raise InputError(f"{path!r} is no path: it holds a null byte.", hint="Name an existing file.") from None
    at = os.fstat(stream.fileno())
    return _opened(path, stream, spool_folder, at=at if stat.S_ISREG(at.st_mode) else None)


def _opened(name: str, stream: BinaryIO, folder: Path, *, at: os.stat_result | None) -> Input:
    packed = None if at is None else _is_gzip(stream)
    try:
        spool = Spool(folder) if at is None or packed else None
        return Input(name, stream, spool, packed=packed, at_opening=at)
    except OSError as error:
        if name != "<stdin>":
            stream.close()
        raise InputError(
            f"{name} cannot be spooled in {folder}: {error.strerror}.", hint="Choose another folder with --ledger FILE."
        ) from None


def _is_gzip(stream: BinaryIO) -> bool:
    peek = getattr(stream, "peek", None)
    return peek is not None and peek(2)[:2] == b"\x1f\x8b"


def _near(path: str) -> str:
    folder = Path(path).parent
    try:
        names = [entry.name for entry in folder.iterdir()]
    except OSError:
        return ""
    close = get_close_matches(Path(path).name, names, n=1)
    return f" (did you mean {folder / close[0]}?)" if close else ""


def identity(at: os.stat_result) -> tuple[int, ...]:
    """Return what a file is told by, of which a fingerprint is made: which one it is, its size, its times."""
    return (at.st_dev, at.st_ino, at.st_size, at.st_mtime_ns, at.st_ctime_ns)
