"""What every scenario is given: desks to run commands at, and servers to run them against."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.scenarios.rig import Desk, Server


@pytest.fixture
def desks(tmp_path: Path) -> Iterator[Callable[[str], Desk]]:
    """Make desks by name; each is searched for secrets at the end."""
    made: dict[str, Desk] = {}

    def desk(name: str) -> Desk:
        if name not in made:
            made[name] = Desk(tmp_path / name)
        return made[name]

    yield desk
    for one in made.values():
        one.close()


@pytest.fixture
def desk(desks: Callable[[str], Desk]) -> Desk:
    """Return one desk."""
    return desks("desk")


@pytest.fixture
def serve() -> Iterator[Callable[..., Server]]:
    """Start sandboxes; they end with the test."""
    with ExitStack() as stack:

        def start(**settings: Any) -> Server:
            return stack.enter_context(Server(**settings))

        yield start


@pytest.fixture
def server(serve: Callable[..., Server]) -> Server:
    """Return one sandbox without limits or faults."""
    return serve()
