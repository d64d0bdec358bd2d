"""Behaviours, night by night: the challenger predicts the golden nights as they are, and again with a feature changed.

Each changed row remembers which row it was.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from airflow_mlops.errors import DataError
from airflow_mlops.gate.checks.perturbation import ROW, behaviour_fault, behaviour_result, changed_table
from airflow_mlops.gate.rows import UnusablePredictions
from airflow_mlops.project.gate_spec import BehaviourSpec
from airflow_mlops.records import RuleResult

__all__ = ["behaviour_results", "changed_nights"]

Floats = npt.NDArray[np.float64]

_BATCH_ROWS = 65_536


def changed_nights(nights: Mapping[str, Path], behaviours: Sequence[BehaviourSpec], folder: Path) -> dict[str, Path]:
    """Write every night once for each behaviour, ready to be predicted like nights.

    Parameters
    ----------
    nights : mapping of str to Path
        Golden nights and their Parquet files.
    behaviours : sequence of BehaviourSpec
        What is changed.
    folder : Path
        Where the files go; made if it is not there.

    Returns
    -------
    dict of str to Path
        By keys that ``behaviour_results`` reads again. Nights in which nothing could be changed are left out: it may be
        empty.

    Raises
    ------
    DataError
        As ``changed_table``, and if a file cannot be read.
    """
    folder.mkdir(parents=True, exist_ok=True)
    files = {}
    for number, spec in enumerate(behaviours):
        for night, path in nights.items():
            key = _key(number, night)
            out = folder / f"{key}.parquet"
            if _write_changed(path, spec, out):
                files[key] = out
    return files


def behaviour_results(
    behaviours: Sequence[BehaviourSpec],
    changed: Mapping[str, Path],
    *,
    before: Path | UnusablePredictions,
    after: Path | UnusablePredictions | None,
) -> list[RuleResult]:
    """Judge every behaviour from two files of the challenger's predictions.

    Parameters
    ----------
    behaviours : sequence of BehaviourSpec
        Those that ``changed_nights`` was asked for, in the same order.
    changed : mapping of str to Path
        What it gave.
    before, after : Path or UnusablePredictions
        Predictions of the golden nights and of the changed ones, or why there are none; ``after`` is None where nothing
        was changed.

    Returns
    -------
    list of RuleResult
        In the order of the behaviours.
    """
    fault = next((one.reason for one in (before, after) if isinstance(one, UnusablePredictions)), None)
    if fault is not None or not isinstance(before, Path):
        return [behaviour_fault(spec, fault or "nothing was predicted") for spec in behaviours]
    known, now = _Answers.read(before), _Answers.read(after) if isinstance(after, Path) else None
    results = []
    for number, spec in enumerate(behaviours):
        was, became = [], []
        for key, path in changed.items():
            if (night := _night(number, key)) is not None:
                with pq.ParquetFile(path) as file:
                    rows = file.read(columns=[ROW])[ROW]
                was.append(_row_ids(night, rows))
                became.append(_row_ids(key, pa.array(range(len(rows)))))
        results.append(_paired(spec, known, was, now, became))
    return results


def _key(number: int, night: str) -> str:
    return f"behaviour-{number}-{night}"


def _night(number: int, key: str) -> str | None:
    prefix = _key(number, "")
    return key.removeprefix(prefix) if key.startswith(prefix) else None


def _write_changed(path: Path, spec: BehaviourSpec, out: Path) -> bool:
    """Write the changed rows of a night; whether there were any."""
    written = 0
    try:
        with pq.ParquetFile(path) as file:
            first, writer = 0, None
            try:
                for batch in file.iter_batches(_BATCH_ROWS):
                    table = changed_table(pa.Table.from_batches([batch]), spec, first_row=first)
                    first, written = first + batch.num_rows, written + table.num_rows
                    writer = writer or pq.ParquetWriter(out, table.schema)
                    writer.write_table(table)
            finally:
                if writer is not None:
                    writer.close()
    except (OSError, pa.ArrowException) as error:
        raise DataError(f"{path}: expected a complete Parquet file: {error}. Fetch the night again.") from error
    return written > 0


class _Answers(NamedTuple):
    """What was predicted: one number for each row, or one for each of several classes."""

    row_ids: pa.ChunkedArray
    values: Floats

    @classmethod
    def read(cls, predictions: Path) -> Self:
        with pq.ParquetFile(predictions) as file:
            names = file.schema_arrow.names
            probabilities = [name for name in names if name.startswith("p_")]
            # Of two classes one says all.
            classes = probabilities[1:] if len(probabilities) == len(("negative", "positive")) else probabilities
            wanted = ["y_pred"] if "y_pred" in names else classes
            table = file.read(columns=["row_id", *wanted])
        # A null becomes NaN.
        columns = [table[name].cast(pa.float64()).to_numpy() for name in wanted]
        return cls(table["row_id"], columns[0] if len(columns) == 1 else np.stack(columns, axis=1))

    def of(self, row_ids: pa.ChunkedArray) -> Floats | None:
        """The answers for some rows in their order; None if one is not among them."""
        at = pc.index_in(row_ids, value_set=self.row_ids)
        return None if at.null_count else self.values[at.to_numpy()]


def _row_ids(night: str, rows: pa.ChunkedArray | pa.Array) -> pa.ChunkedArray:
    return pc.binary_join_element_wise(pa.scalar(night), rows.cast(pa.string()), ":")


def _paired(
    spec: BehaviourSpec,
    known: _Answers,
    was: Sequence[pa.ChunkedArray | pa.Array],
    now: _Answers | None,
    became: Sequence[pa.ChunkedArray | pa.Array],
) -> RuleResult:
    if not was:
        return behaviour_result(spec, np.empty(0), np.empty(0))
    before = [known.of(ids) for ids in was]
    after = [now.of(ids) if now is not None else None for ids in became]
    rows = sum(len(ids) for ids in was)
    sides = [[part for part in side if part is not None] for side in (before, after)]
    if min(map(len, sides)) < len(was):
        return behaviour_fault(spec, f"not all of {rows} changed rows were predicted", rows=rows)
    return behaviour_result(spec, np.concatenate(sides[0]), np.concatenate(sides[1]))
