"""What OpenLineage is told of a checked night."""

from __future__ import annotations

import math
import re
import warnings
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from airflow.providers.openlineage.extractors import OperatorLineage

    from airflow_mlops.records import CheckResult, Facts, Quality

__all__ = ["lineage_of"]


def lineage_of(record: Quality, facts: Facts | None) -> OperatorLineage[Any, Any]:
    """Describe a night to OpenLineage: the dataset, each check as an assertion, and its columns in numbers.

    Parameters
    ----------
    record : Quality
        The night's record.
    facts : Facts or None
        What monitors know of it.

    Raises
    ------
    MissingExtra
        If the provider of OpenLineage is not installed.
    """
    from airflow_mlops.errors import require_installed

    require_installed("openlineage", extra="lineage")
    with warnings.catch_warnings():
        # The provider imports what its own client calls deprecated.
        warnings.simplefilter("ignore", DeprecationWarning)
        from airflow.providers.openlineage.extractors import OperatorLineage
    from openlineage.client.event_v2 import InputDataset
    from openlineage.client.facet_v2 import data_quality_assertions_dataset as assertions
    from openlineage.client.facet_v2 import data_quality_metrics_input_dataset as metrics

    columns = {name: metrics.ColumnMetrics(**figures) for name, figures in _figures(facts).items()}
    namespace, name = _dataset(record.location, str(record.night))
    return OperatorLineage(
        inputs=[
            InputDataset(
                namespace=namespace,
                name=name,
                inputFacets={
                    "dataQualityAssertions": assertions.DataQualityAssertionsDatasetFacet(
                        assertions=[assertions.Assertion(**_assertion(check)) for check in record.checks]
                    ),
                    "dataQualityMetrics": metrics.DataQualityMetricsInputDatasetFacet(
                        columnMetrics=columns, rowCount=record.partition.rows
                    ),
                },
            )
        ]
    )


def _assertion(check: CheckResult) -> dict[str, Any]:
    return {
        "assertion": check.name,
        "success": check.outcome == "passed",
        "column": check.column,
        "severity": "warn" if check.policy == "warn" else "error",
        "name": f"{check.name}:{check.column}" if check.column else check.name,
        "expected": check.expected,
        "actual": check.actual,
    }


def _figures(facts: Facts | None) -> dict[str, dict[str, Any]]:
    """Column metrics of OpenLineage, from what monitors know."""
    if facts is None:
        return {}
    figures = {}
    for name, column in facts.facts["columns"].items():
        # Of a time the facts hold hours since the night began, which would be read as its values.
        bounds = {key: column.get(key) for key in ("min", "max")} if column["kind"] in ("integer", "number") else {}
        figures[name] = {
            "nullCount": column["nulls"],
            "distinctCount": column.get("distinct"),
            "count": facts.facts["rows"] - column["nulls"],
            **{key: float(value) for key, value in bounds.items() if value is not None and math.isfinite(float(value))},
        }
    return figures


def _dataset(location: str, night: str) -> tuple[str, str]:
    """Namespace and name, as OpenLineage names folders, S3 prefixes and tables of a database.

    All nights are one dataset: a part of the path that is a partition (``night=DATE``) is left out with what is below,
    in any other name ``{night}`` stands for the date.

    Examples
    --------
    >>> _dataset("s3://bucket/nights/night=2011-03-05.parquet", "2011-03-05")
    ('s3://bucket', 'nights')
    >>> _dataset("file:///srv/orders-2011-03-05.csv", "2011-03-05")
    ('file', '/srv/orders-{night}.csv')
    >>> _dataset("postgresql://db:5432/shop/public.orders", "2011-03-05")
    ('postgresql://db:5432', 'shop/public.orders')
    """
    parts = urlsplit(location)
    # Of a night that cannot be read, the location may be that of all nights.
    path = re.sub(r"/\w+=\{night\}.*", "", parts.path.replace(night, "{night}")).rstrip("/")
    if parts.scheme in ("", "file"):
        return "file", path
    return f"{parts.scheme}://{parts.netloc}", path.lstrip("/")
