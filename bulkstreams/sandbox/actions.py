"""One tenant's actions, as its API lists them: what an event stream of the type `action` refers to.

A tenant has those that the settings name, and those that a test adds. Nothing here runs an action.
This module must never read a clock: the instant of an action's making comes in.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from random import Random
from typing import Any, Final, NamedTuple
from uuid import UUID

from bulkstreams.sandbox.streams import timestamp

TRIGGER: Final = "event-stream"
"""The trigger of actions that event streams can call."""

_CODE: Final = "exports.onExecuteEventStream = async (event, api) => {};"
_RUNTIME: Final = "node22"


class Action(NamedTuple):
    """An action: `deployed` is whether a version of it is, without which no stream can call it."""

    id: str
    name: str
    trigger: str
    deployed: bool
    shown: dict[str, Any]


class Actions:
    """The actions of one tenant, in the order of their making."""

    def __init__(self, chance: Callable[[str], Random]) -> None:
        self._chance = chance
        self._all: list[Action] = []

    def __len__(self) -> int:
        return len(self._all)

    def __iter__(self) -> Iterator[Action]:
        return iter(self._all)

    def add(
        self, name: str, now: float, *, action_id: str | None = None, trigger: str = TRIGGER, deployed: bool = True
    ) -> Action:
        """Add an action; its id, where none is given, is drawn from its name and how many bore that before.

        Names need not be unique: the real API takes two of one name ([3P]), and clients must cope with it.
        """
        chance = self._chance(f"{sum(one.name == name for one in self._all)} of {name}")
        drawn, version = (str(UUID(int=chance.getrandbits(128), version=4)) for _ in range(2))
        shown = _show(action_id or drawn, name, trigger, version if deployed else None, timestamp(now))
        action = Action(shown["id"], name, trigger, deployed, shown)
        self._all.append(action)
        return action

    def callable(self, action_id: str) -> bool:
        """Return whether an event stream can call the action: it is there, deployed, and made for that trigger."""
        return any(one.id == action_id and one.deployed and one.trigger == TRIGGER for one in self._all)


def _show(action_id: str, name: str, trigger: str, version: str | None, at: str) -> dict[str, Any]:
    """Return an action in the recorded order of keys; `deployed_version` is left out where there is none."""
    triggers = [{"id": trigger, "version": "v1"}]
    made: dict[str, Any] = {"created_at": at, "updated_at": at, "code": _CODE, "dependencies": [], "runtime": _RUNTIME}
    shown = {"id": action_id, "name": name, "supported_triggers": triggers, **made, "status": "built", "secrets": []}
    if version is not None:
        shown["deployed_version"] = {
            **made, "id": version, "deployed": True, "number": 1, "built_at": at, "secrets": [], "status": "built",
            "supported_triggers": triggers,
        }  # fmt: skip
    return shown | {"all_changes_deployed": version is not None}
