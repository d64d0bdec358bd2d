"""A file of truth or of predictions (Parquet or CSV): its columns as arrays, or what is wrong with them, as a clause.

The clauses go on where a subject ends: "the challenger's predictions" ... "hold no row".
"""

from __future__ import annotations

import errno
from collections import Counter
from collections.abc import Collection, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq

from airflow_mlops.gate.rows import Floats, Texts

__all__ = ["PROBABILITY", "PredictionFile", "Unfit", "UnreadableFile", "read_file", "some", "words"]

PROBABILITY = "p_"
_MISSING = "(missing)"
# An error that lists every bad row of a large set helps nobody.
_SHOWN = 3
# Far from the unit of anything, and far enough below where squares and their sums overflow.
_LARGEST = 1e75
_NO_FILE = {errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EACCES, errno.ENAMETOOLONG, errno.ELOOP}


class Unfit(Exception):
    """What is wrong with a file that could be read: one clause."""


class UnreadableFile(Unfit):
    """There is no such file, or it is neither Parquet nor CSV."""


class PredictionFile:
    """Columns of a file, and the names of its rows: text, unique, without gaps.

    Parameters
    ----------
    table : pyarrow.Table
        With the column ``row_id``.
    text : bool
        Whether numbers are written as text, as in CSV.
    probabilities : sequence of str
        Its columns ``p_<class>``.

    Raises
    ------
    Unfit
        If there is no row, or it is not plain which row is which. So do the methods if a column is not what it
        should be.
    """

    def __init__(self, table: pa.Table, *, text: bool, probabilities: Sequence[str] = ()) -> None:
        if not table.num_rows:
            raise Unfit("hold no row")
        self._table, self._text = table, text
        self.probabilities = tuple(probabilities)
        self.row_id = self.texts("row_id")
        if self.row_id.null_count:
            raise Unfit(f"have no row_id in {self.row_id.null_count} rows")
        counted = pc.value_counts(self.row_id)
        if len(counted) < len(self.row_id):
            twice = counted.filter(pc.greater(counted.field("counts"), 1)).field("values")
            raise Unfit(f"name rows twice: {some(twice)}")

    @property
    def names(self) -> list[str]:
        """Columns that were asked for and are there."""
        return list(self._table.column_names)

    def texts(self, name: str) -> pa.Array:
        """Any plain column as text: a number without its idle zeros, NaN as null, True as ``true``."""
        column = self._column(name)
        try:
            if pa.types.is_floating(column.type):
                column = _whole(pc.if_else(pc.is_nan(column), None, column))
            column = pc.cast(column, pa.string())
        except pa.ArrowException as error:
            raise Unfit(f"hold {column.type} in {name}, which is no text") from error
        # Most columns hold none, and to look for it is ten times as quick as to replace it.
        idle = pc.any(pc.match_substring(column, ".0")).as_py()
        return pc.replace_substring_regex(column, r"^(-?\d+)\.0+$", r"\1") if idle else column

    def labels(self, name: str) -> pa.Array:
        """Names of classes; ``True`` and ``true`` are one."""
        named = self.texts(name)
        self._refuse(name, pc.is_null(named), "have no value in")
        lower = pc.utf8_lower(named)
        return pc.if_else(pc.is_in(lower, pa.array(["true", "false"])), lower, named)

    def numbers(self, name: str) -> Floats:
        """A column of numbers whose squares are finite."""
        column = self._column(name)
        kind = column.type
        if not (self._text or pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)):
            raise Unfit(f"hold {kind} in {name}, where numbers are expected")
        self._refuse(name, pc.is_null(column), "have no value in")
        try:
            # Not safe: a whole number beyond 2**53 becomes the nearest float, as everywhere.
            plain = pc.utf8_trim_whitespace(column) if self._text else column
            values: Floats = pc.cast(plain, pa.float64(), safe=False).to_numpy(zero_copy_only=False)
        except pa.ArrowException as error:
            raise Unfit(f"hold no number in {name}: {_first_line(error)}") from error
        # A comparison with NaN is false.
        self._refuse(name, pa.array(~(np.abs(values) <= _LARGEST)), "are NaN, infinite or beyond 1e75 in")
        return values

    def _refuse(self, name: str, bad: pa.Array, clause: str) -> None:
        rows = self.row_id.filter(bad)
        if len(rows):
            raise Unfit(f"{clause} {name} for rows {some(rows)}")

    def _column(self, name: str) -> pa.Array:
        column = self._table[name]
        if pa.types.is_dictionary(column.type):
            column = pc.cast(column, column.type.value_type)
        return column.combine_chunks()


def read_file(path: Path, names: Collection[str], *, required: Sequence[str], probabilities: bool) -> PredictionFile:
    """Read some columns of a file.

    Parameters
    ----------
    path : Path
        Parquet; CSV if its name says so (``.csv``, ``.csv.gz``).
    names : collection of str
        Columns that are read where they are there.
    required : sequence of str
        Those that must be there.
    probabilities : bool
        Read every ``p_<class>`` too; a column of ``names`` is none.

    Raises
    ------
    UnreadableFile
        If it is not there, or of no known format.
    Unfit
        If it holds no row, lacks a column, or does not say which row is which.
    """
    text = ".csv" in path.suffixes[-2:]

    def chosen(there: list[str]) -> list[str]:
        if absent := [name for name in required if name not in there]:
            raise Unfit(f"lack the column {', '.join(absent)}")
        found = [name for name in there if name in names or (probabilities and name.startswith(PROBABILITY))]
        if twice := [name for name, count in Counter(found).items() if count > 1]:
            raise Unfit(f"hold the column {', '.join(twice)} twice")
        return found

    try:
        if text:
            with pa.csv.open_csv(path) as stream:
                there = chosen(stream.schema.names)
            # As text, so that a row or a region called 007 stays one.
            table = pa.csv.read_csv(
                path,
                convert_options=pa.csv.ConvertOptions(
                    column_types=dict.fromkeys(there, pa.string()),
                    include_columns=there,
                    null_values=[""],
                    strings_can_be_null=True,
                ),
            )
        else:
            # ParquetFile, not read_table: a folder name such as night=2011-03-05 is no column.
            with pq.ParquetFile(path) as file:
                table = file.read(columns=chosen(file.schema_arrow.names))
    except pa.ArrowException as error:
        raise UnreadableFile(f"cannot be read: {_first_line(error)}") from error
    except OSError as error:
        # Arrow reports a damaged page as an OSError without a number; a failing disk has one, and a retry can help.
        if error.errno is not None and error.errno not in _NO_FILE:
            raise
        missing = isinstance(error, FileNotFoundError)
        raise UnreadableFile("are missing" if missing else f"cannot be read: {_first_line(error)}") from error
    return PredictionFile(table, text=text, probabilities=[name for name in table.column_names if name not in names])


def words(column: pa.Array) -> Texts:
    """Text as numpy holds it; few values of many rows are laid out once."""
    encoded = pc.dictionary_encode(pc.fill_null(column, _MISSING))
    known = np.array(encoded.dictionary.to_pylist(), dtype=np.str_)
    indices: npt.NDArray[np.int32] = encoded.indices.to_numpy()
    return known[indices]


def some(rows: pa.Array) -> str:
    """The first few names, and how many more there are."""
    shown = ", ".join(str(row) for row in rows[:_SHOWN].to_pylist())
    return f"{shown} and {len(rows) - _SHOWN} more" if len(rows) > _SHOWN else shown


def _whole(column: pa.Array) -> pa.Array:
    """Whole numbers as integers, so that none becomes 1e+06."""
    try:
        return pc.cast(column, pa.int64())
    except pa.ArrowInvalid:
        return column


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
