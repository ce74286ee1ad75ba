"""What a reference looks like, to a secret or to an action, and what a marker that another tool left behind looks like.

Pure text: resolving a reference (reading the environment or a file, asking the tenant) is never this module's work.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Literal, cast

_REFERENCE = re.compile(r"\$\{(env|file):([^{}]+)\}")
_ACTION = re.compile(r"\$\{action:([^{}\x00-\x1f\x7f-\x9f]{1,255})\}")
_ATTEMPT = re.compile(r"\$\{[^{}]*\}?")
_MARKER = re.compile(r"##[A-Za-z0-9_]+##|@@[A-Za-z0-9_]+@@")

ACTION_ID: Final = ("destination", "configuration", "action_id")
"""The one place of a definition where an action's name may stand for its id."""


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


def parse_action(text: str) -> str | None:
    """Return the name of the action that the whole of `text` refers to (`${action:NAME}`), or None."""
    match = _ACTION.fullmatch(text) if text.startswith("${") else None
    return None if match is None else match[1]


def write_action(name: str) -> str | None:
    """Return the reference to the action of that name, or None where no reference can hold the name."""
    text = f"${{action:{name}}}"
    return text if left_over(text, may_name_action=True) is None else None


def left_over(text: str, *, may_name_action: bool = False) -> str | None:
    """Return the placeholder in `text` that nobody replaced, or None.

    Such are auth0-deploy-cli's `##NAME##` and `@@NAME@@`, and a `${…}` that is no whole reference of ours: text
    around it, an unknown scheme, a missing brace; and an action's name where none may stand. Only the placeholder is
    returned, never what surrounds it.
    """
    if "${" not in text and "##" not in text and "@@" not in text:
        return None
    if marker := _MARKER.search(text):
        return marker[0]
    if "${" in text and parse_reference(text) is None and not (may_name_action and parse_action(text)):
        attempt = _ATTEMPT.search(text)
        return attempt[0] if attempt and attempt[0].endswith("}") else "${"
    return None
