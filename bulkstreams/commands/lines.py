"""The lines of an export: a stream as the API shows it → a line that `run` takes, and what a person should know of it.

What `run` would say of a line is asked of the code that `run` asks. This module must never write anywhere.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final
from urllib.parse import urlsplit

import orjson

from bulkstreams.commands.gathering import Named
from bulkstreams.core.exporting import Exported, Keys, export, line
from bulkstreams.core.naming import SecretNames
from bulkstreams.model import Invalid, Key, Problem
from bulkstreams.schema import Rules, read_line, show

MOST_NOTED: Final = 20
"""Notes of one kind that are told one by one; the rest is counted."""

_STRICT: Final = Rules()
_LENIENT: Final = Rules(allow_unknown_events=True)


class Notes:
    """Tells a person what to know of single streams, and not for ever of one kind."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self.say: Callable[[str], None] = lambda text: say(f"note: {text}")
        self._counts: Counter[str] = Counter()

    def tell(self, kind: str, text: str) -> None:
        """Tell something of a kind, unless enough of that kind has been told."""
        self._counts[kind] += 1
        if self._counts[kind] <= MOST_NOTED:
            self.say(text)

    def close(self) -> None:
        """Tell how much was not told."""
        for kind, count in self._counts.items():
            if count > MOST_NOTED:
                self.say(f"{count - MOST_NOTED:,} more of this kind: {kind}")


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
        return TenantLines(tenant, self._names, self.secrets, self._notes, several=self._several)


class TenantLines:
    """Makes the lines of one tenant, in the order in which its streams come."""

    def __init__(self, tenant: str, names: SecretNames, secrets: list[str], notes: Notes, *, several: bool) -> None:
        self._tenant = tenant
        self._names = names
        self._secrets = secrets
        self._notes = notes
        self._several = several
        self._keys = Keys()
        self._told_refusal = False

    def make(self, streams: Iterable[Mapping[str, Any]], actions: Named) -> Iterator[bytes]:
        """Yield the lines of streams."""
        for shown in streams:
            yield self._make(shown, actions)

    def _make(self, shown: Mapping[str, Any], actions: Named) -> bytes:
        name = shown.get("name")
        called = name if isinstance(name, str) else None
        exported = export(shown, lambda field: self._secret(called, field), actions.by_id.get)
        self._secrets.extend(exported.secrets)
        who = self._who(called, shown)
        problems, own = _judge(orjson.dumps(exported.definition))
        self._tell(who, exported, problems)
        if exported.action_id is not None:
            self._tell_of_action(who, exported, actions)
        key = None if own is None else self._keys.give(own)
        if key is not None:
            self._notes.tell("not the first of its kind", f"{who} is not the first of its kind: its key is {show(key)}")
        envelope = line(exported.definition, self._tenant if self._several else None, key)
        return orjson.dumps(envelope) + b"\n"

    def _secret(self, name: str | None, field: str) -> str:
        # With several tenants, each one's name stands before its secrets: they are seldom the same.
        return self._names.name(f"{self._tenant} {name or 'stream'}" if self._several else name, field)

    def _who(self, name: str | None, shown: Mapping[str, Any]) -> str:
        where = f"{self._tenant}: " if self._several else ""
        return f"{where}the stream {show(str(shown.get('id')) if name is None else name)}"

    def _tell(self, who: str, exported: Exported, problems: Iterable[Problem]) -> None:
        for path in exported.left_out:
            self._notes.tell(f"{path} left out", f"{who}: {path} is left out, since no create takes it")
        if tells_a_password(exported.definition):
            kind = "a user or a password in the endpoint"
            self._notes.tell(kind, f"{who}: its endpoint holds a user or a password, which stands in the export")
        for problem in problems:
            self._notes.tell("`run` would refuse it", f"{who}: `run` would refuse it: {problem}")

    def _tell_of_action(self, who: str, exported: Exported, actions: Named) -> None:
        kind, refused = "the action stays an id", actions.refused
        if refused is None:
            known = exported.action_id in actions.ids
            why = "it has no name that is its own alone" if known else "the tenant has no action of this id"
            self._notes.tell(kind, f"{who}: its action stays an id, for {why}")
            return
        if not self._told_refusal:
            self._told_refusal = True
            self._notes.say(f"{self._tenant} does not name its actions to this client ({refused}): they stay ids")
        self._notes.tell(kind, f"{who}: its action stays an id")


def _judge(data: bytes) -> tuple[tuple[Problem, ...], Key | None]:
    """Return what `run` would say against a definition, and the key that it would have by itself."""
    found = read_line(data, _STRICT, lambda _: None)
    if not isinstance(found, Invalid):
        return (), found.key
    return found.problems, read_line(data, _LENIENT, lambda _: None).key


def tells_a_password(definition: Mapping[str, Any]) -> bool:
    """Return whether an endpoint says who asks, as in `https://user:password@host`."""
    try:
        endpoint = definition["destination"]["configuration"]["webhook_endpoint"]
        return "@" in urlsplit(endpoint).netloc
    except (KeyError, TypeError, ValueError, AttributeError):
        return False
