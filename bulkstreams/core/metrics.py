"""Counters of what a run does: added to on the hot path, merged, never reset. They count; the ledger remembers.

This module must never time anything itself: durations and instants are handed in.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True, kw_only=True)
class Tally:
    """What one run asked of the servers, and what it got: the part that a record's own row cannot tell."""

    requests: int = 0
    retries: int = 0
    throttled: int = 0
    lookups: int = 0

    def add(self, other: Tally) -> None:
        """Add another tally to this one."""
        self.requests += other.requests
        self.retries += other.retries
        self.throttled += other.throttled
        self.lookups += other.lookups

    def taken(self) -> Tally:
        """Return what was counted so far and begin anew."""
        copy = Tally(
            requests=self.requests,
            retries=self.retries,
            throttled=self.throttled,
            lookups=self.lookups,
        )
        self.requests = self.retries = self.throttled = self.lookups = 0
        return copy
