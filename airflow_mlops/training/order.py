"""What the training and the prediction process are told, and what the former reports; all are JSON files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Self

from pydantic import AfterValidator, Field, ValidationError

from airflow_mlops.errors import ConfigError
from airflow_mlops.project.gate_spec import Task
from airflow_mlops.records import Instant, Value

__all__ = ["PredictionOrder", "TrainingOrder", "TrainingResult"]

# The training process runs in another folder than its parent.
AbsolutePath = Annotated[Path, AfterValidator(Path.absolute)]


class _File(Value):
    """A value that is handed over as a JSON file."""

    def write(self, path: Path) -> None:
        """Write the file so that a reader finds all of it or nothing."""
        unfinished = path.with_name(f".{path.name}.unfinished")
        unfinished.write_text(self.model_dump_json(indent=2) + "\n", encoding="utf-8")
        unfinished.replace(path)

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read the file.

        Raises
        ------
        ConfigError
            If it is not there, or something else stands in it.
        """
        try:
            return cls.model_validate_json(path.read_bytes())
        except (OSError, ValidationError) as error:
            raise ConfigError(f"expected a {cls.__name__} in {path}: {error}") from error


class TrainingOrder(_File):
    """All that one training needs; two runs of one order on one kind of CPU give the same files, bit for bit.

    Parameters
    ----------
    project : Path
        Folder of the model project; the entrypoint is imported from it.
    entrypoint : str
        ``module:function``.
    partitions : tuple of Path
        Local Parquet files, in the order of their nights.
    task : str
        What is predicted, and so what the model has to answer with (see ``artefact.export_model``).
    features, target : tuple of str, str
        Columns; the order of ``features`` is the order of the model's inputs.
    seed : int
        Seed of every random generator.
    cpu : int
        Threads: the order of floating-point sums, and so the weights, hang on it.
    output : Path
        Folder of this run alone; the run makes ``artefact/`` and, last, ``result.json`` in it.

    Examples
    --------
    >>> order = TrainingOrder(
    ...     project="/m", entrypoint="train:train", partitions=["/d/night=2011-03-01.parquet"], features=["hr"],
    ...     target="cnt", seed=7, cpu=1, output="/out",
    ... )
    >>> order.artefact.as_posix(), TrainingOrder.model_validate_json(order.model_dump_json()) == order
    ('/out/artefact', True)
    """

    project: AbsolutePath
    entrypoint: str = Field(pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$")
    partitions: tuple[AbsolutePath, ...] = Field(min_length=1)
    task: Task = "regression"
    features: tuple[str, ...] = Field(min_length=1)
    target: str
    seed: int = Field(ge=0, lt=2**32, description="NumPy and Python's hashing take 32 bits.")
    cpu: int = Field(ge=1)
    output: AbsolutePath

    @property
    def artefact(self) -> Path:
        """Folder with model.pt2, weights.safetensors, signature.json and nothing else."""
        return self.output / "artefact"

    @property
    def result(self) -> Path:
        """Written last: that it is there means that the artefact is whole."""
        return self.output / "result.json"


class PredictionOrder(_File):
    """All that one prediction needs.

    Parameters
    ----------
    artefact : Path
        Folder of the model's files.
    nights : mapping of str to Path
        Local Parquet file of each night.
    out : Path
        Parquet file to write.
    columns : tuple of str
        Columns of the data that are copied beside the predictions, as text.
    latency_requests : int
        Predictions of single rows that are timed.

    Examples
    --------
    >>> PredictionOrder(artefact="/a", nights={"2011-03-01": "/d/1.parquet"}, out="/p.parquet").latencies.as_posix()
    '/p.parquet.latency.json'
    """

    artefact: AbsolutePath
    nights: dict[str, AbsolutePath]
    out: AbsolutePath
    columns: tuple[str, ...] = ()
    latency_requests: int = Field(default=0, ge=0)

    @property
    def latencies(self) -> Path:
        """``{"latencies_ms": [...]}``; there if any were asked for."""
        return self.out.with_name(f"{self.out.name}.latency.json")


class TrainingResult(_File):
    """What a finished training says of itself.

    ``metrics`` holds what the project logged (last values) plus ``train_rows`` and ``train_rmse``, in the target's unit
    (of a classification ``train_log_loss``); ``environment`` Python, platform, instruction set, and the version of
    every imported distribution.
    """

    metrics: dict[str, float]
    environment: dict[str, str]
    started_at: Instant
    finished_at: Instant
