"""``python -m airflow_mlops.training.predict ARTEFACT OUT.parquet NIGHT=IN.parquet ...``: what a model says of nights.

The table has the columns ``row_id`` (``<night>:<row number in the file>``, unique, and the same for every model that
is asked about the same files), ``night``, ``y_true`` and ``y_pred``. NaN stays NaN: the gate decides about it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from airflow_mlops.errors import ConfigError
from airflow_mlops.training import child

__all__ = ["predict_nights"]

_SCHEMA = pa.schema({"row_id": pa.string(), "night": pa.string(), "y_true": pa.float64(), "y_pred": pa.float64()})


def predict_nights(artefact: Path, nights: Mapping[str, Path], out: Path) -> None:
    """Predict every row of the nights with a model that was read from its files alone, and write the table.

    Raises
    ------
    ConfigError
        If there are no nights.
    DataError
        If artefact or nights cannot be read.
    """
    import numpy as np
    import torch

    from airflow_mlops.training.artefact import load_model, predicted
    from airflow_mlops.training.rows import read_rows

    if not nights:
        raise ConfigError("expected at least one night to predict, as NIGHT=PATH.")
    model = load_model(artefact)
    tables = []
    for night, path in nights.items():
        rows = read_rows(path, model.features, model.target)
        if not len(rows.target):
            continue
        answers = predicted(model.module, torch.from_numpy(rows.features)).numpy().astype(np.float64)
        tables.append(
            pa.table(
                {
                    "row_id": [f"{night}:{row}" for row in range(len(rows.target))],
                    "night": [night] * len(rows.target),
                    "y_true": rows.target,
                    "y_pred": answers,
                },
                schema=_SCHEMA,
            )
        )
    unfinished = out.with_name(f".{out.name}.unfinished")
    pq.write_table(pa.concat_tables(tables) if tables else _SCHEMA.empty_table(), unfinished)
    unfinished.replace(out)


def _nights(arguments: list[str]) -> dict[str, Path]:
    nights: dict[str, Path] = {}
    for argument in arguments:
        night, equals, path = argument.partition("=")
        if not equals or not night or night in nights:
            raise ConfigError(f"expected NIGHT=PATH, each night once, got {argument!r}.")
        nights[night] = Path(path)
    return nights


def main() -> None:
    """Read the arguments and run."""
    parser = child.argument_parser("Predict every row of some nights.")
    parser.add_argument("artefact", type=Path, help="folder of a trained model")
    parser.add_argument("out", type=Path, help="Parquet file to write")
    parser.add_argument("nights", nargs="+", metavar="NIGHT=PATH", help="Parquet files to predict")
    arguments = parser.parse_args()
    child.obey(arguments)
    child.run_to_exit(lambda: predict_nights(arguments.artefact, _nights(arguments.nights), arguments.out))


if __name__ == "__main__":
    main()
