"""What the environment variable is called that will hold a secret which nobody can read back.

Pure text: writing the names down, or reading what they stand for, is for others. This module must never see a secret.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from typing import Final

LONGEST: Final = 80
"""Characters of a name before what keeps it apart; a stream's own name may be longer than a shell's line should be."""

_NAMELESS: Final = "STREAM"


class SecretNames:
    """Names of environment variables, each given once: `audit`, `token` → `AUDIT_TOKEN`.

    The same streams in the same order are given the same names. Where a name is taken, a number stands behind it.
    """

    def __init__(self, taken: Iterable[str] = ()) -> None:
        self._taken = set(taken)
        self._counts: dict[str, int] = {}

    def name(self, stream_name: str | None, field: str) -> str:
        """Return the name for a field of a stream; without a name, the stream is called `STREAM`."""
        wanted = f"{_stem(stream_name)}_{words(field)}"
        count = self._counts.get(wanted, 0)
        while True:
            count += 1
            found = wanted if count == 1 else f"{wanted}_{count}"
            if found not in self._taken:
                break
        self._counts[wanted] = count
        self._taken.add(found)
        return found


def words(text: str) -> str:
    """Return a text in capitals, digits and single underscores: letters lose their accents, other signs part words.

    What is left may be empty, or begin with a digit.
    """
    parted = unicodedata.normalize("NFKD", text).upper()
    plain = "".join(sign for sign in parted if not unicodedata.combining(sign))
    kept = "".join(sign if sign.isascii() and sign.isalnum() else "_" for sign in plain)
    return "_".join(filter(None, kept.split("_")))


def template(names: Iterable[str]) -> str:
    """Return a dotenv file with a line to fill in for each name, and no value."""
    return "".join(f"{name}=\n" for name in names)


def _stem(stream_name: str | None) -> str:
    stem = words(stream_name or "")[:LONGEST].rstrip("_") or _NAMELESS
    # No shell takes a name that begins with a digit.
    return f"{_NAMELESS}_{stem}" if stem[0].isdigit() else stem
