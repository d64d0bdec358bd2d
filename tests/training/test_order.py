from __future__ import annotations

import datetime as dt
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import ValidationError

from airflow_mlops.errors import ConfigError
from airflow_mlops.training.order import TrainingOrder, TrainingResult

NOON = dt.datetime(2011, 3, 1, 12, tzinfo=dt.UTC)


def test_an_order_survives_its_file(make_order: Callable[..., TrainingOrder], tmp_path: Path) -> None:
    order = make_order()
    order.write(tmp_path / "order.json")
    assert TrainingOrder.read(tmp_path / "order.json") == order


def test_relative_paths_hold_in_another_folder() -> None:
    order = TrainingOrder.model_validate(
        {"project": "p", "entrypoint": "train:train", "partitions": ["a.parquet"], "features": ["x"], "target": "y"}
        | {"seed": 0, "cpu": 1, "output": "out"}
    )
    assert all(path.is_absolute() for path in (order.project, order.output, *order.partitions))


@pytest.mark.parametrize(
    "fault", [{"seed": 2**32}, {"seed": -1}, {"cpu": 0}, {"features": ()}, {"partitions": ()}, {"entrypoint": "train"}]
)
def test_nonsense_is_refused(make_order: Callable[..., TrainingOrder], fault: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        TrainingOrder.model_validate(make_order().model_dump() | fault)


@pytest.mark.parametrize("text", ["", "{", "{}", '{"metrics": {}, "surprise": 1}', None])
def test_a_file_that_is_no_result_is_named(tmp_path: Path, text: str | None) -> None:
    path = tmp_path / "result.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(ConfigError, match=r"result\.json"):
        TrainingResult.read(path)


def test_a_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    result = TrainingResult(metrics={"loss": 1.0}, environment={}, started_at=NOON, finished_at=NOON)
    result.write(tmp_path / "result.json")

    def refuse(*_arguments: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(os, "rename", refuse)
    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(OSError, match="disk full"):
        result.model_copy(update={"metrics": {"loss": 2.0}}).write(tmp_path / "result.json")
    assert TrainingResult.read(tmp_path / "result.json").metrics == {"loss": 1.0}
    monkeypatch.undo()
    result.model_copy(update={"metrics": {"loss": 3.0}}).write(tmp_path / "result.json")
    assert [path.name for path in tmp_path.iterdir()] == ["result.json"]
