"""What may be benched, and into which ledger: refused before anything is sent, read or made.

This module must never take a public host for ours, nor a ledger of runs for one of loads: its streams would be deleted.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import orjson

from bulkstreams.core.reach import Whose, whose
from bulkstreams.errors import UsageError
from bulkstreams.ledger import LedgerReader

_BENCH: Final = '{"bench":'


def source_of(prefix: str) -> str:
    """Return how the reading of a load is marked in its ledger: as what it is, and with no input that could change."""
    return orjson.dumps({"bench": prefix, "inputs": []}).decode()


POLICY: Final = (
    "Auth0 permits load tests only with its written approval, given in advance to Enterprise customers and for named "
    "tenants (its Load Testing Policy: auth0.com/docs/troubleshoot/customer-support/operational-policies/"
    "load-testing-policy)."
)


def check_host(base_url: str, *, approved: bool) -> None:
    """Raise UsageError where a load on this host needs an approval that nobody spoke of."""
    host = urlsplit(base_url).hostname or ""
    whom = whose(host)
    if approved or whom is Whose.OWN:
        return
    who = "is Auth0's cloud" if whom is Whose.AUTH0 else "is a public host, and may be Auth0's cloud by a custom domain"
    raise UsageError(
        f"{host} {who}. {POLICY}",
        hint="Where you have that approval, or the host is your own, say so: --approved-load-test. "
        "To try without: bulkstreams sandbox, and --base-url http://127.0.0.1:8025.",
    )


def check_ledger(path: Path, *, cleans: bool) -> str | None:
    """Return the mark of a bench ledger's newest load, None where there is no ledger yet.

    Raises UsageError where the ledger is one of runs; and, unless it is to be cleaned, where something is left in it.
    """
    if not path.exists() and not cleans:
        return None
    with LedgerReader(path) as reader:
        sources = reader.sources()
        if not all(one.startswith(_BENCH) for one in sources):
            raise UsageError(
                f"the ledger {path} is not of a bench.",
                hint=f"What a run created is deleted by `bulkstreams undo {path}`; a bench takes a ledger of its own.",
            )
        left = reader.unsettled_at_tenants()
        if left and not cleans:
            raise UsageError(
                f"an earlier bench of the ledger {path} has left up to {left:,} streams at the tenant.",
                hint=f"Delete them first: bulkstreams bench --clean {path}; or name another with --ledger FILE.",
            )
    return sources[-1] if sources else None
