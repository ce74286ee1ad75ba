"""What limits one tenant: the bucket that its headers show, a second one that none shows, a neighbour who takes too.

The first bucket is asked first, then the unseen one; who is refused by either takes no token of any.
This module must never read a clock or run in the background: instants (epoch seconds) come in as `now`, and what
the neighbour did since the last one is caught up with then.
"""

from __future__ import annotations

from typing import NamedTuple

from bulkstreams.sandbox.bucket import Bucket
from bulkstreams.sandbox.neighbour import Neighbour
from bulkstreams.sandbox.settings import SandboxSettings


class Grant(NamedTuple):
    """What the limits say to one request: go or no, and what its headers tell.

    The first bucket's size, the tokens left in it, and when (epoch s) more come; `retry_at` is when the bucket that
    refused has a token again.
    """

    granted: bool
    limit: int
    remaining: int
    reset: int
    retry_at: int


class Limits:
    """The limits of one tenant."""

    def __init__(self, first: Bucket, unseen: Bucket | None = None, neighbour: Neighbour | None = None) -> None:
        self._first = first
        self._buckets = [first] if unseen is None else [first, unseen]
        self._neighbour = neighbour

    def take(self, now: float) -> Grant:
        """Take a token of each bucket if each has one."""
        first = self._first
        if self._neighbour is not None:
            self._neighbour.visit(first, now)
        for bucket in self._buckets:
            bucket.fill(now)
        empty = next((bucket for bucket in self._buckets if not bucket.remaining), None)
        if empty is None:
            for bucket in self._buckets:
                bucket.spend()
        reset = first.next_token(now)
        retry_at = reset if empty is None else empty.next_token(now)
        return Grant(empty is None, first.burst, first.remaining, reset, retry_at)

    def refuse(self, now: float) -> Grant:
        """Return what a request is told when somebody else took the tokens: none left until more come."""
        reset = self._first.next_refill(now)
        return Grant(False, self._first.burst, 0, reset, reset)


def limits_of(settings: SandboxSettings, now: float, neighbour: Neighbour | None = None) -> Limits | None:
    """Return the limits that the settings give each tenant (None: no limit), full at `now`."""
    if not settings.rate:
        return None
    first = Bucket(rate=settings.rate, burst=settings.bucket_size, refill=settings.refill, now=now)
    return Limits(first, _unseen(settings, now), neighbour)


def _unseen(settings: SandboxSettings, now: float) -> Bucket | None:
    if not settings.unseen_rate:
        return None
    refill = settings.unseen_refill or settings.refill
    return Bucket(rate=settings.unseen_rate, burst=settings.unseen_size, refill=refill, now=now)
