"""What a run and a logged model hold, in MLflow's terms: the data behind a model, and its files."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from airflow_mlops.records import sha256_digest

if TYPE_CHECKING:
    from mlflow.entities import DatasetInput, LoggedModel

    from airflow_mlops.records import Golden, Manifest, PartitionPin

__all__ = ["REF_TAG", "datasets_of", "range_of", "save_files"]

REF_TAG = "airflow_mlops.manifest"
# The most that MLflow takes; the first twelve are what our pages show.
_DATASET_DIGEST_LENGTH = 36


def datasets_of(manifest: Manifest, golden: Golden | None) -> list[DatasetInput]:
    """The training snapshot, the recent window and the golden set, by digests of ours: MLflow's own reads 10,000 rows.

    Parameters
    ----------
    manifest : Manifest
        Pins the nights.
    golden : Golden or None
        The set that the manifest names; None leaves its nights and rows untold.
    """
    pinned = {REF_TAG: str(manifest.ref)}
    frozen = {"airflow_mlops.golden": str(manifest.golden)}
    partitions = golden.partitions if golden else ()
    datasets = [_dataset("training", manifest.snapshot, _digest(manifest.snapshot), pinned, context="training")]
    if manifest.recent:
        datasets.append(_dataset("recent", manifest.recent, _digest(manifest.recent), pinned, context="evaluation"))
    datasets.append(_dataset("golden", partitions, manifest.golden.digest, frozen, context="evaluation"))
    return datasets


def range_of(pins: Sequence[PartitionPin]) -> str:
    """First and last night."""
    return f"{pins[0].night} to {pins[-1].night}"


def save_files(manifest: Manifest, artefact: Path, model: LoggedModel, folder: Path) -> None:
    """Write the files of a logged model into a new folder: the artefact, and how MLflow loads it."""
    from mlflow.models import Model, ModelSignature
    from mlflow.pyfunc import save_model
    from mlflow.types import ColSpec, DataType, Schema, TensorSpec

    def columns(names: Iterable[str]) -> Schema:
        specs: list[ColSpec | TensorSpec] = [ColSpec(DataType.float, name) for name in names]
        return Schema(specs)

    told = json.loads((artefact / "signature.json").read_text(encoding="utf-8"))
    # What the loader answers with.
    multiclass = told.get("task") == "multiclass"
    answers = [f"p_{name}" for name in told["classes"]] if multiclass else [manifest.target]
    save_model(
        folder,
        loader_module="airflow_mlops.training.mlflow_loader",
        data_path=str(artefact),
        # A local version such as 2.13.0+cpu is on no index.
        pip_requirements=[f"torch=={manifest.environment['torch'].partition('+')[0]}"],
        signature=ModelSignature(inputs=columns(manifest.features), outputs=columns(answers)),
        mlflow_model=Model(
            artifact_path=model.artifact_location,
            run_id=model.source_run_id,
            model_uuid=model.model_id,
            model_id=model.model_id,
        ),
        metadata={"artefact_digest": manifest.artefact.digest},
    )


def _dataset(
    what: str, pins: Sequence[PartitionPin], digest: str, origin: Mapping[str, str], *, context: str
) -> DatasetInput:
    from mlflow.entities import Dataset, DatasetInput, InputTag
    from mlflow.utils.mlflow_tags import MLFLOW_DATASET_CONTEXT

    rows = {"num_rows": sum(pin.rows for pin in pins), "nights": len(pins)}
    return DatasetInput(
        dataset=Dataset(
            name=f"{what} {range_of(pins)}" if pins else what,
            digest=digest.removeprefix("sha256:")[:_DATASET_DIGEST_LENGTH],
            # The kind that MLflow reads back as tags: here the record that pins every night.
            source_type="code",
            source=json.dumps({"tags": dict(origin)}),
            profile=json.dumps(rows) if pins else None,
        ),
        tags=[InputTag(MLFLOW_DATASET_CONTEXT, context)],
    )


def _digest(pins: Sequence[PartitionPin]) -> str:
    return sha256_digest(" ".join(pin.digest for pin in pins).encode())
