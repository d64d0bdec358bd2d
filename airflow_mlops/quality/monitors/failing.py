"""Rows that a finding is about, fetched when somebody asks for them."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Callable, Mapping
from typing import Any

import pyarrow as pa

from airflow_mlops.quality.monitors.facts import PATTERNS
from airflow_mlops.quality.monitors.novelty import Look
from airflow_mlops.quality.night_sql import quoted, rows_repeating, rows_where
from airflow_mlops.quality.night_table import NightTable

__all__ = ["failing_rows"]

# As facts count them: {c} is the column.
_CONDITIONS = {
    "nulls": "{c} IS NULL",
    "infinite": "NOT abs({c}) < 1e150",
    "negative": "{c} < 0",
    "zero": "{c} = 0",
    "fraction": "{c} <> floor({c})",
    "whole": "{c} = floor({c})",
    "upper": "{c} = upper({c}) AND {c} <> lower({c})",
}
# Facts hold nine digits of an extreme: one that was as far out before is not farther.
_ROUNDED = 1e-8
_FARTHEST_HOURS = 24 * 365 * 5000


def failing_rows(
    table: NightTable | None, look: Look, columns: Mapping[str, Any], time_column: str | None
) -> Callable[[int], pa.Table] | None:
    """How to fetch up to so many rows that a look is about.

    Parameters
    ----------
    table : NightTable or None
        The night; it has to be open still when the rows are asked for.
    look : Look
        What was found.
    columns : mapping
        Facts of the columns, by name.
    time_column : str or None
        When a row happened.

    Returns
    -------
    callable or None
        None if rows cannot be told apart.
    """
    if table is None:
        return None
    if look.kind == "repeats":
        return rows_repeating(table, [quoted(name) for name, column in columns.items() if column["kind"] != "other"])
    name = time_column if look.kind == "outside" else look.column
    if name is None:
        return None
    column = quoted(name)
    if look.kind == "repeated":
        return rows_repeating(table, [column], f"{column} IS NOT NULL")
    if look.kind == "mixed":
        levels = columns[name]["levels"]
        foremost = max(levels, key=lambda level: (levels[level], level))
        return rows_where(table, f"CAST({column} AS varchar) <> {_text(foremost)}")
    condition = _condition(look, column, columns[name]["kind"], table)
    return None if condition is None else rows_where(table, condition)


def _condition(look: Look, column: str, kind: str, table: NightTable) -> str | None:
    if look.kind in _CONDITIONS:
        return _CONDITIONS[look.kind].format(c=column)
    if look.kind in PATTERNS:
        pattern = _text(PATTERNS[look.kind])
        return f"{column} ~ {pattern}" if table.engine == "postgres" else f"regexp_matches({column}, {pattern})"
    if look.kind == "new":
        return f"CAST({column} AS varchar) IN ({', '.join(map(_text, look.levels))})"
    if look.kind == "outside":
        time = f"CAST({column} AS timestamp)"
        return f"{time} < {_moment(table.night, 0)} OR {time} >= {_moment(table.night, 24)}"
    return _farther(look, column, kind, table)


def _farther(look: Look, column: str, kind: str, table: NightTable) -> str | None:
    """What is farther out than ever."""
    sign = ">" if look.kind in ("max", "longest") else "<"
    if kind == "text":
        return f"length({column}) {sign} {look.limit:.0f}"
    if kind == "time":
        if not abs(look.limit) < _FARTHEST_HOURS:
            return None
        return f"CAST({column} AS timestamp) {sign} {_moment(table.night, look.limit)}"
    if look.kind == "least":
        return f"abs({column}) < {(1 - _ROUNDED) * math.exp(look.limit)!r} AND {column} <> 0"
    limit = look.limit + math.copysign(_ROUNDED * abs(look.limit), 1 if sign == ">" else -1)
    return f"{column} {sign} {limit!r}"


def _moment(night: dt.date, hours: float) -> str:
    return f"TIMESTAMP '{dt.datetime.combine(night, dt.time()) + dt.timedelta(hours=hours)}'"


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"
