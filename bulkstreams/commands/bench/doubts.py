"""What clears a bench's doubts, at its end or after its death. This module must never try anything again."""

from __future__ import annotations

from collections.abc import Sequence

from bulkstreams.commands.room import connections
from bulkstreams.commands.wiring import Wiring
from bulkstreams.config import Settings
from bulkstreams.engine import Fleet, Terms
from bulkstreams.engine.recorder import Recorder
from bulkstreams.model import Settlement
from bulkstreams.secrets import mask


def doubts_fleet(wiring: Wiring, settings: Settings, recorder: Recorder[Settlement]) -> Fleet:
    """Return a fleet to clear doubts with; nothing is tried again there."""
    terms = Terms(
        connector=wiring, watcher=_Unheard(), mask=mask, retries=0, timeout_s=settings.timeout_s,
        connections=connections(),
    )  # fmt: skip
    return Fleet(terms, recorder)


class _Unheard:
    """Nobody is told of a lane that stops: it is the only one, and its reason is told at the end."""

    def lane_stopped(self, tenant: str, reason: str) -> None:
        """Do nothing."""


async def tell_nobody(_batch: Sequence[Settlement]) -> None:
    """Tell nobody: the meter has counted already."""
