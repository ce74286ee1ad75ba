"""The engine: inputs → ledger → one lane a tenant → ledger. It decides nothing and prints nothing."""

from bulkstreams.engine.engine import Engine, Job, LanePlan, SystemClock
from bulkstreams.engine.reading import Reading, Tenants, Watcher
from bulkstreams.engine.stops import Limits
from bulkstreams.engine.tools import Credential

__all__ = ["Credential", "Engine", "Job", "LanePlan", "Limits", "Reading", "SystemClock", "Tenants", "Watcher"]
