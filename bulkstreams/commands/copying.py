"""A ledger's copy, in which a command may settle what it only says: the ledger itself is not touched.

This module must never write to what it copies.
"""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

from bulkstreams.ledger import LedgerReader


def copy_ledger(path: Path, copy: Path) -> None:
    """Copy the ledger at `path` as it is now, also while a run goes on."""
    with LedgerReader(path) as reader:
        os.close(os.open(copy, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        target = sqlite3.connect(copy)
        try:
            reader.copy_to(target)
        finally:
            target.close()
