"""What was in force in a run: one JSON object in its row, for people, for reports, and to set two runs side by side.

Nothing is decided by it. This module must never be handed a secret: in its place stands what whoever tells of it put
there, three asterisks or the reference that was given.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import orjson

Value = bool | int | float | str | None

BY_DEFAULT: Final = "default"
"""Who said a setting that nobody said."""

LONGEST: Final = 500
"""Characters that are kept of a text, such as a file's name."""

_MOST: Final = 2**63 - 1


class Setting(NamedTuple):
    """A setting: its value, what it is where nothing is said, and what said it: a flag, a variable, a file."""

    value: Value
    default: Value = None
    origin: str = BY_DEFAULT


class Shown(NamedTuple):
    """Credentials as they may be shown: `secret` is a mask, or the reference that stands for it."""

    kind: str
    secret: str
    client_id: str | None = None


class Configured(NamedTuple):
    """A tenant as it was configured; `own`: what it has for itself where the settings say something else."""

    name: str
    address: str
    is_default: bool
    own: Mapping[str, Value]
    credentials: Shown | None


class InForce(NamedTuple):
    """What a command was told; of many inputs and tenants the first ones, and how many there are beside them."""

    inputs: Sequence[str] = ()
    more_inputs: int = 0
    settings: Mapping[str, Setting] = {}
    tenants: Sequence[Configured] = ()
    more_tenants: int = 0

    def as_json(self) -> dict[str, Any]:
        """Return it as it stands in the ledger, and in a report's figures."""
        return {
            "inputs": {"told": [_sound(one) for one in self.inputs], "more": self.more_inputs},
            "settings": {
                name: {"value": _sound(one.value), "default": _sound(one.default), "from": _sound(one.origin)}
                for name, one in self.settings.items()
            },
            "tenants": {"told": [_configured(one) for one in self.tenants], "more": self.more_tenants},
        }


def encode(told: InForce) -> str:
    """Return what was in force as it is written."""
    return orjson.dumps(told.as_json()).decode()


def decode(text: str) -> InForce:
    """Return what was written; raise ValueError where no run has written that."""
    try:
        found = orjson.loads(text)
        inputs, tenants = found["inputs"], found["tenants"]
        return InForce(
            inputs=tuple(map(_text, inputs["told"])),
            more_inputs=int(inputs["more"]),
            settings={
                name: Setting(_value(one["value"]), _value(one["default"]), _text(one["from"]))
                for name, one in found["settings"].items()
            },
            tenants=tuple(map(_read_configured, tenants["told"])),
            more_tenants=int(tenants["more"]),
        )
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ValueError("no run has written this") from error


def _configured(one: Configured) -> dict[str, Any]:
    shown = one.credentials
    return {
        "name": _sound(one.name),
        "address": _sound(one.address),
        "default": one.is_default,
        "own": {name: _sound(value) for name, value in one.own.items()},
        "credentials": None if shown is None else {name: _sound(text) for name, text in shown._asdict().items()},
    }


def _read_configured(one: Mapping[str, Any]) -> Configured:
    shown = one["credentials"]
    return Configured(
        name=_text(one["name"]),
        address=_text(one["address"]),
        is_default=bool(one["default"]),
        own={name: _value(value) for name, value in one["own"].items()},
        credentials=None
        if shown is None
        else Shown(
            _text(shown["kind"]), _text(shown["secret"]), None if (id_ := shown["client_id"]) is None else _text(id_)
        ),
    )


def _sound(value: Value) -> Value:
    """Return a value that JSON can hold, and not too much of it: names of files may be bytes that are no text."""
    if isinstance(value, str):
        return value[:LONGEST].encode("utf-8", "backslashreplace").decode()
    return min(value, _MOST) if isinstance(value, int) and not isinstance(value, bool) else value


def _value(value: Any) -> Value:
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise TypeError("no value of a setting")


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    raise TypeError("no text")
