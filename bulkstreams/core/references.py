"""What a reference to a secret looks like, and what a marker that another tool left behind looks like.

Pure text: resolving a reference (reading the environment or a file) is `secrets`' work, never this module's.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, cast

_REFERENCE = re.compile(r"\$\{(env|file):([^{}]+)\}")
_ATTEMPT = re.compile(r"\$\{[^{}]*\}?")
_MARKER = re.compile(r"##[A-Za-z0-9_]+##|@@[A-Za-z0-9_]+@@")


@dataclass(frozen=True, slots=True)
class Reference:
    """`${env:NAME}` or `${file:PATH}`: where a secret is kept, not the secret."""

    scheme: Literal["env", "file"]
    target: str

    def __str__(self) -> str:
        return f"${{{self.scheme}:{self.target}}}"


def parse_reference(text: str) -> Reference | None:
    """Return the reference that the whole of `text` is, or None where it is a literal value."""
    match = _REFERENCE.fullmatch(text) if text.startswith("${") else None
    if match is None:
        return None
    return Reference(cast(Literal["env", "file"], match[1]), match[2])


def left_over(text: str) -> str | None:
    """Return the placeholder in `text` that nobody replaced, or None.

    Such are auth0-deploy-cli's `##NAME##` and `@@NAME@@`, and a `${…}` that is no whole reference of ours: text
    around it, an unknown scheme, a missing brace. Only the placeholder is returned, never what surrounds it.
    """
    if "${" not in text and "##" not in text and "@@" not in text:
        return None
    if marker := _MARKER.search(text):
        return marker[0]
    if "${" in text and parse_reference(text) is None:
        attempt = _ATTEMPT.search(text)
        return attempt[0] if attempt and attempt[0].endswith("}") else "${"
    return None
