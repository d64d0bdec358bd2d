"""The rows of a night, as the numbers that a model takes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from airflow_mlops.errors import DataError

__all__ = ["Rows", "read_rows"]


class Rows(NamedTuple):
    """Features of shape (n_rows, n_features) and target of shape (n_rows,); a missing value is NaN."""

    features: npt.NDArray[np.float32]
    target: npt.NDArray[np.float64]

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
    """Read features and target of one Parquet file, rows in the order of the file.

    Raises
    ------
    DataError
        If the file cannot be read, lacks a column, or a column holds no numbers.
    """
    names = [*features, target]
    try:
        # ParquetFile, not read_table: that one also makes columns out of name=value folders on the way.
        with pq.ParquetFile(path) as file:
            if absent := sorted(set(names) - set(file.schema_arrow.names)):
                raise DataError(
                    f"{path.name}: expected the columns {', '.join(names)}, {', '.join(absent)} are missing. "
                    "Correct the night, or features and target in model.toml."
                )
            table = file.read(columns=names)
        columns = [_numbers(table.column(name), name, path) for name in names]
    except (OSError, pa.ArrowException) as error:
        raise DataError(f"{path}: expected a readable Parquet file: {error}. Deliver the night again.") from error
    # What overflows becomes infinite, and is found by whoever needs finite numbers.
    with np.errstate(over="ignore"):
        matrix = np.stack(columns[:-1], axis=1).astype(np.float32)
    return Rows(matrix, columns[-1])


def _numbers(column: pa.ChunkedArray, name: str, path: Path) -> npt.NDArray[np.float64]:
    kind = column.type
    if not (
        pa.types.is_integer(kind)
        or pa.types.is_floating(kind)
        or pa.types.is_boolean(kind)
        or pa.types.is_decimal(kind)
    ):
        raise DataError(
            f"{path.name}: expected numbers in column {name!r}, got {kind}. "
            "Encode it where the night is written, or leave it out of features in model.toml."
        )
    values: npt.NDArray[np.float64] = column.cast(pa.float64()).combine_chunks().to_numpy(zero_copy_only=False)
    return values
