"""The rows of a night that do not hold, where an expectation speaks of one column's values, or of those that repeat.

Great Expectations tells its own queries only as a text in which no value is quoted as SQL wants it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pyarrow as pa

from airflow_mlops.quality.contracts.expectations.suite import Written, columns_named
from airflow_mlops.quality.contracts.expectations.wording import name_of
from airflow_mlops.quality.night_sql import quoted, rows_of, rows_repeating, rows_where, run
from airflow_mlops.quality.night_table import NightTable

__all__ = ["failing_rows", "repeats"]


def failing_rows(table: NightTable, written: Written) -> Callable[[int], pa.Table] | None:
    """Find the rows of a night that do not hold.

    Parameters
    ----------
    table : NightTable
        The night.
    written : Written
        An expectation that failed, of a column that is there.

    Returns
    -------
    callable or None
        As ``night_sql.rows_where`` gives it. None where rows cannot be told apart, only some are looked at, or a query
        of the suite's own gives columns new names, which may hide a sensitive one.
    """
    if written.kwargs.get("row_condition"):
        return None
    if name_of(written) == "duplicate":
        keys = _keys(written)
        return rows_repeating(table, keys, _present(keys))
    if name_of(written) not in ("missing", "invalid"):
        return None
    return rows_where(table, _condition(table, written))


def repeats(table: NightTable, written: Written) -> int:
    """Count rows as Soda does, and people: of those that have the same values all but the first."""
    keys = _keys(written)
    night = f"{rows_of(table)} WHERE {_present(keys)}"
    counting = f"SELECT count(*) - count(DISTINCT ({', '.join(keys)})) FROM {night}"  # noqa: S608 - quoted names
    ((counted,),) = run(table, counting).rows
    return int(counted)


def _condition(table: NightTable, written: Written) -> str:
    import sqlalchemy as sa

    from airflow_mlops.quality.contracts.expectations import dialect

    column: Any = sa.column(sa.quoted_name(written.kwargs["column"], quote=True))
    kwargs, kind = written.kwargs, written.type.removeprefix("expect_column_")
    value = sa.func.length(column) if "lengths" in kind else column
    conditions: dict[str, Callable[[], Any]] = {
        "values_to_not_be_null": lambda: column.is_(None),
        "values_to_be_in_set": lambda: column.not_in(_known(kwargs)),
        "values_to_not_be_in_set": lambda: column.in_(_known(kwargs)),
        "values_to_match_regex": lambda: sa.not_(column.op("~", is_comparison=True)(kwargs["regex"])),
        "values_to_not_match_regex": lambda: column.op("~", is_comparison=True)(kwargs["regex"]),
        "value_lengths_to_equal": lambda: value != kwargs["value"],
    }
    condition = conditions.get(kind, lambda: sa.or_(*_beyond(value, kwargs)))()
    engine = dialect.DuckDBNight if table.engine == "duckdb" else dialect.PostgresNight
    # With question marks for parameters, of which there are none, a percent sign is one.
    written_out = condition.compile(dialect=engine(paramstyle="qmark"), compile_kwargs={"literal_binds": True})
    return str(written_out)


def _beyond(value: Any, kwargs: dict[str, Any]) -> list[Any]:
    low, high = kwargs.get("min_value"), kwargs.get("max_value")
    found = []
    if low is not None:
        found.append(value <= low if kwargs.get("strict_min") else value < low)
    if high is not None:
        found.append(value >= high if kwargs.get("strict_max") else value > high)
    return found


def _known(kwargs: dict[str, Any]) -> list[Any]:
    return [value for value in kwargs["value_set"] if value is not None]


def _keys(written: Written) -> list[str]:
    return [quoted(column) for column in columns_named(written)]


def _present(keys: Sequence[str]) -> str:
    return " AND ".join(f"{key} IS NOT NULL" for key in keys)
