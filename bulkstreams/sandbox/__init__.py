"""A local Auth0: the event-streams API as far as it is known, with limits, seeded faults and its own books.

It judges the rest of the package, so it shares none of its code but the errors: it must never import another room.
"""

from bulkstreams.sandbox.faults import FAULT_KINDS, FAULTS, Fault, parse_fault, parse_faults
from bulkstreams.sandbox.server import Sandbox
from bulkstreams.sandbox.settings import (
    Refill,
    SandboxSettings,
    parse_disabled_test,
    parse_latency,
    parse_refill,
    scopes_without,
)

__all__ = [
    "FAULTS",
    "FAULT_KINDS",
    "Fault",
    "Refill",
    "Sandbox",
    "SandboxSettings",
    "parse_disabled_test",
    "parse_fault",
    "parse_faults",
    "parse_latency",
    "parse_refill",
    "scopes_without",
]
