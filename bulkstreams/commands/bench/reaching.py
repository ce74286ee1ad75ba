"""Whether a tenant lets a bench begin: it is looked at once, and again where its budget was spent just then.

This module must never send anything but a look.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from typing import Final

from bulkstreams.core.pacing import pause_after_429
from bulkstreams.core.waiting import duration
from bulkstreams.errors import StoppedError
from bulkstreams.model import Failure, Reply

LOOKS: Final = 3
LONGEST_S: Final = 90.0
"""How often a tenant is looked at whose budget is spent, and the longest wait in between."""


async def reach(
    base_url: str,
    look: Callable[[], Awaitable[Reply | Failure]],
    rest: Callable[[float], Awaitable[bool]],
    say: Callable[[str], None],
) -> None:
    """See that a tenant answers to a look; raise StoppedError where it does not: then nothing was sent.

    `rest` waits for so many seconds, and says whether the bench is still to begin after them.
    """
    for number in range(1, LOOKS + 1):
        answer = await look()
        if isinstance(answer, Reply) and answer.status == 200:
            return
        if isinstance(answer, Failure) or answer.status != 429:
            raise _unreached(base_url, answer)
        pause = pause_after_429(answer.headers, in_a_row=number, draw=random.random())  # noqa: S311 - jitter
        if number == LOOKS or pause > LONGEST_S:
            raise StoppedError(
                f"{base_url} cannot be benched: its budget of requests is spent (429).",
                hint="Run the same command again when the tenant's other clients leave some of it.",
            )
        say(f"the tenant's budget of requests is spent (429): it is looked at again in {duration(pause)}")
        if not await rest(pause):
            return


def _unreached(base_url: str, answer: Reply | Failure) -> StoppedError:
    why = answer.reason if isinstance(answer, Failure) else f"it answered {answer.status} to a look at its streams"
    return StoppedError(
        f"{base_url} cannot be benched: {why}.",
        hint="Check the address, and that the token has create:, read: and delete:event_streams.",
    )
