"""Nothing but data quality, for teams that start here: every table of tables/tables.yml, every night.

A table needs no model, and no contract: what is usual is learned from its own past. A night that is not fit for use
turns its task red, and those of the other tables stay green. What reads a table goes by its good nights: it waits for
`QualityGateSensor(table="bike_hours")`, or is scheduled by `Asset("bike_hours/data", uri="mlops://bike_hours/data")`.

NOTIFIERS takes any notifier of Airflow's, such as

    SlackWebhookNotifier(text="{{ incident }}")
    SmtpNotifier(to="data@example.org", subject="{{ headline }}", html_content="<pre>{{ incident | e }}</pre>")
"""

import datetime as dt
from pathlib import Path
from typing import Any

from airflow.sdk import (  # type: ignore[attr-defined] # its stub leaves out some of what it has
    AssetAlias,
    BaseNotifier,
    CronPartitionTimetable,
    DeadlineAlert,
    DeadlineReference,
    SyncCallback,
    dag,
    task_group,
)

from airflow_mlops.notifications import tell
from airflow_mlops.operators.quality import CheckQualityOperator
from airflow_mlops.project.tables import read_tables
from airflow_mlops.sensors import PartitionSensor

TABLES = Path(__file__).parent / "tables" / "tables.yml"
THREE_HOURS = dt.timedelta(hours=3)

# Whom to tell of bad nights and of late ones.
NOTIFIERS: list[BaseNotifier] = []


def tell_that_it_is_late(context: dict[str, Any]) -> None:
    """Three hours on, the night of some table is not there, or not checked."""
    night = context["dag_run"]["partition_key"] or context["dag_run"]["run_id"]
    late = f"nightly_quality: {night} is late"
    tell(NOTIFIERS, context, headline=late, incident=f"{late}. The waiting and the red tasks say which table.")


@dag(
    # Each run is about the night before: it is the partition of the run, and of the events of the tables' assets.
    schedule=CronPartitionTimetable("0 6 * * *", timezone="UTC", run_offset=-1, key_format="%Y-%m-%d"),
    deadline=DeadlineAlert(
        reference=DeadlineReference.DAGRUN_QUEUED_AT,
        interval=THREE_HOURS,
        callback=SyncCallback(tell_that_it_is_late),
    ),
    default_args={"retries": 2, "retry_delay": dt.timedelta(minutes=1)},
    catchup=False,
    tags=["mlops", "example"],
)
def nightly_quality() -> None:
    """Wait for each table's night, then check it."""

    @task_group
    def one_table(table: str) -> None:
        name = "{{ task.table_name }}"
        arrived = PartitionSensor(
            task_id="await_night", table=table, timeout_seconds=2 * THREE_HOURS.total_seconds(), map_index_template=name
        )
        checked = CheckQualityOperator(
            task_id="check_quality",
            table=table,
            notifiers=NOTIFIERS,
            outlets=[AssetAlias("good_nights")],
            map_index_template=name,
        )
        arrived >> checked

    one_table.expand(table=[f"{TABLES}#{table.name}" for table in read_tables(TABLES)])


nightly_quality()
