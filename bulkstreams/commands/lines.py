"""The lines of an export: a stream as the API shows it → a line that `run` takes, and what a person should know of it.

What `run` would say of a line is asked of the code that `run` asks. This module must never write anywhere.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final
from urllib.parse import urlsplit

import orjson

from bulkstreams.core.exporting import Exported, Keys, export, line
from bulkstreams.core.naming import SecretNames
from bulkstreams.model import Invalid, Key, Problem
from bulkstreams.schema import Rules, read_line
from bulkstreams.schema.problems import show

MOST_NOTED: Final = 20
"""Notes of one kind that are told one by one; the rest is counted."""

_STRICT: Final = Rules()
_LENIENT: Final = Rules(allow_unknown_events=True)


class Notes:
    """Tells a person what to know of single streams, and not for ever of one kind."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._counts: Counter[str] = Counter()

    def tell(self, kind: str, text: str) -> None:
        """Tell something of a kind, unless enough of that kind has been told."""
        self._counts[kind] += 1
        if self._counts[kind] <= MOST_NOTED:
            self._say(f"note: {text}")

    def close(self) -> None:
        """Tell how much was not told."""
        for kind, count in self._counts.items():
            if count > MOST_NOTED:
                self._say(f"note: {count - MOST_NOTED:,} more streams like the last ones: {kind}")


class Lines:
    """Makes the lines of a whole export. `several`: of more than one tenant, so that each line names its own.

    `taken` are names of variables that have another meaning already.
    """

    def __init__(self, notes: Notes, *, several: bool, taken: Iterable[str] = ()) -> None:
        self.secrets: list[str] = []
        self._notes = notes
        self._several = several
        self._names = SecretNames(taken)

    def of(self, tenant: str) -> TenantLines:
        """Return what makes the lines of one tenant; tenants come one after the other."""
        return TenantLines(tenant if self._several else None, self._names, self.secrets, self._notes)


class TenantLines:
    """Makes the lines of one tenant, in the order in which its streams come."""

    def __init__(self, tenant: str | None, names: SecretNames, secrets: list[str], notes: Notes) -> None:
        self._tenant = tenant
        self._names = names
        self._secrets = secrets
        self._notes = notes
        self._keys = Keys()

    def make(self, streams: Iterable[Mapping[str, Any]], actions: Mapping[str, str]) -> Iterator[bytes]:
        """Yield the lines of streams; `actions` are the names of those actions, by id, that one alone bears."""
        for shown in streams:
            yield self._make(shown, actions)

    def _make(self, shown: Mapping[str, Any], actions: Mapping[str, str]) -> bytes:
        name = shown.get("name")
        called = name if isinstance(name, str) else None
        exported = export(shown, lambda field: self._secret(called, field), actions.get)
        self._secrets.extend(exported.secrets)
        who = self._who(called, shown)
        data = orjson.dumps(exported.definition)
        problems, own = _judge(data)
        self._tell(who, exported, problems)
        key = None if own is None else self._keys.give(own)
        if key is not None:
            self._notes.tell("a name that another bears", f"{who} is not the first of its kind; its key is {show(key)}")
        return orjson.dumps(line(exported.definition, self._tenant, key)) + b"\n"

    def _secret(self, name: str | None, field: str) -> str:
        # With several tenants, each one's name stands before its secrets: they are seldom the same.
        return self._names.name(name if self._tenant is None else f"{self._tenant} {name or 'stream'}", field)

    def _who(self, name: str | None, shown: Mapping[str, Any]) -> str:
        where = "" if self._tenant is None else f"{self._tenant}: "
        return f"{where}the stream {show(str(shown.get('id')) if name is None else name)}"

    def _tell(self, who: str, exported: Exported, problems: Iterable[Problem]) -> None:
        for path in exported.left_out:
            self._notes.tell(f"{path} left out", f"{who}: {path} is left out, since no create takes it")
        if exported.action_id is not None:
            kind = "an action that stays an id"
            self._notes.tell(kind, f"{who}: its action stays an id, which another tenant does not know")
        if _tells_a_password(exported.definition):
            kind = "a password in its endpoint"
            self._notes.tell(kind, f"{who}: its endpoint holds a user or a password, which stand in the export")
        for problem in problems:
            self._notes.tell("`run` would refuse it", f"{who}: `run` would refuse it: {problem}")


def _judge(data: bytes) -> tuple[tuple[Problem, ...], Key | None]:
    """Return what `run` would say against a definition, and the key that it would have by itself."""
    found = read_line(data, _STRICT, lambda _: None)
    if not isinstance(found, Invalid):
        return (), found.key
    return found.problems, read_line(data, _LENIENT, lambda _: None).key


def _tells_a_password(definition: Mapping[str, Any]) -> bool:
    """Return whether an endpoint says who asks, as in `https://user:password@host`."""
    try:
        endpoint = definition["destination"]["configuration"]["webhook_endpoint"]
        return "@" in urlsplit(endpoint).netloc
    except (KeyError, TypeError, ValueError, AttributeError):
        return False
