"""One look at one night: what every night must hold, the contract, the monitors, under the table's policy."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from airflow_mlops.errors import DataError
from airflow_mlops.project.tables import TableSpec
from airflow_mlops.quality.contracts import check_contract
from airflow_mlops.quality.history import History
from airflow_mlops.quality.monitors import PastNight, judge_night
from airflow_mlops.quality.night_table import Finding, NightSource, NightTable
from airflow_mlops.quality.policy import under_policy
from airflow_mlops.quality.samples import masked, sample_of, without_values
from airflow_mlops.quality.sound import sound_night
from airflow_mlops.quality.sources.errors import database_errors
from airflow_mlops.records import CheckOrigin, CheckOutcome, CheckResult, PartitionPin

__all__ = ["Look", "look_at"]


@dataclass(frozen=True)
class Look:
    """What was seen of one night.

    Attributes
    ----------
    checks : tuple of CheckResult
        What was asked and what came of it, masked, under the policy.
    location : str
        Where the night lies.
    arrived : datetime or None
        When it was written.
    facts : dict or None
        What monitors learn from it; None without monitors.
    lacking : str or None
        Why monitors could not say all.
    notes : tuple of str
        What else there is to say.
    sample : bytes or None
        Failing rows, as JSON.
    """

    checks: tuple[CheckResult, ...]
    location: str
    arrived: dt.datetime | None = None
    facts: dict[str, Any] | None = None
    lacking: str | None = None
    notes: tuple[str, ...] = ()
    sample: bytes | None = field(default=None, repr=False)

    @property
    def faults(self) -> tuple[CheckResult, ...]:
        """The checks that did not pass."""
        return tuple(check for check in self.checks if check.outcome is not CheckOutcome.PASSED)

    @property
    def bad(self) -> bool:
        """Whether the night has to be quarantined."""
        return any(check.outcome is not CheckOutcome.WARNED for check in self.faults)


def look_at(
    table: TableSpec,
    source: NightSource,
    pin: PartitionPin,
    *,
    history: History | None = None,
    past: Sequence[PastNight] = (),
) -> Look:
    """Look at a night; one that cannot be read fails by that alone.

    Parameters
    ----------
    table : TableSpec
        What its nights must hold.
    source : NightSource
        Where they lie.
    pin : PartitionPin
        The night.
    history : History, optional
        Knows and counts facts; without it no monitor is asked.
    past : sequence of PastNight
        The nights before it, oldest first.

    Raises
    ------
    DataError
        If the night is not the pinned one any more.
    ConfigError
        If the contract cannot be evaluated.
    RemoteUnavailable
        If the disk, the store or the database does not answer.
    """
    try:
        with source.open(pin.night) as opened, database_errors(opened.location):
            return _seen(table, opened, pin, history, past)
    except DataError as error:
        # One that was exchanged or taken away since it was pinned is not what was asked for.
        if source.pin(pin.night) != pin:
            raise
        unreadable = _readable(CheckOutcome.FAILED, str(error))
        return Look(checks=_told(table, [Finding(unreadable)], ()), location=source.location)


def _seen(
    table: TableSpec, opened: NightTable, pin: PartitionPin, history: History | None, past: Sequence[PastNight]
) -> Look:
    spec, columns = table.quality, opened.schema.names
    findings = [
        Finding(_readable(CheckOutcome.PASSED, f"{pin.rows} rows, {len(columns)} columns")),
        *sound_night(opened, time_column=table.time_column, target=table.target, columns=table.columns),
    ]
    if table.contract is not None:
        findings += check_contract(opened, table.contract)
    facts, lacking, notes = None, None, list[str]()
    if history is not None:
        known = history.known_facts(pin)
        facts = history.count(opened) if known is None else known
        judged = judge_night(
            pin.night,
            facts,
            past,
            spec=spec,
            table=opened,
            arrived=opened.arrived,
            time_column=table.time_column,
        )
        findings += judged.findings
        lacking = judged.lacking
        notes = [without_values(note, columns) if spec.sensitive else note for note in judged.notes]
    checks = _told(table, findings, columns)
    under = [Finding(check, finding.failing) for check, finding in zip(checks, findings, strict=True)]
    sample, note = sample_of(under, night=pin.night, sensitive=spec.sensitive)
    if note:
        notes.append(note)
    there = {name.casefold() for name in columns}
    if absent := [name for name in spec.sensitive if name.casefold() not in there]:
        # Under another name its values would be shown.
        sample = None
        notes.append(f"no failing rows are shown: the night has no column {', '.join(absent)}, which is sensitive")
    return Look(checks, opened.location, opened.arrived, facts, lacking, tuple(notes), sample)


def _told(table: TableSpec, findings: Sequence[Finding], columns: Sequence[str]) -> tuple[CheckResult, ...]:
    spec = table.quality
    return tuple(
        masked(under_policy(finding.result, spec.policy), sensitive=spec.sensitive, columns=columns)
        for finding in findings
    )


def _readable(outcome: CheckOutcome, actual: str) -> CheckResult:
    return CheckResult(
        name="readable", outcome=outcome, expected="a complete table", actual=actual, origin=CheckOrigin.SOUND
    )
