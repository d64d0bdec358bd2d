"""A trained model that MLflow does not know yet; only its bytes count, so nothing is trained for it."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import NamedTuple

import pytest

from airflow_mlops.records import Artefact, Golden, Manifest, PartitionPin, sha256_digest

NIGHT = dt.date(2025, 2, 1)
FILES = {"model.pt2": b"program" * 9000, "signature.json": b"{}", "weights.safetensors": b"weights" * 9000}


class Unregistered(NamedTuple):
    """What ``MlflowHook.register`` takes."""

    manifest: Manifest
    golden: Golden
    artefact: Path


@pytest.fixture(scope="session")
def unregistered(tmp_path_factory: pytest.TempPathFactory) -> Unregistered:
    now = dt.datetime(2025, 3, 1, tzinfo=dt.UTC)
    artefact = tmp_path_factory.mktemp("artefact")
    for name, content in FILES.items():
        (artefact / name).write_bytes(content)
    golden = Golden(model="bike_demand", recorded_at=now, name="v1", partitions=_pins(20, 23))
    manifest = Manifest(
        model="bike_demand",
        recorded_at=now,
        dag_run="bike_demand_retrain/scheduled",
        night=NIGHT + dt.timedelta(days=14),
        fingerprint=sha256_digest(b"fingerprint"),
        trigger=None,
        snapshot=_pins(0, 12),
        recent=_pins(12, 15),
        golden=golden.ref,
        code=Artefact(files={"train.py": sha256_digest(b"code")}),
        entrypoint="train:train",
        features=("hr", "temp"),
        target="cnt",
        seed=7,
        runner="process",
        environment={"torch": "2.13.0+cpu"},
        started_at=now,
        finished_at=now,
        metrics={"train_rmse": 3.25},
        artefact=Artefact(files={name: sha256_digest(content) for name, content in FILES.items()}),
    )
    return Unregistered(manifest, golden, artefact)


def _pins(first: int, last: int) -> tuple[PartitionPin, ...]:
    return tuple(
        PartitionPin(night=NIGHT + dt.timedelta(days=day), digest=sha256_digest(bytes([day])), rows=24)
        for day in range(first, last)
    )
