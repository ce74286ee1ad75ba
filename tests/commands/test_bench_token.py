"""A load's token: renewed beside it, so that no request waits for one."""

from __future__ import annotations

import anyio

from bulkstreams.commands.bench.token import KeptToken
from bulkstreams.errors import CredentialsError
from tests.engine.fakes import FakeCredential, in_told_time


def watched(credential: FakeCredential, refused: list[str]) -> tuple[str, int]:
    """Keep a token while the server refuses some; return the last one, and how often another was asked for."""

    async def scene() -> None:
        nonlocal kept
        kept = KeptToken(credential)
        await kept.fetch()
        async with anyio.create_task_group() as group:
            group.start_soon(kept.run)
            await anyio.sleep(0.5)
            for token in refused:
                kept.refused(token)
                await anyio.sleep(2.0)
            group.cancel_scope.cancel()

    kept: KeptToken | None = None
    in_told_time(scene)
    assert kept is not None
    return kept.text, credential.refreshed


def test_a_token_that_is_refused_is_replaced_once() -> None:
    """A thousand 401s to the same token ask for one other; those to an older one for none."""
    assert watched(FakeCredential(), ["t1", "t1", "t0"]) == ("t2", 1)


def test_a_token_that_expires_is_replaced_unasked() -> None:
    """The credential knows when; it is asked each second."""

    class Expiring(FakeCredential):
        """Gives another token each time."""

        async def token(self) -> str:
            """Return the next one."""
            self.number += 1
            return f"t{self.number}"

    text, refreshed = watched(Expiring(), ["t0"])
    assert (text, refreshed) == ("t4", 0)


def test_where_no_other_is_to_be_had_the_last_one_stays() -> None:
    """The answers say so, each a sample: a load does not end over it."""

    class Spent(FakeCredential):
        """Has no other token."""

        async def refresh(self, stale: str) -> str:
            """Refuse."""
            raise CredentialsError("the token was refused.")

    assert watched(Spent(), ["t1"]) == ("t1", 0)
