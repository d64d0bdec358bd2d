"""What is known of a table's nights: which have a record, what stands of each, and their facts."""

from __future__ import annotations

import bisect
import datetime as dt
import json
from collections.abc import Callable
from typing import Any

from airflow_mlops.errors import DataError, LedgerError
from airflow_mlops.ledger import Ledger
from airflow_mlops.nights import quality_keys, quality_of
from airflow_mlops.project.tables import TableSpec
from airflow_mlops.quality.monitors import FACTS_VERSION, MOST_PAST, PastNight, facts_of
from airflow_mlops.quality.night_table import NightSource, NightTable
from airflow_mlops.quality.sources.errors import database_errors
from airflow_mlops.records import Facts, PartitionPin, Quality, sha256_digest

__all__ = ["History"]


class History:
    """The nights of a table, each read once and forgotten when it lies too far back.

    Parameters
    ----------
    table : TableSpec
        Says what its monitors look at.
    source : NightSource
        Where nights are counted whose facts are not known: of a release before, or from before there were monitors.
    ledger : Ledger
        Where records lie, under ``table.name``.
    stamp : callable
        Fields that every record has, given the references that it rests on.
    """

    def __init__(self, table: TableSpec, source: NightSource, ledger: Ledger, stamp: Callable[..., dict[str, Any]]):
        self._table, self._source, self._ledger, self._stamp = table, source, ledger, stamp
        self._keys = quality_keys(ledger, table.name)
        self.nights = list(self._keys)
        self._standing: dict[dt.date, Quality] = {}
        self._facts: dict[dt.date, dict[str, Any] | None] = {}

    def __contains__(self, night: dt.date) -> bool:
        place = bisect.bisect_left(self.nights, night)
        return place < len(self.nights) and self.nights[place] == night

    def add(self, record: Quality) -> None:
        """Know of a record that was written, or that another task wrote meanwhile."""
        if record.night not in self:
            bisect.insort(self.nights, record.night)
        self._standing[record.night] = record

    def before(self, night: dt.date) -> list[Quality]:
        """Standing records of the nights before one, oldest first; no more than make a difference."""
        end = bisect.bisect_left(self.nights, night)
        window = self.nights[max(end - MOST_PAST, 0) : end]
        for known in (self._standing, self._facts):
            for gone in [one for one in known if window and one < window[0]]:
                del known[gone]
        found = []
        for one in window:
            if one not in self._standing:
                self._standing[one] = self._read(one)
            found.append(self._standing[one])
        return found

    def _read(self, night: dt.date) -> Quality:
        keys = self._keys[night]
        # In S3, to list a night costs as much as to read it.
        one = self._ledger.find(Quality, keys[0]) if len(keys) == 1 else None
        record = one or quality_of(self._ledger, self._table.name, night)
        if record is None:
            raise LedgerError(
                f"expected the record quality/{keys[0]} in {self._ledger.store.uri}, it was deleted meanwhile. Records "
                "are never deleted: restore it from a backup."
            )
        return record

    def past(self, records: list[Quality]) -> list[PastNight]:
        """What monitors learn from."""
        expected = set(self._table.quality.expected)
        return [
            PastNight(
                night=record.night,
                facts=self._facts_of(record),
                arrived=record.arrived,
                quiet=record.accepted is None and (record.quarantined or record.night in expected),
                accepted=record.accepted is not None,
            )
            for record in records
        ]

    def known_facts(self, pin: PartitionPin) -> dict[str, Any] | None:
        """Facts of a pinned night, if they were counted."""
        record = self._ledger.find(Facts, Facts.key_of(self._table.name, pin, self._scope))
        return None if record is None else record.facts

    def count(self, table: NightTable) -> dict[str, Any]:
        """Count the facts of an open night, as they will be read back."""
        spec = self._table.quality
        facts = facts_of(table, ignore=spec.ignore, time_column=self._table.time_column, sensitive=spec.sensitive)
        again: dict[str, Any] = json.loads(json.dumps(facts, allow_nan=False))
        return again

    def keep(self, pin: PartitionPin, facts: dict[str, Any]) -> Facts:
        """Write the facts of a night, unless they are known, and remember them."""
        record = Facts(
            model=self._table.name, night=pin.night, partition=pin, scope=self._scope, facts=facts, **self._stamp()
        )
        self._facts[pin.night] = facts
        return self._ledger.write(record)

    @property
    def _scope(self) -> str:
        spec = self._table.quality
        columns = [sorted(spec.ignore), sorted(spec.sensitive), self._table.time_column]
        return sha256_digest(json.dumps([FACTS_VERSION, *columns]).encode())

    def _facts_of(self, record: Quality) -> dict[str, Any] | None:
        if record.night not in self._facts:
            known = self.known_facts(record.partition)
            self._facts[record.night] = self._counted(record) if known is None else known
        return self._facts[record.night]

    def _counted(self, record: Quality) -> dict[str, Any] | None:
        unreadable = any(check.name == "readable" for check in record.faults)
        # A night that was changed since is another one: what was judged is not known any more.
        if unreadable or self._source.pin(record.night) != record.partition:
            return None
        try:
            with self._source.open(record.night) as table, database_errors(table.location):
                facts = self.count(table)
        except DataError:
            return None
        self.keep(record.partition, facts)
        return facts
