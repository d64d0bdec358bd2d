"""What is known of a model: how it was trained, where it is registered, what it is judged on."""

from __future__ import annotations

import datetime as dt
import json
from typing import ClassVar

from airflow_mlops.records.record import Instant, PartitionPin, Record, RecordRef, Value, sha256_digest, short

__all__ = ["Artefact", "Golden", "Manifest", "Registration"]


class Artefact(Value):
    """The files of a trained model, each kept in the store under its digest."""

    files: dict[str, str]

    @property
    def digest(self) -> str:
        """Digest over names and digests of the files."""
        return sha256_digest(json.dumps(self.files, sort_keys=True).encode())


class Manifest(Record):
    """All it takes to train the same model again, and what came out."""

    kind: ClassVar[str] = "manifest"

    night: dt.date
    fingerprint: str
    trigger: RecordRef | None
    snapshot: tuple[PartitionPin, ...]
    recent: tuple[PartitionPin, ...]
    golden: RecordRef
    code: Artefact
    entrypoint: str
    features: tuple[str, ...]
    target: str
    seed: int
    runner: str
    environment: dict[str, str]
    started_at: Instant
    finished_at: Instant
    metrics: dict[str, float]
    artefact: Artefact

    @property
    def key(self) -> str:
        """One fingerprint (data, code, config, seed) is trained once."""
        return f"{self.model}/{short(self.fingerprint)}"


class Registration(Record):
    """Where MLflow keeps a trained model."""

    kind: ClassVar[str] = "registration"

    manifest: RecordRef
    experiment_id: str
    run_id: str
    registered_model: str
    registered_version: str
    run_url: str | None

    @property
    def key(self) -> str:
        """One for each manifest."""
        return f"{self.model}/{short(self.manifest.digest)}"


class Golden(Record):
    """The golden set: whole nights, frozen once, that no training ever sees."""

    kind: ClassVar[str] = "golden"

    name: str
    partitions: tuple[PartitionPin, ...]

    @property
    def key(self) -> str:
        """Frozen once under its name."""
        return f"{self.model}/{self.name}"
