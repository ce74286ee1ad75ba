"""A local Auth0 that behaves like the real one, with its own books and seeded faults.

It shares no code with the engine that it judges.
"""

from bulkstreams.sandbox.server import Sandbox
from bulkstreams.sandbox.settings import FAULTS, SandboxSettings, parse_fault, parse_latency

__all__ = ["FAULTS", "Sandbox", "SandboxSettings", "parse_fault", "parse_latency"]
