"""The rows of a night, as the numbers that a model takes."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from airflow_mlops.errors import DataError

__all__ = ["Rows", "columns_present", "read_rows", "row_batches"]

# Rows that are read at once: fewer of a wide table, so that a batch stays below some 100 MB.
_MOST_ROWS, _LEAST_ROWS, _NUMBERS = 65_536, 1_024, 8_000_000

# A column's pages are read in pieces of this many bytes: a night may be one row group that is larger than memory.
_READ_BYTES = 1 << 20


class Rows(NamedTuple):
    """Rows in the order of their file.

    Attributes
    ----------
    features : numpy.ndarray of float32, shape (n_rows, n_features)
        A missing value is NaN.
    target : numpy.ndarray of float64, shape (n_rows,)
        Likewise.
    texts : mapping of str to pyarrow.StringArray, length n_rows
        Further columns, as text; a missing value is null.
    """

    features: npt.NDArray[np.float32]
    target: npt.NDArray[np.float64]
    texts: Mapping[str, pa.StringArray] = MappingProxyType({})

    def check_finite(self, path: Path, names: Sequence[str]) -> None:
        """Refuse rows that nothing can be learned from.

        Raises
        ------
        DataError
            Naming file, column and count of what is missing or infinite.
        """
        with np.errstate(over="ignore"):
            target = self.target.astype(np.float32)
        columns = dict(zip(names, (*self.features.T, target), strict=True))
        for name, values in columns.items():
            if broken := int(np.count_nonzero(~np.isfinite(values))):
                raise DataError(
                    f"{path.name}: expected a finite number in every row of column {name!r}, {broken} of "
                    f"{len(values)} are missing, NaN or too large for 32 bits. Let the contract quarantine such nights."
                )


def read_rows(path: Path, features: Sequence[str], target: str) -> Rows:
    """Read features and target of one Parquet file whole.

    Raises
    ------
    DataError
        If the file cannot be read, lacks a column, or a column holds no numbers.
    """
    batches = list(row_batches(path, features, target))
    if not batches:
        return Rows(np.empty((0, len(features)), np.float32), np.empty(0))
    return Rows(np.concatenate([rows.features for rows in batches]), np.concatenate([rows.target for rows in batches]))


def row_batches(path: Path, features: Sequence[str], target: str, texts: Sequence[str] = ()) -> Iterator[Rows]:
    """Read one Parquet file in batches: however long it is, it takes the memory of one.

    Parameters
    ----------
    path : Path
        A local file.
    features, target : sequence of str, str
        Columns of numbers.
    texts : sequence of str
        Further columns, copied as text; one that the file lacks is null in every row.

    Yields
    ------
    Rows
        Never empty.

    Raises
    ------
    DataError
        If the file cannot be read, lacks a feature or the target, or such a column holds no numbers.
    """
    names = [*features, target]
    with _parquet(path) as file:
        present = file.schema_arrow.names
        if absent := sorted(set(names) - set(present)):
            raise DataError(
                f"{path.name}: expected the columns {', '.join(names)}, {', '.join(absent)} are missing. "
                "Correct the night, or features and target in model.toml."
            )
        wanted = [*names, *(name for name in texts if name in present)]
        for name in names:
            _check_number(file.schema_arrow.field(name), path)
        size = max(_LEAST_ROWS, min(_MOST_ROWS, _NUMBERS // len(wanted)))
        for batch in file.iter_batches(size, columns=list(dict.fromkeys(wanted))):
            # What overflows becomes infinite, and is found by whoever needs finite numbers.
            with np.errstate(over="ignore"):
                matrix = np.stack([_numbers(batch.column(name)) for name in features], axis=1).astype(np.float32)
            yield Rows(
                matrix,
                _numbers(batch.column(target)),
                {name: _text(batch.column(name), name, path) if name in present else _nulls(batch) for name in texts},
            )


def columns_present(paths: Sequence[Path], names: Sequence[str]) -> tuple[str, ...]:
    """Those of the columns that at least one of the files has.

    Raises
    ------
    DataError
        If a file cannot be read.
    """
    present: set[str] = set()
    for path in paths:
        with _parquet(path) as file:
            present.update(file.schema_arrow.names)
    return tuple(name for name in names if name in present)


@contextlib.contextmanager
def _parquet(path: Path) -> Iterator[pq.ParquetFile]:
    try:
        # ParquetFile, not read_table: that one also makes columns out of name=value folders on the way. Without
        # pre_buffer, which would fetch whole row groups at once, whatever the size of the batches.
        with pq.ParquetFile(path, buffer_size=_READ_BYTES, pre_buffer=False, page_checksum_verification=True) as file:
            yield file
    except (OSError, pa.ArrowException) as error:
        raise DataError(f"{path}: expected a readable Parquet file: {error}. Deliver the night again.") from error


def _check_number(field: pa.Field, path: Path) -> None:
    kind = field.type
    if not (
        pa.types.is_integer(kind)
        or pa.types.is_floating(kind)
        or pa.types.is_boolean(kind)
        or pa.types.is_decimal(kind)
    ):
        raise DataError(
            f"{path.name}: expected numbers in column {field.name!r}, got {kind}. "
            "Encode it where the night is written, or leave it out of features in model.toml."
        )


def _numbers(column: pa.Array) -> npt.NDArray[np.float64]:
    values: npt.NDArray[np.float64] = column.cast(pa.float64()).to_numpy(zero_copy_only=False)
    return values


def _text(column: pa.Array, name: str, path: Path) -> pa.StringArray:
    if pa.types.is_floating(column.type):
        # Not a level of its own: a missing value is null in every column, whatever it is written as.
        column = pc.if_else(pc.is_nan(column), None, column)
    try:
        return column.cast(pa.string())
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise DataError(
            f"{path.name}: expected texts, numbers or times in column {name!r}, got {column.type}: {error}. "
            "Take another column into slices, cluster, strata or query in model.toml."
        ) from error


def _nulls(batch: pa.RecordBatch) -> pa.StringArray:
    return pa.nulls(batch.num_rows, pa.string())
