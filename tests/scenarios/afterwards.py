"""What the scenarios of undo, activate and smoke share: streams that a run created, and the books as the judge."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

from tests.scenarios.rig import KILL, Desk, Ended, Running, Server, until, webhooks

LEDGER = "in.ledger.db"


class Scene:
    """A desk beside a server, with streams of ours and of others'."""

    def __init__(self, desk: Desk, server: Server) -> None:
        self.desk, self.server = desk, server

    def create(self, count: int, *arguments: str) -> None:
        """Have a run create so many streams."""
        self.desk.write("in.jsonl", webhooks(count))
        ended = self.desk.provision(self.server, "in.jsonl", *arguments)
        assert ended.records["created"] == count, ended

    def run(self, command: str, *arguments: str | Path, env: dict[str, str | None] | None = None) -> Ended:
        """Run a command on the ledger to its end, with `--json` and without asking."""
        return self.start(command, *arguments, env=env).wait()

    def start(self, command: str, *arguments: str | Path, env: dict[str, str | None] | None = None) -> Running:
        """Start a command on the ledger."""
        yes = [] if command == "smoke" else ["--yes"]
        url = () if "--base-url" in arguments else ("--base-url", self.server.url)
        return self.desk.start(command, LEDGER, *url, "--json", *yes, *arguments, env=env or {})

    @property
    def books(self) -> dict[str, Any]:
        """Return the tenant's books."""
        found: dict[str, Any] = self.server.books()["tenants"]["sandbox"]
        return found

    @property
    def ours(self) -> list[str]:
        """Return the ids of the streams that this ledger created, in the order of the input."""
        return [id_ for (id_,) in self.desk.ask("SELECT remote_id FROM record WHERE state IN ('created', 'undone')")]


def kill_at_random(scene: Scene, command: str, *arguments: str, seed: int, kills: int) -> None:
    """Kill a command again and again, each time after a random number of requests of its own."""
    chance, died = random.Random(seed), 0
    for _ in range(kills):
        running = scene.start(command, *arguments)
        wanted = _asked(scene) + chance.randint(1, 25)
        until(lambda running=running, wanted=wanted: _asked(scene) >= wanted or running.process.poll() is not None)
        running.signal(KILL)
        died += running.wait().code == -KILL
    assert died > 1, "it was over before it could be killed"


def _asked(scene: Scene) -> int:
    return sum(scene.books["requests"].values())
