"""What a trial is fed: lines of every kind, the state that each must end in, and the streams that are there before.

What the API shows of a stream tells it from every other: its name, or without one its endpoint. But some streams
without a name are asked for several times, under keys of their own, and nothing at the tenant tells those apart.
This module must never know how a run went.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import Any, Final, NamedTuple

SECRET_VARIABLE: Final = "HOOK_SECRET"
SEEDS: Final = 6
"""Streams that are there before, at a server that keeps names unique: every other one differs from its line."""

Definition = dict[str, Any]


class Line(NamedTuple):
    """One line of the input: the state that it must end in, and the mark of the stream that stands for it."""

    number: int
    tenant: str
    mark: str
    expected: str
    text: str


class Feed(NamedTuple):
    """The lines of a trial, and the streams to create behind its back (tenant, definition)."""

    lines: Sequence[Line]
    seeds: Sequence[tuple[str, Definition]]

    def text(self) -> str:
        """Return the input."""
        return "".join(line.text + "\n" for line in self.lines)


def mark_of(stream: Mapping[str, Any]) -> str:
    """Return what a stream, or a definition, is known by: its name, or without one its endpoint."""
    name = stream.get("name")
    return str(name if name is not None else stream["destination"]["configuration"].get("webhook_endpoint"))


def feed(seed: int, records: int, tenants: Sequence[str]) -> Feed:
    """Make an input of so many lines for some tenants, of which the first is the default one."""
    chance = Random(f"{seed} feed")
    lines: list[Line] = []
    seeds: list[tuple[str, Definition]] = []
    there = set(chance.sample(range(records), min(SEEDS, records // 4)))
    for number in range(1, records + 1):
        if number - 1 in there:
            lines.append(_there_before(number, chance.choice(tenants), seeds))
        elif chance.random() < 0.02:
            lines.append(Line(number, tenants[0], "", "invalid", chance.choice(_INVALID)))
        elif chance.random() < 0.02 and (firsts := [line for line in lines if line.expected == "created"]):
            lines.append(_again(number, chance.choice(firsts), chance))
        elif chance.random() < 0.08 and (firsts := [line for line in lines if _may_have_twins(line)]):
            lines.append(_twin(number, chance.choice(firsts)))
        else:
            lines.append(chance.choice(_KINDS)(number, chance.choice(tenants), tenants[0], chance))
    return Feed(lines, seeds)


def configuration(tenants: Mapping[str, str]) -> str:
    """Return a bulkstreams.toml for tenants at these addresses; the first is that of lines that name none."""
    tables = [f'[tenants.{name}]\nbase_url = "{url}"\ntoken = "dummy-token"\n' for name, url in tenants.items()]
    return f'[defaults]\ntenant = "{next(iter(tenants))}"\n\n' + "\n".join(tables)


# -- kinds of line ----------------------------------------------------------------------------------------------------


def _webhook(number: int, authorization: Mapping[str, str]) -> Definition:
    return {
        "subscriptions": [{"event_type": "user.created"}, {"event_type": "user.deleted"}],
        "destination": {
            "type": "webhook",
            "configuration": {
                "webhook_endpoint": f"https://hooks.example.com/{number:06}",
                "webhook_authorization": dict(authorization),
            },
        },
    }


_AUTHORIZATIONS: Final = (
    {"method": "bearer", "token": "dummy-token-of-a-hook"},
    {"method": "bearer", "token": f"${{env:{SECRET_VARIABLE}}}"},
    {"method": "basic", "username": "auth0", "password": "dummy-password"},
    {"method": "custom_header", "header_key": "X-Hook-Key", "header_value": "dummy-key"},
)
_EVENTBRIDGE: Final = {
    "subscriptions": [{"event_type": "user.created"}],
    "destination": {
        "type": "eventbridge",
        "configuration": {"aws_account_id": "210987654321", "aws_region": "eu-west-1"},
    },
}


def _line(number: int, tenant: str, definition: Definition, envelope: Mapping[str, Any] | None) -> Line:
    value = definition if envelope is None else {"stream": definition, **envelope}
    return Line(number, tenant, mark_of(definition), "created", json.dumps(value))


def _named(number: int, tenant: str, _: str, chance: Random) -> Line:
    body = _webhook(number, chance.choice(_AUTHORIZATIONS)) if chance.random() < 0.8 else _EVENTBRIDGE
    return _line(number, tenant, {"name": f"audit-{number:06}", **body}, {"tenant": tenant})


def _plain(number: int, _: str, default: str, chance: Random) -> Line:
    body = _webhook(number, chance.choice(_AUTHORIZATIONS))
    return _line(number, default, {"name": f"plain-{number:06}", **body, "status": "disabled"}, None)


def _keyed(number: int, tenant: str, _: str, chance: Random) -> Line:
    body = _webhook(number, chance.choice(_AUTHORIZATIONS))
    envelope = {"tenant": tenant, "key": f"our/key/{number}"}
    return _line(number, tenant, {"name": f"keyed-{number:06}", **body}, envelope)


def _nameless(number: int, tenant: str, _: str, chance: Random) -> Line:
    key = {} if chance.random() < 0.5 else {"key": f"no/name/{number}"}
    return _line(number, tenant, _webhook(number, chance.choice(_AUTHORIZATIONS)), {"tenant": tenant, **key})


_KINDS: Final[Sequence[Callable[[int, str, str, Random], Line]]] = (
    _named,
    _named,
    _plain,
    _keyed,
    _nameless,
    _nameless,
)


def _again(number: int, first: Line, chance: Random) -> Line:
    """Return a line with the key of an earlier one; where that key is explicit, it may name another stream."""
    value = json.loads(first.text)
    if "key" in value and chance.random() < 0.5:
        value["stream"] = {"name": f"never-{number:06}", **_webhook(number, _AUTHORIZATIONS[0])}
    return Line(number, first.tenant, "", "duplicate", json.dumps(value))


def _may_have_twins(line: Line) -> bool:
    return line.expected == "created" and "no/name/" in line.text


def _twin(number: int, first: Line) -> Line:
    """Return a line that asks for another stream of the very definition of an earlier one, under its own key."""
    value = {**json.loads(first.text), "key": f"no/name/{number}"}
    return first._replace(number=number, text=json.dumps(value))


def _there_before(number: int, tenant: str, seeds: list[tuple[str, Definition]]) -> Line:
    """Return a line whose name is taken before the first run, by an equal stream or by another."""
    body = _webhook(number, _AUTHORIZATIONS[0])
    definition = {"name": f"before-{number:06}", **body}
    equal = len(seeds) % 2 == 0
    seeds.append((tenant, definition if equal else {**definition, "status": "disabled"}))
    return _line(number, tenant, definition, {"tenant": tenant})._replace(expected="exists" if equal else "conflict")


_INVALID: Final = (
    "{",
    "null",
    '{"name": "no destination", "subscriptions": [{"event_type": "user.created"}]}',
    json.dumps({"name": "n" * 129, **_webhook(0, _AUTHORIZATIONS[0])}),
    json.dumps({"name": "no secret", **_webhook(0, {"method": "bearer"})}),
    json.dumps({"stream": {"name": "nowhere", **_EVENTBRIDGE}, "tenant": "nobody"}),
)
