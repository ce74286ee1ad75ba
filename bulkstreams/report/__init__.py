"""The ledger, told to a person or a machine: how a run ended, how things stand. It never opens a socket."""

from bulkstreams.report.text import (
    MOST_STOPPED,
    MOST_TENANTS,
    next_step,
    status,
    status_lines,
    summary,
)

__all__ = ["MOST_STOPPED", "MOST_TENANTS", "next_step", "status", "status_lines", "summary"]
