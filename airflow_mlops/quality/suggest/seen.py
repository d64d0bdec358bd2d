"""What was seen in a night, of all that a contract can speak of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from airflow_mlops.errors import DataError
from airflow_mlops.profile import Levels, Numbers, profile
from airflow_mlops.profile.kinds import kind_of
from airflow_mlops.profile.source import MOST_CELLS
from airflow_mlops.quality.night_sql import run
from airflow_mlops.quality.night_table import NightTable

__all__ = ["SeenColumn", "SeenNight", "seen_in"]

# A profile keeps the first 120 characters of a text: a longer one is not known whole.
_WHOLE_TEXT = 120
_PROFILED = ("integer", "number", "text", "time")
_CAN_BE_A_KEY = ("integer", "text", "time")
_POSTGRES_TYPES = (
    "SELECT attname, format_type(atttypid, NULL) FROM pg_attribute "
    "WHERE attrelid = to_regclass({}) AND attnum > 0 AND NOT attisdropped"
)


@dataclass(frozen=True)
class SeenColumn:
    """One column of one night.

    Attributes
    ----------
    type : str
        As the engine calls it, such as ``bigint``.
    kind : str
        ``integer``, ``number``, ``text``, ``time``, ``boolean``, or another word for what no range is known of.
    rows, nulls : int
        Rows, and those of them without a value, NaN among them.
    low, high : float or None
        Least and largest number; None without numbers, or with an infinity among them.
    values : dict or None
        Rows of each value, where they are few whole numbers or texts; None where they are many.
    distinct : int or None
        Number of distinct values, where it may be a key.
    """

    type: str
    kind: str
    rows: int
    nulls: int
    low: float | None = None
    high: float | None = None
    values: dict[int | str, int] | None = None
    distinct: int | None = None


@dataclass(frozen=True)
class SeenNight:
    """One night: its rows, and its columns in their order."""

    rows: int
    columns: dict[str, SeenColumn]


def seen_in(table: NightTable) -> SeenNight:
    """Look at a night, where it lies: a profile, and how many values of a column differ.

    Parameters
    ----------
    table : NightTable
        The night.

    Raises
    ------
    DataError
        If it has no rows.
    """
    types = _types_in(table)
    kinds = {name: _kind(dtype) for name, dtype in table.rows.schema().items()}
    rows, present = _counts(table.rows, {name: table.rows[name].count() for name in kinds})
    if not rows:
        raise DataError(f"expected rows to learn a contract from in {table.location}, got 0. Name a night with data.")
    keys = [name for name, kind in kinds.items() if kind in _CAN_BE_A_KEY and present[name] == rows]
    _, distinct = _counts(table.rows, {name: table.rows[name].nunique() for name in keys})
    looked_at = [name for name, kind in kinds.items() if kind in _PROFILED and present[name]]
    # A small table is quicker read than asked.
    small = 0 < rows * len(looked_at) <= MOST_CELLS
    here = table.rows.select(looked_at).to_pyarrow() if small else table.rows
    found = profile(here, columns=looked_at).columns if looked_at else {}
    return SeenNight(
        rows=rows,
        columns={
            name: SeenColumn(
                type=types.get(name, ""),
                kind=kind,
                rows=rows,
                nulls=rows - present[name],
                distinct=distinct.get(name),
                **_described(found.get(name), kind),
            )
            for name, kind in kinds.items()
        },
    )


def _types_in(table: NightTable) -> dict[str, str]:
    """Types by the names that the engine has for them, without lengths and digits."""
    name = table.name.replace("'", "''")
    asked = f"DESCRIBE {table.name}" if table.engine == "duckdb" else _POSTGRES_TYPES.format(f"'{name}'")
    return {row[0]: str(row[1]).partition("(")[0].lower() for row in run(table, asked).rows}


def _kind(dtype: Any) -> str:
    # Bytes are no text, and of other types (lists, times of day, intervals) nothing but the nulls is looked at.
    if dtype.is_string():
        return "text"
    known = dtype.is_boolean() or dtype.is_numeric() or dtype.is_timestamp() or dtype.is_date()
    return kind_of(dtype.to_pyarrow()) if known else "other"


def _counts(rows: Any, counted: dict[str, Any]) -> tuple[int, dict[str, int]]:
    # By places: the engines fold, cut or refuse odd names.
    columns = {f"c{place}": value for place, value in enumerate(counted.values())}
    [answer] = rows.aggregate(rows=rows.count(), **columns).to_pyarrow().to_pylist()
    return answer["rows"], {name: answer[f"c{place}"] for place, name in enumerate(counted)}


def _described(column: Numbers | Levels | None, kind: str) -> dict[str, Any]:
    if isinstance(column, Levels):
        seen = {level: rows for level, rows in column.counts.items() if rows}
        whole = not column.other and all(len(level) < _WHOLE_TEXT for level in seen)
        return {"values": seen if whole else None}
    if column is None or column.not_finite:
        return {}
    return {"low": column.low, "high": column.high, "values": _whole_numbers(column) if kind == "integer" else None}


def _whole_numbers(column: Numbers) -> dict[int | str, int] | None:
    """Rows of each number, if each has a bin of its own: then the mean of its bin is the edge that begins it."""
    edges = (None, *column.edges)
    filled = [one for one in zip(edges, column.counts, column.sums, strict=True) if one[1]]
    if any(edge is None or total != edge * rows for edge, rows, total in filled):
        return None
    return {int(edge): rows for edge, rows, _ in filled if edge is not None}
