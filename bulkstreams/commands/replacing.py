"""A file that takes another's place only when it is whole.

It is written beside its place and, where the system allows that, without a name: then nothing is left of it, whatever
ends the process. This module must never touch what stands in the place before the new file is whole and on disk.
"""

from __future__ import annotations

import errno
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from bulkstreams.errors import OutputError, UsageError

PRIVATE: Final = 0o600
_FOR_ALL: Final = 0o666  # less the umask, as for any file
_NAMELESS: Final = getattr(os, "O_TMPFILE", 0)  # Linux alone has it
_NO_NAMELESS: Final = frozenset({errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL, errno.ENOENT})
"""How a file system, or a kernel, says that it has no files without names."""


class Replacement:
    """The new file of `path`; `flag` is how the user gave it. It goes with the context unless it was `put` in place.

    `mode`: its permissions; without any it has those of the file that it replaces, or those of any new file.
    """

    def __init__(self, path: Path, flag: str, *, mode: int | None = None) -> None:
        self.path = path
        self._hint = f"Check {flag}."
        self._place = Path(os.path.realpath(path))  # what a link leads to is replaced, not the link
        self._mode = mode
        self._name: Path | None = None
        try:
            self._check()
            self._file = os.fdopen(self._open(), "wb")
        except OSError as error:
            raise UsageError(f"{path} cannot be written: {error.strerror}.", hint=self._hint) from None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        with suppress(OSError):
            self._file.close()
        if self._name is not None:
            with suppress(OSError):
                self._name.unlink()

    def _check(self) -> None:
        """Refuse what is no file to be replaced, and find out the permissions of what is one."""
        try:
            found = self._place.stat()
        except FileNotFoundError:
            return
        if not stat.S_ISREG(found.st_mode):
            raise UsageError(f"{self.path} is not a file that could be replaced.", hint=self._hint)
        if not os.access(self._place, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        if self._mode is None:
            self._mode = stat.S_IMODE(found.st_mode)

    def _open(self) -> int:
        folder, mode = self._place.parent, self._mode or _FOR_ALL
        if _NAMELESS and Path("/proc/self/fd").is_dir():
            try:
                return os.open(folder, _NAMELESS | os.O_WRONLY | os.O_CLOEXEC, mode)
            except OSError as error:
                if error.errno not in _NO_NAMELESS:
                    raise
        name = self._beside()
        opened = os.open(name, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, mode)
        self._name = name
        return opened

    def _beside(self) -> Path:
        return self._place.parent / f".{self._place.name[:200]}.{secrets.token_hex(4)}.part"

    def write(self, data: bytes) -> None:
        """Add to the new file."""
        with self._told():
            self._file.write(data)

    def seal(self) -> None:
        """Bring the whole of it to disk, and give it a name: what can fail for want of room fails here."""
        with self._told():
            self._file.flush()
            if self._mode is not None:
                os.fchmod(self._file.fileno(), self._mode)
            os.fsync(self._file.fileno())
            if self._name is None:
                name = self._beside()
                self._link(name)
                self._name = name

    def _link(self, name: Path) -> None:
        folder = os.open(name.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            # With a folder given, the link is followed to the file behind it: without, the link itself would be linked.
            os.link(f"/proc/self/fd/{self._file.fileno()}", name.name, dst_dir_fd=folder, follow_symlinks=True)
        finally:
            os.close(folder)

    def put(self) -> None:
        """Put the sealed file in its place, in one step."""
        assert self._name is not None
        with self._told():
            self._name.replace(self._place)
            self._name = None
            folder = os.open(self._place.parent, os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise OutputError(
                f"{self.path} cannot be written: {error.strerror}.",
                hint="What stood there before still does. Make room, or write somewhere else.",
            ) from None
