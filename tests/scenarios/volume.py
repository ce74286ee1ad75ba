"""A small disk of its own for a desk: it can be filled, emptied, and made read-only, and nobody else sees it."""

from __future__ import annotations

import os
import subprocess
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.scenarios.rig import Desk, until

_NAMESPACE = ["unshare", "--mount", "--propagation", "private"]


def why_not() -> str:
    """Return why no disk can be mounted here, or nothing where one can."""
    with suppress(FileNotFoundError):
        tried = subprocess.run([*_NAMESPACE, "mount", "-t", "tmpfs", "tmpfs", "/mnt"], capture_output=True, check=False)
        return "" if tried.returncode == 0 else "only root may mount a disk in a namespace of its own"
    return "unshare is not installed"


class Volume:
    """A disk in memory that is mounted in a folder of a desk, for the desk's commands alone."""

    def __init__(self, desk: Desk, size: str) -> None:
        self._desk = desk
        self._inside = desk.folder / "small"
        self._inside.mkdir()
        mount = f"mount -t tmpfs -o size={size} tmpfs {self._inside} && echo ready && exec cat"
        self._holder = subprocess.Popen([*_NAMESPACE, "sh", "-c", mount], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def __enter__(self) -> Self:
        assert self._holder.stdout is not None
        assert self._holder.stdout.readline() == b"ready\n"
        # A working folder that was entered outside leads past the mount.
        within = ["sh", "-c", 'cd "$0" && exec "$@"', str(self._desk.folder)]
        self._desk.prefix = ["nsenter", f"--mount=/proc/{self._holder.pid}/ns/mnt", *within]
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._desk.prefix = []
        self._holder.communicate()

    @property
    def folder(self) -> Path:
        """Return the disk's folder as seen from outside."""
        return Path(f"/proc/{self._holder.pid}/root{self._inside}")

    def fill(self) -> None:
        """Write until there is no room for another byte."""
        with (self.folder / "junk").open("ab", buffering=0) as junk, suppress(OSError):
            for size in (65536, 4096, 1):
                with suppress(OSError):
                    while junk.write(bytes(size)):
                        pass
        until(lambda: os.statvfs(self.folder).f_bavail == 0)

    def empty(self) -> None:
        """Make room again."""
        (self.folder / "junk").unlink()

    def remount(self, how: str) -> None:
        """Mount it again, `ro` or `rw`."""
        subprocess.run([*self._desk.prefix, "mount", "-o", f"remount,{how}", str(self._inside)], check=True)
