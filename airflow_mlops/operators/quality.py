"""Stage 1: the night's data against its contract."""

from __future__ import annotations

import datetime as dt
import tempfile
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from airflow_mlops.boundary import NIGHT
from airflow_mlops.errors import ConfigError, DataError
from airflow_mlops.links import RecordLink, ReportLink
from airflow_mlops.operators.stage import StageOperator

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_mlops.ledger import Ledger
    from airflow_mlops.project import Project
    from airflow_mlops.records import PartitionPin, Quality
    from airflow_mlops.store import Store

__all__ = ["CheckQualityOperator"]


class CheckQualityOperator(StageOperator):
    """Hold a night's partition against the contract; quarantine it if it does not pass.

    The record is written either way. A night that failed never becomes training data, and what follows the task does
    not run. A corrected night is checked again and takes its place.

    Parameters
    ----------
    project : str or Path
        Folder of the model project.
    night : str
        ``YYYY-MM-DD``; the partition key of the run, or its logical date.
    backlog_nights : int
        Also check up to this many earlier nights that have data but no record: a model that starts on data which
        was there before it. A bad one among them is quarantined, and does not fail the task.
    on_failure : {"fail", "skip"}
        What a failed night does to the task.
    """

    template_fields: Collection[str] = (*StageOperator.template_fields, "night")
    operator_extra_links = (RecordLink(), ReportLink())

    def __init__(
        self,
        *,
        project: str | Path,
        night: str = NIGHT,
        backlog_nights: int = 0,
        on_failure: Literal["fail", "skip"] = "fail",
        **kwargs: Any,
    ) -> None:
        super().__init__(project=project, **kwargs)
        self.night = night
        self.backlog_nights = backlog_nights
        self.on_failure = on_failure

    def run_stage(self, context: Context) -> str:
        """Check the night, and the backlog before it."""
        from airflow_mlops.nights import parse_night, quality_by_night
        from airflow_mlops.table import nights_available

        project, ledger = self.load()
        night = parse_night(self.night)
        data = self.open_data(project)
        if self.backlog_nights:
            known = quality_by_night(ledger, project.name)
            waiting = [day for day in nights_available(data, project) if day < night and day not in known]
            for day in waiting[-self.backlog_nights :]:
                record = self._check(context, project, ledger, data, day)
                self.log.info("backlog: %s", _story(record))
        record = self._check(context, project, ledger, data, night)
        reference = self.leave(context, record, _story(record), report=True)
        if record.quarantined:
            kind = AirflowSkipException if self.on_failure == "skip" else AirflowFailException
            raise kind(_story(record))
        return reference

    def _check(self, context: Context, project: Project, ledger: Ledger, data: Store, night: dt.date) -> Quality:
        from airflow_mlops.nights import quality_of
        from airflow_mlops.quality import check_partition
        from airflow_mlops.records import Quality
        from airflow_mlops.table import locate

        with tempfile.TemporaryDirectory() as scratch:
            path = locate(data, project, night, Path(scratch))
            if path is None:
                raise DataError(
                    f"expected the night {night} at {data.uri}/{project.data_key(night)}, there is no file. "
                    "Put a PartitionSensor before this task, or run it again when the data has arrived."
                )
            if not project.contract.is_file():
                raise ConfigError(
                    f"expected a contract at {project.contract}, there is none. Write one, or name it under [quality] "
                    "in model.toml."
                )
            pin, rules_digest = _pin(path, night), _rules_digest(project)
            known = quality_of(ledger, project.name, night)
            if known is not None and (known.partition, known.rules_digest) == (pin, rules_digest):
                return known
            checks = check_partition(
                path,
                night=night,
                contract=project.contract,
                time_column=project.spec.time_column,
                target=project.spec.target,
                columns=project.columns,
            )
            record = Quality(
                model=project.name,
                night=night,
                location=f"{data.uri}/{project.data_key(night)}",
                partition=pin,
                rules_digest=rules_digest,
                checks=tuple(checks),
                replaces=known.ref if known else None,
                **self.stamp(context, known.ref if known else None),
            )
        return ledger.write(record)


def _rules_digest(project: Project) -> str:
    """Digest of what a night is held against: the contract, and the columns that the model needs."""
    from airflow_mlops.ledger import digest_of_file
    from airflow_mlops.records import sha256_digest

    rules = [digest_of_file(project.contract), project.spec.time_column, project.spec.target, *project.columns]
    return sha256_digest(" ".join(rules).encode())


def _pin(path: Path, night: dt.date) -> PartitionPin:
    from airflow_mlops.ledger import digest_of_file
    from airflow_mlops.records import PartitionPin
    from airflow_mlops.table import pin_of

    try:
        return pin_of(path, night)
    except DataError:
        # A torn file has no rows to count; its record says so, under the digest of its bytes.
        return PartitionPin(night=night, digest=digest_of_file(path), rows=0)


def _story(record: Quality) -> str:
    if record.quarantined:
        faults = "; ".join(
            f"{check.name}: expected {check.expected}, got {check.actual}" for check in record.faults[:3]
        )
        return f"{record.night} quarantined: {faults}"
    warned = f", {len(record.faults)} warned" if record.faults else ""
    return f"{record.night} passed {len(record.checks)} checks on {record.partition.rows} rows{warned}"
