"""Streams of a deploy-cli export → the lines of an input, and what a person must see to before they are run.

No secret is taken over: in the place of each stands a reference of its own, whatever the export has there. What `run`
would say of a line is asked of the code that `run` asks.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

from bulkstreams.commands.deploy_cli.files import Found, Place, Unread
from bulkstreams.commands.lines import tells_a_password
from bulkstreams.core.exporting import METHODS, Exported, Keys, export, line
from bulkstreams.core.keywords import file_stem
from bulkstreams.core.naming import SecretNames
from bulkstreams.core.references import ACTION_ID, left_over, parse_action, parse_reference
from bulkstreams.model import Invalid
from bulkstreams.schema import Rules, read_line
from bulkstreams.schema.problems import join, show, type_name
from bulkstreams.source import MAX_LINE

_ID: Final = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_AUTHORIZATION: Final = ("destination", "configuration", "webhook_authorization")
_ENDPOINT: Final = ("destination", "configuration", "webhook_endpoint")
_HIDDEN: Final = frozenset({"", "_VALUE_NOT_SHOWN_"})
"""What deploy-cli writes for a value that it does not show."""

_UNNAMED: Final = "undefined"
_LOST: Final = "only the last is left; `bulkstreams export` reads them all from the tenant"
_LENIENT: Final = Rules(allow_unknown_events=True)


@dataclass(slots=True)
class Converted:
    """The lines made; the names of the variables that they refer to; what is good to know; what must be seen to.

    Notes are of a kind each, so that one kind need not be told for ever.
    """

    lines: list[bytes] = field(default_factory=list)
    secrets: list[str] = field(default_factory=list)
    notes: list[tuple[str, str]] = field(default_factory=list)
    questions: list[str] = field(default_factory=list)


def convert(streams: Iterable[Found | Unread], taken: Iterable[str] = ()) -> Converted:
    """Make a line of each stream, in order; `taken` are names of variables that have another meaning already."""
    conversion = _Conversion(taken)
    for one in streams:
        if isinstance(one, Unread) and one.harmless:
            conversion.made.notes.append(("no file of a stream", f"{one.at()} {one.why}"))
        elif isinstance(one, Unread):
            conversion.made.questions.append(f"{one.at()}: {one.why}; nothing was made of it")
        else:
            conversion.take(one)
    return conversion.made


class _Conversion:
    """What the lines so far leave for the next ones to mind."""

    def __init__(self, taken: Iterable[str]) -> None:
        self.made = Converted()
        self._names = SecretNames(taken)
        self._keys = Keys()
        self._first: dict[str, str] = {}
        self._stems: dict[str, str] = {}

    def take(self, found: Found) -> None:
        """Make a line of one stream."""
        shown = found.value.value
        if not isinstance(shown, dict) or not shown:
            kind = "an empty object" if shown == {} else type_name(shown)
            self._ask(f"{found.at()}: {kind} stands where a stream belongs; nothing was made of it")
            return
        name = shown.get("name")
        called = name if isinstance(name, str) and name else None
        who = "a stream without a name" if called is None else f"the stream {show(called)}"
        exported = export(shown, lambda of: self._names.name(called, of), _action)
        subscriptions = shown.get("subscriptions")
        if subscriptions is not None and not isinstance(subscriptions, list):  # a marker: an export by the API has none
            exported.definition["subscriptions"] = subscriptions
        self.made.secrets.extend(exported.secrets)
        for kind, place, what in _noteworthy(shown, exported):
            self.made.notes.append((kind, f"{found.at(place)}: {who}: {what}"))
        for place, what in _questionable(found, exported):
            self._ask(f"{found.at(place)}: {who}: {what}")
        self._compare_files(found, called, who)
        self._write(found, exported.definition, called, who)

    def _ask(self, text: str) -> None:
        self.made.questions.append(text)

    def _compare_files(self, found: Found, name: str | None, who: str) -> None:
        """Tell where deploy-cli may have written several streams to one file, of which the last is left."""
        if name is None:
            if found.stem == _UNNAMED:
                self._ask(f"{found.at()}: {who}: deploy-cli writes all such streams to this one file, so {_LOST}")
        elif found.stem is None:
            other = self._stems.setdefault(file_stem(name), name)
            if other != name:
                what = f"an export to a folder would lose it or {show(other)}, for one file; both are here"
                self.made.notes.append(("one file", f"{found.at()}: {who}: {what}"))
        elif file_stem(name) != name and file_stem(name) == found.stem:
            what = f"its file is called otherwise; of several streams that make this file name, {_LOST}"
            self.made.notes.append(("one file", f"{found.at()}: {who}: {what}"))

    def _write(self, found: Found, definition: Mapping[str, Any], name: str | None, who: str) -> None:
        data = orjson.dumps(definition)
        own = read_line(data, _LENIENT, lambda _: None).key
        key = None if own is None else self._keys.give(own)
        if own is not None:
            first = self._first.setdefault(own, found.at())
            if key is not None:
                same = "a stream like it" if name is None else "another stream of this name"
                remedy = "take one out" if name is None else "the API takes a name once: rename one"
                self._ask(f"{found.at()}: {who}: {first} has {same}; this one's key is {show(key)}; {remedy}")
        data = orjson.dumps(line(definition, None, key))
        if len(data) > MAX_LINE:
            self._ask(f"{found.at()}: {who}: makes a line of more than 1 MiB, which the API does not take")
        self.made.lines.append(data + b"\n")


def _action(text: str) -> str | None:
    """Return the name of the action that deploy-cli wrote: it knows most ids by name, and leaves those it does not."""
    return None if _ID.fullmatch(text) else parse_action(text) or text


def _noteworthy(shown: Mapping[str, Any], exported: Exported) -> Iterator[tuple[str, Place, str]]:
    """Yield what is good to know of a stream: its kind, its place, and the words."""
    if exported.action_id is not None and _ID.fullmatch(exported.action_id):
        what = "its action is an id, which another tenant does not know; ${action:NAME} would do in each"
        yield "an action's id", ACTION_ID, what
    if tells_a_password(exported.definition):
        what = "its endpoint holds a user or a password, which stands in the line"
        yield "a user or a password in the endpoint", _ENDPOINT, what
    secret, name = _secret_of(shown), next(iter(exported.secrets), "")
    if secret is None:
        return
    kind, value = secret
    marker = left_over(value)
    if marker is not None and marker != value:
        what = f"its {kind} is more than a marker; {name} must hold the whole of it"
        yield "a secret around a marker", (*_AUTHORIZATION, kind), what
    elif marker is None and value not in _HIDDEN and parse_reference(value) is None:
        what = f"its {kind} is in the export or the mappings, and is not copied: set {name}"
        yield "a secret that is written out", (*_AUTHORIZATION, kind), what


def _secret_of(shown: Mapping[str, Any]) -> tuple[str, str] | None:
    """Return what stands in the place of a webhook's secret, and the name of that place."""
    value: Any = shown
    for step in _AUTHORIZATION:
        value = value.get(step) if isinstance(value, dict) else None
    method = value.get("method") if isinstance(value, dict) else None
    if not isinstance(method, str) or method not in METHODS:
        return None
    kind = METHODS[method][-1]
    return (kind, value[kind]) if isinstance(value.get(kind), str) else None


def _questionable(found: Found, exported: Exported) -> Iterator[tuple[Place, str]]:
    """Yield what stands between a stream and a run, with its place: markers first, then what `run` would refuse."""
    for twice in found.value.twice:
        yield twice, f"{join(twice)} is given twice; the last one counts"
    for path in exported.left_out:
        yield _steps(path, found), f"{path} is no property that a create takes; it is left out"
    if exported.action_id is not None and not _ID.fullmatch(exported.action_id):
        yield ACTION_ID, "no reference can hold its action's name; write the action's id"
    markers = list(_markers((), exported.definition))
    for place, marker in markers:
        remedy = "give --mappings, or write it out" if marker[0] in "#@" else "write it out"
        yield place, f"{join(place)} holds {show(marker)}, which nothing replaced: {remedy}"
    known = {join(place) for place, _ in markers}
    judged = read_line(orjson.dumps(exported.definition), Rules(), lambda _: None)
    for problem in judged.problems if isinstance(judged, Invalid) else ():
        if problem.path not in known:
            yield _steps(problem.path, found), str(problem)


def _steps(path: str, found: Found) -> Place:
    """Return the steps of a JSON path that stands in the text; none where it does not."""
    return next((place for place in found.value.lines if join(place) == path), ())


def _markers(place: Place, value: object) -> Iterator[tuple[Place, str]]:
    """Yield the markers in a definition, with their places."""
    if isinstance(value, str):
        marker = None if parse_reference(value) else left_over(value, may_name_action=place == ACTION_ID)
        if marker is not None:
            yield place, marker
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for step, one in inner:
        yield from _markers((*place, step), one)
