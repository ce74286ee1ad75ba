"""Standard output and standard error, whose readers may leave before the work is done, or were never there.

What is told on standard error is for people: a write to it never fails, whatever becomes of the terminal, the pipe or
the disk behind it. Where its reader leaves (a broken pipe), who asked is told of it, once.
This module must never let what nobody reads cut a run off, nor let it stray into a file of ours.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

_USELESS: Final = {0: os.O_WRONLY, 1: os.O_RDONLY, 2: os.O_RDONLY}
"""How a stand-in for each standard stream is opened, so that its use is an error, as that of a closed one is."""


class _Heedless(io.FileIO):
    """Standard error: takes all that is written, and drops what cannot be."""

    def __init__(self) -> None:
        super().__init__(2, "w", closefd=False)
        self.deserted = False
        self.watcher: Callable[[], None] | None = None

    def write(self, data: ReadableBuffer, /) -> int:
        """Write, and say that all of it was written."""
        try:
            super().write(data)
        except BrokenPipeError:
            self._leave()
        except OSError:
            pass  # a terminal that was closed, a full disk: what is told is lost, the work is not
        return memoryview(data).nbytes

    def _leave(self) -> None:
        if not self.deserted:
            self.deserted = True
            if self.watcher is not None:
                self.watcher()

    @contextmanager
    def watched(self, watcher: Callable[[], None]) -> Iterator[None]:
        self.watcher = watcher
        if self.deserted:
            watcher()
        try:
            yield
        finally:
            self.watcher = None


_told: _Heedless | None = None


def prepare() -> None:
    """Make both outlets safe to write to; to be called before any file is opened.

    A standard stream that is closed gets a stand-in: else the next file of ours would get its number, and with it all
    that is written to it.
    """
    global _told
    for number, mode in _USELESS.items():
        try:
            os.fstat(number)
        except OSError:
            _stand_in(number, mode)
    if sys.stdout is None:
        sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115 - lives as long as we do
    _told = _Heedless()
    encoding = sys.stderr.encoding if sys.stderr is not None else "utf-8"
    sys.stderr = io.TextIOWrapper(io.BufferedWriter(_told), encoding, "backslashreplace", line_buffering=True)


def _stand_in(number: int, mode: int) -> None:
    opened = os.open(os.devnull, mode)
    if opened != number:
        os.dup2(opened, number)
        os.close(opened)
    os.set_inheritable(number, True)


@contextmanager
def watch_reader(left: Callable[[], None]) -> Iterator[None]:
    """Call `left` once if the reader of standard error leaves (or has left) while the context lasts."""
    if _told is None:
        yield
        return
    with _told.watched(left):
        yield
