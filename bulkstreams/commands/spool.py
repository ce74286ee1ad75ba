"""What is read before it may be written: kept on disk, in one file without a name, however many there are.

This module must never hold more of it in memory than the piece that is put or taken.
"""

from __future__ import annotations

import tempfile
from types import TracebackType
from typing import IO, NamedTuple, Self

from bulkstreams.errors import OutputError


class Piece(NamedTuple):
    """Where something lies in a spool."""

    offset: int
    length: int


class Spool:
    """A file that vanishes with its process; it is made with the first piece."""

    def __init__(self) -> None:
        self._file: IO[bytes] | None = None
        self._end = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        if self._file is not None:
            self._file.close()

    def put(self, data: bytes) -> Piece:
        """Keep some bytes, and return where."""
        try:
            if self._file is None:
                self._file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 - closed with the context
            self._file.seek(self._end)
            written = 0
            while written < len(data):
                written += self._file.write(data[written:])
        except OSError as error:
            raise OutputError(
                f"what was read cannot be kept in a temporary file: {error.strerror}.",
                hint="Make room, or name another folder in TMPDIR, then run the same command again.",
            ) from None
        piece = Piece(self._end, len(data))
        self._end += len(data)
        return piece

    def take(self, piece: Piece) -> bytes:
        """Return the bytes of a piece."""
        assert self._file is not None
        self._file.seek(piece.offset)
        return self._file.read(piece.length)
