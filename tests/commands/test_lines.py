"""The lines of an export, and what is told of single streams."""

from __future__ import annotations

import json
from typing import Any

from bulkstreams.commands.gathering import NO_NAMES, Named
from bulkstreams.commands.lines import MOST_NOTED, Lines, Notes
from bulkstreams.model import Record
from bulkstreams.schema import Rules, read_line

AT = "2026-07-01T12:00:00.000Z"


def shown(name: str | None = "audit", **more: Any) -> dict[str, Any]:
    """Return a webhook as the API shows it; keywords replace its parts."""
    configuration = {"webhook_endpoint": "https://example.com", "webhook_authorization": {"method": "bearer"}}
    return {
        "id": "est_1", "status": "enabled", "name": name, "subscriptions": [{"event_type": "user.created"}],
        "created_at": AT, "updated_at": AT, "destination": {"type": "webhook", "configuration": configuration}, **more,
    }  # fmt: skip


def action(name: str) -> dict[str, Any]:
    """Return a stream to an action as the API shows it."""
    return shown(name, destination={"type": "action", "configuration": {"action_id": "a1"}})


class Desk:
    """Makes lines, and keeps what is told."""

    def __init__(self, *, several: bool = False) -> None:
        self.told: list[str] = []
        self.notes = Notes(self.told.append)
        self.lines = Lines(self.notes, several=several)

    def make(self, *streams: dict[str, Any], tenant: str = "acme", actions: Named = NO_NAMES) -> list[Any]:
        """Return the decoded lines of a tenant's streams."""
        made = list(self.lines.of(tenant).make(streams, actions))
        assert all(line.endswith(b"\n") and line.count(b"\n") == 1 for line in made)
        return [json.loads(line) for line in made]


def test_an_unknown_event_type_is_exported_and_told() -> None:
    """The catalogue grows faster than we do: the note is what `run` would say, the remedy included."""
    desk = Desk()
    (line,) = desk.make(shown(subscriptions=[{"event_type": "comet.seen"}]))
    assert line["subscriptions"] == [{"event_type": "comet.seen"}]
    assert len(desk.told) == 1
    assert desk.told[0].startswith('note: the stream "audit": `run` would refuse it: subscriptions[0].event_type: ')
    assert "--allow-unknown-events" in desk.told[0]


def test_streams_of_unknown_events_have_keys_too() -> None:
    """Without a name it is its definition that makes two lines the same, whether `run` knows the event or not."""
    odd = shown(None, subscriptions=[{"event_type": "comet.seen"}])
    first, second = Desk().make(odd, odd)
    assert "stream" not in first
    assert second["key"].startswith("digest:")


def test_what_is_too_broken_for_a_key_is_exported_without() -> None:
    """`run` would know it by its line alone, so nothing can be a repetition of it."""
    desk = Desk()
    pigeon = shown(None, destination={"type": "pigeon"})
    assert (
        desk.make(pigeon, pigeon)
        == [{"subscriptions": pigeon["subscriptions"], "destination": {"type": "pigeon"}, "status": "enabled"}] * 2
    )
    assert all("`run` would refuse it: destination.type" in told for told in desk.told)


def test_a_property_that_nobody_knows_is_told_with_its_place() -> None:
    """What the API added is left out, lest `run` refuse the line."""
    desk = Desk()
    (line,) = desk.make(shown(retention=7))
    assert "retention" not in line
    assert desk.told == ['note: the stream "audit": retention is left out, since no create takes it']


def test_only_so_many_notes_of_a_kind_are_told() -> None:
    """A thousand streams of one kind are one thing to know: the rest is counted."""
    desk = Desk()
    desk.make(*(shown(f"s{i}", retention=7) for i in range(50)), shown("odd", colour=1))
    desk.notes.close()
    assert len(desk.told) == MOST_NOTED + 2
    assert '"odd": colour' in desk.told[-2]
    assert desk.told[-1] == f"note: {50 - MOST_NOTED} more of this kind: retention left out"


def test_why_actions_stay_ids_is_told_once_a_tenant() -> None:
    """A scope that is missing is one thing to know; which streams it concerns is another."""
    desk = Desk(several=True)
    for tenant in ("acme", "beta"):
        desk.make(action("one"), action("two"), tenant=tenant, actions=Named({}, "Insufficient scope"))
    desk.make(action("three"), action("four"), tenant="gamma", actions=Named({"a2": "x"}, ids={"a1", "a2"}))
    assert sum("does not name its actions" in told for told in desk.told) == 2
    assert sum("its action stays an id" in told for told in desk.told) == 6
    assert "no name that is its own alone" in desk.told[-1]
    assert desk.told[-1].startswith('note: gamma: the stream "four"')
    desk.make(action("five"), tenant="delta", actions=Named({"a2": "x"}, ids={"a2"}))
    assert desk.told[-1].endswith("its action stays an id, for the tenant has no action of this id")


def test_no_two_secrets_of_an_export_have_one_name() -> None:
    """Not within a tenant, nor between two whose names run into their streams'."""
    desk = Desk(several=True)
    desk.make(shown("b c"), shown("b_c"), shown(None), tenant="a")
    desk.make(shown("c"), tenant="a b")
    assert desk.lines.secrets == ["A_B_C_TOKEN", "A_B_C_TOKEN_2", "A_STREAM_TOKEN", "A_B_C_TOKEN_3"]


def test_every_line_is_one_that_run_takes() -> None:
    """The code that `run` reads lines with takes each of them as a record of its own."""
    desk = Desk(several=True)
    made = desk.make(shown(), shown(), shown("*"), shown(None), shown(None), action("a\tb"), action("a\tb"))
    records = [read_line(json.dumps(line).encode(), Rules(), lambda _: None) for line in made]
    assert all(isinstance(one, Record) for one in records)
    assert len({one.key for one in records}) == 7


def test_a_name_cannot_steer_a_terminal() -> None:
    """What others called their streams is told as text."""
    desk = Desk()
    desk.make(shown("\x1b[2J", retention=7))
    assert "\x1b" not in desk.told[0]
