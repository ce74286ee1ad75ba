"""bulkstreams: bulk provisioning of Auth0 event streams, each created exactly once.

async with bulkstreams.open(sandbox=True) as job:
async for outcome in job.run("streams.jsonl"):
print(outcome.key, outcome.state, outcome.remote_id)
"""

from typing import TYPE_CHECKING, Any

from bulkstreams.errors import (
    BulkstreamsError,
    CredentialsError,
    InputChangedError,
    InputError,
    LedgerError,
    StoppedError,
    UsageError,
)
from bulkstreams.model import State

if TYPE_CHECKING:
    from bulkstreams.job import Job, Outcome
    from bulkstreams.job import open_job as open  # noqa: A004 - it is meant to be called bulkstreams.open

__version__ = "0.1.0"

__all__ = [
    "BulkstreamsError",
    "CredentialsError",
    "InputChangedError",
    "InputError",
    "Job",
    "LedgerError",
    "Outcome",
    "State",
    "StoppedError",
    "UsageError",
    "open",
]

_LAZY = {"open": "open_job", "Job": "Job", "Outcome": "Outcome"}


def __getattr__(name: str) -> Any:
    """Load the API when it is first asked for: the command line has no use for it, and starts without."""
    if name in _LAZY:
        from bulkstreams import job

        return getattr(job, _LAZY[name])
    raise AttributeError(f"module 'bulkstreams' has no attribute {name!r}")
