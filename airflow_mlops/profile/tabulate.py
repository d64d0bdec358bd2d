"""From an Arrow table to its profile."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from airflow_mlops.errors import DataError
from airflow_mlops.profile.summary import Levels, Numbers, Profile

__all__ = ["edges_of", "profile_table"]

# Squares of anything larger leave float64; such a value is a fault of the data, so it counts as null.
_LARGEST = 1e150


def edges_of(table: pa.Table, columns: Sequence[str] | None = None, *, bins: int = 32) -> dict[str, tuple[float, ...]]:
    """Bins in which the reference, and whatever is compared with it, is counted.

    Parameters
    ----------
    table : pyarrow.Table
        The reference.
    columns : sequence of str, optional
        Those to look at; all by default.
    bins : int
        Bins of a numeric column, equally full in the reference. One with at most ``bins + 1`` distinct values has an
        edge at each of them, which makes distances exact.

    Returns
    -------
    dict of str to tuple of float
        Ascending edges of a numeric column; none for one that is counted by its levels.

    Raises
    ------
    DataError
        If the reference has no rows, lacks a column, has it twice, or holds a type that is neither number nor text.

    Examples
    --------
    >>> edges_of(pa.table({"season": [1, 1, 2, 4], "city": ["A", "B", "A", "A"]}))
    {'season': (1.0, 2.0, 4.0), 'city': ()}
    """
    if not table.num_rows:
        raise DataError("expected a reference with rows, got 0. Take nights that hold data.")
    edges: dict[str, tuple[float, ...]] = {}
    for name in table.column_names if columns is None else columns:
        column = _column(table, name)
        if column is None:
            raise DataError(
                f"expected the reference to have the column {name!r}, it has {', '.join(table.column_names)}. "
                "Correct the list of columns."
            )
        values = _finite(column) if _is_numeric(column.type) else np.empty(0)
        distinct = np.unique(values)
        if distinct.size > bins + 1:
            quantiles = np.linspace(0.0, 1.0, bins + 1)
            distinct = np.unique(np.quantile(values, quantiles, method="inverted_cdf"))
        edges[name] = tuple(distinct.tolist())
        if not distinct.size:
            _levels(column, name)
    return edges


def profile_table(table: pa.Table, edges: Mapping[str, Sequence[float]]) -> Profile:
    """Count a table in the bins of a reference.

    A column that the table lacks is left out; a text where the reference has numbers is no number, so a null.

    Parameters
    ----------
    table : pyarrow.Table
        One part (a night), or the whole.
    edges : mapping of str to sequence of float
        From `edges_of` the reference, or ``reference.edges``.

    Raises
    ------
    DataError
        If a column stands in the table twice, or holds a type that is neither number nor text.

    Examples
    --------
    >>> profile = profile_table(pa.table({"temp": [0.1, 0.2, 0.7, None]}), {"temp": (0.0, 0.5, 1.0)})
    >>> profile.columns["temp"].counts, profile.columns["temp"].nulls
    ((0, 2, 1, 0), 1)
    """
    columns: dict[str, Numbers | Levels] = {}
    for name, bins in edges.items():
        column = _column(table, name)
        if column is not None:
            columns[name] = _numbers(column, bins) if len(bins) else _levels(column, name)
    return Profile(rows=table.num_rows, columns=columns)


def _column(table: pa.Table, name: str) -> pa.ChunkedArray | None:
    places = table.schema.get_all_field_indices(name)
    if len(places) > 1:
        raise DataError(f"expected one column {name!r}, got {len(places)}. Give each column a name of its own.")
    return table.column(places[0]) if places else None


def _is_numeric(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_integer(kind)
        or pa.types.is_floating(kind)
        or pa.types.is_decimal(kind)
        or pa.types.is_boolean(kind)
        or pa.types.is_timestamp(kind)
        or pa.types.is_date(kind)
    )


def _finite(column: pa.ChunkedArray) -> NDArray[np.float64]:
    """The finite numbers; a time is in seconds since 1970, so that the resolution of a file does not show."""
    kind = column.type
    if not _is_numeric(kind):
        return np.empty(0)
    column = column.drop_null()
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        values = (
            column.cast(pa.timestamp("us", getattr(kind, "tz", None)), safe=False).cast(pa.int64()).to_numpy() / 1e6
        )
    else:
        if pa.types.is_boolean(kind):
            column = column.cast(pa.int8())
        values = column.cast(pa.float64(), safe=False).to_numpy()
    finite: NDArray[np.float64] = values[np.abs(values) < _LARGEST]  # NaN is not less than anything
    return finite


def _numbers(column: pa.ChunkedArray, edges: Sequence[float]) -> Numbers:
    values = _finite(column)
    places = np.searchsorted(np.asarray(edges, dtype=np.float64), values, side="right")
    return Numbers(
        edges=tuple(edges),
        counts=tuple(np.bincount(places, minlength=len(edges) + 1).tolist()),
        sums=tuple(np.bincount(places, weights=values, minlength=len(edges) + 1).tolist()),
        deviation=float(np.square(values - values.mean()).sum()) if values.size else 0.0,
        low=float(values.min()) if values.size else None,
        high=float(values.max()) if values.size else None,
        nulls=len(column) - values.size,
    )


def _levels(column: pa.ChunkedArray, name: str) -> Levels:
    try:
        text = column.cast(pa.string())
    except (pa.ArrowNotImplementedError, pa.ArrowInvalid) as error:
        raise DataError(
            f"column {name!r}: expected numbers, times or text, got {column.type}. "
            "Leave it out of the features, or flatten it into columns."
        ) from error
    counted = pc.value_counts(text.drop_null())
    counts = zip(counted.field("values").to_pylist(), counted.field("counts").to_pylist(), strict=True)
    return Levels(counts=dict(counts), nulls=text.null_count)
