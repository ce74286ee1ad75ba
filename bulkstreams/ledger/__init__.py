"""The SQLite file that remembers every record: ingest, claim, settle, and read-only questions.

It holds no secret and no copy of the input. One process writes it, in one thread; anybody may read it meanwhile.
"""

from bulkstreams.ledger.history import History, ReadInput, Settled
from bulkstreams.ledger.ledger import Ledger
from bulkstreams.ledger.notes import Note
from bulkstreams.ledger.reader import RESULT_COLUMNS, Failure, LedgerReader, Result, Run, Totals
from bulkstreams.ledger.statements import BATCH, Duplicate, Row

__all__ = [
    "BATCH",
    "RESULT_COLUMNS",
    "Duplicate",
    "Failure",
    "History",
    "Ledger",
    "LedgerReader",
    "Note",
    "ReadInput",
    "Result",
    "Row",
    "Run",
    "Settled",
    "Totals",
]
