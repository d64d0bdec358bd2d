"""Waiting for a night: for its data, and for what its check says."""

from __future__ import annotations

import datetime as dt
import statistics
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from airflow_mlops.boundary import NIGHT
from airflow_mlops.sensors.lookout import LookoutSensor

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_mlops.triggers import LookoutTrigger

__all__ = ["PartitionSensor", "QualityGateSensor"]

_NIGHTS_REMEMBERED = 28
_FEWEST_ARRIVALS = 5
_DAY = dt.timedelta(days=1)
_LONGEST_SECONDS = 3 * 86400.0


class NightSensor(LookoutSensor):
    """Wait for something of a night of a table.

    Parameters
    ----------
    project : str or Path
        Folder of the model project.
    table : str or dict
        Instead of a project: a table of a ``tables.yml`` as ``FILE#NAME``, or what it says of one.
    night : str
        ``YYYY-MM-DD``; the partition key of the run, or its logical date.
    store_conn_id : str
        Connection of type ``mlops_store``.
    """

    template_fields: Collection[str] = ("project", "table", "night")

    def __init__(
        self,
        *,
        project: str | Path = "",
        table: Any = None,
        night: str = NIGHT,
        store_conn_id: str = "mlops_store",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.project = str(project)
        self.table = table
        self.night = night
        self.store_conn_id = store_conn_id

    @property
    def table_name(self) -> str:
        """Name of the table: ``map_index_template="{{ task.table_name }}"`` shows it on mapped tasks."""
        from airflow_mlops.hooks.tables import name_of

        return name_of(self.project, self.table)


class PartitionSensor(NightSensor):
    """Wait for a night's data; returns where it lies.

    Parameters
    ----------
    project : str or Path
        Folder of the model project.
    table : str or dict
        Instead of a project: a table of a ``tables.yml`` as ``FILE#NAME``, or what it says of one.
    night : str
        ``YYYY-MM-DD``; the partition key of the run, or its logical date.
    store_conn_id : str
        Connection with the credentials where the data lies in S3, and of the records that tell when it usually comes.
    """

    def lookout(self, **when: float) -> LookoutTrigger:
        """Look for the night's data."""
        from airflow_mlops.hooks.tables import table_of
        from airflow_mlops.nights import parse_night
        from airflow_mlops.triggers import PartitionTrigger

        return PartitionTrigger(
            table=table_of(self.project, self.table).model_dump_json(),
            night=str(parse_night(self.night)),
            store_conn_id=self.store_conn_id,
            **when,
        )

    def resume(self, context: Context, event: dict[str, Any]) -> Any:
        """End as the event says; of a night that is late, say when it usually comes."""
        if event["late"]:
            event = {**event, "error": f"{event['error']}{self._usual_arrival()}"}
        return super().resume(context, event)

    def _usual_arrival(self) -> str:
        """The usual arrival in words; empty where too little is known of it."""
        from airflow_mlops.errors import MLOpsError
        from airflow_mlops.hooks.store import StoreHook
        from airflow_mlops.nights import nights_checked, quality_of

        try:
            ledger = StoreHook(self.store_conn_id).ledger()
            nights = nights_checked(ledger, self.table_name)[-_NIGHTS_REMEMBERED:]
            records = [quality_of(ledger, self.table_name, night) for night in nights]
        except MLOpsError:
            # The night is late, whatever the store says.
            return ""
        waits = [
            (one.arrived - dt.datetime.combine(one.night, dt.time(), dt.UTC) - _DAY).total_seconds()
            for one in records
            if one is not None and one.arrived is not None
        ]
        # One that was loaded long after it was over says nothing of a night that comes day by day.
        daily = [wait for wait in waits if wait < _LONGEST_SECONDS]
        if len(daily) < _FEWEST_ARRIVALS:
            return ""
        usual = dt.timedelta(minutes=statistics.median(daily) // 60)
        return f" Of the last {len(daily)} nights, half had come {str(usual)[:-3]} h after midnight UTC."


class QualityGateSensor(NightSensor):
    """A circuit breaker for any DAG: go on if the night was checked and found good; returns the record's reference.

    A quarantined night ends the wait at once: the task fails, or skips with ``soft_fail``. A night that nobody has
    checked yet is waited for.

    Parameters
    ----------
    project : str or Path
        Folder of the model project.
    table : str
        Instead of a project: the table's name, also as ``FILE#NAME``.
    night : str
        ``YYYY-MM-DD``; the partition key of the run, or its logical date.
    store_conn_id : str
        Connection of type ``mlops_store``: where the checks leave their records.
    """

    def lookout(self, **when: float) -> LookoutTrigger:
        """Look for the night's record."""
        from airflow_mlops.nights import parse_night
        from airflow_mlops.triggers import QualityTrigger

        night = str(parse_night(self.night))
        return QualityTrigger(table=self.table_name, night=night, store_conn_id=self.store_conn_id, **when)

    def resume(self, context: Context, event: dict[str, Any]) -> str:
        """Hand on the record's reference, if the night is good."""
        found = super().resume(context, event)
        if found["quarantined"]:
            # Asking again would change nothing: a corrected night is another record.
            kind = AirflowSkipException if self.soft_fail else AirflowFailException
            raise kind(
                f"expected a good night, it is quarantined ({', '.join(found['faults'])}): {found['quality']}. Correct "
                "its data and check it again, or accept it with `airflow-mlops quality accept`."
            )
        return str(found["quality"])
