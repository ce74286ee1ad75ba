"""The files of an export of auth0-deploy-cli → the event streams in them, each with the place where it stands.

An export is a YAML file, or a folder with a file for each stream. This module must never leave out a stream, or what
may have been one, without saying so.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from bulkstreams.commands.deploy_cli import yaml_text
from bulkstreams.commands.deploy_cli.yaml_text import Node, UnreadableError, Value
from bulkstreams.core.keywords import quote_markers, replace
from bulkstreams.errors import InputError, UsageError

FOLDER: Final = "event-streams"
SECTION: Final = "eventStreams"
_YAMLS: Final = ("tenant.yaml", "tenant.yml")
_MAPPINGS: Final = "AUTH0_KEYWORD_REPLACE_MAPPINGS"
_MOST: Final = 64 * 1024 * 1024  # bytes of a file

_LEFT_OUT: Final = (
    "Export again: AUTH0_EXCLUDED or AUTH0_INCLUDED_ONLY may leave event streams out, older versions do not know them."
)

Place = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Found:
    """What stands where a stream belongs, and in which file (and line, where known); `stem` is the file's own name."""

    file: str
    value: Value
    stem: str | None = None

    def at(self, place: Sequence[str | int] = ()) -> str:
        """Return the file, and the line of a part of the stream or of what holds it, as far as it is known."""
        for length in range(len(place), -1, -1):
            if (line := self.value.lines.get(tuple(place[:length]))) is not None:
                return f"{self.file}:{line}"
        return self.file


@dataclass(frozen=True, slots=True)
class Unread:
    """A file of a folder that was not read, and why; `harmless` where deploy-cli reads none like it."""

    file: str
    why: str
    line: int | None = None
    harmless: bool = False

    def at(self) -> str:
        """Return the file, and the line where it is known."""
        return f"{self.file}:{self.line}" if self.line else self.file


def mappings_in(path: Path | None) -> Mapping[str, Any]:
    """Return the keyword mappings of a file: deploy-cli's configuration, or the mappings alone."""
    if path is None:
        return {}
    hint = f"Give --mappings deploy-cli's config.json, or a JSON object like its {_MAPPINGS}."
    try:
        decoded = json.loads(_text(path))
        found = decoded.get(_MAPPINGS, decoded)
        found = json.loads(found) if isinstance(found, str) else found
    except (ValueError, AttributeError, RecursionError):
        raise UsageError(f"{path} is no JSON object.", hint=hint) from None
    if not isinstance(found, dict):
        raise UsageError(f"{path} holds no keyword mappings.", hint=hint)
    return found


def find(path: Path, mappings: Mapping[str, Any]) -> tuple[Iterator[Found | Unread], str | None]:
    """Return the streams of an export, and what beside them was not read; raise InputError where there are none."""
    if not path.exists():
        raise InputError(f"there is no {path}.", hint=f"Name the YAML file of an export, or the folder with {FOLDER}/.")
    if not path.is_dir():
        return _in_file(path, mappings), None
    folder = path if path.name == FOLDER else path / FOLDER
    whole = next((path / name for name in _YAMLS if (path / name).is_file()), None)
    if folder.is_dir():
        return _in_folder(folder, mappings), None if whole is None else str(whole)
    if whole is None:
        raise InputError(f"{path} holds neither {FOLDER}/ nor {_YAMLS[0]}.", hint=_LEFT_OUT)
    return _in_file(whole, mappings), None


def _in_folder(folder: Path, mappings: Mapping[str, Any]) -> Iterator[Found | Unread]:
    """Yield the stream of each file, in the order of their names."""
    for path in sorted(folder.iterdir()):
        if path.suffix != ".json" or not path.is_file():
            yield Unread(str(path), "is no .json file, so it was not read", harmless=True)
            continue
        try:
            yield Found(str(path), _json(path, mappings), path.stem)
        except InputError as error:
            yield Unread(str(path), error.message.removeprefix(f"{path} "))
        except UnreadableError as error:
            yield Unread(str(path), str(error), error.line)


def _json(path: Path, mappings: Mapping[str, Any]) -> Value:
    """Read a JSON file; raise UnreadableError where it is none."""
    found = Value(None)
    twice: dict[int, tuple[dict[str, Any], list[str]]] = {}  # by the object, which is kept, lest another have its id

    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        made = dict(items)
        if len(made) < len(items):
            twice[id(made)] = made, [key for key, count in Counter(key for key, _ in items).items() if count > 1]
        return made

    text = quote_markers(replace(_text(path), mappings), spaced=False)
    try:
        found.value = json.loads(text, object_pairs_hook=pairs, parse_int=_number, parse_constant=_number)
        json.dumps(found.value, ensure_ascii=False).encode()
        found.twice = list(_given_twice(found.value, (), {id_: keys for id_, (_, keys) in twice.items()}))
    except json.JSONDecodeError as error:
        raise UnreadableError(f"is no JSON: {error.msg[0].lower()}{error.msg[1:]}", error.lineno) from None
    except UnicodeEncodeError:
        raise UnreadableError("is no JSON: half of a surrogate pair stands alone") from None
    except RecursionError:
        raise UnreadableError("is nested too deeply") from None
    return found


def _number(text: str) -> float:
    """Return a number, or what is said for one, as something that can be written again; no stream holds any."""
    return int(text) if text.lstrip("-").isdigit() and len(text) <= 15 else float(text.replace("Infinity", "inf"))


def _given_twice(value: object, place: Place, twice: Mapping[int, Sequence[str]]) -> Iterator[Place]:
    """Yield the places of keys given twice; raise RecursionError where a value is nested too deeply."""
    if len(place) == yaml_text.DEEPEST:
        raise RecursionError
    if isinstance(value, dict):
        yield from ((*place, key) for key in twice.get(id(value), ()))
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for step, one in inner:
        yield from _given_twice(one, (*place, step), twice)


def _in_file(path: Path, mappings: Mapping[str, Any]) -> Iterator[Found | Unread]:
    """Yield the streams of a file that holds them all, or the one stream of a folder's file."""
    try:
        if path.suffix == ".json":
            yield from _in_json(path, mappings)
            return
        for node in _section(path, mappings):
            yield Found(str(path), yaml_text.plain(node))
    except UnreadableError as error:
        where = f"{path}:{error.line}" if error.line else str(path)
        raise InputError(
            f"{where}: {error}.", hint="Mend that line, or give --mappings if a marker was to stand there."
        ) from None


def _in_json(path: Path, mappings: Mapping[str, Any]) -> Iterator[Found]:
    value = _json(path, mappings)
    whole = value.value if isinstance(value.value, dict) else {}
    if SECTION not in whole and "destination" in whole:
        yield Found(str(path), value, path.stem)
        return
    if SECTION not in whole:
        raise InputError(f"{path} has no {SECTION}.", hint=_LEFT_OUT)
    if (SECTION,) in value.twice:
        raise UnreadableError(f"{SECTION} is given twice in one file")
    streams = whole[SECTION]
    if not isinstance(streams, list | None):
        raise UnreadableError(f"{SECTION} is no list")
    for i, one in enumerate(streams or ()):
        twice = [place[2:] for place in value.twice if place[:2] == (SECTION, i)]
        yield Found(str(path), Value(one, twice=twice))


def _section(path: Path, mappings: Mapping[str, Any]) -> list[Node]:
    whole = yaml_text.read(quote_markers(replace(_text(path), mappings), spaced=True))
    sections = yaml_text.members(whole, SECTION)
    if not sections:
        raise InputError(f"{path} has no {SECTION}.", hint=_LEFT_OUT)
    section = sections[-1]
    if len(sections) > 1:
        raise UnreadableError(f"{SECTION} is given twice in one file", section.line)
    found = [] if section.value is None else yaml_text.items(section)
    if found is None:
        raise UnreadableError(f"{SECTION} is no list", section.line)
    return found


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            data = file.read(_MOST + 1)
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}.", hint="Check who may read it.") from None
    if len(data) > _MOST:
        raise InputError(f"{path} is larger than any export.", hint="Name the YAML file of an export.")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise InputError(f"{path} is no UTF-8 text.", hint="Name the YAML file of an export, or its folder.") from None
