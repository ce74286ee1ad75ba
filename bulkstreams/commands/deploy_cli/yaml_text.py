"""YAML → plain values, each with the line where it stands.

Built on the events of the parser, since no loader of it knows lines, minds a key given twice, or bounds what aliases
unfold to. Every scalar is a text, but for null: a definition holds nothing else, and `007`, `on` or `12:30` mean what
is written there. This module must never make an object that a tag asks for, nor show in an error what may be a secret.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import yaml

from bulkstreams.core.texts import is_text

MOST_VALUES: Final = 200_000
"""Values of one stream with its aliases unfolded: some lines can unfold to billions."""

DEEPEST: Final = 100

_LOADER: Final[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_NULLS: Final = frozenset({"", "~", "null", "Null", "NULL"})
_MERGE: Final = "<<"
_QUOTED: Final = re.compile(r"'(?!<[a-z ]+>')[^']{2,}'|\"[^\"]{2,}\"")
"""What an error of the parser may show of the text; single signs and the names of the grammar are its own words."""

_STR: Final = "tag:yaml.org,2002:str"


class UnreadableError(ValueError):
    """A text that is not what it should be, or more than can be read: why, and in which line."""

    def __init__(self, message: str, line: int | None = None) -> None:
        super().__init__(message)
        self.line = line


@dataclass(slots=True)
class Node:
    """A value as it stands in the text: a scalar's text (None: null), a list's items, or an object's pairs."""

    line: int
    value: str | list[Node] | list[tuple[str, Node]] | None
    is_object: bool = False


@dataclass(slots=True)
class Value:
    """A plain value with the line of each part of it, by the steps that lead there, and the keys given twice."""

    value: Any
    lines: dict[tuple[str | int, ...], int] = field(default_factory=dict)
    twice: list[tuple[str | int, ...]] = field(default_factory=list)
    count: int = 0


def read(text: str) -> Node | None:
    """Return the one document of a text, None where it is empty; raise UnreadableError."""
    try:
        return _Reader(text).document()
    except yaml.MarkedYAMLError as error:
        why = _QUOTED.sub("'…'", str(error.problem or error.context))
        cut_off = "end of stream" in why  # what has no end is mended where it begins
        mark = (error.context_mark if cut_off else None) or error.problem_mark or error.context_mark
        line = None if mark is None else mark.line + 1
        raise UnreadableError(f"is no YAML: {why}", line) from None
    except yaml.YAMLError:
        raise UnreadableError("is no YAML: it holds control characters", None) from None


class _Reader:
    """Makes nodes of the parser's events."""

    def __init__(self, text: str) -> None:
        self._events: Iterator[Any] = yaml.parse(text, Loader=_LOADER)
        self._anchors: dict[str, Node] = {}

    def document(self) -> Node | None:
        found: Node | None = None
        for event in self._events:
            if isinstance(event, yaml.DocumentStartEvent):
                if found is not None:
                    raise UnreadableError("holds more than one document", None)
                found = self._node(next(self._events), 0)
        return found

    def _node(self, event: Any, depth: int) -> Node:
        line: int = event.start_mark.line + 1
        if isinstance(event, yaml.AliasEvent):
            return self._alias(str(event.anchor), line)
        if depth > DEEPEST:
            raise UnreadableError("is nested too deeply", line)
        made = Node(line, None)
        if isinstance(event, yaml.ScalarEvent):
            made.value = _scalar(event, line)
        elif isinstance(event, yaml.SequenceStartEvent):
            made.value = [self._node(one, depth + 1) for one in self._until(yaml.SequenceEndEvent)]
        else:
            made.is_object = True
            pairs = self._until(yaml.MappingEndEvent)
            made.value = [(self._key(one), self._node(next(self._events), depth + 1)) for one in pairs]
        if event.anchor is not None:
            self._anchors[event.anchor] = made
        return made

    def _until(self, end: type[yaml.Event]) -> Iterator[Any]:
        while not isinstance(event := next(self._events), end):
            yield event

    def _alias(self, name: str, line: int) -> Node:
        if name not in self._anchors:
            raise UnreadableError("refers to an anchor that stands nowhere before", line)
        return self._anchors[name]

    def _key(self, event: Any) -> str:
        if not isinstance(event, yaml.ScalarEvent):
            line: int = event.start_mark.line + 1
            raise UnreadableError("has a key that is no text", line)
        return _sound(event)


def _scalar(event: Any, line: int) -> str | None:
    if event.tag is not None and event.tag != _STR:
        raise UnreadableError("has a value with a tag that no stream holds", line)
    return None if event.implicit[0] and event.value in _NULLS else _sound(event)


def _sound(event: Any) -> str:
    """Return a scalar's text; raise UnreadableError where an escape has left half of a character in it."""
    text = str(event.value)
    if not is_text(text):
        line: int = event.start_mark.line + 1
        raise UnreadableError("holds half of a surrogate pair", line)
    return text


def plain(node: Node) -> Value:
    """Return a node as plain values; raise UnreadableError where its aliases unfold to too much.

    Of a key given twice the last one counts; a merge (`<<`) gives way to what stands beside it.
    """
    found = Value(None)
    found.value = _plain(node, (), found)
    return found


def _plain(node: Node, place: tuple[str | int, ...], found: Value) -> Any:
    found.lines[place] = node.line
    found.count += 1
    if found.count > MOST_VALUES or len(place) > DEEPEST:
        raise UnreadableError("unfolds to more than any export holds", node.line)
    if not isinstance(node.value, list):
        return node.value
    if not node.is_object:
        return [_plain(one, (*place, i), found) for i, one in enumerate(_items(node))]
    made: dict[str, Any] = {}
    pairs = list(_pairs(node))
    for key, one in pairs:
        if key == _MERGE:
            for other in reversed(_items(one) if not one.is_object else [one]):
                made |= _merged(_plain(other, place, found))
    own: set[str] = set()
    for key, one in pairs:
        if key in own:
            found.twice.append((*place, key))
        if key != _MERGE:
            own.add(key)
            made[key] = _plain(one, (*place, key), found)
    return made


def _merged(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _items(node: Node) -> list[Node]:
    return [one for one in node.value if isinstance(one, Node)] if isinstance(node.value, list) else []


def _pairs(node: Node) -> list[tuple[str, Node]]:
    return [one for one in node.value if isinstance(one, tuple)] if isinstance(node.value, list) else []


def members(node: Node | None, name: str) -> list[Node]:
    """Return what an object holds under a key; more than one where that is given twice."""
    return [] if node is None else [one for key, one in _pairs(node) if key == name]


def items(node: Node) -> list[Node] | None:
    """Return the items of a list; None for anything else."""
    return _items(node) if isinstance(node.value, list) and not node.is_object else None
