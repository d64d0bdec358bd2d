"""The rows of a night that do not hold, by the SQL that Soda counted them with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pyarrow as pa

from airflow_mlops.quality.night_sql import quoted, rows_repeating, rows_where
from airflow_mlops.quality.night_table import NightTable

__all__ = ["failing_rows"]

# Where a check keeps the condition of the rows that it counts.
_COUNTING = {
    "missing": "missing_count_metric_impl",
    "invalid": "invalid_count_metric_impl",
    "failed_rows": "failed_rows_count_metric_impl",
}


def failing_rows(table: NightTable, check: Any) -> Callable[[int], pa.Table] | None:
    """Find the rows of a night that do not hold.

    Parameters
    ----------
    table : NightTable
        The night.
    check : soda_core CheckImpl
        A check of it.

    Returns
    -------
    callable or None
        As ``night_sql.rows_where`` gives it. None where rows cannot be told apart, are compared with another table,
        or come from a query of the contract's own, whose columns may have new names that hide a sensitive one.
    """
    dialect = check.contract_impl.data_source_impl.sql_dialect
    of_contract = check.contract_impl.filter
    if check.type == "duplicate":
        return _repeating(table, check, dialect, of_contract)
    condition = getattr(getattr(check, _COUNTING.get(check.type, ""), None), "sql_condition_expression", lambda: None)()
    if condition is None:
        return None
    return rows_where(table, _both(of_contract, dialect.build_expression_sql(condition)) or "")


def _repeating(table: NightTable, check: Any, dialect: Any, of_contract: str | None) -> Callable[[int], pa.Table]:
    looked_at = _both(of_contract, check.check_yaml.filter)
    if check.column_impl is None:
        return rows_repeating(table, [quoted(column) for column in check.check_yaml.columns], looked_at)
    column = check.column_expression
    # A missing value repeats nothing.
    present = f"NOT ({dialect.build_expression_sql(check.missing_and_validity.is_missing_expr(column))})"
    return rows_repeating(table, [dialect.build_expression_sql(column)], _both(looked_at, present))


def _both(first: str | None, second: str | None) -> str | None:
    return " AND ".join(f"({condition})" for condition in (first, second) if condition) or None
