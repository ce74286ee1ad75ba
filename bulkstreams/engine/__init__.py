"""The engine: inputs → ledger → one lane a tenant → ledger. It decides nothing and prints nothing."""

from bulkstreams.engine.engine import Engine, Job
from bulkstreams.engine.fleet import Fleet, LanePlan, SystemClock, Terms
from bulkstreams.engine.outlook import Outlook
from bulkstreams.engine.reading import Reading, Tenants, Watcher
from bulkstreams.engine.stops import Limits
from bulkstreams.engine.tools import Credential

__all__ = [
    "Credential",
    "Engine",
    "Fleet",
    "Job",
    "LanePlan",
    "Limits",
    "Outlook",
    "Reading",
    "SystemClock",
    "Tenants",
    "Terms",
    "Watcher",
]
