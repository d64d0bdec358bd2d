"""A small model project and its nights, generated."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from airflow_mlops.training.order import TrainingOrder

FEATURES = ("hr", "temp")

TRAIN = """
import torch
from torch import nn


def train(context):
    model = nn.Sequential(nn.Linear(len(context.feature_names), 8), nn.ReLU(), nn.Linear(8, 1), nn.Flatten(0))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(20):
        loss = (model(context.features) - context.target).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    context.log("loss", loss.item())
    return model
"""


def _write_night(path: Path, seed: int, n_rows: int = 24) -> Path:
    rng = np.random.default_rng(seed)
    hour = np.arange(n_rows) % 24
    temp = rng.uniform(0, 1, n_rows)
    table = pa.table(
        {"hr": hour, "temp": temp, "cnt": (10 + hour + 20 * temp).astype(np.int64), "note": ["x"] * n_rows}
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path)
    return path


@pytest.fixture
def write_night() -> Callable[..., Path]:
    return _write_night


@pytest.fixture
def train_code() -> str:
    return TRAIN


@pytest.fixture
def nights(tmp_path: Path) -> dict[str, Path]:
    days = [f"2011-03-{day:02d}" for day in range(1, 6)]
    return {day: _write_night(tmp_path / f"data/night={day}.parquet", seed) for seed, day in enumerate(days)}


@pytest.fixture
def make_order(tmp_path: Path, nights: dict[str, Path]) -> Callable[..., TrainingOrder]:
    def make(code: str = TRAIN, *, run: str = "run", **changes: object) -> TrainingOrder:
        project = tmp_path / run / "project"
        project.mkdir(parents=True)
        (project / "train.py").write_text(code)
        order = TrainingOrder(
            project=project,
            entrypoint="train:train",
            partitions=tuple(nights.values()),
            features=FEATURES,
            target="cnt",
            seed=7,
            cpu=1,
            output=tmp_path / run / "output",
        )
        return order.model_copy(update=changes)

    return make
