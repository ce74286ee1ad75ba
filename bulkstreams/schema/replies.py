"""What the API sends back → values. Nothing it could send makes these raise; what is unusable is None."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import orjson

from bulkstreams.core.matching import Stream, digest

MAX_MESSAGE: Final = 500  # characters of an error's own words that are kept
_TITLE: Final = re.compile(r"<title[^>]*>(.*?)</title>", re.IGNORECASE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a tenant's streams; `next` is the cursor of the page after it, None on the last."""

    streams: tuple[Stream, ...]
    next: str | None


def created_id(data: bytes) -> str | None:
    """Return the id in the body of a 201, or None where it names no stream."""
    found = _decode(data)
    id_ = found.get("id") if isinstance(found, dict) else None
    return id_ if isinstance(id_, str) and id_ else None


def read_stream(found: object) -> Stream | None:
    """Return a decoded stream, or None where it has no id or is no stream at all."""
    if not isinstance(found, dict) or not isinstance(found.get("id"), str) or not found["id"]:
        return None
    name, status = found.get("name"), found.get("status")
    try:
        mark = digest(found)
    except (AttributeError, TypeError):
        return None
    return Stream(
        id=found["id"],
        name=name if isinstance(name, str) else None,
        digest=mark,
        created_at=_instant(found.get("created_at")),
        updated_at=_instant(found.get("updated_at")),
        status=status if isinstance(status, str) else None,
    )


def read_page(data: bytes) -> Page | None:
    """Return one page of the list, or None where the body is not one; a stream that cannot be read spoils the page."""
    found = _decode(data)
    items = found.get("eventStreams") if isinstance(found, dict) else found
    if not isinstance(items, list):
        return None
    streams = tuple(read_stream(item) for item in items)
    if None in streams:
        return None
    cursor = found.get("next") if isinstance(found, dict) else None
    return Page(
        tuple(stream for stream in streams if stream is not None),
        cursor if isinstance(cursor, str) and cursor else None,
    )


def read_error(data: bytes) -> tuple[str | None, str]:
    """Return the error code, if any, and the message of an error's body, in one line and not for ever long."""
    found = _decode(data)
    if isinstance(found, dict):
        code = found.get("errorCode") or (None if "statusCode" in found else found.get("error"))
        message = found.get("message") or found.get("error_description") or found.get("error") or ""
        return (str(code) if isinstance(code, str) else None), _one_line(str(message))
    text = data.decode("utf-8", "replace")
    title = _TITLE.search(text)
    return None, _one_line(title[1] if title else re.sub(r"<[^>]*>", " ", text))


def _one_line(text: str) -> str:
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return line if len(line) <= MAX_MESSAGE else f"{line[: MAX_MESSAGE - 1]}…"


def _decode(data: bytes) -> Any:
    try:
        return orjson.loads(data)
    except ValueError:
        return None


def _instant(value: object) -> float | None:
    try:
        return datetime.fromisoformat(value).timestamp() if isinstance(value, str) else None
    except (ValueError, OverflowError):
        return None
