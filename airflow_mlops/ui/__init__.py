"""What the provider adds to the Airflow UI: pages that show the chain of records."""

from __future__ import annotations

from airflow.plugins_manager import AirflowPlugin

__all__ = ["MLOpsPlugin"]


class MLOpsPlugin(AirflowPlugin):
    """Adds the pages below ``/mlops``."""

    name = "airflow_mlops"
