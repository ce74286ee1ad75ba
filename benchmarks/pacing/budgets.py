"""What a model of a server grants: token buckets, stacked ones, fixed windows, a neighbour that takes its part.

Instants are seconds of the server's own clock, from some whole minute on; `since` is the one at which the client comes.
Callers ask in order of time. A model must never see the client that asks, nor a clock but the instants it is given.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from random import Random
from typing import Final, Protocol

DUST: Final = 1e-9
"""What repeated additions of fractions may fall short by."""


class Income(Protocol):
    """How tokens come."""

    def by(self, at: float) -> float:
        """Return the tokens that came from instant 0 on."""

    def due(self, missing: float, at: float) -> float:
        """Return the instant by which, after `at`, so many more have come."""


class Trickle:
    """Tokens come all the time, `rate` a second; from the instant `then[0]` on `then[1]` a second."""

    def __init__(self, rate: float, then: tuple[float, float] | None = None) -> None:
        self._rate = rate
        self._turn, self._later = (math.inf, rate) if then is None else then

    def by(self, at: float) -> float:
        """Return the tokens that came from instant 0 on."""
        if at <= self._turn:
            return self._rate * at
        return self._rate * self._turn + self._later * (at - self._turn)

    def due(self, missing: float, at: float) -> float:
        """Return the instant by which, after `at`, so many more have come."""
        return at + missing / (self._rate if at < self._turn else self._later)


class Tops:
    """`amount` tokens come at once, at the top of each `every` seconds of the server's clock."""

    def __init__(self, amount: float, every: float = 1.0) -> None:
        self._amount, self._every = amount, every

    def by(self, at: float) -> float:
        """Return the tokens that came from instant 0 on."""
        return self._amount * math.floor(at / self._every)

    def due(self, missing: float, at: float) -> float:
        """Return the instant by which, after `at`, so many more have come."""
        return (math.floor(at / self._every) + max(1, math.ceil(missing / self._amount - DUST))) * self._every


class Budget(Protocol):
    """What a server has to give, as its headers would tell it, and what it would have given at most."""

    limit: int

    def take(self, at: float) -> bool:
        """Take a token; False where there is none: then nothing is taken."""

    def remaining(self, at: float) -> int:
        """Return the whole tokens that are left."""

    def more_at(self, at: float) -> float:
        """Return the instant when one more token comes."""

    def grantable(self, at: float) -> float:
        """Return what a client that always had a request waiting would have been granted by then."""


class Bucket:
    """`burst` tokens at most, full at first. With the income of a window's top that fills it whole: a fixed window."""

    def __init__(self, income: Income, burst: int, since: float) -> None:
        self.limit = burst
        self.tokens = float(burst)
        self._income = income
        self._since = self._filled_at = since

    def fill(self, at: float) -> float:
        """Bring the tokens up to date, and return them."""
        if at > self._filled_at:
            came = self._income.by(at) - self._income.by(self._filled_at)
            self.tokens = min(float(self.limit), self.tokens + came)
            self._filled_at = at
        return self.tokens

    def take(self, at: float) -> bool:
        """Take a token; False where there is none."""
        if self.fill(at) < 1.0 - DUST:
            return False
        self.tokens -= 1.0
        return True

    def remaining(self, at: float) -> int:
        """Return the whole tokens that are left."""
        return math.floor(self.fill(at) + DUST)

    def more_at(self, at: float) -> float:
        """Return the instant when one more token comes, or would come to a bucket that has room."""
        return self._income.due(1.0 - (self.fill(at) + DUST) % 1.0, at)

    def grantable(self, at: float) -> float:
        """Return the burst and what came since: whoever always waits lets nothing run over."""
        return self.limit + self._income.by(at) - self._income.by(self._since)


class Stacked:
    """Two buckets, of which only the first shows; what either refuses takes a token of neither."""

    def __init__(self, shown: Bucket, hidden: Bucket) -> None:
        self._shown, self._hidden = shown, hidden
        self.limit = shown.limit

    def take(self, at: float) -> bool:
        """Take a token of each."""
        if self._shown.fill(at) < 1.0 - DUST:
            return False
        return self._hidden.take(at) and self._shown.take(at)

    def remaining(self, at: float) -> int:
        """Return the whole tokens that the first has left."""
        return self._shown.remaining(at)

    def more_at(self, at: float) -> float:
        """Return the instant when one more token comes to the first."""
        return self._shown.more_at(at)

    def grantable(self, at: float) -> float:
        """Return the lesser of both, which is exact where both trickle."""
        return min(self._shown.grantable(at), self._hidden.grantable(at))


class Neighbour:
    """A bucket that somebody else takes from, too: `grab()` tokens at once, or what there is, after each `pause()`.

    `there`: whether it is at work at an instant.
    """

    def __init__(
        self,
        bucket: Bucket,
        pause: Callable[[], float],
        grab: Callable[[], int],
        since: float,
        there: Callable[[float], bool] = lambda at: True,
    ) -> None:
        self._bucket = bucket
        self._pause, self._grab, self._there = pause, grab, there
        self.limit = bucket.limit
        self.wanted = self.took = 0
        self._next = since + pause()

    def _play(self, at: float) -> None:
        while self._next <= at:
            if self._there(self._next):
                wanted = self._grab()
                taken = min(wanted, self._bucket.remaining(self._next))
                self.wanted += wanted
                self._bucket.tokens -= taken
                self.took += taken
            self._next += self._pause()

    def take(self, at: float) -> bool:
        """Take a token, after what the neighbour took before."""
        self._play(at)
        return self._bucket.take(at)

    def remaining(self, at: float) -> int:
        """Return the whole tokens that are left."""
        self._play(at)
        return self._bucket.remaining(at)

    def more_at(self, at: float) -> float:
        """Return the instant when one more token comes."""
        return self._bucket.more_at(at)

    def grantable(self, at: float) -> float:
        """Return what the bucket had, less what the neighbour took of it."""
        self._play(at)
        return self._bucket.grantable(at) - self.took


class Nothing:
    """A budget that has nothing to give, and says that more comes with the next second."""

    limit = 10

    def take(self, at: float) -> bool:
        """Refuse."""
        return False

    def remaining(self, at: float) -> int:
        """Return none."""
        return 0

    def more_at(self, at: float) -> float:
        """Return the next whole second."""
        return math.floor(at) + 1.0

    def grantable(self, at: float) -> float:
        """Return none."""
        return 0.0


def one_by_one(bucket: Bucket, rate: float, since: float, draws: Random, **more: Callable[[float], bool]) -> Neighbour:
    """Return a neighbour that asks `rate` times a second, whenever chance has it (Poisson)."""
    return Neighbour(bucket, lambda: draws.expovariate(rate), lambda: 1, since, **more)


def in_bursts(bucket: Bucket, rate: float, since: float, draws: Random, **more: Callable[[float], bool]) -> Neighbour:
    """Return a neighbour that wants as much, but up to half of the bucket at once."""
    most = max(1, bucket.limit // 2)
    per_second = rate / ((1 + most) / 2)
    return Neighbour(bucket, lambda: draws.expovariate(per_second), lambda: draws.randint(1, most), since, **more)
