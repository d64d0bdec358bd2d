"""A trained model as files that anybody can load without the project's code, the same bytes for the same weights.

``model.pt2`` is the exported program, ``weights.safetensors`` its state, ``signature.json`` its inputs, target, task
and classes. A classifier answers with probabilities; its classes are the whole numbers from 0.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple, get_args

import torch

from airflow_mlops.errors import ConfigError, DataError, require
from airflow_mlops.project.gate_spec import Task

__all__ = ["LoadedModel", "export_model", "load_model", "predicted"]

MODEL, WEIGHTS, SIGNATURE = "model.pt2", "weights.safetensors", "signature.json"

# Rows that are put through the model at once: bounds the memory of its inner layers.
_BATCH_ROWS = 65_536

# A sum of a hundred float32 probabilities is this near to 1.
_PROBABILITY_TOLERANCE = 1e-3


class LoadedModel(NamedTuple):
    """A model read back, with the columns it takes and the one it predicts.

    ``classes`` are names in the order of their numbers; empty unless it classifies.
    """

    module: Callable[[torch.Tensor], torch.Tensor]
    features: tuple[str, ...]
    target: str
    task: Task = "regression"
    classes: tuple[str, ...] = ()

    def predict(self, features: torch.Tensor) -> torch.Tensor:
        """Predict in batches.

        Returns
        -------
        torch.Tensor, float32
            Of shape (n_rows,), of a binary task the probability of class 1; of a multiclass one of shape
            (n_rows, n_classes).
        """
        return predicted(self.module, features, n_classes=len(self.classes) if self.task == "multiclass" else None)


@torch.no_grad()
def predicted(
    model: Callable[[torch.Tensor], torch.Tensor], features: torch.Tensor, *, n_classes: int | None = None
) -> torch.Tensor:
    """Predict in batches.

    Returns
    -------
    torch.Tensor, shape (n_rows,) or (n_rows, n_classes), float32

    Raises
    ------
    ConfigError
        If the model answers with anything else.

    Examples
    --------
    >>> predicted(lambda rows: rows.sum(1), torch.ones(3, 2))
    tensor([2., 2., 2.])
    """
    batches = []
    for rows in torch.split(features, _BATCH_ROWS):
        answer = model(rows)
        if not isinstance(answer, torch.Tensor):
            raise ConfigError(f"expected the model to answer with a tensor, got {type(answer).__name__}.")
        shape = (len(rows),) if n_classes is None else (len(rows), n_classes)
        if answer.shape != shape or answer.dtype != torch.float32:
            raise ConfigError(
                f"expected the model to answer {len(rows)} rows with float32 of shape {shape}, got "
                f"{str(answer.dtype).removeprefix('torch.')} of shape {tuple(answer.shape)}. "
                + ("A last layer of width 1 needs .squeeze(1)." if n_classes is None else "Give every row its classes.")
            )
        batches.append(answer)
    return torch.cat(batches)


def export_model(
    model: object,
    features: torch.Tensor,
    names: Sequence[str],
    target: str,
    folder: Path,
    *,
    task: Task = "regression",
) -> LoadedModel:
    """Write a model into a folder, read it back, and prove on the training rows that it is the same model.

    Parameters
    ----------
    model : object
        What the project's function returned.
    features : torch.Tensor, shape (n_rows, n_features), float32
        Training rows.
    names, target : sequence of str, str
        Columns of ``features``, and what is predicted.
    folder : Path
        An empty folder.
    task : str
        What the model has to answer with: of a regression or quantile task the prediction, of a ranking one the score,
        each of shape (n_rows,); of a binary one the probability of class 1, of shape (n_rows,); of a multiclass one
        the probabilities of classes 0, 1, ..., of shape (n_rows, n_classes).

    Raises
    ------
    ConfigError
        If it is no module, cannot be exported, or answers in another shape or with no probabilities.
    DataError
        If weights or predictions are not finite.
    """
    if not isinstance(model, torch.nn.Module):
        raise ConfigError(
            f"expected the entrypoint to return a torch.nn.Module, got {type(model).__name__}. "
            "Return the trained model itself."
        )
    model = model.cpu().eval()
    state = {name: value.detach() for name, value in model.state_dict().items() if isinstance(value, torch.Tensor)}
    for name, value in state.items():
        _check_finite(value, f"the weights {name!r}")
    signature: dict[str, object] = {"features": list(names), "target": target, "task": task}
    n_classes = _n_classes(model, features) if task == "multiclass" else None
    if task in ("binary", "multiclass"):
        signature["classes"] = [str(number) for number in range(n_classes or 2)]
    answers = predicted(model, features, n_classes=n_classes)
    _check_finite(answers, "the predictions of the training rows")
    if "classes" in signature:
        _check_probabilities(answers)

    torch.export.save(_program(model, features.shape[1]), folder / MODEL)
    # Clones: weights that two layers share are written twice, which is what the state says.
    require("safetensors.torch", extra="train").save_file(
        {name: value.clone(memory_format=torch.contiguous_format) for name, value in state.items()}, folder / WEIGHTS
    )
    (folder / SIGNATURE).write_text(json.dumps(signature, indent=2) + "\n", encoding="utf-8")

    loaded = load_model(folder)
    for rows in (len(features), 1):
        if not torch.allclose(loaded.predict(features[:rows]), answers[:rows], rtol=1e-4, atol=1e-5):
            raise ConfigError(
                "expected the exported model to predict what the trained one does, it does not. "
                "forward() must depend on its input and the weights alone."
            )
    return loaded


def load_model(folder: Path) -> LoadedModel:
    """Read what ``export_model`` wrote.

    Raises
    ------
    DataError
        If a file is missing or is not what it should be.
    """
    try:
        signature = json.loads((folder / SIGNATURE).read_text(encoding="utf-8"))
        features, target = tuple(signature["features"]), str(signature["target"])
        task, classes = signature["task"], tuple(signature.get("classes", ()))
        if task not in get_args(Task) or (task in ("binary", "multiclass")) != (len(classes) > 1):
            raise ValueError(f"the task {task!r} with {len(classes)} classes")  # noqa: TRY301 - told like the others
        module = torch.export.load(folder / MODEL).module()
    except (OSError, RuntimeError, ValueError, KeyError, TypeError, zipfile.BadZipFile) as error:
        raise DataError(
            f"{folder}: expected {MODEL} and {SIGNATURE} of a trained model: {type(error).__name__}: {error}. "
            "Fetch the artefact again, or train it again."
        ) from error
    return LoadedModel(module, features, target, task, classes)


@torch.no_grad()
def _n_classes(model: torch.nn.Module, features: torch.Tensor) -> int:
    answer = model(features[:1])
    if isinstance(answer, torch.Tensor) and answer.ndim == 2 and answer.shape[1] > 1:  # noqa: PLR2004 - rows, classes
        return answer.shape[1]
    got = f"shape {tuple(answer.shape)}" if isinstance(answer, torch.Tensor) else type(answer).__name__
    raise ConfigError(
        f"expected the model of a multiclass task to answer with probabilities of shape (n_rows, n_classes), got {got} "
        "for one row. End it with .softmax(1); for two classes choose the task 'binary'."
    )


def _check_probabilities(answers: torch.Tensor) -> None:
    inside = ((answers >= 0) & (answers <= 1)).all()
    if not inside or (answers.ndim > 1 and ((answers.sum(1) - 1).abs() > _PROBABILITY_TOLERANCE).any()):
        raise ConfigError(
            f"expected probabilities from the model of a classification, got numbers from {answers.min():.4g} to "
            f"{answers.max():.4g}. End it with "
            + (".sigmoid()." if answers.ndim == 1 else ".softmax(1): the probabilities of a row add up to 1.")
        )


def _program(model: torch.nn.Module, n_features: int) -> torch.export.ExportedProgram:
    # Zeros, not training rows: the archive keeps its example, and data does not belong into it.
    example = torch.zeros(2, n_features)
    try:
        program = torch.export.export(model, (example,), dynamic_shapes=({0: torch.export.Dim("n_rows", min=1)},))
    except Exception as error:
        raise ConfigError(
            f"expected a model that torch.export can write for any number of rows: {type(error).__name__}: {error}. "
            "In forward(), branch on no tensor's value and fix no batch size."
        ) from error
    # Stack traces hold the paths of this machine: the same weights would make other bytes elsewhere.
    for part in program.graph_module.modules():
        if isinstance(part, torch.fx.GraphModule):
            for node in part.graph.nodes:
                node.meta.pop("stack_trace", None)
    return program


def _check_finite(values: torch.Tensor, what: str) -> None:
    if broken := int((~torch.isfinite(values)).sum()):
        raise DataError(
            f"expected finite numbers in {what}, {broken} of {values.numel()} are NaN or infinite: the training "
            "diverged. Lower the learning rate, or look for extreme values in the data."
        )
