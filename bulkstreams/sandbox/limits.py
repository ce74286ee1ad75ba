"""What limits one tenant: the bucket that its headers show, a second one that none shows, a neighbour who takes too.

The first bucket is asked first, then the unseen one; who is refused by either takes no token of any.
This module must never read a clock or run in the background: instants (epoch seconds) come in as `now`, and what
the neighbour did since the last one is caught up with then.
"""

from __future__ import annotations

from typing import NamedTuple

from bulkstreams.sandbox.bucket import Bucket
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

    def __init__(self, first: Bucket, unseen: Bucket | None) -> None:
        self._first = first
        self._unseen = unseen

    def take(self, now: float) -> Grant:
        """Take a token of each bucket if each has one."""
        buckets = [self._first] if self._unseen is None else [self._first, self._unseen]
        for bucket in buckets:
            bucket.fill(now)
        empty = next((bucket for bucket in buckets if not bucket.remaining), None)
        if empty is None:
            for bucket in buckets:
                bucket.spend()
        first = self._first
        reset = first.next_token(now)
        retry_at = reset if empty is None else empty.next_token(now)
        return Grant(empty is None, first.burst, first.remaining, reset, retry_at)

    def refuse(self, now: float) -> Grant:
        """Return what a request is told when somebody else took the tokens: none left until more come."""
        reset = self._first.next_refill(now)
        return Grant(False, self._first.burst, 0, reset, reset)


def limits_of(settings: SandboxSettings, now: float) -> Limits | None:
    """Return the limits that the settings give each tenant (None: no limit), full at `now`."""
    if not settings.rate:
        return None
    first = Bucket(rate=settings.rate, burst=settings.bucket_size, refill=settings.refill, now=now)
    if not settings.unseen_rate:
        return Limits(first, None)
    refill = settings.unseen_refill or settings.refill
    return Limits(first, Bucket(rate=settings.unseen_rate, burst=settings.unseen_size, refill=refill, now=now))
