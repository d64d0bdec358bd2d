"""What a column is, in words that hold for Parquet, CSV, pandas, polars and SQL alike; and its numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from airflow_mlops.errors import DataError

__all__ = ["LARGEST", "floats", "is_numeric", "kind_of", "numpy_of", "places_of", "texts"]

# Squares of anything larger leave float64; such a value is a fault of the data, so it counts as not finite.
LARGEST = 1e150

# Made of a buffer, as places_of: of a Python number pyarrow makes it only after importing pandas.
_NAN = pa.Array.from_buffers(pa.float64(), 1, [None, pa.py_buffer(np.array([np.nan]))])[0]
_NUMERIC = ("boolean", "integer", "number", "time")


def kind_of(kind: pa.DataType) -> str:
    """One word for a type: ``boolean``, ``integer``, ``number``, ``time``, ``text``, ``null``, or Arrow's own name.

    Examples
    --------
    >>> kind_of(pa.float32()), kind_of(pa.date32()), kind_of(pa.large_string()), kind_of(pa.list_(pa.int8()))
    ('number', 'time', 'text', 'list<item: int8>')
    """
    types = pa.types
    words = {
        "boolean": types.is_boolean(kind),
        "integer": types.is_integer(kind),
        "number": types.is_floating(kind) or types.is_decimal(kind),
        "time": types.is_timestamp(kind) or types.is_date(kind),
        "null": types.is_null(kind),
        "text": types.is_string(kind)
        or types.is_large_string(kind)
        or types.is_string_view(kind)
        or types.is_binary(kind)
        or types.is_large_binary(kind)
        or types.is_dictionary(kind),
    }
    return next((word for word, fits in words.items() if fits), str(kind))


def is_numeric(kind: str) -> bool:
    """Whether a kind of column is counted in bins."""
    return kind in _NUMERIC


def floats(column: pa.Array) -> NDArray[np.float64]:
    """The column as float64, NaN where it is null; a time in seconds since 1970 (UTC), whatever its resolution."""
    kind = column.type
    if pa.types.is_null(kind):
        return np.full(len(column), np.nan)
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        micros = column.cast(pa.timestamp("us", getattr(kind, "tz", None)), safe=False).cast(pa.int64())
        return floats(micros) / 1e6
    if pa.types.is_boolean(kind):
        column = column.cast(pa.uint8())
    if not pa.types.is_float64(kind):
        column = column.cast(pa.float64(), safe=False)
    if column.null_count:
        column = column.fill_null(_NAN)
    values: NDArray[np.float64] = numpy_of(column)
    return values


def numpy_of(column: pa.Array) -> NDArray[Any]:
    """Numbers without nulls, where they lie; unlike `to_numpy`, without importing pandas where that is installed."""
    return np.from_dlpack(column)


def places_of(places: NDArray[np.int64]) -> pa.Array:
    """Places to take from an array; likewise without pandas."""
    return pa.Array.from_buffers(pa.int64(), len(places), [None, pa.py_buffer(places)])


def texts(column: pa.Array, name: str) -> pa.DictionaryArray:
    """The column as a dictionary of its levels.

    Raises
    ------
    DataError
        If it holds neither text nor anything that is written as one.
    """
    try:
        if pa.types.is_dictionary(column.type):
            if pa.types.is_string(column.type.value_type) and not column.dictionary.null_count:
                return column
            column = column.dictionary_decode()
        return column.cast(pa.string()).dictionary_encode()
    except (pa.ArrowNotImplementedError, pa.ArrowInvalid) as error:
        raise DataError(
            f"column {name!r}: expected numbers, times or text, got {column.type}. "
            "Leave it out of the features, or flatten it into columns."
        ) from error
