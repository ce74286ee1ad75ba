"""The sandbox's actions: where they come from, how they are listed, and which streams they allow."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest

from bulkstreams.errors import UsageError
from bulkstreams.sandbox import SandboxSettings
from tests.sandbox.calls import Caller, FakeClock, action, eventbridge, talk, webhook

ACTIONS = "/api/v2/actions/actions"


async def listed(caller: Caller, query: str = "", tenant: str | None = None) -> dict[str, Any]:
    """Return what a list of actions answers."""
    reply = await caller.ask("GET", ACTIONS + query, tenant=tenant)
    assert reply.status == 200
    answer: dict[str, Any] = reply.json
    return answer


def names(answer: dict[str, Any]) -> list[str]:
    """Return the names on a page of actions."""
    return [one["name"] for one in answer["actions"]]


def calling(action_id: str, name: str = "act") -> dict[str, Any]:
    """Return a stream that calls an action."""
    return webhook(name, destination={"type": "action", "configuration": {"action_id": action_id}})


def test_a_tenant_has_no_actions_until_told() -> None:
    """The list is empty, in the recorded shape, and streams may call any action."""

    async def scene(caller: Caller) -> None:
        assert await listed(caller) == {"actions": [], "total": 0, "per_page": 20}
        assert (await caller.create(action())).status == 201

    talk(scene)


def test_an_action_is_shown_as_the_api_shows_it() -> None:
    """An action is built, deployed, and made for event streams, with an id of its own."""

    async def scene(caller: Caller) -> None:
        (shown,) = (await listed(caller))["actions"]
        assert str(UUID(shown["id"])) == shown["id"]
        assert shown["supported_triggers"] == [{"id": "event-stream", "version": "v1"}]
        assert (shown["name"], shown["status"], shown["all_changes_deployed"]) == ("notify", "built", True)
        assert shown["created_at"] == shown["updated_at"] == "2027-01-15T08:00:00.250Z"
        assert shown["deployed_version"]["deployed"] is True
        assert caller.sandbox.actions() == [shown]

    talk(scene, FakeClock(), actions=("notify",))


def test_each_tenant_gives_a_name_an_id_of_its_own_that_its_seed_decides() -> None:
    """The same name has another id at another tenant or seed, the same one again, and the given one everywhere."""

    async def scene(caller: Caller) -> list[list[str]]:
        return [[one["id"] for one in (await listed(caller, tenant=t))["actions"]] for t in ("acme", "globex")]

    first, again, other = (talk(scene, seed=seed, actions=("notify", "fixed=a-1")) for seed in (7, 7, 8))
    assert first == again
    assert len({first[0][0], first[1][0], other[0][0], other[1][0]}) == 4
    assert {one[1] for one in first + other} == {"a-1"}


def test_two_actions_can_bear_one_name() -> None:
    """A name that is given twice stands twice, with two ids, and other actions do not move them."""

    async def scene(caller: Caller) -> list[str]:
        found = await listed(caller, "?actionName=twin")
        assert names(found) == ["twin", "twin"]
        return [one["id"] for one in found["actions"]]

    one, other = talk(scene, seed=7, actions=("twin", "twin"))
    assert one != other
    assert talk(scene, seed=7, actions=("first", "twin", "between", "twin")) == [one, other]


def test_pages_of_actions_are_numbered_from_nought() -> None:
    """Pages follow each other to an empty one; totals come unasked; only a later page tells its number."""

    async def scene(caller: Caller) -> None:
        assert names(await listed(caller)) == [f"a{i}" for i in range(20)]
        pages = [await listed(caller, f"?per_page=10&page={i}&include_totals=true") for i in range(4)]
        assert [name for page in pages for name in names(page)] == [f"a{i}" for i in range(25)]
        assert [len(names(page)) for page in pages] == [10, 10, 5, 0]
        assert {page["total"] for page in pages} == {25}
        assert [page.get("page") for page in pages] == [None, 1, 2, 3]
        assert {page["per_page"] for page in pages} == {10}

    talk(scene, actions=[f"a{i}" for i in range(25)])


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("actionName=one", ["one"]), ("actionName=on", []), ("installed=true", []),
        ("installed=false", ["one", "draft", "login"]), ("deployed=true", ["one", "login"]),
        ("triggerId=event-stream", ["one", "draft"]),
        ("triggerId=post-login", ["login"]), ("deployed=false", ["draft"]),
    ],
)  # fmt: skip
def test_actions_are_filtered(query: str, found: list[str]) -> None:
    """Name, trigger, deployment and origin each narrow the list, and its total."""

    async def scene(caller: Caller) -> None:
        caller.sandbox.add_action("draft", deployed=False)
        caller.sandbox.add_action("login", trigger="post-login")
        answer = await listed(caller, f"?{query}")
        assert (names(answer), answer["total"]) == (found, len(found))

    talk(scene, actions=("one",))


@pytest.mark.parametrize("query", ["page=-1", "page=x", "per_page=0", "per_page=101", "per_page=--5", "deployed=maybe"])
def test_a_senseless_query_for_actions_is_refused(query: str) -> None:
    """A page, a size or a switch that is none is a 400 invalid_query_string."""
    refused = talk(lambda caller: caller.ask("GET", f"{ACTIONS}?{query}"))
    assert (refused.status, refused.json["errorCode"]) == (400, "invalid_query_string")


def test_a_tenant_with_actions_takes_streams_for_those_alone() -> None:
    """An unknown, an undeployed and a foreign action are refused, and no other type of stream is."""

    async def scene(caller: Caller) -> None:
        known = caller.sandbox.actions()[0]["id"]
        wrong = [
            "a-1",
            caller.sandbox.add_action("draft", deployed=False),
            caller.sandbox.add_action("login", trigger="post-login"),
            caller.sandbox.add_action("theirs", tenant="globex"),
        ]
        for action_id in wrong:
            refused = await caller.create(calling(action_id))
            assert (refused.status, refused.json["errorCode"]) == (400, "invalid_body")
        assert caller.sandbox.books()["accepted"] == []
        assert (await caller.create(calling(known))).status == 201
        assert [(await caller.create(one)).status for one in (webhook(), eventbridge())] == [201, 201]
        assert (await caller.create(calling(wrong[-1]), tenant="globex")).status == 201

    talk(scene, actions=("notify",))


def test_a_tenant_with_actions_can_take_streams_for_any() -> None:
    """Where the settings say so, an unknown action is as good as a known one."""
    assert talk(lambda caller: caller.create(calling("a-1")), actions=("notify",), any_action=True).status == 201


@pytest.mark.parametrize("text", ["", "=a-1", "notify="])
def test_a_senseless_action_is_refused(text: str) -> None:
    """An action without a name, or with an empty id, is wrong usage."""
    with pytest.raises(UsageError, match="no action"):
        SandboxSettings(actions=(text,))
