"""``python -m airflow_mlops.training ORDER.json``: train one model to an order."""

from __future__ import annotations

import datetime as dt
import importlib
import importlib.metadata
import platform
import random
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_mlops.errors import ConfigError, DataError
from airflow_mlops.training import child
from airflow_mlops.training.order import TrainingOrder, TrainingResult

if TYPE_CHECKING:
    import torch


def train_to_order(order: TrainingOrder) -> TrainingResult:
    """Read the rows, let the project's function train, write the artefact and, last, the result.

    Raises
    ------
    ConfigError
        If the entrypoint cannot be had, or the output folder holds another run.
    DataError
        If there is nothing to learn from, or what was learned is not finite.
    """
    import numpy as np
    import torch

    from airflow_mlops.training.artefact import export_model
    from airflow_mlops.training.context import TrainingContext
    from airflow_mlops.training.rows import read_rows

    started_at = dt.datetime.now(dt.UTC)
    order.output.mkdir(parents=True, exist_ok=True)
    try:
        # Making it is taking it: of two runs at once, one gets the folder.
        order.artefact.mkdir()
    except FileExistsError:
        raise ConfigError(f"expected a fresh output folder, {order.artefact} exists. Give each run its own.") from None

    nights = [read_rows(path, order.features, order.target) for path in order.partitions]
    for path, rows in zip(order.partitions, nights, strict=True):
        rows.check_finite(path, [*order.features, order.target])
    features = torch.from_numpy(np.concatenate([rows.features for rows in nights]))
    target = torch.from_numpy(np.concatenate([rows.target for rows in nights])).to(torch.float32)
    if not len(target):
        raise DataError(f"expected rows in {len(order.partitions)} nights, all of them are empty.")
    classifies = order.task in ("binary", "multiclass")
    if classifies:
        _check_classes(target, order)

    torch.set_num_threads(order.cpu)
    torch.use_deterministic_algorithms(mode=True)
    _seed_everything(order.seed)
    train = _entrypoint(order.project, order.entrypoint)
    # Importing may have drawn numbers: what the function finds depends on the seed alone.
    _seed_everything(order.seed)
    context = TrainingContext(features.clone(), target.clone(), order.features, order.seed)
    loaded = export_model(train(context), features, order.features, order.target, order.artefact, task=order.task)

    answers = loaded.predict(features)
    if classifies:
        fit = {"train_log_loss": _log_loss(answers, target.long())}
    else:
        fit = {"train_rmse": (answers - target).square().mean().sqrt().item()}
    result = TrainingResult(
        metrics={**context.metrics, **fit, "train_rows": float(len(target))},
        environment=_environment(torch.backends.cpu.get_cpu_capability()),
        started_at=started_at,
        finished_at=dt.datetime.now(dt.UTC),
    )
    result.write(order.result)
    return result


def _check_classes(target: torch.Tensor, order: TrainingOrder) -> None:
    wrong = (target < 0) | (target != target.round())
    if order.task == "binary":
        wrong |= target > 1
    if broken := int(wrong.sum()):
        classes = "0 and 1" if order.task == "binary" else "0, 1, 2, ..."
        raise DataError(
            f"expected the classes {classes} in the target {order.target!r} of a {order.task} task, {broken} of "
            f"{len(target)} rows hold something else, such as {target[wrong][0].item():g}. Number the classes where "
            "the night is written."
        )


def _log_loss(answers: torch.Tensor, target: torch.Tensor) -> float:
    import torch

    probabilities = torch.stack([1 - answers, answers], 1) if answers.ndim == 1 else answers
    if (classes := probabilities.shape[1]) <= (most := int(target.max())):
        raise ConfigError(
            f"expected the model to know every class of the target, it answers with {classes} probabilities, and the "
            f"target has the class {most}. Widen its last layer to {most + 1}."
        )
    likelihood = probabilities.gather(1, target[:, None]).clamp_min(torch.finfo(torch.float32).tiny)
    return -likelihood.log().mean().item()


def _seed_everything(seed: int) -> None:
    import numpy as np
    import torch

    # The global generators, since that is what the project's code draws from.
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


def _entrypoint(project: Path, entrypoint: str) -> Callable[..., Any]:
    module_name, _, function_name = entrypoint.partition(":")
    # Only now, so that a random.py in the project does not hide Python's own from torch.
    sys.path.insert(0, str(project))
    # The project's folder is digested: nothing is written into it.
    sys.dont_write_bytecode = True
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name != module_name:
            raise
        raise ConfigError(f"expected {module_name}.py in {project}, for the entrypoint {entrypoint!r}.") from error
    function = getattr(module, function_name, None)
    if not callable(function):
        raise ConfigError(f"expected a function {function_name!r} in {module.__file__}, for {entrypoint!r}.")
    return function  # type: ignore[no-any-return]  # a module's attribute has no type


def _environment(instruction_set: str) -> dict[str, str]:
    owners = importlib.metadata.packages_distributions()
    imported = {name.partition(".")[0] for name in sys.modules}
    distributions = sorted({owner for name in imported for owner in owners.get(name, ())})
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpu": instruction_set,
        **{name: importlib.metadata.version(name) for name in distributions},
    }


def main() -> None:
    """Read the arguments and run."""
    parser = child.argument_parser("Train one model to an order.")
    parser.add_argument("order", type=Path, help="JSON file of a TrainingOrder")
    arguments = parser.parse_args()
    child.obey(arguments)
    child.run_to_exit(lambda: _report(train_to_order(TrainingOrder.read(arguments.order))))


def _report(result: TrainingResult) -> None:
    """Say how it went, for the task's log."""
    seconds = (result.finished_at - result.started_at).total_seconds()
    name = "train_rmse" if "train_rmse" in result.metrics else "train_log_loss"
    rows, fit = result.metrics["train_rows"], result.metrics[name]
    print(f"trained on {rows:.0f} rows in {seconds:.1f} s, {name} = {fit:.6g}")  # noqa: T201 - the task's log


if __name__ == "__main__":
    main()
