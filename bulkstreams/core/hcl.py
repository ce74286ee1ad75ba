"""What text looks like in Terraform's language: strings, comments, and labels that no two blocks share.

Pure text; which blocks there are is `commands.terraform`'s affair. This module must never let a name end a string or a
comment: names are what other people wrote.
"""

from __future__ import annotations

from bulkstreams.core.naming import words


def quote(text: str) -> str:
    """Return a text as a quoted string that Terraform reads as just that: no interpolation, no directive."""
    escaped = "".join(_escaped(sign) for sign in text).replace("${", "$${").replace("%{", "%%{")
    return f'"{escaped}"'


def comment(text: str) -> str:
    """Return a text fit for the rest of a comment: what would end the line, or garble a terminal, is escaped."""
    return "".join(sign if sign.isprintable() else _code(sign) for sign in text)


class Labels:
    """Labels of blocks, each given once: ASCII letters, digits and underscores, the first no digit.

    The same names in the same order are given the same labels. Where a label is taken, a number stands behind it.
    """

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}

    def label(self, text: str, kind: str) -> str:
        """Return the label for a text; `kind` stands before a digit, and for a text of which nothing is left."""
        wanted = words(text).lower() or kind
        if wanted[0].isdigit():
            wanted = f"{kind}_{wanted}"
        count, found = self._counts.get(wanted, 0), wanted
        while found in self._counts:
            count += 1
            found = f"{wanted}_{count}"
        self._counts[wanted] = max(count, 1)
        self._counts.setdefault(found, 1)
        return found


def _escaped(sign: str) -> str:
    if sign in '"\\':
        return f"\\{sign}"
    return sign if sign.isprintable() else _code(sign)


def _code(sign: str) -> str:
    """Return the escape of a character, in the form that JSON, Terraform and people know."""
    short = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}.get(sign)
    return short or (f"\\u{ord(sign):04x}" if ord(sign) <= 0xFFFF else f"\\U{ord(sign):08x}")
