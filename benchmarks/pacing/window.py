"""The policy as it was, behind the protocol of the contenders, until `core.pacing.Pacer` takes its place."""

from __future__ import annotations

import math
from collections.abc import Mapping

from bulkstreams.core.pacing import PAUSE_CAP_S, Window, pause_after_429


class WindowPacer:
    """`Window` and `pause_after_429`, as a lane uses them."""

    def __init__(self) -> None:
        self.resume_at = 0.0
        self._window = Window()
        self._tickets = self._flying = self._in_a_row = 0

    def wait(self, in_flight: int, now: float) -> float:
        """Return 0.0 where one more may go now, else the seconds to wait; infinite: not before a reply comes."""
        if self.resume_at > now:
            return self.resume_at - now
        wait = self._window.wait(in_flight, now)
        return math.inf if wait >= PAUSE_CAP_S else wait

    def take(self, now: float) -> int:
        """Note that a request goes."""
        self._tickets += 1
        self._flying += 1
        self._window.take()
        return self._tickets

    def heard(self, ticket: int, status: int, headers: Mapping[str, str], now: float, draw: float) -> None:
        """Note its reply."""
        self._flying -= 1
        if status != 429:
            self._in_a_row = 0
            self._window.replied(headers, self._flying, now)
            return
        if self.resume_at <= now:
            self._in_a_row += 1
        pause = pause_after_429(headers, in_a_row=self._in_a_row, draw=draw)
        self.resume_at = max(self.resume_at, now + pause)
        self._window.throttled()

    def lost(self, ticket: int, now: float) -> None:
        """Note that no reply will come."""
        self._flying -= 1
