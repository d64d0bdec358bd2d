"""What Airflow asks a provider for (entry point ``apache_airflow_provider``). Imports nothing."""

from __future__ import annotations

from typing import Any

__all__ = ["get_provider_info"]

_TEXT = {"type": ["string", "null"]}
_SECRET = {"type": ["string", "null"], "format": "password"}


def get_provider_info() -> dict[str, Any]:
    """Describe the provider: connections with their forms, and links."""
    return {
        "package-name": "airflow-provider-mlops",
        "name": "MLOps",
        "description": "Data quality, drift, training, evaluation gate and BentoML deployment: retrain on drift.",
        "integrations": [
            {
                "integration-name": "MLOps",
                "external-doc-url": "https://pypi.org/project/airflow-provider-mlops/",
                "tags": ["software"],
            }
        ],
        "connection-types": [
            {
                "connection-type": "mlflow",
                "hook-class-name": "airflow_mlops.hooks.mlflow.MlflowHook",
                "hook-name": "MLflow",
                "ui-field-behaviour": {
                    "hidden-fields": ["schema", "port"],
                    "relabeling": {"host": "Tracking address", "login": "User"},
                    "placeholders": {"host": "http://127.0.0.1:5000 or sqlite:////srv/mlflow.db"},
                },
                "conn-fields": {
                    "ui_url": {
                        "label": "Address that people open",
                        "description": "Only where it differs from the tracking address.",
                        "schema": _TEXT,
                    },
                    "token": {"label": "Token", "description": "Instead of user and password.", "schema": _SECRET},
                },
            },
            {
                "connection-type": "mlops_store",
                "hook-class-name": "airflow_mlops.hooks.store.StoreHook",
                "hook-name": "MLOps store",
                "ui-field-behaviour": {
                    "hidden-fields": ["host", "schema", "port"],
                    "relabeling": {"login": "Access key (S3)", "password": "Secret key (S3)"},
                    "placeholders": {"login": "empty: the worker's own role"},
                },
                "conn-fields": {
                    "uri": {
                        "label": "Address",
                        "description": "Where records and artefacts lie: a folder, or s3://bucket/prefix.",
                        "schema": _TEXT,
                    },
                    "endpoint_url": {
                        "label": "Endpoint (S3)",
                        "description": "For S3-compatible stores, such as http://127.0.0.1:9000.",
                        "schema": _TEXT,
                    },
                    "region": {"label": "Region (S3)", "schema": _TEXT},
                },
            },
            {
                "connection-type": "bentocloud",
                "hook-class-name": "airflow_mlops.hooks.bentocloud.BentoCloudHook",
                "hook-name": "BentoCloud",
                "ui-field-behaviour": {
                    "hidden-fields": ["schema", "port", "login", "extra"],
                    "relabeling": {"host": "Endpoint", "password": "API token"},
                    "placeholders": {"host": "https://ORGANISATION.cloud.bentoml.com"},
                },
            },
        ],
        "extra-links": [
            "airflow_mlops.links.RecordLink",
            "airflow_mlops.links.ReportLink",
            "airflow_mlops.links.MlflowRunLink",
            "airflow_mlops.links.EndpointLink",
        ],
    }
