"""What a token is known to allow, and what is missing."""

from __future__ import annotations

import json
from base64 import urlsafe_b64encode
from typing import Any

import pytest

from bulkstreams.core.scopes import (
    CREATE,
    MOST_TOKEN,
    READ,
    READ_ACTIONS,
    READ_DELIVERIES,
    UPDATE,
    granted,
    lacking,
    needed,
)


def token(claims: Any) -> str:
    """Return an unsigned web token with these claims."""
    body = urlsafe_b64encode(claims if isinstance(claims, bytes) else json.dumps(claims).encode()).decode()
    return f"e30.{body.rstrip('=')}.sig"


def test_the_answer_to_a_token_request_tells_first() -> None:
    """What came with a token counts before what stands in it."""
    assert granted(token({"scope": "a"}), f"{READ} {CREATE}") == {READ, CREATE}
    assert granted("opaque", READ) == {READ}
    assert granted("opaque", "") == frozenset()


def test_else_the_token_tells() -> None:
    """A web token names its scopes; one that names none has said nothing."""
    assert granted(token({"scope": f"{READ}  {CREATE}"})) == {READ, CREATE}
    assert granted(token({"scope": READ}), 7) == {READ}
    assert granted(token({"sub": "x"})) is None


@pytest.mark.parametrize(
    "text",
    [
        "opaque", "a.b", "a.*.c", token(b"\xff"), token(b"{"), token([1]), token({"scope": 7}),
        f"a.{'A' * MOST_TOKEN}.c", token(b"[" * 20_000),
    ],
)  # fmt: skip
def test_what_is_no_such_token_tells_nothing(text: str) -> None:
    """Whatever a token is made of, looking into it neither fails nor invents scopes."""
    assert granted(text) is None


def test_a_run_needs_what_it_does() -> None:
    """To look, to look actions up, to create, to test: each in its turn, and nothing that it will not do."""
    assert needed(creates=False) == (READ,)
    assert needed(creates=True) == (READ, CREATE)
    assert needed(creates=True, refers=True, smokes=True) == (READ, READ_ACTIONS, CREATE, UPDATE, READ_DELIVERIES)


def test_what_a_token_lacks_is_told_only_where_it_is_known() -> None:
    """Nobody is told to grant a scope to a token that may well have it."""
    assert lacking((READ, CREATE), {READ}) == (CREATE,)
    assert lacking((READ,), {READ, CREATE}) == ()
    assert lacking((READ, CREATE), None) == ()
