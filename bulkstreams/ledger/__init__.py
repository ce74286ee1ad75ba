"""The SQLite file that remembers every record: ingest, claim, settle, and read-only questions.

It holds no secret and no copy of the input. One process writes it, in one thread; anybody may read it meanwhile.
"""

from bulkstreams.ledger.afterwards import ErrandTotals, Failure
from bulkstreams.ledger.aside import put_aside
from bulkstreams.ledger.errands import UNDOABLE, ErrandBook, Plan, Site
from bulkstreams.ledger.history import History, ReadInput, Settled
from bulkstreams.ledger.in_force import Configured, InForce, Setting, Shown, Value
from bulkstreams.ledger.ingesting import BATCH, Duplicate, Row
from bulkstreams.ledger.inventory import Inventory, Live, Pair, Surplus
from bulkstreams.ledger.ledger import Ledger
from bulkstreams.ledger.notes import Note
from bulkstreams.ledger.reader import RESULT_COLUMNS, LedgerReader, Result, Run, Totals

__all__ = [
    "BATCH",
    "RESULT_COLUMNS",
    "UNDOABLE",
    "Configured",
    "Duplicate",
    "ErrandBook",
    "ErrandTotals",
    "Failure",
    "History",
    "InForce",
    "Inventory",
    "Ledger",
    "LedgerReader",
    "Live",
    "Note",
    "Pair",
    "Plan",
    "ReadInput",
    "Result",
    "Row",
    "Run",
    "Setting",
    "Settled",
    "Shown",
    "Site",
    "Surplus",
    "Totals",
    "Value",
    "put_aside",
]
