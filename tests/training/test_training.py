"""Real runs, each in its process."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from airflow_mlops.errors import ConfigError, DataError, RemoteJobFailed
from airflow_mlops.training.__main__ import train_to_order
from airflow_mlops.training.artefact import export_model
from airflow_mlops.training.order import TrainingOrder, TrainingResult
from airflow_mlops.training.predict import predict_nights
from airflow_mlops.training.process import run_prediction, run_training

MakeOrder = Callable[..., TrainingOrder]
WriteNight = Callable[..., Path]


def trained(order: TrainingOrder, lines: list[str] | None = None, **limits: float) -> TrainingResult:
    return run_training(
        order,
        order.output.parent / "work",
        on_line=(lines if lines is not None else []).append,
        **{"timeout_seconds": 120, "memory_gib": 4} | limits,
    )


@pytest.fixture
def here() -> Iterator[None]:
    """Let train_to_order run inside this process, and undo what it sets."""
    path, threads, writes = list(sys.path), torch.get_num_threads(), sys.dont_write_bytecode
    yield
    sys.path[:] = path
    sys.modules.pop("train", None)
    torch.use_deterministic_algorithms(mode=False)
    torch.set_num_threads(threads)
    sys.dont_write_bytecode = writes


@pytest.mark.slow
def test_two_runs_of_one_order_give_the_same_bytes(
    make_order: MakeOrder, train_code: str, nights: dict[str, Path], tmp_path: Path
) -> None:
    # Whatever a project may draw on: each generator, and the order of a set.
    code = train_code.replace(
        "def train(context):",
        "import random, numpy\n\n\ndef train(context):\n"
        "    order = ''.join({'a', 'b', 'c', 'd', 'e'})\n"
        "    context.log('drawn', random.random() + numpy.random.rand() + torch.rand(1).item() + hash(order) % 1000)",
    )
    orders = [make_order(code, run="first"), make_order(code, run="another/place")]
    lines: list[str] = []
    results = [trained(order, lines) for order in orders]

    first, second = ({path.name: path.read_bytes() for path in order.artefact.iterdir()} for order in orders)
    assert first.keys() == {"model.pt2", "weights.safetensors", "signature.json"}
    assert first == second
    assert results[0].metrics == results[1].metrics
    assert results[0].metrics.keys() == {"drawn", "loss", "train_rmse", "train_rows"}
    assert results[0].metrics["train_rows"] == 120
    assert {"python", "platform", "cpu", "torch", "numpy"} <= results[0].environment.keys()
    assert results[0].started_at < results[0].finished_at
    assert any(line.startswith("loss = ") for line in lines)
    assert [path.name for path in orders[0].project.iterdir()] == ["train.py"]

    out = run_prediction(orders[0].artefact, nights, out=tmp_path / "p.parquet", timeout_seconds=120, memory_gib=4)
    table = pq.read_table(out)
    assert table.column_names == ["row_id", "night", "y_true", "y_pred"]
    assert len(set(table["row_id"].to_pylist())) == 120
    assert table["row_id"][25].as_py() == "2011-03-02:1"
    errors = [(row["y_true"] - row["y_pred"]) ** 2 for row in table.to_pylist()]
    assert (sum(errors) / 120) ** 0.5 == pytest.approx(results[0].metrics["train_rmse"], rel=1e-4)


def test_another_seed_gives_another_model(make_order: MakeOrder, here: None) -> None:
    orders = [make_order(run="a"), make_order(run="b", seed=8)]
    for order in orders:
        sys.modules.pop("train", None)
        train_to_order(order)
    first, second = ((order.artefact / "weights.safetensors").read_bytes() for order in orders)
    assert first != second


@pytest.mark.slow
def test_a_failing_function_is_shown_with_its_line(make_order: MakeOrder) -> None:
    order = make_order("def train(context):\n    return context.fetaures\n")
    with pytest.raises(RemoteJobFailed, match=r"train\.py\", line 2(?s:.*)fetaures"):
        trained(order)
    assert not order.result.exists()


@pytest.mark.slow
def test_its_memory_limit_is_named(make_order: MakeOrder) -> None:
    order = make_order("import torch\ndef train(context):\n    torch.ones(3 * 2**28)\n")
    with pytest.raises(RemoteJobFailed, match=r"ran out of its memory of 2 GiB\. Raise memory_gib"):
        trained(order, memory_gib=2)


@pytest.mark.slow
def test_an_earlier_run_is_not_taken_for_this_one(make_order: MakeOrder) -> None:
    order = make_order("def train(context):\n    return None\n")
    order.output.mkdir()
    order.result.write_text("{}")
    with pytest.raises(ConfigError, match="fresh output folder"):
        trained(order)
    order.result.unlink()
    order.artefact.mkdir()
    with pytest.raises(RemoteJobFailed, match="fresh output folder"):
        trained(order)


@pytest.mark.parametrize(
    ("code", "entrypoint", "said"),
    [
        ("", "train:train", "a function 'train'"),
        ("train = 3", "train:train", "a function 'train'"),
        ("", "absent:train", r"absent\.py"),
    ],
)
def test_an_entrypoint_that_is_not_there_is_named(
    make_order: MakeOrder, here: None, code: str, entrypoint: str, said: str
) -> None:
    with pytest.raises(ConfigError, match=said):
        train_to_order(make_order(code, entrypoint=entrypoint))


def test_a_library_that_the_project_lacks_is_no_fault_of_the_entrypoint(make_order: MakeOrder, here: None) -> None:
    with pytest.raises(ModuleNotFoundError, match="no_such_library"):
        train_to_order(make_order("import no_such_library"))


@pytest.mark.parametrize("code", ["def train(context):\n    return 3\n", "def train(context):\n    pass\n"])
def test_a_result_that_is_no_model_leaves_no_result(make_order: MakeOrder, here: None, code: str) -> None:
    order = make_order(code)
    with pytest.raises(ConfigError, match=r"torch\.nn\.Module"):
        train_to_order(order)
    assert not order.result.exists()


def test_the_project_cannot_spoil_the_rows_that_it_is_measured_on(
    make_order: MakeOrder, train_code: str, here: None
) -> None:
    code = train_code.replace(
        "    context.log", "    context.target.zero_()\n    context.features.zero_()\n    context.log"
    )
    assert train_to_order(make_order(code)).metrics["train_rmse"] > 1


CLASSIFY = """
import torch
from torch import nn


def train(context):
    task = {task!r}
    last = [nn.Linear(2, 1), nn.Flatten(0), nn.Sigmoid()] if task == "binary" else [nn.Linear(2, 3), nn.Softmax(1)]
    return nn.Sequential(*last)
"""


@pytest.mark.parametrize(("task", "n_classes"), [("binary", 2), ("multiclass", 3)])
def test_a_classifier_is_measured_by_its_log_loss(
    make_order: MakeOrder, tmp_path: Path, here: None, task: str, n_classes: int
) -> None:
    rng = np.random.default_rng(5)
    night = tmp_path / "classes.parquet"
    truth = rng.integers(0, n_classes, 50)
    pq.write_table(pa.table({"hr": rng.normal(size=50), "temp": rng.normal(size=50), "cnt": truth}), night)
    order = make_order(CLASSIFY.format(task=task), task=task, partitions=(night,))
    metrics = train_to_order(order).metrics
    assert metrics.keys() == {"train_log_loss", "train_rows"}

    predict_nights(order.artefact, {"n": night}, tmp_path / "p.parquet")
    table = pq.read_table(tmp_path / "p.parquet")
    likelihood = np.stack([table[f"p_{name}"].to_numpy() for name in range(n_classes)], axis=1)[np.arange(50), truth]
    assert metrics["train_log_loss"] == pytest.approx(-np.log(likelihood).mean(), rel=1e-5)


@pytest.mark.parametrize(
    ("task", "truth", "error", "said"),
    [
        ("binary", [0, 1, 2], DataError, "0 and 1 in the target 'cnt' of a binary task, 1 of 3 .* such as 2"),
        ("multiclass", [0, 1.5, 2], DataError, "1 of 3 .* such as 1.5"),
        ("multiclass", [0, -1, 2], DataError, "such as -1"),
        ("multiclass", [0, 1, 3], ConfigError, "Widen its last layer to 4"),
    ],
)
def test_a_target_that_is_no_class_is_named(
    make_order: MakeOrder,
    tmp_path: Path,
    here: None,
    task: str,
    truth: list[float],
    error: type[Exception],
    said: str,
) -> None:
    night = tmp_path / "classes.parquet"
    pq.write_table(pa.table({"hr": [1.0, 2.0, 3.0], "temp": [1.0, 2.0, 3.0], "cnt": truth}), night)
    with pytest.raises(error, match=said):
        train_to_order(make_order(CLASSIFY.format(task=task), task=task, partitions=(night,)))


def test_a_night_with_a_nan_is_named(make_order: MakeOrder, nights: dict[str, Path], here: None) -> None:
    night = nights["2011-03-03"]
    table = pq.read_table(night)
    values = [None, *table["temp"].to_pylist()[1:]]
    pq.write_table(table.set_column(1, "temp", [values]), night)
    with pytest.raises(DataError, match=r"2011-03-03.*'temp', 1 of 24"):
        train_to_order(make_order())


def test_nights_without_rows_are_nothing_to_learn_from(
    make_order: MakeOrder, write_night: WriteNight, tmp_path: Path, here: None
) -> None:
    empty = write_night(tmp_path / "empty.parquet", seed=1, n_rows=0)
    with pytest.raises(DataError, match="all of them are empty"):
        train_to_order(make_order(partitions=(empty,)))


def test_predictions_keep_what_is_missing(
    make_order: MakeOrder, write_night: WriteNight, tmp_path: Path, here: None
) -> None:
    order = make_order()
    train_to_order(order)
    night, empty = write_night(tmp_path / "a.parquet", seed=1), write_night(tmp_path / "b.parquet", 1, n_rows=0)
    table = pq.read_table(night)
    pq.write_table(table.set_column(1, "temp", [[None, *table["temp"].to_pylist()[1:]]]), night)

    predict_nights(order.artefact, {"one": night, "none": empty}, tmp_path / "p.parquet")
    predictions = pq.read_table(tmp_path / "p.parquet")["y_pred"].to_numpy()
    assert len(predictions) == 24
    assert np.flatnonzero(np.isnan(predictions)).tolist() == [0]

    predict_nights(order.artefact, {"none": empty}, tmp_path / "p.parquet")
    assert pq.read_table(tmp_path / "p.parquet").num_rows == 0
    with pytest.raises(ConfigError, match="at least one night"):
        predict_nights(order.artefact, {}, tmp_path / "p.parquet")


class Greedy(torch.nn.Module):
    """Asks for gigabytes to predict a few rows."""

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        return rows[:, :1].expand(-1, 2**24).exp().sum(1)


@pytest.mark.slow
def test_a_prediction_keeps_within_its_memory(tmp_path: Path, nights: dict[str, Path]) -> None:
    folder = tmp_path / "artefact"
    folder.mkdir()
    export_model(Greedy(), torch.rand(2, 2), ["hr", "temp"], "cnt", folder)
    with pytest.raises(RemoteJobFailed, match=r"the prediction of 5 nights .* memory of 2 GiB\. Raise memory_gib"):
        run_prediction(folder, nights, out=tmp_path / "p.parquet", timeout_seconds=60, memory_gib=2)


@pytest.mark.slow
def test_a_prediction_that_fails_leaves_no_table(tmp_path: Path, nights: dict[str, Path]) -> None:
    out = tmp_path / "p.parquet"
    out.write_text("of an earlier run")
    (tmp_path / "artefact").mkdir()
    with pytest.raises(RemoteJobFailed, match=r"DataError: .*signature\.json"):
        run_prediction(tmp_path / "artefact", nights, out=out, timeout_seconds=60, memory_gib=4)
    assert not out.exists()


def test_the_example_project_keeps_its_promises() -> None:
    folder = Path(__file__).parents[2] / "dags" / "bike_demand"
    text = (folder / "train.py").read_text()
    assert not {word for word in ("airflow.", "/home", "AIRFLOW", "read_", "open(") if word in text}
    pins = dict(line.split("==") for line in (folder / "requirements.txt").read_text().split())
    assert torch.__version__.partition("+")[0] == pins["torch"]
