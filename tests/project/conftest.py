from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

MODEL = """\
name = "demand"
task = "regression"
target = "cnt"
features = ["hr", "temp"]
time_column = "dteday"

[data]
path = "data/night={night}.parquet"

[training]
entrypoint = "train:train"

[[gate.rules]]
metric = "rmse"
kind = "absolute"
max = 90.0
"""

TRAIN = """\
\"\"\"Trains; its documentation may name /home/ada/night.parquet.\"\"\"

import json

import numpy as np


def train(context):
    return json.dumps([float(np.mean(context))])
"""

CONTRACT = """\
dataset: duckdb/main/night
columns:
  - name: temp
    checks:
      - missing:
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A sound model project without data."""
    folder = tmp_path / "demand"
    folder.mkdir()
    (folder / "model.toml").write_text(MODEL)
    (folder / "train.py").write_text(TRAIN)
    (folder / "contract.yml").write_text(CONTRACT)
    (folder / "requirements.txt").write_text("numpy==2.4.6\n")
    return folder


@pytest.fixture
def edit(project: Path) -> Callable[..., None]:
    """Replace a text in one of its files; the text has to be there."""

    def replaced(name: str, old: str, new: str) -> None:
        text = (project / name).read_text()
        assert old in text
        (project / name).write_text(text.replace(old, new, 1))

    return replaced


@pytest.fixture
def write_night(project: Path) -> Callable[..., Path]:
    """Write a night of data; keywords add or replace columns, None takes one out."""

    def written(night: str, **columns: pa.Array | None) -> Path:
        start = dt.datetime.fromisoformat(night)
        times = pa.array([start + dt.timedelta(hours=hour) for hour in range(3)], pa.timestamp("us"))
        rows = {
            "dteday": times,
            "hr": pa.array([0, 1, 2]),
            "temp": pa.array([0.2, 0.3, 0.4]),
            "cnt": pa.array([5, 7, 9]),
        }
        table = {name: values for name, values in (rows | columns).items() if values is not None}
        path = project / "data" / f"night={night}.parquet"
        path.parent.mkdir(exist_ok=True)
        pq.write_table(pa.table(table), path)
        return path

    return written
