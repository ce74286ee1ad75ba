"""A local Auth0: the event-streams API as far as it is known, with limits, seeded faults and its own books.

It judges the rest of the package, so it shares none of its code but the errors: it must never import another room.
"""

from bulkstreams.sandbox.faults import FAULTS, Fault, parse_fault, parse_faults
from bulkstreams.sandbox.server import Sandbox
from bulkstreams.sandbox.settings import Refill, SandboxSettings, parse_latency, parse_refill

__all__ = [
    "FAULTS",
    "Fault",
    "Refill",
    "Sandbox",
    "SandboxSettings",
    "parse_fault",
    "parse_faults",
    "parse_latency",
    "parse_refill",
]
