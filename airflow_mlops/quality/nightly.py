"""The chain of checked nights: each by its contract and by all nights before it, whatever the order of asking."""

from __future__ import annotations

import datetime as dt
import json
import logging
import time
from collections.abc import Callable, Sequence
from functools import cached_property, partial
from typing import Any, NamedTuple

from airflow_mlops.errors import ConfigError, DataError
from airflow_mlops.ledger import Ledger, digest_of_file
from airflow_mlops.nights import quality_of
from airflow_mlops.project.tables import TableSpec
from airflow_mlops.quality.contracts import contract_faults
from airflow_mlops.quality.history import History
from airflow_mlops.quality.incident import (
    affected_models,
    carried_on,
    ended_by_correction,
    trained_meanwhile,
    trainings_on,
    what_came_before,
)
from airflow_mlops.quality.keeping import keep_night
from airflow_mlops.quality.look import look_at
from airflow_mlops.quality.monitors import FACTS_VERSION, PastNight
from airflow_mlops.quality.night_table import NightSource
from airflow_mlops.records import CheckResult, PartitionPin, Quality, QualityIncident, RecordRef, sha256_digest

__all__ = ["NightlyChecks"]

_log = logging.getLogger(__name__)
_TOLD_EVERY = 20
# A task that is slower than another at the same nights waits as long as up to so many nights took it.
_MOST_PATIENCE = 16
_LONGEST_PAUSE_SECONDS = 30.0


class _Asked(NamedTuple):
    """A night that is to be checked, and what stands in its place."""

    pin: PartitionPin
    rules: str
    replaced: Quality | None


class _Recorded(NamedTuple):
    """The record that stands, and whether another task wrote it while this one was at work on it."""

    quality: Quality
    by_another: bool


class NightlyChecks:
    """Checks the nights of a table, one record each.

    Whatever the order in which nights are asked for, and by how many processes at once, their records are those of a
    run that asks for one after another: before a night, all nights before it that have data and no record are checked
    and recorded, oldest first. A record says what was known when it was written: a night that is corrected or accepted
    later leaves those after it as they are.

    Parameters
    ----------
    table : TableSpec
        The table, and what its nights must hold.
    source : NightSource
        Where they lie.
    ledger : Ledger
        Where records are kept, under ``table.name``.
    stamp : callable
        Gives the fields that every record has (``recorded_at``, ``rests_on``, ``dag_run``), given what it rests on.
    """

    def __init__(
        self, table: TableSpec, source: NightSource, ledger: Ledger, stamp: Callable[..., dict[str, Any]]
    ) -> None:
        self._table, self._source, self._ledger, self._stamp = table, source, ledger, stamp

    def check(self, night: dt.date) -> Quality:
        """Check a night, and before it those that nobody has checked.

        A night that was checked as it is now, by the same rules, is not checked again. One whose data or rules changed
        is, and the new record takes the place of the old one.

        Parameters
        ----------
        night : date
            UTC.

        Returns
        -------
        Quality
            The record that stands.

        Raises
        ------
        DataError
            If the night has no data: nothing is recorded.
        ConfigError
            If the contract cannot be evaluated, or the night lies before ``since``.
        RemoteUnavailable
            If the disk, the store or the database does not answer. Nothing is recorded of the night that was at work.
        """
        spec = self._table.quality
        if spec.since is not None and night < spec.since:
            raise ConfigError(
                f"expected a night of {self._table.name} since {spec.since}, got {night}. Ask for a later one, or move "
                "'since' under quality."
            )
        rules = self._contract_digest
        pin = self._source.pin(night)
        if pin is None:
            raise DataError(
                f"expected the night {night} of {self._table.name} at {self._source.location}, there is no data. "
                "Put a PartitionSensor before this task, or run it again when the data has arrived."
            )
        known = quality_of(self._ledger, self._table.name, night)
        asked = _Asked(pin, self._rules_digest(night, rules), known)
        if known is not None and (known.partition, known.rules_digest) == asked[:2]:
            return known
        history = History(self._table, self._source, self._ledger, self._stamp)
        self._catch_up(night, history, rules)
        return self._record(asked, history).quality

    def _catch_up(self, night: dt.date, history: History, contract: str) -> None:
        since = self._table.quality.since
        available = [one for one in self._source.nights() if one < night and (since is None or one >= since)]
        waiting = [one for one in available if one not in history]
        patience = 1
        for count, one in enumerate(waiting):
            if count % _TOLD_EVERY == 0:
                _log.info("%s: %d nights before %s to be checked first", self._table.name, len(waiting) - count, night)
            # It may have been taken away since.
            if (pin := self._source.pin(one)) is None:
                continue
            began = time.monotonic()
            if self._record(_Asked(pin, self._rules_digest(one, contract), None), history).by_another:
                # Another task is at the same nights, and was faster: it does them, and this one reads what it wrote.
                time.sleep(min(patience * (time.monotonic() - began), _LONGEST_PAUSE_SECONDS))
                patience = min(2 * patience, _MOST_PATIENCE)

    def _record(self, asked: _Asked, history: History) -> _Recorded:
        """Record of a night: the one that is there, or that this call makes."""
        name, (pin, rules, replaced) = self._table.name, asked
        reference = replaced.ref if replaced else None
        record = self._ledger.find(Quality, Quality.key_of(name, pin, rules, reference))
        by_another = False
        if record is None:
            made = self._checked(asked, history)
            record = self._ledger.write(made)
            by_another = record != made
        history.add(record)
        return _Recorded(record, by_another)

    def _checked(self, asked: _Asked, history: History) -> Quality:
        pin, rules, replaced = asked
        night, spec = pin.night, self._table.quality
        records = history.before(night)
        past = history.past(records) if spec.monitors else []
        look = look_at(self._table, self._source, pin, history=history if spec.monitors else None, past=past)
        digests = {pin.digest, *(record.partition.digest for record in [*records, *([replaced] if replaced else [])])}
        trainings = partial(trainings_on, self._ledger, self._table.name, digests)

        def in_context(incident: QualityIncident) -> QualityIncident:
            before = what_came_before(
                incident.began,
                records,
                partition=pin,
                rules_digest=rules,
                arrived=look.arrived,
                checks=look.checks,
            )
            models = affected_models(self._ledger, trainings())
            return incident.model_copy(update={"before": before, "models": models})

        accepted = _still_accepted(replaced, pin, look.faults)
        incident, notice = carried_on(
            records[-1].incident if records else None,
            night,
            () if accepted else look.faults,
            unknown=accepted is not None or (spec.monitors and night in spec.expected),
            context=in_context,
        )
        # What the bad data began is over when it is corrected; later nights have gone on with it in their own records.
        if replaced is not None and not look.faults and history.nights[-1] <= night:
            incident, notice = ended_by_correction(replaced) or (incident, notice)
        kept, lacks = keep_night(self._ledger, self._source, pin) if look.bad else (None, "")
        facts = history.keep(pin, look.facts) if look.facts is not None else None
        rests_on = [ref for ref in (replaced and replaced.ref, facts and facts.ref, accepted) if ref is not None]
        return Quality(
            model=self._table.name,
            night=night,
            location=look.location,
            partition=pin,
            rules_digest=rules,
            checks=look.checks,
            replaces=replaced.ref if replaced else None,
            accepted=accepted,
            arrived=look.arrived,
            past=_past_digest(records, past) if spec.monitors else None,
            lacking=look.lacking,
            notes=tuple(note for note in (*look.notes, lacks) if note),
            incident=incident,
            notice=notice,
            sample=None if look.sample is None else self._ledger.put_blob(look.sample),
            kept=kept,
            trained_meanwhile=trained_meanwhile(trainings(), replaced, pin) if replaced else (),
            **self._stamp(*rests_on),
        )

    @cached_property
    def _contract_digest(self) -> str:
        contract = self._table.contract
        if contract is None:
            return "-"
        # First, for a contract that cannot be used is a fault of the project and no reason to quarantine a night.
        if faults := contract_faults(contract):
            raise ConfigError("\n".join(["expected a contract that can be evaluated:", *faults]))
        return digest_of_file(contract)

    def _rules_digest(self, night: dt.date, contract: str) -> str:
        """Digest of what a night is held against; other settings, such as ``since``, make no other record."""
        spec = self._table.quality
        rules: dict[str, Any] = {
            "contract": contract,
            "columns": self._table.columns,
            "time_column": self._table.time_column,
            "target": self._table.target,
            "policy": dict(sorted(spec.policy.items())),
            "sensitive": sorted(spec.sensitive),
        }
        if spec.monitors:
            rules |= {
                "facts": FACTS_VERSION,
                "false_alarms_per_year": spec.false_alarms_per_year,
                "ignore": sorted(spec.ignore),
                "expected": night in spec.expected,
            }
        return sha256_digest(json.dumps(rules, sort_keys=True).encode())


def _still_accepted(replaced: Quality | None, pin: PartitionPin, faults: Sequence[CheckResult]) -> RecordRef | None:
    """What a person said of this very data holds under other rules as well, unless these find more."""
    if replaced is None or replaced.accepted is None or replaced.partition != pin:
        return None
    known = {check.label for check in replaced.faults}
    return replaced.accepted if all(check.label in known for check in faults) else None


def _past_digest(records: Sequence[Quality], past: Sequence[PastNight]) -> str:
    judged_by = [
        [record.partition.digest, str(one.night), str(one.arrived), one.quiet, one.accepted, one.facts is not None]
        for record, one in zip(records, past, strict=True)
    ]
    return sha256_digest(json.dumps(judged_by).encode())
