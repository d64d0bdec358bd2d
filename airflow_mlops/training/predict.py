"""``python -m airflow_mlops.training.predict ORDER.json``: what a model says of nights.

The table has the columns ``row_id`` (``<night>:<row number in the file>``, unique, and the same for every model that
is asked about the same files), ``night``, ``y_true``, then ``y_pred`` or, of a classification, ``p_<class>`` for each
class, then the columns of the data that were asked for, as text. NaN stays NaN: the gate decides about it.

Rows pass through in batches, from file to file: nights may be larger than memory.
"""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from airflow_mlops.errors import ConfigError
from airflow_mlops.training import child
from airflow_mlops.training.order import PredictionOrder
from airflow_mlops.training.rows import Rows, columns_present, row_batches

if TYPE_CHECKING:
    import numpy.typing as npt

    from airflow_mlops.training.artefact import LoadedModel

__all__ = ["predict_nights"]

_OWN = ("row_id", "night", "y_true")

# The first calls allocate; they say nothing of the later ones.
_WARM_UP_REQUESTS = 20


def predict_nights(
    artefact: Path,
    nights: Mapping[str, Path],
    out: Path,
    *,
    columns: Sequence[str] = (),
    latencies: tuple[Path, int] | None = None,
) -> None:
    """Predict every row of the nights with a model that was read from its files alone, and write the table.

    Parameters
    ----------
    artefact : Path
        Folder of the model's files.
    nights : mapping of str to Path
        Parquet file of each night.
    out : Path
        Parquet file to write; it appears whole, and last.
    columns : sequence of str
        Columns of the data to copy. Null where a night lacks one; left out where all do. ``night`` is there anyway.
    latencies : tuple of Path and int, optional
        JSON file to write, and the number of single rows whose predictions are timed for it.

    Raises
    ------
    ConfigError
        If there are no nights, or a column is named like one of the table's own.
    DataError
        If artefact or nights cannot be read.
    """
    # Here and not above: a child ties itself to its parent before it spends seconds on this.
    from airflow_mlops.training.artefact import load_model

    if not nights:
        raise ConfigError("expected at least one night to predict, as NIGHT=PATH.")
    model = load_model(artefact)
    answers = [f"p_{name}" for name in model.classes] or ["y_pred"]
    wanted = [name for name in dict.fromkeys(columns) if name != "night"]
    if taken := [name for name in wanted if name in (*_OWN, *answers) or (model.classes and name.startswith("p_"))]:
        raise ConfigError(
            f"expected columns named otherwise than those of the predictions, got {', '.join(taken)}. "
            "Rename them where the night is written."
        )
    texts = columns_present(list(nights.values()), wanted)
    schema = pa.schema(
        [("row_id", pa.string()), ("night", pa.string()), ("y_true", pa.float64())]
        + [(name, pa.float64()) for name in answers]
        + [(name, pa.string()) for name in texts]
    )
    timed: Rows | None = None
    unfinished = out.with_name(f".{out.name}.unfinished")
    with pq.ParquetWriter(unfinished, schema) as writer:
        for night, path in nights.items():
            first = 0
            for rows in row_batches(path, model.features, model.target, texts):
                writer.write_batch(_answered(model, rows, night, first, schema))
                first += len(rows.target)
                timed = timed or rows
    if latencies is not None:
        file, requests = latencies
        # Without a row there is nothing to time, and nobody may take that for fast.
        milliseconds = _latencies_ms(model, timed.features, requests) if timed else []
        file.write_text(json.dumps({"latencies_ms": milliseconds}) + "\n", encoding="utf-8")
    unfinished.replace(out)


def _answered(model: LoadedModel, rows: Rows, night: str, first: int, schema: pa.Schema) -> pa.RecordBatch:
    """A batch of the table; ``first`` is the number of its first row in the night's file."""
    import torch

    answers = model.predict(torch.from_numpy(rows.features)).numpy().astype(np.float64)
    if model.task == "binary":
        answers = np.stack([1 - answers, answers], axis=1)
    numbers = pa.array(np.arange(first, first + len(answers))).cast(pa.string())
    return pa.record_batch(
        [
            pc.binary_join_element_wise(night, numbers, ":"),
            pa.repeat(night, len(answers)),
            pa.array(rows.target),
            # Not pa.array(..., from_pandas=True): a prediction that is NaN is no missing one.
            *(pa.array(column) for column in answers.reshape(len(answers), -1).T),
            *rows.texts.values(),
        ],
        schema=schema,
    )


def _latencies_ms(model: LoadedModel, features: npt.NDArray[np.float32], requests: int) -> list[float]:
    """Time predictions of single rows, one after another, in milliseconds."""
    import torch

    milliseconds = []
    matrix = torch.from_numpy(features[:requests])
    rows = itertools.cycle([matrix[row : row + 1] for row in range(len(matrix))])
    for row in itertools.islice(rows, _WARM_UP_REQUESTS + requests):
        started = time.perf_counter()
        model.predict(row)
        milliseconds.append((time.perf_counter() - started) * 1e3)
    return milliseconds[_WARM_UP_REQUESTS:]


def main() -> None:
    """Read the arguments and run."""
    parser = child.argument_parser("Predict every row of some nights.")
    parser.add_argument("order", type=Path, help="JSON file of a PredictionOrder")
    arguments = parser.parse_args()
    child.obey(arguments)
    child.run_to_exit(lambda: _obey_order(PredictionOrder.read(arguments.order)))


def _obey_order(order: PredictionOrder) -> None:
    latencies = (order.latencies, order.latency_requests) if order.latency_requests else None
    predict_nights(order.artefact, order.nights, order.out, columns=order.columns, latencies=latencies)


if __name__ == "__main__":
    main()
