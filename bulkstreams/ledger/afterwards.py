"""What the ledger tells of what was done to its streams afterwards: how many, with which fate, and why not.

Who does errands writes them through `errands`; here they are only counted. This module must never write.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Final, NamedTuple

import orjson

from bulkstreams.core.errands import OPPOSITE, Fate, Kind
from bulkstreams.core.matching import part_of
from bulkstreams.ledger import format as ledger_format
from bulkstreams.ledger.errands import AT_TENANTS, MARK, UNDOABLE, Site, as_list
from bulkstreams.ledger.opening import OpenLedger
from bulkstreams.model import State, Status


class Failure(NamedTuple):
    """Failures with one cause: how many, and the first of them."""

    state: str
    http_status: int | None
    error_code: str | None
    message: str | None
    records: int
    file: str
    line: int
    key: str | None


class ErrandTotals(NamedTuple):
    """Counts of the errands of the newest command of a kind, by fate, and of those that the newest run settled."""

    fates: Mapping[Fate, int]
    this_run: Mapping[Fate, int]
    event: str | None = None
    last: tuple[int, float] = (0, 0.0)
    """The run that was last at work on them, and the instant (epoch seconds) of the last thing that it noted."""

    @property
    def total(self) -> int:
        """Return the number of errands."""
        return sum(self.fates.values())

    def without_earlier(self) -> ErrandTotals:
        """Return the counts without those errands that runs before the newest had settled."""
        fates = dict(self.this_run)
        if waiting := self.fates.get(Fate.PENDING):
            fates[Fate.PENDING] = waiting
        return self._replace(fates=fates)


class ErrandReader(OpenLedger):
    """A ledger open to be read that answers the questions of errands."""

    def errands(self, kind: Kind) -> ErrandTotals:
        """Count the errands of the newest command of a kind, the parts of it that were cut short included.

        Of smoke tests those that were delivered before count, too, and none whose stream is no longer there.
        """
        if not self._has_errands():
            return ErrandTotals({}, {})
        rows = self._ask(
            """SELECT state, count(*), sum(state <> 'pending' AND run = :run), max(event), max(run),
                      max(coalesce(settled_at, intent_at, 0)) FROM errand
                WHERE kind = :kind AND (run >= :since OR (kind = 'smoke' AND state = 'delivered'))
                  AND (kind <> 'smoke' OR EXISTS (
                          SELECT 1 FROM record WHERE record.id = errand.record AND anchor = 'created'
                             AND record.remote_id = errand.remote_id))
                GROUP BY state ORDER BY state""",
            {"kind": kind.value, "run": self._newest_run(), "since": self._since(kind)},
        )
        return ErrandTotals(
            fates={self._fate(state): count for state, count, *_ in rows},
            this_run={self._fate(state): now for state, _, now, *_ in rows if now},
            event=max((row[3] for row in rows if row[3] is not None), default=None),
            last=max(((run or 0, at) for *_, run, at in rows), default=(0, 0.0)),
        )

    def overtaken(self, kind: Kind) -> dict[Kind, int]:
        """Count the switches of the newest command of a kind that are no longer so, by what a later run did there.

        Smoke tests of streams that were undone are not counted in the first place.
        """
        if not self._has_errands() or kind not in OPPOSITE:
            return {}
        rows = self._ask(
            """SELECT kind, count(*) FROM (
                   SELECT max(later.kind) AS kind FROM errand AS e
                     JOIN errand AS later ON later.record = e.record AND later.kind IN ('undo', :opposite)
                      AND later.remote_id = e.remote_id AND later.run > e.run
                      AND later.state IN ('deleted', 'gone', 'switched', 'already')
                    WHERE e.kind = :kind AND e.run >= :since GROUP BY e.id)
                GROUP BY kind ORDER BY kind DESC""",  # an undo comes last of all, in time as by its name
            {"kind": kind.value, "opposite": OPPOSITE[kind].value, "since": self._since(kind)},
        )
        return {Kind(found): count for found, count in rows}

    def undone(self) -> int:
        """Count the streams that were undone by all commands there ever were, those found gone by them included."""
        if not self._has_errands():
            return 0
        return int(self._ask("SELECT count(*) FROM errand WHERE kind = 'undo' AND state IN ('deleted', 'gone')")[0][0])

    def created(self, states: Collection[State] = UNDOABLE, tenants: Collection[str] | None = None) -> dict[str, Site]:
        """Count by tenant, of some or all, the streams that this ledger created and that, as far as it knows, stand.

        Records of every reading count: what is no longer in the input was created all the same.
        """
        rows = self._ask(
            f"""SELECT tenant.name, address, count(*) FROM record JOIN tenant ON tenant.id = record.tenant
                WHERE anchor = 'created' AND remote_id IS NOT NULL AND state IN (SELECT value FROM json_each(:states))
                  AND {AT_TENANTS} GROUP BY tenant.id ORDER BY tenant.id""",  # noqa: S608
            {"states": as_list(states), "tenants": None if tenants is None else as_list(tenants)},
        )
        return {str(name): Site(str(address), count) for name, address, count in rows}

    def undoing(self) -> int:
        """Count the records of the newest reading whose streams an undo that was cut short may have deleted."""
        if not self._has_errands():
            return 0
        rows = self._ask(
            """SELECT count(*) FROM errand JOIN record ON record.id = errand.record
                WHERE kind = 'undo' AND errand.intent_at IS NOT NULL AND errand.settled_at IS NULL
                  AND record.reading >= ? AND errand.remote_id = record.remote_id AND record.anchor = 'created'""",
            (self._whole_reading(),),
        )
        return int(rows[0][0])

    def doubtful(self) -> int:
        """Count the records, of every reading, of which nobody knows yet whether they were created."""
        return int(self._ask("SELECT count(*) FROM record WHERE state IN ('in_doubt', 'in_flight')")[0][0])

    def changed_since(self) -> int:
        """Count the streams, of every reading, that an undo left since somebody had changed them."""
        if not self._has_errands():
            return 0
        rows = self._ask(
            """SELECT count(*) FROM errand JOIN record ON record.id = errand.record
                WHERE kind = 'undo' AND errand.state = 'changed' AND errand.remote_id = record.remote_id
                  AND record.anchor = 'created' AND record.state NOT IN ('in_flight', 'in_doubt')"""
        )
        return int(rows[0][0])

    def errand_failures(self, kind: Kind, most: int = 20) -> list[Failure]:
        """Group what the newest command of a kind could not do by cause, as `failures` does.

        Deliveries that failed alike at several endpoints have one cause.
        """
        if not self._has_errands():
            return []
        self._db.create_function("cause", 1, _without_urls, deterministic=True)
        rows = self._ask(
            """SELECT e.state, e.http_status, e.error_code, cause(e.message), count(*), file, min(line), key
                 FROM errand AS e JOIN results ON results.id = e.record
                WHERE e.kind = ? AND e.run >= ? AND e.state IN ('changed', 'failed', 'unconfirmed', 'gone')
                  AND e.remote_id = results.remote_id AND results.state <> 'undone'
                GROUP BY e.state, e.http_status, e.error_code, cause(e.message)
                ORDER BY count(*) DESC, min(line) LIMIT ?""",
            (kind.value, self._since(kind), most),
        )
        return [Failure(*row) for row in rows]

    def switched_off(self) -> int:
        """Count the streams that are off, as far as this ledger knows, of those whose test events nobody heard of."""
        if not self._has_errands():
            return 0
        rows = self._ask(
            """SELECT count(*) FROM errand AS e JOIN record ON record.id = e.record
                WHERE e.kind = 'smoke' AND e.state IN ('unconfirmed', 'pending') AND e.run >= :since
                  AND record.anchor = 'created' AND e.remote_id = record.remote_id
                  AND coalesce(record.status = 'disabled',
                               substr(coalesce(record.anchor_digest, record.digest), -length(:off)) = :off)""",
            {"since": self._since(Kind.SMOKE), "off": part_of(Status.DISABLED)},
        )
        return int(rows[0][0])

    def deliveries(self, ids: Sequence[int]) -> dict[int, tuple[str, str | None]]:
        """Return what became of the test events for the streams of these records, as the newest test of each has it.

        That is its fate, and what was said about it.
        """
        rows = self._ask(
            """SELECT record, errand.state, errand.message FROM errand JOIN record ON record.id = errand.record
                WHERE kind = 'smoke' AND errand.remote_id = record.remote_id
                  AND record IN (SELECT value FROM json_each(?))""",
            (orjson.dumps(list(ids)).decode(),),
        )
        return {record: (self._fate(state).value, message) for record, state, message in rows}

    def has_deliveries(self) -> bool:
        """Return whether test events were ever to be sent."""
        return self._has_errands() and bool(self._ask("SELECT 1 FROM errand WHERE kind = 'smoke' LIMIT 1"))

    def _since(self, kind: Kind) -> int:
        rows = self._ask("SELECT value FROM meta WHERE name = ?", (MARK + kind,))
        try:
            return int(rows[0][0]) if rows else 0
        except ValueError:
            raise ledger_format.refusal(self.path, "is damaged: no command can have begun as it says") from None

    def _fate(self, text: str) -> Fate:
        try:
            return Fate(text)
        except ValueError:
            raise ledger_format.refusal(self.path, f"is damaged: no errand can be {text!r}") from None


_URL: Final = re.compile(r"""https?://[^\s"']+""")


def _without_urls(text: str | None) -> str | None:
    return None if text is None else _URL.sub("…", text)
