"""The operator's side: training and prediction, each in a process of the model's own environment."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from airflow_mlops.errors import ConfigError, require_installed
from airflow_mlops.training.environment import environments_home, python_for
from airflow_mlops.training.job import Job, run_job
from airflow_mlops.training.order import PredictionOrder, TrainingOrder, TrainingResult

__all__ = ["run_prediction", "run_training"]


def run_training(
    order: TrainingOrder,
    workdir: Path,
    *,
    timeout_seconds: float,
    memory_gib: float,
    on_line: Callable[[str], None],
    requirements: Path | None = None,
) -> TrainingResult:
    """Train to an order in a process of its own; the artefact is then in ``order.artefact``.

    Whatever ends the call (an error, a timeout, the SIGTERM that Airflow turns into an exception) ends the process
    and all that it started; if this process is killed, the kernel ends the child.

    Parameters
    ----------
    order : TrainingOrder
        Its output folder must hold no earlier run.
    workdir : Path
        Folder that the process may litter; ``order.json`` is written into it.
    timeout_seconds : float
        Longest run; making the environment, where there is none yet, may take as long again.
    memory_gib : float
        Largest private memory of the process, in GiB.
    on_line : callable
        Called with each line of its output as it comes, at most 5,000 times.
    requirements : Path, optional
        What the model's code needs (see ``environment.python_for``).

    Raises
    ------
    ConfigError
        If the output folder holds a finished run, or the requirements cannot be read.
    MissingExtra
        If torch is not installed.
    RemoteJobFailed
        If it failed, or its requirements cannot be installed, with the last lines.
    RemoteUnavailable
        If it was killed from outside, or the package index does not answer.
    """
    if order.result.exists():
        raise ConfigError(f"expected a fresh output folder, {order.result} exists. Give each run its own.")
    python = _interpreter(requirements, timeout_seconds)
    workdir = workdir.absolute()
    workdir.mkdir(parents=True, exist_ok=True)
    order_file = workdir / "order.json"
    order.write(order_file)
    job = Job(
        what=f"training by {order.entrypoint}",
        module="airflow_mlops.training",
        arguments=[str(order_file)],
        product=order.result,
        folder=workdir,
        cpu=order.cpu,
        seed=order.seed,
        timeout_seconds=timeout_seconds,
        memory_gib=memory_gib,
        python=python,
    )
    run_job(job, on_line)
    return TrainingResult.read(order.result)


def run_prediction(
    artefact_folder: Path,
    nights: Mapping[str, Path],
    *,
    out: Path,
    columns: Sequence[str] = (),
    requirements: Path | None = None,
    latency_requests: int = 0,
    timeout_seconds: float,
    memory_gib: float,
) -> Path:
    """Predict every row of some nights, in a process that knows the model by its files alone.

    The rows pass through in batches: nights may be larger than memory.

    Parameters
    ----------
    artefact_folder : Path
        What a training left.
    nights : mapping of str to Path
        Parquet file of each night.
    out : Path
        Parquet file to write, see ``predict``; its folder is the process's to litter.
    columns : sequence of str
        Columns of the data that are copied beside the predictions, as text; what no night has is left out.
    requirements : Path, optional
        What the model needs (see ``environment.python_for``).
    latency_requests : int
        How many predictions of single rows are timed; the milliseconds go to ``<out>.latency.json``.
    timeout_seconds : float
        Longest run; making the environment, where there is none yet, may take as long again.
    memory_gib : float
        Largest private memory of the process, in GiB.

    Returns
    -------
    Path
        ``out``.

    Raises
    ------
    ConfigError
        If there are no nights, or the requirements cannot be read.
    MissingExtra
        If torch is not installed.
    RemoteJobFailed
        If it failed, took too long or too much memory, or its requirements cannot be installed, with the last lines.
    RemoteUnavailable
        If it was killed from outside, or the package index does not answer.
    """
    order = PredictionOrder(
        artefact=artefact_folder,
        nights=dict(nights),
        out=out,
        columns=tuple(columns),
        latency_requests=latency_requests,
    )
    python = _interpreter(requirements, timeout_seconds)
    order.out.parent.mkdir(parents=True, exist_ok=True)
    for earlier in (order.out, order.latencies):
        earlier.unlink(missing_ok=True)
    order_file = order.out.with_name(f"{order.out.name}.order.json")
    order.write(order_file)
    job = Job(
        what=f"prediction of {len(nights)} nights",
        module="airflow_mlops.training.predict",
        arguments=[str(order_file)],
        product=order.out,
        folder=order.out.parent,
        cpu=1,
        seed=0,
        timeout_seconds=timeout_seconds,
        memory_gib=memory_gib,
        python=python,
    )
    run_job(job, lambda _line: None)
    return order.out


def _interpreter(requirements: Path | None, timeout_seconds: float) -> Path:
    python = python_for(requirements, home=environments_home(), timeout_seconds=timeout_seconds)
    if python == Path(sys.executable):
        # Not imported: that takes seconds, and is the child's to do.
        require_installed("torch", "safetensors", extra="train")
    return python
