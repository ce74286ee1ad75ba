"""What is a text: something that UTF-8, and so JSON and a ledger, can hold.

Bytes of a name or a variable that are no text stand in it as surrogates (PEP 383), and so may half a pair that a file
escapes. This module must never guess which encoding they may be of.
"""

from __future__ import annotations


def is_text(text: str) -> bool:
    """Return whether UTF-8 can hold it."""
    return text.isascii() or not any("\ud800" <= sign <= "\udfff" for sign in text)


def shown(text: str) -> str:
    """Return it as people can read it: each byte that is no text is written as such."""
    return "".join(rf"\x{ord(sign) - 0xDC00:02x}" if "\udc80" <= sign <= "\udcff" else sign for sign in text)
