"""The ledger, told to a person or a machine: how a run ended, how things stand. It never opens a socket.

What is told in lines of text needs nothing that is not installed anyway, and stands here; a page and its numbers
(`figures`, `page`) need the packages of an extra, and are imported by who makes them.
"""

from bulkstreams.report.text import (
    MOST_HINTS,
    MOST_STOPPED,
    MOST_TENANTS,
    errand_next,
    errand_summary,
    failure_figures,
    failure_line,
    next_step,
    status,
    status_lines,
    stopped_lines,
    summary,
)

__all__ = [
    "MOST_HINTS",
    "MOST_STOPPED",
    "MOST_TENANTS",
    "errand_next",
    "errand_summary",
    "failure_figures",
    "failure_line",
    "next_step",
    "status",
    "status_lines",
    "stopped_lines",
    "summary",
]
