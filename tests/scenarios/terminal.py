"""Processes whose outputs are of the test's choice: files, pipes, and a terminal that can be closed under them."""

from __future__ import annotations

import fcntl
import os
import pty
import subprocess
import sys
import termios
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Self

from tests.scenarios.rig import Desk, leaks

LAUNCH = (
    "import os, signal, sys; signal.signal(signal.SIGHUP, getattr(signal, sys.argv[1])); "
    "os.execv(sys.executable, [sys.executable, '-m', 'bulkstreams', *sys.argv[2:]])"
)
"""Becomes our command, with a SIGHUP as it is asked for: how it was here before depends on who started the tests."""

CONTROLLING = "import fcntl, termios; fcntl.ioctl(2, termios.TIOCSCTTY, 0); "
"""Code that makes a process the one that its terminal belongs to."""


def launch(arguments: Sequence[str], *, hangup: str = "SIG_DFL", first: str = "") -> list[str]:
    """Return what starts our command, after a bit of code."""
    return [sys.executable, "-c", first + LAUNCH, hangup, *arguments]


@contextmanager
def process_of(desk: Desk, words: Sequence[str], **streams: Any) -> Iterator[subprocess.Popen[bytes]]:
    """Start a process at a desk, with standard streams of the test's choice; it is killed where the test fails."""
    process = subprocess.Popen(words, cwd=desk.folder, env=desk.environment, **{"stdin": subprocess.DEVNULL, **streams})
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        for pipe in (process.stdout, process.stderr):
            if pipe is not None:
                pipe.close()


class Terminal:
    """A real pseudo-terminal: the run's end of it, and ours, which can be closed under it."""

    def __init__(self) -> None:
        self._ours, self.theirs = pty.openpty()
        os.set_blocking(self._ours, False)
        # As wide as the live view wants it, so that its words stay whole.
        fcntl.ioctl(self.theirs, termios.TIOCSWINSZ, (50).to_bytes(2, sys.byteorder) + (200).to_bytes(6, "little"))
        self._shown = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def shown(self) -> str:
        """Return all that it has shown until now."""
        try:
            while data := os.read(self._ours, 65536):
                self._shown += data
        except BlockingIOError:
            pass
        assert not leaks(self._shown)
        return self._shown.decode(errors="replace")

    def close(self) -> None:
        """Close both ends that we hold."""
        for end in (self.theirs, self._ours):
            if end >= 0:
                os.close(end)
        self.theirs = self._ours = -1
