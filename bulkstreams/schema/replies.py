"""What the API sends back → values. Nothing it could send makes these raise; what is unusable is None."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from types import MappingProxyType
from typing import Any, Final, NamedTuple

import orjson

from bulkstreams.core.errands import Delivery, Shown
from bulkstreams.core.matching import Stream, digest, with_action
from bulkstreams.core.references import write_action

MAX_MESSAGE: Final = 500  # characters of an error's own words that are kept
MAX_BODY: Final = 16_384  # bytes of an error's body that are looked at
_TITLE: Final = re.compile(r"<title[^<>]*>([^<]*)</title>", re.IGNORECASE)
_TAG: Final = re.compile(r"<[^<>]*>")
_USER: Final = re.compile(r"//[^/?#\s]*@")  # a user and a password before the host of an endpoint that is told of


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a tenant's streams; `next` is the cursor of the page after it, None on the last.

    `shown` are the same streams, in the same order, as the API showed them.
    """

    streams: tuple[Stream, ...]
    next: str | None
    shown: Sequence[Mapping[str, Any]] = field(default=(), compare=False, repr=False)


class NamedAction(NamedTuple):
    """An action of a tenant: its id, and its name where the API showed one."""

    id: str
    name: str | None


@dataclass(frozen=True, slots=True)
class ActionPage:
    """One page of a tenant's actions; `total` is how many there are on all pages, None where that was not told."""

    actions: tuple[NamedAction, ...]
    total: int | None


_NO_ACTIONS: Final[Mapping[str, str]] = MappingProxyType({})


def created_id(data: bytes) -> str | None:
    """Return the id in the body of a 201, or None where it names no stream."""
    try:
        id_ = orjson.loads(data)["id"]
    except (ValueError, TypeError, KeyError):
        return None
    return id_ if isinstance(id_, str) and id_ else None


def read_stream(found: object, actions: Mapping[str, str] = _NO_ACTIONS) -> Stream | None:
    """Return a decoded stream, or None where it has no id or is no stream at all.

    `actions` are the names of the tenant's actions by their ids, where lines may refer to them by name.
    """
    if not isinstance(found, dict) or not isinstance(found.get("id"), str) or not found["id"]:
        return None
    name, status = found.get("name"), found.get("status")
    try:
        mark = digest(found)
    except (AttributeError, TypeError, RecursionError):
        return None
    return Stream(
        id=found["id"],
        name=name if isinstance(name, str) else None,
        digest=mark,
        created_at=_instant(found.get("created_at")),
        updated_at=_instant(found.get("updated_at")),
        status=status if isinstance(status, str) else None,
        by_name=_by_name(found, mark, actions) if actions else None,
    )


def _by_name(found: Mapping[str, Any], mark: bytes, actions: Mapping[str, str]) -> bytes | None:
    """Return the digest of a stream whose action is named, not given by its id; None where it has no such action."""
    try:
        destination = found["destination"]
        name = actions[destination["configuration"]["action_id"]] if destination["type"] == "action" else None
    except (KeyError, TypeError):
        return None
    reference = None if name is None else write_action(name)
    return None if reference is None else with_action(mark, reference)


def read_page(data: bytes, actions: Mapping[str, str] = _NO_ACTIONS) -> Page | None:
    """Return one page of the list, or None where the body is not one; a stream that cannot be read spoils the page.

    `actions` as for `read_stream`.
    """
    found = _decode(data)
    items = found.get("eventStreams") if isinstance(found, dict) else found
    if not isinstance(items, list):
        return None
    streams = tuple([stream for item in items if (stream := read_stream(item, actions)) is not None])
    cursor = found.get("next") if isinstance(found, dict) else None
    if len(streams) < len(items) or not isinstance(cursor, str | None):
        return None  # what it may leave out could pass for absent
    return Page(streams, cursor or None, items)


def read_actions(data: bytes) -> ActionPage | None:
    """Return one page of the tenant's actions, or None where the body is not one; one without an id spoils the page."""
    found = _decode(data)
    items = found.get("actions") if isinstance(found, dict) else found
    if not isinstance(items, list):
        return None
    actions = tuple([action for item in items if (action := _read_action(item)) is not None])
    total = found.get("total") if isinstance(found, dict) else None
    if len(actions) < len(items):
        return None  # what it may leave out could pass for unknown
    return ActionPage(actions, total if type(total) is int and total >= 0 else None)


def _read_action(found: object) -> NamedAction | None:
    if not isinstance(found, dict) or not isinstance(found.get("id"), str) or not found["id"]:
        return None
    name = found.get("name")
    return NamedAction(found["id"], name if isinstance(name, str) and name else None)


def read_shown(data: bytes, stream_id: str) -> Shown | None:
    """Return how the stream of that id is, or None where the body does not say."""
    found = _decode(data)
    if not isinstance(found, dict) or found.get("id") != stream_id:
        return None
    try:
        mark = digest(found)
    except (AttributeError, TypeError, RecursionError):
        return None
    destination = found.get("destination")
    return Shown(
        created_at=_text(found.get("created_at")),
        updated_at=_text(found.get("updated_at")),
        status=_text(found.get("status")),
        type=_text(destination.get("type")) if isinstance(destination, dict) else None,
        digest=mark,
    )


def read_delivery(data: bytes) -> Delivery | None:
    """Return one delivery, or None where the body is none."""
    return _delivery(_decode(data))


def read_deliveries(data: bytes) -> list[Delivery] | None:
    """Return one page of deliveries, or None where the body is none; the API wraps them, its description does not."""
    found = _decode(data)
    items = found.get("deliveries") if isinstance(found, dict) else found
    if not isinstance(items, list):
        return None
    deliveries = [one for item in items if (one := _delivery(item)) is not None]
    return deliveries if len(deliveries) == len(items) else None


def _delivery(found: object) -> Delivery | None:
    if not isinstance(found, dict) or not isinstance(found.get("id"), str) or not found["id"]:
        return None
    attempts = found.get("attempts")
    told = [one.get("error_message") for one in attempts if isinstance(one, dict)] if isinstance(attempts, list) else []
    errors = [one for one in told if isinstance(one, str) and one]
    error = _one_line(_USER.sub("//***@", errors[-1])) if errors else None
    return Delivery(found["id"], _text(found.get("status")), error)


def is_absent(data: bytes) -> bool:
    """Return whether the body of a 404 is the API's own: others may answer so who know nothing of any stream."""
    found = _decode(data[:MAX_BODY])
    return isinstance(found, dict) and found.get("statusCode") == 404


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def read_error(data: bytes, mask: Callable[[str], str] | None = None) -> tuple[str | None, str]:
    """Return the error code, if any, and the message of an error's body, in one line and not for ever long.

    `mask` takes the secrets out of the message while it is whole; once shortened, it could hold half of one.
    """
    found = _decode(data[:MAX_BODY])
    if isinstance(found, dict):
        code = _first_text(found, ("errorCode",) if "statusCode" in found else ("errorCode", "error"))
        text = _first_text(found, ("message", "error_description", "error")) or ""
    else:
        code, text = None, data.decode("utf-8", "replace")
        text = (mask(text) if mask else text)[:MAX_BODY]
        if found is None and "<" in text:
            text = _without_tags(text)
    return code and _one_line(code), _one_line(mask(text) if mask else text)


def _first_text(found: dict[str, Any], names: tuple[str, ...]) -> str | None:
    return next((value for name in names if isinstance(value := found.get(name), str) and value), None)


def _without_tags(html: str) -> str:
    """Return the title of a page, else its words."""
    title = _TITLE.search(html)
    return title[1] if title and title[1].strip() else _TAG.sub(" ", html)


def _one_line(text: str) -> str:
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return line if len(line) <= MAX_MESSAGE else f"{line[: MAX_MESSAGE - 1]}…"


def _decode(data: bytes) -> Any:
    try:
        return orjson.loads(data)
    except ValueError:
        return None


def _instant(value: object) -> float | None:
    return _epoch(value) if isinstance(value, str) else None


@lru_cache(maxsize=64)  # a stream that was never changed has the same time twice
def _epoch(text: str) -> float | None:
    try:
        at = datetime.fromisoformat(text)
        return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None
