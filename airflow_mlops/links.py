"""Buttons on a task in the Airflow UI: its record, its report, the MLflow run, the endpoint.

A link is made when the task ends, from what the operator left in ``links``; the UI reads it from an XCom and needs
none of these classes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from airflow.sdk import BaseOperatorLink

if TYPE_CHECKING:
    from airflow_mlops.records import RecordRef

__all__ = ["EndpointLink", "MlflowRunLink", "RecordLink", "ReportLink", "record_page"]


class _LeftBehind(BaseOperatorLink):
    """Shows what the operator put into ``links`` under this name; nothing where it put nothing."""

    title: ClassVar[str]

    @property
    def name(self) -> str:
        """Text on the button."""
        return self.title

    def get_link(self, operator: Any, *, ti_key: Any) -> str:
        """Address to open, or an empty one."""
        del ti_key
        return str(getattr(operator, "links", {}).get(self.title, ""))


class RecordLink(_LeftBehind):
    """To the page of the record that the task wrote."""

    title = "Record"


class ReportLink(_LeftBehind):
    """To the report behind the record: checks, features, rules."""

    title = "Report"


class MlflowRunLink(_LeftBehind):
    """To the run in MLflow."""

    title = "MLflow run"


class EndpointLink(_LeftBehind):
    """To the endpoint that serves the model."""

    title = "Endpoint"


def record_page(ref: RecordRef, *, report: bool = False) -> str:
    """Address of a record's page in the Airflow UI, below the api-server's own address."""
    from airflow.sdk.configuration import conf

    base = str(conf.get("api", "base_url", fallback="") or "").rstrip("/")
    page = f"{base}/mlops/records/{ref.kind}/{ref.key}"
    return f"{page}?view=report" if report else page
