"""What a model says of nights, inside this process; test_training.py has the process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from torch import nn

from airflow_mlops.errors import ConfigError, DataError
from airflow_mlops.project.gate_spec import Task
from airflow_mlops.training.artefact import export_model
from airflow_mlops.training.predict import predict_nights


class Line(nn.Module):
    """An answer that is easily foretold."""

    def __init__(self, task: Task) -> None:
        super().__init__()
        self.task = task

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        score = rows[:, 0] - 1.0
        if self.task == "binary":
            return score.sigmoid()
        return torch.stack([-score, 0 * score, score], 1).softmax(1) if self.task == "multiclass" else score


@pytest.fixture
def artefact(tmp_path: Path) -> Callable[..., Path]:
    def export(task: Task = "regression") -> Path:
        folder = tmp_path / task
        folder.mkdir()
        export_model(Line(task), torch.rand(20, 1), ["x"], "y", folder, task=task)
        return folder

    return export


def night(path: Path, **columns: object) -> Path:
    pq.write_table(pa.table(columns), path)
    return path


def test_a_binary_model_gives_both_probabilities(artefact: Callable[..., Path], tmp_path: Path) -> None:
    path = night(tmp_path / "a.parquet", x=[1.0, 3.0, None], y=[0, 1, 1])
    predict_nights(artefact("binary"), {"2011-03-01": path}, tmp_path / "p.parquet")
    table = pq.read_table(tmp_path / "p.parquet")
    assert table.column_names == ["row_id", "night", "y_true", "p_0", "p_1"]
    ones = table["p_1"].to_numpy()
    assert ones[:2] == pytest.approx([0.5, 1 / (1 + np.exp(-2))], rel=1e-6)
    assert np.isnan(ones[2])
    # A null would be a missing prediction; this one is there, and is no number.
    assert table["p_1"].null_count == 0
    assert (table["p_0"].to_numpy() + ones)[:2].tolist() == [1.0, 1.0]


def test_a_multiclass_model_gives_each_class(artefact: Callable[..., Path], tmp_path: Path) -> None:
    path = night(tmp_path / "a.parquet", x=[1.0, 9.0, -9.0], y=[2, 2, 0])
    predict_nights(artefact("multiclass"), {"2011-03-01": path}, tmp_path / "p.parquet")
    table = pq.read_table(tmp_path / "p.parquet").select(["p_0", "p_1", "p_2"])
    probabilities = np.stack([column.to_numpy() for column in table.columns], axis=1)
    assert probabilities[0] == pytest.approx([1 / 3] * 3)
    assert probabilities.argmax(1)[1:].tolist() == [2, 0]
    assert probabilities.sum(1) == pytest.approx([1, 1, 1], abs=1e-6)


@pytest.mark.parametrize("task", ["quantile", "ranking"])
def test_other_tasks_give_one_number(artefact: Callable[..., Path], tmp_path: Path, task: Task) -> None:
    path = night(tmp_path / "a.parquet", x=[1.0, 3.0], y=[0.0, 1.0])
    predict_nights(artefact(task), {"n": path}, tmp_path / "p.parquet")
    assert pq.read_table(tmp_path / "p.parquet")["y_pred"].to_pylist() == [0.0, 2.0]


def test_columns_are_copied_as_text(artefact: Callable[..., Path], tmp_path: Path) -> None:
    first = night(tmp_path / "a.parquet", x=[1.0, 2.0], y=[0, 1], zone=[1, 2], open=[True, None], city=["Graz", "Wien"])
    # What a night wrote as a whole number, the next writes as a float; and one of them has no such column.
    second = night(tmp_path / "b.parquet", x=[1.0, 2.0], y=[0, 1], zone=[1.0, float("nan")], city=["Linz", None])
    predict_nights(
        artefact(),
        {"one": first, "two": second},
        tmp_path / "p.parquet",
        columns=["zone", "open", "night", "nowhere", "city", "zone", "y"],
    )
    table = pq.read_table(tmp_path / "p.parquet")
    assert table.column_names == ["row_id", "night", "y_true", "y_pred", "zone", "open", "city", "y"]
    assert table["zone"].to_pylist() == ["1", "2", "1", None]
    assert table["open"].to_pylist() == ["true", None, None, None]
    assert table["city"].to_pylist() == ["Graz", "Wien", "Linz", None]
    assert table["night"].to_pylist() == ["one", "one", "two", "two"]
    assert table["row_id"].to_pylist() == ["one:0", "one:1", "two:0", "two:1"]


@pytest.mark.parametrize(
    ("task", "name"), [("regression", "y_pred"), ("binary", "p_1"), ("regression", "row_id"), ("binary", "p_zone")]
)
def test_a_column_may_not_pass_for_a_prediction(
    artefact: Callable[..., Path], tmp_path: Path, task: Task, name: str
) -> None:
    # Nor may it pass for a class that the model does not have.
    path = night(tmp_path / "a.parquet", x=[1.0], y=[0], **{name: [7.0]})
    with pytest.raises(ConfigError, match=rf"got {name}\. Rename"):
        predict_nights(artefact(task), {"n": path}, tmp_path / "p.parquet", columns=[name])


def test_a_column_that_has_no_text_is_named(artefact: Callable[..., Path], tmp_path: Path) -> None:
    path = night(tmp_path / "a.parquet", x=[1.0], y=[0], tags=[["a", "b"]])
    with pytest.raises(DataError, match="column 'tags', got list"):
        predict_nights(artefact(), {"n": path}, tmp_path / "p.parquet", columns=["tags"])


def test_rows_are_numbered_through_their_file(artefact: Callable[..., Path], tmp_path: Path) -> None:
    n_rows = 150_000
    x = np.arange(n_rows, dtype=np.float64)
    path, other = night(tmp_path / "a.parquet", x=x, y=x), night(tmp_path / "b.parquet", x=x[:3], y=x[:3])
    predict_nights(artefact(), {"one": path, "two": other}, tmp_path / "p.parquet")
    table = pq.read_table(tmp_path / "p.parquet")
    assert table["row_id"].to_pylist() == [f"one:{row}" for row in range(n_rows)] + ["two:0", "two:1", "two:2"]
    assert np.array_equal(table["y_pred"].to_numpy()[:n_rows], x - 1)
    assert pq.ParquetFile(tmp_path / "p.parquet").num_row_groups == 4


def test_a_fault_in_a_later_night_leaves_no_table(artefact: Callable[..., Path], tmp_path: Path) -> None:
    good = night(tmp_path / "a.parquet", x=[1.0], y=[0])
    torn = tmp_path / "b.parquet"
    torn.write_bytes(good.read_bytes()[:-9])
    lacking = night(tmp_path / "c.parquet", z=[1.0], y=[0])
    folder = artefact()
    for bad in (torn, lacking):
        with pytest.raises(DataError, match=bad.name):
            predict_nights(folder, {"one": good, "two": bad}, tmp_path / "p.parquet")
        assert not (tmp_path / "p.parquet").exists()


def test_single_rows_are_timed(artefact: Callable[..., Path], tmp_path: Path) -> None:
    path, empty = night(tmp_path / "a.parquet", x=[1.0, 2.0], y=[0, 1]), tmp_path / "b.parquet"
    night(empty, x=pa.array([], pa.float64()), y=pa.array([], pa.float64()))
    file, folder = tmp_path / "latency.json", artefact("multiclass")
    predict_nights(folder, {"none": empty, "some": path}, tmp_path / "p.parquet", latencies=(file, 30))
    milliseconds = json.loads(file.read_text())["latencies_ms"]
    assert len(milliseconds) == 30
    assert all(0 < one < 1000 for one in milliseconds)
    predict_nights(folder, {"none": empty}, tmp_path / "p.parquet", latencies=(file, 30))
    assert json.loads(file.read_text()) == {"latencies_ms": []}


@pytest.mark.slow
def test_memory_does_not_grow_with_the_night(tmp_path: Path) -> None:
    features = [f"x{number}" for number in range(12)]
    folder = tmp_path / "artefact"
    folder.mkdir()
    export_model(Line("regression"), torch.rand(20, len(features)), features, "y", folder)
    rng = np.random.default_rng(0)
    nights = [tmp_path / "small.parquet", tmp_path / "large.parquet"]
    for path, n_rows in zip(nights, (70_000, 1_000_000), strict=True):
        table = pa.table({name: rng.normal(size=n_rows) for name in (*features, "y")})
        # One row group: the worst that a night can be.
        pq.write_table(table, path, row_group_size=n_rows, use_dictionary=False, compression="none")
    code = textwrap.dedent("""
        import resource, sys
        from pathlib import Path
        from airflow_mlops.training.predict import predict_nights

        artefact, out, *nights = map(Path, sys.argv[1:])
        for night in nights:
            predict_nights(artefact, {"n": night}, out, columns=["y"])
            print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
    """)
    ended = subprocess.run(
        [sys.executable, "-c", code, folder, tmp_path / "p.parquet", *nights],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        check=True,
        timeout=120,
    )
    small, large = (int(peak) for peak in ended.stdout.split())
    # The file has 104 MB more.
    assert large - small < 60
