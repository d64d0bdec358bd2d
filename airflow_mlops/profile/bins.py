"""What a reference, and whatever is compared with it, is counted in."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from airflow_mlops.errors import ConfigError, DataError
from airflow_mlops.profile.counting import grid_of
from airflow_mlops.profile.frequent import MostFrequent, level_counts
from airflow_mlops.profile.kinds import LARGEST, floats, is_numeric, kind_of, places_of, texts
from airflow_mlops.profile.source import Source, Stream, open_stream
from airflow_mlops.profile.summary import Edges
from airflow_mlops.store import StoreOptions

__all__ = ["MOST_COLUMNS", "edges_of", "edges_of_stream", "wanted"]

MOST_COLUMNS = 2000
"""More are no features that a model reads, but a matrix that was written as a table."""
# Of one column, and of all of them: a profile stays small, however many columns hold however many levels.
_MOST_LEVELS, _MOST_OF_ALL, _LEAST_LEVELS = 200, 1200, 16
# 16 MiB of numbers: 70,000 rows of 30 columns place an edge within 0.2 % of the rows of where it belongs.
_SAMPLED_CELLS = 1 << 21


def edges_of(
    source: Source,
    columns: Sequence[str] | None = None,
    *,
    bins: int = 32,
    seed: int = 0,
    options: StoreOptions | None = None,
) -> Edges:
    """Bins and levels in which the reference, and whatever is compared with it, is counted.

    A reference of more than 2 million numbers is read once, and a sample of its rows decides, drawn with ``seed``.

    Parameters
    ----------
    source : path, address or table
        The reference: see `profile`.
    columns : sequence of str, optional
        Those to look at; all by default.
    bins : int
        Bins of a numeric column, equally full in the reference. One with at most ``bins + 1`` distinct values has an
        edge at each of them, which makes distances exact.
    seed : int
        Of the sample.
    options : StoreOptions, optional
        For ``s3://``.

    Returns
    -------
    dict of str to tuple
        Ascending edges of a numeric column; of another one its most frequent levels in that order, up to 200
        (of more than six such columns fewer: 1,200 in all). Nothing for a column of nulls.

    Raises
    ------
    DataError
        If the reference has no rows, lacks a column, has it twice, or holds a type that is neither number nor text.
    ConfigError
        If it is a stream that can be read only once, or there are more than 2,000 columns to look at.

    Examples
    --------
    >>> edges_of(pa.table({"season": [1, 1, 2, 4], "city": ["A", "B", "A", "A"]}))
    {'season': (1.0, 2.0, 4.0), 'city': ('A', 'B')}
    """
    with open_stream(source, options=options) as stream:
        return edges_of_stream(stream, columns, bins=bins, seed=seed)


def edges_of_stream(stream: Stream, columns: Sequence[str] | None, *, bins: int = 32, seed: int = 0) -> Edges:
    """`edges_of` a table that is open already."""
    if not stream.again:
        raise ConfigError(
            "expected a reference that can be read again, got a stream that is gone once its bins are known. "
            "Hand over the table, or the edges of a reference."
        )
    names = wanted(stream.schema, columns)
    numbers = [name for name in names if is_numeric(kind_of(stream.schema.field(name).type))]
    levels = {name: MostFrequent() for name in names if name not in set(numbers)}
    rows = 0

    def counted() -> Iterator[pa.RecordBatch]:
        """Text is counted as it comes: a sample of it might not fit into memory."""
        nonlocal rows
        for batch in stream.batches(names):
            rows += batch.num_rows
            for name, frequent in levels.items():
                frequent.add(level_counts(texts(batch.column(name), name)))
            if numbers:
                yield batch.select(numbers)

    most = max(_LEAST_LEVELS, min(_MOST_LEVELS, _MOST_OF_ALL // max(len(levels), 1)))
    sample = _sample(counted(), stream.rows, len(numbers), np.random.default_rng(seed))
    if not rows:
        raise DataError("expected a reference with rows, got 0. Take nights that hold data.")
    return {
        name: levels[name].first(most) if name in levels else _edges([part.column(name) for part in sample], bins)
        for name in names
    }


def wanted(schema: pa.Schema, columns: Sequence[str] | None) -> list[str]:
    """Columns to look at.

    Raises
    ------
    DataError
        If the table does not have one of them.
    ConfigError
        If there are too many.
    """
    names = list(schema.names if columns is None else dict.fromkeys(columns))
    absent = [name for name in names if schema.get_field_index(name) < 0]
    if absent:
        raise DataError(
            f"expected the reference to have the column {absent[0]!r}, it has {_listed(schema.names)}. "
            "Correct the list of columns."
        )
    if len(names) > MOST_COLUMNS:
        raise ConfigError(
            f"expected at most {MOST_COLUMNS:,} columns to look at, got {len(names):,}. Name those that the model "
            "reads; of a vector, profile its embedding."
        )
    return names


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(names[:20])
    return f"{shown} and {len(names) - 20} more" if len(names) > 20 else shown  # noqa: PLR2004 - fits an error


def _sample(
    batches: Iterator[pa.RecordBatch], rows: int | None, columns: int, rng: np.random.Generator
) -> list[pa.RecordBatch]:
    """Every row with a share of luck that keeps the sample small, halved as it grows where ``rows`` are not known."""
    most = _SAMPLED_CELLS // max(columns, 1)
    if rows is not None and rows <= most:
        return list(batches)
    share = most / rows if rows else 1.0
    kept: list[tuple[pa.RecordBatch, NDArray[np.float64]]] = []
    size = 0
    for batch in batches:
        kept.append(_lucky(batch, rng.random(batch.num_rows), share))
        size += kept[-1][0].num_rows
        while size > 2 * most:
            share /= 2
            kept = [_lucky(part, chance, share) for part, chance in kept]
            size = sum(part.num_rows for part, _ in kept)
    return [part for part, _ in kept]


def _lucky(
    batch: pa.RecordBatch, luck: NDArray[np.float64], share: float
) -> tuple[pa.RecordBatch, NDArray[np.float64]]:
    lucky = luck < share
    return batch.take(places_of(np.flatnonzero(lucky))), luck[lucky]


def _edges(parts: Sequence[pa.Array], bins: int) -> tuple[float, ...]:
    values = np.concatenate([floats(part) for part in parts])
    values = np.sort(values[np.abs(values) < LARGEST])
    distinct = np.unique(values)
    if distinct.size > bins + 1:
        # Inverted cdf: the first value that has such a share of all at or below it.
        places = np.ceil(np.linspace(0.0, 1.0, bins + 1) * values.size).astype(np.intp) - 1
        distinct = np.unique(values[np.maximum(places, 0)])
    return _on_a_grid(distinct + 0.0)  # no negative zero


def _on_a_grid(edges: NDArray[np.float64]) -> tuple[float, ...]:
    """Edges moved down, by less than an eighth of a bin, to multiples of a power of two: there counting is fast."""
    widths = np.diff(edges[1:-1])
    if not widths.size:
        return tuple(edges.tolist())
    step = 2.0 ** np.floor(np.log2(widths.min() / 8))
    with np.errstate(over="ignore"):  # beside edges that lie as near as floats can, the others have no number
        moved = np.floor(edges / step) * step
    if not np.isfinite(moved).all():
        return tuple(edges.tolist())
    return tuple((moved if grid_of(moved.tolist()) else edges).tolist())
