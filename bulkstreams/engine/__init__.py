"""The engine: inputs → ledger → one lane a tenant → ledger. It decides nothing and prints nothing."""

from bulkstreams.engine.course import Course, keep_notes
from bulkstreams.engine.engine import Engine, Job
from bulkstreams.engine.errands import Errands, Manner
from bulkstreams.engine.fleet import Fleet, LanePlan, SystemClock, Terms
from bulkstreams.engine.onlooking import Look, Onlooker, Planner, only_reading
from bulkstreams.engine.outlook import Outlook
from bulkstreams.engine.reading import Reading, Tenants, Watcher
from bulkstreams.engine.recorder import Recorder
from bulkstreams.engine.stops import Limits
from bulkstreams.engine.tools import Credential

__all__ = [
    "Course",
    "Credential",
    "Engine",
    "Errands",
    "Fleet",
    "Job",
    "LanePlan",
    "Limits",
    "Look",
    "Manner",
    "Onlooker",
    "Outlook",
    "Planner",
    "Reading",
    "Recorder",
    "SystemClock",
    "Tenants",
    "Terms",
    "Watcher",
    "keep_notes",
    "only_reading",
]
