from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from airflow_mlops.errors import ConfigError, DataError
from airflow_mlops.project.gate_spec import Task
from airflow_mlops.training.artefact import export_model, load_model, predicted

NAMES = ("hr", "temp")


class Linear(nn.Module):
    """With dropout, a buffer, and shared weights: what an export can trip over."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(2, 2)
        self.second = nn.Linear(2, 2)
        self.second.weight = self.first.weight
        self.dropout = nn.Dropout(0.5)
        self.register_buffer("scale", torch.tensor([1.0, 2.0]))

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        return self.dropout(self.second(self.first(rows * self.scale))).sum(1)


class Answering(nn.Module):
    def __init__(self, answer: Callable[[torch.Tensor], object]) -> None:
        super().__init__()
        self.answer = answer

    def forward(self, rows: torch.Tensor) -> object:
        return self.answer(rows)


@pytest.fixture
def rows() -> torch.Tensor:
    return torch.rand(50, 2, generator=torch.Generator().manual_seed(3))


def test_a_model_is_read_back_as_it_was(tmp_path: Path, rows: torch.Tensor) -> None:
    torch.manual_seed(1)
    model = Linear()
    export_model(model, rows, NAMES, "cnt", tmp_path)
    loaded = load_model(tmp_path)
    assert (loaded.features, loaded.target) == (NAMES, "cnt")
    assert torch.equal(predicted(loaded.module, rows), predicted(model.eval(), rows))
    assert json.loads((tmp_path / "signature.json").read_text()) == {
        "features": ["hr", "temp"],
        "target": "cnt",
        "task": "regression",
    }
    state = load_file(tmp_path / "weights.safetensors")
    assert state.keys() == model.state_dict().keys()
    assert all(torch.equal(state[name], value) for name, value in model.state_dict().items())
    assert {path.name for path in tmp_path.iterdir()} == {"model.pt2", "weights.safetensors", "signature.json"}


def test_the_archive_holds_no_paths_and_no_data(tmp_path: Path) -> None:
    rows = torch.full((50, 2), 0.123456789)
    export_model(Linear(), rows, NAMES, "cnt", tmp_path)
    archive = (tmp_path / "model.pt2").read_bytes()
    assert Path(__file__).name.encode() not in archive
    assert str(tmp_path).encode() not in archive
    assert rows[:1].numpy().tobytes() not in archive


def test_more_rows_than_a_batch_are_predicted_in_pieces() -> None:
    asked: list[int] = []

    def model(rows: torch.Tensor) -> torch.Tensor:
        asked.append(len(rows))
        return rows[:, 0]

    rows = torch.arange(150_000, dtype=torch.float32).unsqueeze(1)
    assert torch.equal(predicted(model, rows), rows[:, 0])
    assert len(asked) == 3


@pytest.mark.parametrize("model", [None, {"weights": 1}, nn.Linear, Linear().state_dict()])
def test_what_is_no_module_is_refused(tmp_path: Path, rows: torch.Tensor, model: object) -> None:
    with pytest.raises(ConfigError, match=r"expected the entrypoint to return a torch\.nn\.Module, got"):
        export_model(model, rows, NAMES, "cnt", tmp_path)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (lambda rows: rows[:, :1], r"shape \(50, 1\)"),
        (lambda rows: rows.sum(), r"shape \(\)"),
        (lambda rows: rows[1:, 0], r"shape \(49,\)"),
        (lambda rows: rows[:, 0].double(), "got float64"),
        (lambda rows: [rows[:, 0]], "got list"),
    ],
)
def test_an_answer_of_another_shape_is_refused(
    tmp_path: Path, rows: torch.Tensor, answer: Callable[[torch.Tensor], object], said: str
) -> None:
    with pytest.raises(ConfigError, match=said):
        export_model(Answering(answer), rows, NAMES, "cnt", tmp_path)


CLASSES = {"binary": ["0", "1"], "multiclass": ["0", "1", "2"]}


def probabilities(rows: torch.Tensor) -> torch.Tensor:
    return torch.cat([rows, rows[:, :1]], 1).softmax(1)


@pytest.mark.parametrize(
    ("task", "answer"), [("binary", lambda rows: rows[:, 0].sigmoid()), ("multiclass", probabilities)]
)
def test_a_classifier_is_read_back_with_its_classes(
    tmp_path: Path, rows: torch.Tensor, task: Task, answer: Callable[[torch.Tensor], torch.Tensor]
) -> None:
    export_model(Answering(answer), rows, NAMES, "cnt", tmp_path, task=task)
    loaded = load_model(tmp_path)
    assert (loaded.task, list(loaded.classes)) == (task, CLASSES[task])
    assert torch.allclose(loaded.predict(rows), answer(rows))


@pytest.mark.parametrize(
    ("task", "answer", "said"),
    [
        ("binary", lambda rows: 3 * rows[:, 0] - 1, r"from -.* to .*\.sigmoid\(\)"),
        ("binary", probabilities, r"shape \(50,\), got float32 of shape \(50, 3\)"),
        ("multiclass", lambda rows: rows[:, 0].sigmoid(), r"\(n_rows, n_classes\), got shape \(1,\)"),
        ("multiclass", lambda rows: rows[:, :1].sigmoid(), r"got shape \(1, 1\).*'binary'"),
        ("multiclass", lambda rows: rows.sigmoid(), r"add up to 1"),
        ("multiclass", lambda rows: probabilities(rows) * 2 - 0.5, r"\.softmax\(1\)"),
        ("multiclass", lambda rows: [rows], "got list"),
        ("regression", probabilities, r"shape \(50, 3\)"),
    ],
)
def test_an_answer_that_is_none_of_the_task_is_refused(
    tmp_path: Path, rows: torch.Tensor, task: Task, answer: Callable[[torch.Tensor], object], said: str
) -> None:
    with pytest.raises(ConfigError, match=said):
        export_model(Answering(answer), rows, NAMES, "cnt", tmp_path, task=task)


@pytest.mark.parametrize(
    "fault", [{"task": "poetry"}, {"task": "binary"}, {"classes": ["0", "1"]}, {"task": "multiclass", "classes": ["0"]}]
)
def test_a_signature_that_contradicts_itself_is_refused(
    tmp_path: Path, rows: torch.Tensor, fault: dict[str, object]
) -> None:
    export_model(Linear(), rows, NAMES, "cnt", tmp_path)
    signature = json.loads((tmp_path / "signature.json").read_text())
    (tmp_path / "signature.json").write_text(json.dumps(signature | fault))
    with pytest.raises(DataError, match="the task '"):
        load_model(tmp_path)


def test_weights_that_diverged_are_named(tmp_path: Path, rows: torch.Tensor) -> None:
    model = Linear()
    with torch.no_grad():
        model.second.bias[0] = float("nan")
    with pytest.raises(DataError, match=r"weights 'second\.bias', 1 of 2"):
        export_model(model, rows, NAMES, "cnt", tmp_path)


def test_nan_predictions_are_refused(tmp_path: Path, rows: torch.Tensor) -> None:
    with pytest.raises(DataError, match="predictions of the training rows, 50 of 50"):
        export_model(Answering(lambda rows: (rows - 2).log().sum(1)), rows, NAMES, "cnt", tmp_path)


def test_a_model_that_branches_on_values_is_refused(tmp_path: Path, rows: torch.Tensor) -> None:
    def branches(rows: torch.Tensor) -> torch.Tensor:
        return rows[:, 0] if rows.sum() > 0 else rows[:, 1]

    with pytest.raises(ConfigError, match=r"torch\.export.*branch on no tensor's value"):
        export_model(Answering(branches), rows, NAMES, "cnt", tmp_path)


def test_a_model_that_fixes_its_batch_is_refused(tmp_path: Path, rows: torch.Tensor) -> None:
    # Right for the training rows and for one row, wrong for the two that the export looks at.
    with pytest.raises(ConfigError):
        export_model(Answering(lambda rows: rows.reshape(-1, 100).reshape(-1, 2)[:, 0]), rows, NAMES, "cnt", tmp_path)


def test_a_model_that_remembers_is_refused(tmp_path: Path, rows: torch.Tensor) -> None:
    calls: list[int] = []

    def remembers(rows: torch.Tensor) -> torch.Tensor:
        calls.append(1)
        return rows[:, 0] + len(calls)

    with pytest.raises(ConfigError, match="must depend on its input"):
        export_model(Answering(remembers), rows, NAMES, "cnt", tmp_path)


@pytest.mark.parametrize("name", ["model.pt2", "signature.json"])
@pytest.mark.parametrize("content", [None, b"", b"{}", b"nonsense"])
def test_a_broken_artefact_is_a_data_error(
    tmp_path: Path, rows: torch.Tensor, name: str, content: bytes | None
) -> None:
    export_model(Linear(), rows, NAMES, "cnt", tmp_path)
    (tmp_path / name).unlink()
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match="Fetch the artefact again"):
        load_model(tmp_path)
