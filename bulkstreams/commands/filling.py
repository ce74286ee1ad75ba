"""The file that a person fills in: a line for each variable that holds a secret, and no value.

This module must never replace a file in which somebody has filled in anything.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from bulkstreams.commands.replacing import PRIVATE, Replacement
from bulkstreams.core.naming import template
from bulkstreams.errors import UsageError

_EMPTY: Final = re.compile(rb"\s*([A-Za-z_][A-Za-z0-9_]*=)?\s*")
_MOST: Final = 16 * 1024 * 1024  # bytes of it that are looked at


class Filling:
    """A template at `path`, to be filled in."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._check()
        self._file = Replacement(path, "--env-template", mode=PRIVATE)

    def __enter__(self) -> Filling:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.__exit__(None, None, None)

    def seal(self, names: list[str]) -> None:
        """Write a line for each name; once more, not over what somebody filled in meanwhile."""
        self._check()
        self._file.write(template(names).encode())
        self._file.seal()

    def put(self) -> None:
        """Put the template in its place."""
        self._file.put()

    def _check(self) -> None:
        """Raise UsageError where the file holds more than names without values."""
        if not self.path.is_file():
            return  # none yet, or nothing that could be replaced: that is the file's own affair
        try:
            with self.path.open("rb") as file:
                lines = file.read(_MOST).split(b"\n")
        except OSError as error:
            raise UsageError(f"{self.path} cannot be read: {error.strerror}.", hint="Check --env-template.") from None
        if not all(_EMPTY.fullmatch(line) for line in lines):
            raise UsageError(
                f"{self.path} holds more than names without values; it is left as it is.",
                hint="Give --env-template another file; the names that are new can be copied over from there.",
            )
