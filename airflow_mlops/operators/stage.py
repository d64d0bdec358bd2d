"""What the operators of all stages share: the project, the ledger, the links."""

from __future__ import annotations

import datetime as dt
from abc import abstractmethod
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow.sdk import Asset, BaseOperator

from airflow_mlops.assets import is_of_loop
from airflow_mlops.boundary import airflow_errors
from airflow_mlops.links import record_page

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_mlops.ledger import Ledger
    from airflow_mlops.project import Project
    from airflow_mlops.records import Record, RecordRef
    from airflow_mlops.store import Store

__all__ = ["StageOperator", "asset_references"]


class StageOperator(BaseOperator):
    """A stage of the loop.

    Parameters
    ----------
    project : str or Path
        Folder of the model project (the one with ``model.toml``).
    store_conn_id : str
        Connection of type ``mlops_store``.
    """

    template_fields: Collection[str] = ("project",)
    ui_color: str = "#dbe9f4"

    def __init__(self, *, project: str | Path, store_conn_id: str = "mlops_store", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.project = str(project)
        self.store_conn_id = store_conn_id
        self.links: dict[str, str] = {}

    @abstractmethod
    def run_stage(self, context: Context) -> str | None:
        """Do the stage's work; what it returns is the task's XCom."""

    @airflow_errors
    def execute(self, context: Context) -> str | None:
        """Run the stage; errors of ours become Airflow's."""
        return self.run_stage(context)

    def load(self) -> tuple[Project, Ledger]:
        """Read the project and open the ledger."""
        from airflow_mlops.hooks.store import StoreHook
        from airflow_mlops.project import load_project

        return load_project(self.project), StoreHook(self.store_conn_id).ledger()

    def open_data(self, project: Project) -> Store:
        """Open the place where the project's nights lie."""
        from airflow_mlops.hooks.store import StoreHook
        from airflow_mlops.store import open_store

        if project.data_root.startswith("s3://"):
            return StoreHook(self.store_conn_id).open(project.data_root)
        return open_store(project.data_root)

    def stamp(self, context: Context, *rests_on: RecordRef | None) -> dict[str, Any]:
        """Fields that every record has: when, in which DAG run, resting on what."""
        run = context["dag_run"]
        return {
            "recorded_at": dt.datetime.now(dt.UTC),
            "dag_run": f"{run.dag_id}/{run.run_id}",
            "rests_on": tuple(ref for ref in rests_on if ref is not None),
        }

    def leave(
        self, context: Context, record: Record, story: str, *, report: bool = False, night: dt.date | None = None
    ) -> str:
        """Link the task to its record, tell the story, hand the reference on in the asset events.

        ``night`` is what the record is about, where the record does not say it itself.
        """
        ref = record.ref
        self.links["Record"] = record_page(ref)
        if report:
            self.links["Report"] = record_page(ref, report=True)
        self.tell(context, story)
        night = night or getattr(record, "night", None)
        for asset in self.outlets:
            if isinstance(asset, Asset):
                event = context["outlet_events"][asset]
                event.extra = {ref.kind: str(ref), "story": story}
                # A run started by hand may have no partition, and an event without one wakes no DAG of the loop. An
                # asset of the user's own is left alone: with a partition it would wake no plain `schedule=[asset]`.
                if night and is_of_loop(asset) and not context["dag_run"].partition_key:
                    event.add_partitions(night.isoformat())
        return str(ref)

    def tell(self, context: Context, story: str) -> None:
        """Say in one line what happened: in the log, and as the XCom ``story`` that the pages show."""
        self.log.info("%s", story)
        context["ti"].xcom_push(key="story", value=story)


def asset_references(context: Context, kind: str) -> Sequence[str]:
    """References of one kind in all asset events that started this run, oldest first.

    Several events can fold into one run, so all are read.
    """
    events = [event for group in (context.get("triggering_asset_events") or {}).values() for event in group]
    events.sort(key=lambda event: event.timestamp)
    return [str(event.extra[kind]) for event in events if kind in (event.extra or {})]
