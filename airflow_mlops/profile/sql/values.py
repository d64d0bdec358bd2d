"""A column as an expression: the number, the level and the bin that the streaming engine would see."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import pyarrow as pa

from airflow_mlops.errors import DataError
from airflow_mlops.profile.kinds import LARGEST

__all__ = ["bin_of", "is_known", "is_present", "level_of", "literal", "microseconds_of", "number_of", "schema_of"]

# As in `novelty.shortened`.
_LONGEST = 120
# Engines that have one function for the microseconds since 1970 (UTC), and what they take.
_MICROSECONDS = {
    "duckdb": ("epoch_us", None),
    "pyspark": ("unix_micros", "timestamp('UTC')"),
    "databricks": ("unix_micros", "timestamp('UTC')"),
    "bigquery": ("unix_micros", "timestamp('UTC')"),
}


def schema_of(table: Any) -> pa.Schema:
    """Columns as Arrow would hold them; one that it knows no type for is of the type null within a list."""

    def arrow_type(dtype: Any) -> pa.DataType:
        try:
            return dtype.to_pyarrow()
        except (KeyError, NotImplementedError, ImportError):
            return pa.list_(pa.null())

    return pa.schema([(name, arrow_type(dtype)) for name, dtype in table.schema().items()])


def literal(number: float) -> Any:
    """A float64, exactly: engines read text to the nearest one, but a bare 0.1 as a decimal number."""
    import ibis

    return ibis.literal(repr(float(number))).cast("float64")


def number_of(column: Any, engine: str) -> Any:
    """The column as float64; a time in seconds since 1970 (UTC)."""
    kind = column.type()
    if kind.is_date() or kind.is_timestamp():
        return microseconds_of(column, engine).cast("float64") / 1e6
    return (column.cast("int32") if kind.is_boolean() else column).cast("float64")


def microseconds_of(time: Any, engine: str) -> Any:
    """Microseconds since 1970 (UTC); a time without a zone is in UTC."""
    import ibis

    if time.type().is_date():
        time = time.cast("timestamp")
    if engine in _MICROSECONDS:
        name, taken = _MICROSECONDS[engine]
        time = time.cast(taken) if taken else time
        function = ibis.udf.scalar.builtin(lambda _: None, name=name, signature=((time.type(),), "int64"))
        return function(time)
    return time.truncate("s").epoch_seconds().cast("int64") * 1_000_000 + time.microsecond().cast("int64")


def is_present(number: Any) -> Any:
    """Whether it is finite and small enough to square: to every engine but IEEE itself, NaN is the largest."""
    return number.abs() < literal(LARGEST)


def level_of(column: Any) -> Any:
    """The text that a level is told apart by.

    Raises
    ------
    DataError
        If the column holds neither text nor anything that is written as one.
    """
    kind = column.type()
    written = kind.is_uuid() or kind.is_json() or kind.is_inet() or kind.is_macaddr() or kind.is_null()
    if not (kind.is_string() or written):
        raise DataError(
            f"column {column.get_name()!r}: expected numbers, times or text, got {kind}. "
            "Leave it out of the features, or cast it in the expression."
        )
    return column.cast("string").left(_LONGEST)


def is_known(level: Any, known: Collection[str]) -> Any:
    """Whether the reference knew a level; null of a null."""
    import ibis

    return level.isin(list(known)) if known else ibis.ifelse(level.isnull(), ibis.null("boolean"), False)


def bin_of(number: Any, edges: Sequence[float]) -> Any:
    """Its bin: ``edges[i - 1] <= number < edges[i]``, by halving, so that 32 bins take five comparisons."""
    import ibis

    def between(first: int, last: int) -> Any:
        if first == last:
            return ibis.literal(first, "int32")
        middle = (first + last) // 2
        return ibis.ifelse(number < literal(edges[middle]), between(first, middle), between(middle + 1, last))

    return between(0, len(edges))
