"""What two models predicted for the same rows, or why that cannot be judged.

Predictions that cannot be used are a value, not an exception: a refused model is a verdict. Whose fault it is
decides what follows. A challenger's broken predictions reject it; a champion's only mean that nothing can be
compared with it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from airflow_mlops.errors import DataError

__all__ = ["PairedPredictions", "UnusablePredictions", "read_paired"]

_TEXTS = ("row_id", "night")
_NUMBERS = ("y_true", "y_pred")
# An error that lists every bad row of a large set helps nobody.
_SHOWN = 3

Columns = dict[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class PairedPredictions:
    """The truth, and what two models said about the same rows.

    Attributes
    ----------
    row_id, night : numpy.ndarray of str, shape (n,)
        Which row, and the night that it belongs to.
    y_true, challenger : numpy.ndarray of float, shape (n,)
        In the target's unit.
    champion : numpy.ndarray of float, shape (n,), or None
        None if there is no champion, or its predictions cannot be used.
    champion_fault : str or None
        Why a champion's predictions cannot be used.
    """

    row_id: npt.NDArray[np.str_]
    night: npt.NDArray[np.str_]
    y_true: npt.NDArray[np.float64]
    challenger: npt.NDArray[np.float64]
    champion: npt.NDArray[np.float64] | None
    champion_fault: str | None = None

    def __post_init__(self) -> None:
        columns = (self.row_id, self.night, self.y_true, self.challenger, self.champion)
        shapes = {column.shape for column in columns if column is not None}
        # numpy would stretch a single prediction over all rows.
        if len(shapes) > 1 or self.y_true.ndim != 1:
            raise DataError(f"expected one value for each row in every column, got shapes {sorted(shapes)}.")

    @property
    def knows_champion(self) -> bool:
        """Whether there is a champion, even one whose predictions cannot be used."""
        return self.champion is not None or self.champion_fault is not None


@dataclass(frozen=True)
class UnusablePredictions:
    """The challenger's predictions cannot be judged; the reason is one clause of plain language."""

    reason: str


def read_paired(
    challenger: Path, champion: Path | None, *, expected_rows: int | None = None
) -> PairedPredictions | UnusablePredictions:
    """Read two prediction files (Parquet: row_id, night, y_true, y_pred) and lay them side by side.

    Parameters
    ----------
    challenger : Path
        What the new model predicted.
    champion : Path or None
        What the model in service predicted for the same rows; None if there is none.
    expected_rows : int, optional
        Rows that the data holds; without it, a first model that left rows out would go unnoticed.

    Returns
    -------
    PairedPredictions or UnusablePredictions
        In the challenger's order of rows.
    """
    new = _read(challenger, expected_rows)
    if isinstance(new, str):
        return UnusablePredictions(f"the challenger's predictions {new}")
    if champion is None:
        return _paired(new, None, None)
    standing = _read(champion, None)
    if isinstance(standing, str):
        return _paired(new, None, f"the champion's predictions {standing}")
    if len(new["row_id"]) != len(standing["row_id"]):
        return UnusablePredictions(
            f"the challenger predicted {len(new['row_id'])} rows, the champion {len(standing['row_id'])}"
        )
    order = np.argsort(standing["row_id"])
    place = np.searchsorted(standing["row_id"], new["row_id"], sorter=order)
    match = order[np.minimum(place, len(order) - 1)]
    strangers = new["row_id"][standing["row_id"][match] != new["row_id"]]
    if strangers.size:
        return UnusablePredictions(f"the challenger predicted rows that the champion did not: {_some(strangers)}")
    for column in ("y_true", "night"):
        other = new["row_id"][standing[column][match] != new[column]]
        if other.size:
            return UnusablePredictions(f"the two models were given another {column} for rows {_some(other)}")
    return _paired(new, standing["y_pred"][match], None)


def _paired(new: Columns, champion: npt.NDArray[np.float64] | None, fault: str | None) -> PairedPredictions:
    return PairedPredictions(new["row_id"], new["night"], new["y_true"], new["y_pred"], champion, fault)


def _read(path: Path, expected_rows: int | None) -> Columns | str:
    """The columns of a prediction file, or what is wrong with them."""
    try:
        # ParquetFile, not read_table: a folder name such as night=2011-03-05 is no column.
        with pq.ParquetFile(path) as file:
            absent = [name for name in (*_TEXTS, *_NUMBERS) if name not in file.schema_arrow.names]
            if absent:
                return f"lack the column {', '.join(absent)}"
            table = file.read(columns=[*_TEXTS, *_NUMBERS])
        # A cast that loses something is refused by Arrow: text is no number.
        columns = {name: pc.cast(table[name], pa.string()) for name in _TEXTS}
        columns |= {name: pc.cast(table[name], pa.float64()) for name in _NUMBERS}
    except FileNotFoundError:
        return "are missing"
    except pa.ArrowException as error:
        return f"cannot be read: {str(error).splitlines()[0]}"
    except OSError as error:
        # Arrow reports a damaged page as an OSError without a number; a failing disk has one, and a retry can help.
        if error.errno is not None:
            raise
        return f"cannot be read: {str(error).splitlines()[0]}"
    rows = table.num_rows
    if rows == 0:
        return "hold no row"
    if expected_rows is not None and rows != expected_rows:
        return f"hold {rows} rows, the data {expected_rows}"
    empty = [name for name, column in columns.items() if column.null_count]
    if empty:
        return f"have no value in some rows of {', '.join(empty)}"
    arrays: Columns = {name: columns[name].to_numpy() for name in _NUMBERS}
    arrays |= {name: np.array(columns[name].to_pylist(), dtype=np.str_) for name in _TEXTS}
    return _fault(arrays) or arrays


def _fault(columns: Columns) -> str | None:
    ids, counts = np.unique(columns["row_id"], return_counts=True)
    if (counts > 1).any():
        return f"name rows twice: {_some(ids[counts > 1])}"
    for name in _NUMBERS:
        odd = ~np.isfinite(columns[name])
        if odd.any():
            return f"are NaN or infinite in {name} for rows {_some(columns['row_id'][odd])}"
    return None


def _some(rows: npt.NDArray[np.str_]) -> str:
    shown = ", ".join(str(row) for row in rows[:_SHOWN])
    return f"{shown} and {rows.size - _SHOWN} more" if rows.size > _SHOWN else shown
