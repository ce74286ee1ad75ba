"""What to do about each cause of failure, as one sentence. Pure: it looks at codes, never at an error's prose."""

from __future__ import annotations

from typing import Final

from bulkstreams.core.errands import Fate
from bulkstreams.model import State

_BY_STATE: Final = {
    State.INVALID: "Mend the line where the message says so, then run the same command again; it was never sent.",
    State.IN_DOUBT: "Run the same command again: each is looked up at its tenant, and sent only if it is not there.",
    State.EXHAUSTED: "See that the tenant can be reached and is well, then run the same command again.",
    State.CONFLICT: "Make the line and the tenant's stream agree (or give the line another name), "
    "then run again with --retry-failed.",
}

_BY_FATE: Final = {
    Fate.CHANGED: "Look at what was changed at the tenant; to do it all the same, give the command with --force.",
    Fate.GONE: "Somebody else deleted it; a run of the input with a new --ledger FILE creates it again.",
    Fate.FAILED: "Mend the cause that the API names, then give the same command again.",
    Fate.UNCONFIRMED: "Look at the stream's destination, then give the same command again: it sends another event.",
}

_BY_STATUS: Final = {
    400: "Mend what the API's message names in the definition; a line that changed is sent by the next run.",
    409: "Look at the tenant's stream of that name: agree with it, or use another name; then --retry-failed.",
    413: "Make the definition smaller: the API takes no more than 1 MB.",
    415: "See what stands between here and the tenant: it takes no JSON.",
    422: "Mend what the API's message names in the definition; a line that changed is sent by the next run.",
}

_REDIRECT: Final = "Check the tenant's domain or --base-url: it answers with a redirect, and none is followed."
_REFUSED: Final = "After mending the cause that the API names, run again with --retry-failed."


def remedy(state: str, http_status: int | None) -> str:
    """Return what to do about records in this state, or errands that came to it, whose last answer had this status."""
    if state in _BY_FATE:
        return _BY_FATE[Fate(state)]
    if state != State.REFUSED:
        return _BY_STATE[State(state)]
    if http_status is not None and 300 <= http_status < 400:
        return _REDIRECT
    return _BY_STATUS.get(http_status or 0, _REFUSED)
