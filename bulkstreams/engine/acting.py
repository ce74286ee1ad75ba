"""The actions of a tenant, looked up once: which id a name stands for there, and which name an id.

This module must never take one action for another: a name that several have stands for none of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from bulkstreams.core.references import ACTION_ID
from bulkstreams.engine.asking import Asking
from bulkstreams.errors import ActionError
from bulkstreams.model import Failure, Reply, TenantName
from bulkstreams.schema import NamedAction, nearest, read_actions, show

if TYPE_CHECKING:
    from bulkstreams.engine.lane import Lane

MOST_PAGES: Final = 200
"""Pages of actions after which a list has no end: a hundred times what a tenant may have."""

SCOPE: Final = "read:actions"
"""The scope that a token needs for this."""

NEAR: Final = 3
"""Names that are told in place of one that is unknown."""

TOLD: Final = 5
"""Ids that are told of a name that several actions have."""

_PATH: Final = ".".join(ACTION_ID)


@dataclass(frozen=True, slots=True)
class Actions:
    """The actions of one tenant: the ids by name, and by id those names that only one action has."""

    tenant: TenantName
    ids: Mapping[str, Sequence[str]]
    names: Mapping[str, str]
    _known: tuple[str, ...] = field(repr=False)

    @classmethod
    def of(cls, tenant: TenantName, found: Iterable[NamedAction]) -> Actions:
        """Take in all actions of a tenant."""
        ids: dict[str, list[str]] = {}
        for one in found:
            if one.name is not None:
                ids.setdefault(one.name, []).append(one.id)
        return cls(tenant, ids, {one[0]: name for name, one in ids.items() if len(one) == 1}, tuple(sorted(ids)))

    def find(self, name: str) -> str:
        """Return the id of the action of that name; raise ActionError where there is none, or more than one."""
        ids = self.ids.get(name, ())
        if len(ids) != 1:
            raise ActionError(f"{_PATH}: {self.tenant} has {self._several(name, ids) if ids else self._none(name)}")
        return ids[0]

    def _none(self, name: str) -> str:
        near = nearest(name, self._known, NEAR)
        others = f" among its {len(self._known)}" if self._known else ", nor any other"
        return f"no action named {show(name)}{near or others}"

    def _several(self, name: str, ids: Sequence[str]) -> str:
        told = ", ".join(map(show, ids[:TOLD])) + (", …" if len(ids) > TOLD else "")
        return f"{len(ids)} actions named {show(name)} ({told}); write out the id of the one that is meant"


@dataclass(frozen=True, slots=True)
class Refused:
    """The tenant does not tell its actions to this client; `message` is its own word."""

    message: str


class LookUp:
    """One look-up of the actions of a lane's tenant.

    Where it is refused (403, or 404: there is no such list), the lane is stopped, unless the names are only `wished`
    for: then it ends with what the tenant said.
    """

    def __init__(self, lane: Lane, *, wished: bool = False, meanwhile: str = "nothing was sent") -> None:
        self._lane = lane
        self._wished = wished
        self._asking = Asking(lane, f"the actions of {lane.tenant}", meanwhile, read_actions, self._forbidden)
        self._found: dict[str, NamedAction] = {}
        self._page = 0
        self._is_whole = False
        self._refused: Refused | None = None

    @property
    def unreached(self) -> str | None:
        """Return why the tenant is given up, where there was not even a connection: the lane was not stopped then."""
        return self._asking.unreached

    async def run(self) -> Actions | Refused | None:
        """Return the tenant's actions; None where the lane was stopped, never connected (`unreached`), or leaves.

        Of a lane that left, another `run` goes on with the page that comes next.
        """
        while not self._is_whole:
            page = await self._asking.get(self._ask)
            if page is None:
                return self._refused
            known = len(self._found)
            self._found.update((one.id, one) for one in page.actions)
            self._page += 1
            # A page without news is the last, or comes from a server that knows of no pages and shows all on each.
            self._is_whole = len(self._found) == known or (page.total is not None and len(self._found) >= page.total)
            if self._page == MOST_PAGES and not self._is_whole:
                self._asking.stop("have no end")
                return None
        return Actions.of(self._lane.tenant, self._found.values())

    async def _ask(self, token: str) -> Reply | Failure:
        return await self._lane.client.actions(self._page, token)

    def _forbidden(self, answer: Reply, message: str) -> None:
        lane = self._lane
        if self._wished:
            self._refused = Refused(message or f"the server answered {answer.status}")
        elif answer.status == 403:
            lane.stop(
                f"{lane.tenant} answered 403 to the look-up of its actions: {message}",
                f"Give the client the scope {SCOPE}, or write out the ids of actions in the input; then run the same "
                "command again.",
            )
        else:
            lane.forbidden(answer, message)


async def look_up(lane: Lane) -> Actions | None:
    """Return the actions of a lane's tenant; None where the lane was stopped with the reason, or leaves its seat."""
    found = await LookUp(lane).run()
    return found if isinstance(found, Actions) else None
