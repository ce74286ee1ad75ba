"""The tenants that a ledger has met, and where each of them is: a ledger is made for these addresses and no others.

These are plain functions of a connection, run by `writer` in its thread, inside its transaction. This module must
never let an address be changed: the records would be taken for done at a tenant that never saw them.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from bulkstreams.errors import LedgerAddressError
from bulkstreams.model import TenantName

DEFAULT_TENANT: Final = "default_address"
"""Under which `meta` has the address of the tenant of lines that name none."""


def bind(db: sqlite3.Connection, path: Path, default: str) -> None:
    """Note `default`, the address of the tenant of lines that name none.

    Raises LedgerAddressError where the ledger (at `path`) was made for another.
    """
    db.execute("INSERT INTO meta VALUES (?, ?) ON CONFLICT DO NOTHING", (DEFAULT_TENANT, default))
    known = db.execute("SELECT value FROM meta WHERE name = ?", (DEFAULT_TENANT,)).fetchone()[0]
    if known != default:
        raise _other_address(path, "the default tenant", known, default)


def meet(db: sqlite3.Connection, path: Path, located: Mapping[str, str]) -> dict[str, int]:
    """Return the ids of tenants; the first time that one is met its address is noted, later it is checked.

    Raises LedgerAddressError where the ledger (at `path`) knows one at another address.
    """
    return {name: _meet(db, path, name, address) for name, address in located.items()}


def _meet(db: sqlite3.Connection, path: Path, name: str, address: str) -> int:
    db.execute("INSERT INTO tenant (name, address) VALUES (?, ?) ON CONFLICT DO NOTHING", (name, address))
    id_, known = db.execute("SELECT id, address FROM tenant WHERE name = ?", (name,)).fetchone()
    if known != address:
        raise _other_address(path, f"tenant {name}", known, address)
    return int(id_)


def _other_address(path: Path, who: str, known: str, address: str) -> LedgerAddressError:
    return LedgerAddressError(
        f"the ledger {path} was made for {who} at {known}, not at {address}.",
        hint=f"Use another ledger for the other address (--ledger FILE), or go back to {known}.",
    )


def known(db: sqlite3.Connection) -> list[TenantName]:
    """Return the tenants that the ledger has met."""
    return _names(db.execute("SELECT name FROM tenant ORDER BY id"))


def named(db: sqlite3.Connection, reading: int) -> list[TenantName]:
    """Return the tenants that records of a reading are for."""
    sql = """SELECT name FROM tenant WHERE EXISTS (SELECT 1 FROM record WHERE record.tenant = tenant.id
                                                      AND record.reading = ? LIMIT 1) ORDER BY id"""
    return _names(db.execute(sql, (reading,)))


def _names(rows: Iterable[tuple[str]]) -> list[TenantName]:
    return [TenantName(name) for (name,) in rows]
