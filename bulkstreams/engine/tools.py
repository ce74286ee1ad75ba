"""What a lane is given: its settings, and what every lane of a run shares. Values and protocols only."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from bulkstreams.core.course import Pauses
from bulkstreams.core.metrics import Tally
from bulkstreams.core.outage import PATIENCE_S

S_contra = TypeVar("S_contra", contravariant=True)


class Clock(Protocol):
    """The time, both kinds: monotonic seconds to wait by, epoch seconds to write down."""

    def monotonic(self) -> float:
        """Return monotonic seconds."""

    def wall(self) -> float:
        """Return seconds since 1970, UTC."""


class Credential(Protocol):
    """Where a lane gets its token.

    `resume_at` is the monotonic instant before which the tenant is not asked for one again, since it did not answer.
    """

    @property
    def resume_at(self) -> float:
        """Return that instant; in the past where nothing keeps it from asking."""

    @property
    def scopes(self) -> frozenset[str] | None:
        """Return what the newest token allows; None where that is not known."""

    def current(self) -> str | None:
        """Return the token if there is a fresh one."""

    async def token(self) -> str:
        """Return a fresh token, fetched if need be; raise CredentialsError where none is to be had."""

    async def refresh(self, stale: str) -> str:
        """Return another token than `stale`, which the server refused; raise CredentialsError where there is none."""


class Outcomes(Protocol[S_contra]):
    """Where a lane puts what became of its records (see `recorder`)."""

    @property
    def tally(self) -> Tally:
        """Return what counts the run's requests."""

    @property
    def backlog(self) -> int:
        """Return how many settlements wait to be written and told."""

    @property
    def behind(self) -> int:
        """Return how many settlements are not durable and told yet, those included that are being written."""

    def put(self, settlement: S_contra) -> None:
        """Take a settlement to be written with the next commit."""

    def flush(self) -> Awaitable[None]:
        """Wait until everything that was put by now is durable and told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LaneSettings:
    """What a lane is allowed: attempts at once, retries of a record, seconds after which absence proves something.

    `ceiling` is its own rate, for telling people of it; None: there is none. `patience_s`: how long a tenant that is
    down is waited for (see `core.outage`).
    """

    concurrency: int
    retries: int
    settle_s: float = 2.0
    ceiling: float | None = None
    patience_s: float = PATIENCE_S


@dataclass(frozen=True, slots=True, kw_only=True)
class Tools:
    """What every lane of a command shares: where outcomes and pauses go, what it may take, the time, and chance."""

    recorder: Outcomes[Any]
    mask: Callable[[str, tuple[str, ...]], str]
    allow: Callable[[int], int]
    clock: Clock
    draw: Callable[[], float]
    pauses: Pauses = field(default_factory=Pauses)
