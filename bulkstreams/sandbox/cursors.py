"""Opaque places in a list: written into `next`, read back from `from`, and good for a day.

A cursor is good only in the list that it was written for. This module must never know what a list holds.
"""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Final

CURSOR_LIFETIME_S: Final = 86_400.0


def write_cursor(owner: str, seq: int, now: float) -> str:
    """Return the cursor of a place in the list that `owner`, a word without spaces, names."""
    return urlsafe_b64encode(f"{owner} {seq} {now:.0f}".encode()).decode().rstrip("=")


def read_cursor(owner: str, cursor: str, now: float) -> int | None:
    """Return the place that a cursor names, or None where it is not this list's, or too old."""
    try:
        text = urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode()
        written_for, seq, given_at = text.split(" ")
        fresh = now - float(given_at) <= CURSOR_LIFETIME_S
        return int(seq) if written_for == owner and fresh else None
    except ValueError:
        return None
